//! Random numbers that a seed repeats.

use std::ops::RangeInclusive;

/// A chance in a thousand: 0 never, 1000 always.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PerMille(pub u16);

impl PerMille {
    /// Never.
    pub const NEVER: Self = Self(0);
    /// Always.
    pub const ALWAYS: Self = Self(1000);
}

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014): good enough to choose faults,
/// and the same on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// An independent sequence: what is drawn from it changes nothing here.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// 64 random bits.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        (self.next() >> 32) as u32
    }

    /// A number of `range`; near enough to uniform for small ranges.
    ///
    /// # Panics
    /// Where the range is empty.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        assert!(low <= high, "empty range {low}..={high}");
        match (high - low).checked_add(1) {
            Some(count) => low + self.next() % count,
            None => self.next(),
        }
    }

    /// A number of `range`.
    ///
    /// # Panics
    /// Where the range is empty.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "both ends are of the narrower type"
    )]
    pub fn size(&mut self, range: RangeInclusive<usize>) -> usize {
        let (low, high) = range.into_inner();
        self.within(low as u64..=high as u64) as usize
    }

    /// Whether something of this chance happens.
    pub fn happens(&mut self, chance: PerMille) -> bool {
        self.next() % 1000 < u64::from(chance.0)
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// Where there is none.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.size(0..=choices.len() - 1)]
    }

    /// `len` random bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_ranges_hold() {
        let (mut a, mut b) = (Random::new(7), Random::new(7));
        for _ in 0..1000 {
            assert_eq!(a.next(), b.next());
        }
        assert_ne!(Random::new(1).next(), Random::new(2).next());
        let draws: Vec<_> = (0..1000).map(|_| a.within(3..=5)).collect();
        assert!(
            [3, 4, 5].iter().all(|n| draws.contains(n))
                && draws.iter().all(|n| (3..=5).contains(n))
        );
        assert!(!a.happens(PerMille::NEVER) && a.happens(PerMille::ALWAYS));
        assert_eq!(a.bytes(13).len(), 13);
    }
}
