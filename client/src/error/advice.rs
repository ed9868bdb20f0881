use leasehold::error::LeaseholdError;

/// One entry for each error of the program: the compiler refuses a list that lacks one.
macro_rules! advices {
    ($($error:ident => $advice:literal,)*) => {
        /// What to do about a refusal of the program, without a full stop.
        pub fn advice(error: LeaseholdError) -> &'static str {
            match error {
                $(LeaseholdError::$error => $advice,)*
            }
        }

        /// Every error of the program, in the order of their numbers.
        pub fn every() -> &'static [LeaseholdError] {
            &[$(LeaseholdError::$error,)*]
        }
    };
}

advices! {
    MathOverflow => "use smaller amounts, prices or terms",
    StrayAccount => "leave out the accounts after those the instruction names",
    WrongMarket => "use accounts of the market the board belongs to",
    WrongBoard => "use the board on which the lease was opened",
    WrongAuthority => "sign with the wallet that the account belongs to",
    WrongMint => "use token accounts of the market's mints",
    WrongVault => "pass the vault that belongs to the board or the market",
    WrongDestination => "pass the owner's associated token account, or let the owner sign",
    AmountIsZero => "name an amount",
    NothingToWithdraw => "wait until something is due",
    MintExtension => "use a classic mint, or a Token-2022 mint with no extension but metadata",
    SameMint => "choose two mints",
    NativeStake => "stake a token that can be burned",
    RoundTooShort => "choose rounds of at least 10 seconds",
    SubmitWindowOutOfRange => "choose a time to submit between a second and a round",
    SeatsOutOfRange => "choose 1 to 15 seats",
    ThresholdOutOfRange => "choose a threshold above half of the seats",
    AbandonRoundsOutOfRange => "choose 1 to 64 rounds",
    TimelockOutOfRange => "choose 60 to 2,592,000 seconds",
    UnbondingTooLong => "choose 7,776,000 seconds at most",
    LeaseRoundsOutOfRange => "choose 1 or more as the fewest rounds, and no fewer than that as the most",
    FeeTooHigh => "choose 3,000 basis points at most",
    RateAboveWhole => "choose 10,000 basis points at most",
    SplitNotWhole => "choose parts that make 10,000, with at least 1,000 to burn",
    ClassesOutOfRange => "name 1 to 32 classes",
    ClassDropped => "keep every class at its place, and give one that is out of use another weight",
    NothingProposed => "propose parameters first",
    TimelockRunning => "apply them when their time has come",
    MarketPaused => "wait until the market's authority resumes it, or use another market",
    MarketInUse => "close them first",
    InsufficientStake => "deposit more stake, or bond less",
    StakeStillUnbonding => "withdraw it when its time has come",
    StakeLeft => "ask it back and withdraw it first",
    MachinesLeft => "retire them first",
    BoardMalformed => "pass a board of this program",
    BoardFull => "list on another board, or create one",
    BoardInUse => "wait until it is empty, withdraw what it holds and trim it",
    NoSuchSlot => "name a slot that the board has, or none to add one",
    SlotTaken => "read the board again and choose a vacant slot",
    SlotVacant => "read the board again and choose a slot with a machine",
    NoMachines => "name at least one",
    UnknownClass => "choose a class of the market's list",
    NoGpus => "name how many it has",
    PriceIsZero => "name a price per hour",
    ReservedBits => "set the machine's flags to zero",
    EndpointEmpty => "name where keepers reach the machine",
    CommitmentTooShort => "commit the machine for a round after the next one at least",
    WrongSupplier => "name machines of one supplier only, and that supplier's account",
    FormerSupplierMissing => "pass the accounts of former suppliers in the order their slots are used",
    MachineLeased => "wait until its lease is settled",
    EarningsLeft => "claim the supplier's earnings on this board",
    EvictionTooEarly => "let its supplier sign, or wait",
    NoSuchSeat => "choose a seat below the board's number of seats",
    SeatTaken => "choose a vacant seat",
    SeatVacant => "choose a seat that is held",
    SecondSeat => "leave the seat it holds first, or use another board",
    WrongKeeper => "name the keeper that holds the seat",
    SeatInUse => "let its keeper sign, or wait until it has been idle for a day",
    VoteNotCounted => "leave the seat after that",
    FeesLeft => "claim them for this seat",
    SeatsLeft => "leave them first",
    OutsideSubmitWindow => "vote on the round that ended last, within its time",
    EarlierRoundOpen => "close it, then vote",
    RoundClosed => "vote on the next round when it has ended",
    AlreadySubmitted => "wait for the next round",
    BitmapLength => "read the board again and make the bitmap anew",
    BitmapPadding => "clear them",
    NothingToClose => "wait until the time to submit is over or every seat has submitted",
    LeaseLength => "choose a number of rounds within the market's bounds",
    NotEnoughMachines => "ask for fewer machines, widen the criteria, or try another board",
    CostsTooMuch => "quote again and allow more, or ask for less",
    WrongSerial => "read the board again: somebody has opened a lease since",
    LeaseNotOpen => "settle it, and claim what is due",
    LeaseOver => "settle it, and open another",
    MachineNotCommitted => "extend for fewer rounds, or open another lease",
    NotInLease => "name a slot that carries the lease's serial",
    MachineNotDown => "replace it after a round in which it was found down",
    LeaseSettled => "claim what is due, and close it",
    LeaseNotSettled => "settle it once its last round is closed",
    LeaseHoldsMoney => "claim refund and compensation first",
}
