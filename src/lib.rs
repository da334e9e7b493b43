//! A networking stack for stateful middleboxes.
//!
//! Packets from captures or network cards are decapsulated, spread over *shards* by the flow they belong to,
//! tracked and reassembled by two emulated TCP stacks a flow; *actors* see events and bytes. A whole program:
//!
//! ```no_run
//! use mosaic::prelude::*;
//!
//! /// Counts the bytes of every stream.
//! #[derive(Default)]
//! struct Bytes(u64);
//!
//! impl Actor for Bytes {
//!     type Flow = ();
//!
//!     fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
//!         let web = mosaic::filter::flows("tcp port 80")?;
//!         shard.monitor_stream(Some(web)).on(Hook::End, EventSet::NEW_DATA).open()?;
//!         Ok(())
//!     }
//!
//!     fn on_event(&mut self, _: &mut (), flow: &mut FlowContext<'_>, event: Event) {
//!         if let Event::NewData(side) = event {
//!             let all = |chunks: Chunks<'_>| chunks.map(<[u8]>::len).sum();
//!             self.0 += flow.peek(side, all).unwrap_or(0) as u64;
//!         }
//!     }
//!
//!     fn finish(&mut self) {
//!         println!("{} bytes", self.0);
//!     }
//! }
//!
//! fn main() -> mosaic::Result<()> {
//!     mosaic::Runtime::builder().capture("monday.pcap").shards(2).actor("bytes", |_shard| Bytes::default()).run()
//! }
//! ```
//!
//! | module | does |
//! |---|---|
//! | [`prelude`] | everything an actor needs, in one import |
//! | [`Builder`], [`Runtime`] | settings and actors to running shards |
//! | [`config`] | the same settings from a file |
//! | [`filter`] | pcap-filter expressions |
//! | [`records`] | the connection log |
//! | [`metrics`] | figures for Prometheus |
//! | [`live`] | ports on network cards |
//! | [`control`] | signals, files that change |
//! | [`cli`] | the `mosaic` command |
//! | [`manual`] | how it all fits together, page by page |
#![forbid(unsafe_code)]

mod builder;
pub mod cli;
pub mod config;
pub mod control;
mod error;
pub mod filter;
pub mod live;
pub mod manual;
pub mod metrics;
pub mod records;
mod runtime;

pub use builder::Builder;
pub use error::{Error, Result};
pub use live::PortFigures;
pub use mosaic_runtime::{Handle, ShardReport, ShardSnapshot};
pub use runtime::{HandOver, Report, Runtime, Snapshot};

/// Ports: where packets come from.
pub use mosaic_port as port;

/// What an actor needs.
pub mod prelude {
    pub use mosaic_engine::actor::{
        Actor, Chunks, ClientBy, CloseError, EditError, FlowContext, FlowId, FlowSummary, Fragment,
        Hardware, InjectError, LastPacket, LastSegment, MonitorBuilder, MonitorId, OpenError,
        PacketEdit, PacketError, PacketView, Part, PeekError, RawPacket, RoundTrip, Segment,
        ShardContext, SideSummary, StartError, StreamInfo, SubscribeError, TimerError, TimerId,
        Toward, TranslateError, Translation,
    };
    pub use mosaic_engine::event::{
        DefineError, EndReason, Event, EventSet, Filter, Hook, RaiseError, RetransmissionKind,
        Side, StreamError, Topic, Trigger, UserEventId, Verdict,
    };
    pub use mosaic_engine::flow::{Endpoint, FlowKey, Proto};
    pub use mosaic_engine::shard::{OverlapPolicy, Profile};
    pub use mosaic_engine::tcp::State;
    pub use mosaic_engine::wire::{
        Checksums, Encapsulation, KeyDomain, Layer, TcpFlags, Transport,
    };
    pub use mosaic_port::Timestamp;

    pub use crate::{Builder, Runtime};
}

/// The README: its example is a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
