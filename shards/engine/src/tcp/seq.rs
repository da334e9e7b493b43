//! Sequence numbers.

/// A TCP sequence number: 32 bits that wrap (RFC 9293, section 3.4).
///
/// Two of them compare only by their distance, which is taken as at most 2 GiB either way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Seq(pub u32);

impl Seq {
    /// The number `n` further on.
    #[inline]
    #[must_use]
    pub const fn plus(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }

    /// Signed distance from `earlier` to `self`.
    #[inline]
    pub const fn distance_from(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// Whether it lies beyond `other`.
    #[inline]
    pub const fn is_after(self, other: Self) -> bool {
        self.distance_from(other) > 0
    }

    /// The later of the two.
    #[inline]
    #[must_use]
    pub const fn max(self, other: Self) -> Self {
        if self.is_after(other) { self } else { other }
    }

    /// The number `offset` bytes into a stream whose offset 0 is `self`.
    #[inline]
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "sequence numbers are offsets modulo 2^32"
    )]
    pub const fn at_offset(self, offset: u64) -> Self {
        self.plus(offset as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        let before = Seq(u32::MAX - 1);
        let after = before.plus(4);
        assert!(after.is_after(before) && !before.is_after(after));
        assert_eq!(after.distance_from(before), 4);
        assert_eq!(before.distance_from(after), -4);
        assert_eq!(before.max(after), after);
        assert_eq!(Seq(7).at_offset((1 << 32) + 3), Seq(10));
    }
}
