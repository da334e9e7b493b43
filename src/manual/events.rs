//! What can happen to a flow, and when an actor hears of it.
//!
//! An [event](mosaic_engine::event::Event) is a fact about one flow. A monitor names the events it wants and the *hook* at which
//! it wants them; it hears of nothing else.
//!
//! | event | happens | with |
//! |---|---|---|
//! | `PacketIn` | at every packet of the flow: subscribing to it asks for [`on_packet`](mosaic_engine::actor::Actor::on_packet) | the packet, its sender |
//! | `ConnStart` | at the flow's first packet | |
//! | `ConnEstablished` | when the three-way handshake is complete | |
//! | `NewData` | when a side's stream has grown in order: once a side and burst | the side that *sent* the bytes |
//! | `Retransmission` | when a side repeats bytes, a SYN or a FIN, or probes a connection | side, kind, repeated bytes |
//! | `StateChange` | when the emulated TCP state of a side changes | side, old and new state (RFC 9293) |
//! | `Error` | when something is wrong in a stream: a gap, a reader overrun, an overlap that differs, an invalid segment | side, what |
//! | `Timeout` | when the flow was idle for longer than its state allows, just before its `ConnEnd` | |
//! | `ConnEnd` | when the flow is closed: once | the reason |
//! | `LateData` | when bytes join the stream after `ConnEnd`, which captures out of order make possible | side |
//!
//! # Order
//!
//! For each flow and actor: `ConnStart` comes first. All `NewData` of a burst comes before the `ConnEnd` of that burst, so
//! that an actor has been offered every byte when it hears of the end. `ConnEnd` comes once. After it a closed flow
//! lingers in the table, so that late packets still count with it; when it leaves,
//! [`on_removed`](mosaic_engine::actor::Actor::on_removed) is the last call.
//!
//! Timers that are due ([actors](super::actors)) come after all events of their burst.
//!
//! # Hooks
//!
//! | hook | is called |
//! |---|---|
//! | `Send` | in the packet's path, after the emulated sender was updated and before the receiver |
//! | `Receive` | in the packet's path, after the emulated receiver was updated |
//! | `End` | after the burst, when all its packets have been processed |
//!
//! | event | `Send` | `Receive` | `End` |
//! |---|---|---|---|
//! | `PacketIn` | every packet | every packet | |
//! | `ConnStart` | the first packet | the first packet | yes |
//! | `StateChange` | of the sender | of the receiver | of both |
//! | `ConnEstablished`, `Retransmission`, `Error` | | yes | yes |
//! | `NewData`, `Timeout`, `ConnEnd`, `LateData` | | | yes |
//!
//! Asking for an event at a hook where it does not happen is refused when the monitor is opened.
//!
//! Within a hook the packet comes first, then the events that it raised, in the order of the table. What is wrong with the
//! bytes themselves, `Error` and the `Retransmission` of bytes, is told of before the receiver's view of the packet. At
//! `Send` the sender has its new state and the receiver its old one; at `Receive` both have their new ones. At these two hooks
//! [`packet`](mosaic_engine::actor::FlowContext::packet) is the packet at hand, also in `on_event`, which may
//! [drop](mosaic_engine::actor::FlowContext::drop_packet) it.
//!
//! Several monitors form a chain, as if each stood in the wire, the first opened next to the client: what the client sends is
//! shown to the first one first, what the server sends to the last one first.
//!
//! # Ends
//!
//! | reason | means |
//! |---|---|
//! | `Fin` | both sides closed |
//! | `Reset` | a valid RST |
//! | `Timeout` | no packet for as long as the timeout of the flow's state |
//! | `Reopened` | the same addresses and ports opened a new connection |
//! | `Evicted` | the flow table was full, and this flow the least valuable |
//! | `SourceEnd` | the capture ended |
//!
//! # Gaps
//!
//! A capture may lack packets that the receiver did get. A hole that the receiver has acknowledged is waited for one second
//! of packet time (`gap_grace_ms`), since captures also reorder; then it is skipped and reported as `Error` with
//! `Gap { offset, len }`, and `NewData` goes on behind it. A hole is also skipped when a bound is hit, and at the flow's end.
//!
//! ```
//! use mosaic::prelude::*;
//!
//! /// Counts what is missing.
//! fn missing(event: Event) -> u64 {
//!     match event {
//!         Event::Error { error: StreamError::Gap { len, .. }, .. } => len,
//!         _ => 0,
//!     }
//! }
//! assert_eq!(missing(Event::Error { side: Side::Server, error: StreamError::Gap { offset: 7, len: 3 } }), 3);
//! ```
