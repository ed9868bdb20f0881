use leasehold::state::ring_bit;
use leasehold_client::{
    board::BoardData,
    quote::ANY,
    sample::{board_data, change, slot, snapshot},
};
use leasehold_operate::sample::{rule, view};

use super::*;

/// Round 1,000 runs.
const NOW: i64 = 600_000;

fn board() -> BoardData {
    let mut data = snapshot().boards.remove(0).data;
    let mut header = *data.view().unwrap().header;
    header.slots = 4;
    let mut fast = slot(1);
    (fast.traits.speed, fast.traits.gpus, fast.price, fast.score) = (9, 8, 2_000_000, 9_000);
    let mut away = slot(1);
    (away.traits.country, away.committed_until) = (840, 1_100);
    data = board_data(&header, &[slot(0), slot(1), fast, away]);
    change(&mut data, |_, slots| slots[1].score = 6_000);
    data
}

fn found(length: &str, sort: Sort) -> Offers {
    let data = board();
    let boards = [data.view().unwrap()];
    let mut found = offers(&view(), &boards, NOW, &ANY, Some(length.parse().unwrap())).unwrap();
    found.sort(sort);
    found
}

#[test]
fn machines_that_are_alike_stand_in_one_line() {
    let expected = "\
CLASS     GPUS  SPEED  COUNTRY  REGION  PRICE/GPU/H  PRICE/H  MACHINES  DOWN  SCORE  METERED
RTX 4090     1      2  DE            1      0.00036  0.00036         2     0   6000  no
RTX 4090     1      2  US            1      0.00036  0.00036         1     0   5000  no
RTX 4090     8      9  DE            1            2       16         1     0   9000  no
4 idle machines fit.";
    assert_eq!(found("1r", Sort::Price).to_string(), expected);
    let json = serde_json::to_value(found("1r", Sort::Price)).unwrap();
    assert_eq!((&json["offers"][0]["price"]["amount"], &json["machines"]), (&"360".into(), &4.into()));
    assert_eq!(json["offers"][0]["boards"], serde_json::json!([0]));
    let line = &json["offers"][0];
    assert_eq!((&line["class"], &line["class_number"]), (&"RTX 4090".into(), &0.into()));
    assert_eq!((&line["country"], &json["paused"]), (&"DE".into(), &false.into()));
}

#[test]
fn machines_that_do_not_answer_are_counted() {
    let mut data = board();
    change(&mut data, |header, slots| {
        let bit = ring_bit(header.next_round - 1);
        (slots[1].history_up, slots[1].history_down) = (0, 1 << bit);
    });
    let seen = offers(&view(), &[data.view().unwrap()], NOW, &ANY, None).unwrap();
    assert_eq!((seen.machines, seen.unseen), (3, 1), "what was not up is not offered");
    let told = "3 idle machines fit; 1 more was not seen up lately (--allow-unseen).";
    assert!(seen.to_string().ends_with(told), "{seen}");
    change(&mut data, |header, _| header.quorate = 0);
    let none = offers(&view(), &[data.view().unwrap()], NOW, &ANY, None).unwrap();
    let told = "No idle machine fits: 4 would, but were not seen up lately (--allow-unseen).";
    assert_eq!(none.to_string(), told);
    change(&mut data, |header, _| header.quorate = u64::MAX);
    let any = Criteria { allow_unseen: true, ..ANY };
    let found = offers(&view(), &[data.view().unwrap()], NOW, &any, None).unwrap();
    assert!(found.to_string().contains("0.00036         2     1   6000  no"), "{found}");
    assert_eq!(serde_json::to_value(found).unwrap()["offers"][0]["down"], 1);
}

#[test]
fn lengths_that_no_lease_has_are_refused_also_while_the_market_is_paused() {
    let data = board();
    let mut market = view();
    let shown = |market: &MarketView, length: Option<u32>| {
        offers(market, &[data.view().unwrap()], NOW, &ANY, length.map(Length::Rounds))
    };
    for paused in [false, true] {
        market.account.paused = paused;
        let refused = shown(&market, Some(10_001)).unwrap_err();
        assert!(refused.to_string().contains("1 to 10000 allowed"), "{refused}");
        assert_eq!(rule(refused), "LeaseLength");
        let found = shown(&market, None).unwrap();
        assert_eq!((found.paused, found.machines), (paused, 4));
    }
    market.account.params.min_rounds = 100;
    assert_eq!(shown(&market, None).unwrap().machines, 3, "one is promised for less than the shortest lease");
}

#[test]
fn only_what_is_promised_long_enough_and_fits_is_shown() {
    assert_eq!(found("99r", Sort::Price).machines, 4, "until round 1,100, exclusive");
    assert_eq!(found("100r", Sort::Price).machines, 3);
    assert_eq!(found("10000r", Sort::Price).to_string(), "No idle machine fits.");
    let data = board();
    let criteria = Criteria { min_gpus: 2, ..ANY };
    let one = Some(Length::Rounds(1));
    let fast = offers(&view(), &[data.view().unwrap()], NOW, &criteria, one).unwrap();
    assert_eq!((fast.machines, fast.offers[0].gpus), (1, 8));
}

#[test]
fn leased_machines_are_not_free() {
    let data = snapshot().boards.remove(0).data;
    let found = offers(&view(), &[data.view().unwrap()], NOW, &ANY, Some(Length::Rounds(1))).unwrap();
    assert_eq!(found.machines, 1);
}

#[test]
fn lines_are_sorted_by_the_column_that_was_asked_for() {
    for (sort, first) in [(Sort::Gpus, 2), (Sort::Speed, 2), (Sort::Score, 2), (Sort::Machines, 1)] {
        let speed = found("1r", sort).offers[0].speed;
        assert_eq!(speed == 9, first == 2, "{sort:?}");
    }
    assert_eq!(found("1r", Sort::Country).offers[2].country, "US");
}
