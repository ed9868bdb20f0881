//! Metered leases, the buyer's side: call tokens, the terms of vouchers and the state of the meter, checked against the
//! lease's account and its board.

use leasehold::{
    error::LeaseholdError,
    rules::{meter, round},
    state::{Lease, LeaseState, Meter, Slot, Voucher},
};
use solana_pubkey::Pubkey;

use crate::{
    board::BoardView,
    error::Refusal,
    record::{CallToken, voucher},
    wire::Tab,
};

pub use leasehold::rules::meter::Ender;

/// A call token to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenTerms {
    pub token: CallToken,
    /// True if it was wanted for longer than the lease runs: it expires with the lease.
    pub is_cut: bool,
}

/// Who signs the call tokens of a lease: the spender if it is metered, else its owner.
pub fn caller(lease: &Lease) -> Pubkey {
    lease.meter.as_ref().map_or(lease.owner, |meter| meter.spender)
}

/// Terms of a call token for the lease at `address` that is valid for `secs` seconds from `now`, at most until the
/// lease's end. A lease after notice still runs.
///
/// # Errors
/// `LeaseOver`.
pub fn call_token(address: Pubkey, lease: &Lease, now: i64, secs: u64) -> Result<TokenTerms, Refusal> {
    let end = round::start(lease.terms.round_secs, lease.terms.phase_secs, lease.until);
    if lease.state == LeaseState::Settled || now >= end {
        return Err(LeaseholdError::LeaseOver.into());
    }
    let wanted = i64::try_from(secs).unwrap_or(i64::MAX).saturating_add(now);
    let expiry = u64::try_from(wanted.min(end)).unwrap_or_default();
    Ok(TokenTerms { token: CallToken { lease: address, from: lease.from, expiry }, is_cut: wanted > end })
}

/// How a lease is metered.
///
/// # Errors
/// `LeaseNotMetered` if it is paid by the hour.
pub fn require_meter(lease: &Lease) -> Result<&Meter, Refusal> {
    lease.meter.as_ref().ok_or(LeaseholdError::LeaseNotMetered.into())
}

/// The meter of a lease that still takes vouchers.
///
/// # Errors
/// `LeaseSettled`, or `LeaseNotMetered`.
pub fn require_payable(lease: &Lease) -> Result<&Meter, Refusal> {
    Ok(meter::payable(lease)?)
}

/// State of a metered lease at one moment, in payment units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterState {
    /// Slot of the lease's machine.
    pub slot: u16,
    /// Standby price of the machine per hour, paid for rounds up besides vouchers.
    pub standby: u64,
    /// Part of the deposit that vouchers paid, and the part that they can pay in all now.
    pub paid: u64,
    pub limit: u64,
    /// Part of the deposit that is reserved: the standby price from the first round until an hour from now.
    pub reserve: u64,
    /// True if less of the deposit is left than that: anybody may end the lease with the running round.
    pub is_short: bool,
}

/// State of a metered lease at Unix time `now`.
///
/// # Errors
/// `LeaseSettled`, `LeaseNotMetered`, or `NotInLease`.
pub fn state(board: &BoardView, lease: &Lease, now: i64) -> Result<MeterState, Refusal> {
    let paid = require_payable(lease)?.paid;
    let (slot, machine) = machine(board, lease)?;
    Ok(MeterState {
        slot,
        standby: lease.hourly(machine)?,
        paid,
        limit: meter::voucher_limit(board.header, lease, machine, now)?,
        reserve: meter::reserve(board.header, lease, machine, now)?,
        is_short: meter::is_short(board.header, lease, machine, now)?,
    })
}

/// The machine of a metered lease, with its slot.
fn machine<'a>(board: &BoardView<'a>, lease: &Lease) -> Result<(u16, &'a Slot), Refusal> {
    board.leased(lease.serial).next().ok_or(LeaseholdError::NotInLease.into())
}

