//! The whole program once more, in plain Rust: the rules of the design, without bit planes, histograms, counters or
//! cut-offs. A board is a list, a machine stores every verdict it got, and every sum is computed from scratch in 128
//! bits.
//!
//! [`Model::apply`] executes an instruction on the model, [`Program::send`] on the real program, and [`compare`] finds
//! the first difference. `tests/model/` plays random sequences on both.
//!
//! A [`Program`] is what the model is compared with: the compiled one in a virtual machine ([`Chain`]), or the program's
//! rules called natively ([`Native`]), which is a hundred times faster.
//!
//! A new instruction gets a variant of [`Action`], an arm in `Model::run`, `Chain::instruction` and `Native::run`, and its
//! fields in [`compare`]. The model doesn't call the program's arithmetic: that would hide its mistakes.

mod action;
mod board;
mod chain;
pub mod compare;
mod lease;
mod leaving;
mod listing;
mod machine;
mod market;
pub mod meter;
pub mod naive;
mod native;
mod outcome;
mod program;
mod quote;
mod round;
mod settle;
mod stake;

use std::collections::BTreeMap;

pub use action::*;
pub use board::*;
pub use chain::*;
pub use lease::*;
pub use market::*;
pub use native::*;
pub use outcome::*;
pub use program::*;
pub use quote::*;
pub use round::*;
pub use settle::*;
pub use stake::*;

/// A wallet, by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Who(pub u8);

/// Wallets by their usual role; any of them may do anything.
pub const SUPPLIERS: [Who; 3] = [Who(0), Who(1), Who(2)];
pub const BUYERS: [Who; 2] = [Who(3), Who(4)];
pub const KEEPERS: [Who; 4] = [Who(5), Who(6), Who(7), Who(8)];
pub const AUTHORITY: Who = Who(9);
pub const STRANGER: Who = Who(10);
pub const CAST: u8 = 11;

pub fn everybody() -> impl Iterator<Item = Who> {
    (0..CAST).map(Who)
}

impl std::fmt::Debug for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match *self {
            AUTHORITY => write!(f, "authority"),
            STRANGER => write!(f, "stranger"),
            Who(number @ 0..3) => write!(f, "supplier{number}"),
            Who(number @ 3..5) => write!(f, "buyer{}", number - 3),
            Who(number) => write!(f, "keeper{}", number - 5),
        }
    }
}

/// Tokens and lamports outside the market.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wallet {
    pub payments: u64,
    pub stake: u64,
    /// Lamports gained or lost since the beginning: rent. The model has no transaction fees.
    pub lamports: i64,
    /// Of these, rent that others paid for its accounts, less what it paid for those of others.
    pub given: i64,
}

/// Rent of each kind of account, in lamports.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rents {
    pub market: i64,
    pub vault: i64,
    pub supplier: i64,
    pub keeper: i64,
    pub lease: i64,
    /// Each machine of a lease that was replaced.
    pub replaced: i64,
    /// A board without slots, and each further slot.
    pub board: i64,
    pub slot: i64,
    pub payment_vault: i64,
}

#[derive(Clone)]
pub struct Model {
    pub now: i64,
    pub market: Market,
    pub suppliers: BTreeMap<Who, Stake>,
    pub keepers: BTreeMap<Who, Stake>,
    /// Lamports at the addresses of suppliers' accounts, whether these exist or not.
    pub supplier_lamports: BTreeMap<Who, i64>,
    pub boards: BTreeMap<u32, Board>,
    pub wallets: BTreeMap<Who, Wallet>,
    /// Stake, and payments, that were burned.
    pub burned: u64,
    pub burned_payments: u64,
    pub rents: Rents,
}

impl Model {
    /// Executes an instruction; if it breaks rules, changes nothing and returns them.
    pub fn apply(&mut self, action: &Action) -> Outcome {
        let mut after = self.clone();
        after.run(action)?;
        *self = after;
        Ok(())
    }

