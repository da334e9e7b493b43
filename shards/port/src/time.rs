//! Packet time.

use core::fmt;
use core::time::Duration;

/// A point in time, in nanoseconds since the Unix epoch (0 to about the year 2554).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch itself; also the time of packets whose capture states none.
    pub const ZERO: Self = Self(0);

    /// From nanoseconds since the Unix epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to `self`; zero where `earlier` is the later one (captures step back).
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This time plus `nanos` nanoseconds, at most the largest representable time.
    pub const fn saturating_add_nanos(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Seconds since the epoch with nine decimals, as in `1700000000.000000001`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:09}",
            self.0 / 1_000_000_000,
            self.0 % 1_000_000_000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_seconds_with_nine_decimals_and_never_runs_backwards() {
        let t = Timestamp::from_nanos(1_700_000_000_000_000_001);
        assert_eq!(t.to_string(), "1700000000.000000001");
        assert_eq!(Timestamp::ZERO.since(t), Duration::ZERO);
        assert_eq!(
            t.since(Timestamp::ZERO).as_nanos(),
            1_700_000_000_000_000_001
        );
    }
}
