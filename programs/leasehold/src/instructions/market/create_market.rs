use anchor_lang::prelude::*;
use anchor_spl::token_interface::{Mint, TokenAccount, TokenInterface};

use crate::{
    constants::{MARKET_SEED, STAKE_VAULT_SEED},
    instructions::{refuse_stray, validate_mint},
    rules,
    state::{Market, Params, RoundRules},
};

/// Rules of a new market.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug)]
pub struct CreateMarketArgs {
    /// Number of the market, free to choose while nobody has it.
    pub id: u64,
    /// Genesis hash of the cluster.
    pub genesis: [u8; 32],
    /// Seconds between proposing parameters and applying them.
    pub timelock_secs: u32,
    pub rules: RoundRules,
    pub params: Params,
}

#[derive(Accounts)]
#[instruction(args: CreateMarketArgs)]
pub struct CreateMarket<'info> {
    /// Pays, and becomes the market's authority.
    #[account(mut)]
    pub authority: Signer<'info>,
    #[account(
        init,
        payer = authority,
        space = 8 + Market::INIT_SPACE,
        seeds = [MARKET_SEED, &args.id.to_le_bytes()],
        bump
    )]
    pub market: Box<Account<'info, Market>>,
    pub payment_mint: Box<InterfaceAccount<'info, Mint>>,
    #[account(mint::token_program = stake_token_program)]
    pub stake_mint: Box<InterfaceAccount<'info, Mint>>,
    #[account(
        init,
        payer = authority,
        seeds = [STAKE_VAULT_SEED, market.key().as_ref()],
        bump,
        token::mint = stake_mint,
        token::authority = market,
        token::token_program = stake_token_program
    )]
    pub stake_vault: Box<InterfaceAccount<'info, TokenAccount>>,
    pub stake_token_program: Interface<'info, TokenInterface>,
    pub system_program: Program<'info, System>,
}

impl CreateMarket<'_> {
    fn validate(&self, args: &CreateMarketArgs) -> Result<()> {
        args.rules.validate()?;
        args.params.validate(&args.rules)?;
        let (payment, stake) = (self.payment_mint.key(), self.stake_mint.key());
        rules::market::require_creatable(args.timelock_secs, &payment, &stake)?;
        validate_mint(&self.payment_mint.to_account_info())?;
        validate_mint(&self.stake_mint.to_account_info())
    }
}

/// Creates a market. The signer pays its rent and becomes its authority.
pub fn create_market(ctx: Context<CreateMarket>, args: CreateMarketArgs) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.validate(&args)?;
    ctx.accounts.market.set_inner(Market {
        version: Market::VERSION,
        bump: ctx.bumps.market,
        stake_vault_bump: ctx.bumps.stake_vault,
        paused: false,
        id: args.id,
        genesis: args.genesis,
        authority: ctx.accounts.authority.key(),
        pending_authority: None,
        payment_mint: ctx.accounts.payment_mint.key(),
        stake_mint: ctx.accounts.stake_mint.key(),
        next_board: 0,
        boards: 0,
        members: 0,
        timelock_secs: args.timelock_secs,
        rules: args.rules,
        params: args.params,
        pending_params: None,
        reserved: [0; 64],
    });
    Ok(())
}
