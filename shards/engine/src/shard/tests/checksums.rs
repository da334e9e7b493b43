//! Checksums after any changes, in anything around a packet.

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use mosaic_port::LinkType;
use proptest::prelude::*;

use super::edits::{Act, Middle, endpoint, reseal_ip, words};
use super::raw_edits::{Early, RawAct};
use crate::actor::{PacketEdit, Part};
use crate::event::{Hook, Verdict};
use crate::flow::Proto;
use crate::wire::testing::{
    Bench as Entrance, DESTINATION6, OneFrame, SOURCE6, ethernet, ipv4, ipv4_with, ipv6, join,
    seal, udp,
};
use crate::wire::{Packet, TcpFlags};

/// One change.
#[derive(Clone, Debug)]
enum Change {
    Payload(usize, Vec<u8>),
    Ttl(u8),
    Class(u8, u8),
    Source([u8; 4], u16),
    Destination([u8; 4], u16),
    Flags(u8),
    Window(u16),
    Urgent(u16),
    Hardware([u8; 6]),
    Options(usize, u8),
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0_usize..40, proptest::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(at, bytes)| Change::Payload(at, bytes)),
        any::<u8>().prop_map(Change::Ttl),
        (any::<u8>(), any::<u8>()).prop_map(|(dscp, ecn)| Change::Class(dscp, ecn)),
        (any::<[u8; 4]>(), any::<u16>()).prop_map(|(addr, port)| Change::Source(addr, port)),
        (any::<[u8; 4]>(), any::<u16>()).prop_map(|(addr, port)| Change::Destination(addr, port)),
        any::<u8>().prop_map(Change::Flags),
        any::<u16>().prop_map(Change::Window),
        any::<u16>().prop_map(Change::Urgent),
        any::<[u8; 6]>().prop_map(Change::Hardware),
        (0_usize..8, any::<u8>()).prop_map(|(at, byte)| Change::Options(at, byte)),
    ]
}

/// Applies a change, if the packet has what it changes.
fn apply(edit: &mut PacketEdit<'_>, change: &Change) {
    let v6 = edit.packet().key.is_v6();
    let _ = match change {
        Change::Payload(at, bytes) => {
            // The payload of ICMP begins with its header, and there the checksum.
            let header = matches!(edit.packet().key.proto(), Proto::ICMP | Proto::ICMPV6);
            edit.overwrite_payload(*at + if header { 8 } else { 0 }, bytes)
        }
        Change::Ttl(ttl) => edit.set_ttl(*ttl),
        Change::Class(dscp, ecn) => edit.set_traffic_class(*dscp, *ecn),
        Change::Source(addr, port) => edit.set_source(endpoint(*addr, *port, v6)),
        Change::Destination(addr, port) => edit.set_destination(endpoint(*addr, *port, v6)),
        Change::Flags(flags) => edit.set_flags(TcpFlags::from_bits_retain(*flags)),
        Change::Window(window) => edit.set_window(*window),
        Change::Urgent(urgent) => edit.set_urgent(*urgent),
        Change::Hardware(mac) => edit.set_hardware(Some(*mac), None),
        Change::Options(at, byte) => edit.overwrite(Part::Transport, 20 + *at, &[*byte]),
    };
}

/// What an IP packet carries, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) v6: bool,
    pub(super) proto: u8,
    /// A UDP checksum is not sent.
    pub(super) unsent: bool,
    /// 0: plain; 1: VLAN; 2: IP in IP; 3: VXLAN with a checksum; 4: VXLAN without; 5: GRE with a checksum; 6: VXLAN over IPv6.
    pub(super) around: u8,
    pub(super) odd: bool,
}

pub(super) fn shapes() -> impl Strategy<Value = Shape> {
    (
        any::<bool>(),
        prop::sample::select(vec![6_u8, 17, 1]),
        any::<bool>(),
        0_u8..7,
        any::<bool>(),
    )
        .prop_map(|(v6, proto, unsent, around, odd)| Shape {
            v6,
            proto,
            unsent,
            around,
            odd,
        })
}

pub(super) fn build(shape: Shape) -> Vec<u8> {
    let payload: Vec<u8> = (0..if shape.odd { 33 } else { 32 })
        .map(|i| i * 7)
        .collect();
    let proto = if shape.proto == 1 && shape.v6 {
        58
    } else {
        shape.proto
    };
    let mut segment = match proto {
        6 => join(&[
            &[
                0x0f, 0xa0, 0, 80, 0, 0, 1, 0, 0, 0, 2, 0, 0x70, 0x10, 0x20, 0, 0, 0, 0, 0,
            ],
            &[1, 1, 1, 1, 1, 1, 1, 0],
            &payload,
        ]),
        17 => udp(4000, 5000, &payload),
        _ => join(&[
            &[if shape.v6 { 128 } else { 8 }, 0, 0, 0, 9, 9, 0, 1],
            &payload,
        ]),
    };
    let addresses = if shape.v6 {
        join(&[&SOURCE6, &DESTINATION6])
    } else {
        vec![192, 0, 2, 1, 198, 51, 100, 2]
    };
    match proto {
        6 => seal(&mut segment, 16, &addresses, 6),
        17 if !shape.unsent => seal(&mut segment, 6, &addresses, 17),
        17 => {}
        58 => seal(&mut segment, 2, &addresses, 58),
        _ => {
            let sum = !words(&segment, 0);
            segment[2..4].copy_from_slice(&sum.to_be_bytes());
        }
    }
    let (kind, inner) = if shape.v6 {
        (0x86dd_u16, ipv6(proto, &segment))
    } else {
        (0x0800, ipv4_with(proto, 0, &[], &segment))
    };
    let vxlan = |sum: bool, addresses: &[u8]| {
        let mut datagram = udp(
            4000,
            4789,
            &join(&[&[8, 0, 0, 0, 0, 0, 9, 0], &ethernet(kind, &inner)]),
        );
        if sum {
            seal(&mut datagram, 6, addresses, 17);
        }
        datagram
    };
    let outer4 = [192, 0, 2, 1, 198, 51, 100, 2];
    match shape.around {
        0 => ethernet(kind, &inner),
        1 => ethernet(0x8100, &join(&[&[0, 5], &kind.to_be_bytes(), &inner])),
        2 => ethernet(0x0800, &ipv4(if shape.v6 { 41 } else { 4 }, &inner)),
        3 => ethernet(0x0800, &ipv4(17, &vxlan(true, &outer4))),
        4 => ethernet(0x0800, &ipv4(17, &vxlan(false, &outer4))),
        5 => {
            let mut gre = join(&[&[0x80, 0], &kind.to_be_bytes(), &[0, 0, 0, 0], &inner]);
            let sum = !words(&gre, 0);
            gre[4..6].copy_from_slice(&sum.to_be_bytes());
            ethernet(0x0800, &ipv4(47, &gre))
        }
        _ => {
            let outer6 = join(&[&SOURCE6, &DESTINATION6]);
            ethernet(0x86dd, &ipv6(17, &vxlan(true, &outer6)))
        }
    }
}

