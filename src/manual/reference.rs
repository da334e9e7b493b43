//! What is different from the reference system, mOS, and why.
//!
//! mosaic keeps the semantics of mOS, which wrote down what it means to watch other hosts' TCP connections: two emulated ends
//! for each connection, callbacks before and after the receiver, events of a burst at its end, monitors in a chain, snapshots
//! of subscriptions. Where a row says nothing else, a program written for mOS sees the same here. Names in capitals are those
//! of mOS 0.3.
//!
//! # Events
//!
//! | reference | mosaic | why |
//! |---|---|---|
//! | an identical SYN again raises `CONN_START` and `STATE_CHANGE` of the server again | `Retransmission(Syn)`, and nothing else | a connection starts once |
//! | `REXMIT` only where the repeated bytes are still in the ring | whenever bytes are repeated, from sequence numbers | whether something is a repetition does not depend on who has read |
//! | bytes that come again raise `REXMIT` before `PKT_IN`; a SYN or FIN after it | the same | a monitor may compare with what it holds, at the `Send` hook also where only a part is repeated |
//! | `REXMIT`, `ERROR` may be registered at `SND` and never fire | refused when the monitor is opened ([`EventSet::at`](mosaic_engine::event::EventSet::at)) | a subscription that never fires is a mistake |
//! | no event for a complete handshake | `ConnEstablished`, before the `StateChange` that completes it | most monitors want just that |
//! | keep-alive probes are `REXMIT` | `Retransmission` of the kind `KeepAlive`, also those without a byte | accounting must tell them apart |
//! | `CONN_END` up to four times: two sides, two hooks | `ConnEnd` once a flow and monitor, at `End`, with the reason | whoever counts ends counts connections |
//! | `STATE_CHANGE` to CLOSED of both sides comes with every end | only what a packet changed; a flow that is idle for too long keeps its last states | a change without a packet is no fact about the connection |
//! | `TIMEOUT` is never raised | `Timeout` at `End`, just before `ConnEnd(Timeout)` | |
//! | idle flows behind an older busy one never expire | each expires by its own time | |
//! | `NEW_DATA` of the round in which a connection ends is lost | comes before `ConnEnd` | no byte is lost |
//! | a FIN raises `NEW_DATA` where old bytes are in the ring | no: `NewData` means new bytes | |
//! | data of the side that is still open when its peer has closed raises no `NEW_DATA` | raises it | RFC 9293, half-closed connections |
//! | a FIN out of order is forgotten | counts once everything before it is there | |
//! | a stream stops for good at bytes that were missed | holes are skipped when acknowledged, and told of as `Error` | a monitor does not see everything |
//! | the state of the server is not available at the `SND` hook of the first SYN | LISTEN | there is nothing that could fail |
//! | a RST is not validated | judged by RFC 9293 and 5961; a wrong one is `Error(Invalid)` and changes nothing | blind resets must not blind a monitor |
//! | packets after the end are orphans | belong to the flow until it leaves (`closed_timeout`) | they count with the connection |
//! | a connection that is met midway is never a flow | is one, where `midstream` is on; its first packet raises `ConnStart` | |
//! | `PKT_OUT`, `CONN_SETUP`, `DEBUG`: accepted, never raised | do not exist | |
//!
//! # User-defined events and subscriptions
//!
//! | reference | mosaic | why |
//! |---|---|---|
//! | unregistering a callback always fails; registering again keeps the old one | `subscribe` and `unsubscribe` work for each flow, from the next event on | |
//! | predicates are asked twice where there is a callback; the order of callbacks depends on the history of registrations | once; a base before what is built on it, in the order of definition | |
//! | a predicate is called with the socket of one subscriber | is asked about the flow, and cannot move a reader | whoever subscribes, the answer is the same |
//! | `alloc_event` and `raise_event` do not work | `define_raised`, `Trigger::raise`, and `FlowContext::raise` with a payload, also from the end of a burst and from timers | |
//! | hooks of nested events are checked against bits of their base's number | against the built-in event at the root | |
//! | the same definition is the same (base, filter, bytes of the argument) | the same (name, base): the first predicate counts | closures cannot be compared; a name lets one actor use the event of another |
//! | events are of the process, without a lock | of the shard | shards share nothing |
//! | overwritten silently where 102,400 trees are in use | at 16,384 sets a change is refused, and counted | |
//! | trees that no flow has are kept | given back | |
//! | changing a passive socket affects flows that begin later | the same | |
//!
//! # Hooks and monitors
//!
//! | reference | mosaic | why |
//! |---|---|---|
//! | `ERROR` is called at no hook while a packet is processed | at `Receive`, before the packet is shown there, and at `End` | the packet can be dropped for it |
//! | `CONN_START`, `STATE_CHANGE` at `SND` and `RCV` only | also at `End`, in the order in which they happened | actors that never touch packets need no hook in their path |
//! | after the end of a connection monitors are called in the order of registration | all events at `End` that nobody sent are told of in that order; what a side sent, in the order of the chain | |
//! | packets of flows that no SYN filter lets pass are orphans | are none, unless a monitor asks with [`left_out`](mosaic_engine::actor::MonitorBuilder::left_out) | they are most of the traffic, and known to belong to flows |
//!
//! # Changing packets
//!
//! | reference | mosaic | why |
//! |---|---|---|
//! | a NAT rewrites every packet by itself, and the flow is found by where its server's packets come from | [`translate`](mosaic_engine::actor::FlowContext::translate) once; the flow is found under both pairs of addresses | |
//! | ICMP errors belong to nothing: a NAT loses them | those about a translated flow go back with it (RFC 5508, section 4) | path MTU discovery works through a NAT |
//! | a packet can be sent from a callback of a packet, which it is a copy of | from every callback: `inject`, `reset` and `inject_packet` compose packets, and know the way of flows whose monitor `injects` | idle connections can be reset |
//!
//! # Raw monitors
//!
//! | reference | mosaic | why |
//! |---|---|---|
//! | packets come twice, once or never, depending on the filter and on other sockets | once, TCP or not, filter or not; a datagram in fragments once, when it is complete | |
//! | raw sockets are shown `ORPHAN` as well | orphans come to the stream monitors that ask ([`orphans`](mosaic_engine::actor::MonitorBuilder::orphans)) | a raw monitor has seen the packet |
//! | frames without IPv4 are not shown, and not forwarded where there are only raw sockets | shown where asked ([`every_frame`](mosaic_engine::actor::RawBuilder::every_frame)), and forwarded | |
//! | packets with wrong TCP checksums are shown as packets | as damaged frames, with `every_frame`; as packets with `checksums = "ignore"` | as everywhere |
//! | `setlastpkt` changes any byte; checksums where asked | [`edit`](mosaic_engine::actor::ShardContext::edit): what is there as long as it was; checksums always follow, the layout stays | a packet that was right stays right |
//! | addresses and ports may be changed, too | refused ([`EditError::Key`](mosaic_engine::actor::EditError::Key)); [`translate`](mosaic_engine::actor::FlowContext::translate) does it for a flow | the flow that others name may be another shard's |
//! | `sendpkt` does nothing | [`inject_packet`](mosaic_engine::actor::ShardContext::inject_packet) and [`inject_frame`](mosaic_engine::actor::ShardContext::inject_frame), on the packet's way or back | pings and ARP can be answered |
