//! Raw monitors, orphans, filters on frames, and who sees what was dropped: from frames to callbacks.

use alloc::sync::Arc;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use arrayvec::ArrayVec;
use mosaic_port::{Batch, Frame, LinkType, Timestamp};

use super::fixture::letters;
use crate::actor::{
    ActorId, FlowContext, Host, MonitorBuilder, MonitorId, OpenError, PacketView, RawBuilder,
    RawPacket, ShardContext,
};
use crate::event::{EventSet, Filter, Hook, Instruction, Verdict};
use crate::limits;
use crate::shard::{Shard, ShardConfig};
use crate::wire::{Checksums, Ingress, PacketFilter, Parsed, WireConfig};

/// A burst of frames.
#[derive(Clone, Debug, Default)]
pub(super) struct Burst(pub(super) Vec<(Vec<u8>, LinkType)>);

impl Batch for Burst {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        let (bytes, link) = &self.0[index];
        Frame {
            bytes,
            wire_len: bytes.len() as u32,
            timestamp: Timestamp::from_nanos(7),
            link: *link,
            interface: 3,
        }
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn hand_over(&mut self, _: &[u8], _: &mut Self) {}
}

/// The header of an Ethernet frame, with VLAN tags.
fn ethernet(vlans: &[u16], ether_type: u16) -> Vec<u8> {
    let mut frame = vec![2; 12];
    for vlan in vlans {
        frame.extend([0x81, 0]);
        frame.extend(vlan.to_be_bytes());
    }
    frame.extend(ether_type.to_be_bytes());
    frame
}

