//! What raw monitors send besides: which way, in which link layer, and how much of it.

use std::boxed::Box;
use std::cell::RefCell;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

use mosaic_port::{LinkType, Timestamp};

use super::checksums::{Shape, build};
use super::edits::{ADDRESSES, reseal_ip, tcp4, words};
use super::fixture::CLIENT;
use super::raw_edits::{Early, RawAct, arp, once, with_frame};
use crate::actor::{EditError, InjectError, Toward};
use crate::event::Verdict;
use crate::limits;
use crate::wire::TcpFlags;
use crate::wire::testing::{ethernet, ipv4, ipv6, join, outcome, udp};

const ACK: TcpFlags = TcpFlags::ACK;
const SYN: TcpFlags = TcpFlags::SYN;

#[test]
fn packets_go_either_way_in_the_link_layer_of_the_frame_at_hand() {
    let (v4, v6) = (ipv4(17, &udp(1, 2, b"four")), ipv6(17, &udp(1, 2, b"six")));
    let sent = [v4.clone(), v6.clone()];
    // Whatever is changed, by whomever, the header is the one that came.
    let change: RawAct = Box::new(|shard, packet| {
        if packet.packet.is_some() {
            let mut edit = shard.edit().unwrap();
            edit.set_hardware(Some([6; 6]), Some([6; 6])).unwrap();
        }
        Verdict::Forward
    });
    let act: RawAct = Box::new(move |shard, packet| {
        if packet.packet.is_some() {
            assert_eq!(packet.bytes[..12], [6; 12]);
            shard.edit().unwrap().set_ttl(3).unwrap();
        }
        for packet in &sent {
            shard.inject_packet(Toward::Receiver, packet).unwrap();
            shard.inject_packet(Toward::Sender, packet).unwrap();
        }
        Verdict::Forward
    });
    let mut early = Early::new(vec![change, act]);
    let tagged = |kind: u16, inner: &[u8]| {
        let kind = kind.to_be_bytes();
        ethernet(0x88a8, &join(&[&[0, 5, 0x81, 0, 0, 6], &kind, inner]))
    };
    let segment = &tcp4(CLIENT, ACK, (1, 1), b"hello")[14..];
    let left = early.burst(&[
        ethernet(0x0800, segment),
        tagged(0x0800, segment),
        tagged(0x0806, &[0; 40]),
    ]);
    let padded = |mut frame: Vec<u8>| {
        frame.resize(frame.len().max(60), 0);
        frame
    };
    let mut expected = Vec::new();
    for number in 0..3 {
        for (kind, packet) in [(0x0800, &v4), (0x86dd, &v6)] {
            let on = if number == 0 {
                ethernet(kind, packet)
            } else {
                tagged(kind, packet)
            };
            let mut back = on.clone();
            back[..12].rotate_left(6);
            expected.push((with_frame(number, Toward::Receiver), padded(on)));
            expected.push((with_frame(number, Toward::Sender), padded(back)));
        }
    }
    assert_eq!(left.injected, expected);
    let shown = early.host.log.iter();
    assert!(
        shown.filter(|line| line.starts_with("Send")).count() == 2,
        "nobody sees what is sent"
    );
    // Nothing of it is sent again, with a burst or without; nor when the monitor is closed.
    early.host.raw = vec![
        Box::new(|_, _| Verdict::Forward),
        Box::new(|_, _| Verdict::Forward),
    ];
    let quiet = early.burst(&[arp()]);
    assert!(quiet.injected.is_empty());
    early.host.raw[0] = once(|shard, packet| {
        let packet_of = ipv4(17, &udp(1, 2, b"last"));
        shard.inject_packet(Toward::Sender, &packet_of).unwrap();
        shard.close(packet.monitor).unwrap();
    });
    early.host.raw[1] = once(|shard, packet| shard.close(packet.monitor).unwrap());
    assert_eq!(early.burst(&[arp()]).injected.len(), 1);
    assert!(!early.shard.has_raw());
    let later = Timestamp::from_nanos(8);
    early.shard.handle_clock(later, &mut early.host);
    assert!(!early.shard.has_changes());
    let frame = tcp4(CLIENT, ACK, (6, 1), b"");
    assert_eq!(early.burst(&[frame]).injected, []);
}

#[test]
fn frames_go_as_they_are() {
    let act = once(|shard, packet| {
        assert!(packet.packet.is_none());
        let mut answer = packet.frame.unwrap().bytes.to_vec();
        answer[21] = 2;
        shard.inject_frame(Toward::Sender, &answer).unwrap();
        shard.inject_frame(Toward::Receiver, &[3; 14]).unwrap();
        for wrong in [&[0; 13][..], &[0; 65_566]] {
            let error = shard.inject_frame(Toward::Sender, wrong);
            assert_eq!(error, Err(InjectError::BadPacket));
        }
        for wrong in [
            &[][..],
            &[0x45; 19],
            &[0x60; 39],
            &[0x50; 40],
            &[0x45; 65_536],
        ] {
            let error = shard.inject_packet(Toward::Sender, wrong);
            assert_eq!(error, Err(InjectError::BadPacket));
        }
    });
    let mut early = Early::new(vec![act]);
    let left = early.burst(&[arp()]);
    let mut answer = arp();
    answer[21] = 2;
    let short = join(&[&[3; 14], &[0; 46]]);
    assert_eq!(
        left.injected,
        [
            (with_frame(0, Toward::Sender), answer),
            (with_frame(0, Toward::Receiver), short)
        ]
    );
}

