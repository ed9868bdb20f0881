use anchor_lang::system_program;
use leasehold::{
    accounts, instruction,
    instructions::CreateMarketArgs,
    state::{Params, RoundRules},
};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use super::{build, payments, stake};
use crate::{
    address,
    market::{BoardRef, MarketRef},
};

/// Creates the market. `authority` signs, pays and becomes its authority; `genesis` is the genesis hash of the cluster.
pub fn create_market(
    market: &MarketRef,
    authority: Pubkey,
    genesis: [u8; 32],
    timelock_secs: u32,
    rules: RoundRules,
    params: Params,
) -> Instruction {
    build(
        accounts::CreateMarket {
            authority,
            market: market.address,
            payment_mint: market.payment_mint,
            stake_mint: market.stake_mint,
            stake_vault: market.stake_vault(),
            stake_token_program: market.stake_token_program,
            system_program: system_program::ID,
        },
        instruction::CreateMarket {
            args: CreateMarketArgs { id: market.id, genesis, timelock_secs, rules, params },
        },
    )
}

/// Proposes parameters. Pass `None` to withdraw the pending proposal.
pub fn propose_params(market: &MarketRef, authority: Pubkey, params: Option<Params>) -> Instruction {
    build(govern(market, authority), instruction::ProposeParams { params })
}

/// Applies proposed parameters after their timelock. Nobody needs to sign.
pub fn apply_params(market: &MarketRef) -> Instruction {
    build(accounts::ApplyParams { market: market.address }, instruction::ApplyParams {})
}

/// Offers the market to another authority. Pass `None` to withdraw the offer.
pub fn propose_authority(market: &MarketRef, authority: Pubkey, offered: Option<Pubkey>) -> Instruction {
    build(govern(market, authority), instruction::ProposeAuthority { authority: offered })
}

/// Takes over a market that was offered to `new_authority`, which signs.
pub fn accept_authority(market: &MarketRef, new_authority: Pubkey) -> Instruction {
    build(
        accounts::AcceptAuthority { new_authority, market: market.address },
        instruction::AcceptAuthority {},
    )
}

/// Stops or resumes listing, opening and extending.
pub fn set_paused(market: &MarketRef, authority: Pubkey, paused: bool) -> Instruction {
    build(govern(market, authority), instruction::SetPaused { paused })
}

/// Pays a board's fees to the market's authority.
pub fn withdraw_fees(board: &BoardRef, signer: Pubkey, wallet: Pubkey) -> Instruction {
    build(
        accounts::WithdrawFees {
            signer,
            market: board.market.address,
            board: board.address,
            tokens: payments(board, wallet),
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::WithdrawFees {},
    )
}

/// Burns the payment units that are set aside for it on a board. Nobody needs to sign. If its `creator` signs, and it has no
/// machines and leases, burns its keeper pool too, so that it can be closed.
pub fn burn_payments(board: &BoardRef, creator: Option<Pubkey>) -> Instruction {
    build(
        accounts::BurnPayments {
            creator,
            board: board.address,
            payment_mint: board.market.payment_mint,
            payment_vault: board.payment_vault(),
            token_program: board.market.payment_token_program,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::BurnPayments {},
    )
}

/// Burns the stake that was slashed on a board. Nobody needs to sign.
pub fn burn_slashed(board: &BoardRef) -> Instruction {
    build(
        accounts::BurnSlashed {
            market: board.market.address,
            board: board.address,
            stake_mint: board.market.stake_mint,
            stake_vault: board.market.stake_vault(),
            token_program: board.market.stake_token_program,
            event_authority: address::event_authority(),
            program: leasehold::ID,
        },
        instruction::BurnSlashed {},
    )
}

/// Closes a market without boards, suppliers and keepers. Tokens that were sent to its vault without an instruction go to
/// `wallet`.
pub fn close_market(market: &MarketRef, authority: Pubkey, wallet: Pubkey) -> Instruction {
    build(
        accounts::CloseMarket { authority, market: market.address, tokens: stake(market, wallet) },
        instruction::CloseMarket {},
    )
}

fn govern(market: &MarketRef, authority: Pubkey) -> accounts::Govern {
    accounts::Govern { authority, market: market.address }
}
