//! One shard, as a value.
//!
//! Packets, commands and the time go in; events, records and counters come out. Nothing here reads a clock, owns a
//! thread, waits or calls foreign code: the crate is `no_std` and every input is an argument.
//!
//! | module | does |
//! |---|---|
//! | [`wire`] | frames to packets: decapsulation, IP fragments, checksums ([`wire::Ingress`]) |
//! | [`flow`] | keys, symmetric Toeplitz hash, flow table, expiry wheel |
//! | [`stream`] | reassembly: which ranges are present, the bytes, peek |
//! | [`tcp`] | sequence numbers, options, states, the two emulated half-connections |
//! | [`event`] | what actors can subscribe to |
//! | [`actor`] | what an application implements |
//! | [`shard`] | ties them together: [`shard::Shard::handle_burst`] |
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    expect(
        clippy::cast_possible_truncation,
        reason = "numbers of tests are small"
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod actor;
pub mod counters;
pub mod event;
pub mod flow;
pub mod limits;
pub mod shard;
pub mod stream;
pub mod tcp;
pub mod wire;
