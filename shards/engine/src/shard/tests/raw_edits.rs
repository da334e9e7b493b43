//! What raw monitors change and send: what flows make of it, and what leaves.

use std::boxed::Box;
use std::cell::RefCell;
use std::format;
use std::rc::Rc;
use std::string::String;
use std::vec;
use std::vec::Vec;

use arrayvec::ArrayVec;
use mosaic_port::{LinkType, Timestamp};
use proptest::prelude::*;

use super::checksums::{build, shapes};
use super::edits::{ADDRESSES, Act, PORTS, endpoint, stamped4, tcp4, words};
use super::fixture::{CLIENT, SERVER};
use super::raw::Burst;
use crate::actor::{
    ActorId, EditError, FlowContext, Host, InjectError, PacketView, Part, RawPacket, ShardContext,
    TimerId, Toward,
};
use crate::event::{Event, EventSet, Filter, Hook, Side, Verdict};
use crate::shard::{Profile, Route, Shard, ShardConfig};
use crate::wire::testing::{OneFrame, ethernet, ipv4, ipv4_with, join, udp};
use crate::wire::{Checksums, Ingress, PacketFilter, Parsed, TcpFlags, WireConfig};

pub(super) type RawAct = Box<dyn FnMut(&mut ShardContext<'_>, &RawPacket<'_>) -> Verdict>;

