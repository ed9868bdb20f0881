use anchor_lang::prelude::Pubkey;
use leasehold::state::{Board, LeaseState, MachineId, Meter, Slot, SlotState, Traits, ring_bit};

use super::*;
use crate::sample::{self, change, snapshot, wallet};

#[test]
fn a_market_that_agrees_with_itself_passes() {
    let report = check(&snapshot());
    assert_eq!(report.violated, Vec::<String>::new());
    assert!(report.checked > 300, "{}", report.checked);
    assert!(report.is_ok());
}

/// Spoils one thing and expects a violation that speaks of it.
fn spoiled(expected: &str, spoil: impl FnOnce(&mut Snapshot)) {
    let mut snapshot = snapshot();
    spoil(&mut snapshot);
    let report = check(&snapshot);
    assert!(report.violated.iter().any(|v| v.contains(expected)), "{expected:?} is not in {report}");
}

fn spoiled_board(expected: &str, spoil: impl FnOnce(&mut Board, &mut [Slot])) {
    spoiled(expected, |snapshot| change(&mut snapshot.boards[0].data, spoil));
}

#[test]
fn vaults_that_hold_more_or_less_than_the_ledgers_are_found() {
    spoiled("the stake vault holds 4451, the ledgers 4450", |s| s.stake_vault += 1);
    spoiled("the stake vault holds 4449", |s| s.stake_vault -= 1);
    spoiled("the payment vault holds 3068, the ledger 3069", |s| s.boards[0].payment_vault -= 1);
    spoiled("the payment vault holds 3070", |s| s.boards[0].payment_vault += 1);
}

#[test]
fn tokens_that_came_unasked_are_allowed_for() {
    let mut snapshot = snapshot();
    snapshot.stake_vault += 5;
    snapshot.unasked_stake = 5;
    snapshot.boards[0].payment_vault += 7;
    snapshot.boards[0].unasked_payments = 7;
    assert!(check(&snapshot).is_ok());
}

#[test]
fn every_entry_of_the_ledger_is_compared_with_what_it_sums() {
    spoiled_board("the ledger's escrow is 2399", |board, _| board.ledger.escrow -= 1);
    spoiled_board("the ledger's accrued is 566", |board, _| board.ledger.accrued += 1);
    spoiled_board("the payment vault holds 3069, the ledger 3070", |board, _| board.ledger.fees += 1);
    spoiled_board("the payment vault holds 3069, the ledger 3068", |board, _| board.ledger.keeper_pool -= 1);
    spoiled_board("the ledger's keeper_fees is 9", |board, _| board.ledger.keeper_fees += 1);
    spoiled_board("the ledger's refunds is 39", |board, _| board.ledger.refunds -= 1);
    spoiled_board("the ledger's bonds is 301", |board, _| board.ledger.bonds += 1);
    spoiled_board("the payment vault holds 3069, the ledger 3070", |board, _| board.ledger.burning += 1);
    spoiled_board("the stake vault holds 4450, the ledgers 4449", |board, _| board.ledger.slashed -= 1);
    spoiled_board("the ledger's accrued is 565, earnings of slots sum to 566", |_, slots| {
        slots[3].accrued += 1
    });
    spoiled_board("the ledger's bonds is 300, those of slots sum to 299", |_, slots| slots[0].bond -= 1);
    spoiled_board("those of seats sum to 9", |board, _| board.seats[1].earned += 1);
    spoiled_board("the ledger's bonds is 300, those of slots sum to 18446744073709551815", |_, slots| {
        slots[0].bond = u64::MAX
    });
}

#[test]
fn amounts_of_members_are_compared_with_the_stake_vault() {
    spoiled("suppliers 2021", |s| s.suppliers[0].1.stake.free += 1);
    spoiled("suppliers 2019", |s| s.suppliers[1].1.stake.unbonding -= 1);
    spoiled("keepers 2121", |s| s.keepers[0].1.stake.free += 1);
    spoiled("locked bond is 51, the bonds of its seats are 50", |s| s.keepers[0].1.locked += 1);
}