fn ipv4(proto: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let [high, low] = fragment.to_be_bytes();
    let mut packet = vec![
        0x45, 0, len[0], len[1], 0, 9, high, low, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    packet.extend_from_slice(payload);
    packet
}

/// A TCP header from port 4000 to `port`.
fn segment(port: u16, flags: &str) -> Vec<u8> {
    let mut segment = vec![0; 20];
    segment[..2].copy_from_slice(&4000_u16.to_be_bytes());
    segment[2..4].copy_from_slice(&port.to_be_bytes());
    segment[12] = 0x50;
    segment[13] = letters(flags).bits();
    segment
}

fn tcp(vlans: &[u16], port: u16, flags: &str) -> (Vec<u8>, LinkType) {
    let frame = [ethernet(vlans, 0x0800), ipv4(6, 0, &segment(port, flags))].concat();
    (frame, LinkType::ETHERNET)
}

fn arp() -> (Vec<u8>, LinkType) {
    let frame = [ethernet(&[], 0x0806), vec![0; 28]].concat();
    (frame, LinkType::ETHERNET)
}

fn udp() -> (Vec<u8>, LinkType) {
    let datagram = [0, 53, 0, 99, 0, 10, 0, 0, b'h', b'i'];
    let frame = [ethernet(&[], 0x0800), ipv4(17, 0, &datagram)].concat();
    (frame, LinkType::ETHERNET)
}

/// Passes where the half word at `at` is `value`.
fn half_is(at: u32, value: u16) -> Filter {
    is(0x28, at, value.into())
}

/// Passes where the instruction `load` brings `value` from `at`.
pub(super) fn is(load: u16, at: u32, value: u32) -> Filter {
    let instruction = |code, jt, jf, k| Instruction { code, jt, jf, k };
    Filter::new(vec![
        instruction(load, 0, 0, at),
        instruction(0x15, 0, 1, value),
        instruction(0x06, 0, 0, 1),
        instruction(0x06, 0, 0, 0),
    ])
    .unwrap()
}

/// To TCP or UDP port `port` over IPv4.
fn to_port(port: u16) -> Filter {
    half_is(22, port)
}

/// Ethernet frames of the outermost VLAN `id`.
fn on_vlan(id: u16) -> PacketFilter {
    PacketFilter {
        programs: vec![(LinkType::ETHERNET, half_is(14, id))],
    }
}

/// Writes down what it is shown, a line each; what to do is decided by the port a packet goes to.
#[derive(Default)]
struct Notes {
    log: Vec<String>,
    /// Packets to these ports are dropped by this actor.
    drops: Vec<(u8, u16)>,
    /// And those, without the flows seeing them.
    hides: Vec<(u8, u16)>,
    /// Closed at the next raw packet, or orphan.
    closes: Option<MonitorId>,
}

impl Notes {
    fn verdict(&self, actor: ActorId, port: u16) -> Verdict {
        if self.drops.contains(&(actor.0, port)) {
            Verdict::Drop
        } else if self.hides.contains(&(actor.0, port)) {
            Verdict::DropUnseen
        } else {
            Verdict::Forward
        }
    }

    fn raw(&mut self, what: &str, actor: ActorId, packet: &RawPacket<'_>) -> Verdict {
        let vlans: Vec<u16> = packet.vlans().collect();
        let frame = packet.frame.unwrap();
        let frame = (frame.bytes.len(), frame.link.0, frame.interface);
        let (who, port) = match (packet.source(), packet.destination()) {
            (Some(from), Some(to)) => (format!("{from} > {to}"), to.port),
            _ => (packet.why.unwrap().into(), 0),
        };
        let payload = packet.payload().len();
        let line = format!(
            "{what} {} {who} {vlans:?} {frame:?} {} {payload}",
            actor.0,
            packet.ip().len()
        );
        self.log.push(line);
        self.verdict(actor, port)
    }
}

impl Host for Notes {
    fn on_packet(
        &mut self,
        actor: ActorId,
        _: &mut FlowContext<'_>,
        packet: &PacketView<'_>,
        hook: Hook,
    ) -> Verdict {
        let port = packet
            .packet
            .key
            .source(packet.packet.direction.reversed())
            .port;
        self.log.push(format!("packet {} {hook:?} {port}", actor.0));
        self.verdict(actor, port)
    }

    fn on_raw(
        &mut self,
        actor: ActorId,
        shard: &mut ShardContext<'_>,
        packet: &RawPacket<'_>,
    ) -> Verdict {
        if let Some(monitor) = self.closes.take() {
            shard.close(monitor).unwrap();
        }
        self.raw("raw", actor, packet)
    }

    fn on_orphan(
        &mut self,
        actor: ActorId,
        shard: &mut ShardContext<'_>,
        packet: &RawPacket<'_>,
    ) -> Verdict {
        if let Some(monitor) = self.closes.take() {
            shard.close(monitor).unwrap();
        }
        self.raw("orphan", actor, packet)
    }
}

struct Bench {
    ingress: Ingress,
    shard: Shard,
    notes: Notes,
}

impl Bench {
    fn new() -> Self {
        let wire = WireConfig {
            checksums: Checksums::Ignore,
            ..WireConfig::default()
        };
        let config = ShardConfig {
            midstream: false,
            ..ShardConfig::default()
        };
        Self {
            ingress: Ingress::new(wire),
            shard: Shard::new(config),
            notes: Notes::default(),
        }
    }

    fn actor(&mut self, id: u8) -> ShardContext<'_> {
        self.shard.start_actor(ActorId(id))
    }

    /// Opens a raw monitor for an actor.
    fn raw(
        &mut self,
        id: u8,
        filter: Option<Filter>,
        asks: impl FnOnce(RawBuilder<'_>) -> RawBuilder<'_>,
    ) -> MonitorId {
        let mut actor = self.actor(id);
        asks(actor.monitor_raw(filter)).open().unwrap()
    }

    /// Opens a stream monitor for an actor.
    fn stream(
        &mut self,
        id: u8,
        filter: Option<Filter>,
        asks: impl FnOnce(MonitorBuilder<'_>) -> MonitorBuilder<'_>,
    ) -> MonitorId {
        let mut actor = self.actor(id);
        asks(actor.monitor_stream(filter)).open().unwrap()
    }

    /// What was noted of a burst; the frames without a packet, and the packets, that were dropped.
    fn burst(&mut self, frames: &[(Vec<u8>, LinkType)]) -> (Vec<String>, [u64; 2]) {
        let mut notes = core::mem::take(&mut self.notes);
        let dropped = self.burst_to(&mut notes, frames);
        let log = core::mem::take(&mut notes.log);
        self.notes = notes;
        (log, dropped)
    }

    /// Shows a burst to another host; the frames without a packet, and the packets, that were dropped.
    fn burst_to(&mut self, host: &mut impl Host, frames: &[(Vec<u8>, LinkType)]) -> [u64; 2] {
        let batch = Burst(frames.to_vec());
        let mut parsed = Parsed::default();
        self.ingress.parse(&batch, &mut parsed);
        let refused = self.shard.handle_raw(&parsed, &batch, host);
        let bytes: ArrayVec<&[u8], 64> = parsed
            .packets
            .iter()
            .map(|packet| parsed.bytes_of(packet, &batch))
            .collect();
        let packets = self.shard.handle_frames(
            &parsed.packets,
            &bytes,
            &parsed.encapsulations,
            &batch,
            host,
        );
        [refused, packets]
    }
}

#[test]
fn a_raw_monitor_sees_each_packet_once_whatever_it_is() {
    let mut bench = Bench::new();
    bench.actor(0).monitor_raw(None).open().unwrap();
    assert!(bench.shard.has_raw());
    let (log, dropped) = bench.burst(&[tcp(&[], 80, "A"), arp(), udp(), tcp(&[5, 6], 80, "S")]);
    assert_eq!(
        log,
        [
            "raw 0 10.0.0.1:4000 > 10.0.0.2:80 [] (54, 1, 3) 40 0",
            "raw 0 10.0.0.1:53 > 10.0.0.2:99 [] (44, 1, 3) 30 2",
            "raw 0 10.0.0.1:4000 > 10.0.0.2:80 [5, 6] (62, 1, 3) 40 0",
        ]
    );
    assert_eq!(dropped, [0, 0]);
    assert_eq!(
        bench.shard.counters().orphans,
        1,
        "flows are tracked all the same"
    );
}

#[test]
fn every_frame_comes_once_and_in_order_where_asked() {
    let mut bench = Bench::new();
    bench.raw(0, None, |raw| raw.every_frame());
    // With a filter on packets, frames without one are not meant.
    bench.raw(1, Some(to_port(99)), |raw| raw.every_frame());
    let datagram = [&[0, 53, 0, 99, 0, 24, 0, 0][..], &[b'x'; 16]].concat();
    let piece = |fragment, bytes: &[u8]| {
        let frame = [ethernet(&[], 0x0800), ipv4(17, fragment, bytes)].concat();
        (frame, LinkType::ETHERNET)
    };
    let cut = (ethernet(&[], 0x0800), LinkType::ETHERNET);
    let (log, _) = bench.burst(&[
        piece(0x2000, &datagram[..16]),
        arp(),
        cut,
        piece(2, &datagram[16..]),
        tcp(&[], 80, "S"),
    ]);
    assert_eq!(
        log,
        [
            "raw 0 fragment [] (50, 1, 3) 0 0",
            "raw 0 not_ip [] (42, 1, 3) 0 0",
            "raw 0 malformed [] (14, 1, 3) 0 0",
            "raw 0 10.0.0.1:53 > 10.0.0.2:99 [] (42, 1, 3) 44 16",
            "raw 1 10.0.0.1:53 > 10.0.0.2:99 [] (42, 1, 3) 44 16",
            "raw 0 10.0.0.1:4000 > 10.0.0.2:80 [] (54, 1, 3) 40 0",
        ]
    );
}

#[test]
fn filters_are_asked_on_the_packet_and_on_the_frame() {
    let mut bench = Bench::new();
    bench.raw(0, Some(to_port(80)), |raw| raw.outer(on_vlan(5)));
    let frames = [
        tcp(&[5], 80, "S"),
        tcp(&[5], 81, "S"),
        tcp(&[6], 80, "S"),
        tcp(&[], 80, "S"),
    ];
    let (log, _) = bench.burst(&frames);
    assert_eq!(
        log,
        ["raw 0 10.0.0.1:4000 > 10.0.0.2:80 [5] (58, 1, 3) 40 0"]
    );
    assert_eq!(bench.shard.counters().unknown_links, 0);

    let raw_ip = (ipv4(6, 0, &segment(80, "S")), LinkType::RAW);
    let (log, _) = bench.burst(&[raw_ip]);
    assert_eq!((log.len(), bench.shard.counters().unknown_links), (0, 1));
}

#[test]
fn flows_are_chosen_by_the_frame_of_their_opening_packet() {
    let mut bench = Bench::new();
    bench.stream(0, Some(to_port(80)), |stream| {
        stream.outer(on_vlan(5)).packets(Hook::Send)
    });
    let frames = [
        tcp(&[5], 80, "S"),
        // The flow is chosen; the way back may be another one.
        tcp(&[], 80, "A"),
        tcp(&[5], 81, "S"),
        tcp(&[5], 81, "A"),
    ];
    let (log, _) = bench.burst(&frames);
    assert_eq!(log, ["packet 0 Send 80", "packet 0 Send 80"]);
    let (log, _) = bench.burst(&[(ipv4(6, 0, &segment(82, "S")), LinkType::RAW)]);
    assert!(log.is_empty());
}

#[test]
fn frames_that_nobody_brought_pass_no_filter_on_frames() {
    let mut bench = Bench::new();
    bench.stream(0, None, |stream| {
        stream.outer(on_vlan(5)).packets(Hook::Send)
    });
    let batch = Burst(vec![tcp(&[5], 80, "S")]);
    let mut parsed = Parsed::default();
    bench.ingress.parse(&batch, &mut parsed);
    let bytes = [parsed.bytes_of(&parsed.packets[0], &batch)];
    bench.shard.handle_burst(
        &parsed.packets,
        &bytes,
        &parsed.encapsulations,
        &mut bench.notes,
    );
    assert!(bench.notes.log.is_empty());
    assert_eq!(bench.shard.counters().unknown_links, 1);
}

#[test]
fn orphans_come_to_those_who_asked() {
    let mut bench = Bench::new();
    bench
        .actor(0)
        .monitor_stream(Some(to_port(1)))
        .open()
        .unwrap();
    bench.stream(1, Some(to_port(1)), |stream| stream.orphans(None));
    bench.stream(2, None, |stream| stream.orphans(Some(to_port(80))));
    bench.stream(3, None, |stream| stream.outer_orphans(on_vlan(5)));
    bench.notes.drops = vec![(2, 80)];
    let frames = [
        tcp(&[], 80, "A"),
        // A flow that no monitor of these is attached to is none, nor is what belongs to it.
        tcp(&[], 90, "S"),
        tcp(&[], 90, "A"),
        tcp(&[5], 70, "FA"),
        udp(),
    ];
    let (log, dropped) = bench.burst(&frames);
    assert_eq!(
        log,
        [
            "orphan 1 10.0.0.1:4000 > 10.0.0.2:80 [] (54, 1, 3) 40 0",
            "orphan 2 10.0.0.1:4000 > 10.0.0.2:80 [] (54, 1, 3) 40 0",
            "orphan 1 10.0.0.1:4000 > 10.0.0.2:70 [5] (58, 1, 3) 40 0",
            "orphan 3 10.0.0.1:4000 > 10.0.0.2:70 [5] (58, 1, 3) 40 0",
        ]
    );
    assert_eq!((dropped, bench.shard.counters().orphans), ([0, 1], 2));
}

#[test]
fn what_filters_leave_out_comes_to_those_who_asked() {
    let mut bench = Bench::new();
    bench
        .actor(0)
        .monitor_stream(Some(to_port(1)))
        .orphans(None)
        .open()
        .unwrap();
    bench
        .actor(1)
        .monitor_stream(Some(to_port(2)))
        .orphans(Some(to_port(80)))
        .left_out()
        .open()
        .unwrap();
    let last = bench
        .actor(2)
        .monitor_stream(Some(to_port(2)))
        .left_out()
        .open()
        .unwrap();
    bench.notes.drops = vec![(1, 80)];
    let frames = [
        tcp(&[], 80, "S"),
        tcp(&[], 80, "A"),
        // Somebody watches it.
        tcp(&[], 1, "S"),
        tcp(&[], 90, "S"),
        udp(),
    ];
    let (log, dropped) = bench.burst(&frames);
    let of = |actor: u16, port: u16| {
        std::format!("orphan {actor} 10.0.0.1:4000 > 10.0.0.2:{port} [] (54, 1, 3) 40 0")
    };
    assert_eq!(log, [of(1, 80), of(2, 80), of(1, 80), of(2, 80), of(2, 90)]);
    assert_eq!((dropped, bench.shard.counters().orphans), ([0, 0b11], 0));
    // A real one is shown once to each.
    let (log, _) = bench.burst(&[tcp(&[], 70, "A")]);
    assert_eq!(log, [of(0, 70), of(2, 70)]);
    bench.actor(2).close(last).unwrap();
    let (log, _) = bench.burst(&[tcp(&[], 80, "A"), tcp(&[], 90, "A")]);
    assert_eq!(log, [of(1, 80)]);
}

#[test]
fn a_stopped_flow_is_no_orphan_and_is_shown_to_nobody() {
    struct Stops(Notes);
    impl Host for Stops {
        fn on_packet(
            &mut self,
            actor: ActorId,
            flow: &mut FlowContext<'_>,
            packet: &PacketView<'_>,
            hook: Hook,
        ) -> Verdict {
            flow.stop();
            self.0.on_packet(actor, flow, packet, hook)
        }

        fn on_orphan(
            &mut self,
            actor: ActorId,
            _: &mut ShardContext<'_>,
            packet: &RawPacket<'_>,
        ) -> Verdict {
            self.0.raw("orphan", actor, packet)
        }
    }
    let mut bench = Bench::new();
    bench.stream(0, None, |stream| {
        stream
            .packets(Hook::Send)
            .on(Hook::End, EventSet::NEW_DATA)
            .orphans(None)
    });
    let mut host = Stops(Notes::default());
    let frames = [tcp(&[], 80, "S"), tcp(&[], 80, "A"), tcp(&[], 80, "A")];
    bench.burst_to(&mut host, &frames);
    assert_eq!(host.0.log, ["packet 0 Send 80"]);
    let number = bench.shard.table.first_from(0).unwrap();
    let set = bench.shard.table.hot(number).set;
    let set = bench.shard.monitors.set(set);
    assert!(
        set.mask == 0 && set.wanted.is_empty() && !set.keeps_bytes(crate::event::Side::Client),
        "from then on it costs what a flow without monitors does"
    );
    assert_eq!(bench.shard.counters().orphans, 0);
}

#[test]
fn a_drop_is_final_and_everybody_sees_the_packet_unless_they_asked_otherwise() {
    let mut bench = Bench::new();
    bench.raw(0, None, |raw| raw.every_frame());
    bench.raw(1, None, |raw| raw.every_frame());
    bench.raw(2, None, |raw| raw.every_frame().unless_dropped());
    bench.stream(3, None, |stream| stream.packets(Hook::Send).orphans(None));
    bench.stream(4, None, |stream| {
        stream
            .packets(Hook::Send)
            .packets(Hook::Receive)
            .orphans(None)
            .unless_dropped()
    });
    bench.notes.drops = vec![(0, 80), (3, 81), (0, 0), (3, 83)];
    let frames = [
        tcp(&[], 80, "S"),
        tcp(&[], 81, "S"),
        tcp(&[], 82, "S"),
        tcp(&[], 83, "A"),
        arp(),
    ];
    let (log, dropped) = bench.burst(&frames);
    let short: Vec<String> = log
        .iter()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            match words[0] {
                "packet" => format!("{} {} {}", words[1], words[2], words[3]),
                kind => format!("{kind} {} {}", words[1], words.get(4).unwrap_or(&"")),
            }
        })
        .map(|line| line.replace("10.0.0.2:", ""))
        .collect();
    let expected = [
        "raw 0 80", "raw 1 80", "raw 0 81", "raw 1 81", "raw 2 81", "raw 0 82", "raw 1 82",
        "raw 2 82", "raw 0 83", "raw 1 83", "raw 2 83",
    ];
    let raw: Vec<&String> = short
        .iter()
        .filter(|line| line.starts_with("raw"))
        .collect();
    assert_eq!(raw[..11], expected);
    assert_eq!(
        raw.len(),
        13,
        "two of three see the dropped frame without a packet"
    );
    let rest: Vec<&String> = short
        .iter()
        .filter(|line| !line.starts_with("raw"))
        .collect();
    let expected = [
        "3 Send 80",
        "3 Send 81",
        "3 Send 82",
        "4 Send 82",
        "4 Receive 82",
        "orphan 3 83",
    ];
    assert_eq!(rest, expected);
    assert_eq!(dropped, [1 << 4, 0b1011]);
}

