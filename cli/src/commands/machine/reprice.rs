//! `leasehold machine reprice`.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Args, ValueHint};
use leasehold::{
    error::LeaseholdError,
    instructions::Offer,
    rules::machine::require_offer,
    state::{Board, StakeLedger},
};
use leasehold_client::{
    board::BoardView,
    error::Refusal,
    listing,
    search::{Bonds, Length},
};
use leasehold_operate::{
    act::act,
    chain::{Chain, MarketArgs},
    failure::Failure,
    market::MarketView,
    plan::Plan,
    table::{self, count, joined},
    time::{rfc3339, start_of},
};
use serde_json::json;
use solana_pubkey::Pubkey;

use super::{
    list::{lacking, out_of_range},
    load,
    plan::{bound, machines, refused},
    prices::{Change, Terms, from_rows, price},
    rows::{self, FileFormat},
    slots::{self, Keys, Slots},
};
use crate::{bonds, commands::supplier::account};

#[derive(Args)]
pub struct RepriceArgs {
    #[command(flatten)]
    pub market: MarketArgs,
    /// Number of the board.
    #[arg(long, value_name = "NUMBER")]
    pub board: u32,
    /// Slots of the machines: numbers, or ranges such as 0-11; or the machines' node keys.
    #[arg(value_name = "SLOT|NODE_KEY", required_unless_present = "file", conflicts_with = "file")]
    pub slots: Vec<Slots>,
    /// Price per GPU and hour, in the market's payment mint [default: unchanged]
    #[arg(long, value_name = "AMOUNT")]
    pub price: Option<String>,
    /// Commitment from the next round on; of a leased machine until its lease's end at least [default: unchanged]
    #[arg(long = "for", value_name = "LENGTH")]
    pub length: Option<Length>,
    /// Bond for each GPU, in the market's stake mint, if it is more than the minimum and than what is bonded.
    #[arg(long, value_name = "AMOUNT")]
    pub bond: Option<String>,
    /// Machines with their prices, in TOML, or in CSV if it ends in .csv; - for standard input.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Format of the file, whatever its name.
    #[arg(long, value_name = "FORMAT", requires = "file", conflicts_with = "slots")]
    pub format: Option<FileFormat>,
}

pub async fn run(chain: &Chain, args: RepriceArgs) -> Result<(), Failure> {
    let rows = args.file.as_deref().map(|file| rows::read(file, args.format)).transpose()?;
    let (market, board) = load(chain, args.market, args.board).await?;
    let (view, wallet, now) = (board.view()?, chain.wallet()?, chain.fetch().now().await?);
    let price = args.price.as_deref().map(|text| price(&market, text)).transpose()?;
    let bond = args.bond.as_deref().map(|text| market.stake.parse(text)).transpose()?.map(|bond| bond.amount);
    let terms = Terms { price, length: args.length, bond };
    let changes = match rows {
        Some(rows) => from_rows(&market, &Keys::new(&market, &view, wallet), terms, &rows)?,
        None => {
            let slots = slots::numbers(&market, &view, wallet, &args.slots)?;
            slots.into_iter().map(|slot| Change { slot, terms }).collect()
        }
    };
    let stake = account(chain, &market.reference.address, &wallet).await?.stake;
    act(chain, plan(&market, &view, wallet, &stake, now, &changes)?).await
}

