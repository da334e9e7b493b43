//! Real programs through `mosaic run`, or through an example that stands in a wire: ping, curl, nginx, iperf3 and redis in
//! network namespaces of their own, mosaic between them. What the programs report is the truth that records and metrics are
//! compared with.
//!
//! ```text
//! namespace A             namespace M                      namespace B
//! a0 192.0.2.1 ---------- left   mosaic run   right ------ b0 192.0.2.2
//! ```
//!
//! Ends offer no segments larger than the MTU, but leave checksums unfinished, as the kernel does where no wire follows.
//! Loss, reordering and VLAN tags come from `tests/captures/link.py`, for not every kernel has netem and VLAN devices.
//! Without root, the tools or the feature `dpdk`, each test says that it was skipped.
#![cfg(feature = "dpdk")]
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]
#![expect(
    clippy::cast_precision_loss,
    reason = "metrics are served as floating-point numbers, and counts here are small"
)]

mod built;
mod checksums;
mod crash;
mod crowd;
mod faults;
mod firewall;
mod idle;
mod lab;
mod load;
mod load_balancer;
mod mosaic;
mod namespace;
mod nat;
mod overload;
mod portal;
mod printed;
mod raw;
mod rewrite;
mod rules;
mod soak;
mod traffic;
mod watch;
mod watchers;
