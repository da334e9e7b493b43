//! Ports on virtual devices, without privileges, huge pages or network interfaces.
//!
//! DPDK can be started once a process: the tests share one EAL, and each attaches devices of its own.

mod support;

mod bursts;
