//! How fast it is, and how to measure that.
//!
//! # The measure
//!
//! The figure that counts is **processor time for each packet**: user and system time of the shard's thread, from the first
//! packet of a capture that lies indexed in memory to the end of the last delivery, divided by the packets. Reading the
//! file, making the shard, and ending the flows that are left are not part of it.
//!
//! ```text
//! mosaic bench replay FILE --shards 1 --repeat 5 --actor read --checksums ignore
//! ```
//!
//! repeats the capture after one pass that warms up, each time on a fresh shard, and prints the smallest, the median and
//! the largest value, with their spread in percent of the median: on a machine that does other things as well, a spread of
//! more than a few percent means that the run should be repeated. `--json` prints the same as one object.
//!
//! | `--actor` | does |
//! |---|---|
//! | `none` | nothing: flows are monitored, tracked and kept in order, nobody listens |
//! | `count` | counts events other than new data |
//! | `read` | takes every byte through `peek`, and looks at lengths only |
//! | `touch` | as `read`, and reads every byte |
//! | `window:BYTES` | as `read`, retains the last BYTES of each side, and looks into them once for each `NewData` |
//!
//! `--filter EXPRESSION` gives the actor's monitor a filter. Profile `record`, default bounds and timeouts, checksums ignored
//! unless `--checksums verify`. `payload_bytes` is what the actor took. With several shards, frames are dealt
//! out to the owners of their flows beforehand, as a network card does; processor time is summed over the shards.
//!
//! The memory of the flow table is put in place when the shard is made ([`prefault`] of its configuration), as for a shard
//! that has run for a while. `mosaic replay` leaves that off, takes memory as flows come, and pays for it with their first
//! packets. *Bytes a flow* comes from the warm-up pass, where it is off as well: the resident memory that the process
//! gained from before the shards were made to the end of the last burst, divided by the flows then in the tables. With few
//! flows, what a shard needs without any shows in it.
//!
//! [`prefault`]: mosaic_engine::shard::ShardConfig::prefault
//!
//! # The traces
//!
//! Three captures of synthetic traffic, made by an example of this repository; the same seed gives the same capture.
//!
//! | trace | stands for | connections | at a time | request | response | reordered | repeated |
//! |---|---|---|---|---|---|---|---|
//! | churn | very short connections: the flow table | 400,000 | 100,000 | 64 | 64 | | |
//! | mixed | a busy link with some loss: everything | 60,000 | 50,000 | 300 | 20,000 | 3 % | 1 % |
//! | bulk | long transfers: the price of a segment | 1,200 | 1,000 | 200 | 1,000,000 | | |
//!
//! ```text
//! cargo build --release --bin mosaic --example tracegen
//! target/release/examples/tracegen -o churn.pcap -c 100000 -n 400000 -q 64 -r 64
//! target/release/examples/tracegen -o mixed.pcap -c 50000 -n 60000 -q 300 -r 20000 -R 3 -X 1
//! target/release/examples/tracegen -o bulk.pcap -c 1000 -n 1200 -q 200 -r 1000000
//! for trace in churn mixed bulk; do target/release/mosaic bench replay $trace.pcap --actor read; done
//! ```
//!
//! The bulk trace is 1.3 GB, and lies in memory while it is measured.
//!
//! # Figures
//!
//! One shard, `--actor read`, checksums ignored, on a shared virtual machine of two cores at rest (AMD EPYC of the fourth
//! generation, 1 MB of second-level cache a core). Beside each figure, measured in alternation with it, stands the *floor*: a
//! loop over the same packets in memory that parses the headers, finds the flow in a prefetched table and checks the
//! sequence number, and does nothing else. Medians of five pairs of runs. Absolute figures go with the machine and with what
//! else it does: on another one the same floor took 25, 30 and 25 ns; the ratio varies less.
//!
//! | trace | ns/packet | floor | ratio | payload delivered |
//! |---|---|---|---|---|
//! | churn | 204 | 37 | 5.9 | 51,200,000 bytes, all |
//! | mixed | 170 | 49 | 3.6 | 1,218,000,000 bytes, all |
//! | bulk | 107 | 46 | 2.4 | 1,200,240,000 bytes, all |
//!
//! The machine was busy with other guests. In a quieter hour, with a floor of 28, 43 and 44, an earlier version
//! took 164, 139 and 107. Profile
//! `receiver` (`--profile receiver`), the one for live traffic, took 176 on churn where `record` took 171 (medians of three
//! alternating runs).
//!
//! Flow tables ask for large pages (`transparent_hugepage` is `madvise` or `always`): in such a busy hour churn took 173 ns with
//! them and 207 without (medians of five alternating runs of the same version with and without the request); in quieter ones
//! the difference was too small to tell.
//!
//! Of churn, some 147 ns are work in that busy hour: so much takes a trace with 20,000 such connections, of which 1,000 at a time,
//! whose flows stay in the cache (`tracegen -o small.pcap -c 1000 -n 20000 -q 64 -r 64`). Six of the nine packets of a connection
//! change its state. The rest is waiting for memory: each connection touches the index, two lines of the hot part of its flow
//! and two of the cold part. Both parts of a flow lie on the same page, and look-ups run 16 packets ahead of the processing:
//! more would push each other out of the first level of cache.
//!
//! **Flows of no interest.** On churn with a filter that no flow passes (`--filter 'tcp port 9'`), a packet takes 51 % of what
//! it takes with `--actor read`: 87 of 171 ns (medians of three alternating pairs).
//!
//! **Shards.** Frames dealt out beforehand, no reader: two shards give 2.1 times the packets a second of one on mixed (median of
//! five pairs, 1.8 to 2.2: more than twice is noise; 1.95 in a quieter hour with an earlier version, and 1.98 on churn;
//! `mosaic bench replay FILE --shards 2`).
//!
//! **Ports.** One core, frames of 64 bytes, millions of packets a second, medians of five alternating runs;
//! `mosaic bench port SOURCE --flows 500`, with `memory`, `ring`, `pcap` and `net_null0,size=64`. What the first three bring is
//! the same; net_null (one run of five repeats) brings zeros, which are no packets.
//! `ring` is two `net_ring` that frames go round: each is sent on as well.
//!
//! | source | receive | and parse | and track, actor `read` |
//! |---|---|---|---|
//! | memory | 898 | 55.9 | 22.2 |
//! | net_ring, twice | 255 | 44.2 | 20.7 |
//! | net_pcap, `infinite_rx` | 50.1 | 25.6 | 15.0 |
//! | net_null | 73.8 | 28.0 | 27.9 |
//!
//! So tracking from a device that only hands pointers over, sending included, reaches 92 % of what memory gives. net_pcap copies
//! each packet, which takes 20 ns; without them, tracking from it takes what it takes from memory (47 and 45 ns). The port loop
//! alone, against the same loop in C (`shards/dpdk/benches/compare 5 1`; medians of the rounds' ratios): net_null 71 to 65
//! Mpackets/s, 114 %; net_null forwarding 44 to 53, 84 %; net_pcap 47 to 46, 103 %; net_memif between two processes 18.8 to
//! 18.9, 99 %.
//!
//! **In a wire.** veth devices through net_af_packet, flows tracked, two actors subscribed; `shards/dpdk/benches/wire 5 2`,
//! medians and ratios to a forwarder in C over the same devices in the same round:
//!
//! | in the wire | iperf3, Gbit/s | ratio | ping, microseconds | ratio |
//! |---|---|---|---|---|
//! | forwarder in C | 1.99 | 1 | 40 | 1 |
//! | mosaic, `idle = "spin"` | 2.00 | 0.97 | 42 | 1.09 |
//! | mosaic, `idle = "adaptive"` | 2.07 | 1.04 | 217 | 6.2 |
//! | Linux bridge | 3.98 | 2.02 | 20 | 0.62 |
//!
//! What limits all but the bridge is net_af_packet. At rest two adaptive shards take 7 % of a core together in a busy hour (4 %
//! in a quiet one), and add 0.6 ms to the packet that ends a silence at the median, 6 ms at the 99th percentile, where spinning
//! shards have 1.7 ms (in a quiet hour 0.5 and 1.1 ms; 60 pings, half a second apart, release build;
//! `MOSAIC_PINGS=60 MOSAIC_PING_SECONDS=0.5 MOSAIC_PROGRAM=target/release/mosaic cargo test --features dpdk --test wires idle -- --nocapture`).
//! In ten minutes of mixed load (curl, iperf3 over TCP and UDP, ping; release build, two shards, two queues a port) 65.8 million
//! frames came in and no packet buffer was lost: at most 924 and 493 of the two ports' were in use, and none before and after.
//! 50,365 frames (0.08 %) were dropped, all of them for overload
//! (`on_overload = "drop"`: the ring to the shard that owned their flow was full); none for lack of room to send, and none were
//! missed by the devices
//! (`MOSAIC_SOAK_SECONDS=600 MOSAIC_PROGRAM=target/release/mosaic cargo test --features dpdk --test wires soak -- --nocapture`).
//!
//! **Events and subscriptions.** 200,000 live flows, a packet of each in turn, so that each packet finds its flow at rest;
//! `mosaic bench events`. Medians of 15 differences between two shards, or two modes of one, in alternation; nanoseconds
//! of processor time:
//!
//! | what | ns |
//! |---|---|
//! | changing what is asked of a flow, the same for all: 27 million changes a second | 37 |
//! | the same in 1,000 different ways | 61 |
//! | a packet told to 1 actor, more than to none (of 61, with parsing) | 15 |
//! | to 4 actors | 50 |
//! | to 16 actors | 140 |
//! | 1,000 user-defined events defined, none asked for | 0.1 |
//! | 10 predicates asked, of 10 or of 1,000 defined | 32 and 32 each |
//! | 1,000 predicates asked | 30 each |
//! | one predicate that raises 1 of 1,000 events asked for | 3 for each event |
//!
//! Medians of five such runs: for one actor they lie between 12.0 and 18.0 ns, 14.9 in the middle. Each further one costs some
//! 8 ns. Where many predicates look at the same bytes, a group is nine times as
//! cheap. Subscriptions take no memory for each flow: 384 bytes resident a flow, whether nobody listens, all flows are
//! asked the same, or each was changed in one of 1,000 ways.
//!
//! **Memory.** An idle flow takes 412 bytes ([`IDLE_FLOW_BYTES`](mosaic_engine::flow::IDLE_FLOW_BYTES)), whatever has been
//! delivered on it, plus the state each actor keeps. A million of them take 412 MB, which `tests/memory.rs` measures.
//! Memory is reserved when a shard is made and taken as flows come, or at once with
//! [`ShardConfig::prefault`](mosaic_engine::shard::ShardConfig::prefault), as the reported repeats of `mosaic bench` do.
//!
//! # Benches of single structures
//!
//! ```text
//! cargo bench -p mosaic-engine
//! ```
//!
//! times parsing, flow look-up in a large table and reassembly, each by itself.
