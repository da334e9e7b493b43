//! The checked result: what everything else works with.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use mosaic_engine::shard::{ShardConfig, Timeouts};
use mosaic_engine::wire::WireConfig;
use mosaic_runtime::{Idle, OnPanic, Pin};

use super::live::LivePlan;
use super::words::Timeout;

/// What may be chosen, inclusive.
pub mod ranges {
    use super::RangeInclusive;

    /// Shards: the hash spreads flows over at most 128 buckets.
    pub const SHARDS: RangeInclusive<u64> = 1..=128;
    /// Flows in all.
    pub const FLOWS: RangeInclusive<u64> = 1..=1 << 28;
    /// Bytes of one side; also the bound on what it keeps beyond a hole.
    pub const SIDE_BYTES: RangeInclusive<u64> = 1 << 10..=1 << 30;
    /// Holes of one side.
    pub const HOLES: RangeInclusive<u64> = 1..=mosaic_engine::limits::HOLES_MAX as u64;
    /// Buffered bytes in all.
    pub const BUFFERED_BYTES: RangeInclusive<u64> = 1 << 10..=1 << 40;
    /// Fragments in all.
    pub const FRAGMENTS: RangeInclusive<u64> = 1..=1 << 20;
    /// Seconds an incomplete datagram is kept.
    pub const FRAGMENT_TIMEOUT_S: RangeInclusive<u64> = 1..=3600;
    /// Milliseconds a hole covered by an acknowledgment is waited for.
    pub const GAP_GRACE_MS: RangeInclusive<u64> = 0..=3_600_000;
    /// Numbers of cores.
    pub const CORES: RangeInclusive<u64> = 0..=1023;
    /// Megabytes of huge pages.
    pub const HUGEPAGES_MB: RangeInclusive<u64> = 16..=1 << 20;
    /// Descriptors of a queue.
    pub const DESCRIPTORS: RangeInclusive<u64> = 64..=32_768;
    /// Bytes of the largest IP packet (the least of RFC 791).
    pub const MTU: RangeInclusive<u64> = 68..=65_535;
    /// Packet buffers of a port.
    pub const MBUFS: RangeInclusive<u64> = 512..=1 << 24;
}

/// A number out of its range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("is {value}, must be {min} to {max}")]
pub struct RangeError {
    /// The number.
    pub value: u64,
    /// The least possible.
    pub min: u64,
    /// The largest possible.
    pub max: u64,
}

/// What to run, checked. Fields have the ranges of [`ranges`]; bounds named `_max` of flows, buffered bytes and fragments are
/// totals over all shards.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Captures, read one after the other as one source; `-` is standard input.
    pub captures: Vec<PathBuf>,
    /// Live ports and wires. Not together with captures.
    pub live: LivePlan,
    /// Number of shards.
    pub shards: u16,
    /// The core of each shard; empty where `pin` decides.
    pub cores: Vec<u16>,
    /// What a shard without work does.
    pub idle: Idle,
    /// Whether shards stay on one core.
    pub pin: Pin,
    /// What becomes of the packet in flight when an actor panics.
    pub on_panic: OnPanic,
    /// How frames become packets, the packet filter among it.
    pub wire: WireConfig,
    /// How flows are tracked.
    pub shard: ShardConfig,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
}

/// One shard, checksums verified, profile `record`, midstream pick-up on: what suits captures.
impl Default for Plan {
    fn default() -> Self {
        Self {
            captures: Vec::new(),
            live: LivePlan::default(),
            shards: 1,
            cores: Vec::new(),
            idle: Idle::default(),
            pin: Pin::default(),
            on_panic: OnPanic::default(),
            wire: WireConfig::default(),
            shard: ShardConfig::default(),
            metrics: None,
        }
    }
}

impl Plan {
    /// Flows end after this time without a packet: `established` and `datagram` timeouts are set to it, shorter ones of
    /// other states stay. `never` disables every timeout.
    pub fn set_idle_timeout(&mut self, timeout: Timeout) {
        let Some(idle) = timeout.nanos() else {
            self.shard.timeouts = Timeouts::NEVER;
            return;
        };
        let timeouts = &mut self.shard.timeouts;
        timeouts.established_ns = Some(idle);
        timeouts.datagram_ns = Some(idle);
        for shorter in [
            &mut timeouts.opening_ns,
            &mut timeouts.closing_ns,
            &mut timeouts.closed_ns,
        ] {
            *shorter = Some(shorter.map_or(idle, |ns| ns.min(idle)));
        }
    }

    /// Sets the bound on the bytes of one side; what it keeps beyond a hole is part of them and shrinks with it.
    pub fn set_side_bytes_max(&mut self, bytes: usize) {
        self.shard.side_bytes_max = bytes;
        self.shard.out_of_order_bytes_max = self.shard.out_of_order_bytes_max.min(bytes);
    }
}

/// `value` where it lies in `range` and fits.
pub(crate) fn check<T: TryFrom<u64>>(
    value: u64,
    range: &RangeInclusive<u64>,
) -> Result<T, RangeError> {
    let error = RangeError {
        value,
        min: *range.start(),
        max: *range.end(),
    };
    if range.contains(&value) {
        T::try_from(value).map_err(|_| error)
    } else {
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_timeout_lengthens_no_other_state() {
        let mut plan = Plan::default();
        plan.set_idle_timeout(Timeout { seconds: Some(45) });
        let timeouts = plan.shard.timeouts;
        assert_eq!(timeouts.established_ns, Some(45_000_000_000));
        assert_eq!(timeouts.closed_ns, Some(45_000_000_000));
        assert_eq!(timeouts.opening_ns, Some(30_000_000_000));
        plan.set_idle_timeout(Timeout { seconds: None });
        assert_eq!(plan.shard.timeouts, Timeouts::NEVER);
    }

    #[test]
    fn a_smaller_side_holds_less_beyond_a_hole() {
        let mut plan = Plan::default();
        plan.set_side_bytes_max(4096);
        assert_eq!(
            (plan.shard.side_bytes_max, plan.shard.out_of_order_bytes_max),
            (4096, 4096)
        );
    }

    #[test]
    fn ranges_are_inclusive() {
        assert_eq!(check::<u16>(128, &ranges::SHARDS), Ok(128));
        assert_eq!(
            check::<u16>(129, &ranges::SHARDS).unwrap_err().to_string(),
            "is 129, must be 1 to 128"
        );
    }
}