#[test]
fn a_closed_raw_monitor_is_shown_nothing_from_the_next_callback_on() {
    let mut bench = Bench::new();
    bench.actor(0).monitor_raw(None).open().unwrap();
    let second = bench.actor(1).monitor_raw(None).open().unwrap();
    let orphans = bench.stream(2, None, |stream| stream.orphans(None));
    bench.notes.closes = Some(second);
    let (log, _) = bench.burst(&[tcp(&[], 80, "A")]);
    assert_eq!(log.len(), 2, "{log:?}");
    bench.actor(0).close(orphans).unwrap();
    assert_eq!(bench.burst(&[tcp(&[], 80, "A")]).0.len(), 1);
}

#[test]
fn raw_and_stream_monitors_share_one_pool() {
    let mut bench = Bench::new();
    let mut raw = Vec::new();
    for _ in 0..limits::MONITORS / 2 {
        raw.push(bench.actor(0).monitor_raw(None).open().unwrap());
        bench.actor(0).monitor_stream(None).open().unwrap();
    }
    let refused = bench.actor(0).monitor_raw(None).open();
    assert_eq!(refused, Err(OpenError::NoSocket));
    assert_eq!(OpenError::NoSocket.errno(), "ENFILE");
    for monitor in raw {
        bench.actor(0).close(monitor).unwrap();
    }
    assert!(!bench.shard.has_raw());
    assert!(bench.actor(0).monitor_raw(None).open().is_ok());
}

