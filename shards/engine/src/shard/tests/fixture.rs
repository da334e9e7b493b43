//! A shard, one TCP connection through it, and a host that writes everything down.

use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use mosaic_port::{LinkType, Timestamp};

use crate::actor::{
    ActorId, FlowContext, FlowSummary, Host, MonitorId, PacketView, PeekError, ShardContext,
    TimerError, TimerId,
};
use crate::event::{Event, EventSet, Hook, Side, StreamError, Verdict};
use crate::flow::{FlowKey, Proto, rss};
use crate::shard::{Shard, ShardConfig};
use crate::wire::{Buffer, Encapsulation, Packet, TcpFlags, Transport};

pub(super) const CLIENT: Side = Side::Client;
pub(super) const SERVER: Side = Side::Server;
/// Initial sequence numbers of the two ends in scripts.
pub(super) const ISN: [u32; 2] = [1000, 5000];

/// What one actor does and saw.
#[derive(Default)]
pub(super) struct Seen {
    /// Events and reads, one line each.
    pub(super) log: Vec<String>,
    /// Bytes read, by side.
    pub(super) read: [Vec<u8>; 2],
    pub(super) lost: [u64; 2],
    pub(super) removed: Vec<FlowSummary>,
    /// Bytes taken at each peek at most.
    pub(super) appetite: usize,
    /// Whether it calls `stop` at its next event.
    pub(super) stops: bool,
    /// Closed at its next event, or at its next packet.
    pub(super) closes: Option<MonitorId>,
    /// Set at its next event.
    pub(super) buffer: Option<(Side, u64)>,
    /// Set at its next event: after so many milliseconds, and whether again and again.
    pub(super) sets: Vec<(u64, bool)>,
    pub(super) timers: Vec<Result<TimerId, TimerError>>,
}

#[derive(Default)]
pub(super) struct Recorder(pub(super) Vec<Seen>);

impl Host for Recorder {
    fn on_packet(
        &mut self,
        actor: ActorId,
        flow: &mut FlowContext<'_>,
        packet: &PacketView<'_>,
        hook: Hook,
    ) -> Verdict {
        let states = Side::BOTH.map(|side| flow.state(side));
        let line = format!(
            "packet {hook:?} {:?} {} {}",
            packet.sender, states[0], states[1]
        );
        let seen = &mut self.0[usize::from(actor.0)];
        seen.log.push(line);
        if let Some(monitor) = seen.closes.take() {
            flow.close(monitor).unwrap();
        }
        Verdict::Forward
    }

    fn on_event(&mut self, actor: ActorId, flow: &mut FlowContext<'_>, event: Event) {
        let seen = &mut self.0[usize::from(actor.0)];
        seen.log.push(name(event));
        let side = match event {
            Event::NewData(side)
            | Event::LateData(side)
            | Event::Error {
                side,
                error: StreamError::Overrun { .. },
            } => Some(side),
            _ => None,
        };
        if let Some(side) = side {
            read(seen, flow, side);
        }
        for (after_ms, repeats) in seen.sets.drain(..) {
            let after = core::time::Duration::from_millis(after_ms);
            seen.timers.push(if repeats {
                flow.set_timer_every(after)
            } else {
                flow.set_timer(after)
            });
        }
        if let Some((side, bytes)) = seen.buffer.take() {
            flow.set_buffer(side, bytes);
        }
        if seen.stops {
            flow.stop();
        }
        if let Some(monitor) = seen.closes.take() {
            flow.close(monitor).unwrap();
        }
    }

    fn on_removed(&mut self, actor: ActorId, flow: &mut FlowContext<'_>) {
        let seen = &mut self.0[usize::from(actor.0)];
        seen.log.push("removed".into());
        seen.removed.push(flow.summary());
    }

    fn on_timer(&mut self, actor: ActorId, flow: &mut FlowContext<'_>, timer: TimerId) {
        let seen = &mut self.0[usize::from(actor.0)];
        let which = seen.timers.iter().position(|set| *set == Ok(timer));
        let at_ms = flow.now().as_nanos() / 1_000_000;
        seen.log.push(format!("timer {which:?} at {at_ms}"));
        if flow.unread(CLIENT) > 0 {
            read(seen, flow, CLIENT);
        }
        if seen.stops {
            flow.stop();
        }
    }