/// New prices and commitments; the others stay.
pub fn plan(
    market: &MarketView,
    view: &BoardView,
    authority: Pubkey,
    stake: &StakeLedger,
    now: i64,
    changes: &[Change],
) -> Result<Plan, Failure> {
    if changes.is_empty() {
        return Err(Refusal::from(LeaseholdError::NoMachines).into());
    }
    if changes.iter().any(|change| change.terms == Terms::default()) {
        return Err(Failure::Input("nothing changes: pass --price, --for or --bond".to_owned()));
    }
    let (secs, next) = (view.header.round_secs, view.header.round_after(now).map_err(Refusal::from)?);
    let slots: Vec<_> = changes.iter().map(|change| change.slot).collect();
    let (mut offers, mut missing) = (Vec::new(), Bonds::default());
    for ((index, slot), Change { terms, .. }) in
        machines(market, view, authority, &slots)?.into_iter().zip(changes)
    {
        let rounds = terms.length.map(|length| length.rounds(secs)).transpose()?;
        let earliest = if slot.lease == 0 { 0 } else { slot.lease_until };
        let committed_until =
            rounds.map_or(slot.committed_until, |rounds| next.saturating_add(rounds).max(earliest));
        let (price, bond) = (terms.price.unwrap_or(slot.price), terms.bond.unwrap_or_default());
        let offer = Offer { slot: index, price, committed_until, bond };
        require_offer(&market.account, view.header, slot, &offer, next).map_err(|error| {
            let refusal = Refusal::from(error);
            match refusal.error() {
                Some(LeaseholdError::CommitmentTooShort | LeaseholdError::CommitmentTooLong) => {
                    match rounds {
                        Some(_) => out_of_range(view.header, next, committed_until, refusal),
                        // The program takes no price without a commitment, so one that is over has to be made anew.
                        None => Failure::rule(
                            refusal,
                            format!("slot {index} is committed until round {committed_until}: pass --for"),
                        ),
                    }
                }
                Some(LeaseholdError::MachineBound) => {
                    Failure::rule(refusal, format!("slot {index}, {}", bound(view.header, slot)))
                }
                Some(LeaseholdError::MachineLeased) => Failure::rule(
                    refusal,
                    format!(
                        "slot {index}: until its lease ends, its commitment can only be shortened, by --for"
                    ),
                ),
                _ => refused(index, refusal),
            }
        })?;
        // The bond of a leased machine stays as it is.
        if slot.lease == 0 {
            missing = missing.and(Bonds::of_machine(&market.account, &slot.traits, bond, slot.bond)?)?;
        }
        offers.push(offer);
    }
    { *stake }.bond(missing.now).map_err(|error| lacking(market, error, missing.now, stake))?;
    let board = market.board(view.header.index);
    let plan = Plan::new(format!("Reprice {} on board {}", count(offers.len(), "machine"), board.index))
        .fact_as("Slots:", "slots", joined(&slots), slots);
    let plan = shown(plan, market, view.header, changes, &offers);
    let plan = bonds::shown(missing, plan, market, "Added to bonds:", "bonded");
    Ok(plan.steps("reprice machines", listing::reprice(&board, authority, &offers)))
}

/// Adds every price and commitment that is signed: new values as a range, and kept ones in full, since only the RPC
/// node reported those.
fn shown(plan: Plan, market: &MarketView, board: &Board, changes: &[Change], offers: &[Offer]) -> Plan {
    let (mut prices, mut ends) = (Vec::new(), Vec::new());
    let (mut old_prices, mut old_ends) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
    for (Change { slot, terms }, offer) in changes.iter().zip(offers) {
        match terms.price {
            Some(price) => prices.push(price),
            None => old_prices.entry(offer.price).or_default().push(*slot),
        }
        match terms.length {
            Some(_) => ends.push(offer.committed_until),
            None => old_ends.entry(offer.committed_until).or_default().push(*slot),
        }
    }
    let (mut plan, all) = (plan, changes.len());
    // Where not every machine changes, it is said how many do.
    let of = |named: usize| match named == all {
        true => String::new(),
        false => format!(" ({})", count(named, "machine")),
    };
    let stays = |text: String, slots: &[u16]| match slots.len() == all {
        true => format!("{text}, unchanged"),
        false => format!("{text}, unchanged ({})", table::slots(slots)),
    };
    if let Some((low, high)) = prices.iter().min().zip(prices.iter().max()) {
        let [low, high] = [*low, *high].map(|price| market.payment.money(price));
        plan = if low == high && prices.len() == all {
            plan.money_as("Price:", "price", format!("{low} per GPU and hour"), low)
        } else {
            let from = (low != high).then(|| format!("{} to ", low.token.number(low.amount)));
            let text = format!("{}{high} per GPU and hour{}", from.unwrap_or_default(), of(prices.len()));
            let value = json!({ "lowest": low, "highest": high, "machines": prices.len() });
            plan.fact_as("Prices:", "prices", text, value)
        };
    }
    for (price, slots) in old_prices {
        let price = market.payment.money(price);
        let (text, value) =
            (stays(format!("{price} per GPU and hour"), &slots), json!({ "price": price, "slots": slots }));
        plan = plan.item("Price:", "prices_kept", text, value);
    }
    let end = |until: u32| format!("{} (round {until})", rfc3339(start_of(board, until)));
    if let Some((first, last)) = ends.iter().min().zip(ends.iter().max()) {
        plan = if first == last && ends.len() == all {
            plan.fact_as("Committed until:", "committed_until", end(*last), *last)
        } else {
            let from = (first != last).then(|| format!("{} to ", end(*first)));
            let text = format!("{}{}{}", from.unwrap_or_default(), end(*last), of(ends.len()));
            let value = json!({ "first": first, "last": last, "machines": ends.len() });
            plan.fact_as("Committed until:", "committed", text, value)
        };
    }
    for (until, slots) in old_ends {
        let value = json!({ "committed_until": until, "slots": slots });
        plan = plan.item("Committed until:", "committed_kept", stays(end(until), &slots), value);
    }
    plan
}

