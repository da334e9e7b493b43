//! Ports on virtual devices, without privileges, huge pages or network interfaces.
//!
//! DPDK can be started once a process: the tests share one EAL, and each attaches devices of its own, named by a number
//! that no other test uses.

mod support;

mod bursts;
mod chained;
mod changed;
mod checksums;
mod control;
mod files;
mod hand_over;
mod threads;