type TimerAct = Box<dyn FnMut(&mut ShardContext<'_>)>;

const ACK: TcpFlags = TcpFlags::ACK;
const SYN: TcpFlags = TcpFlags::SYN;

/// Does at each raw packet what a test says, at hooks too, and writes down what flows are shown.
#[derive(Default)]
pub(super) struct Acts {
    pub(super) raw: Vec<RawAct>,
    orphan: Option<RawAct>,
    hook: Option<Act>,
    timer: Option<TimerAct>,
    pub(super) log: Vec<String>,
    streams: [Vec<u8>; 2],
}

impl Host for Acts {
    fn on_raw(
        &mut self,
        actor: ActorId,
        shard: &mut ShardContext<'_>,
        packet: &RawPacket<'_>,
    ) -> Verdict {
        self.raw[usize::from(actor.0)](shard, packet)
    }

    fn on_orphan(
        &mut self,
        _: ActorId,
        shard: &mut ShardContext<'_>,
        packet: &RawPacket<'_>,
    ) -> Verdict {
        let act = self.orphan.as_mut();
        act.map_or(Verdict::Forward, |act| act(shard, packet))
    }

    fn on_packet(
        &mut self,
        _: ActorId,
        flow: &mut FlowContext<'_>,
        packet: &PacketView<'_>,
        hook: Hook,
    ) -> Verdict {
        let line = format!("{hook:?} {:?} {:?}", packet.packet, packet.bytes);
        self.log.push(line);
        let act = self.hook.as_mut();
        act.map_or(Verdict::Forward, |act| act(flow, packet, hook))
    }

    fn on_event(&mut self, _: ActorId, flow: &mut FlowContext<'_>, event: Event) {
        let states = Side::BOTH.map(|side| (flow.state(side), flow.last_packet(side)));
        self.log.push(format!("{event:?} {states:?}"));
        if let Event::NewData(side) = event {
            let stream = &mut self.streams[side as usize];
            let _ = flow.peek(side, |chunks| {
                let before = stream.len();
                chunks.for_each(|chunk| stream.extend_from_slice(chunk));
                stream.len() - before
            });
        }
    }

    fn on_shard_timer(&mut self, _: ActorId, shard: &mut ShardContext<'_>, _: TimerId) {
        if let Some(timer) = &mut self.timer {
            timer(shard);
        }
    }
}

/// What a burst has left.
#[derive(Debug, PartialEq)]
pub(super) struct Left {
    /// The frames that hold a packet, as they leave; `None` where they do not.
    pub(super) frames: Vec<Option<Vec<u8>>>,
    pub(super) injected: Vec<(Route, Vec<u8>)>,
    /// Frames without a packet that do not leave.
    refused: u64,
}

/// A shard with raw monitors and a stream monitor, between an entrance and a wire.
pub(super) struct Early {
    pub(super) shard: Shard,
    pub(super) host: Acts,
    ingress: Ingress,
    parsed: Parsed,
}

impl Early {
    /// With actors that see every frame, and one that sees every flow.
    pub(super) fn new(raw: Vec<RawAct>) -> Self {
        Self::with(ShardConfig::default(), raw, false)
    }

    /// The same, and changes lengths where it `edits`.
    pub(super) fn with(config: ShardConfig, raw: Vec<RawAct>, edits: bool) -> Self {
        let mut early = Self {
            shard: Shard::new(config),
            host: Acts::default(),
            ingress: Ingress::new(WireConfig {
                checksums: Checksums::Ignore,
                ..WireConfig::default()
            }),
            parsed: Parsed::default(),
        };
        for actor in (0..).take(raw.len()).map(ActorId) {
            let mut context = early.shard.start_actor(actor);
            context.monitor_raw(None).every_frame().open().unwrap();
        }
        early.host.raw = raw;
        let mut context = early.shard.start_actor(ActorId(0));
        let stream = context
            .monitor_stream(None)
            .packets(Hook::Send)
            .packets(Hook::Receive)
            .track()
            .orphans(None)
            .on(Hook::End, EventSet::all());
        let stream = if edits { stream.edits() } else { stream };
        stream.open().unwrap();
        early.shard.set_inline(true);
        early
    }

    /// One frame in a burst of its own; what leaves in its place, if anything does.
    pub(super) fn pass(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let Left { mut frames, .. } = self.burst(&[frame.to_vec()]);
        frames.pop().unwrap()
    }

    pub(super) fn burst(&mut self, frames: &[Vec<u8>]) -> Left {
        self.links(LinkType::ETHERNET, frames)
    }

    pub(super) fn links(&mut self, link: LinkType, frames: &[Vec<u8>]) -> Left {
        let batch = Burst(frames.iter().map(|frame| (frame.clone(), link)).collect());
        let (parsed, host) = (&mut self.parsed, &mut self.host);
        self.ingress.parse(&batch, parsed);
        let refused = if self.shard.has_raw() {
            self.shard.handle_raw(parsed, &batch, host)
        } else {
            0
        };
        let bytes: ArrayVec<&[u8], 64> = parsed
            .packets
            .iter()
            .map(|packet| parsed.bytes_of(packet, &batch))
            .collect();
        let layers = &parsed.encapsulations;
        let dropped = if parsed.packets.is_empty() {
            self.shard.handle_clock(Timestamp::from_nanos(7), host);
            0
        } else {
            self.shard
                .handle_frames(&parsed.packets, &bytes, layers, &batch, host)
        };
        let leaves = |i: usize| {
            let changed = self.shard.changed(i);
            assert!(changed.is_none() || self.shard.changes() >> i & 1 == 1);
            let frame = parsed.packets[i].buffer.frame();
            let came = &frames[usize::from(frame)][..];
            (dropped >> i & 1 == 0).then(|| changed.unwrap_or(came).to_vec())
        };
        Left {
            frames: (0..bytes.len()).map(leaves).collect(),
            injected: injected(&self.shard),
            refused,
        }
    }
}

fn injected(shard: &Shard) -> Vec<(Route, Vec<u8>)> {
    let injected = shard.injected();
    injected
        .map(|one| (one.route, one.bytes.to_vec()))
        .collect()
}

/// An actor that changes packets with payload.
fn at_data(mut act: impl FnMut(&mut ShardContext<'_>) + 'static) -> RawAct {
    Box::new(move |shard, packet| {
        if !packet.payload().is_empty() {
            act(shard);
        }
        Verdict::Forward
    })
}

/// Does something once, at the first frame.
pub(super) fn once(act: impl FnOnce(&mut ShardContext<'_>, &RawPacket<'_>) + 'static) -> RawAct {
    let mut act = Some(act);
    Box::new(move |shard, packet| {
        if let Some(act) = act.take() {
            act(shard, packet);
        }
        Verdict::Forward
    })
}

/// The frame, whose checksums of IPv4 and TCP must be right by a plain sum.
fn assert_right(frame: &[u8]) {
    assert_eq!(words(&frame[14..34], 0), 0xffff, "of the header");
    let segment = &frame[34..];
    let pseudo = u32::from(words(&frame[26..34], 6 + segment.len() as u32));
    assert_eq!(words(segment, pseudo), 0xffff, "of the segment");
}

pub(super) fn open(early: &mut Early) {
    for frame in [
        tcp4(CLIENT, SYN, (0, 0), b""),
        tcp4(SERVER, SYN | ACK, (0, 1), b""),
        tcp4(CLIENT, ACK, (1, 1), b""),
    ] {
        assert_eq!(early.pass(&frame), Some(frame));
    }
    early.host.log.clear();
}

pub(super) fn arp() -> Vec<u8> {
    ethernet(0x0806, &[0; 46])
}

pub(super) const fn with_frame(frame: u8, toward: Toward) -> Route {
    Route::WithFrame {
        frame,
        back: matches!(toward, Toward::Sender),
    }
}

/// Passes IPv4 packets whose TTL is `ttl`.
fn ttl_is(ttl: u8) -> Filter {
    byte_is(8, ttl)
}

fn byte_is(at: u32, value: u8) -> Filter {
    super::raw::is(0x30, at, value.into())
}

#[test]
fn what_a_raw_monitor_changes_is_what_comes_after_it() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let change = at_data(|shard| {
        let mut edit = shard.edit().unwrap();
        edit.overwrite_payload(1, b"EL").unwrap();
        edit.set_ttl(9).unwrap();
        edit.set_window(77).unwrap();
        let now = shard.packet().unwrap();
        assert_eq!((now.payload(), now.ip()[8]), (&b"hELlo"[..], 9));
        assert_eq!(now.frame.unwrap().bytes, now.bytes);
        // It goes on where it was left.
        shard.edit().unwrap().overwrite_payload(4, b"O").unwrap();
    });
    let shown = Rc::clone(&seen);
    let look: RawAct = Box::new(move |_, packet| {
        let frame = packet.frame.unwrap().bytes.to_vec();
        shown.borrow_mut().push((packet.payload().to_vec(), frame));
        Verdict::Forward
    });
    let mut early = Early::new(vec![change, look]);
    // A third one, by what the first has left.
    let filtered = Rc::new(RefCell::new(0));
    let count = Rc::clone(&filtered);
    early.host.raw.push(Box::new(move |_, packet| {
        assert_eq!(packet.payload(), b"hELlO");
        *count.borrow_mut() += 1;
        Verdict::Forward
    }));
    let mut third = early.shard.start_actor(ActorId(2));
    third.monitor_raw(Some(ttl_is(9))).open().unwrap();

    open(&mut early);
    seen.borrow_mut().clear();
    let came = tcp4(CLIENT, ACK, (1, 1), b"hello");
    let left = early.pass(&came).unwrap();
    assert_right(&left);
    let mut expected = came.clone();
    expected[22] = 9;
    expected[48..50].copy_from_slice(&77_u16.to_be_bytes());
    expected[54..].copy_from_slice(b"hELlO");
    for checksum in [24..26, 50..52] {
        expected[checksum.clone()].copy_from_slice(&left[checksum]);
    }
    assert_eq!(left, expected, "nothing else");
    assert_eq!(*seen.borrow(), [(b"hELlO".to_vec(), left.clone())]);
    assert_eq!(*filtered.borrow(), 1);
    assert_eq!(early.host.streams[0], b"hELlO");
    let hooks = early.host.log.iter().filter(|line| {
        let (shown, window) = (format!("{left:?}"), "window: 77");
        line.contains(&shown) && line.contains(window)
    });
    assert_eq!(hooks.count(), 2, "{:?}", early.host.log);
}

#[test]
fn each_packet_of_a_burst_has_its_own_change() {
    // Every second packet with payload, by its number in the burst; frames without a packet in between.
    let mut early = Early::new(vec![at_data(|shard| {
        let payload = shard.packet().unwrap().payload()[0];
        if payload % 2 == 1 {
            let mut edit = shard.edit().unwrap();
            edit.overwrite_payload(0, &[payload + 100]).unwrap();
        }
    })]);
    open(&mut early);
    let data = |n: u8| tcp4(CLIENT, ACK, (1 + u32::from(n), 1), &[n]);
    let frames = [arp(), data(0), data(1), arp(), data(2), data(3), data(4)];
    let Left { frames: left, .. } = early.burst(&frames);
    let payloads: Vec<u8> = left
        .iter()
        .map(|frame| frame.as_ref().unwrap()[54])
        .collect();
    assert_eq!(payloads, [0, 101, 2, 103, 4]);
    left.iter().flatten().for_each(|frame| assert_right(frame));
    assert_eq!(early.host.streams[0], payloads);
    assert_eq!(early.shard.changes(), 0b01010);
    // And none of it is left for the next one.
    let frame = tcp4(CLIENT, ACK, (6, 1), &[8]);
    assert_eq!(early.pass(&frame), Some(frame));
    assert!(!early.shard.has_changes());
}

#[test]
fn hooks_change_what_raw_monitors_have_left() {
    let mut early = Early::new(vec![at_data(|shard| {
        shard.edit().unwrap().overwrite_payload(0, b"J").unwrap();
        let packet = ipv4(17, &udp(1, 2, b"raw"));
        shard.inject_packet(Toward::Receiver, &packet).unwrap();
    })]);
    open(&mut early);
    early.host.hook = Some(Box::new(|flow, packet, hook| {
        if hook == Hook::Receive && !packet.payload().is_empty() {
            assert_eq!(packet.payload(), b"Jello");
            flow.edit().unwrap().overwrite_payload(4, b"y").unwrap();
            let packet = ipv4(17, &udp(1, 2, b"hook"));
            flow.inject_packet(SERVER, &packet).unwrap();
        }
        Verdict::Forward
    }));
    let frame = tcp4(CLIENT, ACK, (1, 1), b"hello");
    let left = early.burst(&[frame]);
    let frame = left.frames[0].as_ref().unwrap();
    assert_eq!(&frame[54..], b"Jelly");
    assert_right(frame);
    assert_eq!(early.host.streams[0], b"Jello", "as it was at Send");
    let made: Vec<&[u8]> = left
        .injected
        .iter()
        .map(|(_, frame)| &frame[42..45])
        .collect();
    assert_eq!(made, [b"raw", b"hoo"], "in the order of making");
}

#[test]
fn what_is_dropped_unseen_leaves_nothing_but_what_was_sent_besides() {
    for (verdict, seen) in [(Verdict::Drop, 2), (Verdict::DropUnseen, 0)] {
        let mut early = Early::new(vec![]);
        early.host.raw.push(Box::new(move |shard, packet| {
            if packet.payload().is_empty() {
                return Verdict::Forward;
            }
            shard.edit().unwrap().overwrite_payload(0, b"X").unwrap();
            let other = ipv4(17, &udp(1, 2, b"instead"));
            shard.inject_packet(Toward::Sender, &other).unwrap();
            verdict
        }));
        let mut context = early.shard.start_actor(ActorId(0));
        context.monitor_raw(None).open().unwrap();
        open(&mut early);
        let left = early.burst(&[tcp4(CLIENT, ACK, (1, 1), b"hello")]);
        assert_eq!((&left.frames[..], left.injected.len()), (&[None][..], 1));
        let hooks = early
            .host
            .log
            .iter()
            .filter(|line| line.contains("88, 101"));
        assert_eq!(hooks.count(), seen, "{verdict:?} {:?}", early.host.log);
    }
}

#[test]
fn what_a_flow_is_found_by_stays() {
    let act = at_data(|shard| {
        let mut edit = shard.edit().unwrap();
        let other = endpoint([192, 0, 2, 99], PORTS[0], false);
        assert_eq!(edit.set_source(other), Err(EditError::Key));
        let other = endpoint(ADDRESSES[1], 81, false);
        assert_eq!(edit.set_destination(other), Err(EditError::Key));
        for (part, at) in [
            (Part::Ip, 12),
            (Part::Ip, 19),
            (Part::Transport, 0),
            (Part::Transport, 3),
        ] {
            assert_eq!(
                edit.overwrite(part, at, &[0xee]),
                Err(EditError::Key),
                "{part:?} {at}"
            );
        }
        assert_eq!(edit.overwrite(Part::Ip, 9, &[17]), Err(EditError::Layout));
        assert_eq!(
            edit.overwrite(Part::Payload, 5, b"x"),
            Err(EditError::NotThere)
        );
        // What it has already is no change.
        edit.set_source(endpoint(ADDRESSES[0], PORTS[0], false))
            .unwrap();
        edit.overwrite(Part::Transport, 0, &PORTS[0].to_be_bytes())
            .unwrap();
    });
    let mut early = Early::new(vec![act]);
    open(&mut early);
    let frame = tcp4(CLIENT, ACK, (1, 1), b"hello");
    assert_eq!(early.pass(&frame), Some(frame));
}

#[test]
fn an_orphan_may_go_anywhere() {
    let config = ShardConfig {
        midstream: false,
        ..ShardConfig::default()
    };
    let mut early = Early::with(config, vec![], false);
    let to = endpoint([203, 0, 113, 9], 8080, false);
    early.host.orphan = Some(Box::new(move |shard, packet| {
        assert_eq!(packet.payload(), b"hello");
        let mut edit = shard.edit().unwrap();
        edit.set_destination(to).unwrap();
        let answer = ipv4(6, &[0; 20]);
        shard.inject_packet(Toward::Sender, &answer).unwrap();
        Verdict::Forward
    }));
    let left = early.burst(&[arp(), tcp4(CLIENT, ACK, (1, 1), b"hello")]);
    let frame = left.frames[0].as_ref().unwrap();
    assert_right(frame);
    assert_eq!(frame[30..34], [203, 0, 113, 9]);
    assert_eq!(frame[36..38], 8080_u16.to_be_bytes());
    assert_eq!(left.injected[0].0, with_frame(1, Toward::Sender));
}

#[test]
fn where_nothing_is_at_hand_nothing_can_be_done() {
    let nothing = |shard: &mut ShardContext<'_>| {
        assert!(shard.packet().is_none());
        assert_eq!(shard.edit().err(), Some(EditError::NoPacket));
        let packet = ipv4(17, &udp(1, 2, b"x"));
        for toward in [Toward::Sender, Toward::Receiver] {
            let no_packet = Err(InjectError::NoPacket);
            assert_eq!(shard.inject_packet(toward, &packet), no_packet);
            assert_eq!(shard.inject_frame(toward, &[0; 60]), no_packet);
        }
    };
    let mut early = Early::new(vec![]);
    let mut context = early.shard.start_actor(ActorId(0));
    nothing(&mut context);
    context
        .set_timer(core::time::Duration::from_nanos(1))
        .unwrap();
    let fired = Rc::new(RefCell::new(0));
    let count = Rc::clone(&fired);
    early.host.timer = Some(Box::new(move |shard| {
        nothing(shard);
        *count.borrow_mut() += 1;
    }));
    for now in [10, 20] {
        let now = Timestamp::from_nanos(now);
        early.shard.handle_clock(now, &mut early.host);
    }
    assert_eq!(*fired.borrow(), 1);
}