#[test]
fn counts_are_compared_with_what_they_count() {
    spoiled("the market's number of members is 5", |s| s.market.members += 1);
    spoiled("the market's number of boards is 0", |s| s.market.boards -= 1);
    spoiled("number of machines is 3, slots that hold its machines are 2", |s| {
        s.suppliers[0].1.machines += 1
    });
    spoiled("number of seats is 0, seats it holds are 1", |s| s.keepers[1].1.seats -= 1);
    spoiled("suppliers without an account", |s| s.suppliers.truncate(1));
    spoiled("keepers without an account", |s| s.keepers.truncate(1));
    spoiled_board("board 0: the number of machines is 4", |board, _| board.machines += 1);
    spoiled_board("board 0: the number of leases is 3", |board, _| board.leases += 1);
    spoiled_board("malformed or cut short", |board, _| board.slots += 1);
    spoiled_board("had 7000 slots", |board, _| board.slots_before = 7_000);
}

#[test]
fn accounts_of_another_place_are_found() {
    spoiled("the address of market 8", |s| s.market.id += 1);
    spoiled("the market's rules or parameters", |s| s.market.params.fee_bps = 9_000);
    spoiled("is not at the address of its market and authority", |s| s.suppliers[0].1.authority = wallet(5));
    spoiled("is not at the address of its market and authority", |s| {
        s.keepers[0].1.market = Pubkey::default()
    });
    spoiled_board("board 1 is not at the address of its market and index", |board, _| board.index = 1);
    spoiled("lease 1 is not at the address of its board, buyer and nonce", |s| {
        s.boards[0].leases[0].0 = wallet(5)
    });
    spoiled_board("lease 2 is not at the address of its board, buyer and nonce", |board, _| {
        board.next_serial = 2
    });
}

#[test]
fn seats_and_votes_that_cannot_be_are_found() {
    spoiled_board("seat 2 is vacant but not zeroed", |board, _| board.seats[2].bond = 1);
    spoiled_board("seat 3 is held, of 3 seats", |board, _| board.seats[3] = board.seats[0]);
    spoiled_board("has more than one seat", |board, _| board.seats[1] = board.seats[0]);
    spoiled_board("have voted, 0b11 are held", |board, _| board.tally.submitted = 0b101);
    spoiled_board("voted in the round at 7, of 3", |board, _| board.votes[7] = 8);
    spoiled_board("round 999 is voted on and 1000 is the next", |board, _| board.tally.round -= 1);
    spoiled_board("invariant 5: board 0: machine 1 has more than the 1 votes cast", |board, _| {
        board.tally.planes[1][0] = 0b10
    });
    spoiled_board("invariant 5: board 0: machine 64 has more than the 0 votes cast", |board, _| {
        board.tally.submitted = 0;
        board.tally.planes[0] = [0; leasehold::constants::WORDS];
        board.tally.planes[0][1] = 1;
    });
    spoiled_board("invariant 7: board 0: slot 4 has votes, and votes cover 4 slots", |board, _| {
        board.tally.planes[0][0] |= 1 << 4
    });
    spoiled_board("invariant 7: board 0: slot 6143 has votes", |board, _| {
        board.tally.planes[0][95] = 1 << 63
    });
}

#[test]
fn a_vote_may_cover_slots_that_were_cut_off_since() {
    let mut snapshot = snapshot();
    change(&mut snapshot.boards[0].data, |board, _| {
        (board.resized_round, board.slots_before) = (sample::NEXT_ROUND + 1, 6);
        board.tally.planes[0][0] |= 1 << 5;
    });
    assert_eq!(check(&snapshot).violated, Vec::<String>::new());
}

#[test]
fn a_full_house_exceeds_nothing() {
    let mut snapshot = snapshot();
    change(&mut snapshot.boards[0].data, |board, _| {
        board.tally.submitted = 0x7fff;
        board.tally.planes.iter_mut().for_each(|plane| plane[0] = 0b11);
    });
    let report = check(&snapshot);
    assert!(!report.violated.iter().any(|violation| violation.contains("invariant 5")), "{report}");
}

