//! Parameters, authority and pause.

use leasehold::{error::LeaseholdError, state::Params};
use leasehold_client::instruction;
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::{TIMELOCK, classes, governed};

/// Seconds after the timelock in which parameters can be applied.
const EXPIRY: i64 = 14 * 86_400;

/// One more hardware class.
fn with_class(mut params: Params) -> Params {
    params.classes.extend(classes(1));
    params
}

fn propose(world: &World, params: Params) -> Instruction {
    instruction::propose_params(&world.market, world.authority.pubkey(), Some(params))
}

#[test]
fn propose_params_and_apply_params_ok() {
    let (mut world, authority) = governed();
    let next = Params { fee_bps: 500, ..with_class(params()) };
    let propose = propose(&world, next.clone());
    world.ok(&[propose], &[&authority]);
    let pending = world.market_account().pending_params.expect("proposed");
    assert_eq!((pending.params, pending.effective_at), (next.clone(), START + TIMELOCK));
    assert_eq!(pending.expires_at, START + TIMELOCK + EXPIRY);
    assert_eq!(world.market_account().params, params(), "nothing applies before its time");

    world.pass(TIMELOCK);
    let anybody = world.wallet();
    world.ok(&[instruction::apply_params(&world.market)], &[&anybody]);
    let market = world.market_account();
    assert_eq!((market.params, market.pending_params), (next, None));
}

#[test]
fn propose_params_restarts_the_timelock_when_it_replaces_a_proposal() {
    let (mut world, authority) = governed();
    let first = propose(&world, Params { fee_bps: 1, ..params() });
    world.ok(&[first], &[&authority]);
    world.pass(TIMELOCK - 1);
    let second = propose(&world, Params { fee_bps: 2, ..params() });
    world.ok(&[second], &[&authority]);
    world.pass(TIMELOCK - 1);
    let apply = instruction::apply_params(&world.market);
    world.fails(apply.clone(), &[&authority], LeaseholdError::TimelockRunning);
    world.pass(1);
    world.ok(&[apply], &[&authority]);
    assert_eq!(world.market_account().params.fee_bps, 2);
}

#[test]
fn propose_params_fails_when_the_new_ones_are_not_allowed() {
    let (mut world, authority) = governed();
    let mut dropped = params();
    dropped.classes.pop();
    let dropped = propose(&world, dropped);
    world.fails(dropped, &[&authority], LeaseholdError::ClassDropped);
    let greedy = propose(&world, Params { fee_bps: 3_001, ..params() });
    world.fails(greedy, &[&authority], LeaseholdError::FeeTooHigh);
}

#[test]
fn apply_params_fails_when_nothing_is_proposed() {
    let (mut world, authority) = governed();
    let apply = instruction::apply_params(&world.market);
    world.fails(apply.clone(), &[&authority], LeaseholdError::NothingProposed);
    let propose = propose(&world, params());
    let take_back = instruction::propose_params(&world.market, authority.pubkey(), None);
    world.ok(&[propose, take_back], &[&authority]);
    world.pass(TIMELOCK);
    world.fails(apply, &[&authority], LeaseholdError::NothingProposed);
}

#[test]
fn apply_params_fails_when_the_timelock_runs() {
    let (mut world, authority) = governed();
    let propose = propose(&world, params());
    world.ok(&[propose], &[&authority]);
    world.pass(TIMELOCK - 1);
    let apply = instruction::apply_params(&world.market);
    world.fails(apply, &[&authority], LeaseholdError::TimelockRunning);
}

#[test]
fn apply_params_fails_when_the_proposal_has_expired() {
    let (mut world, authority) = governed();
    let first = propose(&world, params());
    world.ok(&[first], &[&authority]);
    let apply = instruction::apply_params(&world.market);
    world.pass(TIMELOCK + EXPIRY + 1);
    world.fails(apply.clone(), &[&authority], LeaseholdError::ProposalExpired);
    // Another proposal has a timelock of its own, and can be applied until its last second.
    let again = propose(&world, params());
    world.ok(&[again], &[&authority]);
    world.pass(TIMELOCK + EXPIRY);
    world.ok(&[apply], &[&authority]);
}

