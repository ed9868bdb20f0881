use leasehold::{
    error::LeaseholdError,
    math::settlement::Payment,
    rules::replace::Wish,
    state::{LeaseState, Meter, Slot, SlotState, Traits, ring_bit},
};

use proptest::prelude::*;

use super::*;
use crate::{
    board::BoardData,
    meter::Ender,
    sample::{self, NEXT_ROUND, NOW, board_data, change, snapshot, wallet},
};

fn market() -> Market {
    snapshot().market
}

/// A board of machines with one GPU each that were up in the last round.
fn priced(prices: &[u64]) -> BoardData {
    let slots: Vec<_> = prices.iter().map(|price| Slot { price: *price, ..sample::slot(0) }).collect();
    let mut header: leasehold::state::Board = bytemuck::Zeroable::zeroed();
    (header.version, header.slots, header.next_serial) = (1, u32::try_from(slots.len()).unwrap(), 4);
    (header.next_round, header.last_quorate) = (NEXT_ROUND, NEXT_ROUND - 1);
    header.quorate = 1 << ring_bit(NEXT_ROUND - 1);
    header.adopt(&sample::rules());
    board_data(&header, &slots)
}

fn quoted(data: &BoardData, criteria: &Criteria, gpus: u32, rounds: u32) -> Result<Quote, Refusal> {
    quote(&market(), &data.view().unwrap(), NOW, criteria, gpus, rounds, &[])
}

/// Lease 1 of the sample and its board: round 1,000 of 990 to 1,009 runs.
fn leased() -> (BoardData, Lease) {
    let mut board = snapshot().boards.remove(0);
    (board.data, board.leases.remove(0).1)
}

#[test]
fn a_quote_names_machines_term_deposit_and_hint() {
    let data = priced(&[50, 361, 20, 90, 90]);
    let quote = quoted(&data, &Criteria { max_price: 360, ..ANY }, 3, 6).unwrap();
    assert_eq!(quote.slots, [0, 2, 3], "the lower of two equals");
    assert_eq!((quote.from, quote.until), (1_001, 1_007));
    assert_eq!(quote.deposit, 50 + 20 + 90, "an hour of each");
    let args = quote.args(7, wallet(2), 200, Some(3));
    assert_eq!((args.nonce, args.owner, args.gpus, args.rounds), (7, wallet(2), 3, 6));
    assert_eq!((args.max_deposit, args.group, args.hint), (200, Some(3), Some(quote.hint)));
}

#[test]
fn a_quote_counts_gpus_and_leaves_out_what_is_to_be_avoided() {
    let mut data = priced(&[100, 20, 30]);
    change(&mut data, |_, slots| slots[1].traits.gpus = 8);
    let quote = quoted(&data, &ANY, 9, 6).unwrap();
    assert_eq!((quote.slots.as_slice(), quote.selection.gpus, quote.deposit), (&[1, 2][..], 9, 160 + 30));
    assert_eq!(quoted(&data, &ANY, 1, 6).unwrap().slots, [2], "30 an hour are less than 160");
    let small = Criteria { max_gpus: max_gpus(2), ..ANY };
    assert_eq!(quoted(&data, &small, 2, 6).unwrap().slots, [0, 2]);
    assert_eq!((max_gpus(0), max_gpus(7), max_gpus(300)), (0, 7, 255));
    let avoid = |avoid: &[u16]| super::quote(&market(), &data.view().unwrap(), NOW, &ANY, 1, 6, avoid);
    let other = avoid(&[2]).unwrap();
    assert_eq!((other.slots.as_slice(), other.args(0, wallet(0), 0, None).avoid), (&[0][..], vec![2]));
    assert_eq!(avoid(&[0; 17]).unwrap_err(), LeaseholdError::AvoidsTooMany.into());
}

/// The hint of a quote is right for the board it was made on, and changes nothing on any other.
#[test]
fn a_hint_never_changes_what_is_picked() {
    let (first, second) = (priced(&[5, 4, 3, 2, 1]), priced(&[9, 9, 1, 1, 2]));
    for policy in [Policy::Cheapest, Policy::Best] {
        let criteria = Criteria { policy, ..ANY };
        let made = quoted(&first, &criteria, 3, 1).unwrap();
        for data in [&first, &second] {
            let args = made.args(0, wallet(0), u64::MAX, None);
            let view = data.view().unwrap();
            let hinted = open::quote(&market(), view.header, view.slots, NOW, &args).unwrap();
            assert_eq!(hinted.selection, quoted(data, &criteria, 3, 1).unwrap().selection);
        }
    }
}