#[cfg(test)]
pub mod tests {
    use anchor_lang::AnchorDeserialize;
    use leasehold_client::sample::{change, wallet};
    use leasehold_operate::sample::{announcing, rule, view};

    use super::{
        super::plan::tests::{NOW, board, text},
        *,
    };

    pub fn offers(plan: &Plan) -> Vec<Offer> {
        Vec::try_from_slice(&plan.steps[0].instructions[0].data[8..]).unwrap()
    }

    pub fn free(free: u64) -> StakeLedger {
        StakeLedger { free, ..StakeLedger::default() }
    }

    #[test]
    fn what_the_program_would_refuse_is_refused_at_once() {
        let data = board();
        let refused = |free: &StakeLedger, now, length| {
            let changes = [Change { slot: 3, terms: Terms { price: Some(1), length, bond: None } }];
            plan(&view(), &data.view().unwrap(), wallet(1), free, now, &changes).map_err(rule)
        };
        assert_eq!(refused(&free(59), NOW, None).unwrap_err(), "InsufficientStake");
        // It is committed until round 2,000, so no longer for any round after 1,999.
        assert!(refused(&free(60), 1_998 * 600, None).is_ok());
        assert_eq!(refused(&free(60), 1_999 * 600, None).unwrap_err(), "CommitmentTooShort");
        assert!(refused(&free(60), 1_999 * 600, Some(Length::Rounds(5))).is_ok());
    }

    #[test]
    fn whatever_is_signed_is_shown_also_what_only_the_board_says() {
        let mut data = board();
        change(&mut data, |_, slots| {
            for (slot, (price, until)) in
                slots.iter_mut().zip([(7, 2_000), (360, 3_000), (7, 2_000), (7, 2_000)])
            {
                *slot = leasehold_client::sample::slot(1);
                (slot.price, slot.committed_until) = (price, until);
            }
        });
        let with = |slot, price, length| Change { slot, terms: Terms { price, length, bond: None } };
        let five = Some(Length::Rounds(5));
        let changes = [with(0, None, five), with(1, None, five), with(2, None, five), with(3, Some(9), None)];
        let plan = plan(&view(), &data.view().unwrap(), wallet(1), &free(0), NOW, &changes).unwrap();
        let mint = leasehold_operate::amount::short(&view().payment.mint);
        let texts: Vec<_> = plan.facts[1..6].iter().map(|fact| fact.text.as_str()).collect();
        let expected = [
            &format!("0.000009 of {mint} per GPU and hour (1 machine)"),
            &format!("0.000007 of {mint} per GPU and hour, unchanged (slots 0, 2)"),
            &format!("0.00036 of {mint} per GPU and hour, unchanged (slot 1)"),
            "1970-01-07T23:40:00Z (round 1006) (3 machines)",
            "1970-01-14T21:20:00Z (round 2000), unchanged (slot 3)",
        ];
        assert_eq!(texts, expected);
        let details = plan.details();
        assert_eq!(details["prices_kept"][0]["price"]["amount"], "7");
        assert_eq!(details["prices_kept"][1]["slots"], json!([1]));
        assert_eq!(details["committed_kept"], json!([{ "committed_until": 2_000, "slots": [3] }]));
        // Each offer is of a value that is shown for its slot.
        let signed: Vec<_> = offers(&plan).iter().map(|offer| (offer.price, offer.committed_until)).collect();
        assert_eq!(signed, [(7, 1_006), (360, 1_006), (7, 1_006), (9, 2_000)]);
    }

    #[test]
    fn a_leased_machines_commitment_is_shortened_to_its_leases_end_and_nothing_else() {
        let data = board();
        let reprice = |terms| {
            let changes = [Change { slot: 0, terms }];
            plan(&view(), &data.view().unwrap(), wallet(0), &free(0), NOW, &changes)
        };
        let terms = Terms { length: Some(Length::Rounds(1)), ..Terms::default() };
        let shorter = reprice(terms).unwrap();
        // Its lease ends with round 1,009; its bond stays as it is.
        assert_eq!(offers(&shorter), [Offer { slot: 0, price: 360, committed_until: 1_010, bond: 0 }]);
        assert_eq!(shorter.details()["bonded"]["amount"], "0");
        let longer = reprice(Terms { length: Some(Length::Rounds(2_000)), ..terms }).unwrap_err();
        assert!(longer.to_string().contains("can only be shortened"), "{longer}");
        assert_eq!(rule(longer), "MachineLeased");
        assert_eq!(rule(reprice(Terms { price: Some(1), ..terms }).unwrap_err()), "MachineLeased");
    }

