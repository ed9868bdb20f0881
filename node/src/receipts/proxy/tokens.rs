//! Tokens of an answer, how they were counted, and what they cost.

use crate::receipts::settings::Model;

/// Bytes of text per token, for an estimate if the inference server does not count.
const BYTES_PER_TOKEN: usize = 4;
/// Prices are per so many tokens.
const MILLION: u128 = 1_000_000;

/// How the tokens of an answer were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The inference server counted them.
    Usage,
    /// It did not; they are an estimate from the text.
    Estimate,
    /// They were more than the request allows, and are as many as it allows.
    Bounded,
}

/// Tokens of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub tokens_in: u32,
    pub tokens_out: u32,
    pub source: Source,
}

impl Count {
    /// The same, or what the request allows if that is less.
    pub fn within(self, bound: &Self) -> Self {
        let (tokens_in, tokens_out) =
            (self.tokens_in.min(bound.tokens_in), self.tokens_out.min(bound.tokens_out));
        let is_same = (tokens_in, tokens_out) == (self.tokens_in, self.tokens_out);
        Self { tokens_in, tokens_out, source: if is_same { self.source } else { Source::Bounded } }
    }

    /// How tokens were counted, as the proxy's header says it.
    pub fn source(&self) -> &'static str {
        match self.source {
            Source::Usage => "usage",
            Source::Estimate => "estimate",
            Source::Bounded => "bounded",
        }
    }

    /// Payment units to hold: rounded up, and at least 1.
    pub fn price_at_most(&self, model: &Model) -> u64 {
        u64::try_from(self.parts(model).div_ceil(MILLION)).unwrap_or(u64::MAX).max(1)
    }

    /// Price in millionths of payment units.
    pub fn parts(&self, model: &Model) -> u128 {
        let part = |tokens: u32, price: u64| u128::from(tokens) * u128::from(price);
        part(self.tokens_in, model.price_in).saturating_add(part(self.tokens_out, model.price_out))
    }
}

/// An estimate of the tokens in a text with that many bytes.
pub fn of_bytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: Model = Model { id: [0; 32], price_in: 150_000, price_out: 600_000 };

    #[test]
    fn a_price_is_exact() {
        let count = |tokens_in, tokens_out| Count { tokens_in, tokens_out, source: Source::Usage };
        assert_eq!(count(1_000_000, 1_000_000).parts(&MODEL), 750_000 * MILLION);
        assert_eq!(count(1, 1).parts(&MODEL), 750_000);
        let dear = Model { price_in: u64::MAX, price_out: u64::MAX, ..MODEL };
        assert_eq!(count(u32::MAX, u32::MAX).parts(&dear), 2 * u128::from(u32::MAX) * u128::from(u64::MAX));
    }

    #[test]
    fn a_hold_is_rounded_up_and_at_least_1() {
        let count = |tokens_in, tokens_out| Count { tokens_in, tokens_out, source: Source::Usage };
        assert_eq!(count(6, 1).price_at_most(&MODEL), 2);
        assert_eq!(count(1_000_000, 1_000_000).price_at_most(&MODEL), 750_000);
        assert_eq!(count(1, 0).price_at_most(&MODEL), 1);
        assert_eq!(count(0, 0).price_at_most(&MODEL), 1);
    }

    #[test]
    fn more_than_was_asked_for_is_cut_and_marked() {
        let count = |tokens_in, tokens_out, source| Count { tokens_in, tokens_out, source };
        let bound = count(100, 10, Source::Bounded);
        for source in [Source::Usage, Source::Estimate] {
            assert_eq!(count(100, 10, source).within(&bound), count(100, 10, source));
            assert_eq!(count(u32::MAX, 3, source).within(&bound), count(100, 3, Source::Bounded));
            assert_eq!(count(3, 11, source).within(&bound), count(3, 10, Source::Bounded));
        }
    }
}
