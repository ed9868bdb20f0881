//! The design's formulas, in 128 bits.

/// Seconds of windows of the design.
pub const HOUR: u32 = 3_600;
pub const DAY: u32 = 86_400;
pub const WEEK: u32 = 7 * DAY;

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
    narrow(part_of(amount.into(), bps))
}

/// The same of an amount that may be larger.
pub fn part_of(amount: u128, bps: u16) -> u128 {
    amount * u128::from(bps) / 10_000
}

/// bond_unit × class weight × GPUs, rounded up, or what the supplier wants to bond for each GPU if that is more.
pub fn bond(bond_unit: u64, weight_bps: u32, gpus: u8, per_gpu: u64) -> u128 {
    let least = (u128::from(bond_unit) * u128::from(weight_bps) * u128::from(gpus)).div_ceil(10_000);
    least.max(u128::from(per_gpu) * u128::from(gpus))
}

/// Rounds of so many seconds that cover a time; at least one.
pub fn rounds_in(round_secs: u32, secs: u32) -> u32 {
    secs.div_ceil(round_secs).max(1)
}

/// Rounds of `rounds` in which a machine may be down: max(1, ⌊rounds × (1 − SLA)⌋).
pub fn allow(rounds: u32, sla_bps: u16) -> u32 {
    let part = u64::from(rounds) * u64::from(10_000 - sla_bps) / 10_000;
    u32::try_from(part).expect("not more than the rounds").max(1)
}

/// min(bond, bond × multiplier × over / (10,000 × rounds)), rounded down.
pub fn slash(bond: u64, over: u32, rounds: u32, multiplier_bps: u32) -> u64 {
    let whole = u128::from(rounds) * 10_000;
    narrow(u128::from(bond) * (u128::from(multiplier_bps) * u128::from(over)).min(whole) / whole)
}

/// Seconds that leaving a lease of `length` seconds costs at most, `rest` seconds before its end: 5 percent of the rest,
/// capped at a 24th of what the lease is longer than 144 hours, between an hour and a day.
pub fn exit_secs(length: u128, rest: u128) -> u128 {
    let cap = (length.saturating_sub(144 * 3_600) / 24).clamp(3_600, 86_400);
    cap.min(rest * 5 / 100)
}

pub fn narrow(amount: u128) -> u64 {
    u64::try_from(amount).expect("amounts fit 64 bits")
}
