//! One builder for each instruction of the program, under its name; [`is_idempotent`] tells which may be sent twice.
//!
//! `authority`, `signer`, `owner`, `buyer`, `creator` and `caller` are wallets that sign; `supplier`,
//! `keeper` and `lease` are accounts of the program (see [`crate::address`]); `wallet` is the token account
//! that tokens come from or go to. A claim made for another wallet is paid to that wallet's associated token account
//! only ([`crate::address::token_account`]).

mod board;
mod idempotency;
mod lease;
mod market;
mod record;
mod round;
mod supplier;

pub use board::*;
pub use idempotency::{Duplicate, creates_foreign_account, duplicate, is_idempotent};
pub use lease::*;
pub use market::*;
pub use record::*;
pub use round::*;
pub use supplier::*;

use anchor_lang::{InstructionData, ToAccountMetas};
use leasehold::accounts::Tokens;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;

use crate::market::{BoardRef, MarketRef};

fn build(accounts: impl ToAccountMetas, data: impl InstructionData) -> Instruction {
    build_with(accounts, &[], data)
}

/// Like [`build`], with writable accounts after the named ones.
fn build_with(accounts: impl ToAccountMetas, rest: &[Pubkey], data: impl InstructionData) -> Instruction {
    let mut accounts = accounts.to_account_metas(None);
    accounts.extend(rest.iter().map(|account| AccountMeta::new(*account, false)));
    Instruction { program_id: leasehold::ID, accounts, data: data.data() }
}

/// Payments between a wallet and a board's vault.
fn payments(board: &BoardRef, wallet: Pubkey) -> Tokens {
    Tokens {
        mint: board.market.payment_mint,
        vault: board.payment_vault(),
        wallet,
        token_program: board.market.payment_token_program,
    }
}

/// Stake between a wallet and a market's vault.
fn stake(market: &MarketRef, wallet: Pubkey) -> Tokens {
    Tokens {
        mint: market.stake_mint,
        vault: market.stake_vault(),
        wallet,
        token_program: market.stake_token_program,
    }
}

#[cfg(test)]
mod tests {
    use leasehold::instructions::{BatchProof, ReplaceNodeArgs};

    use super::*;
    use crate::sample::{market, wallet};

    fn signers(instruction: &Instruction) -> Vec<Pubkey> {
        instruction.accounts.iter().filter(|meta| meta.is_signer).map(|meta| meta.pubkey).collect()
    }

    fn batch() -> BatchProof {
        BatchProof { header: bytemuck::Zeroable::zeroed(), index: 0, path: vec![] }
    }

    #[test]
    fn what_anybody_may_do_needs_no_signer() {
        let board = market().board(0);
        let free = [
            apply_params(&market()),
            burn_payments(&board, None),
            burn_slashed(&board),
            record_day(&board, 0),
            close_index(&board, wallet(0), 0),
            settle_lease(&board, board.lease(&wallet(9), 1)),
            view_lease(&board, board.lease(&wallet(9), 1)),
            trim_board(&board, &[wallet(0)]),
            close_round(&board),
            close_lease(&board, wallet(0), board.lease(&wallet(9), 1)),
            redeem_voucher(&board, board.lease(&wallet(9), 1)),
            verify_batch(wallet(0), batch()),
            verify_receipt(wallet(0), Default::default(), 0, vec![], batch()),
        ];
        for instruction in free {
            assert_eq!(signers(&instruction), []);
        }
        let cancel = cancel_lease(&board, wallet(4), board.lease(&wallet(9), 1), vec![]);
        assert_eq!(signers(&cancel), [wallet(4)]);
        assert_eq!(
            signers(&burn_payments(&board, Some(wallet(4)))),
            [wallet(4)],
            "its creator, for the pool"
        );
    }

    #[test]
    fn vaults_are_those_of_board_and_market() {
        let board = market().board(3);
        let has = |instruction: &Instruction, account: Pubkey| {
            instruction.accounts.iter().any(|meta| meta.pubkey == account && meta.is_writable)
        };
        assert!(has(
            &claim_refund(&board, wallet(0), board.lease(&wallet(9), 1), wallet(1)),
            board.payment_vault()
        ));
        assert!(has(&fund_keepers(&board, wallet(0), wallet(1), 5), board.payment_vault()));
        assert!(has(&burn_payments(&board, None), market().payment_mint));
        assert!(has(&deposit_bond(&market(), wallet(0), wallet(1), 5), market().stake_vault()));
    }

    #[test]
    fn records_go_to_the_suppliers_log() {
        let (board, supplier) = (market().board(0), market().supplier(&wallet(0)));
        let log = AccountMeta::new(crate::address::log(&supplier), false);
        let all = [
            create_log(wallet(0), supplier, wallet(1)),
            set_log_operator(wallet(0), supplier, wallet(1)),
            open_lanes(&board, wallet(0), supplier, vec![1]),
            append_batches(&board, wallet(1), supplier, "https://node.example", vec![]),
            close_log(wallet(0), supplier),
        ];
        for instruction in &all {
            assert!(instruction.accounts.contains(&log), "{instruction:?}");
        }
        assert_eq!(signers(&all[3]), [wallet(1)], "the operator appends");
        let receipt: leasehold::state::Receipt = bytemuck::Zeroable::zeroed();
        let demand = demand_receipt(&board, wallet(2), board.lease(&wallet(9), 1), &receipt);
        let address = crate::address::demand(&receipt.id());
        assert!(demand.accounts.contains(&AccountMeta::new(address, false)));
        assert_eq!(&demand.data[8..40], receipt.id());
    }

    #[test]
    fn whoever_pays_for_a_lease_signs_besides_its_owner() {
        let board = market().board(0);
        let lease = board.lease(&wallet(9), 1);
        let allowed = leasehold::rules::extend::Allowance { max_deposit: 5, max_leaving: 0 };
        let extend = extend_lease(&board, wallet(1), wallet(2), lease, wallet(3), 6, allowed);
        let args = ReplaceNodeArgs {
            old_slot: 1,
            max_deposit: 5,
            contest: false,
            avoid: vec![],
            min_bond: 0,
            hint: None,
        };
        let replace = replace_node(&board, wallet(1), wallet(2), lease, wallet(3), args);
        for instruction in [extend, replace] {
            assert_eq!(signers(&instruction), [wallet(1), wallet(2)]);
        }
    }

    #[test]
    fn a_missing_supplier_account_is_passed_as_the_program() {
        let board = market().board(0);
        let lease = board.lease(&wallet(9), 1);
        let notice = |supplier| give_notice(&board, wallet(0), lease, supplier).accounts[3].clone();
        assert_eq!(notice(None), AccountMeta::new_readonly(leasehold::ID, false));
        let supplier = market().supplier(&wallet(0));
        assert_eq!(notice(Some(supplier)), AccountMeta::new_readonly(supplier, false));
    }
}
