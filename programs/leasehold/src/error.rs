//! Errors: each names the one rule that was broken.

use anchor_lang::prelude::*;

#[error_code]
pub enum LeaseholdError {
    // Everywhere
    #[msg("An amount or a round is too large")]
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
    #[msg("A claim that its owner does not sign is paid to the owner's associated token account only")]
    WrongDestination,
    #[msg("The amount must be more than zero")]
    AmountIsZero,
    #[msg("There is nothing to withdraw or claim")]
    NothingToWithdraw,

    // Market
    #[msg("The mint has an extension that this program does not allow")]
    MintExtension,
    #[msg("The payment mint and the stake mint must differ")]
    SameMint,
    #[msg("Wrapped SOL cannot be burned, so it cannot be the stake mint")]
    NativeStake,
    #[msg("A round must have at least 10 seconds")]
    RoundTooShort,
    #[msg("The submit window must be at least one second and at most one round")]
    SubmitWindowOutOfRange,
    #[msg("A board must have 1 to 15 keeper seats")]
    SeatsOutOfRange,
    #[msg("The threshold must be more than half of the seats and at most all of them")]
    ThresholdOutOfRange,
    #[msg("The rounds down in a row that make a machine abandoned must be 1 to 64")]
    AbandonRoundsOutOfRange,
    #[msg("The timelock must be between a minute and 30 days")]
    TimelockOutOfRange,
    #[msg("The unbonding time must be at most 90 days")]
    UnbondingTooLong,
    #[msg("The shortest lease must have at least one round and at most as many as the longest")]
    LeaseRoundsOutOfRange,
    #[msg("The fee must be at most 30 percent")]
    FeeTooHigh,
    #[msg("A rate must be at most 10,000 basis points")]
    RateAboveWhole,
    #[msg("The parts of a slash must sum to 10,000 basis points, and at least 1,000 must be burned")]
    SplitNotWhole,
    #[msg("A market must have 1 to 32 hardware classes")]
    ClassesOutOfRange,
    #[msg("A change of parameters may add or reweigh hardware classes, but not remove any")]
    ClassDropped,
    #[msg("No parameters are proposed")]
    NothingProposed,
    #[msg("The timelock of the proposed parameters has not ended yet")]
    TimelockRunning,
    #[msg("The market is paused: no machine can be listed, no lease opened or extended")]
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
    #[msg("The request names no machine")]
    NoMachines,
    #[msg("The market has no such hardware class")]
    UnknownClass,
    #[msg("A machine must have at least one GPU")]
    NoGpus,
    #[msg("The price must be more than zero")]
    PriceIsZero,
    #[msg("Reserved bits must be zero")]
    ReservedBits,
    #[msg("The endpoint must have an address and a port")]
    EndpointEmpty,
    #[msg("The commitment must cover the next round")]
    CommitmentTooShort,
    #[msg("The commitment is longer than 366 days and than the longest lease of the market")]
    CommitmentTooLong,
    #[msg("The machine belongs to another supplier")]
    WrongSupplier,
    #[msg("The account of the slot's former supplier, to whom the slot's rent is owed, is missing")]
    FormerSupplierMissing,
    #[msg("The machine is leased")]
    MachineLeased,
    #[msg("The machine does not serve a running lease")]
    MachineNotLeased,
    #[msg("The machine's earnings are not claimed yet")]
    EarningsLeft,
    #[msg("Only its supplier may retire a machine until 30 days after its commitment's end")]
    EvictionTooEarly,

    // Keepers and rounds
    #[msg("The board has no such seat")]
    NoSuchSeat,
    #[msg("Somebody holds the seat")]
    SeatTaken,
    #[msg("Nobody holds the seat")]
    SeatVacant,
    #[msg("A keeper may hold only one seat of a board")]
    SecondSeat,
    #[msg("The seat belongs to another keeper")]
    WrongKeeper,
    #[msg("Only its keeper may leave a seat that has voted within a day or two rounds, whichever is longer")]
    SeatInUse,
    #[msg("The seat's vote is not counted yet")]
    VoteNotCounted,
    #[msg("The seat's fees are not claimed yet")]
    FeesLeft,
    #[msg("The keeper still holds seats")]
    SeatsLeft,
    #[msg("The round is not the one that ended last, or its submit window is over")]
    OutsideSubmitWindow,
    #[msg("An earlier round was voted on and is not closed yet")]
    EarlierRoundOpen,
    #[msg("The round is closed already")]
    RoundClosed,
    #[msg("The seat has already submitted for this round")]
    AlreadySubmitted,
    #[msg("The bitmap must have one bit for each slot that the board had when the round ended")]
    BitmapLength,
    #[msg("Bits beyond the last slot must be zero")]
    BitmapPadding,
    #[msg("No round can be closed yet")]
    NothingToClose,