#[test]
fn packets_in_tunnels_get_no_company() {
    let errors = Rc::new(RefCell::new(Vec::new()));
    let list = Rc::clone(&errors);
    let act: RawAct = Box::new(move |shard, _| {
        let packet = ipv4(17, &udp(1, 2, b"x"));
        let sent = shard.inject_packet(Toward::Sender, &packet);
        list.borrow_mut().push(sent.err());
        shard.inject_frame(Toward::Sender, &[0; 60]).unwrap();
        Verdict::Forward
    });
    let mut early = Early::new(vec![act]);
    let inner = &tcp4(CLIENT, ACK, (1, 1), b"")[14..];
    let pppoe = join(&[&[0x11, 0, 0, 1, 0, 42, 0, 0x21], inner]);
    early.burst(&[
        ethernet(0x0800, &ipv4(4, inner)),
        ethernet(0x8864, &pppoe),
        ethernet(0x88cc, &[0; 46]),
        ethernet(0x0800, inner),
    ]);
    let tunnel = Some(InjectError::Tunnel);
    assert_eq!(*errors.borrow(), [tunnel, tunnel, tunnel, None]);
    // Bare IP has no link layer; the other version would not be told from it by all.
    errors.borrow_mut().clear();
    let left = early.links(LinkType::RAW, &[inner.to_vec()]);
    assert_eq!(left.injected[0].1, ipv4(17, &udp(1, 2, b"x")));
    early.links(LinkType::RAW, &[ipv6(17, &udp(1, 2, b"x"))]);
    assert_eq!(*errors.borrow(), [None, Some(InjectError::BadPacket)]);
}

#[test]
fn room_is_bounded() {
    let act: RawAct = Box::new(|shard, _| {
        for _ in 0..limits::INJECTED {
            shard.inject_frame(Toward::Sender, &[0; 60]).unwrap();
        }
        let full = Err(InjectError::NoRoom);
        assert_eq!(shard.inject_frame(Toward::Sender, &[0; 60]), full);
        let packet = ipv4(17, &udp(1, 2, b"x"));
        assert_eq!(shard.inject_packet(Toward::Sender, &packet), full);
        Verdict::Forward
    });
    let mut early = Early::new(vec![act]);
    assert_eq!(early.burst(&[arp()]).injected.len(), limits::INJECTED);
    // Changes of packets, by bytes.
    let fits = Rc::new(RefCell::new(0));
    let count = Rc::clone(&fits);
    early.host.raw[0] = Box::new(move |shard, _| {
        match shard.edit() {
            Ok(mut edit) => {
                edit.overwrite_payload(0, b"x").unwrap();
                *count.borrow_mut() += 1;
            }
            Err(error) => assert_eq!(error, EditError::NoRoom),
        }
        Verdict::Forward
    });
    let large = tcp4(CLIENT, ACK, (1, 1), &vec![b'-'; 60_000]);
    let left = early.burst(&vec![large.clone(); 20]);
    let fit = limits::CHANGED_BYTES / large.len();
    assert_eq!(*fits.borrow(), fit);
    let changed = left
        .frames
        .iter()
        .flatten()
        .filter(|frame| frame[54] == b'x');
    assert_eq!((changed.count(), left.frames.len()), (fit, 20));
}

/// Pings are answered on the spot: with source and destination exchanged, and a right checksum.
#[test]
fn echoes_are_answered() {
    let act: RawAct = Box::new(|shard, packet| {
        let Some(reply) = reply_to(packet.ip()) else {
            return Verdict::Forward;
        };
        match shard.inject_packet(Toward::Sender, &reply) {
            Ok(()) => Verdict::Drop,
            Err(_) => Verdict::Forward,
        }
    });
    let mut early = Early::new(vec![act]);
    let shape = Shape {
        v6: false,
        proto: 1,
        unsent: false,
        around: 1,
        odd: true,
    };
    let ping = build(shape);
    let left = early.burst(&[ping.clone(), tcp4(CLIENT, SYN, (0, 0), b"")]);
    assert!(left.frames[0].is_none() && left.frames[1].is_some());
    let [(route, reply)] = &left.injected[..] else {
        panic!("one")
    };
    assert_eq!(*route, with_frame(0, Toward::Sender));
    assert_eq!((&reply[..6], &reply[6..12]), (&ping[6..12], &ping[..6]));
    let packet = outcome(LinkType::ETHERNET, reply).unwrap();
    let source = packet.key.source(packet.direction);
    assert_eq!(source.addr, core::net::IpAddr::from(ADDRESSES[1]));
    assert_eq!(words(&reply[18..38], 0), 0xffff);
    assert_eq!(words(&reply[38..ping.len()], 0), 0xffff);
    assert_eq!(reply[46..ping.len()], ping[46..]);
}

/// What a host says to an echo request over IPv4.
fn reply_to(request: &[u8]) -> Option<Vec<u8>> {
    let is_request = request.get(9) == Some(&1) && request.get(20) == Some(&8);
    let mut reply = is_request.then(|| request.to_vec())?;
    reply[12..20].rotate_left(4);
    reply[20] = 0;
    reply[22..24].fill(0);
    let sum = !words(&reply[20..], 0);
    reply[22..24].copy_from_slice(&sum.to_be_bytes());
    reseal_ip(&mut reply);
    Some(reply)
}