#[test]
fn frames_without_a_packet_and_datagrams_from_fragments_stay_as_they_are() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let shown = Rc::clone(&seen);
    let act: RawAct = Box::new(move |shard, _| {
        shown.borrow_mut().push(shard.edit().err());
        Verdict::Forward
    });
    let mut early = Early::new(vec![act]);
    let datagram = udp(53, 99, &[7; 24]);
    let piece = |fragment, bytes: &[u8]| ethernet(0x0800, &ipv4_with(17, fragment, &[], bytes));
    let frames = [
        arp(),
        piece(0x2000, &datagram[..16]),
        piece(2, &datagram[16..]),
    ];
    let left = early.burst(&frames);
    assert_eq!(left.frames, [Some(frames[2].clone())]);
    let none = Some(EditError::NoPacket);
    assert_eq!(
        *seen.borrow(),
        [none, none, Some(EditError::Fragmented)],
        "ARP, a fragment, a datagram"
    );
}

#[test]
fn captures_are_changed_for_the_flows_and_nothing_is_sent() {
    let mut early = Early::new(vec![at_data(|shard| {
        shard.edit().unwrap().overwrite_payload(0, b"J").unwrap();
        let packet = ipv4(17, &udp(1, 2, b"x"));
        for toward in [Toward::Sender, Toward::Receiver] {
            let not_inline = Err(InjectError::NotInline);
            assert_eq!(shard.inject_packet(toward, &packet), not_inline);
            assert_eq!(shard.inject_frame(toward, &[0; 60]), not_inline);
        }
    })]);
    early.shard.set_inline(false);
    open(&mut early);
    let left = early.burst(&[tcp4(CLIENT, ACK, (1, 1), b"hello")]);
    assert!(left.injected.is_empty());
    assert_eq!(early.host.streams[0], b"Jello");
}

