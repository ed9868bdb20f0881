use anchor_lang::prelude::*;

use crate::{
    constants::{
        BPS, HISTORY_ROUNDS, MARKET_SEED, MAX_CLASSES, MAX_FEE_BPS, MAX_SEATS, MAX_UNBONDING_SECS,
        MIN_ROUND_SECS,
    },
    error::LeaseholdError,
    math::slashing::SlashSplit,
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
    /// No machines are listed and no leases opened or extended while set. Nothing else stops.
    pub paused: bool,
    /// Chosen by whoever created the market.
    pub id: u64,
    /// May propose parameters, pause, and is paid the fees.
    pub authority: Pubkey,
    /// Becomes the authority once it accepts.
    pub pending_authority: Option<Pubkey>,
    /// What leases are paid in.
    pub payment_mint: Pubkey,
    /// What suppliers and keepers stake.
    pub stake_mint: Pubkey,
    /// Index the next board will have.
    pub next_board: u32,
    /// Boards that exist.
    pub boards: u32,
    /// Accounts of suppliers and keepers that exist.
    pub members: u32,
    /// Seconds between proposing parameters and applying them.
    pub timelock_secs: u32,
    /// How rounds are voted on. Fixed for ever.
    pub rules: RoundRules,
    /// What applies now.
    pub params: Params,
    /// What will apply, and from when.
    pub pending_params: Option<PendingParams>,
    /// Room for what comes later.
    pub reserved: [u8; 64],
}

impl Market {
    pub const VERSION: u8 = 1;

    pub fn signer(&self) -> MarketSigner {
        MarketSigner { id: self.id.to_le_bytes(), bump: [self.bump] }
    }

    /// The class a machine claims to be of.
    pub fn class(&self, class: u16) -> Result<&HardwareClass> {
        self.params.classes.get(usize::from(class)).ok_or_else(|| LeaseholdError::UnknownClass.into())
    }
}

/// What a market needs to sign for its stake vault.
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

/// How the rounds of a market's boards are voted on. A board copies them when it is created.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundRules {
    /// Length of a round in seconds; at least 10.
    pub round_secs: u32,
    /// Seconds after a round's end in which keepers may submit; at most a round.
    pub submit_secs: u32,
    /// Keeper seats of a board, 1 to 15.
    pub seats: u8,
    /// Equal votes that make a verdict: more than half of the seats.
    pub threshold: u8,
    /// Verdicts of down in a row that make a leased machine abandoned, 1 to 64.
    pub abandon_rounds: u8,
}

impl RoundRules {
    /// Refuses rules under which rounds could not be decided.
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

/// What a market may change after its timelock. Leases keep the values they were opened with.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Bond of one GPU of a class of weight 1, in stake units.
    pub bond_unit: u64,
    /// Bond of a keeper for each of its seats, in stake units.
    pub keeper_bond: u64,
    /// Pay of a keeper for a submission in a round that reached its quorum, in payment units.
    pub keeper_fee: u64,
    /// Seconds between asking for stake and withdrawing it.
    pub unbonding_secs: u32,
    /// Fewest and most rounds of a lease.
    pub min_rounds: u32,
    pub max_rounds: u32,
    /// Part of the price that the market keeps.
    pub fee_bps: u16,
    /// Part of the fee that pays keepers.
    pub keeper_share_bps: u16,
    /// Part of a lease's rounds in which a machine promises to be up.
    pub sla_bps: u16,
    /// Part of its bond that a machine loses for being down all the time; 10,000 is the whole.
    pub slash_multiplier_bps: u32,
    /// Who gets slashed stake.
    pub split: SlashSplit,
    /// What machines can be; a machine names its class by the place in this list.
    #[max_len(MAX_CLASSES)]
    pub classes: Vec<HardwareClass>,
}

impl Params {
    /// Refuses parameters under which money could not be shared out.
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

    /// Classes are named by place, so a change may add some or reweigh them, never drop one.
    pub fn validate_successor(&self, next: &Params) -> Result<()> {
        require!(next.classes.len() >= self.classes.len(), LeaseholdError::ClassDropped);
        next.validate()
    }
}

/// A kind of machine.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub struct HardwareClass {
    /// UTF-8 name, padded with zeros: "RTX 4090".
    pub name: [u8; 16],
    /// Weight of a GPU in bonds and rewards; 10,000 is 1.
    pub weight_bps: u32,
}

/// Parameters that were proposed and wait for their time.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Debug, PartialEq, Eq)]
pub struct PendingParams {
    pub params: Params,
    /// Unix seconds from which they can be applied.
    pub effective_at: i64,
}
