use leasehold::state::ring_bit;
use leasehold_client::sample::{NOW, change, priced, request};
use leasehold_operate::sample::view;

use super::*;
use leasehold_client::search::pick;

/// What is held back, burned and taken as fees, with the most of the latter two.
fn rules(damages: &str, fee: &str) -> String {
    format!(
        "Held back:     20 percent of each machine's pay, two hours of it at least, until it leaves\n\
         Burned:        of what is held back, the price of rounds down beyond a machine's allowance; {damages} at most in \
         all\nMarket's fee:  10 percent, out of the machines' pay; {fee} at most"
    )
}

#[test]
fn a_quote_tells_machines_total_and_what_can_come_back() {
    let board = priced(3, &[720, 360, 360]);
    let views = [board.view().unwrap()];
    let quoted =
        Quoted::new(Offers::new(&view(), &pick(&view().account, &views, NOW, &request(2)).unwrap()).unwrap());
    let mint = leasehold_operate::amount::short(&view().payment.mint);
    let expected = format!(
        "Board:         3\nGPUs:          2\nMachines:      2 (slots 1, 2)\n\
         Kind:          2 machines with 1 RTX 4090 in DE at 0.00036 per GPU and hour\nRounds:        6 (1001 to 1006)\n\
         Time:          1970-01-07T22:50:00Z to 1970-01-07T23:50:00Z\nTotal:         0.00072 of {mint}\n\
         Refundable:    0.00057 of {mint} if cancelled in its first round\n{}",
        rules("0.000144", "0.000072")
    );
    assert_eq!(quoted.to_string(), expected);
    let json = serde_json::to_value(quoted).unwrap();
    assert_eq!((&json["total"]["amount"], &json["offers"][0]["until"]), (&"720".into(), &1_007.into()));
    assert_eq!(
        (&json["offers"][0]["kinds"][0]["machines"], &json["offers"][0]["down"]),
        (&2.into(), &0.into())
    );
}

#[test]
fn machines_that_are_down_are_named_before_they_are_leased() {
    let mut board = priced(3, &[360, 360]);
    change(&mut board, |header, slots| {
        let bit = ring_bit(header.next_round - 1);
        slots.iter_mut().for_each(|slot| (slot.history_up, slot.history_down) = (0, 1 << bit));
    });
    let mut any = request(2);
    assert!(pick(&view().account, &[board.view().unwrap()], NOW, &any).is_err(), "nothing dark is sold");
    any.criteria.allow_unseen = true;
    let quoted = pick(&view().account, &[board.view().unwrap()], NOW, &any).unwrap();
    let quoted = Quoted::new(Offers::new(&view(), &quoted).unwrap());
    let text = quoted.to_string();
    assert!(text.contains("\nDown:          2 of them were down in the last closed round\n"), "{text}");
    assert_eq!(serde_json::to_value(quoted).unwrap()["offers"][0]["down"], 2);
}

/// Of the leases that are quoted.
const TERM: &str = "1970-01-07T22:50:00Z  1970-01-07T23:50:00Z";

#[test]
fn a_quote_of_several_boards_has_a_line_for_each() {
    let boards = [priced(0, &[720]), priced(3, &[360, 360])];
    let views = boards.each_ref().map(|board| board.view().unwrap());
    let quoted =
        Quoted::new(Offers::new(&view(), &pick(&view().account, &views, NOW, &request(3)).unwrap()).unwrap());
    let mint = leasehold_operate::amount::short(&view().payment.mint);
    let expected = format!(
        "BOARD  GPUS  MACHINES  FROM                  TO                      TOTAL  REFUNDABLE\n\
         {}0     1         1  {TERM}  0.00072     0.00057\n{}3     2         2  {TERM}  0.00072     0.00057\n\nGPUs:          3\nMachines:      3 on 2 boards\n\
         Kind:          2 machines with 1 RTX 4090 in DE at 0.00036 per GPU and hour\n\
         Kind:          1 machine with 1 RTX 4090 in DE at 0.00072 per GPU and hour\nRounds:        6\n\
         Total:         0.00144 of {mint}\n\
         Refundable:    0.00114 of {mint} if all are cancelled in their first round\n{}",
        "    ",
        "    ",
        rules("0.000288", "0.000144")
    );
    assert_eq!(quoted.to_string(), expected);
    let json = serde_json::to_value(quoted).unwrap();
    assert_eq!((&json["total"]["amount"], &json["refundable"]["amount"]), (&"1440".into(), &"1140".into()));
    assert_eq!((&json["offers"][0]["board"], &json["offers"][1]["machines"]), (&0.into(), &2.into()));
}

#[test]
fn fallback_offers_are_listed() {
    let board = priced(3, &[360, 360]);
    let views = [board.view().unwrap()];
    let found = fallbacks(&view().account, &views, NOW, &request(5));
    let alternatives = found.iter().map(|found| Instead::new(&view(), found).unwrap()).collect();
    let quoted = Quoted::instead(alternatives);
    let mint = leasehold_operate::amount::short(&view().payment.mint);
    let expected = format!(
        "Not available. Fallback offers:\n2 GPUs (--gpus 2): 2 RTX 4090 in DE on board 3: 0.00072 of {mint}"
    );
    assert_eq!(quoted.to_string(), expected);
    let json = serde_json::to_value(quoted).unwrap();
    assert_eq!(
        (&json["alternatives"][0]["instead"], &json["fits"]),
        (&"2 GPUs (--gpus 2)".into(), &false.into())
    );
    let instead = &json["alternatives"][0];
    assert_eq!((&instead["machines"], &instead["offers"][0]["board"]), (&2.into(), &3.into()));
    let one = |text: &str| serde_json::json!([text]);
    assert_eq!((&instead["classes"], &instead["countries"]), (&one("RTX 4090"), &one("DE")));
    assert_eq!((&json["offers"], &json["total"]), (&serde_json::json!([]), &serde_json::Value::Null));
    let none = Quoted::instead(Vec::new());
    assert_eq!(none.to_string(), "Not available, and no fallback offers.");
}