#[test]
fn apply_params_never_touches_an_open_lease() {
    let Scene { mut world, keepers, buyer, .. } = Scene::leased(2, 2, 500);
    let authority = world.authority.insecure_clone();
    let terms = world.lease(1).terms;
    let harsh = Params { fee_bps: 3_000, hold_bps: 5_000, slash_multiplier_bps: 100_000, ..params() };
    let propose = propose(&world, harsh);
    world.ok(&[propose], &[&authority]);
    world.pass(TIMELOCK);
    let apply = instruction::apply_params(&world.market);
    world.ok(&[apply], &[&authority]);
    world.attest(&keepers, |machine| machine == 0);
    world.go_to_round(world.lease(1).until + 1);
    world.ok(&[instruction::close_round(&world.board())], &[&buyer]);
    world.settle(&buyer, 1);
    let lease = world.lease(1);
    assert_eq!(lease.terms, terms);
    assert_eq!(lease.paid + lease.fees, 58_333, "one round of one machine");
    assert_eq!(lease.fees, 58_333 * 300 / 10_000, "at the fee it was opened with");
    world.assert_invariants();
}

#[test]
fn propose_authority_and_accept_authority_ok() {
    let (mut world, authority) = governed();
    let heir = world.wallet();
    let offer = instruction::propose_authority(&world.market, authority.pubkey(), Some(heir.pubkey()));
    world.ok(&[offer], &[&authority]);
    assert_eq!(world.market_account().authority, authority.pubkey(), "until it is accepted");
    let accept = instruction::accept_authority(&world.market, heir.pubkey());
    world.ok(core::slice::from_ref(&accept), &[&heir]);
    let market = world.market_account();
    assert_eq!((market.authority, market.pending_authority), (heir.pubkey(), None));
    let pause = instruction::set_paused(&world.market, authority.pubkey(), true);
    world.fails(pause, &[&authority], LeaseholdError::WrongAuthority);
    world.fails(accept, &[&heir], LeaseholdError::WrongAuthority);
}

#[test]
fn accept_authority_fails_when_the_offer_was_taken_back_or_is_for_somebody_else() {
    let (mut world, authority) = governed();
    let (heir, stranger) = (world.wallet(), world.wallet());
    let offer = |world: &World, to| instruction::propose_authority(&world.market, authority.pubkey(), to);
    let accept = |world: &World, who: &Keypair| instruction::accept_authority(&world.market, who.pubkey());
    let to_heir = offer(&world, Some(heir.pubkey()));
    world.ok(&[to_heir], &[&authority]);
    let by_stranger = accept(&world, &stranger);
    world.fails(by_stranger, &[&stranger], LeaseholdError::WrongAuthority);
    let take_back = offer(&world, None);
    world.ok(&[take_back], &[&authority]);
    let by_heir = accept(&world, &heir);
    world.fails(by_heir, &[&heir], LeaseholdError::WrongAuthority);
}

#[test]
fn set_paused_stops_listing_opening_and_extending_and_nothing_else() {
    let mut catalogue = Catalogue::new();
    let (market, authority) = (catalogue.world.market, catalogue.world.authority.insecure_clone());
    let pause = instruction::set_paused(&market, authority.pubkey(), true);
    catalogue.world.ok(&[pause], &[&authority]);
    assert!(catalogue.world.market_account().paused);
    let paused = u32::from(LeaseholdError::MarketPaused);
    for case in &catalogue.cases {
        let signers: Vec<_> = case.signers.iter().collect();
        let stopped = ["list_machines", "open_lease", "extend_lease"].contains(&case.name);
        let expected = if stopped { Err(custom(paused)) } else { Ok(()) };
        assert_eq!(catalogue.run(&case.instruction, &signers), expected, "{}", case.name);
    }
    let resume = instruction::set_paused(&market, authority.pubkey(), false);
    catalogue.world.ok(&[resume], &[&authority]);
    let (open, buyer) = (catalogue.case("open_lease").instruction.clone(), catalogue.buyer.insecure_clone());
    catalogue.world.ok(&[open], &[&buyer]);
}

#[test]
fn list_machines_fails_when_the_market_is_paused() {
    let Scene { mut world, supplier, .. } = Scene::listed(1);
    let authority = world.authority.insecure_clone();
    let pause = instruction::set_paused(&world.market, authority.pubkey(), true);
    world.ok(&[pause], &[&authority]);
    let list = world.list_instruction(&supplier, world.round() + 10, &[machine(1)]);
    world.fails(list, &[&supplier.wallet], LeaseholdError::MarketPaused);
}
