//! Invariant 16: if any one party vanishes, everybody else can withdraw their tokens.

use bytemuck::Zeroable;
use leasehold::state::{Keeper, Ledger, Supplier};
use leasehold_client::instruction;
use leasehold_tests::{KeeperActor, STAKE, SupplierActor, World, anything, machine};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::supply;

/// Two suppliers, two buyers and three keepers, with everything under way: leases of both buyers on machines of both
/// suppliers, some down, one forfeited, a round with a vote that is not closed, unbonding stake.
struct Company {
    world: World,
    suppliers: [SupplierActor; 2],
    buyers: [Keypair; 2],
    keepers: Vec<KeeperActor>,
    authority: Keypair,
}

impl Company {
    fn new() -> Self {
        let mut world = World::new();
        let suppliers = [world.supplier(), world.supplier()];
        for round in 0..4u16 {
            // Slots alternate between them, so that no one's leaving empties the end of the board.
            for (index, supplier) in suppliers.iter().enumerate() {
                world.list(supplier, 40 + u32::from(round), &[machine(2 * round + index as u16)]);
            }
        }
        let keepers = world.keepers(3);
        let buyers = [world.wallet(), world.wallet()];
        world.open(&buyers[0], anything(), 4, 24);
        world.open(&buyers[1], anything(), 3, 40);
        world.end_round();
        world.forfeit(&suppliers[0], &[2]);
        for _ in 0..18 {
            world.attest(&keepers, |machine| machine != 1 && machine != 4);
        }
        let caller = buyers[0].insecure_clone();
        world.settle(&caller, 1);
        world.settle(&caller, 2);
        world.attest(&keepers, |_| true);
        for supplier in &suppliers {
            let key = supplier.wallet.pubkey();
            let request = instruction::request_unstake(&world.market, key, 1_000 * STAKE);
            world.ok(&[request], &[&supplier.wallet]);
        }
        world.end_round();
        world.vote(&keepers[0], |_| true);
        let authority = world.authority.insecure_clone();
        world.assert_invariants();
        Company { world, suppliers, buyers, keepers, authority }
    }

    fn wallets(&self) -> Vec<Keypair> {
        let suppliers = self.suppliers.iter().map(|supplier| &supplier.wallet);
        let keepers = self.keepers.iter().map(|keeper| &keeper.wallet);
        let all = suppliers.chain(&self.buyers).chain(keepers).chain([&self.authority]);
        all.map(Keypair::insecure_clone).collect()
    }

    /// Everybody leaves but `gone`, whose `stake` is all that the vaults then hold. Returns the world.
    fn leave_without(self, gone: Pubkey, stake: impl FnOnce(&World) -> u64) -> World {
        self.leave_behind(gone, stake, |_| 0)
    }

    /// The same where `payments` are left in the payment vault too.
    fn leave_behind(
        mut self,
        gone: Pubkey,
        stake: impl FnOnce(&World) -> u64,
        payments: impl FnOnce(&World) -> u64,
    ) -> World {
        let wallets = self.wallets();
        let present: Vec<&Keypair> = wallets.iter().filter(|wallet| wallet.pubkey() != gone).collect();
        assert_eq!(present.len() + 1, wallets.len());
        self.world.wind_up(&present);
        let world = self.world;
        let market = world.market;
        let (left, unpaid) = (stake(&world), payments(&world));
        assert_eq!(world.tokens(&market.stake_vault()), left);
        assert_eq!(world.tokens(&world.board().payment_vault()), unpaid);
        let sum = |balance: fn(&World, &Pubkey) -> u64| {
            wallets.iter().map(|wallet| balance(&world, &wallet.pubkey())).sum::<u64>()
        };
        assert_eq!(sum(World::payments_of) + unpaid, supply(&world, &market.payment_mint));
        assert_eq!(sum(World::stake_of) + left, supply(&world, &market.stake_mint));
        world
    }
}

fn sorted(mut accounts: Vec<Pubkey>) -> Vec<Pubkey> {
    accounts.sort_unstable();
    accounts
}

#[test]
fn everybody_leaves_where_nobody_vanishes() {
    let company = Company::new();
    let wallets = company.wallets();
    crate::leave(company.world, &wallets.iter().collect::<Vec<_>>());
}

