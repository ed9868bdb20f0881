//! The design's formulas, in 128 bits.

use leasehold::math::slashing::SlashSplit;

/// ⌊price × seconds / 3600⌋.
pub fn cost_floor(price: u64, secs: u128) -> u128 {
    u128::from(price) * secs / 3_600
}

/// ⌈price × seconds / 3600⌉.
pub fn cost_ceil(price: u64, secs: u128) -> u128 {
    (u128::from(price) * secs).div_ceil(3_600)
}

/// ⌊amount × bps / 10,000⌋.
pub fn part(amount: u64, bps: u16) -> u64 {
    narrow(u128::from(amount) * u128::from(bps) / 10_000)
}

/// bond_unit × class weight × GPUs, rounded up.
pub fn bond(bond_unit: u64, weight_bps: u32, gpus: u8) -> u64 {
    narrow((u128::from(bond_unit) * u128::from(weight_bps) * u128::from(gpus)).div_ceil(10_000))
}

/// Rounds of `rounds` in which a machine may be down.
pub fn allowance(rounds: u32, sla_bps: u16) -> u32 {
    u32::try_from(u64::from(rounds) * u64::from(10_000 - sla_bps) / 10_000).expect("not more than the rounds")
}

/// bond × min(1, m × max(0, D − allowance) / R), rounded down.
pub fn slash(bond: u64, down: u32, rounds: u32, sla_bps: u16, multiplier_bps: u32) -> u64 {
    let over = down.saturating_sub(allowance(rounds, sla_bps));
    if over == 0 {
        return 0;
    }
    let whole = u128::from(rounds) * 10_000;
    narrow(u128::from(bond) * (u128::from(multiplier_bps) * u128::from(over)).min(whole) / whole)
}

/// Parts of slashed stake: buyer, burned, market, caller.
pub fn split(amount: u64, split: &SlashSplit) -> [u64; 4] {
    let (burned, market, caller) =
        (part(amount, split.burn_bps), part(amount, split.market_bps), part(amount, split.caller_bps));
    [amount - burned - market - caller, burned, market, caller]
}

/// An hour or a twentieth of the time that was left, the lesser; in seconds.
pub fn cancel_secs(round_secs: u32, rest: u32) -> u32 {
    (u64::from(round_secs) * u64::from(rest) / 20).min(3_600).try_into().expect("an hour at most")
}

pub fn narrow(amount: u128) -> u64 {
    u64::try_from(amount).expect("amounts fit 64 bits")
}
