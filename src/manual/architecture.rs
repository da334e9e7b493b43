//! What happens to a packet, and what lives where.
//!
//! # Shards
//!
//! A *shard* is one core's world: it has its own flow table, stream buffers and actors, and shares nothing with other
//! shards but the packets it hands to them. A flow belongs to exactly one shard, whatever its packets arrived on, because the owner
//! is computed from the flow itself: a symmetric Toeplitz hash of the innermost addresses and ports, the same for both
//! directions, picks one of 128 buckets, and the bucket names the shard. A network card that is programmed with the same
//! key and table delivers each packet to its owner by itself; otherwise the receiving shard hands it over.
//!
//! As the engine sees it, a shard is a value: packets and the time go in, callbacks and counters come out. It reads no
//! clock, owns no thread and waits for nothing, so that it behaves the same in a test, in a benchmark and on a network.
//!
//! | crate | what it decides |
//! |---|---|
//! | `mosaic` | control plane and public interface: builder, configuration, records, metrics, the command |
//! | `mosaic-runtime` | threads: one glommio executor a shard, the poll loop, hand-over between shards, the host of actors |
//! | `mosaic-engine` | what a packet means: decapsulation, flows, TCP, streams, events; `no_std`, sans-IO |
//! | `mosaic-port` | where frames come from: capture files and memory |
//! | `mosaic-dpdk` | the same, from devices, and where they go (feature `dpdk`) |
//! | `mosaic-sim` | a deterministic world for tests |
//!
//! # Life of a burst
//!
//! 1. **Receive.** A port fills a batch with at most 64 frames.
//! 2. **Parse.** Link layer, VLANs, MPLS, PPPoE and tunnels are taken off; IP fragments wait for the rest of their
//!    datagram; checksums are verified. What remains is the innermost IP packet with everything the shard needs to know of its headers.
//!    A frame that yields none is counted under its reason.
//! 3. **Hand over.** Packets that another shard owns go to it through a single-producer ring, once a burst. A capture is
//!    held back while a ring is full; nothing is lost.
//! 4. **Look up.** Flows are looked up some packets ahead of their processing, stage by stage, each stage prefetching what the
//!    next one touches, so that the misses of many packets overlap.
//! 5. **Emulate.** For each packet the TCP of its *sender* is updated, then that of its *receiver*: two emulated stacks a
//!    flow, because a monitor must know what either end believes. Actors that asked for packets see them at these two
//!    points.
//! 6. **End of burst.** Each side whose stream grew has one `NewData`; then come the other events. Where mosaic stands in a
//!    wire, the frames that may pass are sent ([`live`](super::live)); the others, and all of a capture or a tap, are given
//!    back. No reference to a frame survives the burst: what must outlast it is copied, and only that (see
//!    [`peeks`](super::peeks)).
//!
//! # Time
//!
//! A packet's time is its timestamp in the capture. Whether a flow has expired is decided when its next packet arrives,
//! from these times alone; timers only free the memory. So nothing in a record depends on how packets were grouped into
//! bursts, or on how many shards there are: `--shards 1` and `--shards 4` give the same records, in another order.
//!
//! # Bounds
//!
//! Every table, ring and buffer has a bound ([`mosaic_engine::limits`]), and what happens there is counted: a full flow
//! table evicts the least valuable flow, a full side skips a hole or overruns a reader, a full fragment cache gives up a
//! datagram. No packet makes the data plane allocate without bound, block or panic.
//!
//! # The books
//!
//! Every frame ends in exactly one place. At rest, over all shards:
//!
//! ```text
//! received frames = packets that belonged to a flow + fragments absorbed + drops by reason + lost between shards
//! handed out      = taken in + lost between shards
//! ```
//!
//! and for the frames of wires, which are forwarded or not besides:
//!
//! ```text
//! received + received unseen + injected = forwarded + held for the rest of their datagram
//!                                       + dropped by verdict, as not analysed, as fragments of no datagram, by overload,
//!                                         at exit, for lack of room
//! ```
//!
//! [`Snapshot::is_balanced`](crate::Snapshot::is_balanced) says whether they balance.
