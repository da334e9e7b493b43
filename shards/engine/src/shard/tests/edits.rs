//! Packets changed at hooks: the bytes that go on, their checksums, and what the emulation makes of them.

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use mosaic_port::LinkType;

use super::fixture::{CLIENT, SERVER};
use crate::actor::{ActorId, EditError, FlowContext, Host, PacketEdit, PacketView, Part};
use crate::event::{Event, EventSet, Hook, Side, Verdict};
use crate::flow::Endpoint;
use crate::shard::{Shard, ShardConfig};
use crate::wire::testing::{Bench as Entrance, OneFrame, SOURCE6, ethernet, ipv4, join, seal};
use crate::wire::{
    Checksums, Encapsulation, FragmentPolicy, Packet, TcpFlags, Transport, WireConfig,
};

pub(super) type Act = Box<dyn FnMut(&mut FlowContext<'_>, &PacketView<'_>, Hook) -> Verdict>;

/// Does at each packet what a test says, and reads every stream.
#[derive(Default)]
pub(super) struct Editor {
    acts: Vec<Act>,
    pub(super) streams: [Vec<u8>; 2],
    pub(super) hooks: Vec<Hook>,
    pub(super) events: Vec<Event>,
}

impl Host for Editor {
    fn on_packet(
        &mut self,
        actor: ActorId,
        flow: &mut FlowContext<'_>,
        packet: &PacketView<'_>,
        hook: Hook,
    ) -> Verdict {
        self.hooks.push(hook);
        self.acts[usize::from(actor.0)](flow, packet, hook)
    }

    fn on_event(&mut self, actor: ActorId, flow: &mut FlowContext<'_>, event: Event) {
        if actor != ActorId(0) {
            return;
        }
        self.events.push(event);
        if let Event::NewData(side) = event {
            let stream = &mut self.streams[side as usize];
            let read = flow.peek(side, |chunks| {
                let before = stream.len();
                chunks.for_each(|chunk| stream.extend_from_slice(chunk));
                stream.len() - before
            });
            assert!(read.is_ok());
        }
    }
}

/// A shard between an entrance and a wire.
pub(super) struct Middle {
    pub(super) shard: Shard,
    pub(super) host: Editor,
    pub(super) entrance: Entrance,
    now: u64,
}

impl Middle {
    /// With actors that see every packet at both hooks.
    pub(super) fn new(acts: Vec<Act>) -> Self {
        Self::with(ShardConfig::default(), acts)
    }

    pub(super) fn with(config: ShardConfig, acts: Vec<Act>) -> Self {
        Self::made(config, acts, false)
    }

    /// With actors that may change lengths.
    pub(super) fn editing(config: ShardConfig, acts: Vec<Act>) -> Self {
        Self::made(config, acts, true)
    }

    /// The same, and fragments are held.
    pub(super) fn holding(mut self) -> Self {
        self.entrance = Entrance::new(WireConfig {
            checksums: Checksums::Ignore,
            fragments: FragmentPolicy::Hold,
            ..WireConfig::default()
        });
        self
    }

    fn made(config: ShardConfig, acts: Vec<Act>, edits: bool) -> Self {
        let mut shard = Shard::new(config);
        for actor in (0..).take(acts.len()).map(ActorId) {
            let mut context = shard.start_actor(actor);
            let monitor = context
                .monitor_stream(None)
                .packets(Hook::Send)
                .packets(Hook::Receive)
                .on(Hook::End, EventSet::all());
            let monitor = if edits { monitor.edits() } else { monitor };
            monitor.open().unwrap();
        }
        shard.set_inline(true);
        Self {
            shard,
            host: Editor {
                acts,
                ..Editor::default()
            },
            entrance: Entrance::new(WireConfig {
                checksums: Checksums::Ignore,
                ..WireConfig::default()
            }),
            now: 1_000_000_000,
        }
    }

    /// One frame in a burst of its own; what leaves in its place, if anything does.
    pub(super) fn pass(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        self.now += 1_000_000;
        let one = OneFrame {
            timestamp: self.now,
            ..OneFrame::new(LinkType::ETHERNET, frame)
        };
        let packet = self.entrance.frame(one).unwrap();
        let layers = self.entrance.parsed.encapsulations.clone();
        let dropped = self
            .shard
            .handle_burst(&[packet], &[frame], &layers, &mut self.host);
        let changed = self.shard.changed(0).map(<[u8]>::to_vec);
        (dropped == 0).then(|| changed.unwrap_or_else(|| frame.to_vec()))
    }
}

