//! Every bound of the data plane, in one place. Bounds that configuration may change stand here as defaults.

/// Flows in all, over all shards.
pub const FLOWS: usize = 1 << 20;
/// Bytes of stream that may wait for the slowest reader of one side.
pub const SIDE_BYTES: usize = 1 << 20;
/// Bytes beyond a hole that are kept for one side.
pub const OUT_OF_ORDER_BYTES: usize = 256 << 10;
/// Holes of one side that are waited for at the same time.
pub const HOLES: usize = 64;
/// The most holes that configuration may allow.
pub const HOLES_MAX: usize = 256;
/// Segments of one side whose extents are known while they wait, where the overlap policy asks for them; not counting a
/// segment for each hole.
pub const SEGMENTS_WAITING: usize = 1024;
/// Bytes of buffered stream in all, over all shards.
pub const BUFFERED_BYTES: usize = 1 << 30;
/// IP fragments held at the same time.
pub const FRAGMENTS: usize = 4096;
/// How long an incomplete datagram is kept, in nanoseconds.
pub const FRAGMENT_TIMEOUT_NS: u64 = 30_000_000_000;
/// Monitor sockets of one shard.
pub const MONITORS: usize = 16;
/// Sets of subscriptions of one shard: flows that are asked the same share one.
pub const MONITOR_SETS: usize = 1 << 14;
/// Events that can be defined on one shard.
pub const USER_EVENTS: usize = 4096;
/// User-defined events that all sets of a shard ask for together.
pub const USER_SUBSCRIPTIONS: usize = 1 << 20;
/// User-defined events that may be raised by hand in answer to one event, with the answers to these.
pub const RAISED_EVENTS: usize = 64;
/// Timers of one shard that may be set at the same time.
pub const TIMERS: usize = 1 << 18;
/// Timers that fire at the end of one burst; the others that are due fire after the next.
pub const TIMERS_FIRED: usize = 256;
/// Edits of one stream that wait for their acknowledgment.
pub const EDITS: usize = 1024;
/// Bytes of them.
pub const EDIT_BYTES: usize = 256 << 10;
/// Bytes of edits of one shard that wait for their acknowledgment.
pub const SHARD_EDIT_BYTES: usize = 64 << 20;
/// Segments of one side that wait until what comes before them is decided, in flows that are edited.
pub const HELD_SEGMENTS: usize = 1024;
/// Bytes of their frames.
pub const HELD_BYTES: usize = 1 << 20;
/// Payload of them that windows let be under way, at most: headers of 128 bytes fit besides. In segments smaller than 1792 bytes
/// it is less: half as many as may wait, full ones.
pub const HELD_WINDOW: usize = HELD_BYTES - HELD_SEGMENTS * 128;
/// The same of one shard, in blocks of 2 KiB.
pub const SHARD_HELD_BYTES: usize = 64 << 20;
/// Different link layers and interfaces of one shard that are remembered for flows whose monitors
/// [inject](crate::actor::MonitorBuilder::injects) without a packet at hand.
pub const WAYS: usize = 1 << 12;
/// Instructions of one packet filter program (`BPF_MAXINSNS` of most kernels).
pub const FILTER_INSTRUCTIONS: usize = 4096;
/// Distinct encapsulations a shard remembers for its records; further ones are recorded as plain.
pub const ENCAPSULATIONS: usize = 65_535;
/// Bytes of changed and injected packets in one burst of a shard, copies of a packet for each change included; as many again of
/// raw monitors. Beyond it changes are refused.
pub const CHANGED_BYTES: usize = 1 << 20;
/// Changes of packets in one burst; as many again by raw monitors.
pub const VERSIONS: usize = 1024;
/// Frames that the actors of a shard inject in one burst; as many again from raw packets.
pub const INJECTED: usize = 256;
/// Packets of one burst.
pub const BURST: usize = mosaic_port::BURST_MAX;

const _: () = assert!(MONITORS <= 16, "monitors of a flow are a 16-bit set");
const _: () = assert!(MONITOR_SETS <= 65_536, "sets are numbered by a u16");
const _: () = assert!(
    USER_EVENTS < 65_535,
    "user-defined events are numbered by a u16"
);
const _: () = assert!(HOLES <= HOLES_MAX, "the default is within what is allowed");
const _: () = assert!(
    OUT_OF_ORDER_BYTES <= SIDE_BYTES,
    "a side's bound covers what waits behind a hole"
);
const _: () = assert!(BURST <= 255, "frames of a burst are numbered by a u8");