/// A voucher to sign. All amounts are payment units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoucherTerms {
    /// Slot of the machine that is paid.
    pub slot: u16,
    /// Receipts, compute units and price since the lease began.
    pub seq: u64,
    pub units: u64,
    pub price: u64,
    /// Part of that price that earlier vouchers paid, and the part that this one adds.
    pub paid: u64,
    pub adds: u64,
    /// Part of the deposit that vouchers can pay then, until the lease is topped up. The standby price takes more and more of
    /// it.
    pub left: u64,
}

/// Why no voucher should be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoucherError {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("the node reported the use of another lease: check the node's URL and the lease")]
    OtherLease,
    #[error("no price: give one, or the URL of the node that reports it")]
    NoPrice,
    #[error("the node has a voucher for all that is owed, {price}")]
    NothingOwed { price: u64 },
    #[error("{price} is not more than the {paid} paid before: vouchers count from the start of the lease")]
    AlreadyPaid { price: u64, paid: u64 },
    #[error(
        "{price} is more than the {limit} that vouchers can take of the deposit of {deposit}, since the rest is reserved for \
         the standby price: top up the lease, or sign for less"
    )]
    ExceedsDeposit { price: u64, limit: u64, deposit: u64 },
    #[error("the voucher would add {adds}, more than the limit of {max}: raise the limit, or sign for less")]
    ExceedsMax { adds: u64, max: u64 },
}

/// Terms of a voucher at Unix time `now` for `price`, or for the amount owed by the node's tab: more than vouchers paid, at
/// most the part of the deposit that they can take, and adding at most `max`.
///
/// # Errors
/// Any [`VoucherError`].
pub fn voucher_terms(
    address: &Pubkey,
    lease: &Lease,
    board: &BoardView,
    now: i64,
    tab: Option<&Tab>,
    price: Option<u64>,
    max: Option<u64>,
) -> Result<VoucherTerms, VoucherError> {
    let Meter { paid, seq, units, .. } = *require_payable(lease)?;
    if tab.is_some_and(|tab| (tab.lease_address, tab.from) != (*address, lease.from)) {
        return Err(VoucherError::OtherLease);
    }
    let price = match (price, tab) {
        (Some(price), _) => price,
        (None, Some(tab)) if tab.price <= tab.signed_price => {
            return Err(VoucherError::NothingOwed { price: tab.price });
        }
        (None, Some(tab)) => tab.price,
        (None, None) => return Err(VoucherError::NoPrice),
    };
    let (slot, machine) = machine(board, lease)?;
    let limit = meter::voucher_limit(board.header, lease, machine, now).map_err(Refusal::from)?;
    if price > limit {
        return Err(VoucherError::ExceedsDeposit { price, limit, deposit: lease.deposit });
    }
    let payment = meter::payment(board.header, lease, machine, price, now);
    let payment = payment.map_err(|error| match Refusal::from(error) {
        refusal if refusal == LeaseholdError::VoucherRedeemed.into() => {
            VoucherError::AlreadyPaid { price, paid }
        }
        refusal => refusal.into(),
    })?;
    let adds = payment.gross().map_err(Refusal::from)?;
    if let Some(max) = max.filter(|max| adds > *max) {
        return Err(VoucherError::ExceedsMax { adds, max });
    }
    // A price below the tab's leaves receipts open, so the voucher confirms no receipts beyond those confirmed before.
    let covered = tab.filter(|tab| tab.price <= price);
    let (seq, units) = covered.map_or((seq, units), |tab| (tab.seq, tab.units));
    Ok(VoucherTerms { slot, seq, units, price, paid, adds, left: limit.saturating_sub(price) })
}