    fn on_shard_timer(&mut self, actor: ActorId, shard: &mut ShardContext<'_>, _: TimerId) {
        let seen = &mut self.0[usize::from(actor.0)];
        seen.log.push("shard timer".into());
        if let Some(monitor) = seen.closes.take() {
            shard.close(monitor).unwrap();
        }
    }

    fn forget(&mut self, actor: ActorId, index: u32) {
        let seen = &mut self.0[usize::from(actor.0)];
        seen.log.push(format!("forget {index}"));
    }
}

fn read(seen: &mut Seen, flow: &mut FlowContext<'_>, side: Side) {
    let appetite = seen.appetite;
    let into = &mut seen.read[side as usize];
    let result = flow.peek(side, |chunks| {
        let before = into.len();
        for chunk in chunks {
            into.extend_from_slice(chunk);
        }
        into.truncate(before.saturating_add(appetite));
        into.len() - before
    });
    match result {
        Err(PeekError::Lost(n)) => {
            seen.lost[side as usize] += n;
            read(seen, flow, side);
        }
        Err(PeekError::NoData) if appetite == 0 => {}
        Err(error) => seen.log.push(format!("peek: {error}")),
        Ok(_) => {}
    }
}

fn name(event: Event) -> String {
    match event {
        Event::StateChange { side, from, to } => format!("{side:?} {from} > {to}"),
        Event::Error { side, error } => format!("{side:?} {error:?}"),
        Event::Retransmission { side, kind, len } => format!("{side:?} again {kind:?} {len}"),
        event => format!("{event:?}"),
    }
}

/// A shard under test.
pub(super) struct Bench {
    pub(super) shard: Shard,
    pub(super) host: Recorder,
    /// Time of the next segment, in milliseconds.
    pub(super) now_ms: u64,
    /// Port of the client.
    pub(super) port: u16,
}

impl Bench {
    /// One actor that reads everything and hears everything.
    pub(super) fn new(config: ShardConfig) -> Self {
        let mut bench = Self::without_actors(config);
        bench.add_actor(EventSet::all(), usize::MAX, 0);
        bench
    }

    pub(super) fn without_actors(config: ShardConfig) -> Self {
        Self {
            shard: Shard::new(config),
            host: Recorder::default(),
            now_ms: 1_000_000,
            port: 40_000,
        }
    }

    pub(super) fn add_actor(
        &mut self,
        events: EventSet,
        appetite: usize,
        retain: u32,
    ) -> MonitorId {
        let id = u8::try_from(self.host.0.len()).unwrap();
        let monitor = self
            .start(id)
            .monitor_stream(None)
            .on(Hook::End, events)
            .retain(retain)
            .open()
            .unwrap();
        self.host.0.push(Seen {
            appetite,
            ..Seen::default()
        });
        monitor
    }

