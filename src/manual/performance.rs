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
//! unless `--checksums verify`. `payload_bytes` is what the actor took. With several shards, frames are dealt out to the owners of their flows beforehand, as a network card does;
//! processor time is summed over the shards.
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
//! | churn | 197 | 34 | 5.4 | 51,200,000 bytes, all |
//! | mixed | 169 | 55 | 2.9 | 1,218,000,000 bytes, all |
//! | bulk | 153 | 51 | 2.5 | 1,200,240,000 bytes, all |
//!
//! In a quieter hour of the same machine, with a floor of 28, 43 and 44, the version before took 164, 139 and 107. Profile
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
//! it takes with `--actor read`: 98 of 195 ns (medians of three alternating pairs).
//!
//! What follows up to *Events and subscriptions* was measured with earlier versions.
//!
//! **Shards.** Frames dealt out beforehand, no reader: two shards give 1.95 times the packets a second of one on mixed and
//! 1.98 times on churn (medians of five and three pairs; `mosaic bench replay FILE --shards 2`).
//!
//! **Ports.** One core, frames of 64 bytes, millions of packets a second; `mosaic bench port memory`, `pcap` and
//! `net_null0,size=64`. What memory and pcap bring is the same; net_null brings zeros, which are no packets.
//!
//! | source | receive | and parse | and track, actor `read` |
//! |---|---|---|---|
//! | memory | 934 | 64.3 | 25.8 |
//! | net_pcap, `infinite_rx` | 49.7 | 28.2 | 15.7 |
//! | net_null | 66.5 | 26.9 | 26.4 |
//!
//! Without what the device itself takes (20 ns for each packet, which net_pcap copies), tracking from net_pcap costs 44 ns, from
//! memory 39. The port loop alone, against the same loop in C (`shards/dpdk/benches/compare 5 1`; medians of the rounds'
//! ratios): net_null 66 to 67 Mpackets/s, 99 %; net_null forwarding 47 to 57, 85 %; net_pcap 48 to 47, 103 %; net_memif between
//! two processes 19.6 to 19.8, 99 %.
//!
//! **In a wire.** veth devices through net_af_packet, flows tracked, two actors subscribed; `shards/dpdk/benches/wire 5 2`,
//! medians and ratios to a forwarder in C over the same devices in the same round:
//!
//! | in the wire | iperf3, Gbit/s | ratio | ping, microseconds | ratio |
//! |---|---|---|---|---|
//! | forwarder in C | 2.33 | 1 | 21 | 1 |
//! | mosaic, `idle = "spin"` | 2.16 | 0.95 | 22 | 1.11 |
//! | mosaic, `idle = "adaptive"` | 2.18 | 0.89 | 205 | 9.4 |
//! | Linux bridge | 4.81 | 1.99 | 12 | 0.62 |
//!
//! What limits all but the bridge is net_af_packet. At rest two adaptive shards take 4 % of a core together, and add
//! 0.5 ms to the packet that ends a silence at the median, 1.1 ms at the 99th percentile (60 pings, half a second apart,
//! release build; `MOSAIC_PINGS=60 MOSAIC_PING_SECONDS=0.5 MOSAIC_PROGRAM=target/release/mosaic cargo test --features dpdk --test wires idle -- --nocapture`).
//! In ten minutes of mixed load (curl, iperf3 over TCP and UDP, ping; release build, two shards, two queues a port, on a machine
//! whose two cores had compilers to run as well) 48.8 million frames came in and no packet buffer was lost: at most 983 and 384
//! of the two ports' were in use, and none before and after. 56,170 frames (0.12 %) were dropped, all of them for overload
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
//! | changing what is asked of a flow, the same for all: 30 million changes a second | 33 |
//! | the same in 1,000 different ways | 51 |
//! | a packet told to 1 actor, more than to none (of 62, with parsing) | 20 |
//! | to 4 actors | 52 |
//! | to 16 actors | 193 |
//! | 1,000 user-defined events defined, none asked for | 0.1 |
//! | 10 predicates asked, of 10 or of 1,000 defined | 32 and 32 each |
//! | 1,000 predicates asked | 30 each |
//! | one predicate that raises 1 of 1,000 events asked for | 4 for each event |
//!
//! Being told costs some 11 ns an actor, and the first one 9 more. (The version before took 36, 98 and 340 for 1, 4 and 16 actors
//! in the same hour.) Where many predicates look at the same bytes, a group is eight times as
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
