//! Mints with extensions that could change a vault's balance without the program.

use anchor_spl::token_2022::spl_token_2022::{
    self,
    extension::{
        ExtensionType, confidential_mint_burn, confidential_transfer, confidential_transfer_fee,
        default_account_state, group_member_pointer, group_pointer, interest_bearing_mint, pausable,
        scaled_ui_amount, transfer_fee, transfer_hook,
    },
    instruction as token,
    state::AccountState,
};
use leasehold::error::LeaseholdError;
use leasehold_client::{MarketRef, instruction};
use leasehold_tests::*;
use solana_instruction::{AccountMeta, Instruction, error::InstructionError};
use solana_pubkey::Pubkey;
use solana_signer::Signer;

const PROGRAM: Pubkey = spl_token_2022::ID;

/// Asserts that no market can be created with such a mint, for payments or for stake.
#[track_caller]
fn refuses_mint(
    error: LeaseholdError,
    extensions: &[ExtensionType],
    extend: impl Fn(&Pubkey) -> Vec<Instruction>,
) {
    let mut world = World::without_market();
    let mint = world.create_mint_2022(extensions, extend);
    let (market, authority) = (world.market, world.authority.insecure_clone());
    let code = u32::from(error);
    for market in [
        MarketRef::new(1, mint, market.stake_mint),
        MarketRef::new(1, market.payment_mint, mint).with_token_programs(spl_token_interface::ID, PROGRAM),
    ] {
        let create =
            instruction::create_market(&market, authority.pubkey(), GENESIS, TIMELOCK, rules(), params());
        world.fails(create, &[&authority], code);
    }
}

#[test]
fn attack_mint_with_transfer_fee() {
    refuses_mint(LeaseholdError::MintExtension, &[ExtensionType::TransferFeeConfig], |mint| {
        let init = transfer_fee::instruction::initialize_transfer_fee_config;
        vec![init(&PROGRAM, mint, None, None, 100, 1_000).unwrap()]
    });
}

#[test]
fn attack_mint_with_transfer_hook() {
    refuses_mint(LeaseholdError::MintExtension, &[ExtensionType::TransferHook], |mint| {
        let hook = Some(Pubkey::new_unique());
        vec![transfer_hook::instruction::initialize(&PROGRAM, mint, None, hook).unwrap()]
    });
}

#[test]
fn attack_mint_with_permanent_delegate() {
    refuses_mint(LeaseholdError::MintExtension, &[ExtensionType::PermanentDelegate], |mint| {
        vec![token::initialize_permanent_delegate(&PROGRAM, mint, &Pubkey::new_unique()).unwrap()]
    });
}

#[test]
fn attack_mint_whose_accounts_begin_frozen() {
    refuses_mint(LeaseholdError::MintExtension, &[ExtensionType::DefaultAccountState], |mint| {
        let init = default_account_state::instruction::initialize_default_account_state;
        vec![init(&PROGRAM, mint, &AccountState::Frozen).unwrap()]
    });
}

#[test]
fn attack_mint_with_confidential_transfers() {
    let confidential = |mint: &Pubkey| {
        let authority = Some(Pubkey::new_unique());
        confidential_transfer::instruction::initialize_mint(&PROGRAM, mint, authority, true, None).unwrap()
    };
    refuses_mint(LeaseholdError::MintExtension, &[ExtensionType::ConfidentialTransferMint], |mint| {
        vec![confidential(mint)]
    });
    refuses_mint(
        LeaseholdError::MintExtension,
        &[
            ExtensionType::TransferFeeConfig,
            ExtensionType::ConfidentialTransferMint,
            ExtensionType::ConfidentialTransferFeeConfig,
        ],
        |mint| {
            let fee = transfer_fee::instruction::initialize_transfer_fee_config;
            let hidden = confidential_transfer_fee::instruction::initialize_confidential_transfer_fee_config;
            vec![
                fee(&PROGRAM, mint, None, None, 0, 0).unwrap(),
                confidential(mint),
                hidden(&PROGRAM, mint, None, &Default::default()).unwrap(),
            ]
        },
    );
    refuses_mint(
        LeaseholdError::MintExtension,
        &[ExtensionType::ConfidentialTransferMint, ExtensionType::ConfidentialMintBurn],
        |mint| {
            let burn = confidential_mint_burn::instruction::initialize_mint;
            vec![confidential(mint), burn(&PROGRAM, mint, &Default::default(), &Default::default()).unwrap()]
        },
    );
}

#[test]
fn attack_mint_that_can_be_paused() {
    refuses_mint(LeaseholdError::MintExtension, &[ExtensionType::Pausable], |mint| {
        vec![pausable::instruction::initialize(&PROGRAM, mint, &Pubkey::new_unique()).unwrap()]
    });
}

#[test]
fn attack_mint_that_can_be_closed() {
    refuses_mint(LeaseholdError::MintExtension, &[ExtensionType::MintCloseAuthority], |mint| {
        let authority = Pubkey::new_unique();
        vec![token::initialize_mint_close_authority(&PROGRAM, mint, Some(&authority)).unwrap()]
    });
}

#[test]
fn attack_mint_that_cannot_be_transferred() {
    refuses_mint(LeaseholdError::MintExtension, &[ExtensionType::NonTransferable], |mint| {
        vec![token::initialize_non_transferable_mint(&PROGRAM, mint).unwrap()]
    });
}

