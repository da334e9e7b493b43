//! How mosaic is tested, and how to test an actor.
//!
//! `make test` runs everything; `.ci/run` also sanitizes, lints, documents and fuzzes.
//!
//! | kind | where | catches |
//! |---|---|---|
//! | unit tests | beside the code | mistakes in one structure |
//! | property tests | beside the code | what nobody thought of, against a model too simple to be wrong |
//! | simulation | `shards/sim` and its users | orders of loss, delay and repetition; a seed repeats a failure |
//! | captures | `tests/captures` | real programs: each capture has facts that the programs themselves reported |
//! | wires | `tests/wires` | what only real traffic shows: curl, nginx, iperf3, redis and ping through `mosaic run` |
//! | tidy | `tests/tidy.rs` | who may depend on whom, where `unsafe` may stand, how long things may get |
//! | sanitizer | `.ci/run sanitize` | memory misused around DPDK: the crates with `unsafe`, and their C shim, under AddressSanitizer |
//! | fuzzing | `tests/fuzz` | crashes on arbitrary bytes |
//! | benches | `shards/engine/benches` | lost speed of one structure |
//!
//! # Real traffic
//!
//! `tests/wires` (root, feature `dpdk`; otherwise it says that it was skipped) makes two network namespaces for each test,
//! and a third one between them for `mosaic run`, on interfaces of the kernel and on those that DPDK makes. What programs
//! report about their connections is compared with records, and what the kernel counts with metrics. Links that lose,
//! repeat and reorder, and VLAN tags, come from `tests/captures/link.py`, for not every kernel has netem and VLAN devices.
//!
//! ```text
//! cargo test --features dpdk --test wires
//! MOSAIC_SOAK_SECONDS=600 cargo test --features dpdk --test wires soak -- --nocapture    # ten minutes of mixed load
//! MOSAIC_REQUESTS=10000 cargo test --features dpdk --test wires firewall                 # examples in a wire, under more load
//! MOSAIC_PROGRAM=target/release/mosaic cargo test --features dpdk --test wires idle -- --nocapture
//! ```
//!
//! # Testing an actor
//!
//! An actor needs no network: give it a capture, and look at what it did.
//!
//! ```
//! # fn main() -> mosaic::Result<()> {
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use mosaic::prelude::*;
//!
//! struct Connections(Arc<AtomicU64>);
//!
//! impl Actor for Connections {
//!     type Flow = ();
//!
//!     fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
//!         let tcp = mosaic::filter::flows("tcp")?;
//!         shard.monitor_stream(Some(tcp)).on(Hook::End, EventSet::CONN_START).open()?;
//!         Ok(())
//!     }
//!
//!     fn on_event(&mut self, _: &mut (), _: &mut FlowContext<'_>, _: Event) {
//!         self.0.fetch_add(1, Ordering::Relaxed);
//!     }
//! }
//!
//! let seen = Arc::new(AtomicU64::new(0));
//! let count = Arc::clone(&seen);
//! Runtime::builder()
//!     .capture("tests/captures/http.pcap")
//!     .actor("connections", move |_shard| Connections(Arc::clone(&count)))
//!     .run()?;
//! assert_eq!(seen.load(Ordering::Relaxed), 3);
//! # Ok(()) }
//! ```