#[test]
fn impossible_slot_states_are_found() {
    spoiled_board("slot 3 is in unknown state 5", |_, slots| slots[3].state = 5);
    spoiled_board("invariant 8: board 0, slot 3 is barred and keeps a bond of 100", |_, slots| {
        slots[3].state = SlotState::Barred as u8
    });
    spoiled_board("slot 0 is in state 1 with lease 1", |_, slots| slots[0].state = SlotState::Idle as u8);
    spoiled_board("slot 3 is in state 2 with lease 0", |_, slots| slots[3].state = SlotState::Leased as u8);
    spoiled_board("invariant 15: board 0, slot 3 has score 10001", |_, slots| slots[3].score = 10_001);
    spoiled_board("invariant 11: board 0, slot 2 is vacant with bond 1", |_, slots| slots[2].bond = 1);
    spoiled_board("slot 3 has 1 GPUs at a price of 0", |_, slots| slots[3].price = 0);
    spoiled_board("slot 3 has a lease from 5 until 4", |_, slots| {
        (slots[3].lease_from, slots[3].lease_until) = (5, 4)
    });
    spoiled_board("slot 3 has a lease from 4 until 5, agreed on until 3", |_, slots| {
        (slots[3].lease_from, slots[3].lease_until, slots[3].lease_agreed) = (4, 5, 3)
    });
    spoiled_board("slot 0 has flags 0b10 in lease 1 until 1010, and agreed on 1010", |_, slots| {
        slots[0].flags = Slot::LEFT
    });
    spoiled_board("slot 0 has flags 0b0 in lease 1 until 1005", |_, slots| slots[0].lease_until = 1_005);
    spoiled_board("slot 3 has flags 0b1 in lease 0", |_, slots| slots[3].flags = Slot::ABANDONED);
    spoiled_board(
        "invariant 9: board 0: machines hold their bonds for 1 demands, leases have 0",
        |_, slots| slots[0].demands = 1,
    );
    spoiled_board("invariant 12: board 0, slot 3 is in lease 2, which is settled or unknown", |_, slots| {
        slots[3].begin_lease(2, 990, 1_010)
    });
}

#[test]
fn counters_that_disagree_with_the_rounds_are_found() {
    spoiled_board("invariant 6: board 0, slot 1 counts 11 verdicts in 10 closed rounds", |_, slots| {
        slots[1].lease_down += 1
    });
    spoiled_board(
        "counts (8, 1, 0) rounds up, down and unseen in its lease, its history (8, 2, 0)",
        |_, slots| slots[0].lease_down -= 1,
    );
    spoiled_board("invariant 3: board 0, slot 0 was paid 9 rounds and was up in 8", |_, slots| {
        slots[0].lease_settled = 9
    });
    spoiled_board("its history (7, 2, 0)", |board, _| board.quorate &= !(1 << ring_bit(993)));
    spoiled_board("its history (7, 2, 1)", |_, slots| slots[0].history_up &= !(1 << ring_bit(993)));
}

#[test]
fn leases_and_their_machines_must_agree() {
    let first = |spoil: fn(&mut Lease)| move |s: &mut Snapshot| spoil(&mut s.boards[0].leases[0].1);
    let settled = |spoil: fn(&mut Lease)| move |s: &mut Snapshot| spoil(&mut s.boards[0].leases[1].1);
    spoiled(
        "lease 1: the number of slots with its serial is 2, its machines not settled are 3",
        first(|l| l.unsettled = 3),
    );
    spoiled("lease 1 has 2 machines, its account says 1", first(|l| l.machines = 1));
    spoiled(
        "lease 1 had 5, and paid 3, fees 0, refunded 0, burned 3",
        first(|l| (l.deposit, l.paid, l.burned) = (5, 3, 3)),
    );
    spoiled("lease 2 is settled and has 1 left", settled(|l| l.refunded = 99));
    spoiled("lease 1 was refunded 5 before it was settled", first(|l| l.refunded = 5));
    spoiled("lease 2 is due 101 of the 100 refunded", settled(|l| l.refund_due = 101));
    spoiled("took fees of 61 on 539 paid", first(|l| (l.fees, l.paid) = (61, 539)));
    spoiled("slot 0 does not meet the lease's criteria", first(|l| l.criteria.min_gpus = 2));
    spoiled("slot 1 does not meet the lease's criteria", first(|l| l.criteria.max_price = 359));
    spoiled("slot 0 from 990 until 1010", first(|l| l.until = 1_009));
    spoiled("lease 1 runs from 1011 until 1010", first(|l| l.from = 1_011));
    spoiled("which is settled or unknown", first(|l| l.state = LeaseState::Settled));
    // Slot 0 can be up in 18 of 20 rounds, slot 1 in all.
    spoiled("has 2279 left and may owe 2280 for its machines", first(|l| l.deposit = 2_279));
    spoiled_board("slot 0 is committed until 1009 only", |_, slots| slots[0].committed_until = 1_009);
}

