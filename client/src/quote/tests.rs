use leasehold::{
    constants::VOUCHER_ROUNDS,
    error::LeaseholdError,
    math::settlement::Payment,
    state::{LeaseState, Meter, Slot, SlotState, Traits},
};

use proptest::prelude::*;

use super::*;
use crate::{
    board::BoardData,
    sample::{self, NEXT_ROUND, board_data, change, snapshot},
};

fn market() -> Market {
    snapshot().market
}

/// Round 1,000 runs.
const NOW: i64 = 600_000;

fn priced(prices: &[u64]) -> BoardData {
    let slots: Vec<_> = prices.iter().map(|price| Slot { price: *price, ..sample::slot(0) }).collect();
    let mut header: leasehold::state::Board = bytemuck::Zeroable::zeroed();
    (header.version, header.slots, header.next_serial) = (1, u32::try_from(slots.len()).unwrap(), 4);
    header.adopt(&sample::rules());
    board_data(&header, &slots)
}

#[test]
fn a_quote_names_machines_term_deposit_and_hint() {
    let data = priced(&[50, 361, 20, 90, 90]);
    let view = data.view().unwrap();
    let quote = quote(&market(), &view, NOW, &Criteria { max_price: 360, ..ANY }, 3, 6).unwrap();
    assert_eq!(quote.slots, [0, 2, 3], "the lower of two equals");
    assert_eq!((quote.from, quote.until), (1_001, 1_007));
    assert_eq!(quote.deposit, 50 + 20 + 90, "an hour of each");
    assert_eq!(quote.hint, CutOff { price: 90, score: 5_000 });
    let args = quote.args(200, Some(3));
    assert_eq!((args.serial, args.machines, args.rounds), (4, 3, 6));
    assert_eq!((args.max_deposit, args.group, args.hint), (200, Some(3), Some(quote.hint)));
}

/// The hint of a quote is right for the board it was made on, and changes nothing on any other.
#[test]
fn a_hint_never_changes_what_is_picked() {
    let (first, second) = (priced(&[5, 4, 3, 2, 1]), priced(&[9, 9, 1, 1, 2]));
    for policy in [Policy::Cheapest, Policy::Best] {
        let criteria = Criteria { policy, ..ANY };
        let made = quote(&market(), &first.view().unwrap(), NOW, &criteria, 3, 1).unwrap();
        for data in [&first, &second] {
            let view = data.view().unwrap();
            let hinted = matching::select(view.slots, &criteria, made.until, 3, Some(made.hint)).unwrap();
            assert_eq!(hinted, quote(&market(), &view, NOW, &criteria, 3, 1).unwrap().selection);
        }
    }
}

#[test]
fn what_the_program_would_refuse_is_refused_in_its_words() {
    let data = priced(&[50, 20]);
    let view = data.view().unwrap();
    let refused = |machines, rounds| quote(&market(), &view, NOW, &ANY, machines, rounds).unwrap_err();
    assert_eq!(refused(3, 1), LeaseholdError::NotEnoughMachines.into());
    assert_eq!(refused(0, 1), LeaseholdError::NoMachines.into());
    assert_eq!(refused(1, 1_000), LeaseholdError::NotEnoughMachines.into(), "committed until 2,000");
    assert!(refused(3, 1).to_string().starts_with("Fewer machines fit than were asked for: "));
}

#[test]
fn a_quote_by_use_picks_a_machine_that_allows_it_for_the_deposit_named() {
    let mut data = priced(&[10, 50, 40]);
    let meter = MeterArgs { spender: sample::wallet(1), deposit: 7_000 };
    let metered =
        |data: &BoardData, meter| quote_metered(&market(), &data.view().unwrap(), NOW, &ANY, 6, meter);
    assert_eq!(metered(&data, meter).unwrap_err(), LeaseholdError::NotEnoughMachines.into());
    change(&mut data, |_, slots| {
        slots[1].traits.flags = Traits::METERED;
        slots[2].traits.flags = Traits::METERED;
    });
    let found = metered(&data, meter).unwrap();
    assert_eq!((found.slots.as_slice(), found.deposit), (&[2][..], 7_000));
    let args = found.args(7_000, None);
    assert!(args.criteria.metered && args.meter == Some(meter) && args.machines == 1);
    assert_eq!(refundable(&data.view().unwrap(), &found).unwrap(), 7_000, "no voucher, no cost");
    let nothing = metered(&data, MeterArgs { deposit: 0, ..meter });
    assert_eq!(nothing.unwrap_err(), LeaseholdError::AmountIsZero.into());
    let by_the_hour = quote(&market(), &data.view().unwrap(), NOW, &Criteria { metered: true, ..ANY }, 1, 6);
    assert_eq!(by_the_hour.unwrap_err(), LeaseholdError::MeterMismatch.into());
}

