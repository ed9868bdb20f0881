//! Every refusal: the rule that was broken, in one sentence.

use anchor_lang::prelude::*;

#[error_code]
pub enum LeaseholdError {
    // Everywhere
    #[msg("A sum or product does not fit 64 bits")]
    MathOverflow,
    #[msg("The instruction takes no further accounts")]
    StrayAccount,
    #[msg("The account belongs to another market")]
    WrongMarket,
    #[msg("The account belongs to another board")]
    WrongBoard,
    #[msg("The signer is not the account's authority")]
    WrongAuthority,
    #[msg("The token account is of another mint")]
    WrongMint,
    #[msg("The token account is not the vault")]
    WrongVault,
    #[msg("Somebody else's claim is paid to the owner's associated token account only")]
    WrongDestination,
    #[msg("The amount must be more than zero")]
    AmountIsZero,
    #[msg("There is nothing to withdraw or to claim")]
    NothingToWithdraw,

    // Market
    #[msg("The mint has an extension that this program does not allow")]
    MintExtension,
    #[msg("Payment and stake must be different mints")]
    SameMint,
    #[msg("Wrapped lamports can't be burned, so they can't be staked")]
    NativeStake,
    #[msg("A round has at least 10 seconds")]
    RoundTooShort,
    #[msg("The time to submit is at least a second and at most a round")]
    SubmitWindowOutOfRange,
    #[msg("A board has 1 to 15 keeper seats")]
    SeatsOutOfRange,
    #[msg("The threshold is more than half of the seats and at most all of them")]
    ThresholdOutOfRange,
    #[msg("A machine is abandoned after 1 to 64 rounds")]
    AbandonRoundsOutOfRange,
    #[msg("The timelock is a minute to 30 days")]
    TimelockOutOfRange,
    #[msg("Stake unbonds within 90 days")]
    UnbondingTooLong,
    #[msg("A lease has at least one round, and its fewest rounds are not above its most")]
    LeaseRoundsOutOfRange,
    #[msg("The fee is at most 30 percent")]
    FeeTooHigh,
    #[msg("A rate is at most 10,000 basis points")]
    RateAboveWhole,
    #[msg("The split of a slash sums to 10,000 basis points, of which at least 1,000 are burned")]
    SplitNotWhole,
    #[msg("A market has 1 to 32 hardware classes")]
    ClassesOutOfRange,
    #[msg("Classes are added or reweighed, never dropped")]
    ClassDropped,
    #[msg("No parameters are proposed")]
    NothingProposed,
    #[msg("The timelock of the proposed parameters has not run out")]
    TimelockRunning,
    #[msg("The market is paused: nothing is listed, opened or extended")]
    MarketPaused,
    #[msg("The market still has boards, suppliers or keepers")]
    MarketInUse,

    // Suppliers and stake
    #[msg("There is not enough free stake")]
    InsufficientStake,
    #[msg("The stake is still unbonding")]
    StakeStillUnbonding,
    #[msg("The account still holds stake")]
    StakeLeft,
    #[msg("The supplier still has machines on a board")]
    MachinesLeft,

    // Boards and machines
    #[msg("The account is not a board")]
    BoardMalformed,
    #[msg("The board has all the machines it can hold")]
    BoardFull,
    #[msg("The board still holds machines, leases, seats or money")]
    BoardInUse,
    #[msg("The board has no such slot")]
    NoSuchSlot,
    #[msg("The slot holds a machine")]
    SlotTaken,
    #[msg("The slot holds no machine")]
    SlotVacant,
    #[msg("No machine is named")]
    NoMachines,
    #[msg("The market has no such hardware class")]
    UnknownClass,
    #[msg("A machine has at least one GPU")]
    NoGpus,
    #[msg("A machine needs a price")]
    PriceIsZero,
    #[msg("Reserved bits must be zero")]
    ReservedBits,
    #[msg("The endpoint needs an address and a port")]
    EndpointEmpty,
    #[msg("The commitment ends before the next round")]
    CommitmentTooShort,
    #[msg("The commitment ends more than a year from now")]
    CommitmentTooLong,
    #[msg("The machine is another supplier's")]
    WrongSupplier,
    #[msg("The account of the slot's former supplier is missing: its rent is owed to it")]
    FormerSupplierMissing,
    #[msg("The machine is leased")]
    MachineLeased,
    #[msg("The machine serves no lease")]
    MachineNotLeased,
    #[msg("The machine's earnings must be claimed first")]
    EarningsLeft,
    #[msg("The machine's commitment has not been over for 30 days")]
    EvictionTooEarly,

