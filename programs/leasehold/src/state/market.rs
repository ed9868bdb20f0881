use anchor_lang::prelude::*;

use crate::{
    constants::{
        BPS, HISTORY_ROUNDS, MARKET_SEED, MAX_CLASSES, MAX_FEE_BPS, MAX_SEATS, MAX_UNBONDING_SECS,
        MIN_ROUND_SECS,
    },
    error::LeaseholdError,
    math::{settlement::Terms, slashing::SlashSplit},
};

/// A market: its mints, rules and authority. Address: `["market", id]`.
#[account]
#[derive(InitSpace, Debug)]
pub struct Market {
    /// Layout version of this account.
    pub version: u8,
    /// Bump of this account's address.
    pub bump: u8,
    /// Bump of the stake vault's address.
    pub stake_vault_bump: u8,
    /// While set, no machines are listed and no leases opened or extended. Nothing else stops.
    pub paused: bool,
    /// Number chosen by the market's creator.
    pub id: u64,
    /// May propose parameters and pause; is paid the fees.
    pub authority: Pubkey,
    /// Becomes the authority once it accepts.
    pub pending_authority: Option<Pubkey>,
    /// Mint that leases are paid in.
    pub payment_mint: Pubkey,
    /// Mint that suppliers and keepers stake.
    pub stake_mint: Pubkey,
    /// Index the next board will have.
    pub next_board: u32,
    /// Number of boards.
    pub boards: u32,
    /// Number of suppliers' and keepers' accounts.
    pub members: u32,
    /// Seconds between proposing parameters and applying them.
    pub timelock_secs: u32,
    /// Rules of rounds; they never change.
    pub rules: RoundRules,
    /// Parameters in force.
    pub params: Params,
    /// Proposed parameters, if any.
    pub pending_params: Option<PendingParams>,
    /// Reserved.
    pub reserved: [u8; 64],
}

impl Market {
    pub const VERSION: u8 = 1;

    pub fn signer(&self) -> MarketSigner {
        MarketSigner { id: self.id.to_le_bytes(), bump: [self.bump] }
    }
}

/// Seeds of a market, which signs for its stake vault.
#[derive(Clone, Copy, Debug)]
pub struct MarketSigner {
    id: [u8; 8],
    bump: [u8; 1],
}

impl MarketSigner {
    pub fn seeds(&self) -> [&[u8]; 3] {
        [MARKET_SEED, &self.id, &self.bump]
    }
}

/// Rules of the rounds of a market's boards. A board copies them when it is created.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundRules {
    /// Length of a round in seconds; at least 10.
    pub round_secs: u32,
    /// Length of the submit window after a round's end in seconds; at most a round.
    pub submit_secs: u32,
    /// Number of keeper seats of a board, 1 to 15.
    pub seats: u8,
    /// Number of equal votes that make a verdict: more than half of the seats.
    pub threshold: u8,
    /// Rounds down in a row that make a leased machine abandoned, 1 to 64.
    pub abandon_rounds: u8,
}

impl RoundRules {
    /// Refuses rules under which no round could be decided.
    pub fn validate(&self) -> Result<()> {
        require!(self.round_secs >= MIN_ROUND_SECS, LeaseholdError::RoundTooShort);
        require!((1..=self.round_secs).contains(&self.submit_secs), LeaseholdError::SubmitWindowOutOfRange);
        require!((1..=MAX_SEATS).contains(&usize::from(self.seats)), LeaseholdError::SeatsOutOfRange);
        let majority = self.seats / 2;
        require!(
            self.threshold > majority && self.threshold <= self.seats,
            LeaseholdError::ThresholdOutOfRange
        );
        require!(
            (1..=HISTORY_ROUNDS).contains(&usize::from(self.abandon_rounds)),
            LeaseholdError::AbandonRoundsOutOfRange
        );
        Ok(())
    }
}

/// Parameters of a market, which it may change after its timelock. Leases keep those they were opened with.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Stake units bonded for one GPU of a class of weight 1.
    pub bond_unit: u64,
    /// Stake units that a keeper bonds for each of its seats.
    pub keeper_bond: u64,
    /// Payment units that a keeper earns by a vote in a round that reached its quorum.
    pub keeper_fee: u64,
    /// Seconds between requesting stake and withdrawing it.
    pub unbonding_secs: u32,
    /// Shortest and longest lease, in rounds.
    pub min_rounds: u32,
    pub max_rounds: u32,
    /// Part of what machines earn that is the market's fee.
    pub fee_bps: u16,
    /// Part of the fee that is set aside for keepers.
    pub keeper_share_bps: u16,
    /// Part of its rounds of a lease in which a machine promises to be up.
    pub sla_bps: u16,
    /// Part of its bond that a machine loses if it is down in all rounds; 10,000 is the whole bond, and it may be more.
    pub slash_multiplier_bps: u32,
    /// How slashed stake is shared out.
    pub split: SlashSplit,
    /// Hardware classes; a machine names its class by the index in this list.
    #[max_len(MAX_CLASSES)]
    pub classes: Vec<HardwareClass>,
}

impl Params {
    /// The hardware class of that index.
    pub fn class(&self, class: u16) -> Result<&HardwareClass> {
        self.classes.get(usize::from(class)).ok_or_else(|| LeaseholdError::UnknownClass.into())
    }

    /// Refuses parameters out of range.
    pub fn validate(&self) -> Result<()> {
        require!(self.unbonding_secs <= MAX_UNBONDING_SECS, LeaseholdError::UnbondingTooLong);
        require!(
            self.min_rounds >= 1 && self.min_rounds <= self.max_rounds,
            LeaseholdError::LeaseRoundsOutOfRange
        );
        require!(self.fee_bps <= MAX_FEE_BPS, LeaseholdError::FeeTooHigh);
        require!(self.keeper_share_bps <= BPS && self.sla_bps <= BPS, LeaseholdError::RateAboveWhole);
        require!(self.split.is_whole(), LeaseholdError::SplitNotWhole);
        require!((1..=MAX_CLASSES).contains(&self.classes.len()), LeaseholdError::ClassesOutOfRange);
        Ok(())
    }

    /// Terms of a lease of `rounds` rounds that is opened now.
    pub fn terms(&self, round_secs: u32, rounds: u32) -> Terms {
        Terms {
            round_secs,
            rounds,
            cancel_secs: 0,
            slash_multiplier_bps: self.slash_multiplier_bps,
            fee_bps: self.fee_bps,
            keeper_share_bps: self.keeper_share_bps,
            sla_bps: self.sla_bps,
            split: self.split,
        }
    }

    /// Refuses parameters out of range, and fewer classes than now: machines name their class by its index.
    pub fn validate_successor(&self, next: &Params) -> Result<()> {
        require!(next.classes.len() >= self.classes.len(), LeaseholdError::ClassDropped);
        next.validate()
    }
}

/// A hardware class.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub struct HardwareClass {
    /// UTF-8 name, padded with zeros: "RTX 4090".
    pub name: [u8; 16],
    /// Weight of one GPU in bonds; 10,000 is 1.
    pub weight_bps: u32,
}

/// Proposed parameters that wait for the end of their timelock.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Debug, PartialEq, Eq)]
pub struct PendingParams {
    pub params: Params,
    /// Unix seconds from which they can be applied.
    pub effective_at: i64,
}
