//! Target `decode`: what programs, keepers, nodes and wallets read that others wrote.

use anchor_lang::{AccountDeserialize, AccountSerialize, AnchorDeserialize, AnchorSerialize, Discriminator};
use leasehold::{
    instruction as data,
    state::{
        Board, ComputeLog, Demand, Keeper, Lease, Market, PriceIndex, Profiles, Receipt, Supplier, Voucher,
        split, split_log,
    },
};
use leasehold_client::{
    account::Account,
    board::BoardView,
    event,
    probe::{Pong, SignedChallenge, SignedPong},
    record::{ReceiptFile, SignedCall, SignedReceipt, SignedVoucher},
    wire,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::input::Input;

/// Decodes bytes as one of the forms; what is accepted must be written as it was read.
pub fn run(bytes: &[u8]) {
    let input = &mut Input::new(bytes);
    let form = input.u8();
    let which = input.u8();
    let bytes = input.rest();
    match form % 5 {
        0 => instruction(which, bytes),
        1 => account(which, bytes),
        2 => event(bytes),
        3 => record(which, bytes),
        _ => json(which, bytes),
    }
}

/// What is decoded from the start of the bytes is written as these bytes.
fn borsh<T: AnchorDeserialize + AnchorSerialize>(bytes: &[u8]) {
    let rest = &mut &bytes[..];
    if let Ok(value) = T::deserialize(rest) {
        let read = &bytes[..bytes.len() - rest.len()];
        assert_eq!(anchor_lang::prelude::borsh::to_vec(&value).expect("a vector takes every byte"), read);
    }
}

macro_rules! instructions {
    ($($name:ident)*) => {
        /// Names of all instructions.
        pub const INSTRUCTIONS: &[&str] = &[$(stringify!($name),)*];

        /// Discriminators and decoders of all instructions' arguments.
        const DECODERS: &[(&[u8], fn(&[u8]))] = &[$((data::$name::DISCRIMINATOR, borsh::<data::$name>),)*];
    };
}

instructions! {
    CreateMarket ProposeParams ApplyParams ProposeAuthority AcceptAuthority SetPaused WithdrawFees BurnPayments
    BurnSlashed CloseMarket RegisterSupplier DepositStake RequestUnstake WithdrawStake ClaimEarnings ReclaimRent
    CreateProfiles AddProfiles CloseProfiles CloseSupplier CreateBoard ListMachines RepriceMachines WithholdMachines
    MoveMachines ForfeitMachines RetireMachines TrimBoard CreateIndex RecordDay CloseIndex CloseBoard RegisterKeeper
    DepositBond RequestUnbond WithdrawBond TakeSeat LeaveSeat FundKeepers SubmitRound CloseRound ClaimKeeperFees
    CloseKeeper OpenLease ExtendLease CancelLease TransferLease ReplaceNode SettleLease ViewLease ClaimRefund
    CloseLease TopUpLease RedeemVoucher GiveNotice CreateLog SetLogOperator OpenLanes AppendBatches SkipReceipts
    VerifyReceipt VerifyBatch DemandReceipt ShowBatch AnswerDemand EnforceDemand ProveEquivocation CloseLog SetAccess
}

/// Arguments of an instruction; and the program's own dispatch, which refuses it for want of accounts at the latest.
fn instruction(which: u8, bytes: &[u8]) {
    let (discriminator, decode) = DECODERS[usize::from(which) % DECODERS.len()];
    decode(bytes);
    let data = [discriminator, bytes].concat();
    assert!(leasehold::entry(&leasehold::ID, &[], &data).is_err(), "an instruction without accounts");
}

fn account(which: u8, bytes: &[u8]) {
    match which % 10 {
        0 => stored::<Market>(bytes),
        1 => stored::<Supplier>(bytes),
        2 => stored::<Keeper>(bytes),
        3 => stored::<Lease>(bytes),
        4 => stored::<Demand>(bytes),
        5 => stored::<Profiles>(bytes),
        6 => plain(PriceIndex::DISCRIMINATOR, bytes),
        7 => board(bytes),
        8 => log(bytes),
        _ => drop(Account::decode(bytes)),
    }
}

/// An account that is decoded by value.
fn stored<T: AccountDeserialize + AccountSerialize + Discriminator>(bytes: &[u8]) {
    let data = [T::DISCRIMINATOR, bytes].concat();
    if let Ok(account) = T::try_deserialize(&mut &data[..]) {
        let mut written = Vec::new();
        account.try_serialize(&mut written).expect("a vector takes every byte");
        assert!(data.starts_with(&written), "an account is written as it was read");
    }
    plain(T::DISCRIMINATOR, bytes);
}

/// An account of that kind, as the client reads it.
fn plain(discriminator: &[u8], bytes: &[u8]) {
    drop(Account::decode(&[discriminator, bytes].concat()));
}

/// Repeats the bytes until there are so many.
fn stretch(bytes: &[u8], len: usize) -> Vec<u8> {
    bytes.iter().copied().cycle().take(len).collect()
}

/// A board of a few slots, at an aligned address as accounts are: every view of it.
fn board(bytes: &[u8]) {
    let slots = bytes.first().map_or(0, |first| usize::from(first % 4));
    let cut = usize::from(bytes.get(1) == Some(&0xff));
    let len = leasehold::state::board_len(slots) - cut;
    let header = len.min(bytes.len() + Board::DISCRIMINATOR.len());
    let mut data = stretch(&[Board::DISCRIMINATOR, bytes].concat()[..header], len);
    let mut words = vec![0u64; len.div_ceil(8)];
    let aligned: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    aligned[..len].copy_from_slice(&data);
    let parts = split(&aligned[..len]);
    assert_eq!(parts.is_ok(), cut == 0, "a board of {len} bytes");
    // A board whose header states its slots is read to its last bit.
    let place = Board::DISCRIMINATOR.len() + std::mem::offset_of!(Board, slots);
    for target in [&mut data[..], &mut aligned[..len]] {
        target[place..place + 4].copy_from_slice(&(slots as u32).to_le_bytes());
        let version = Board::DISCRIMINATOR.len() + std::mem::offset_of!(Board, version);
        target[version] = Board::VERSION;
    }
    drop(Account::decode(&data));
    if let Ok(view) = BoardView::new(&aligned[..len]) {
        let _ = (view.machines().count(), view.header.ledger.payments(), view.header.ledger.stake());
        for (_, slot) in view.indexed() {
            for round in [0, view.header.next_round.wrapping_sub(1), u32::MAX] {
                let _ = view.header.verdict(slot, round);
            }
            let _ = (slot.hourly(), slot.leaving(), slot.is_bound(0), view.header.down_rounds(slot));
        }
        let _ = (
            view.header.seen_round(i64::MAX),
            view.header.round_end(u32::MAX),
            view.header.round_at(i64::MIN),
        );
    }
}

fn log(bytes: &[u8]) {
    let lanes = bytes.first().map_or(0, |first| usize::from(first % 4));
    let data = stretch(&[ComputeLog::DISCRIMINATOR, bytes].concat(), leasehold::state::log_len(lanes));
    let mut words = vec![0u64; data.len().div_ceil(8)];
    let aligned: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    aligned[..data.len()].copy_from_slice(&data);
    assert!(split_log(&aligned[..data.len()]).is_ok(), "a log of {lanes} lanes");
    assert!(split_log(bytes).is_err() || bytes.len() >= leasehold::state::LANES_OFFSET);
    drop(Account::decode(&data));
}

fn event(bytes: &[u8]) {
    if let Some(event) = event::decode(bytes) {
        assert_eq!(event.encode(), bytes, "{event:?}");
        let _ = event.to_string();
    }
}

/// Receipts, vouchers and call tokens, with their signatures; and datagrams of probes.
fn record(which: u8, bytes: &[u8]) {
    let text = || std::str::from_utf8(bytes).unwrap_or_default();
    match which % 8 {
        0 => {
            if let Some(receipt) = Receipt::read(bytes) {
                assert_eq!(receipt.bytes(), bytes);
                let _ = (receipt.id(), receipt.message());
            }
            if let Some(voucher) = Voucher::read(bytes) {
                assert_eq!(voucher.bytes(), bytes);
            }
        }
        1 => {
            if let Ok(signed) = SignedReceipt::from_bytes(bytes) {
                assert_eq!(signed.to_bytes(), bytes);
                assert_eq!(SignedReceipt::from_base64(&signed.to_base64()), Ok(signed));
            }
        }
        2 => {
            if let Ok(signed) = SignedVoucher::from_bytes(bytes) {
                assert_eq!(signed.to_bytes(), bytes);
                assert_eq!(SignedVoucher::from_base64(&signed.to_base64()), Ok(signed));
            }
        }
        3 => {
            if let Ok(file) = ReceiptFile::parse(bytes) {
                assert_eq!(ReceiptFile::parse(file.to_json().to_string().as_bytes()), Ok(file));
            }
        }
        4 => {
            let decoded = SignedCall::decode(text());
            assert!(
                decoded.is_err()
                    || decoded == SignedCall::decode(&decoded.clone().expect("checked").encode())
            );
            let _ = (SignedReceipt::from_base64(text()), SignedVoucher::from_base64(text()));
        }
        5 => {
            if let Ok(signed) = SignedChallenge::decode(bytes) {
                assert!(bytes.starts_with(&signed.challenge.body()));
                let _ = signed.challenge.hash();
            }
        }
        6 => {
            if let Ok(pong) = Pong::decode(bytes) {
                assert_eq!(pong.encode(), bytes);
            }
        }
        _ => {
            if let Ok(pong) = SignedPong::decode(bytes) {
                assert_eq!(pong.encode(), bytes);
                let _ = pong.leaf();
            }
        }
    }
}

/// Bodies of the HTTP APIs.
fn json(which: u8, bytes: &[u8]) {
    match which % 9 {
        0 => body::<wire::ErrorBody>(bytes),
        1 => body::<wire::Work>(bytes),
        2 => body::<wire::IssuedReceipt>(bytes),
        3 => body::<wire::StoredReceipt>(bytes),
        4 => body::<wire::BatchId>(bytes),
        5 => body::<wire::VoucherOffer>(bytes),
        6 => body::<wire::BestVoucher>(bytes),
        7 => body::<wire::Tab>(bytes),
        _ => body::<wire::ArchiveHealth>(bytes),
    }
}

/// What is accepted is written in a form that is accepted as the same.
fn body<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(bytes) {
        let text = serde_json::to_string(&value).expect("plain data");
        assert_eq!(serde_json::from_str::<T>(&text).ok().as_ref(), Some(&value), "{text}");
    }
}