#[test]
fn what_the_program_would_refuse_is_refused_in_its_words() {
    let mut data = priced(&[50, 20]);
    let refused = |data: &BoardData, gpus, rounds| quoted(data, &ANY, gpus, rounds).unwrap_err();
    assert_eq!(refused(&data, 3, 1), LeaseholdError::NotEnoughGpus.into());
    assert_eq!(refused(&data, 0, 1), LeaseholdError::NoGpus.into());
    assert_eq!(refused(&data, 1, 1_000), LeaseholdError::NotEnoughGpus.into(), "committed until 2,000");
    assert!(refused(&data, 3, 1).to_string().starts_with("Fewer GPUs fit than were asked for: "));
    change(&mut data, |board, _| board.quorate = 0);
    assert_eq!(refused(&data, 1, 1), LeaseholdError::BoardUnseen.into());
    let unseen = Criteria { allow_unseen: true, ..ANY };
    assert_eq!(quoted(&data, &unseen, 1, 1).unwrap().slots, [1]);
}

#[test]
fn a_quote_by_use_picks_a_machine_that_allows_it_for_the_deposit_named() {
    let mut data = priced(&[10, 50, 40]);
    let meter = MeterArgs { spender: wallet(1), deposit: 7_000 };
    let of = |data: &BoardData, criteria: &Criteria, meter| {
        quote_metered(&market(), &data.view().unwrap(), NOW, criteria, 20, &[], meter)
    };
    assert_eq!(of(&data, &ANY, meter).unwrap_err(), LeaseholdError::NotEnoughGpus.into());
    change(&mut data, |_, slots| {
        slots[1].traits.flags = Traits::METERED;
        slots[2].traits.flags = Traits::METERED;
        slots[1].traits.gpus = 4;
    });
    let found = of(&data, &ANY, meter).unwrap();
    assert_eq!((found.slots.as_slice(), found.deposit), (&[2][..], 7_000));
    let args = found.args(1, wallet(0), 7_000, None);
    assert!(args.criteria.metered && args.meter == Some(meter) && args.gpus == 1);
    // As long as it could run if notice is given before it begins: an hour at a tenth of 40.
    assert_eq!(voucher_limit(&data.view().unwrap(), &found, NOW).unwrap(), 7_000 - 4);
    // Notice in its first round ends it an hour after that: seven rounds at a tenth of 40 an hour.
    assert_eq!(refundable(&data.view().unwrap(), &found).unwrap(), 7_000 - 4);
    let large = of(&data, &Criteria { min_gpus: 2, ..ANY }, meter).unwrap();
    assert_eq!((large.slots.as_slice(), large.gpus), (&[1][..], 2));
    let nothing = of(&data, &ANY, MeterArgs { deposit: 3, ..meter });
    assert_eq!(nothing.unwrap_err(), LeaseholdError::DepositTooSmall.into());
    let by_the_hour = quoted(&data, &Criteria { metered: true, ..ANY }, 1, 6);
    assert_eq!(by_the_hour.unwrap_err(), LeaseholdError::MeterMismatch.into());
}

/// Lease 1 of the sample, paid by use, of slot 1 alone.
fn metered() -> (BoardData, Lease) {
    let (mut data, lease) = leased();
    change(&mut data, |_, slots| slots[0].release(SlotState::Idle));
    let meter = Some(Meter { spender: wallet(1), seq: 1, units: 1, paid: 600, owes_hour: false });
    (data, Lease { meter, gpus: 1, machines: 1, unsettled: 1, paid: 540, fees: 60, ..lease })
}