    fn run(&mut self, action: &Action) -> Outcome {
        use Action::*;
        match action {
            CreateMarket { .. } => Err(vec![Refusal::Exists]),
            ProposeParams { by, params } => self.propose_params(*by, params.as_deref()),
            ApplyParams => self.apply_params(),
            ProposeAuthority { by, to } => self.propose_authority(*by, *to),
            AcceptAuthority { by } => self.accept_authority(*by),
            SetPaused { by, paused } => self.set_paused(*by, *paused),
            WithdrawFees { by, board, to } => self.withdraw_fees(*by, *board, *to),
            BurnSlashed { board } => self.burn_slashed(*board),
            BurnPayments { board, creator } => self.burn_payments(*board, *creator),
            CloseMarket { by } => self.close_market(*by),
            RegisterSupplier { by } => self.register_supplier(*by),
            DepositStake { by, amount } => self.deposit_stake(*by, *amount),
            RequestUnstake { by, amount } => self.request_unstake(*by, *amount),
            WithdrawStake { by, to } => self.withdraw_stake(*by, *to),
            ClaimEarnings { by, supplier, board, to } => self.claim_earnings(*by, *supplier, *board, *to),
            ReclaimRent { by } => self.reclaim_rent(*by),
            CloseSupplier { by } => self.close_supplier(*by),
            CreateBoard { by } => self.create_board(*by),
            ListMachines { by, board, until, machines, former } => {
                self.list_machines(*by, *board, *until, machines, former)
            }
            RepriceMachines { by, board, offers } => self.reprice_machines(*by, *board, offers),
            WithholdMachines { by, board, slots } => self.withhold_machines(*by, *board, slots),
            MoveMachines { by, board, moves } => self.move_machines(*by, *board, moves),
            RetireMachines { by, supplier, board, slots } => {
                self.retire_machines(*by, *supplier, *board, slots)
            }
            ForfeitMachines { by, board, slots } => self.forfeit_machines(*by, *board, slots),
            TrimBoard { board, suppliers } => self.trim_board(*board, suppliers),
            CloseBoard { by, board } => self.close_board(*by, *board),
            RegisterKeeper { by } => self.register_keeper(*by),
            DepositBond { by, amount } => self.deposit_bond(*by, *amount),
            RequestUnbond { by, amount } => self.request_unbond(*by, *amount),
            WithdrawBond { by, to } => self.withdraw_bond(*by, *to),
            TakeSeat { by, board, seat } => self.take_seat(*by, *board, *seat),
            LeaveSeat { by, keeper, board, seat, forfeit_fees } => {
                self.leave_seat(*by, *keeper, *board, *seat, *forfeit_fees)
            }
            FundKeepers { by, board, amount } => self.fund_keepers(*by, *board, *amount),
            SubmitRound { by, board, seat, round, bitmap } => {
                self.submit_round(*by, *board, *seat, *round, bitmap)
            }
            CloseRound { board } => self.close_round(*board),
            ClaimKeeperFees { by, board, seat, to } => self.claim_keeper_fees(*by, *board, *seat, *to),
            CloseKeeper { by } => self.close_keeper(*by),
            OpenLease { by, owner, board, args } => self.open_lease(*by, *owner, *board, args),
            ExtendLease { by, payer, lease, rounds, max_deposit, max_leaving } => {
                self.extend_lease(*by, *payer, *lease, *rounds, *max_deposit, *max_leaving)
            }
            CancelLease { by, lease, contest } => self.cancel_lease(*by, *lease, contest),
            TransferLease { by, lease, to } => self.transfer_lease(*by, *lease, *to),
            SetAccess { by, lease, access, wipe } => self.set_access(*by, *lease, *access, *wipe),
            ReplaceNode { by, payer, lease, args } => self.replace_node(*by, *payer, *lease, args),
            TopUpLease { by, lease, amount } => self.top_up_lease(*by, *lease, *amount),
            GiveNotice { by, lease, supplier } => self.give_notice(*by, *lease, *supplier),
            RedeemVoucher { lease, slot, price } => self.redeem_voucher(*lease, *slot, *price),
            ProveEquivocation { lease, slot } => self.prove_equivocation(*lease, *slot),
            SettleLease { lease } => self.settle_lease(*lease),
            ClaimRefund { by, lease, to } => self.claim_refund(*by, *lease, *to),
            CloseLease { lease, buyer } => self.close_lease(*lease, *buyer),
        }
    }

    /// The round of a board that runs at Unix time `now`.
    fn round_at(&self, board: &Board, now: i64) -> u32 {
        u32::try_from((now - board.phase) / i64::from(self.market.rules.round_secs)).expect("a round")
    }

    /// The running round of a board; of the market's first rounds if there is none.
    pub fn round(&self, board: u32) -> u32 {
        match self.boards.get(&board) {
            Some(board) => self.round_at(board, self.now),
            None => u32::try_from(self.now / i64::from(self.market.rules.round_secs)).expect("a round"),
        }
    }

    /// Unix time at which a round of a board begins.
    pub fn round_begin(&self, board: u32, round: u32) -> i64 {
        let phase = self.boards.get(&board).map_or(0, |board| board.phase);
        phase + i64::from(round) * i64::from(self.market.rules.round_secs)
    }

    /// Unix time at which it ends.
    pub fn round_end(&self, board: u32, round: u32) -> i64 {
        self.round_begin(board, round + 1)
    }

    pub fn board(&self, board: u32) -> Result<&Board, Vec<Refusal>> {
        self.boards.get(&board).ok_or_else(|| vec![Refusal::Missing])
    }

    fn board_mut(&mut self, board: u32) -> Result<&mut Board, Vec<Refusal>> {
        self.boards.get_mut(&board).ok_or_else(|| vec![Refusal::Missing])
    }

    pub fn wallet(&self, who: Who) -> Wallet {
        self.wallets[&who]
    }

    fn wallet_mut(&mut self, who: Who) -> &mut Wallet {
        self.wallets.get_mut(&who).expect("everybody has a wallet")
    }

    /// Stake units that the stake vault must hold.
    pub fn stake_vault(&self) -> u64 {
        let members = self.suppliers.values().chain(self.keepers.values());
        let members: u64 = members.map(|stake| stake.free + stake.unbonding).sum();
        let boards = self.boards.values().map(|board| {
            let seats: u64 = board.seats.iter().flatten().map(|seat| seat.bond).sum();
            seats + board.bonds() + board.slashed
        });
        members + boards.sum::<u64>()
    }

    /// Machines of a supplier on all boards.
    pub fn machines_of(&self, supplier: Who) -> usize {
        self.boards
            .values()
            .flat_map(|board| &board.slots)
            .filter(|slot| slot.owner == supplier && slot.machine.is_some())
            .count()
    }

    /// Seats that a keeper holds, with their boards.
    pub fn seats_of(&self, keeper: Who) -> Vec<(u32, u8)> {
        let mut seats = vec![];
        for (board, state) in &self.boards {
            for (index, seat) in (0..).zip(&state.seats) {
                if seat.as_ref().is_some_and(|seat| seat.keeper == keeper) {
                    seats.push((*board, index));
                }
            }
        }
        seats
    }
}