#[test]
fn what_a_raw_monitor_drops_unseen_no_flow_sees() {
    let mut bench = Bench::new();
    bench.actor(0).monitor_raw(None).open().unwrap();
    bench.actor(1).monitor_raw(None).open().unwrap();
    bench.stream(2, None, |stream| {
        stream.packets(Hook::Receive).orphans(None)
    });
    bench.notes.hides = vec![(0, 80), (1, 81)];
    bench.notes.drops = vec![(1, 80), (0, 81)];
    let frames = [
        tcp(&[], 80, "S"),
        tcp(&[], 81, "A"),
        tcp(&[], 82, "S"),
        tcp(&[], 83, "A"),
    ];
    let (log, dropped) = bench.burst(&frames);
    assert_eq!(
        log.len(),
        10,
        "each raw monitor sees all, the other one two: {log:?}"
    );
    assert_eq!(log[8], "packet 2 Receive 82");
    assert!(log[9].starts_with("orphan 2"));
    assert_eq!(dropped, [0, 0b0011]);
    let counters = bench.shard.counters();
    assert_eq!((counters.packets, counters.consumed), (4, 2));
    // It is of that burst only.
    bench.notes.hides.clear();
    assert_eq!(bench.burst(&frames[..1]).0.len(), 3);
}

#[test]
fn what_the_port_refuses_to_look_at_is_not_shown() {
    let mut bench = Bench::new();
    let monitor = bench.actor(0).monitor_raw(None).every_frame().open();
    monitor.unwrap();
    bench.ingress = Ingress::new(WireConfig {
        checksums: Checksums::Ignore,
        packet_filter: Some(Arc::new(PacketFilter {
            programs: vec![(LinkType::ETHERNET, half_is(12, 0x0806))],
        })),
        ..WireConfig::default()
    });
    let (log, _) = bench.burst(&[tcp(&[], 80, "S"), arp()]);
    assert_eq!(log, ["raw 0 not_ip [] (42, 1, 3) 0 0"]);
}
