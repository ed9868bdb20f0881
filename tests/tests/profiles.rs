//! A supplier's profiles: descriptions that its machines name by number.

use anchor_lang::error::ErrorCode;
use leasehold::{
    constants::MAX_PROFILES,
    error::LeaseholdError,
    instructions::Machine,
    state::{Profile, ProfileKind, Profiles, Slot},
};
use leasehold_client::{address, instruction};
use leasehold_tests::*;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

/// Profiles that one transaction has room for.
const BATCH_OF_PROFILES: usize = 14;

fn driver(version: &str) -> [u8; 16] {
    let mut padded = [0; 16];
    padded[..version.len()].copy_from_slice(version.as_bytes());
    padded
}

/// A supplier with free stake and an empty list of profiles.
fn with_profiles() -> (World, SupplierActor) {
    let mut world = World::new();
    let supplier = world.supplier();
    let create = instruction::create_profiles(&world.market, supplier.wallet.pubkey());
    world.ok(&[create], &[&supplier.wallet]);
    (world, supplier)
}

fn add(world: &World, supplier: &SupplierActor, entries: Vec<Profile>) -> Instruction {
    instruction::add_profiles(&world.market, supplier.wallet.pubkey(), entries)
}

fn close(world: &World, supplier: &SupplierActor) -> Instruction {
    instruction::close_profiles(&world.market, supplier.wallet.pubkey())
}

fn account(supplier: &SupplierActor) -> Pubkey {
    address::profiles(&supplier.account)
}

fn profiles(world: &World, supplier: &SupplierActor) -> Profiles {
    world.account(&account(supplier))
}

#[test]
fn create_profiles_ok() {
    let (mut world, supplier) = with_profiles();
    let profiles = profiles(&world, &supplier);
    assert_eq!((profiles.version, profiles.supplier), (Profiles::VERSION, supplier.account));
    assert_eq!(profiles.entries, []);
    let again = instruction::create_profiles(&world.market, supplier.wallet.pubkey());
    world.fails(again, &[&supplier.wallet], SYSTEM_ACCOUNT_IN_USE);
}

#[test]
fn add_profiles_ok() {
    let (mut world, supplier) = with_profiles();
    let before = world.data(&account(&supplier)).len();
    let metal = Profile { kind: ProfileKind::Metal as u8, driver: [0; 16], ..profile(2) };
    let first = add(&world, &supplier, vec![profile(1), metal]);
    world.ok(&[first], &[&supplier.wallet]);
    let second = add(&world, &supplier, vec![profile(3)]);
    world.ok(&[second], &[&supplier.wallet]);
    let entries = profiles(&world, &supplier).entries;
    assert_eq!(entries, [profile(1), metal, profile(3)]);
    assert_eq!((entries[0].driver(), entries[1].driver()), (Some("570.133.20"), Some("")));
    let len = world.data(&account(&supplier)).len();
    assert_eq!(len - before, 3 * 64);
    let rent = world.svm.minimum_balance_for_rent_exemption(len);
    assert_eq!(world.lamports(&account(&supplier)), rent, "the authority has paid for the growth");
    world.assert_invariants();
}

#[test]
fn add_profiles_ok_until_there_are_64() {
    let (mut world, supplier) = with_profiles();
    let all: Vec<Profile> = (1..=64).map(profile).collect();
    for entries in all.chunks(BATCH_OF_PROFILES) {
        let add = add(&world, &supplier, entries.to_vec());
        world.ok(&[add], &[&supplier.wallet]);
    }
    assert_eq!(profiles(&world, &supplier).entries, all);
    assert_eq!(all.len(), MAX_PROFILES);
    let one_more = add(&world, &supplier, vec![profile(65)]);
    world.fails(one_more, &[&supplier.wallet], LeaseholdError::ProfilesFull);
}

#[test]
fn add_profiles_fails_when_an_entry_is_malformed() {
    let (mut world, supplier) = with_profiles();
    let refusals = [
        (Profile { kind: 3, ..profile(1) }, LeaseholdError::UnknownProfileKind),
        (Profile { interconnect: 5, ..profile(1) }, LeaseholdError::UnknownInterconnect),
        (profile(0), LeaseholdError::ProfileIncomplete),
        (Profile { vram_mb: 0, ..profile(1) }, LeaseholdError::ProfileIncomplete),
        (Profile { memory_gb: 0, ..profile(1) }, LeaseholdError::ProfileIncomplete),
        (Profile { disk_gb: 0, ..profile(1) }, LeaseholdError::ProfileIncomplete),
        (Profile { driver: [0xff; 16], ..profile(1) }, LeaseholdError::DriverMalformed),
        (Profile { driver: driver("570\x00133"), ..profile(1) }, LeaseholdError::DriverMalformed),
        (Profile { driver: driver("\x1b[2J"), ..profile(1) }, LeaseholdError::DriverMalformed),
        (Profile { reserved: [1; 32], ..profile(1) }, LeaseholdError::ReservedBits),
    ];
    for (malformed, error) in refusals {
        let add = add(&world, &supplier, vec![profile(1), malformed]);
        world.fails(add, &[&supplier.wallet], error);
    }
    let nothing = add(&world, &supplier, vec![]);
    world.fails(nothing, &[&supplier.wallet], LeaseholdError::NoProfiles);
    assert_eq!(profiles(&world, &supplier).entries, [], "no refusal left anything behind");
}