/// The sample with lease 1 paid by use, by slot 1 alone: vouchers took 600.
fn metered() -> Snapshot {
    let mut snapshot = snapshot();
    let lease = &mut snapshot.boards[0].leases[0].1;
    (lease.gpus, lease.machines, lease.unsettled) = (1, 1, 1);
    (lease.paid, lease.fees) = (540, 60);
    lease.criteria.metered = true;
    lease.meter = Some(Meter { spender: wallet(7), seq: 12, units: 900, paid: 600, owes_hour: false });
    snapshot.boards[0].payment_vault -= 600;
    change(&mut snapshot.boards[0].data, |board, slots| {
        board.ledger.escrow -= 600;
        slots[1].traits.flags = Traits::METERED;
        slots[0].release(SlotState::Idle);
    });
    snapshot
}

#[test]
fn a_lease_paid_by_use_owes_its_standby_price_as_far_as_the_deposit_reaches() {
    assert_eq!(check(&metered()).violated, Vec::<String>::new());
    // Its standby price could come to 120 of the 100 that are left; by the hour it would be 1,200.
    let mut short = metered();
    let lease = &mut short.boards[0].leases[0].1;
    lease.deposit -= 1_700;
    short.boards[0].payment_vault -= 1_700;
    change(&mut short.boards[0].data, |board, _| board.ledger.escrow -= 1_700);
    assert_eq!(check(&short).violated, Vec::<String>::new());
    short.boards[0].leases[0].1.meter = None;
    assert!(check(&short).violated.iter().any(|v| v.contains("has 100 left and may owe 1200")));
}

#[test]
fn a_meter_that_cannot_be_is_found() {
    let spoiled = |expected: &str, spoil: fn(&mut Lease)| {
        let mut snapshot = metered();
        spoil(&mut snapshot.boards[0].leases[0].1);
        let report = check(&snapshot);
        assert!(report.violated.iter().any(|v| v.contains(expected)), "{expected:?} is not in {report}");
    };
    spoiled("lease 1 has a meter: true, and asked for machines that allow it: false", |l| {
        l.criteria.metered = false
    });
    spoiled("lease 1 is metered and has 2 machines", |l| l.machines = 2);
    spoiled("lease 1 was paid 601 by vouchers, and 600 in all", |l| l.meter.as_mut().unwrap().paid = 601);
    spoiled("lease 1 counts receipts, but no voucher was redeemed", |l| l.meter.as_mut().unwrap().paid = 0);
    spoiled("lease 1 is owed for an hour, but nobody has ended it", |l| {
        l.meter.as_mut().unwrap().owes_hour = true
    });
    let mut unfit = metered();
    change(&mut unfit.boards[0].data, |_, slots| slots[1].traits.flags = 0);
    assert!(check(&unfit).violated.iter().any(|v| v.contains("slot 1 does not meet the lease's criteria")));
    let later = |spoil: fn(&mut Meter), expected: &str| {
        let mut after = metered();
        spoil(after.boards[0].leases[0].1.meter.as_mut().unwrap());
        let report = check_progress(&metered(), &after);
        assert!(report.violated.iter().any(|v| v.contains(expected)), "{expected:?} is not in {report}");
    };
    later(|meter| meter.seq -= 1, "the receipts paid for fell from 12 to 11");
    later(|meter| meter.units -= 1, "the units paid for fell from 900 to 899");
    later(|meter| meter.paid -= 1, "the amount that vouchers paid fell from 600 to 599");
    later(|meter| meter.spender = wallet(6), "changed its meter");
}

fn worse(expected: &str, later: impl FnOnce(&mut Snapshot)) {
    let mut after = snapshot();
    later(&mut after);
    let report = check_progress(&snapshot(), &after);
    assert!(report.violated.iter().any(|v| v.contains(expected)), "{expected:?} is not in {report}");
}