#[test]
fn a_lease_by_use_pays_by_voucher_alone() {
    let mut snapshot = snapshot();
    let mut lease = snapshot.boards[0].leases.remove(0).1;
    lease.meter = Some(Meter { spender: sample::wallet(1), seq: 1, units: 1 });
    let mut data = snapshot.boards.remove(0).data;
    let extended = extension(&market(), &data.view().unwrap(), NOW, &lease, 5);
    assert_eq!(extended.unwrap().deposit, 0);
    let replaced = replacement(&data.view().unwrap(), NOW, &lease, 0);
    assert_eq!(replaced, Err(LeaseholdError::LeaseMetered.into()));
    assert_eq!(settlement(&data.view().unwrap(), &lease).unwrap(), Settlement::default());
    change(&mut data, |board, _| board.next_round = NEXT_ROUND + 10 + VOUCHER_ROUNDS);
    let last = settlement(&data.view().unwrap(), &lease).unwrap();
    assert_eq!((last.payment, last.refunded), (Payment::default(), 1_800));
    assert_eq!((last.slashed, last.slashed_machines), (100, 1), "rounds down still cost stake");
}

#[test]
fn an_extension_costs_each_machines_further_rounds() {
    let mut snapshot = snapshot();
    let lease = snapshot.boards[0].leases.remove(0).1;
    let mut data = snapshot.boards.remove(0).data;
    let at = |data: &BoardData, now, rounds| {
        super::extension(&market(), &data.view().unwrap(), now, &lease, rounds).map(|found| found.deposit)
    };
    let extension = |data: &BoardData, rounds| at(data, NOW, rounds);
    assert_eq!(extension(&data, 5), Ok(2 * 5 * 60));
    assert_eq!(extension(&data, 990), Ok(2 * 990 * 60));
    assert_eq!(extension(&data, 991), Err(LeaseholdError::MachineNotCommitted.into()));
    assert_eq!(at(&data, 606_000, 1), Err(LeaseholdError::LeaseOver.into()), "round 1,010 runs");
    assert_eq!(extension(&data, 0), Err(LeaseholdError::LeaseLength.into()));
    assert_eq!(
        extension(&data, 9_981),
        Err(LeaseholdError::LeaseLength.into()),
        "10,000 in all are the most"
    );
    change(&mut data, |_, slots| slots[0].state = SlotState::Suspended as u8);
    assert_eq!(extension(&data, 5), Err(LeaseholdError::MachineNotCommitted.into()));
}

#[test]
fn a_replacement_settles_the_old_machine_and_charges_what_is_missing() {
    let mut snapshot = snapshot();
    let lease = snapshot.boards[0].leases.remove(0).1;
    let mut data = snapshot.boards.remove(0).data;
    let replace = |data: &BoardData, slot| replacement(&data.view().unwrap(), NOW, &lease, slot);
    assert_eq!(replace(&data, 0), Err(LeaseholdError::MachineNotDown.into()));
    assert_eq!(replace(&data, 3), Err(LeaseholdError::NotInLease.into()));
    assert_eq!(replace(&data, 2), Err(LeaseholdError::SlotVacant.into()));
    assert_eq!(replace(&data, 4), Err(LeaseholdError::NoSuchSlot.into()));
    change(&mut data, |_, slots| slots[0].flags = Slot::ABANDONED);
    let found = replace(&data, 0).unwrap();
    // Up in 8 rounds of 60, 5 of them paid for: 180 more, a tenth of it fees.
    assert_eq!(found.outcome.payment, Payment { net: 162, fee: 18 });
    assert_eq!(found.outcome.slash, 100);
    // 12 rounds of 60 are left of the old deposit; the new machine serves 9.
    assert_eq!((found.slot, found.deposit), (3, 0));
    change(&mut data, |_, slots| slots[3].price = 400);
    assert_eq!(replace(&data, 0).unwrap().deposit, 0);
    let dear = Lease { criteria: Criteria { max_price: 600, ..lease.criteria }, ..lease_copy(&lease) };
    change(&mut data, |_, slots| slots[3].price = 600);
    assert_eq!(replacement(&data.view().unwrap(), NOW, &dear, 0).unwrap().deposit, 900 - 720);
}

fn lease_copy(lease: &Lease) -> Lease {
    Lease { deposit: lease.deposit, ..sample::lease(lease.serial) }
}

