use anchor_lang::Discriminator;
use leasehold::{
    instruction as data,
    state::{Params, PendingParams},
};
use leasehold_client::sample;
use leasehold_operate::market::{
    file::Rules,
    params::{Class, ParamsFile},
};

use super::*;

/// The sample's market: id 7, authority wallet 8, one board, a timelock of two days.
const AUTHORITY: u8 = 8;
const EXAMPLE: &str = include_str!("../../example.toml");

fn view() -> MarketView {
    let snapshot = sample::snapshot();
    MarketView::new(snapshot.address, snapshot.market, mint(6), mint(2))
}

fn mint(decimals: u8) -> MintInfo {
    let token_program = sample::market().payment_token_program;
    MintInfo { decimals, token_program, freeze_authority: None }
}

/// The file that the sample's market is as.
fn file() -> MarketFile {
    let market = view();
    let rules = Rules {
        round_secs: 600,
        submit_secs: 300,
        seats: 3,
        threshold: 2,
        abandon_rounds: 4,
        sla_bps: 9_900,
    };
    MarketFile {
        id: 7,
        authority: None,
        payment_mint: market.payment.mint.to_string(),
        stake_mint: market.stake.mint.to_string(),
        timelock_secs: 172_800,
        boards: 1,
        rules,
        params: ParamsFile::of(market.payment, market.stake, &market.account.params),
    }
}

/// A file that names the authority of the sample's market.
fn pinned(file: MarketFile) -> MarketFile {
    MarketFile { authority: Some(sample::wallet(AUTHORITY).to_string()), ..file }
}

fn changed() -> MarketFile {
    let params = ParamsFile { bond_unit: "2.5".to_owned(), ..file().params };
    MarketFile { params, ..file() }
}

fn bare() -> Found {
    Found::Nothing { payment: mint(6), stake: mint(2) }
}

fn planned(file: &MarketFile, market: Found, wallet: u8, now: i64) -> Result<Deployment, Failure> {
    let genesis = Hash::new_from_array(sample::GENESIS);
    plan(file, &Snapshot { market, now, genesis, wallet: sample::wallet(wallet) })
}

/// A market that differs from the sample's, and a file, seen by the market's authority at second 100.
fn by_authority(file: &MarketFile, change: impl FnOnce(&mut MarketView)) -> Deployment {
    let mut market = view();
    change(&mut market);
    planned(file, Found::Market(Box::new(market)), AUTHORITY, 100).unwrap()
}

fn announced(file: &MarketFile, effective_at: i64) -> impl FnOnce(&mut MarketView) {
    let params = file.params.params(&sample::rules(), view().payment, view().stake).unwrap();
    let expires_at = effective_at + 1_000;
    move |market| market.account.pending_params = Some(PendingParams { params, effective_at, expires_at })
}

fn states(deployment: &Deployment) -> Vec<(&str, State, Option<usize>)> {
    deployment.findings.iter().map(|found| (found.what.as_str(), found.state, found.step)).collect()
}

fn sends(deployment: &Deployment, discriminators: &[&[u8]]) {
    let steps = &deployment.plan.steps;
    assert_eq!(steps.len(), discriminators.len(), "{steps:?}");
    for (step, start) in steps.iter().zip(discriminators) {
        assert!(step.instructions.len() == 1 && step.instructions[0].data.starts_with(start), "{step:?}");
    }
}

const UNCHANGED: (&str, State, Option<usize>) = ("market", State::Unchanged, None);
const BOARDS: (&str, State, Option<usize>) = ("boards", State::Unchanged, None);