/// The same frame with every checksum computed anew, from the inside out; those that are not sent stay so.
fn recomputed(shape: Shape, frame: &[u8], packet: &Packet) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let (ip, transport) = (packet.ip_at as usize, packet.transport_at as usize);
    let v6 = packet.key.is_v6();
    let proto = packet.key.proto();
    let end = (packet.payload_at + packet.payload_len) as usize;
    let addresses = if v6 {
        ip + 8..ip + 40
    } else {
        ip + 12..ip + 20
    };
    if !v6 {
        reseal_ip(&mut frame[ip..]);
    }
    let addresses = frame[addresses].to_vec();
    let segment = &mut frame[transport..end];
    match proto {
        Proto::TCP => seal(segment, 16, &addresses, 6),
        Proto::UDP if shape.unsent => {}
        Proto::UDP => seal_udp(segment, &addresses),
        Proto::ICMPV6 => seal(segment, 2, &addresses, 58),
        _ => {
            segment[2..4].fill(0);
            let sum = !words(segment, 0);
            segment[2..4].copy_from_slice(&sum.to_be_bytes());
        }
    }
    match shape.around {
        3 => {
            let addresses = frame[26..34].to_vec();
            seal_udp(&mut frame[34..end], &addresses);
        }
        5 => {
            frame[38..40].fill(0);
            let sum = !words(&frame[34..end], 0);
            frame[38..40].copy_from_slice(&sum.to_be_bytes());
        }
        6 => {
            let addresses = frame[22..54].to_vec();
            seal_udp(&mut frame[54..end], &addresses);
        }
        _ => {}
    }
    frame
}

fn seal_udp(datagram: &mut [u8], addresses: &[u8]) {
    seal(datagram, 6, addresses, 17);
    if datagram[6..8] == [0, 0] {
        datagram[6..8].fill(0xff);
    }
}

proptest! {
    /// Whatever is changed, in whatever is around it: the checksums are what a full computation gives, except by how much they
    /// were wrong before.
    #[test]
    fn checksums_follow(
        shape in shapes(),
        script in proptest::collection::vec(changes(), 0..8),
        damaged in proptest::option::of((0_usize..60, 1_u8..)),
        raw in any::<bool>(),
    ) {
        let right = build(shape);
        let mut entrance = Entrance::ignoring();
        let packet = entrance.frame(OneFrame::new(LinkType::ETHERNET, &right)).unwrap();
        prop_assert_eq!(&recomputed(shape, &right, &packet), &right, "the test's own frames are right");

        // The same edits on the right frame and on one with a wrong byte of payload, whose checksums stay as they were.
        let edited = edit_all(&right, script.clone(), raw);
        prop_assert_eq!(&recomputed(shape, &edited, &packet), &edited);
        if let Some((at, bits)) = damaged {
            let at = packet.payload_at as usize + at % packet.payload_len as usize;
            let overwritten = script.iter().any(|change| matches!(change, Change::Payload(..)));
            let mut wrong = right.clone();
            wrong[at] ^= bits;
            if !overwritten && packet.key.proto() == Proto::TCP {
                let mut expected = edited;
                expected[at] ^= bits;
                prop_assert_eq!(edit_all(&wrong, script, raw), expected, "a wrong one is not repaired");
            }
        }
    }
}

/// What leaves after a script of changes, at a hook or before any flow sees the packet.
fn edit_all(frame: &[u8], script: Vec<Change>, raw: bool) -> Vec<u8> {
    if raw {
        let act: RawAct = Box::new(move |shard, _| {
            let mut edit = shard.edit().unwrap();
            script.iter().for_each(|change| apply(&mut edit, change));
            Verdict::Forward
        });
        return Early::new(vec![act]).pass(frame).unwrap();
    }
    let act: Act = Box::new(move |flow, _, hook| {
        if hook == Hook::Receive {
            let mut edit = flow.edit().unwrap();
            script.iter().for_each(|change| apply(&mut edit, change));
        }
        Verdict::Forward
    });
    Middle::new(vec![act]).pass(frame).unwrap()
}
