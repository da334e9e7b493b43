//! The manual: how mosaic thinks, page by page.
//!
//! | page | answers |
//! |---|---|
//! | [`architecture`] | what happens to a packet, and what lives where |
//! | [`events`] | what can happen to a flow, and when an actor hears of it |
//! | [`actors`] | how to write an application |
//! | [`peeks`] | how to read streams, and what is copied |
//! | [`errors`] | what can go wrong in a call, and what the reference system calls it |
//! | [`config`] | what can be set, and where |
//! | [`live`] | how to watch network cards, and to stand in a wire |
//! | [`deploy`] | how to run it as a service or in a container |
//! | [`metrics`] | what can be watched, and what is alarming |
//! | [`examples`] | which program to start from |
//! | [`testing`] | how mosaic is tested, and how to test an actor |
//! | [`reference`](mod@reference) | what is different from mOS, and why |
//! | [`performance`] | how fast it is, and how to measure that |
//!
//! # The shortest way in
//!
//! ```text
//! cargo run --release -- replay tests/captures/http.pcap
//! cargo run --example flow_monitor
//! cargo run --example stream_peek -- tests/captures/http.pcap
//! ```
//!
//! The first prints a summary of a capture; the second a table of its connections; the third what it requested. Copy one of
//! the examples to begin an application of your own.

pub mod actors;
pub mod architecture;
pub mod config;
pub mod deploy;
pub mod errors;
pub mod events;
pub mod examples;
pub mod live;
pub mod metrics;
pub mod peeks;
pub mod performance;
pub mod reference;
pub mod testing;