#[test]
fn a_lease_by_use_pays_the_standby_price_besides_vouchers() {
    let (mut data, lease) = metered();
    let extended = extension(&market(), &data.view().unwrap(), NOW, &lease, 5, 0);
    assert_eq!(extended.unwrap().deposit, 0);
    let replaced = replacement(&data.view().unwrap(), NOW, &lease, &Wish::any(1));
    assert_eq!(replaced.unwrap_err(), LeaseholdError::LeaseMetered.into());
    assert_eq!(settlement(&data.view().unwrap(), &lease).unwrap().payment, Payment::default(), "kept");
    change(&mut data, |board, slots| {
        board.next_round = NEXT_ROUND + 10 + 2; // 20 minutes for the last voucher
        slots[1].lease_up = 20;
    });
    let last = settlement(&data.view().unwrap(), &lease).unwrap();
    assert_eq!((last.payment, last.refunded), (Payment { net: 108, fee: 12 }, 1_800 - 120));
    assert!(last.is_final && last.slashed == 0);
}

#[test]
fn notice_ends_a_lease_by_use_after_an_hour() {
    let (mut data, lease) = metered();
    change(&mut data, |_, slots| {
        (slots[1].lease_until, slots[1].lease_agreed, slots[1].committed_until) = (1_100, 1_100, 1_100)
    });
    let lease = Lease { until: 1_100, ..lease };
    let by = |lease: &Lease, ender| notice(&data.view().unwrap(), NOW, lease, ender);
    let found = by(&lease, Ender::Owner).unwrap();
    assert_eq!((found.until, found.machine.slot, found.machine.exit), (1_007, 1, 0));
    // 17 rounds at 6.
    assert_eq!(found.settlement.payment, Payment { net: 92, fee: 10 });
    assert_eq!(found.settlement.refunded, 1_800 - 102);
    assert_eq!(by(&lease, Ender::Supplier).unwrap().until, 1_007);
    assert_eq!(by(&lease, Ender::Anybody).unwrap_err(), LeaseholdError::StandbyCovered.into());
    let short = Lease { deposit: 700, ..lease };
    assert_eq!(by(&short, Ender::Anybody).unwrap().until, 1_001, "with the running round");
}