#[test]
fn filters_on_frames_go_by_what_was_left() {
    let mut early = Early::new(vec![Box::new(|shard, _| {
        let mut edit = shard.edit().unwrap();
        edit.overwrite(Part::Link, 14, &[0, 9]).unwrap();
        Verdict::Forward
    })]);
    // The second byte of the tag.
    let on_nine = || PacketFilter {
        programs: vec![(LinkType::ETHERNET, byte_is(15, 9))],
    };
    let seen = Rc::new(RefCell::new(0));
    let count = Rc::clone(&seen);
    early.host.raw.push(Box::new(move |_, _| {
        *count.borrow_mut() += 1;
        Verdict::Forward
    }));
    let mut second = early.shard.start_actor(ActorId(1));
    second.monitor_raw(None).outer(on_nine()).open().unwrap();
    let stream = second.monitor_stream(None).outer(on_nine());
    stream.packets(Hook::Send).open().unwrap();
    let segment = &tcp4(CLIENT, SYN, (0, 0), b"")[14..];
    let frame = ethernet(0x8100, &join(&[&[0, 5, 8, 0], segment]));
    let left = early.pass(&frame).unwrap();
    assert_eq!((left[14..16].to_vec(), *seen.borrow()), (vec![0, 9], 1));
    let sends = early
        .host
        .log
        .iter()
        .filter(|line| line.starts_with("Send"));
    assert_eq!(sends.count(), 2, "of both stream monitors");
}