#[test]
fn what_may_only_grow_does_not_fall() {
    assert!(check_progress(&snapshot(), &snapshot()).is_ok());
    let board =
        |spoil: fn(&mut Board, &mut [Slot])| move |s: &mut Snapshot| change(&mut s.boards[0].data, spoil);
    worse("next board fell from 1 to 0", |s| s.market.next_board = 0);
    worse("the next round fell from 1000 to 999", board(|board, _| board.next_round -= 1));
    worse("the next serial fell from 3 to 2", board(|board, _| board.next_serial -= 1));
    worse("the generation of slot 2 fell from 1 to 0", board(|_, slots| slots[2].generation = 0));
    worse(
        "slot 3 went from [0, 0, 0] to [1, 0, 0] rounds up, down and unseen while 0 closed",
        board(|_, slots| slots[3].up = 1),
    );
    worse("slot 0 went from [8, 2, 0] to [8, 1, 0]", board(|_, slots| slots[0].down -= 1));
    worse("the deposit fell from 2400 to 2399", |s| s.boards[0].leases[0].1.deposit -= 1);
    worse("the amount refunded fell", |s| s.boards[0].leases[1].1.refunded -= 1);
    worse("the stake slashed fell", |s| s.boards[0].leases[1].1.slashed -= 1);
    worse("from Settled back to Open", |s| s.boards[0].leases[1].1.state = LeaseState::Open);
    let fell = |expected: &str, was: fn(&mut Lease)| {
        let mut before = snapshot();
        was(&mut before.boards[0].leases[0].1);
        let report = check_progress(&before, &snapshot());
        assert!(report.violated.iter().any(|v| v.contains(expected)), "{expected:?} is not in {report}");
    };
    fell("the amount paid fell", |l| l.paid = 1);
    fell("the fees kept fell", |l| l.fees = 1);
    fell("the amount burned fell", |l| l.burned = 1);
    fell("the access epoch fell from 1 to 0", |l| l.access_epoch = 1);
    fell("the data epoch fell from 1 to 0", |l| l.data_epoch = 1);
    fell("forgot machines that were replaced", |l| l.replaced = vec![MachineId { slot: 3, generation: 0 }]);
}

#[test]
fn a_change_of_key_or_owner_that_raises_no_epoch_is_found() {
    let wrong = |change: fn(&mut Lease)| {
        let mut after = snapshot();
        change(&mut after.boards[0].leases[0].1);
        check_progress(&snapshot(), &after).violated
    };
    let found = |change, expected: &str| {
        let violated = wrong(change);
        assert!(violated.iter().any(|v| v.contains(expected)), "{expected:?} is not in {violated:?}");
    };
    found(|l| l.access = Some([1; 32]), "has another owner or key, and access epoch 0 still");
    found(|l| l.owner = wallet(1), "has another owner or key, and access epoch 0 still");
    let decides = "its former owner decides who is let in";
    found(|l| (l.owner, l.access, l.access_epoch) = (wallet(1), Some([1; 32]), 1), decides);
    found(|l| (l.owner, l.access_epoch, l.data_epoch) = (wallet(1), 1, 1), decides);
    assert_eq!(wrong(|l| (l.access, l.access_epoch) = (Some([1; 32]), 1)), Vec::<String>::new());
    assert_eq!(wrong(|l| (l.owner, l.access_epoch) = (wallet(1), 1)), Vec::<String>::new());
    spoiled("wipes with access epoch 3, and has 2 only", |s| {
        let lease = &mut s.boards[0].leases[0].1;
        (lease.access_epoch, lease.data_epoch) = (2, 3);
    });
}

/// The sample after one more round, which these machines were up in.
fn a_round_later(quorate: bool, up: &[usize]) -> Snapshot {
    let mut after = snapshot();
    change(&mut after.boards[0].data, |board, slots| {
        let bit = u64::from(quorate) << ring_bit(board.next_round);
        board.quorate = board.quorate & !(1 << ring_bit(board.next_round)) | bit;
        board.next_round += 1;
        up.iter().for_each(|slot| slots[*slot].up += 1);
    });
    after
}

#[test]
fn a_machine_has_one_verdict_for_each_round_that_is_not_void() {
    let violated = |quorate, up: &[usize]| check_progress(&snapshot(), &a_round_later(quorate, up)).violated;
    assert_eq!(violated(true, &[0, 1, 3]), Vec::<String>::new());
    assert_eq!(violated(false, &[]), Vec::<String>::new());
    for violated in [violated(true, &[0, 3]), violated(false, &[1])] {
        assert!(
            violated.len() == 1 && violated[0].contains("invariant 6: board 0, slot 1 went"),
            "{violated:?}"
        );
    }
}