    // Leases
    #[msg("The number of rounds is outside what the market allows")]
    LeaseLength,
    #[msg("Fewer GPUs fit than were asked for")]
    NotEnoughGpus,
    #[msg("No quorate round ended lately, so no machine is known to be up; allow unseen machines or wait")]
    BoardUnseen,
    #[msg("The deposit would be more than the maximum given")]
    CostsTooMuch,
    #[msg("The serial is not the board's next one")]
    WrongSerial,
    #[msg("The lease is cancelled or settled")]
    LeaseNotOpen,
    #[msg("The term of the lease is over")]
    LeaseOver,
    #[msg("A machine of the lease is not committed for that long, or has been forfeited or barred")]
    MachineNotCommitted,
    #[msg("The machine is not in this lease")]
    NotInLease,
    #[msg("Only a machine that is down, abandoned, forfeited or barred can be replaced")]
    MachineNotDown,
    #[msg("The lease is settled already")]
    LeaseSettled,
    #[msg("The lease is not settled yet")]
    LeaseNotSettled,
    #[msg("The lease still holds a refund or compensation for its owner")]
    LeaseHoldsMoney,
    #[msg(
        "The dispute window is open: for 144 rounds after a lease, its account can't be closed and its machines can't be retired"
    )]
    DisputesOpen,
    #[msg("Demands for receipts of the lease are not answered yet")]
    DemandsLeft,

    // Metered leases: paid by use
    #[msg("A lease has a meter if, and only if, its criteria ask for metered machines")]
    MeterMismatch,
    #[msg("A metered lease has one machine")]
    MeteredMachines,
    #[msg("Only an hourly lease can do this, and the lease is metered")]
    LeaseMetered,
    #[msg("Only a metered lease can do this, and the lease is paid by the hour")]
    LeaseNotMetered,
    #[msg("The lease ends before a notice would end it")]
    NoticeTooLate,
    #[msg("The signed message is not a voucher of this program")]
    VoucherMalformed,
    #[msg("The voucher is for another lease, or not signed by the lease's spender")]
    WrongVoucher,
    #[msg("The voucher adds nothing: its price is paid already, or the deposit is spent")]
    VoucherRedeemed,

    // Records of what was computed
    #[msg("The account is not a compute log")]
    LogMalformed,
    #[msg("The supplier's log is still open")]
    LogLeft,
    #[msg("The log already has a lane for the slot")]
    LaneExists,
    #[msg("The log has no lane for the slot")]
    NoLane,
    #[msg("The URL of the receipts must have 1 to 128 bytes")]
    SourceLength,
    #[msg("The request names no batch")]
    NoBatches,
    #[msg("A batch must have 1 to 65,536 receipts")]
    BatchSize,
    #[msg("The batch is not the machine's next one")]
    BatchOutOfOrder,
    #[msg("The board has never had the lease, or the machine has not served it yet")]
    NoSuchLease,
    #[msg("A batch must not begin before the one before has ended, nor end in the future")]
    BatchTimes,
    #[msg("The path does not lead to a peak of the log")]
    NotInLog,
    #[msg(
        "The instruction directly before must be an Ed25519 signature check in the form that this instruction accepts"
    )]
    SignatureMissing,
    #[msg("The signed message is not a receipt of this program")]
    ReceiptMalformed,
    #[msg("The receipt belongs to another lease, machine or number, or has another id")]
    WrongReceipt,
    #[msg("The machine that signed is no longer in the slot")]
    WrongMachine,
    #[msg("The two receipts do not contradict each other")]
    NoEquivocation,
    #[msg("The machine is barred: it lost its bond over a receipt")]
    MachineBarred,
    #[msg("The receipt may still be added to the log in time")]
    DemandTooEarly,
    #[msg("The lease ended too long ago for its receipts to be demanded")]
    DemandTooLate,
    #[msg("The batch with the receipt has not been shown for this demand yet")]
    BatchNotShown,
    #[msg("The demand can still be answered")]
    AnswerNotDue,
}