#[test]
fn what_is_missing_is_created_in_order() {
    let file = MarketFile { boards: 2, ..file() };
    let deployment = planned(&file, bare(), 1, 0).unwrap();
    let created = |what, step| (what, State::Created, Some(step));
    let expected =
        [created("market", 0), created("parameters", 0), created("board 0", 1), created("board 1", 2)];
    assert_eq!(states(&deployment), expected);
    let board = data::CreateBoard::DISCRIMINATOR;
    sends(&deployment, &[data::CreateMarket::DISCRIMINATOR, board, board]);
    let plan = &deployment.plan;
    assert_eq!(plan.steps.iter().map(|step| step.builds).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!((plan.title.as_str(), plan.growths.len()), ("Deploy market 7", 6));
    assert_eq!(plan.details()["authority"], sample::wallet(1).to_string());
}

#[test]
fn nothing_is_sent_where_all_is_as_the_file_has_it() {
    let deployment = by_authority(&file(), |_| ());
    assert_eq!(states(&deployment), [UNCHANGED, ("parameters", State::Unchanged, None), BOARDS]);
    assert!(deployment.plan.steps.is_empty());
    // Whoever looks.
    let by_others = planned(&pinned(file()), Found::Market(Box::new(view())), 1, 0).unwrap();
    assert_eq!(by_others.findings, deployment.findings);
    // Another spelling of an amount is the same amount, and announced parameters that change nothing stay.
    let params = ParamsFile { bond_unit: "1.00".to_owned(), ..file().params };
    let spelled = MarketFile { params, ..file() };
    assert!(by_authority(&spelled, announced(&file(), 0)).plan.steps.is_empty());
}

#[test]
fn boards_are_counted_as_they_exist_and_numbered_as_they_come() {
    let three = MarketFile { boards: 3, ..file() };
    // Of five boards that were created, four were closed.
    let deployment = by_authority(&three, |market| market.account.next_board = 5);
    let created = |what, step| (what, State::Created, Some(step));
    assert_eq!(states(&deployment)[2..], [created("board 5", 0), created("board 6", 1)]);
    assert_eq!(deployment.findings[2].detail, view().board(5).address.to_string());
    assert_eq!(deployment.plan.steps.iter().map(|step| step.builds).collect::<Vec<_>>(), [false, true]);

    let none = MarketFile { boards: 0, ..file() };
    let left = by_authority(&none, |_| ());
    assert!(left.plan.steps.is_empty());
    assert_eq!(left.findings[2].detail, "1 board, 0 asked for, and more are left alone");
}

#[test]
fn parameters_are_announced_then_waited_for_then_applied() {
    let proposed = by_authority(&changed(), |_| ());
    assert_eq!(states(&proposed), [UNCHANGED, ("parameters", State::Proposed, Some(0)), BOARDS]);
    sends(&proposed, &[data::ProposeParams::DISCRIMINATOR]);
    let detail = "other bond_unit from 1970-01-03T00:01:40Z on: run it again after the timelock";
    assert_eq!(proposed.findings[1].detail, detail);
    let details = proposed.plan.details();
    assert_eq!((&details["bond_unit"], &details["was"]["bond_unit"]), (&"2.5".into(), &"1".into()));

    let waiting = by_authority(&changed(), announced(&changed(), 101));
    assert_eq!(states(&waiting)[1], ("parameters", State::Waiting, None));
    assert!(waiting.findings[1].detail.contains("from 1970-01-01T00:01:41Z on"));
    assert!(waiting.plan.steps.is_empty());
    assert_eq!(waiting.plan.details()["effective_from"], "1970-01-01T00:01:41Z", "programs wait for it");

    let due = by_authority(&changed(), announced(&changed(), 100));
    assert_eq!(states(&due)[1], ("parameters", State::Updated, Some(0)));
    sends(&due, &[data::ApplyParams::DISCRIMINATOR]);
}

#[test]
fn what_was_announced_and_is_not_the_files_is_replaced_or_taken_back() {
    let other = MarketFile { params: ParamsFile { fee_bps: 7, ..file().params }, ..file() };
    // Due or not: it is never applied.
    for effective_at in [0, 1_000] {
        let replaced = by_authority(&changed(), announced(&other, effective_at));
        sends(&replaced, &[data::ProposeParams::DISCRIMINATOR]);
        assert!(replaced.findings[1].detail.contains("instead of those proposed before"), "{replaced:?}");
        let withdrawn = by_authority(&file(), announced(&other, effective_at));
        assert_eq!(states(&withdrawn)[1], ("parameters", State::Withdrawn, Some(0)));
        sends(&withdrawn, &[&[data::ProposeParams::DISCRIMINATOR, &[0]].concat()]);
    }
}

#[test]
fn classes_are_added_and_boards_with_them_in_one_run() {
    let mut file = MarketFile { boards: 2, ..file() };
    file.params.classes.push(Class { name: "H100 80GB".to_owned(), weight_bps: 60_000 });
    let deployment = by_authority(&file, |_| ());
    sends(&deployment, &[data::ProposeParams::DISCRIMINATOR, data::CreateBoard::DISCRIMINATOR]);
    assert_eq!(states(&deployment)[2], ("board 1", State::Created, Some(1)));
    assert!(!deployment.plan.steps[1].builds, "it can be simulated");
    assert!(deployment.plan.facts.iter().any(|fact| fact.text == "adds H100 80GB (weight 60000)"));
    assert_eq!(deployment.plan.details()["classes"][1]["name"], "H100 80GB");
    file.params.classes = vec![];
    assert_eq!(planned(&file, Found::Market(Box::new(view())), AUTHORITY, 0).unwrap_err().code(), 3);
}

#[test]
fn only_the_authority_changes_a_market_and_anybody_applies_what_it_announced() {
    let refused = |file: &MarketFile, change: &dyn Fn(&mut MarketView)| {
        let mut market = view();
        change(&mut market);
        let failure = planned(&pinned(file.clone()), Found::Market(Box::new(market)), 1, 100).unwrap_err();
        assert_eq!(failure.code(), 3);
        let text = failure.to_string();
        assert!(text.contains(&sample::wallet(AUTHORITY).to_string()), "{text}");
    };
    refused(&changed(), &|_| ());
    refused(&MarketFile { boards: 2, ..file() }, &|_| ());
    let other = Params { fee_bps: 7, ..sample::params() };
    let pending = PendingParams { params: other, effective_at: 0, expires_at: 1_000 };
    refused(&file(), &|market| market.account.pending_params = Some(pending.clone()));

    let mut due = view();
    announced(&changed(), 100)(&mut due);
    let market = || Found::Market(Box::new(due.clone()));
    let applied = planned(&pinned(changed()), market(), 1, 100).unwrap();
    sends(&applied, &[data::ApplyParams::DISCRIMINATOR]);
    assert_eq!(
        planned(&changed(), market(), 1, 100).unwrap_err().code(),
        3,
        "only where it is known whose it is"
    );
}

#[test]
fn a_market_that_somebody_else_was_faster_to_create_is_refused() {
    let there = || Found::Market(Box::new(view()));
    let taken = planned(&file(), there(), 1, 100).unwrap_err();
    assert_eq!(taken.code(), 3);
    let text = taken.to_string();
    assert!(text.contains(&sample::wallet(AUTHORITY).to_string()) && text.contains("--authority"), "{text}");
    let other = MarketFile { authority: Some(sample::wallet(1).to_string()), ..file() };
    for wallet in [1, AUTHORITY] {
        assert_eq!(planned(&other, there(), wallet, 100).unwrap_err().code(), 3);
    }
    assert_eq!(planned(&pinned(file()), bare(), 1, 100).unwrap_err().code(), 3, "it would become another's");
    assert!(planned(&pinned(file()), bare(), AUTHORITY, 100).is_ok());
    assert!(planned(&MarketFile { authority: Some("me".to_owned()), ..file() }, there(), 1, 0).is_err());
}

#[test]
fn what_is_fixed_for_good_is_refused_by_name() {
    let rules = Rules { seats: 5, threshold: 3, ..file().rules };
    let file =
        MarketFile { payment_mint: file().stake_mint, stake_mint: file().payment_mint, rules, ..changed() };
    let failure = planned(&file, Found::Market(Box::new(view())), AUTHORITY, 0).unwrap_err();
    assert_eq!(failure.code(), 3);
    let text = failure.to_string();
    let mint = sample::market().payment_mint;
    for expected in [&format!("payment_mint is {mint}, not"), "stake_mint is", "rules.seats is 3, not 5"] {
        assert!(text.contains(expected), "{text}");
    }
    for same in ["round_secs", "timelock_secs", "bond_unit"] {
        assert!(!text.contains(same), "{text}");
    }
    let timelock = MarketFile { timelock_secs: 172_801, ..self::file() };
    let text = planned(&timelock, Found::Market(Box::new(view())), AUTHORITY, 0).unwrap_err().to_string();
    assert!(text.contains("timelock_secs is 172800, not 172801"), "{text}");
}

#[test]
fn a_proposal_that_expired_is_made_again() {
    let again = by_authority(&changed(), announced(&changed(), -901));
    assert_eq!(states(&again)[1], ("parameters", State::Proposed, Some(0)));
    sends(&again, &[data::ProposeParams::DISCRIMINATOR]);
    let detail = &again.findings[1].detail;
    assert!(detail.ends_with("again: the proposal expired at 1970-01-01T00:01:39Z"), "{detail}");
}

#[test]
fn a_market_that_states_another_cluster_is_refused_and_a_test_market_is_shown_as_such() {
    let mut market = view();
    market.account.genesis = [1; 32];
    let refused = planned(&file(), Found::Market(Box::new(market)), AUTHORITY, 0).unwrap_err();
    assert!(refused.code() == 3 && refused.to_string().contains("states the genesis hash"), "{refused}");
    let rules = Rules { round_secs: 10, submit_secs: 10, ..file().rules };
    let test = planned(&MarketFile { rules, ..file() }, bare(), 1, 0).unwrap();
    assert!(test.findings[0].detail.contains("TEST MARKET"), "{:?}", test.findings);
}

#[test]
fn the_example_can_be_deployed_and_has_every_field() {
    let file: MarketFile = toml::from_str(EXAMPLE).unwrap();
    let deployment = planned(&file, bare(), 1, 0).unwrap();
    assert_eq!(deployment.plan.steps.len(), 3);
    assert!(EXAMPLE.contains("\nboards = "));
    let table: toml::Table = toml::from_str(EXAMPLE).unwrap();
    for (name, _) in &table {
        let mut less = table.clone();
        less.remove(name);
        assert_eq!(less.try_into::<MarketFile>().is_ok(), name == "boards", "{name}");
    }
    let pinned: MarketFile = toml::from_str(&EXAMPLE.replace("\n# authority = ", "\nauthority = ")).unwrap();
    assert!(pinned.authority().unwrap().is_some(), "the example says how an authority is named");
}