impl Middle {
    /// Every frame that the last burst has sent besides: to the receiver of its packet, or back.
    pub(super) fn injected(&self) -> Vec<(bool, Vec<u8>)> {
        let injected = self.shard.injected();
        let injected = injected.map(|frame| match frame.route {
            crate::shard::Route::With { packet, back, .. } => {
                assert_eq!(packet, 0);
                (back, frame.bytes.to_vec())
            }
            route => panic!("{route:?}"),
        });
        injected.collect()
    }
}

pub(super) const ADDRESSES: [[u8; 4]; 2] = [[192, 0, 2, 1], [198, 51, 100, 2]];
pub(super) const PORTS: [u16; 2] = [4000, 80];
pub(super) const ISNS: [u32; 2] = [1000, 5000];

impl Middle {
    /// A frame that yields no packet yet.
    pub(super) fn absorb(&mut self, frame: &[u8]) {
        let one = OneFrame::new(LinkType::ETHERNET, frame);
        assert_eq!(self.entrance.frame(one).unwrap_err(), "absorbed");
    }

    /// A frame that completes a datagram; what the datagram leaves as, or that frame where it stays what it is.
    pub(super) fn pass_whole(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let one = OneFrame {
            timestamp: self.now,
            ..OneFrame::new(LinkType::ETHERNET, frame)
        };
        let packet = self.entrance.frame(one).unwrap();
        let layers = self.entrance.parsed.encapsulations.clone();
        let whole = self.entrance.parsed.datagrams[0].clone();
        let dropped = self
            .shard
            .handle_burst(&[packet], &[&whole], &layers, &mut self.host);
        let changed = self.shard.changed(0).unwrap_or(frame).to_vec();
        (dropped == 0).then_some(changed)
    }

    /// Takes a flow out of the table.
    pub(super) fn remove(&mut self, number: u32) {
        let mut run = self.shard.run(&[], &[], &[], &mut self.host);
        self.shard
            .remove(&mut run, number, crate::event::EndReason::SourceEnd);
        self.shard.changes = Some(run.changes);
        self.shard.burst.clear();
    }
}

impl Editor {
    /// Puts another in the place of the first actor.
    pub(super) fn replace(&mut self, act: Act) {
        self.acts[0] = act;
    }
}

/// A segment with a timestamp option: value and echo.
pub(super) fn stamped4(
    from: Side,
    flags: TcpFlags,
    numbers: (u32, u32),
    (value, echo): (u32, u32),
    payload: &[u8],
) -> Vec<u8> {
    let plain = tcp4(from, flags, numbers, payload);
    let options = join(&[&[1, 1, 8, 10], &value.to_be_bytes(), &echo.to_be_bytes()]);
    let mut segment = join(&[&plain[34..54], &options, payload]);
    segment[12] = 0x80;
    let addresses = plain[26..34].to_vec();
    seal(&mut segment, 16, &addresses, 6);
    let mut packet = ipv4(6, &segment);
    packet[12..20].copy_from_slice(&addresses);
    reseal_ip(&mut packet);
    join(&[&plain[..14], &packet])
}

/// A segment over IPv4 in Ethernet, numbers relative to the initial ones.
pub(super) fn tcp4(from: Side, flags: TcpFlags, (seq, ack): (u32, u32), payload: &[u8]) -> Vec<u8> {
    let (own, peer) = (from as usize, from.other() as usize);
    let mut segment = join(&[
        &PORTS[own].to_be_bytes(),
        &PORTS[peer].to_be_bytes(),
        &(ISNS[own] + seq).to_be_bytes(),
        &(ISNS[peer] + ack).to_be_bytes(),
        &[0x50, flags.bits(), 0x20, 0, 0, 0, 0, 0],
        payload,
    ]);
    let addresses = join(&[&ADDRESSES[own], &ADDRESSES[peer]]);
    seal(&mut segment, 16, &addresses, 6);
    let mut packet = ipv4(6, &segment);
    packet[12..20].copy_from_slice(&addresses);
    reseal_ip(&mut packet);
    ethernet_from(from, 0x0800, &packet)
}

pub(super) fn endpoint(addr: [u8; 4], port: u16, v6: bool) -> Endpoint {
    let addr = if v6 {
        let mut long = SOURCE6;
        long[5..9].copy_from_slice(&addr);
        long.into()
    } else {
        core::net::Ipv4Addr::from(addr).into()
    };
    Endpoint { addr, port }
}