    /// What actor `id` works with outside of flows.
    pub(super) fn start(&mut self, id: u8) -> ShardContext<'_> {
        self.shard.start_actor(ActorId(id))
    }

    /// A segment with relative numbers: `seq` and `ack` count from the initial sequence numbers.
    pub(super) fn segment(
        &self,
        from: Side,
        flags: TcpFlags,
        seq: u32,
        ack: u32,
        payload: &[u8],
    ) -> (Packet, Vec<u8>) {
        let (seq, ack) = (
            ISN[from as usize].wrapping_add(seq),
            ISN[from.other() as usize].wrapping_add(ack),
        );
        let (client, server) = ((0x0a00_0001, self.port), (0x0a00_0002, 80));
        let (src, dst) = if from == CLIENT {
            (client, server)
        } else {
            (server, client)
        };
        let (key, direction) = FlowKey::v4(src.0, dst.0, src.1, dst.1, Proto::TCP, 0);
        let mut bytes = vec![0; 54];
        bytes.extend_from_slice(payload);
        let len = u32::try_from(payload.len()).unwrap();
        let time = Timestamp::from_nanos(self.now_ms * 1_000_000);
        let packet = Packet {
            key,
            direction,
            buffer: Buffer::Frame(0),
            link: LinkType::ETHERNET,
            encapsulation: 0,
            rss: rss::hash(&key),
            timestamp: time,
            clock: time,
            wire_len: 54 + len,
            ip_at: 14,
            ip_len: 40 + len,
            transport_at: 34,
            payload_at: 54,
            payload_len: len,
            payload_captured: len,
            transport: Transport::Tcp {
                seq,
                ack,
                window: 1000,
                flags,
                options_len: 0,
            },
            unfinished: false,
        };
        (packet, bytes)
    }

    /// A segment with a timestamp option: value and echo.
    pub(super) fn stamped(
        &self,
        from: Side,
        flags: TcpFlags,
        (seq, ack): (u32, u32),
        payload: &[u8],
        (stamp, echo): (u32, u32),
    ) -> (Packet, Vec<u8>) {
        let (mut packet, mut bytes) = self.segment(from, flags, seq, ack, payload);
        let options = [[1, 1, 8, 10], stamp.to_be_bytes(), echo.to_be_bytes()].concat();
        bytes.splice(54..54, options);
        packet.wire_len += 12;
        packet.ip_len += 12;
        packet.payload_at += 12;
        if let Transport::Tcp { options_len, .. } = &mut packet.transport {
            *options_len = 12;
        }
        (packet, bytes)
    }

    /// Several packets in one burst.
    pub(super) fn burst(&mut self, packets: &[(Packet, Vec<u8>)]) {
        let (packets, bytes): (Vec<_>, Vec<_>) = packets
            .iter()
            .map(|(packet, bytes)| (*packet, &bytes[..]))
            .unzip();
        self.shard.handle_burst(
            &packets,
            &bytes,
            &[Encapsulation::default()],
            &mut self.host,
        );
        self.now_ms += 1;
    }

    /// One segment in a burst of its own; `flags` as letters of `SAFRP`.
    pub(super) fn send(&mut self, from: Side, flags: &str, seq: u32, ack: u32, payload: &str) {
        let segment = self.segment(from, letters(flags), seq, ack, payload.as_bytes());
        self.burst(&[segment]);
    }

    /// The three-way handshake.
    pub(super) fn open(&mut self) {
        self.send(CLIENT, "S", 0, 0, "");
        self.send(SERVER, "SA", 0, 1, "");
        self.send(CLIENT, "A", 1, 1, "");
    }

    pub(super) fn finish(&mut self) {
        self.shard.finish(&mut self.host);
        assert_eq!(self.shard.flows(), 0);
        assert_eq!(self.shard.buffered_bytes(), 0, "every block came back");
    }

    /// What the first actor has written down since the last call.
    pub(super) fn log(&mut self) -> Vec<String> {
        self.log_of(0)
    }

    /// What an actor has written down since the last call.
    pub(super) fn log_of(&mut self, actor: usize) -> Vec<String> {
        core::mem::take(&mut self.host.0[actor].log)
    }

    /// What the first actor has read of a side.
    pub(super) fn read(&self, side: Side) -> &str {
        core::str::from_utf8(&self.host.0[0].read[side as usize]).unwrap()
    }

    /// Emulated state of a side of the only flow.
    pub(super) fn state(&self, side: Side) -> String {
        let number = self.shard.table.first_from(0).unwrap();
        format!("{}", self.shard.table.hot(number).states[side as usize])
    }

    /// Summary of the flow that was removed last.
    pub(super) fn removed(&self) -> &FlowSummary {
        self.host.0[0].removed.last().unwrap()
    }
}

pub(super) fn letters(flags: &str) -> TcpFlags {
    flags.chars().fold(TcpFlags::empty(), |flags, letter| {
        flags
            | match letter {
                'S' => TcpFlags::SYN,
                'A' => TcpFlags::ACK,
                'F' => TcpFlags::FIN,
                'R' => TcpFlags::RST,
                'P' => TcpFlags::PSH,
                _ => TcpFlags::empty(),
            }
    })
}
