//! Routines that Solana's platform tools bring along and the toolchain in `toolchain/` lacks: memory and float
//! routines (from `solana-compiler-builtins`) and 128-bit arithmetic (below). To include it, `lib.rs` says
//!
//! ```ignore
//! #![cfg_attr(target_arch = "bpf", feature(abi_unadjusted), allow(internal_features))]
//!
//! #[cfg(any(target_arch = "bpf", test))]
//! mod builtins;
//! ```
//!
//! LLVM lowers 128-bit multiplication and division (and so every overflow-checked `u64`
//! multiplication) to the calls below and expects the result in registers. Rust 1.95 returns
//! `i128` from an ordinary function through memory, so the definitions must use the
//! `unadjusted` calling convention: with any other, the caller's first operand is taken for
//! the address of the result. Bodies may not use 128-bit `*`, `/`, `%` or a variable shift.

#[cfg(target_arch = "bpf")]
use solana_compiler_builtins as _;

const LOW: u64 = u32::MAX as u64;

/// Full product of two 64-bit numbers as (high, low).
fn widening_mul(a: u64, b: u64) -> (u64, u64) {
    let (a1, a0, b1, b0) = (a >> 32, a & LOW, b >> 32, b & LOW);
    let (p00, p01, p10) = (a0.wrapping_mul(b0), a0.wrapping_mul(b1), a1.wrapping_mul(b0));
    let mid = (p00 >> 32) + (p01 & LOW) + (p10 & LOW);
    let high = a1.wrapping_mul(b1).wrapping_add(p01 >> 32).wrapping_add(p10 >> 32).wrapping_add(mid >> 32);
    (high, (mid << 32) | (p00 & LOW))
}

/// Quotient and remainder of (`high`·2⁶⁴ + `low`) by `d`, for `high < d` (Knuth, algorithm D, base 2³²).
fn div_2by1(high: u64, low: u64, d: u64) -> (u64, u64) {
    let shift = d.leading_zeros();
    let d = d << shift;
    let (d1, d0) = (d >> 32, d & LOW);
    let high = if shift == 0 { high } else { (high << shift) | (low >> (64 - shift)) };
    let low = low << shift;
    let digit = |rest: u64, next: u64| {
        let (mut q, mut r) = (rest / d1, rest % d1);
        while q > LOW || q.wrapping_mul(d0) > ((r << 32) | next) {
            q -= 1;
            r += d1;
            if r > LOW {
                break;
            }
        }
        (q, ((rest << 32) | next).wrapping_sub(q.wrapping_mul(d)))
    };
    let (q1, rest) = digit(high, low >> 32);
    let (q0, rest) = digit(rest, low & LOW);
    ((q1 << 32) | q0, rest >> shift)
}

/// Quotient and remainder of two 128-bit numbers given and returned as (high, low) pairs.
/// A divisor of zero panics like any other division by zero.
fn div_rem(n: (u64, u64), d: (u64, u64)) -> ((u64, u64), (u64, u64)) {
    if d.0 == 0 {
        let high = n.0 / d.1;
        let (low, rest) = div_2by1(n.0 % d.1, n.1, d.1);
        return ((high, low), (0, rest));
    }
    // The quotient fits 64 bits: subtract the shifted divisor bit by bit.
    let (mut q, mut r) = (0u64, (0u64, n.0));
    let mut bit = 64;
    while bit > 0 {
        bit -= 1;
        r = ((r.0 << 1) | (r.1 >> 63), (r.1 << 1) | ((n.1 >> bit) & 1));
        q <<= 1;
        if r >= d {
            let (low, borrow) = r.1.overflowing_sub(d.1);
            r = (r.0 - d.0 - borrow as u64, low);
            q |= 1;
        }
    }
    ((0, q), r)
}

fn split(x: u128) -> (u64, u64) {
    ((x >> 64) as u64, x as u64)
}

fn join((high, low): (u64, u64)) -> u128 {
    ((high as u128) << 64) | low as u128
}

/// Product modulo 2¹²⁸; signed or unsigned makes no difference to the bits.
fn multiply(a: u128, b: u128) -> u128 {
    let ((a1, a0), (b1, b0)) = (split(a), split(b));
    let (high, low) = widening_mul(a0, b0);
    join((high.wrapping_add(a1.wrapping_mul(b0)).wrapping_add(a0.wrapping_mul(b1)), low))
}

fn divide(n: u128, d: u128) -> u128 {
    join(div_rem(split(n), split(d)).0)
}

fn remainder(n: u128, d: u128) -> u128 {
    join(div_rem(split(n), split(d)).1)
}

/// The names LLVM calls.
#[cfg(target_arch = "bpf")]
#[allow(unsafe_code)]
mod symbols {
    #[unsafe(no_mangle)]
    unsafe extern "unadjusted" fn __multi3(a: i128, b: i128) -> i128 {
        super::multiply(a as u128, b as u128) as i128
    }

    #[unsafe(no_mangle)]
    unsafe extern "unadjusted" fn __udivti3(n: u128, d: u128) -> u128 {
        super::divide(n, d)
    }

    #[unsafe(no_mangle)]
    unsafe extern "unadjusted" fn __umodti3(n: u128, d: u128) -> u128 {
        super::remainder(n, d)
    }
}

#[cfg(test)]
mod tests {
    use super::{divide, multiply, remainder};

    /// SplitMix64 (Steele, Lea, Flood 2014): a fixed stream, so that a failure repeats.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of any bit length, with long runs of ones or zeros as often as not: these are the
    /// operands on which a quotient digit is estimated too high.
    fn operand(state: &mut u64) -> u128 {
        let (kind, shift) = (next(state), next(state) % 128);
        let bits = u128::from(next(state)) << 64 | u128::from(next(state));
        let edge = (1u128 << (next(state) % 128)).wrapping_sub(u128::from(next(state) % 3));
        match kind % 4 {
            0 | 1 => bits >> shift,
            2 => edge,
            _ => edge.wrapping_mul(bits >> shift),
        }
    }

    #[test]
    fn arithmetic_equals_native_128_bit() {
        let mut state = 1;
        for _ in 0..1_000_000 {
            let (a, b) = (operand(&mut state), operand(&mut state));
            assert_eq!(multiply(a, b), a.wrapping_mul(b), "{a} * {b}");
            if b != 0 {
                assert_eq!(divide(a, b), a / b, "{a} / {b}");
                assert_eq!(remainder(a, b), a % b, "{a} % {b}");
            }
        }
    }
}
