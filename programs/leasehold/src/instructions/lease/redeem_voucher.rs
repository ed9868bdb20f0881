use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::VoucherRedeemed,
    instructions::{now, on_board, refuse_stray, signatures::signed},
    rules,
    state::{Board, Lease, Voucher, machine},
};

#[event_cpi]
#[derive(Accounts)]
pub struct RedeemVoucher<'info> {
    #[account(mut)]
    pub board: AccountLoader<'info, Board>,
    #[account(mut, has_one = board @ LeaseholdError::WrongBoard)]
    pub lease: Box<Account<'info, Lease>>,
    /// CHECK: its address.
    #[account(address = solana_sdk_ids::sysvar::instructions::ID)]
    pub instructions: UncheckedAccount<'info>,
}

/// Pays the machine of a metered lease what a voucher adds to those before. Anybody may, in any order. The instruction
/// before must be that of the Ed25519 program which checks the signature.
pub fn redeem_voucher(ctx: Context<RedeemVoucher>) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let RedeemVoucher { board, lease, instructions, .. } = &mut *ctx.accounts;
    let spender = rules::meter::payable(lease)?.spender;
    let signed = signed(instructions, 1, Voucher::LEN)?;
    let voucher = Voucher::read(signed.message(0)?).ok_or(LeaseholdError::VoucherMalformed)?;
    let (address, now) = (lease.key(), now()?);
    let payment = on_board(board, |board, slots| {
        let machine = machine(slots, voucher.slot)?;
        let ours = rules::meter::is_for(&voucher, &address, lease, machine, &board.genesis);
        require!(ours && signed.key == spender.to_bytes(), LeaseholdError::WrongVoucher);
        rules::meter::redeem(board, slots, lease, &voucher, now)
    })?;
    let (paid, fees) = (payment.net, payment.fee);
    emit_cpi!(VoucherRedeemed { lease: address, seq: voucher.seq, paid, fees });
    Ok(())
}
