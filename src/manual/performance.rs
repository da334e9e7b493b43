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
//! | `none` | nothing: flows are tracked and streams kept in order, nobody listens |
//! | `count` | counts events other than new data |
//! | `read` | takes every byte through `peek`, and looks at lengths only |
//! | `touch` | as `read`, and reads every byte |
//! | `window:BYTES` | as `read`, retains the last BYTES of each side, and looks into them once for each `NewData` |
//!
//! Profile `record`, default bounds and timeouts, checksums ignored unless `--checksums verify`. `payload_bytes` is what the
//! actor took. With several shards, frames are dealt out to the owners of their flows beforehand, as a network card does;
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
//! One shard, `--actor read`, checksums ignored, on a shared virtual machine of two cores (Xeon with 2 MB of second-level
//! cache a core). Beside each figure, measured in alternation with it, stands the *floor*: a loop over the same packets in
//! memory that parses the headers, finds the flow in a prefetched table and checks the sequence number, and does nothing
//! else. Medians of three pairs of runs on a quiet moment. Absolute figures vary by half with what else such a machine
//! does; the ratio varies less, but does: under load churn came to 4.8 in five pairs.
//!
//! | trace | ns/packet | floor | ratio | payload delivered |
//! |---|---|---|---|---|
//! | churn | 164 | 38 | 4.3 | 51,200,000 bytes, all |
//! | mixed | 122 | 38 | 3.2 | 1,218,000,000 bytes, all |
//! | bulk | 78 | 34 | 2.3 | 1,200,240,000 bytes, all |
//!
//! What churn waits for is memory: each of its connections touches the index, two lines of the hot part of its flow, two
//! of the cold part, and the links that put it in order of expiry. Large pages help (with
//! `GLIBC_TUNABLES=glibc.malloc.hugetlb=1` and transparent huge pages on `madvise`, between 5 and 15 percent less in a few runs).
//!
//! **Memory.** An idle flow takes 420 bytes ([`IDLE_FLOW_BYTES`](mosaic_engine::flow::IDLE_FLOW_BYTES)), whatever has been
//! delivered on it, plus the state each actor keeps. A million of them take 420 MB, which `tests/memory.rs` measures.
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