impl VoucherTerms {
    /// The voucher to sign for the lease at `address`, which is on that board.
    ///
    /// # Errors
    /// `NoSuchSlot`.
    pub fn voucher(&self, address: &Pubkey, lease: &Lease, board: &BoardView) -> Result<Voucher, Refusal> {
        let VoucherTerms { slot, seq, units, price, .. } = *self;
        let machine = board.slot(slot).ok_or(LeaseholdError::NoSuchSlot)?;
        let mut voucher = Voucher {
            lease: address.to_bytes(),
            node_key: machine.node_key,
            generation: machine.generation,
            from: lease.from,
            slot,
            seq,
            units,
            price,
            ..voucher::blank()
        };
        let prefix = |to: &mut [u8], from: &[u8]| to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        prefix(&mut voucher.cluster, &board.header.genesis);
        prefix(&mut voucher.supplier, machine.supplier.as_ref());
        Ok(voucher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        board::BoardData,
        sample::{self, FROM, NOW, UNTIL, change, wallet},
    };

    /// Lease 1 of the sample, metered: vouchers have taken 600 of 2,400. Its machine costs 360 an hour and 36 on standby: 6 a
    /// round, and vouchers can't take those of 17 rounds, from 990 to an hour from round 1,000: 102 in all.
    fn metered() -> Lease {
        let meter = Some(Meter { spender: wallet(5), seq: 5, units: 250, paid: 600, owes_hour: false });
        Lease { meter, gpus: 1, machines: 1, unsettled: 1, paid: 540, fees: 60, ..sample::lease(1) }
    }

    /// Its board: its machine is in slot 1.
    fn board() -> BoardData {
        let mut data = sample::snapshot().boards.remove(0).data;
        change(&mut data, |_, slots| slots[0].lease = 0);
        data
    }

    fn address() -> Pubkey {
        wallet(6)
    }

    fn tab(price: u64) -> Tab {
        Tab {
            lease: 1,
            lease_address: address(),
            from: FROM,
            seq: 9,
            units: 450,
            price,
            signed_price: 600,
            limit: 100,
        }
    }

    fn terms_of(
        lease: &Lease,
        tab: Option<&Tab>,
        price: Option<u64>,
        max: Option<u64>,
    ) -> Result<VoucherTerms, VoucherError> {
        voucher_terms(&address(), lease, &board().view().unwrap(), NOW, tab, price, max)
    }

    fn refused(tab: Option<&Tab>, price: Option<u64>, max: Option<u64>) -> VoucherError {
        terms_of(&metered(), tab, price, max).unwrap_err()
    }

    #[test]
    fn a_call_token_expires_with_the_lease_at_the_latest() {
        let lease = metered();
        let terms = call_token(address(), &lease, 600_000, 60).unwrap();
        let token = CallToken { lease: address(), from: FROM, expiry: 600_060 };
        assert_eq!(terms, TokenTerms { token, is_cut: false });
        for long in [u64::MAX, 6_001] {
            let terms = call_token(address(), &lease, 600_000, long).unwrap();
            assert_eq!((terms.token.expiry, terms.is_cut), (u64::from(UNTIL) * 600, true), "{long}");
        }
    }

    #[test]
    fn no_call_token_is_made_for_a_lease_that_is_over() {
        let refused = |lease: &Lease, now| call_token(address(), lease, now, 60).unwrap_err();
        let mut lease = metered();
        assert_eq!(refused(&lease, i64::from(UNTIL) * 600), LeaseholdError::LeaseOver.into());
        lease.state = LeaseState::Cancelled;
        assert!(call_token(address(), &lease, 600_000, 60).is_ok(), "it still runs after notice");
        lease.state = LeaseState::Settled;
        assert_eq!(refused(&lease, 600_000), LeaseholdError::LeaseOver.into());
    }

    #[test]
    fn the_owner_calls_a_lease_by_the_hour_and_the_spender_a_metered_one() {
        let (hourly, metered) = (sample::lease(1), metered());
        assert_eq!(caller(&hourly), hourly.owner);
        assert_eq!(caller(&metered), metered.meter.unwrap().spender);
        assert!(call_token(address(), &hourly, 600_000, 60).is_ok());
    }

    #[test]
    fn a_meter_reserves_the_standby_price_until_an_hour_from_now() {
        let state = |now| super::state(&board().view().unwrap(), &metered(), now).unwrap();
        let expected =
            MeterState { slot: 1, standby: 36, paid: 600, limit: 2_298, reserve: 102, is_short: false };
        assert_eq!(state(NOW), expected);
        assert_eq!(state(NOW + 600).reserve, 108);
        assert_eq!(state(NOW + 6_000).reserve, 120, "not beyond its end");
        let short = Lease { deposit: 701, ..metered() };
        assert!(super::state(&board().view().unwrap(), &short, NOW).unwrap().is_short);
        let hourly = super::state(&board().view().unwrap(), &sample::lease(1), NOW);
        assert_eq!(hourly, Err(LeaseholdError::LeaseNotMetered.into()));
    }

    #[test]
    fn a_voucher_is_for_the_tab_within_what_was_paid_and_deposited() {
        let lease = metered();
        let terms = terms_of(&lease, Some(&tab(1_000)), None, Some(400)).unwrap();
        assert_eq!((terms.price, terms.paid, terms.adds, terms.left), (1_000, 600, 400, 1_298));
        let board = board();
        let view = board.view().unwrap();
        let voucher = terms.voucher(&address(), &lease, &view).unwrap();
        assert_eq!((voucher.seq, voucher.units, voucher.price, voucher.slot), (9, 450, 1_000, 1));
        assert!(meter::is_for(&voucher, &address(), &lease, &view.slots[1], &sample::GENESIS));
        assert!(terms_of(&lease, Some(&tab(2_298)), None, None).is_ok());
        assert_eq!(refused(Some(&tab(600)), None, None), VoucherError::NothingOwed { price: 600 });
        for price in [2_299, u64::MAX] {
            let expected = VoucherError::ExceedsDeposit { price, limit: 2_298, deposit: 2_400 };
            assert_eq!(refused(Some(&tab(price)), None, None), expected);
        }
        let expected = VoucherError::ExceedsMax { adds: 400, max: 399 };
        assert_eq!(refused(Some(&tab(1_000)), None, Some(399)), expected);
        // A node that has lost vouchers asks for amounts that are paid.
        let forgetful = Tab { signed_price: 0, ..tab(600) };
        let expected = VoucherError::AlreadyPaid { price: 600, paid: 600 };
        assert_eq!(refused(Some(&forgetful), None, None), expected);
        assert_eq!(refused(None, None, None), VoucherError::NoPrice);
    }

    #[test]
    fn an_own_price_confirms_no_more_receipts_than_it_covers() {
        let own = |tab: Option<&Tab>, price| {
            let terms = terms_of(&metered(), tab, Some(price), None).unwrap();
            (terms.seq, terms.units, terms.adds)
        };
        assert_eq!(own(Some(&tab(1_000)), 900), (5, 250, 300));
        assert_eq!(own(Some(&tab(1_000)), 2_000), (9, 450, 1_400));
        assert_eq!(own(None, 900), (5, 250, 300));
    }

    #[test]
    fn no_voucher_is_signed_for_another_lease_or_an_hourly_one() {
        let other = Tab { lease_address: Pubkey::default(), ..tab(1_000) };
        let later = Tab { from: FROM + 1, ..tab(1_000) };
        for tab in [other, later] {
            assert_eq!(refused(Some(&tab), None, None), VoucherError::OtherLease);
        }
        let of = |lease: &Lease| terms_of(lease, None, Some(1), None).unwrap_err();
        let not_metered = Refusal::from(LeaseholdError::LeaseNotMetered);
        assert_eq!(of(&sample::lease(1)), VoucherError::Refused(not_metered));
        let settled = Lease { state: LeaseState::Settled, ..metered() };
        assert_eq!(of(&settled), VoucherError::Refused(LeaseholdError::LeaseSettled.into()));
        let elsewhere = Lease { serial: 3, ..metered() };
        assert_eq!(of(&elsewhere), VoucherError::Refused(LeaseholdError::NotInLease.into()));
    }
}
