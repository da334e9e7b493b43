//! Devices of DPDK.