    // Keepers and rounds
    #[msg("The board has no such seat")]
    NoSuchSeat,
    #[msg("Somebody holds the seat")]
    SeatTaken,
    #[msg("Nobody holds the seat")]
    SeatVacant,
    #[msg("A keeper has one seat of a board")]
    SecondSeat,
    #[msg("The seat belongs to another keeper")]
    WrongKeeper,
    #[msg("The keeper has submitted within a day")]
    SeatInUse,
    #[msg("The seat's vote is not counted yet: close the round first")]
    VoteNotCounted,
    #[msg("The seat's fees must be claimed first")]
    FeesLeft,
    #[msg("The keeper still holds seats")]
    SeatsLeft,
    #[msg("The round is not the one that ended last, or its time to submit is over")]
    OutsideSubmitWindow,
    #[msg("An earlier round must be closed first")]
    EarlierRoundOpen,
    #[msg("The round is closed")]
    RoundClosed,
    #[msg("The seat has submitted for this round")]
    AlreadySubmitted,
    #[msg("The bitmap must have one bit for each slot there was when the round ended")]
    BitmapLength,
    #[msg("Bits beyond the last slot must be zero")]
    BitmapPadding,
    #[msg("No round can be closed yet")]
    NothingToClose,

    // Leases
    #[msg("The number of rounds is outside what the market allows")]
    LeaseLength,
    #[msg("Fewer machines fit than were asked for")]
    NotEnoughMachines,
    #[msg("The deposit would be more than the buyer allows")]
    CostsTooMuch,
    #[msg("The account is not this board's next lease")]
    WrongSerial,
    #[msg("The lease was cancelled or settled")]
    LeaseNotOpen,
    #[msg("The lease's term is over")]
    LeaseOver,
    #[msg("A machine of the lease is not committed for so long")]
    MachineNotCommitted,
    #[msg("The machine is not in this lease")]
    NotInLease,
    #[msg("The machine is neither down nor retired")]
    MachineNotDown,
    #[msg("The lease is settled already")]
    LeaseSettled,
    #[msg("The lease is not settled yet")]
    LeaseNotSettled,
    #[msg("The lease still holds money of its owner")]
    LeaseHoldsMoney,
    #[msg("For a day after a lease its account and its machines' bonds stay, for disputes over receipts")]
    DisputesOpen,
    #[msg("Demands to see receipts of the lease are not answered")]
    DemandsLeft,

    // Leases paid by use
    #[msg("A meter goes with criteria that ask for machines that may be leased by use")]
    MeterMismatch,
    #[msg("A metered lease has one machine")]
    MeteredCluster,
    #[msg("The lease is paid by use")]
    LeaseMetered,
    #[msg("The lease is paid by the hour")]
    LeaseNotMetered,
    #[msg("The lease ends by itself within the time of notice")]
    NoticeTooLate,
    #[msg("The signed message is not a voucher of this program")]
    VoucherMalformed,
    #[msg("The voucher is for another lease, or signed by another key than the lease names")]
    WrongVoucher,
    #[msg("The voucher is paid already, or the deposit is spent")]
    VoucherRedeemed,

    // Records of what was computed
    #[msg("The account is not a compute log")]
    LogMalformed,
    #[msg("The supplier's log must be closed first")]
    LogLeft,
    #[msg("The log has a lane for the slot")]
    LaneExists,
    #[msg("The log has no lane for the slot")]
    NoLane,
    #[msg("The URL where receipts can be had takes 1 to 128 bytes")]
    SourceLength,
    #[msg("No batch is named")]
    NoBatches,
    #[msg("A batch has 1 to 65,536 receipts")]
    BatchSize,
    #[msg("The batch is not the one that comes next for its machine")]
    BatchOutOfOrder,
    #[msg("The board never had the lease, or the machine has not come to it")]
    NoSuchLease,
    #[msg("A batch begins when the one before has ended, or later, and ends by now")]
    BatchTimes,
    #[msg("The path does not lead to what the log holds")]
    NotInLog,
    #[msg("The instruction before must be one of the Ed25519 program, of the form that this one takes")]
    SignatureMissing,
    #[msg("The signed message is not a receipt of this program")]
    ReceiptMalformed,
    #[msg("The receipt is of another lease, machine or number, or has another id")]
    WrongReceipt,
    #[msg("The machine in the slot is not the one that signed")]
    WrongMachine,
    #[msg("The two receipts don't contradict each other")]
    NoEquivocation,
    #[msg("The machine lied and lost its bond: it can only leave")]
    MachineBarred,
    #[msg("The receipt has still time to come to the log")]
    DemandTooEarly,
    #[msg("The lease ended too long ago to demand its receipts")]
    DemandTooLate,
    #[msg("The batch must be shown first")]
    BatchNotShown,
    #[msg("There is still time to answer the demand")]
    AnswerNotDue,
}