fn ethernet_from(from: Side, kind: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(kind, packet);
    if from == SERVER {
        frame[..12].rotate_left(6);
    }
    frame
}

pub(super) fn reseal_ip(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let sum = !words(&packet[..20], 0);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// The plain sum of words.
pub(super) fn words(bytes: &[u8], start: u32) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;

/// The handshake, in which nobody changes anything.
pub(super) fn open(middle: &mut Middle) {
    for frame in [
        tcp4(CLIENT, SYN, (0, 0), b""),
        tcp4(SERVER, SYN | ACK, (0, 1), b""),
        tcp4(CLIENT, ACK, (1, 1), b""),
    ] {
        assert_eq!(middle.pass(&frame), Some(frame));
    }
}

fn forward() -> Act {
    Box::new(|_, _, _| Verdict::Forward)
}

/// An actor that changes packets with payload at `hook`.
fn at_data(hook: Hook, mut edit: impl FnMut(&mut PacketEdit<'_>) + 'static) -> Act {
    Box::new(move |flow, packet, now| {
        if now == hook && !packet.payload().is_empty() {
            edit(&mut flow.edit().unwrap());
        }
        Verdict::Forward
    })
}

#[test]
fn what_send_changes_is_what_the_stream_holds() {
    let mut middle = Middle::new(vec![at_data(Hook::Send, |edit| {
        edit.overwrite_payload(1, b"ELL").unwrap();
    })]);
    open(&mut middle);
    let sent = tcp4(CLIENT, ACK, (1, 1), b"hello");
    let left = middle.pass(&sent).unwrap();
    assert_eq!(left, tcp4(CLIENT, ACK, (1, 1), b"hELLo"));
    assert_eq!(middle.host.streams[0], b"hELLo");
}

#[test]
fn what_receive_changes_only_goes_on_its_way() {
    let mut middle = Middle::new(vec![at_data(Hook::Receive, |edit| {
        edit.overwrite_payload(0, b"J").unwrap();
    })]);
    open(&mut middle);
    let left = middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"hello")).unwrap();
    assert_eq!(left, tcp4(CLIENT, ACK, (1, 1), b"Jello"));
    assert_eq!(middle.host.streams[0], b"hello");
}

#[test]
fn both_hooks_and_several_actors_see_what_was_changed_before() {
    let upper = at_data(Hook::Send, |edit| {
        let upper = edit.payload().to_ascii_uppercase();
        edit.overwrite_payload(0, &upper).unwrap();
    });
    let other: Act = Box::new(|flow, packet, hook| {
        if packet.payload().is_empty() {
            return Verdict::Forward;
        }
        assert_eq!(packet.payload(), b"HELLO", "{hook:?}");
        if hook == Hook::Receive {
            let mut edit = flow.edit().unwrap();
            edit.overwrite_payload(4, b"0").unwrap();
            edit.overwrite_payload(0, b"Y").unwrap();
            assert_eq!(flow.packet().unwrap().payload(), b"YELL0");
            let mut edit = flow.edit().unwrap();
            edit.overwrite_payload(0, b"h").unwrap();
        }
        Verdict::Forward
    });
    let mut middle = Middle::new(vec![upper, other]);
    open(&mut middle);
    let left = middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"hello")).unwrap();
    assert_eq!(left, tcp4(CLIENT, ACK, (1, 1), b"hELL0"));
    assert_eq!(middle.host.streams[0], b"HELLO");
}

#[test]
fn changed_bytes_behind_a_hole_are_kept_changed() {
    let mut middle = Middle::new(vec![at_data(Hook::Send, |edit| {
        let upper = edit.payload().to_ascii_uppercase();
        edit.overwrite_payload(0, &upper).unwrap();
    })]);
    open(&mut middle);
    middle.pass(&tcp4(CLIENT, ACK, (6, 1), b"world")).unwrap();
    middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"hello")).unwrap();
    assert_eq!(middle.host.streams[0], b"HELLOWORLD");
}

#[test]
fn the_receiver_goes_by_the_flags_that_are_left() {
    let no_fin: Act = Box::new(|flow, packet, hook| {
        if let (Hook::Send, Transport::Tcp { flags, .. }) = (hook, packet.packet.transport) {
            flow.edit()
                .unwrap()
                .set_flags(flags - TcpFlags::FIN)
                .unwrap();
        }
        Verdict::Forward
    });
    let mut middle = Middle::new(vec![no_fin]);
    open(&mut middle);
    let left = middle
        .pass(&tcp4(CLIENT, ACK | TcpFlags::FIN, (1, 1), b""))
        .unwrap();
    assert_eq!(left, tcp4(CLIENT, ACK, (1, 1), b""));
    let number = middle.shard.table.first_from(0).unwrap();
    let states = middle.shard.table.hot(number).states;
    let names = states.map(|state| std::format!("{state}"));
    assert_eq!(names, ["FIN-WAIT-1", "ESTABLISHED"]);
}