#[test]
fn where_nothing_is_changed_nothing_is_copied() {
    let mut early = Early::new(vec![]);
    open(&mut early);
    assert!(early.shard.raw.changes().is_none());
    let mut early = Early::new(vec![Box::new(|_, _| Verdict::Forward)]);
    open(&mut early);
    assert!(!early.shard.has_changes());
}

/// A segment of one connection, relative to its beginning.
#[derive(Clone, Debug)]
struct Step {
    from: Side,
    flags: u8,
    numbers: (u32, u32),
    stamps: Option<(u32, u32)>,
    payload: Vec<u8>,
    /// Bytes that a raw monitor puts in: part, place, bytes.
    edits: Vec<(Part, usize, Vec<u8>)>,
}

fn steps() -> impl Strategy<Value = Step> {
    let part = prop::sample::select(vec![Part::Ip, Part::Transport, Part::Payload]);
    let bytes = proptest::collection::vec(any::<u8>(), 1..4);
    let edit = (part, 0_usize..24, bytes);
    let flags = prop_oneof![
        4 => Just(ACK.bits()),
        1 => Just(SYN.bits()),
        1 => Just((SYN | ACK).bits()),
        1 => Just((ACK | TcpFlags::FIN).bits()),
        1 => any::<u8>(),
    ];
    (
        any::<bool>(),
        flags,
        (0_u32..30, 0_u32..30),
        proptest::option::of((0_u32..9, 0_u32..9)),
        proptest::collection::vec(any::<u8>(), 0..12),
        proptest::collection::vec(edit, 0..3),
    )
        .prop_map(|(client, flags, numbers, stamps, payload, edits)| Step {
            from: if client { CLIENT } else { SERVER },
            flags,
            numbers,
            stamps,
            payload,
            edits,
        })
}

