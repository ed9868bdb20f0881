use anchor_lang::prelude::*;

use crate::{
    constants::{
        ASK_FEE, BPS, HISTORY_ROUNDS, HOLD_BPS, MARKET_SEED, MAX_CLASSES, MAX_FEE_BPS, MAX_LEASE_SECS,
        MAX_SEATS, MULTIPLIER_BPS, ROUND_SECS, STANDBY_BPS, TEST_ROUND_SECS, UNBONDING_SECS, WEIGHT_BPS,
    },
    error::LeaseholdError,
    math::settlement::Terms,
    state::Board,
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
    /// Genesis hash of the cluster, as the creator states it: receipts and vouchers name its first 8 bytes.
    pub genesis: [u8; 32],
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
    /// Length of a round in seconds, 10 to 3,600; a market with less than 60 is a test market.
    pub round_secs: u32,
    /// Length of the submit window after a round's end in seconds; at most a round.
    pub submit_secs: u32,
    /// Number of keeper seats of a board, 1 to 15.
    pub seats: u8,
    /// Votes against a machine that make it down: more than half of the seats.
    pub threshold: u8,
    /// Rounds down, of the last 64 of its promise, from which a machine is abandoned, 1 to 64.
    pub abandon_rounds: u8,
    /// Part of its rounds in which a machine promises to be up.
    pub sla_bps: u16,
}

impl RoundRules {
    /// Refuses rules under which no round could be decided.
    pub fn validate(&self) -> Result<()> {
        require!(ROUND_SECS.contains(&self.round_secs), LeaseholdError::RoundSecsOutOfRange);
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
        require!(self.sla_bps <= BPS, LeaseholdError::RateAboveWhole);
        Ok(())
    }

    /// True if rounds are so short that the market can only be a test.
    pub fn is_test(&self) -> bool {
        self.round_secs < TEST_ROUND_SECS
    }

    /// Fewest votes for a machine that can make it up: as many as can keep it from being down, and three on a board with seven
    /// seats or more.
    pub fn least_up_votes(&self) -> u8 {
        let least = self.seats.saturating_sub(self.threshold).saturating_add(1);
        if self.seats >= 7 { least.max(3) } else { least }
    }

    /// Most votes that a market may ask for to call a machine up: half of the seats, rounded up.
    pub fn most_up_votes(&self) -> u8 {
        self.seats.div_ceil(2)
    }
}

/// Parameters of a market, which it may change after its timelock. Leases keep those they were opened with.
#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Stake units bonded for one GPU of a class of weight 1.
    pub bond_unit: u64,
    /// Stake units that a keeper bonds for each of its seats.
    pub keeper_bond: u64,
    /// Payment units that a keeper earns by a vote in a quorate round: least and most, as far as the pool reaches.
    pub keeper_fee: u64,
    pub keeper_fee_max: u64,
    /// Lamports that a demand for a receipt costs; whoever answers or enforces it gets them.
    pub ask_fee: u64,
    /// Seconds between requesting stake and withdrawing it.
    pub unbonding_secs: u32,
    /// Shortest and longest lease, in rounds.
    pub min_rounds: u32,
    pub max_rounds: u32,
    /// Part of what machines earn that is the market's fee.
    pub fee_bps: u16,
    /// Part of the fee that is set aside for keepers.
    pub keeper_share_bps: u16,
    /// Part of a machine's pay that is kept until the end of its lease, 1,000 to 5,000: damages never exceed it.
    pub hold_bps: u16,
    /// Part of its hourly price that a machine is paid for rounds up of a metered lease, 100 to 10,000.
    pub standby_bps: u16,
    /// Part of its bond that a machine loses if it is down in all rounds, 1,000 to 100,000; 10,000 is the whole bond.
    pub slash_multiplier_bps: u32,
    /// Votes for a machine that make it up. A round with as many votes in all is quorate.
    pub up_votes: u8,
    /// Hardware classes; a machine names its class by the index in this list.
    #[max_len(MAX_CLASSES)]
    pub classes: Vec<HardwareClass>,
}

impl Params {
    /// The hardware class of that index.
    pub fn class(&self, class: u16) -> Result<&HardwareClass> {
        self.classes.get(usize::from(class)).ok_or_else(|| LeaseholdError::UnknownClass.into())
    }

    /// Refuses parameters out of range for a market with those round rules.
    pub fn validate(&self, rules: &RoundRules) -> Result<()> {
        require!(self.bond_unit > 0 && self.keeper_bond > 0, LeaseholdError::BondIsZero);
        require!(self.keeper_fee <= self.keeper_fee_max, LeaseholdError::KeeperFeeOutOfRange);
        require!(ASK_FEE.contains(&self.ask_fee), LeaseholdError::AskFeeOutOfRange);
        require!(UNBONDING_SECS.contains(&self.unbonding_secs), LeaseholdError::UnbondingOutOfRange);
        require!(
            self.min_rounds >= 1 && self.min_rounds <= self.max_rounds,
            LeaseholdError::LeaseRoundsOutOfRange
        );
        let longest = u64::from(self.max_rounds).saturating_mul(u64::from(rules.round_secs));
        require!(longest <= u64::from(MAX_LEASE_SECS), LeaseholdError::LeaseTooLong);
        require!(self.fee_bps <= MAX_FEE_BPS, LeaseholdError::FeeTooHigh);
        require!(self.keeper_share_bps <= BPS, LeaseholdError::RateAboveWhole);
        require!(HOLD_BPS.contains(&self.hold_bps), LeaseholdError::HoldOutOfRange);
        require!(STANDBY_BPS.contains(&self.standby_bps), LeaseholdError::StandbyOutOfRange);
        require!(MULTIPLIER_BPS.contains(&self.slash_multiplier_bps), LeaseholdError::MultiplierOutOfRange);
        let up_votes = rules.least_up_votes()..=rules.most_up_votes();
        require!(up_votes.contains(&self.up_votes), LeaseholdError::UpVotesOutOfRange);
        require!((1..=MAX_CLASSES).contains(&self.classes.len()), LeaseholdError::ClassesOutOfRange);
        let weighed = self.classes.iter().all(|class| WEIGHT_BPS.contains(&class.weight_bps));
        require!(weighed, LeaseholdError::WeightOutOfRange);
        Ok(())
    }

    /// Terms of a lease of `rounds` rounds that is opened on that board now.
    pub fn terms(&self, board: &Board, rounds: u32) -> Terms {
        Terms {
            round_secs: board.round_secs,
            phase_secs: board.phase_secs,
            rounds,
            min_rounds: self.min_rounds,
            slash_multiplier_bps: self.slash_multiplier_bps,
            fee_bps: self.fee_bps,
            keeper_share_bps: self.keeper_share_bps,
            sla_bps: board.sla_bps,
            hold_bps: self.hold_bps,
            standby_bps: self.standby_bps,
        }
    }

    /// Refuses parameters out of range, and fewer or renamed classes: machines name their class by its index.
    pub fn validate_successor(&self, rules: &RoundRules, next: &Params) -> Result<()> {
        require!(next.classes.len() >= self.classes.len(), LeaseholdError::ClassDropped);
        let named = self.classes.iter().zip(&next.classes).all(|(class, next)| class.name == next.name);
        require!(named, LeaseholdError::ClassRenamed);
        next.validate(rules)
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
    /// Unix seconds from which they can be applied, and after which they can't any more.
    pub effective_at: i64,
    pub expires_at: i64,
}
