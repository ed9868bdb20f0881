use anchor_lang::{
    prelude::*,
    system_program::{Transfer, transfer},
};

use crate::{
    constants::DEMAND_SEED,
    error::LeaseholdError,
    events::ReceiptDemanded,
    instructions::{now, on_board, refuse_stray, signatures::signed},
    rules,
    state::{Board, Demand, Lease, Market, Receipt},
};

#[event_cpi]
#[derive(Accounts)]
#[instruction(id: [u8; 32])]
pub struct DemandReceipt<'info> {
    /// Pays the demand's rent, and the fee for whoever answers.
    #[account(mut)]
    pub claimant: Signer<'info>,
    pub market: Box<Account<'info, Market>>,
    #[account(mut, has_one = market @ LeaseholdError::WrongMarket)]
    pub board: AccountLoader<'info, Board>,
    #[account(mut, has_one = board @ LeaseholdError::WrongBoard)]
    pub lease: Box<Account<'info, Lease>>,
    #[account(
        init,
        payer = claimant,
        space = 8 + Demand::INIT_SPACE,
        seeds = [DEMAND_SEED, id.as_ref()],
        bump
    )]
    pub demand: Box<Account<'info, Demand>>,
    /// CHECK: its address.
    #[account(address = solana_sdk_ids::sysvar::instructions::ID)]
    pub instructions: UncheckedAccount<'info>,
    pub system_program: Program<'info, System>,
}

impl DemandReceipt<'_> {
    fn validate(&self, id: &[u8; 32], receipt: &Receipt) -> Result<()> {
        require!(receipt.is_well_formed(), LeaseholdError::ReceiptMalformed);
        require!(receipt.id() == *id, LeaseholdError::WrongReceipt);
        let signed = signed(&self.instructions, 1, Receipt::MESSAGE_LEN)?;
        let ours = signed.key == receipt.node_key && signed.message(0)? == Receipt::message_of(id);
        require!(ours, LeaseholdError::WrongReceipt);
        Ok(())
    }

    fn pay(&self, fee: u64) -> Result<()> {
        let accounts = Transfer { from: self.claimant.to_account_info(), to: self.demand.to_account_info() };
        transfer(CpiContext::new(self.system_program.key(), accounts), fee)
    }
}

/// Demands proof that a receipt is in the log. Anybody may, for the market's `ask_fee`. The instruction before must be that
/// of the Ed25519 program which checks the machine's signature.
pub fn demand_receipt(ctx: Context<DemandReceipt>, id: [u8; 32], receipt: Receipt) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    ctx.accounts.validate(&id, &receipt)?;
    let fee = ctx.accounts.market.params.ask_fee;
    let now = now()?;
    let DemandReceipt { claimant, board, lease, demand, .. } = &mut *ctx.accounts;
    let (machine, due) =
        on_board(board, |board, slots| rules::dispute::demand(board, slots, lease, &receipt, now))?;
    let (serial, lease) = (lease.serial, lease.key());
    demand.set_inner(Demand {
        version: Demand::VERSION,
        bump: ctx.bumps.demand,
        claimant: claimant.key(),
        cluster: receipt.cluster,
        board: board.key(),
        lease,
        supplier: machine.supplier,
        node_key: machine.node_key,
        slot: receipt.slot,
        generation: machine.generation,
        serial,
        seq: receipt.seq,
        leaf: receipt.leaf(),
        due,
        fee,
        shown: None,
    });
    ctx.accounts.pay(fee)?;
    emit_cpi!(ReceiptDemanded { lease, slot: receipt.slot, receipt: id, due, fee });
    Ok(())
}