#[test]
fn a_settlement_pays_rounds_up_and_at_the_end_refunds_the_rest() {
    let mut snapshot = snapshot();
    let (_, settled) = snapshot.boards[0].leases.remove(1);
    let lease = snapshot.boards[0].leases.remove(0).1;
    let mut data = snapshot.boards.remove(0).data;
    let interim = settlement(&data.view().unwrap(), &lease).unwrap();
    assert_eq!(interim.payment, Payment { net: 180 * 9 / 10 + 270, fee: 18 + 30 });
    assert!(!interim.is_final && interim.refunded == 0 && interim.slashed == 0);
    change(&mut data, |board, slots| {
        board.next_round = NEXT_ROUND + 10;
        slots[0].lease_down += 10;
        slots[1].lease_up += 10;
    });
    let last = settlement(&data.view().unwrap(), &lease).unwrap();
    assert!(last.is_final);
    // Slot 0: 8 of 20 rounds up, 5 paid for. Slot 1: all 20.
    assert_eq!(last.payment, Payment { net: 162 + 810, fee: 18 + 90 });
    assert_eq!(last.refunded, 1_800 - 972 - 108);
    assert_eq!((last.slashed, last.slashed_machines), (100, 1));
    assert_eq!(settlement(&data.view().unwrap(), &settled), Err(LeaseholdError::LeaseSettled.into()));
}

#[test]
fn a_machine_fits_alone_as_it_would_among_others() {
    let data = priced(&[50, 361]);
    let view = data.view().unwrap();
    let criteria = Criteria { max_price: 360, ..ANY };
    assert_eq!(view.slots.iter().map(|slot| fits(slot, &criteria, 2_000)).collect::<Vec<_>>(), [true, false]);
    assert!(!fits(&view.slots[0], &criteria, 2_001), "committed until 2,000");
    let leased = snapshot().boards.remove(0).data;
    assert!(!fits(&leased.view().unwrap().slots[0], &ANY, 1_001));
}

#[test]
fn changing_ones_mind_costs_a_round_and_a_part_of_the_rest() {
    let data = priced(&[360, 360]);
    let view = data.view().unwrap();
    // Two machines for 21 rounds at 60 each; leaving after one owes 5 percent of 20 rounds, a round.
    let made = quote(&market(), &view, NOW, &ANY, 2, 21).unwrap();
    assert_eq!((made.deposit, refundable(&view, &made).unwrap()), (2 * 21 * 60, 2 * 19 * 60));
    let short = quote(&market(), &view, NOW, &ANY, 2, 1).unwrap();
    assert_eq!(refundable(&view, &short).unwrap(), 0, "its only round can't be cancelled");
}

proptest! {
    /// Machines at odd prices, cancelled before the lease begins or in a round of it, and up until its end:
    /// the quoted refund comes back to the unit. Down or unknown rounds bring back more, never less.
    #[test]
    fn what_cancelling_brings_back_is_what_the_settlement_then_refunds(
        prices in prop::array::uniform2(1u64..1 << 40),
        round in 985u32..1_008,
        short in prop::array::uniform2(0u32..4),
    ) {
        let mut state = snapshot().boards.remove(0);
        let mut lease = state.leases[0].1.clone();
        let span = lease.terms.whole();
        lease.deposit = prices.iter().map(|price| span.cost_ceil(*price).unwrap()).sum();
        (lease.paid, lease.fees, lease.refunded) = (0, 0, 0);
        change(&mut state.data, |_, slots| {
            for (slot, price) in slots.iter_mut().zip(prices) {
                (slot.price, slot.lease_settled) = (price, 0);
            }
        });
        let told = cancellation(&state.data.view().unwrap(), i64::from(round) * 600, &lease).unwrap();

        // As the program then has it, with the lease's last round closed.
        let until = told.until;
        prop_assert_eq!(lease.until, until + told.rest);
        lease.state = LeaseState::Cancelled;
        lease.terms.cancel_secs = told.cancel_secs;
        lease.until = until;
        let served = until - lease.from;
        let mut settled = |missed: [u32; 2]| {
            change(&mut state.data, |board, slots| {
                board.next_round = until;
                for (slot, missed) in slots.iter_mut().zip(missed) {
                    slot.lease_until = until;
                    (slot.lease_up, slot.lease_down) = (served - missed.min(served), missed.min(served));
                }
            });
            settlement(&state.data.view().unwrap(), &lease).unwrap()
        };
        let up = settled([0, 0]);
        prop_assert!(up.is_final);
        prop_assert_eq!(up.refunded, told.refund);
        prop_assert!(settled(short).refunded >= told.refund);
    }
}