#[test]
fn a_supplier_that_vanishes_strands_nothing_but_its_own_stake() {
    for index in 0..2 {
        let company = Company::new();
        let (gone, account) = (company.suppliers[index].wallet.pubkey(), company.suppliers[index].account);
        let before = company.world.payments_of(&gone);
        let accrued = company.world.with_board(|_, slots| {
            slots.iter().filter(|slot| slot.supplier == account).map(|slot| slot.accrued).sum::<u64>()
        });
        let world = company.leave_without(gone, |world| {
            let supplier: Supplier = world.account(&account);
            supplier.stake.free + supplier.stake.unbonding
        });
        // Others claimed its earnings for it, also those of later rounds.
        assert!(world.payments_of(&gone) >= before + accrued);
        assert!(accrued > 0);
        let supplier: Supplier = world.account(&account);
        assert_eq!(supplier.machines, 0);
        assert_eq!(sorted(world.remaining_accounts()), sorted(vec![world.market.address, account]));
    }
}

#[test]
fn a_buyer_that_vanishes_strands_nothing() {
    for index in 0..2 {
        let company = Company::new();
        let gone = company.buyers[index].pubkey();
        let before = (company.world.payments_of(&gone), company.world.stake_of(&gone));
        let world = company.leave_without(gone, |_| 0);
        // Its refund was claimed for it.
        assert!(world.payments_of(&gone) > before.0);
        assert_eq!(world.stake_of(&gone), before.1);
        assert_eq!(world.remaining_accounts(), Vec::<Pubkey>::new());
    }
}

#[test]
fn a_keeper_that_vanishes_strands_nothing_but_its_own_bond() {
    for index in 0..3 {
        let company = Company::new();
        let (gone, account) = (company.keepers[index].wallet.pubkey(), company.keepers[index].account);
        let before = company.world.payments_of(&gone);
        let world = company.leave_without(gone, |world| {
            let keeper: Keeper = world.account(&account);
            assert_eq!((keeper.locked, keeper.seats), (0, 0));
            keeper.stake.free + keeper.stake.unbonding
        });
        assert!(world.payments_of(&gone) > before, "its fees were claimed for it");
        assert_eq!(sorted(world.remaining_accounts()), sorted(vec![world.market.address, account]));
    }
}

#[test]
fn an_authority_that_vanishes_strands_nothing_but_what_only_the_boards_creator_may_burn() {
    let company = Company::new();
    let gone = company.authority.pubkey();
    let before = (company.world.payments_of(&gone), company.world.stake_of(&gone));
    // The keeper pool is nobody's, and left for the keepers of whoever lists machines next.
    let pool = |world: &World| world.with_board(|board, _| board.ledger.keeper_pool);
    let world = company.leave_behind(gone, |_| 0, pool);
    assert!(world.payments_of(&gone) > before.0);
    assert_eq!(world.stake_of(&gone), before.1);
    // The board is its creator's to close.
    let left = vec![world.market.address, world.board().address];
    assert_eq!(sorted(world.remaining_accounts()), sorted(left));
    world.with_board(|board, slots| {
        assert_eq!(board.ledger, Ledger { keeper_pool: board.ledger.keeper_pool, ..Ledger::zeroed() });
        assert!(slots.is_empty());
    });
}

#[test]
fn all_keepers_vanishing_makes_rounds_void_and_strands_nothing() {
    let mut company = Company::new();
    let wallets = company.wallets();
    let gone: Vec<Pubkey> = company.keepers.iter().map(|keeper| keeper.wallet.pubkey()).collect();
    let present: Vec<&Keypair> = wallets.iter().filter(|wallet| !gone.contains(&wallet.pubkey())).collect();
    company.world.wind_up(&present);
    let world = company.world;
    let sum: u64 = wallets.iter().map(|wallet| world.payments_of(&wallet.pubkey())).sum();
    assert_eq!(sum, supply(&world, &world.market.payment_mint));
    let mut left: Vec<Pubkey> = company.keepers.iter().map(|keeper| keeper.account).collect();
    left.push(world.market.address);
    assert_eq!(sorted(world.remaining_accounts()), sorted(left));
}