#[test]
fn a_packet_dropped_unseen_never_reaches_the_emulated_receiver() {
    for (verdict, stream, hooks) in [
        (Verdict::Drop, &b"hello"[..], 2),
        (Verdict::DropUnseen, &b""[..], 1),
    ] {
        let act: Act = Box::new(move |_, packet, _| {
            if packet.payload() == b"hello" {
                verdict
            } else {
                Verdict::Forward
            }
        });
        let mut middle = Middle::new(vec![act]);
        open(&mut middle);
        middle.host.hooks.clear();
        assert_eq!(middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"hello")), None);
        assert_eq!(middle.host.streams[0], stream);
        assert_eq!(middle.host.hooks.len(), hooks, "{verdict:?}");
        // The sender sends it again, in other words.
        let again = tcp4(CLIENT, ACK, (1, 1), b"HELLO");
        assert_eq!(middle.pass(&again), Some(again));
        let expected: &[u8] = if stream.is_empty() {
            b"HELLO"
        } else {
            b"hello"
        };
        assert_eq!(middle.host.streams[0], expected, "{verdict:?}");
    }
}

#[test]
fn a_datagram_dropped_unseen_is_seen_at_one_hook() {
    for (verdict, hooks) in [(Verdict::Drop, 2), (Verdict::DropUnseen, 1)] {
        let mut middle = Middle::new(vec![Box::new(move |_, _, _| verdict)]);
        let datagram = crate::wire::testing::udp(1000, 2000, b"hello");
        assert_eq!(middle.pass(&ethernet(0x0800, &ipv4(17, &datagram))), None);
        assert_eq!(middle.host.hooks.len(), hooks, "{verdict:?}");
    }
}

#[test]
fn a_udp_checksum_that_comes_out_as_zero_is_sent_as_ones() {
    // RFC 768: zero would say that there is none.
    let mut datagram = crate::wire::testing::udp(1000, 2000, &[0; 2]);
    seal(
        &mut datagram,
        6,
        &join(&[&[192, 0, 2, 1], &[198, 51, 100, 2]]),
        17,
    );
    let sum: [u8; 2] = datagram[6..8].try_into().unwrap();
    let act: Act = Box::new(move |flow, _, hook| {
        if hook == Hook::Receive {
            flow.edit().unwrap().overwrite_payload(0, &sum).unwrap();
        }
        Verdict::Forward
    });
    let left = Middle::new(vec![act]).pass(&ethernet(0x0800, &ipv4(17, &datagram)));
    assert_eq!(left.unwrap()[40..44], join(&[&[0xff, 0xff], &sum]));
}

#[test]
fn a_drop_by_one_is_final() {
    for at in 0..2 {
        let acts = (0..2).map(|actor| -> Act {
            Box::new(move |_, packet, hook| {
                let drops = actor == at && hook == Hook::Send && !packet.payload().is_empty();
                if drops {
                    Verdict::Drop
                } else {
                    Verdict::Forward
                }
            })
        });
        let mut middle = Middle::new(acts.collect());
        open(&mut middle);
        middle.host.hooks.clear();
        assert_eq!(middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"x")), None);
        assert_eq!(middle.host.hooks.len(), 4, "each sees it all the same");
    }
}

#[test]
fn a_blocked_flow_is_dropped_unseen_until_it_is_unblocked() {
    let act: Act = Box::new(|flow, packet, hook| {
        if hook == Hook::Receive && packet.payload() == b"stop" {
            flow.block();
        }
        Verdict::Forward
    });
    let mut middle = Middle::new(vec![act]);
    open(&mut middle);
    let stop = tcp4(CLIENT, ACK, (1, 1), b"stop");
    assert_eq!(middle.pass(&stop), Some(stop), "from the next packet on");
    middle.host.hooks.clear();
    for frame in [
        tcp4(SERVER, ACK, (1, 5), b"data"),
        tcp4(CLIENT, ACK, (5, 1), b"data"),
        tcp4(CLIENT, ACK | TcpFlags::FIN, (9, 1), b""),
    ] {
        assert_eq!(middle.pass(&frame), None);
    }
    assert_eq!(
        (middle.host.hooks.len(), &middle.host.streams[1][..]),
        (0, &b""[..])
    );
    let number = middle.shard.table.first_from(0).unwrap();
    middle
        .shard
        .make_special(number, |special| special.blocked = false);
    let frame = tcp4(SERVER, ACK, (1, 5), b"data");
    assert_eq!(middle.pass(&frame), Some(frame));
    assert_eq!(middle.host.streams[1], b"data");
    // A new connection begins anew.
    middle
        .shard
        .make_special(number, |special| special.blocked = true);
    let mut syn = tcp4(CLIENT, SYN, (7000, 0), b"");
    assert_eq!(middle.pass(&syn).as_ref(), Some(&syn));
    syn = tcp4(CLIENT, SYN, (7000, 0), b"");
    assert!(middle.pass(&syn).is_some());
}