impl Step {
    fn frame(&self) -> Vec<u8> {
        let flags = TcpFlags::from_bits_retain(self.flags);
        match self.stamps {
            Some(stamps) => stamped4(self.from, flags, self.numbers, stamps, &self.payload),
            None => tcp4(self.from, flags, self.numbers, &self.payload),
        }
    }
}

/// Changes a byte at [`Hook::Send`], and one at [`Hook::Receive`], of every third payload.
fn at_hooks() -> Act {
    Box::new(|flow, packet, hook| {
        if packet.payload().first().is_some_and(|first| first % 3 == 0) && hook != Hook::End {
            let mut edit = flow.edit().unwrap();
            edit.overwrite_payload(0, &[hook as u8]).unwrap();
        }
        Verdict::Forward
    })
}

proptest! {
    /// Whatever raw monitors put into the segments of a connection: events, hooks, streams, facts and what leaves are those of
    /// a shard to which the segments came so.
    #[test]
    fn flows_go_by_changed_packets_as_if_they_had_come_so(
        script in proptest::collection::vec(steps(), 1..40),
        burst in 1_usize..8,
        profile in prop::sample::select(vec![Profile::Record, Profile::Receiver]),
        edits in any::<bool>(),
        inline in any::<bool>(),
    ) {
        let config = || ShardConfig { profile, ..ShardConfig::default() };
        let left = Rc::new(RefCell::new(Vec::new()));
        let (mut next, all, frames) = (0, script.clone(), Rc::clone(&left));
        let act: RawAct = Box::new(move |shard, _| {
            for (part, at, bytes) in &all[next].edits {
                let result = shard.edit().unwrap().overwrite(*part, *at, bytes);
                assert!(result.is_ok() || result != Err(EditError::NoRoom));
            }
            next += 1;
            frames.borrow_mut().push(shard.packet().unwrap().bytes.to_vec());
            Verdict::Forward
        });
        let mut early = Early::with(config(), vec![act], edits);
        let mut plain = Early::with(config(), vec![], edits);
        for shard in [&mut early, &mut plain] {
            shard.shard.set_inline(inline);
            shard.host.hook = Some(at_hooks());
        }
        let mut changed = 0;
        for steps in script.chunks(burst) {
            let came: Vec<Vec<u8>> = steps.iter().map(Step::frame).collect();
            let of_early = early.burst(&came);
            let as_left: Vec<Vec<u8>> = left.borrow_mut().drain(..).collect();
            prop_assert_eq!(came.len(), as_left.len());
            changed += came.iter().zip(&as_left).filter(|(came, left)| came != left).count();
            let of_plain = plain.burst(&as_left);
            prop_assert_eq!(of_early, of_plain);
            prop_assert_eq!(&early.host.log, &plain.host.log);
        }
        let any_edit = script.iter().any(|step| !step.edits.is_empty());
        prop_assert!(changed == 0 || any_edit);
        prop_assert_eq!(&early.host.streams, &plain.host.streams);
        let counters = [&early, &plain].map(|all| format!("{:?}", all.shard.counters()));
        prop_assert_eq!(&counters[0], &counters[1]);
    }

    /// What is let through leaves the key what it is, and what is refused for the key's sake would not.
    #[test]
    fn the_key_stays_and_nothing_else_is_held_for_it(
        shape in shapes(),
        part in prop::sample::select(vec![Part::Ip, Part::Transport, Part::Payload]),
        at in 0_usize..44,
        bytes in proptest::collection::vec(any::<u8>(), 1..6),
    ) {
        let frame = build(shape);
        let key = |frame: &[u8]| {
            let mut ignoring = crate::wire::testing::Bench::ignoring();
            let packet = ignoring.frame(OneFrame::new(LinkType::ETHERNET, frame));
            packet.map(|packet| (packet.key, packet.direction))
        };
        let tried = Rc::new(RefCell::new(None));
        let (result, new) = (Rc::clone(&tried), bytes.clone());
        let mut early = Early::new(vec![once(move |shard, packet| {
            let headers = packet.packet.unwrap();
            let start = match part {
                Part::Ip => headers.ip_at,
                Part::Transport => headers.transport_at,
                _ => headers.payload_at,
            };
            let tried = shard.edit().unwrap().overwrite(part, at, &new);
            *result.borrow_mut() = Some((tried, start as usize));
        })]);
        let left = early.pass(&frame).unwrap();
        let (tried, start) = tried.borrow_mut().take().unwrap();
        prop_assert_eq!(key(&left), key(&frame));
        if tried == Err(EditError::Key) {
            let mut forced = frame.clone();
            forced[start + at..][..bytes.len()].copy_from_slice(&bytes);
            prop_assert_ne!(key(&forced), key(&frame));
        }
    }
}