#[test]
fn attack_mint_whose_amounts_are_shown_otherwise() {
    refuses_mint(LeaseholdError::MintExtension, &[ExtensionType::InterestBearingConfig], |mint| {
        vec![interest_bearing_mint::instruction::initialize(&PROGRAM, mint, None, 500).unwrap()]
    });
    refuses_mint(LeaseholdError::MintExtension, &[ExtensionType::ScaledUiAmount], |mint| {
        vec![scaled_ui_amount::instruction::initialize(&PROGRAM, mint, None, 2.0).unwrap()]
    });
}

#[test]
fn attack_mint_of_a_group() {
    let other = Some(Pubkey::new_unique());
    refuses_mint(LeaseholdError::MintExtension, &[ExtensionType::GroupPointer], |mint| {
        vec![group_pointer::instruction::initialize(&PROGRAM, mint, None, other).unwrap()]
    });
    refuses_mint(LeaseholdError::MintExtension, &[ExtensionType::GroupMemberPointer], |mint| {
        vec![group_member_pointer::instruction::initialize(&PROGRAM, mint, None, other).unwrap()]
    });
}

/// Extension 29, permissioned burn, is newer than the token interface that the program is compiled with. Under it,
/// nobody could burn slashed stake.
#[test]
fn attack_mint_with_an_extension_that_the_program_does_not_know() {
    let mut world = World::without_market();
    // Base mint padded to an account's length, account type, then type, length and 32 bytes of value.
    let space = 165 + 1 + 4 + 32;
    let mint = world.create_mint_of_len(space, |mint| {
        let data = [[46, 0].as_slice(), Pubkey::new_unique().as_ref()].concat();
        vec![Instruction { program_id: PROGRAM, accounts: vec![AccountMeta::new(*mint, false)], data }]
    });
    let (market, authority) = (world.market, world.authority.insecure_clone());
    let paid = MarketRef::new(1, mint, market.stake_mint);
    let create = instruction::create_market(&paid, authority.pubkey(), GENESIS, TIMELOCK, rules(), params());
    world.fails(create, &[&authority], LeaseholdError::MintExtension);
    // For stake, creating the vault fails: Anchor does not know how large it must be.
    let staked = MarketRef::new(1, market.payment_mint, mint);
    let staked = staked.with_token_programs(spl_token_interface::ID, PROGRAM);
    let create =
        instruction::create_market(&staked, authority.pubkey(), GENESIS, TIMELOCK, rules(), params());
    assert_eq!(world.instruction_error(create, &[&authority]), InstructionError::InvalidAccountData);
}

#[test]
fn attack_mint_of_which_nobody_can_burn_any() {
    let mut world = World::without_market();
    // Wrapped lamports, as they are on every cluster.
    let native = spl_token_interface::native_mint::ID;
    let classic = world.svm.get_account(&world.market.stake_mint).expect("a mint");
    world.svm.set_account(native, classic).expect("lamports have a mint");
    let (market, authority) = (world.market, world.authority.insecure_clone());
    let staked = MarketRef::new(1, market.payment_mint, native);
    let create =
        instruction::create_market(&staked, authority.pubkey(), GENESIS, TIMELOCK, rules(), params());
    world.fails(create, &[&authority], LeaseholdError::NativeMint);
    let paid = MarketRef::new(1, native, market.stake_mint);
    let create = instruction::create_market(&paid, authority.pubkey(), GENESIS, TIMELOCK, rules(), params());
    world.fails(create, &[&authority], LeaseholdError::NativeMint);
}

/// The one extension that is allowed, from deposit to the last claim.
#[test]
fn metadata_is_allowed_and_leases_are_paid_in_such_a_mint() {
    let mut world = World::without_market();
    let mint = world.create_mint_with_metadata();
    world.pay_in_2022(mint);
    world.open_market(rules(), params());
    let (supplier, keepers, buyer) = (world.supplier(), world.keepers(3), world.wallet());
    let stranger = world.wallet();
    world.list(&supplier, COMMITTED, &[machine(0), machine(1)]);
    world.open(&buyer, anything(), 2, 2);
    assert_eq!(world.tokens(&world.board().payment_vault()), world.lease(1).deposit);
    world.end_round();
    for _ in 0..2 {
        world.attest(&keepers, |machine| machine == 0);
    }
    world.settle(&stranger, 1);
    world.attest(&keepers, |_| true);
    world.assert_invariants();

    let (board, market) = (world.board(), world.market);
    let authority = world.authority.insecure_clone();
    world.pay_owner(&buyer);
    world.pay_supplier(&supplier);
    for keeper in &keepers {
        let (key, wallet) = (keeper.wallet.pubkey(), market.payment_account(&keeper.wallet.pubkey()));
        let claim = instruction::claim_keeper_fees(&board, stranger.pubkey(), wallet, keeper.seat);
        let leave = instruction::leave_seat(&board, key, keeper.account, keeper.seat, false);
        world.ok(&[claim], &[&stranger]);
        world.ok(&[leave], &[&keeper.wallet]);
    }
    let close = instruction::close_lease(&board, buyer.pubkey(), world.lease_address(1));
    let key = authority.pubkey();
    let payments = market.payment_account(&key);
    let fees = instruction::withdraw_fees(&board, key, payments);
    world.ok(&[close, fees], &[&authority]);
    let burns = [instruction::burn_slashed(&board), instruction::burn_payments(&board, Some(key))];
    world.ok(&burns, &[&authority]);
    world.ok(&[instruction::close_board(&board, key, payments)], &[&authority]);
    assert_eq!(world.tokens(&board.payment_vault()), 0);
    world.assert_invariants();
}