#[test]
fn add_profiles_fails_when_they_are_somebody_elses() {
    let (mut world, supplier) = with_profiles();
    let mallory = world.supplier();
    let mut add = add(&world, &supplier, vec![profile(1)]);
    add.accounts[0].pubkey = mallory.wallet.pubkey();
    world.fails(add.clone(), &[&mallory.wallet], LeaseholdError::WrongAuthority);
    add.accounts[1].pubkey = mallory.account;
    world.fails(add, &[&mallory.wallet], LeaseholdError::WrongSupplier);
}

/// A machine may name a profile that its supplier adds later.
#[test]
fn a_machine_names_its_profile() {
    let (mut world, supplier) = with_profiles();
    let machines = [Machine { profile: Some(63), ..machine(0) }, machine(1)];
    world.list(&supplier, COMMITTED, &machines);
    assert_eq!((world.slot(0).profile, world.slot(1).profile), (63, Slot::NO_PROFILE));
    let beyond = Machine { profile: Some(64), ..machine(2) };
    let list = world.list_instruction(&supplier, world.round() + COMMITTED, &[beyond]);
    world.fails(list, &[&supplier.wallet], LeaseholdError::ProfileOutOfRange);
}

#[test]
fn close_profiles_ok() {
    let (mut world, supplier) = with_profiles();
    let add = add(&world, &supplier, vec![profile(1)]);
    world.ok(&[add], &[&supplier.wallet]);
    let (rent, key) = (world.lamports(&account(&supplier)), supplier.wallet.pubkey());
    let (before, payer) = (world.lamports(&key), world.wallet());
    let close = close(&world, &supplier);
    world.ok(&[close], &[&payer, &supplier.wallet]);
    assert_eq!(world.lamports(&key) - before, rent);
    assert_eq!(world.lamports(&account(&supplier)), 0);
    let create = instruction::create_profiles(&world.market, key);
    world.ok(&[create], &[&supplier.wallet]);
}

/// A lease relies on the profiles of its machines.
#[test]
fn close_profiles_fails_when_the_supplier_has_machines() {
    let (mut world, supplier) = with_profiles();
    world.list(&supplier, COMMITTED, &[machine(0)]);
    let close = close(&world, &supplier);
    world.fails(close, &[&supplier.wallet], LeaseholdError::MachinesLeft);
}

#[test]
fn close_profiles_fails_when_they_are_somebody_elses() {
    let (mut world, supplier) = with_profiles();
    let mallory = world.supplier();
    let mut close = close(&world, &supplier);
    close.accounts[0].pubkey = mallory.wallet.pubkey();
    world.fails(close.clone(), &[&mallory.wallet], LeaseholdError::WrongAuthority);
    close.accounts[1].pubkey = mallory.account;
    world.fails(close, &[&mallory.wallet], LeaseholdError::WrongSupplier);
}

/// Else their rent would be lost, and the next supplier with that address would find them.
#[test]
fn close_supplier_fails_when_its_profiles_are_open() {
    let mut world = World::new();
    let wallet = world.wallet();
    let key = wallet.pubkey();
    let create = instruction::create_profiles(&world.market, key);
    world.ok(&[instruction::register_supplier(&world.market, key), create], &[&wallet]);
    let close = instruction::close_supplier(&world.market, key);
    world.fails(close.clone(), &[&wallet], LeaseholdError::ProfilesLeft);
    let mut without = close.clone();
    let place = without
        .accounts
        .iter()
        .position(|meta| meta.pubkey == address::profiles(&world.market.supplier(&key)));
    without.accounts[place.expect("it is named")].pubkey = key;
    world.fails(without, &[&wallet], ErrorCode::ConstraintSeeds);
    world.ok(&[instruction::close_profiles(&world.market, key), close], &[&wallet]);
    assert_eq!(world.market_account().members, 0);
}