    #[test]
    fn a_bound_machine_is_only_made_cheaper() {
        let mut data = board();
        change(&mut data, |_, slots| slots[3].bind(1_500));
        let reprice = |price| {
            let changes = [Change { slot: 3, terms: Terms { price: Some(price), ..Terms::default() } }];
            plan(&view(), &data.view().unwrap(), wallet(1), &free(60), NOW, &changes)
        };
        assert!(reprice(359).is_ok());
        let refused = reprice(361).unwrap_err();
        assert!(
            refused.to_string().contains("bound until 1970-01-11T10:00:00Z: its last owner"),
            "{refused}"
        );
        assert_eq!(rule(refused), "MachineBound");
    }

    #[test]
    fn more_is_bonded_than_the_minimum_if_that_is_asked_for() {
        let data = board();
        let changes = [Change { slot: 3, terms: Terms { bond: Some(150), ..Terms::default() } }];
        let plan = plan(&view(), &data.view().unwrap(), wallet(1), &free(200), NOW, &changes).unwrap();
        assert_eq!(offers(&plan)[0].bond, 150);
        assert_eq!(plan.details()["bonded"]["amount"], "110");
    }

    #[test]
    fn a_bond_may_be_made_whole_by_announced_parameters() {
        let (data, market) = (board(), announcing(|params| params.bond_unit = 150));
        let changes = [Change { slot: 3, terms: Terms { price: Some(1), ..Terms::default() } }];
        let plan = |free| plan(&market, &data.view().unwrap(), wallet(1), &free, NOW, &changes);
        assert_eq!(plan(free(60)).unwrap().details()["bonded"]["amount"], "110");
        assert_eq!(rule(plan(free(59)).unwrap_err()), "InsufficientStake");
    }

    #[test]
    fn a_new_price_keeps_the_commitment_and_makes_the_bond_whole() {
        let data = board();
        let view_of = data.view().unwrap();
        let reprice = |supplier, slots: &[u16], price, length| {
            let terms = Terms { price, length, bond: None };
            let changes: Vec<_> = slots.iter().map(|slot| Change { slot: *slot, terms }).collect();
            plan(&view(), &view_of, wallet(supplier), &free(60), NOW, &changes)
        };
        let plan = reprice(1, &[3], Some(500_000), None).unwrap();
        assert_eq!(offers(&plan), [Offer { slot: 3, price: 500_000, committed_until: 2_000, bond: 0 }]);
        assert_eq!(plan.details()["bonded"]["amount"], "60");
        let longer = reprice(1, &[3], None, Some(Length::Rounds(5))).unwrap();
        assert_eq!(offers(&longer), [Offer { slot: 3, price: 360, committed_until: 1_006, bond: 0 }]);
        assert_eq!(longer.details()["committed_until"], 1_006);
        let fact = |plan: &Plan, label| {
            plan.facts.iter().find(|fact| fact.label == label).map(|fact| fact.text.clone()).unwrap()
        };
        let mint = leasehold_operate::amount::short(&view().payment.mint);
        assert_eq!(fact(&longer, "Price:"), format!("0.00036 of {mint} per GPU and hour, unchanged"));
        assert_eq!(fact(&plan, "Committed until:"), "1970-01-14T21:20:00Z (round 2000), unchanged");
        assert_eq!(reprice(1, &[3], None, None).unwrap_err().code(), 2);
        assert_eq!(reprice(1, &[], Some(1), None).unwrap_err().code(), 3);
        assert!(text(reprice(0, &[0], Some(1), None)).contains("(slot 0: until its lease ends"));
        assert!(text(reprice(1, &[3, 2], Some(1), None)).ends_with("(slot 2)"));
        assert!(text(reprice(1, &[9], Some(1), None)).ends_with("(slot 9)"));
        assert!(text(reprice(0, &[3], Some(1), None)).ends_with("(slot 3)"));
        assert_eq!(price(&view(), "0").unwrap_err().code(), 3);
        assert_eq!(price(&view(), "0.5").unwrap(), 500_000);
    }
}
