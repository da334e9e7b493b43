//! How to write an application.
//!
//! An application is one or more types that implement [`Actor`](crate::prelude::Actor). Each shard has an instance of its own and calls it
//! on its own thread, so that an actor needs no locks; what instances share, they share by channels or atomics of their
//! own choosing.
//!
//! ```
//! use std::sync::mpsc::{Sender, channel};
//! use mosaic::prelude::*;
//!
//! /// Reports connections that were opened and never answered.
//! struct Unanswered {
//!     found: Sender<(Endpoint, Endpoint)>,
//! }
//!
//! /// Kept for each flow; `Default` when it begins, dropped when it is over.
//! #[derive(Default)]
//! struct Seen {
//!     answered: bool,
//! }
//!
//! impl Actor for Unanswered {
//!     type Flow = Seen;
//!
//!     fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
//!         shard
//!             .monitor_stream(Some(mosaic::filter::flows("tcp")?))
//!             .on(Hook::End, EventSet::CONN_ESTABLISHED | EventSet::CONN_END)
//!             .open()?;
//!         Ok(())
//!     }
//!
//!     fn on_event(&mut self, seen: &mut Seen, flow: &mut FlowContext<'_>, event: Event) {
//!         match event {
//!             Event::ConnEstablished => seen.answered = true,
//!             Event::ConnEnd(_) if !seen.answered => {
//!                 let _ = self.found.send((flow.endpoint(Side::Client), flow.endpoint(Side::Server)));
//!             }
//!             _ => {}
//!         }
//!     }
//! }
//!
//! # fn main() -> mosaic::Result<()> {
//! let (found, list) = channel();
//! # let run = move || -> mosaic::Result<()> {
//! Runtime::builder()
//!     .capture("monday.pcap")
//!     .shards(2)
//!     .actor("unanswered", move |_shard| Unanswered { found: found.clone() })
//!     .run()?;
//! # Ok(()) };
//! # drop(run);
//! for (client, server) in list.try_iter() {
//!     println!("{client} was not answered by {server}");
//! }
//! # Ok(()) }
//! ```
//!
//! # Order of calls
//!
//! 1. `start`, once: opens monitors. An error here ends the run before it began.
//! 2. `on_raw` for every packet, where a raw monitor is open; `on_packet` and `on_event` for the flows that a monitor matches, as it asked.
//! 3. `on_timer` and `on_shard_timer` for the timers it has set, in packet time.
//! 4. `on_removed` for each of those flows: its summary is final, and no call for it follows.
//! 5. `finish`, once.
//!
//! # Monitors
//!
//! [`monitor_stream`](crate::prelude::ShardContext::monitor_stream) takes a filter, or none for all flows. The filter is
//! asked once, on the packet that opens the flow, after all tunnels are taken off; from then on the flow is monitored or not.
//! A flow that passes no filter is known by its key and grows old, and that is all: nothing of it is emulated, so that the
//! shard's counters of streams and events, but those of its beginning and end, do not tell of it. Such a packet costs half
//! as much ([`performance`](super::performance)), and such flows go first when the table is full. A shard
//! without any monitor tracks every flow, for its counters.
//! [`filter::flows`](crate::filter::flows) compiles the language that tcpdump uses. A monitor that asks for `NEW_DATA` is a
//! *reader*: bytes it leaves are kept for it (see [`peeks`](super::peeks)). One that does not costs nothing for each byte.
//!
//! `open` gives a handle. [`close`](crate::prelude::FlowContext::close) takes it, from any callback: from the next callback on the
//! monitor shows nothing, its flows are released a few hundred a burst, the connections go on. The handle is stale from then
//! on (`CloseError::StaleHandle`). A shard has 16 monitors at a time.
//!
//! # Raw monitors and orphans
//!
//! [`monitor_raw`](crate::prelude::ShardContext::monitor_raw) has nothing to do with flows: each packet, TCP or not, comes to
//! [`on_raw`](crate::prelude::Actor::on_raw) once, before any flow sees it, with everything that is known of it: the frame as it
//! came with its link type, the layers around the innermost packet, its headers. A datagram that came in fragments is one packet.
//! With `every_frame()` the frames that hold no packet come as well, each with the reason: ARP and other frames without IP,
//! damaged ones, fragments that wait for others. Packets come to the shard that owns their flow, frames without one to the shard
//! that received them. Where no raw monitor is open, none of this costs anything.
//!
//! A packet with a wrong checksum is a damaged frame; with `checksums = "ignore"` there are none.
//!
//! ```
//! use mosaic::prelude::*;
//!
//! /// Lets no ARP through, and counts packets by VLAN.
//! struct Switch {
//!     by_vlan: std::collections::HashMap<u16, u64>,
//! }
//!
//! impl Actor for Switch {
//!     type Flow = ();
//!
//!     fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
//!         shard.monitor_raw(None).every_frame().open()?;
//!         Ok(())
//!     }
//!
//!     fn on_raw(&mut self, _: &mut ShardContext<'_>, packet: &RawPacket<'_>) -> Verdict {
//!         for vlan in packet.vlans() {
//!             *self.by_vlan.entry(vlan).or_default() += 1;
//!         }
//!         let is_arp = packet.frame.is_some_and(|frame| frame.bytes.get(12..14) == Some(&[0x08, 0x06]));
//!         if is_arp { Verdict::Drop } else { Verdict::Forward }
//!     }
//! }
//! # let _ = |plan: &str| Runtime::builder().config_file(plan)?.actor("switch", |_| Switch { by_vlan: Default::default() }).run();
//! ```
//!
//! The packet at hand may be changed by [`edit`](crate::prelude::ShardContext::edit), as at the hooks of a flow
//! (see [below](#changing-packets)), lengths excepted. All that comes after goes by the changed packet as if it had come so: later
//! raw monitors and their filters, both emulated ends, hooks, and what is forwarded. What the flow is found by stays: addresses,
//! ports, the identifier of an echo ([`EditError::Key`](crate::prelude::EditError::Key)), because by them the packet has come to this
//! shard; to change them is the business of [`translate`](crate::prelude::FlowContext::translate). Where mosaic stands in a wire,
//! [`inject_packet`](crate::prelude::ShardContext::inject_packet) sends an IP packet with the frame at hand, or back to where
//! that came from, behind its Ethernet header with VLAN tags; [`inject_frame`](crate::prelude::ShardContext::inject_frame) sends
//! any frame. This one answers pings for those who are behind it:
//!
//! ```
//! use mosaic::prelude::*;
//!
//! struct Echo;
//!
//! impl Actor for Echo {
//!     type Flow = ();
//!
//!     fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
//!         shard.monitor_raw(Some(mosaic::filter::flows("icmp[icmptype] == icmp-echo")?)).open()?;
//!         Ok(())
//!     }
//!
//!     fn on_raw(&mut self, shard: &mut ShardContext<'_>, packet: &RawPacket<'_>) -> Verdict {
//!         let mut reply = packet.ip().to_vec();
//!         let header = usize::from(reply[0] & 0xf) * 4;
//!         if reply.len() < header + 8 {
//!             return Verdict::Forward;
//!         }
//!         // Source and destination change places, which no sum minds; the type becomes 0 instead of 8 (RFC 1624).
//!         reply[12..20].rotate_left(4);
//!         reply[header] = 0;
//!         let sum = u16::from_be_bytes([reply[header + 2], reply[header + 3]]);
//!         let (sum, carry) = sum.overflowing_add(0x0800);
//!         reply[header + 2..header + 4].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
//!         match shard.inject_packet(Toward::Sender, &reply) {
//!             Ok(()) => Verdict::Drop,
//!             Err(_) => Verdict::Forward,
//!         }
//!     }
//! }
//! # let _ = |plan: &str| Runtime::builder().config_file(plan)?.actor("echo", |_| Echo).run();
//! ```
//!
//! A stream monitor that was opened with [`orphans`](mosaic_engine::actor::MonitorBuilder::orphans) gets the TCP packets that
//! belong to no tracked flow and begin none, in [`on_orphan`](crate::prelude::Actor::on_orphan). With midstream pick-up
//! (`midstream = true`) there are none. Flows that were stopped, or that no monitor wanted, are tracked all the same, so that
//! their packets are no orphans; they cost what any flow without monitors costs. A monitor that wants to see them asks with
//! [`left_out`](mosaic_engine::actor::MonitorBuilder::left_out). In `on_orphan`, too, packets may be changed, here addresses and
//! ports included, and others sent.
//!
//! # Filters on frames
//!
//! The filters above are asked on the innermost IP packet, where words of the link layer (`ether`, `vlan`) are refused with the
//! reason. [`filter::packets`](crate::filter::packets) compiles an expression for whole frames, for each link type on which it
//! means something; `outer` gives it to a monitor, in addition to the other filter: both must pass.
//!
//! ```
//! # use mosaic::prelude::*;
//! # fn start(shard: &mut ShardContext<'_>) -> Result<(), StartError> {
//! let web = mosaic::filter::flows("tcp port 80")?;
//! let guests = mosaic::filter::packets("vlan 5")?;
//! shard.monitor_stream(Some(web)).outer(guests).on(Hook::End, EventSet::CONN_END).open()?;
//! # Ok(()) }
//! ```
//!
//! A frame of a link type on which the expression means nothing never passes; `mosaic_unknown_links_total` counts it. As
//! everywhere in that language, the first `vlan` moves the rest of the expression behind the tag.
//!
//! # Timers
//!
//! [`set_timer`](crate::prelude::FlowContext::set_timer) and [`set_timer_every`](crate::prelude::FlowContext::set_timer_every) set
//! timers of a flow, which end with it; those of a [shard](crate::prelude::ShardContext::set_timer) are set in `start`, in
//! `on_shard_timer` or by [`set_shard_timer`](crate::prelude::FlowContext::set_shard_timer). Their time is that of packets, so that a
//! capture replays as it ran. They fire at the end of a burst: between which packets that is depends on the bursts and on the
//! number of shards.
//!
//! ```
//! use std::time::Duration;
//! use mosaic::prelude::*;
//!
//! /// Stops watching connections that are still not established after three seconds.
//! struct Impatient;
//!
//! impl Actor for Impatient {
//!     type Flow = Option<TimerId>;
//!
//!     fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
//!         shard.monitor_stream(None).on(Hook::End, EventSet::CONN_START | EventSet::CONN_ESTABLISHED).open()?;
//!         Ok(())
//!     }
//!
//!     fn on_event(&mut self, timer: &mut Option<TimerId>, flow: &mut FlowContext<'_>, event: Event) {
//!         if event == Event::ConnStart {
//!             *timer = flow.set_timer(Duration::from_secs(3)).ok();
//!         } else if let Some(timer) = timer.take() {
//!             let _ = flow.cancel_timer(timer);
//!         }
//!     }
//!
//!     fn on_timer(&mut self, _: &mut Option<TimerId>, flow: &mut FlowContext<'_>, _: TimerId) {
//!         flow.stop();
//!     }
//! }
//! ```
//!
//! # What a callback may do
//!
//! A [`FlowContext`](crate::prelude::FlowContext) lends one flow: who talks ([`endpoint`](crate::prelude::FlowContext::endpoint)),
//! how far TCP came ([`state`](crate::prelude::FlowContext::state)), everything that was counted
//! ([`summary`](crate::prelude::FlowContext::summary)), the bytes ([`peek`](crate::prelude::FlowContext::peek)).
//! [`rtt`](crate::prelude::FlowContext::rtt) tells how long it takes to a side and back, as the handshake showed. Flows of a monitor
//! that was opened with [`track`](mosaic_engine::actor::MonitorBuilder::track) are measured on, by data and its acknowledgments, and
//! have facts of the [last packet](crate::prelude::FlowContext::last_packet) of each side; other flows pay nothing for it.
//!
//! An actor that knows enough of a flow calls [`stop`](crate::prelude::FlowContext::stop) and hears nothing more of it but `on_removed`.
//!
//! `on_packet` answers with a [`Verdict`](crate::prelude::Verdict). Where mosaic stands in a wire ([`live`](super::live)), a
//! packet goes on its way unless an actor says `Drop` or `DropUnseen`: a drop by one is final, though the others still see the
//! packet (unless they asked otherwise: [`unless_dropped`](mosaic_engine::actor::MonitorBuilder::unless_dropped)), and
//! the emulated stacks advance all the same. A capture and a tap have nowhere to forward to; there a verdict changes
//! nothing. This firewall lets nobody talk to telnet:
//!
//! ```
//! use mosaic::prelude::*;
//!
//! struct NoTelnet;
//!
//! impl Actor for NoTelnet {
//!     type Flow = ();
//!
//!     fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
//!         let telnet = mosaic::filter::flows("tcp port 23")?;
//!         shard.monitor_stream(Some(telnet)).packets(Hook::Send).open()?;
//!         Ok(())
//!     }
//!
//!     fn on_packet(&mut self, (): &mut (), _: &mut FlowContext<'_>, _: &PacketView<'_>, _: Hook) -> Verdict {
//!         Verdict::Drop
//!     }
//! }
//! # let _ = |plan: &str| Runtime::builder().config_file(plan)?.actor("no-telnet", |_shard| NoTelnet).run();
//! ```
//!
//! `DropUnseen` says more: at [`Hook::Send`](crate::prelude::Hook::Send) the emulated receiver never sees the packet, so that its
//! bytes join no stream. [`block`](crate::prelude::FlowContext::block) drops everything of a flow from the next packet on, at little
//! cost.
//!
//! # Changing packets
//!
//! At `Send` and `Receive`, [`edit`](crate::prelude::FlowContext::edit) lends a copy of the packet to be changed: payload of the same
//! length, addresses and ports, flags, TTL and others, or any bytes of a header that leave its layout as it is. Checksums
//! follow each change; one that was wrong stays wrong. What is changed at `Send` is what the receiver sees and the stream holds; what
//! is changed at `Receive` only goes on its way:
//!
//! ```
//! use mosaic::prelude::*;
//!
//! /// Marks web traffic for the routers behind (DSCP 18: AF21).
//! struct Mark;
//!
//! impl Actor for Mark {
//!     type Flow = ();
//!
//!     fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
//!         let web = mosaic::filter::flows("tcp port 443")?;
//!         shard.monitor_stream(Some(web)).packets(Hook::Receive).open()?;
//!         Ok(())
//!     }
//!
//!     fn on_packet(&mut self, (): &mut (), flow: &mut FlowContext<'_>, _: &PacketView<'_>, _: Hook) -> Verdict {
//!         if let Ok(mut edit) = flow.edit() {
//!             let (_, ecn) = edit.traffic_class();
//!             let _ = edit.set_traffic_class(18, ecn);
//!         }
//!         Verdict::Forward
//!     }
//! }
//! ```
//!
//! # Changing lengths
//!
//! A monitor that [`edits`](crate::prelude::MonitorBuilder::edits) may insert bytes, cut them out or put others in their place, more
//! or fewer, at `Send` and `Receive`: [`replace_payload`](crate::prelude::FlowContext::replace_payload) and its kin. From then
//! on every packet of the connection is translated: sequence numbers, acknowledgments (selective ones too), windows, urgent pointers. Neither
//! end notices. What became of a byte once, becomes of it whenever its sender repeats it, in whatever cuts;
//! [`fresh_from`](crate::prelude::FlowContext::fresh_from) tells where the payload at hand is new.
//!
//! ```
//! use mosaic::prelude::*;
//!
//! /// Greets every SMTP client with a line of its own.
//! struct Greet;
//!
//! impl Actor for Greet {
//!     type Flow = bool;
//!
//!     fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
//!         let mail = mosaic::filter::flows("tcp port 25")?;
//!         shard.monitor_stream(Some(mail)).packets(Hook::Send).edits().open()?;
//!         Ok(())
//!     }
//!
//!     fn on_packet(&mut self, greeted: &mut bool, flow: &mut FlowContext<'_>, packet: &PacketView<'_>, _: Hook) -> Verdict {
//!         if packet.sender == Side::Server && !*greeted {
//!             // Fails where there is nothing new in the packet: then the next one will do.
//!             *greeted = flow.insert_payload(0, b"220-This line is being watched.\r\n").is_ok();
//!         }
//!         Verdict::Forward
//!     }
//! }
//! ```
//!
//! What it costs: the flow's segments come to the hooks in the order of the stream, since a change before a segment would move it.
//! One that comes before its turn waits (a bounded number of them, on a side and in all), while its sender is told what is
//! missing, selectively where that was agreed upon. Windows end where no more could wait: a sender may have half as many full
//! segments under way towards here as may wait ([`HELD_SEGMENTS`](mosaic_engine::limits::HELD_SEGMENTS)), so 730 KiB of 1460
//! bytes each, which on a long way is what bounds its speed; not so where the handshake was not seen. Edits are kept until the
//! receiver has acknowledged them, also a bounded number ([`EditError::TooManyEdits`](crate::prelude::EditError::TooManyEdits)). Inserted bytes that do not fit into the
//! receiver's window are sent when it opens; should they be lost, their sender's next repetition brings them again. Packets in
//! fragments and in tunnels keep their lengths; segments in fragments of such flows stay as they are, and are dropped once their
//! stream has moved.
//!
//! What `Send` leaves is what the emulated receiver and the readers of the stream get; what `Receive` makes of that only goes on,
//! to the real one. Both may change the same segment. Numbers at the hooks are those between the two; a repetition is shown at
//! `Receive` as `Send` left it, and leaves as it was forwarded. In captures and taps, where nothing goes on, changes at `Receive`
//! succeed and nothing comes of them. An edit at `Receive` that cannot be remembered holds its segment up, and those behind it,
//! until its sender repeats it.
//!
//! # Translating, resetting, answering
//!
//! A NAT or a load balancer does not edit packet by packet: on the opening packet, at `Send`, it calls
//! [`translate`](crate::prelude::FlowContext::translate), and from then on every packet of the flow leaves with other addresses and
//! ports, in both directions; what comes back to the translated addresses is found to be of the same flow. Packets that come back
//! must belong to the same shard, which depends on the addresses and ports: [`shard_of`](crate::prelude::FlowContext::shard_of) says
//! which one it is, so that a source NAT tries ports until one fits. ICMP errors about packets of the flow come back to who sent
//! these, and quote them as they were sent, so that both ends find out about smaller MTUs and closed ports; only raw monitors see
//! them.
//!
//! All this goes together with edited streams: such flows may be translated, answered and injected into, in the numbers that hooks
//! show; each end gets its own.
//!
//! [`reset`](crate::prelude::FlowContext::reset) ends a connection at both ends, by RSTs that kernels believe;
//! [`answer`](crate::prelude::FlowContext::answer) sends the client a page of your own and takes the server out of it;
//! [`inject`](crate::prelude::FlowContext::inject) sends any segment, [`inject_packet`](crate::prelude::FlowContext::inject_packet) any IP
//! packet. They take over the Ethernet header and the VLAN tags of a packet of the flow in the burst. Where there is none, in timers
//! and when a flow leaves, they go the way of earlier packets, if the monitor was opened with
//! [`injects`](crate::prelude::MonitorBuilder::injects): so connections are reset that were idle for too long. They need a wire:
//! a capture or a tap is an error ([`NotInline`](crate::prelude::InjectError::NotInline)), and so are flows within tunnels.
//!
//! ```
//! use mosaic::prelude::*;
//!
//! /// Shows a page instead of every site.
//! struct Closed;
//!
//! impl Actor for Closed {
//!     type Flow = ();
//!
//!     fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
//!         let web = mosaic::filter::flows("tcp port 80")?;
//!         shard.monitor_stream(Some(web)).packets(Hook::Receive).open()?;
//!         Ok(())
//!     }
//!
//!     fn on_packet(&mut self, (): &mut (), flow: &mut FlowContext<'_>, packet: &PacketView<'_>, _: Hook) -> Verdict {
//!         if packet.sender == Side::Client && packet.payload().starts_with(b"GET ") {
//!             let page = b"HTTP/1.1 503 Closed\r\nContent-Length: 7\r\nConnection: close\r\n\r\nClosed\n";
//!             return match flow.answer(page) {
//!                 Ok(()) => Verdict::Drop,
//!                 Err(_) => Verdict::Forward,
//!             };
//!         }
//!         Verdict::Forward
//!     }
//! }
//! ```
//!
//! # Bounds
//!
//! A burst has room for a bounded number of changes ([`EditError::NoRoom`](crate::prelude::EditError::NoRoom)), those of raw
//! monitors and those at hooks each for themselves. A datagram that came in fragments can be changed where these are held until it
//! is complete (`fragments = "hold"`, [`live`](super::live#fragments)), but for its length; otherwise its first fragments are
//! gone.
//!
//! Callbacks run in the packet's path: they must not block. Send what takes long to a thread of your own.
//!
//! # Panics
//!
//! A panic in a callback ends neither the shard nor the process. The instance is replaced by a fresh one with default state for
//! every flow; the panic is counted (`mosaic_actor_panics_total`) and the first one logged. `on_panic` of the
//! [configuration](super::config) says what becomes of the packet in flight.
