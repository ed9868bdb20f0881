//! 128-bit products and their division by 64 bits, in 64-bit steps: a fraction of what the same costs as
//! `u128` on this machine, whose every division of that width is a loop over bits.

/// A number of 128 bits: high · 2⁶⁴ + low.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wide {
    pub high: u64,
    pub low: u64,
}

impl Wide {
    pub const ZERO: Wide = Wide { high: 0, low: 0 };
}

impl From<u64> for Wide {
    fn from(low: u64) -> Self {
        Wide { high: 0, low }
    }
}

impl From<Wide> for u128 {
    fn from(n: Wide) -> u128 {
        (u128::from(n.high) << 64) | u128::from(n.low)
    }
}

const LOW: u64 = u32::MAX as u64;

/// a·b; always fits.
pub const fn mul(a: u64, b: u64) -> Wide {
    let (a1, a0, b1, b0) = (a >> 32, a & LOW, b >> 32, b & LOW);
    // Products of 32-bit halves fit, and so does such a product plus two more halves.
    let low = a0.wrapping_mul(b0);
    let cross = a1.wrapping_mul(b0).wrapping_add(low >> 32);
    let middle = a0.wrapping_mul(b1).wrapping_add(cross & LOW);
    let high = a1.wrapping_mul(b1).wrapping_add(cross >> 32).wrapping_add(middle >> 32);
    Wide { high, low: (middle << 32) | (low & LOW) }
}

/// a + b, modulo 2¹²⁸.
#[inline(always)]
pub const fn add(a: Wide, b: Wide) -> Wide {
    let (low, carry) = a.low.overflowing_add(b.low);
    Wide { high: a.high.wrapping_add(b.high).wrapping_add(carry as u64), low }
}

/// a − b; `None` if it is negative.
pub fn sub(a: Wide, b: Wide) -> Option<Wide> {
    let (low, borrow) = a.low.overflowing_sub(b.low);
    Some(Wide { high: a.high.checked_sub(b.high)?.checked_sub(u64::from(borrow))?, low })
}

/// n·b; `None` if it does not fit 128 bits.
pub fn scale(n: Wide, b: u64) -> Option<Wide> {
    let (low, high) = (mul(n.low, b), mul(n.high, b));
    if high.high != 0 {
        return None;
    }
    Some(Wide { high: high.low.checked_add(low.high)?, low: low.low })
}

/// Quotient and remainder of n / d; `None` if `d` is 0 or the quotient does not fit 64 bits.
///
/// Knuth, The Art of Computer Programming, volume 2, algorithm D, with two digits of 32 bits.
pub fn div(n: Wide, d: u64) -> Option<(u64, u64)> {
    if n.high >= d {
        return None;
    }
    if n.high == 0 {
        return Some((n.low.checked_div(d)?, n.low.checked_rem(d)?));
    }
    let shift = d.leading_zeros();
    let divisor = d << shift;
    let high = if shift == 0 { n.high } else { (n.high << shift) | (n.low >> (64u32.wrapping_sub(shift))) };
    let low = n.low << shift;
    let (first, rest) = digit(high, low >> 32, divisor)?;
    let (second, rest) = digit(rest, low & LOW, divisor)?;
    Some(((first << 32) | second, rest >> shift))
}

/// One digit of the quotient of (rest · 2³² + next) / divisor, whose highest bit is set, and what is left.
fn digit(rest: u64, next: u64, divisor: u64) -> Option<(u64, u64)> {
    let (high, low) = (divisor >> 32, divisor & LOW);
    let (mut quotient, mut left) = (rest.checked_div(high)?, rest.checked_rem(high)?);
    // The estimate is at most two too high.
    while quotient > LOW || quotient.wrapping_mul(low) > ((left << 32) | next) {
        quotient = quotient.wrapping_sub(1);
        left = left.wrapping_add(high);
        if left > LOW {
            break;
        }
    }
    Some((quotient, ((rest << 32) | next).wrapping_sub(quotient.wrapping_mul(divisor))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(n: u128) -> Wide {
        Wide { high: u64::try_from(n >> 64).unwrap(), low: u64::try_from(n & u128::from(u64::MAX)).unwrap() }
    }

    #[test]
    fn sums_and_differences_agree_with_128_bits() {
        let wides = || {
            let halves = [0, 1, u64::MAX - 1, u64::MAX];
            halves.into_iter().flat_map(move |high| halves.map(|low| Wide { high, low }))
        };
        for a in wides() {
            for b in wides() {
                let (left, right) = (u128::from(a), u128::from(b));
                assert_eq!(add(a, b), wide(left.wrapping_add(right)));
                assert_eq!(sub(a, b), left.checked_sub(right).map(wide));
            }
        }
    }

    /// Numbers around every power of two, in which estimates of digits go wrong.
    fn edges() -> Vec<u64> {
        let powers = (0..64).map(|bit| 1u64 << bit);
        let around = powers.flat_map(|power| [power.wrapping_sub(1), power, power.wrapping_add(1)]);
        around
            .chain([u64::MAX, u64::MAX - 1, 3_600, 10_000, 0x7fff_ffff_8000_0001, 0x8000_0000_ffff_ffff])
            .collect()
    }

    #[test]
    fn agrees_with_128_bits() {
        for a in edges() {
            for b in edges() {
                let product = u128::from(a) * u128::from(b);
                assert_eq!(mul(a, b), wide(product));
                for c in [0, 1, 7, 3_600, u64::from(u32::MAX), 1 << 40, u64::MAX] {
                    assert_eq!(scale(wide(product), c), product.checked_mul(u128::from(c)).map(wide));
                    let quotient = product.checked_div(u128::from(c)).and_then(|q| u64::try_from(q).ok());
                    let expected = quotient.map(|q| (q, u64::try_from(product % u128::from(c)).unwrap()));
                    assert_eq!(div(mul(a, b), c), expected, "{a} * {b} / {c}");
                }
            }
        }
    }
}
