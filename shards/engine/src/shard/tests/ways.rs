//! Packets of our own where none of the flow is at hand: who is reached, over which interface, with which link layer.

use core::time::Duration;
use std::vec::Vec;

use mosaic_port::{Frame, LinkType, Timestamp};

use super::edits::{PORTS, endpoint, tcp4};
use super::fixture::{CLIENT, SERVER};
use crate::actor::{
    ActorId, FlowContext, Hardware, Host, InjectError, PacketView, TimerId, Translation,
};
use crate::event::{Event, EventSet, Hook, Side, Verdict};
use crate::shard::raw::Frames;
use crate::shard::{Route, Shard, ShardConfig, Timeouts};
use crate::wire::testing::{Bench as Entrance, OneFrame, join};
use crate::wire::{TcpFlags, Transport};

const ACK: TcpFlags = TcpFlags::ACK;
const RST: TcpFlags = TcpFlags::RST;
const SYN: TcpFlags = TcpFlags::SYN;
const SECOND: u64 = 1_000_000_000;

/// When the flow is to be reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum When {
    Timer,
    Timeout,
    Removal,
}

/// Resets flows late.
struct Late {
    when: When,
    translation: Option<Translation>,
    told: Vec<Result<(), InjectError>>,
}

impl Late {
    fn act(&mut self, flow: &mut FlowContext<'_>, when: When) {
        if self.when == when {
            self.told.push(flow.reset());
        }
    }
}

impl Host for Late {
    fn on_packet(
        &mut self,
        _: ActorId,
        flow: &mut FlowContext<'_>,
        packet: &PacketView<'_>,
        _: Hook,
    ) -> Verdict {
        if let Some(translation) = self.translation.take() {
            assert_eq!(packet.sender, CLIENT);
            flow.translate(translation).unwrap();
        }
        Verdict::Forward
    }

    fn on_event(&mut self, _: ActorId, flow: &mut FlowContext<'_>, event: Event) {
        match event {
            Event::ConnStart if self.when == When::Timer => {
                flow.set_timer(Duration::from_secs(5)).unwrap();
            }
            Event::Timeout => self.act(flow, When::Timeout),
            _ => {}
        }
    }

    fn on_timer(&mut self, _: ActorId, flow: &mut FlowContext<'_>, _: TimerId) {
        self.act(flow, When::Timer);
    }

    fn on_removed(&mut self, _: ActorId, flow: &mut FlowContext<'_>) {
        self.act(flow, When::Removal);
    }
}

/// One frame that came in somewhere.
struct One<'a>(&'a [u8], u32);

impl Frames for One<'_> {
    fn frame(&self, _: u8) -> Option<Frame<'_>> {
        Some(Frame {
            bytes: self.0,
            wire_len: u32::try_from(self.0.len()).unwrap(),
            timestamp: Timestamp::ZERO,
            link: LinkType::ETHERNET,
            interface: self.1,
        })
    }
}

struct Bench {
    shard: Shard,
    host: Late,
    entrance: Entrance,
}

/// Where packets of a side come in.
const INTERFACES: [u32; 2] = [3, 4];

impl Bench {
    fn new(when: When, injects: bool) -> Self {
        let timeouts = Timeouts {
            established_ns: Some(60 * SECOND),
            ..Timeouts::default()
        };
        let mut shard = Shard::new(ShardConfig {
            timeouts,
            ..ShardConfig::default()
        });
        let mut context = shard.start_actor(ActorId(0));
        let monitor = context
            .monitor_stream(None)
            .packets(Hook::Send)
            .on(Hook::End, EventSet::CONN_START | EventSet::TIMEOUT);
        let monitor = if injects { monitor.injects() } else { monitor };
        monitor.open().unwrap();
        shard.set_inline(true);
        let host = Late {
            when,
            translation: None,
            told: Vec::new(),
        };
        Self {
            shard,
            host,
            entrance: Entrance::ignoring(),
        }
    }

    /// A frame that comes in where those of `sender` do, at a second.
    fn take(&mut self, second: u64, sender: Side, frame: &[u8]) {
        let one = OneFrame {
            timestamp: second * SECOND,
            ..OneFrame::new(LinkType::ETHERNET, frame)
        };
        let packet = self.entrance.frame(one).unwrap();
        let layers = self.entrance.parsed.encapsulations.clone();
        let frames = One(frame, INTERFACES[sender as usize]);
        self.shard
            .handle_frames(&[packet], &[frame], &layers, &frames, &mut self.host);
    }

    fn pass(&mut self, second: u64) {
        let now = Timestamp::from_nanos(second * SECOND);
        self.shard.handle_clock(now, &mut self.host);
    }

    /// To whom RSTs were sent: route, Ethernet header with tags, ports, sequence number.
    fn sent(&self) -> Vec<(Route, Vec<u8>, [u16; 2], u32)> {
        let frames = self.shard.injected().map(|sent| {
            let one = OneFrame::new(LinkType::ETHERNET, sent.bytes);
            let packet = Entrance::verifying().frame(one).unwrap();
            let Transport::Tcp { flags, seq, .. } = packet.transport else {
                panic!("{packet:?}")
            };
            assert!(flags.contains(RST));
            let ends = [packet.direction, packet.direction.reversed()];
            let ports = ends.map(|end| packet.key.source(end).port);
            let link = sent.bytes[..packet.ip_at as usize].to_vec();
            (sent.route, link, ports, seq)
        });
        frames.collect()
    }
}

/// Within a VLAN.
fn tagged(frame: &[u8]) -> Vec<u8> {
    join(&[&frame[..12], &[0x81, 0, 0, 5], &frame[12..]])
}

