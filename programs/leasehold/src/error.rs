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
    #[msg("Wrapped SOL cannot be burned, so it can be neither the payment mint nor the stake mint")]
    NativeMint,
    #[msg("A round must have 10 to 3,600 seconds")]
    RoundSecsOutOfRange,
    #[msg("The submit window must be at least one second and at most one round")]
    SubmitWindowOutOfRange,
    #[msg("A board must have 1 to 15 keeper seats")]
    SeatsOutOfRange,
    #[msg("The threshold must be more than half of the seats and at most all of them")]
    ThresholdOutOfRange,
    #[msg("The rounds down, of the last 64, that make a machine abandoned must be 1 to 64")]
    AbandonRoundsOutOfRange,
    #[msg("The timelock must be between two days, twice the dispute window, and 30 days")]
    TimelockOutOfRange,
    #[msg("The unbonding time must be between one day, the dispute window, and 90 days")]
    UnbondingOutOfRange,
    #[msg("The bond of a GPU and of a keeper must be more than zero")]
    BondIsZero,
    #[msg("The keepers' least fee must be at most their highest")]
    KeeperFeeOutOfRange,
    #[msg("A demand must cost 100,000 lamports to 1 SOL")]
    AskFeeOutOfRange,
    #[msg("The shortest lease must have at least one round and at most as many as the longest")]
    LeaseRoundsOutOfRange,
    #[msg("The longest lease must last at most 366 days")]
    LeaseTooLong,
    #[msg("The fee must be at most 30 percent")]
    FeeTooHigh,
    #[msg("A rate must be at most 10,000 basis points")]
    RateAboveWhole,
    #[msg("The part of the pay that is kept until a lease's end must be 1,000 to 5,000 basis points")]
    HoldOutOfRange,
    #[msg("The standby price must be 100 to 10,000 basis points of the hourly price")]
    StandbyOutOfRange,
    #[msg("The slash multiplier must be 1,000 to 100,000 basis points")]
    MultiplierOutOfRange,
    #[msg(
        "The votes that make a machine up must be at least seats - threshold + 1, three on a board with seven seats or more, and at most half of the seats, rounded up"
    )]
    UpVotesOutOfRange,
    #[msg("The weight of a hardware class must be 1 to 10,000,000 basis points")]
    WeightOutOfRange,
    #[msg("A market must have 1 to 32 hardware classes")]
    ClassesOutOfRange,
    #[msg("A change of parameters may add or reweigh hardware classes, but not remove any")]
    ClassDropped,
    #[msg("A hardware class keeps its name for ever")]
    ClassRenamed,
    #[msg("No parameters are proposed")]
    NothingProposed,
    #[msg("The timelock of the proposed parameters has not ended yet")]
    TimelockRunning,
    #[msg("The proposal has expired: parameters can be applied in the 14 days after their timelock")]
    ProposalExpired,
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
    #[msg("The supplier's profiles are still open")]
    ProfilesLeft,
    #[msg("The request names no profile")]
    NoProfiles,
    #[msg("A supplier has room for 64 profiles")]
    ProfilesFull,
    #[msg("The kind of a profile must be 0 (virtual machine), 1 (container) or 2 (bare metal)")]
    UnknownProfileKind,
    #[msg(
        "The interconnect of a profile must be 0 (none), 1 (PCIe), 2 (NVLink), 3 (NVSwitch) or 4 (Infinity Fabric)"
    )]
    UnknownInterconnect,
    #[msg("A profile must state VRAM, CPU cores, memory and disk, each more than zero")]
    ProfileIncomplete,
    #[msg("The driver version must be UTF-8 text without control characters, padded with zeros")]
    DriverMalformed,

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
    #[msg("The price per GPU times the number of GPUs does not fit 64 bits")]
    PriceTooHigh,
    #[msg("A supplier has at most 64 profiles, numbered 0 to 63")]
    ProfileOutOfRange,
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
    #[msg(
        "The machine is bound until its commitment ends: it can't be withheld or retired, nor its price raised or its commitment changed"
    )]
    MachineBound,
    #[msg("The machine does not serve a running lease")]
    MachineNotLeased,
    #[msg("The machine's earnings are not claimed yet")]
    EarningsLeft,
    #[msg(
        "A price index is recorded once a day (UTC), twelve hours after the last time or its creation at the earliest"
    )]
    DayNotOver,
    #[msg("The price index can be closed once its board is closed")]
    IndexInUse,
    #[msg("The price index is of a board that had this address before: close it, and create it again")]
    IndexOfClosedBoard,
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
    #[msg(
        "No quorate round ended lately, so no machine is known to be up: wait for one, or allow unseen machines"
    )]
    BoardUnseen,
    #[msg("At most 16 slots can be avoided")]
    AvoidsTooMany,
    #[msg("The deposit would be more than the maximum given")]
    CostsTooMuch,
    #[msg("The lease is cancelled or settled")]
    LeaseNotOpen,
    #[msg("The term of the lease is over")]
    LeaseOver,
    #[msg("A machine of the lease is not committed for that long, or has been forfeited or barred")]
    MachineNotCommitted,
    #[msg("The machine is not in this lease")]
    NotInLease,
    #[msg("The lease is settled already")]
    LeaseSettled,
    #[msg("The lease is not settled yet")]
    LeaseNotSettled,
    #[msg("The lease still holds a refund for its owner")]
    LeaseHoldsMoney,
    #[msg(
        "The dispute window is open: for 24 hours after a lease, its account can't be closed and its machines can't be retired"
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
    #[msg("The deposit is less than the standby price of the first hour")]
    DepositTooSmall,
    #[msg("The lease ends before a notice would end it")]
    NoticeTooLate,
    #[msg(
        "Only its owner and its machine's supplier may end a lease whose deposit covers the next hour's standby price"
    )]
    StandbyCovered,
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
    #[msg("The batch begins below the lane's next number in the lease, or exceeds the largest number")]
    NumberTaken,
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
    #[msg(
        "The receipt has another id or another signer than stated, or the batch or the demand is not the receipt's"
    )]
    WrongReceipt,
    #[msg("The receipt is of another cluster")]
    OtherCluster,
    #[msg("The receipt is of another board")]
    OtherBoard,
    #[msg("The receipt is of another lease, or was signed before the lease began")]
    OtherLease,
    #[msg("The slot holds no machine with the key that the receipt names")]
    WrongMachine,
    #[msg("The receipt is of another supplier")]
    OtherSupplier,
    #[msg("The receipt is of another machine that was or will be in the slot: of another generation")]
    OtherGeneration,
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
    #[msg("The account is not the one that paid for the demand")]
    WrongClaimant,
}
