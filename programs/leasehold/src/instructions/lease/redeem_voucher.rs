use anchor_lang::prelude::*;

use crate::{
    error::LeaseholdError,
    events::VoucherRedeemed,
    instructions::{book, refuse_stray, signatures::signed},
    math::add,
    state::{Board, Lease, LeaseState, Voucher, machine_mut, split_mut},
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

/// Pays the machine of a metered lease what its buyer's voucher adds to those before. The signature is
/// checked by the Ed25519 program in the instruction before. Anybody may, in any order.
pub fn redeem_voucher(ctx: Context<RedeemVoucher>, slot: u16) -> Result<()> {
    refuse_stray(ctx.remaining_accounts)?;
    let RedeemVoucher { board, lease, instructions, .. } = &mut *ctx.accounts;
    require!(lease.state != LeaseState::Settled, LeaseholdError::LeaseSettled);
    let mut meter = lease.meter.ok_or(LeaseholdError::LeaseNotMetered)?;
    let signed = signed(instructions, 1, Voucher::LEN)?;
    let voucher = Voucher::read(signed.message(0)?).ok_or(LeaseholdError::VoucherMalformed)?;
    let ours = signed.key == meter.spender.to_bytes()
        && voucher.lease == lease.key().to_bytes()
        && voucher.from == lease.from;
    require!(ours, LeaseholdError::WrongVoucher);
    let payment = lease.redeem(voucher.price)?;
    {
        let info = board.to_account_info();
        let mut data = info.try_borrow_mut_data()?;
        let (board, slots) = split_mut(&mut data)?;
        let machine = machine_mut(slots, slot)?;
        require!(machine.lease == lease.serial, LeaseholdError::NotInLease);
        machine.accrued = add(machine.accrued, payment.net)?;
        book(board, lease, payment, 0, None)?;
    }
    meter.seq = meter.seq.max(voucher.seq);
    meter.units = meter.units.max(voucher.units);
    lease.meter = Some(meter);
    let (paid, fees) = (payment.net, payment.fee);
    emit_cpi!(VoucherRedeemed { lease: ctx.accounts.lease.key(), seq: voucher.seq, paid, fees });
    Ok(())
}