fn handshake() -> [(Side, Vec<u8>); 3] {
    [
        (CLIENT, SYN, (0, 0)),
        (SERVER, SYN | ACK, (0, 1)),
        (CLIENT, ACK, (1, 1)),
    ]
    .map(|(side, flags, numbers)| (side, tagged(&tcp4(side, flags, numbers, b""))))
}

/// How a frame for `to` leaves that follows the packets of the other side.
fn after(to: Side) -> Route {
    Route::Interface {
        interface: INTERFACES[to.other() as usize],
        back: false,
    }
}

fn link_to(to: Side) -> Vec<u8> {
    tagged(&tcp4(to.other(), ACK, (1, 1), b""))[..18].to_vec()
}

const TO_CLIENT: [u16; 2] = [PORTS[1], PORTS[0]];

#[test]
fn a_connection_at_rest_is_reset_from_timers_and_at_its_end() {
    for (when, second) in [(When::Timer, 6), (When::Timeout, 70), (When::Removal, 70)] {
        let mut bench = Bench::new(when, true);
        for (side, frame) in handshake() {
            bench.take(1, side, &frame);
        }
        assert!(bench.sent().is_empty());
        bench.pass(second);
        assert_eq!(bench.host.told, [Ok(())], "{when:?}");
        let [isn_client, isn_server] = super::edits::ISNS;
        assert_eq!(
            bench.sent(),
            [
                (after(CLIENT), link_to(CLIENT), TO_CLIENT, isn_server + 1),
                (after(SERVER), link_to(SERVER), PORTS, isn_client + 1),
            ],
            "{when:?}"
        );
        bench.pass(second);
        assert!(bench.sent().is_empty(), "once");
    }
}

#[test]
fn without_asking_nothing_is_remembered() {
    let mut bench = Bench::new(When::Timer, false);
    for (side, frame) in handshake() {
        bench.take(1, side, &frame);
    }
    bench.pass(6);
    assert_eq!(bench.host.told, [Err(InjectError::NoPacket)]);
}

#[test]
fn a_client_whose_server_says_nothing_is_reached_the_way_it_came() {
    let mut bench = Bench::new(When::Timer, true);
    let [(_, syn), ..] = handshake();
    bench.take(1, CLIENT, &syn);
    bench.pass(6);
    assert_eq!(bench.host.told, [Ok(())]);
    let back = Route::Interface {
        interface: INTERFACES[0],
        back: true,
    };
    let mut link = syn[..18].to_vec();
    link[..12].rotate_left(6);
    let sent = bench.sent();
    assert_eq!(sent[0], (back, link, TO_CLIENT, 0));
    // It may have taken the SYN.
    assert!(sent[1..].iter().all(|(route, ..)| *route == after(SERVER)));
}

#[test]
fn translated_ends_get_their_addresses_of_either_kind() {
    let mut bench = Bench::new(When::Timer, true);
    let next = [2, 0, 0, 0, 9, 9];
    bench.host.translation = Some(Translation {
        client: Some(endpoint([203, 0, 113, 9], 40_000, false)),
        to_server: Hardware {
            source: None,
            destination: Some(next),
        },
        ..Translation::default()
    });
    let [syn, answer, _] = handshake();
    bench.take(1, CLIENT, &syn.1);
    let mut answer = answer.1;
    answer[34..38].copy_from_slice(&[203, 0, 113, 9]);
    answer[40..42].copy_from_slice(&40_000_u16.to_be_bytes());
    bench.take(1, SERVER, &answer);
    assert_eq!(bench.shard.flows(), 1);
    bench.pass(6);
    let sent = bench.sent();
    let (to_client, to_server): (Vec<_>, Vec<_>) = sent
        .into_iter()
        .partition(|(.., ports, _)| ports[1] == PORTS[0]);
    assert!(to_client.iter().all(|(route, link, ports, _)| {
        *route == after(CLIENT) && *link == answer[..18] && *ports == TO_CLIENT
    }));
    let mut link = syn.1[..18].to_vec();
    link[..6].copy_from_slice(&next);
    assert!(to_server.iter().all(|(route, own, ports, _)| {
        *route == after(SERVER) && *own == link && *ports == [40_000, PORTS[1]]
    }));
    assert!(!to_client.is_empty() && !to_server.is_empty());
}

#[test]
fn the_way_of_the_last_packet_that_was_not_ordinary_counts() {
    let mut bench = Bench::new(When::Timer, true);
    for (side, frame) in handshake() {
        bench.take(1, side, &frame);
    }
    // The client has another router now, and repeats itself.
    let mut again = handshake()[2].1.clone();
    again[11] = 0x77;
    let data = join(&[&again[..18], &tcp4(CLIENT, ACK, (1, 1), b"a")[14..]]);
    for _ in 0..2 {
        bench.take(2, CLIENT, &data);
    }
    bench.pass(6);
    assert_eq!(bench.host.told, [Ok(())]);
    let to_server = |(.., ports, _): &&(Route, Vec<u8>, [u16; 2], u32)| *ports == PORTS;
    assert!(
        bench
            .sent()
            .iter()
            .filter(to_server)
            .all(|(_, link, ..)| link[11] == 0x77)
    );
    assert!(bench.sent().iter().any(|sent| to_server(&sent)));
}

#[test]
fn without_frames_or_a_wire_there_is_no_way() {
    let mut bench = Bench::new(When::Timer, true);
    bench.shard.set_inline(false);
    for (side, frame) in handshake() {
        bench.take(1, side, &frame);
    }
    bench.shard.set_inline(true);
    bench.pass(6);
    assert_eq!(bench.host.told, [Err(InjectError::NoPacket)]);
}
