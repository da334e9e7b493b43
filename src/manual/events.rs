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
//! | `User` | when a user-defined event happens, see below | which, a number |
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
//! # Subscriptions
//!
//! What a monitor asks for when it is opened is asked of every flow that it matches. A callback may change that for its flow and
//! its monitor: [`subscribe`](mosaic_engine::actor::FlowContext::subscribe),
//! [`unsubscribe`](mosaic_engine::actor::FlowContext::unsubscribe) and [`packets`](mosaic_engine::actor::FlowContext::packets) take
//! effect at the next event. An event that is told at `End` as well is told there to those who had asked for it when it
//! happened. Who subscribes to `NewData` reads from the next byte on: subscribe at `Send` or `Receive` where
//! it matters which that is, since at `End` it depends on the burst.
//! [`ShardContext::monitor`](mosaic_engine::actor::ShardContext::monitor) changes what a monitor asks of flows that begin later;
//! those that are there keep what they have.
//!
//! Flows that are asked the same share one set of subscriptions, however they came to it, so that a change for one flow costs
//! neither memory nor more time where there are many. A shard has 16,384 sets
//! ([`MONITOR_SETS`](mosaic_engine::limits::MONITOR_SETS)); a change for which none is left is refused, and counted in
//! `mosaic_subscriptions_refused_total`. Sets that no flow has are used again.
//!
//! # User-defined events
//!
//! [`define_event`](mosaic_engine::actor::ShardContext::define_event) gives a name to an event that is built on another one, built-in
//! or user-defined, and a predicate that tells whether it happens. It is subscribed to as any other event, at the hooks of the
//! built-in event at its root, and comes as `Event::User`. Who else wants it, finds it by its name. Events form trees; when the
//! base happens, those who subscribed to it are called first, then, event by event in the order of their definition, the
//! predicate, those who subscribed to what it says has happened, and what is built on that. A predicate is asked once however many
//! subscribe, and only on flows where somebody listens.
//!
//! An event defined by [`define_raised`](mosaic_engine::actor::ShardContext::define_raised) has no predicate: that of its base
//! raises it, with as many others as it likes ([`Trigger::raise`](mosaic_engine::event::Trigger::raise)), so that one search
//! tells many events. Or an actor raises it by hand, with a number of its choice
//! ([`FlowContext::raise`](mosaic_engine::actor::FlowContext::raise)): it comes after the event at hand, at the same hook, and
//! at `End`. In answer to one event 64 may be raised; an actor that goes on answering itself is refused then.
//!
//! A predicate sees the flow, its packet at `Send` and `Receive`, and moves no reader. Events built on `NewData` let
//! [`peek_at`](mosaic_engine::actor::FlowContext::peek_at) see the bytes of the burst, during the call; they make nobody a reader. A
//! predicate that panics counts as a panic of the actor that defined it, and as false.
//!
//! ```
//! use mosaic::prelude::*;
//!
//! /// Tells the start of each HTTP request apart from other data, and packets only of connections that have shown one.
//! #[derive(Default)]
//! struct Requests {
//!     seen: u64,
//!     packets: u64,
//! }
//!
//! impl Actor for Requests {
//!     type Flow = ();
//!
//!     fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
//!         let request = shard.define_event("http-request", EventSet::NEW_DATA, |flow, trigger| {
//!             let Event::NewData(side) = trigger.event() else { return false };
//!             let mut start = [0; 4];
//!             flow.peek_at(side, 0, &mut start) == Ok(4) && start == *b"GET "
//!         })?;
//!         shard.monitor_stream(None).on(Hook::End, request).open()?;
//!         Ok(())
//!     }
//!
//!     fn on_event(&mut self, (): &mut (), flow: &mut FlowContext<'_>, event: Event) {
//!         if let Event::User { event, .. } = event {
//!             self.seen += 1;
//!             // Once is enough; from here on every packet counts.
//!             let _ = flow.unsubscribe(Hook::End, event).and_then(|()| flow.packets(Hook::Send, true));
//!         }
//!     }
//!
//!     fn on_packet(&mut self, (): &mut (), _: &mut FlowContext<'_>, _: &PacketView<'_>, _: Hook) -> Verdict {
//!         self.packets += 1;
//!         Verdict::Forward
//!     }
//! }
//! ```
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