#[test]
fn without_a_packet_or_room_nothing_is_changed() {
    let greedy: Act = Box::new(|flow, packet, hook| {
        if hook == Hook::Receive && !packet.payload().is_empty() {
            assert!(flow.edit().is_ok());
        }
        Verdict::Forward
    });
    let mut middle = Middle::new(vec![greedy]);
    open(&mut middle);
    // Each packet is copied once: a burst of frames that fill the arena, and one more.
    let big = vec![7; 60_000];
    let frames: Vec<Vec<u8>> = (0..20).map(|_| tcp4(CLIENT, ACK, (1, 1), &big)).collect();
    let packets: Vec<Packet> = frames
        .iter()
        .map(|frame| {
            let one = OneFrame {
                timestamp: 2_000_000_000,
                ..OneFrame::new(LinkType::ETHERNET, frame)
            };
            middle.entrance.frame(one).unwrap()
        })
        .collect();
    let refused = std::rc::Rc::new(core::cell::Cell::new(0));
    let counter = std::rc::Rc::clone(&refused);
    middle.host.acts[0] = Box::new(move |flow, _, hook| {
        if hook == Hook::Receive
            && let Err(error) = flow.edit().map(|mut edit| edit.overwrite_payload(0, b"x"))
        {
            assert_eq!(error, EditError::NoRoom);
            counter.set(counter.get() + 1);
        }
        Verdict::Forward
    });
    let bytes: Vec<&[u8]> = frames.iter().map(|frame| &frame[..]).collect();
    let dropped = middle.shard.handle_burst(
        &packets,
        &bytes,
        &[Encapsulation::default()],
        &mut middle.host,
    );
    let fit = crate::limits::CHANGED_BYTES / frames[0].len();
    assert_eq!((dropped, refused.get()), (0, 20 - fit));
    assert_eq!(middle.shard.changes(), (1 << fit) - 1);
}

#[test]
fn lengths_kinds_and_outer_headers_stay() {
    let mut middle = Middle::new(vec![at_data(Hook::Send, |edit| {
        for (part, at, bytes) in [
            (Part::Ip, 0, &[0x46][..]),
            (Part::Ip, 2, &[1, 1]),
            (Part::Ip, 9, &[17]),
            (Part::Ip, 6, &[0x20]),
            (Part::Transport, 12, &[0x60]),
        ] {
            assert_eq!(
                edit.overwrite(part, at, bytes),
                Err(EditError::Layout),
                "{part:?} {at}"
            );
        }
        for (part, at) in [
            (Part::Payload, 5),
            (Part::Transport, 20),
            (Part::Ip, 20),
            (Part::Link, 14),
        ] {
            assert_eq!(
                edit.overwrite(part, at, b"x"),
                Err(EditError::NotThere),
                "{part:?} {at}"
            );
        }
        assert_eq!(
            edit.overwrite(Part::Payload, usize::MAX, b"x"),
            Err(EditError::NotThere)
        );
        let v6 = Endpoint {
            addr: core::net::Ipv6Addr::LOCALHOST.into(),
            port: 1,
        };
        assert_eq!(edit.set_source(v6), Err(EditError::NotThere));
    })]);
    open(&mut middle);
    let sent = tcp4(CLIENT, ACK, (1, 1), b"hello");
    assert_eq!(middle.pass(&sent), Some(sent));
}

#[test]
fn actors_that_change_nothing_cost_no_copy() {
    let mut middle = Middle::new(vec![forward()]);
    open(&mut middle);
    let frame = tcp4(CLIENT, ACK, (1, 1), b"hello");
    assert_eq!(middle.pass(&frame), Some(frame));
    assert!(!middle.shard.has_changes());
}