#[test]
fn an_extension_costs_each_machines_further_rounds() {
    let (mut data, lease) = leased();
    let at = |data: &BoardData, now, rounds| {
        super::extension(&market(), &data.view().unwrap(), now, &lease, rounds, 0).map(|found| found.deposit)
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
fn machines_that_are_not_committed_leave_at_the_old_end_if_allowed() {
    let (mut data, lease) = leased();
    change(&mut data, |_, slots| slots[0].committed_until = 1_012);
    let extend = |rounds, leaving| {
        extension(&market(), &data.view().unwrap(), NOW, &lease, rounds, leaving)
            .map(|found| (found.leaving, found.deposit, found.total))
    };
    assert_eq!(extend(2, 0), Ok((vec![], 240, 2_640)));
    assert_eq!(extend(3, 0), Err(LeaseholdError::MachineNotCommitted.into()));
    assert_eq!(extend(3, 1), Ok((vec![0], 180, 2_580)));
    assert_eq!(extend(991, 2), Err(LeaseholdError::MachineNotCommitted.into()), "one has to stay");
}

#[test]
fn a_replacement_is_paid_in_and_the_old_machines_rest_comes_back_later() {
    let (mut data, lease) = leased();
    let replace = |data: &BoardData, slot, avoid: &[u16], contest| {
        replacement(&data.view().unwrap(), NOW, &lease, &Wish { avoid, contest, ..Wish::any(slot) })
    };
    let refused = |data: &BoardData, slot, avoid: &[u16]| replace(data, slot, avoid, false).unwrap_err();
    assert_eq!(refused(&data, 3, &[]), LeaseholdError::NotInLease.into());
    assert_eq!(refused(&data, 2, &[]), LeaseholdError::SlotVacant.into());
    assert_eq!(refused(&data, 4, &[]), LeaseholdError::NoSuchSlot.into());
    assert_eq!(refused(&data, 1, &[3]), LeaseholdError::NotEnoughGpus.into());
    let found = replace(&data, 1, &[], false).unwrap();
    assert_eq!((found.slot, found.from, found.deposit, found.total), (3, 1_001, 9 * 60, 2_400 + 540));
    // It serves round 1,000, too, and is paid for 11 rounds; 9 of its 20 come back.
    assert_eq!((found.old.slot, found.old.until, found.refund), (1, 1_001, 9 * 60));
    assert_eq!(found.old.outcome.payment, Payment { net: 594, fee: 66 });
    assert_eq!((found.old.exit, found.old.outcome.burned), (0, Burned::default()));
    // Contested, it loses all of its first two hours, but no more than the rest costs; the owner pays half of that.
    let contested = replace(&data, 1, &[], true).unwrap();
    assert_eq!(contested.old.contest, Contest { machine_loses: 540, owner_pays: 270 });
    assert_eq!(contested.old.outcome.burned, Burned { contested: 540, penalty: 270, ..Burned::default() });
    assert_eq!(contested.refund, 540 - 270);
    assert_eq!((found.old.contest, found.old.contested), (contested.old.contest, false));
    let args = contested.args(600);
    assert_eq!((args.old_slot, args.contest, args.max_deposit, args.hint), (1, true, 600, Some(found.hint)));
    // By a machine at half the price, the owner saves 4.5 rounds' price, of which as much as cancelling costs is burned.
    change(&mut data, |_, slots| slots[3].price = 180);
    let cheaper = replace(&data, 1, &[], false).unwrap();
    let exit = settlement::exit_at_most(600, 20, 9) * 360 / 3_600;
    assert_eq!((cheaper.deposit, cheaper.old.outcome.burned.exit), (270, exit));
    assert_eq!(cheaper.refund, 540 - exit);
}

#[test]
fn cancelling_shows_what_each_machine_and_its_owner_lose() {
    let (data, lease) = leased();
    let cancel = |contest: &[u16]| cancellation(&data.view().unwrap(), NOW, &lease, contest);
    let found = cancel(&[]).unwrap();
    assert_eq!((found.until, found.rest, found.exit_secs), (1_001, 9, 270));
    // 27 for leaving slot 1. Slot 0 was down in a round beyond its allowance, which is more than 270 seconds.
    let [down, up] = found.machines[..] else { panic!("{found:?}") };
    assert_eq!((down.slot, down.exit, up.slot, up.exit), (0, 0, 1, 27));
    assert_eq!(up.outcome.payment.gross().unwrap(), 660 + 27);
    // A round is burned, as damages; and its owner left it, so it is bound for as long as it was up or the rest.
    assert_eq!(down.outcome.payment.gross().unwrap(), 540 - 60);
    assert_eq!((down.outcome.burned.damages, down.outcome.bound, up.outcome.bound), (60, 9, 0));
    assert_eq!(found.refund(), 2_400 - 687 - 540);
    assert_eq!(found.settlement.burned, found.burned.total().unwrap());

    let contested = cancel(&[1]).unwrap();
    let Departure { contest, outcome, .. } = contested.machines[1];
    assert_eq!(contest, up.contest, "quoted before");
    // Its last two hours, at most what the rest costs, and the 27; the owner pays half of both.
    assert_eq!((outcome.burned.contested, outcome.burned.exit, outcome.burned.penalty), (540, 27, 284));
    assert_eq!((contest.machine_loses, contest.owner_pays), (540 + 27, 284));
    assert_eq!(contested.refund(), found.refund() - 284);
    assert_eq!(outcome.bound, 9);
    assert_eq!(cancel(&[3]).unwrap_err(), LeaseholdError::NotInLease.into());
}

#[test]
fn a_settlement_pays_rounds_up_and_at_the_end_refunds_the_rest() {
    let (mut data, lease) = leased();
    let (_, settled) = snapshot().boards[0].leases.remove(1);
    let interim = settlement(&data.view().unwrap(), &lease).unwrap();
    assert_eq!(interim, Settlement::default(), "all of the first two hours is kept");
    let standing = standing(&data.view().unwrap(), &lease).unwrap();
    assert_eq!(
        (standing.earned, standing.kept, standing.burned.damages, standing.slash),
        (1_080, 1_080, 60, 2)
    );
    assert_eq!(standing.machines.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [0, 1]);
    change(&mut data, |board, slots| {
        board.next_round = NEXT_ROUND + 10;
        slots[0].lease_down += 10;
        slots[1].lease_up += 10;
    });
    let last = settlement(&data.view().unwrap(), &lease).unwrap();
    assert!(last.is_final);
    // Slot 0: 8 of 20 rounds up, of which a fifth is damages. Slot 1: all 20.
    assert_eq!(last.payment, Payment { net: 346 + 1_080, fee: 38 + 120 });
    assert_eq!((last.burned, last.refunded), (96, 2_400 - 384 - 1_200 - 96));
    assert_eq!((last.slashed, last.slashed_machines), (25, 1), "11 rounds of 432, tenfold");
    assert_eq!(settlement(&data.view().unwrap(), &settled), Err(LeaseholdError::LeaseSettled.into()));
}

#[test]
fn a_machine_fits_alone_as_it_would_among_others() {
    let mut data = priced(&[50, 361, 50]);
    change(&mut data, |_, slots| slots[2].history_up = 0);
    let criteria = Criteria { max_price: 360, ..ANY };
    let fits = |data: &BoardData, criteria, rounds| {
        let view = data.view().unwrap();
        let moment = Moment::new(&view, NOW, rounds).unwrap();
        view.slots.iter().map(|slot| moment.fits(slot, &criteria)).collect::<Vec<_>>()
    };
    assert_eq!(fits(&data, criteria, 999), [true, false, false]);
    assert_eq!(fits(&data, Criteria { allow_unseen: true, ..criteria }, 999), [true, false, true]);
    assert_eq!(fits(&data, criteria, 1_000), [false; 3], "committed until 2,000");
    let (leased, _) = leased();
    assert!(!fits(&leased, ANY, 1)[0]);
}

#[test]
fn changing_ones_mind_costs_a_round_and_a_part_of_the_rest() {
    let data = priced(&[360, 360]);
    let view = data.view().unwrap();
    // Two machines for 21 rounds at 60 each; leaving after one owes 5 percent of 20 rounds, a round.
    let made = quoted(&data, &ANY, 2, 21).unwrap();
    assert_eq!((made.deposit, refundable(&view, &made).unwrap()), (2 * 21 * 60, 2 * 19 * 60));
    let short = quoted(&data, &ANY, 2, 1).unwrap();
    assert_eq!(refundable(&view, &short).unwrap(), 0, "its only round can't be cancelled");
}

proptest! {
    /// Machines at odd prices, cancelled and contested before the lease begins or in a round of it, and up until its end: the
    /// quoted refund comes back to the unit. Invariant 18.
    #[test]
    fn what_cancelling_brings_back_is_what_the_settlement_then_refunds(
        prices in prop::array::uniform2(1u64..1 << 40),
        gpus in prop::array::uniform2(1u8..9),
        down in prop::array::uniform2(0u32..4),
        closed in 0u32..18,
        contest in prop::sample::subsequence(vec![0u16, 1], 0..=2),
    ) {
        let (mut data, mut lease) = leased();
        let span = lease.terms.whole();
        lease.deposit = prices.iter().zip(gpus).map(|(price, gpus)| span.cost_ceil(price * u64::from(gpus)).unwrap()).sum();
        change(&mut data, |board, slots| {
            board.next_round = lease.from + closed;
            for (index, slot) in slots[..2].iter_mut().enumerate() {
                (slot.price, slot.traits.gpus, slot.lease_settled) = (prices[index], gpus[index], 0);
                slot.lease_down = down[index].min(closed);
                slot.lease_up = closed - slot.lease_down;
            }
        });
        let now = i64::from(lease.from + closed) * 600;
        let told = cancellation(&data.view().unwrap(), now, &lease, &contest).unwrap();

        // As the program then has it, with the lease's last round closed.
        change(&mut data, |board, slots| {
            leasehold::rules::cancel::apply(board, slots, &mut lease, &contest, now).unwrap();
            board.next_round = lease.until;
            slots[..2].iter_mut().for_each(|slot| slot.lease_up += 1);
        });
        prop_assert_eq!((lease.state, lease.until), (LeaseState::Cancelled, told.until));
        let settled = settlement(&data.view().unwrap(), &lease).unwrap();
        prop_assert!(settled.is_final);
        prop_assert_eq!(&settled, &told.settlement);
        prop_assert_eq!(settled.burned, told.burned.total().unwrap());
        let paid: u64 = told.machines.iter().map(|machine| machine.outcome.payment.gross().unwrap()).sum();
        prop_assert_eq!(paid + settled.burned + settled.refunded, lease.deposit);
    }
}
