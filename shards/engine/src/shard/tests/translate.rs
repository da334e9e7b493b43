//! Translated flows: what leaves, under which keys they are found, and what is refused.

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::edits::{ADDRESSES, Act, ISNS, Middle, PORTS, endpoint, tcp4};
use super::fixture::{CLIENT, SERVER};
use crate::actor::{EditError, Hardware, TranslateError, Translation};
use crate::event::{Hook, Side, Verdict};
use crate::flow::rss::{self, Owners};
use crate::flow::{Endpoint, FlowKey, Proto};
use crate::shard::ShardConfig;
use crate::wire::testing::{ethernet, ipv4, ipv4_with, join, seal, udp};
use crate::wire::{TcpFlags, Transport};

const NAT: [u8; 4] = [203, 0, 113, 9];
const BACKEND: [u8; 4] = [10, 9, 8, 7];

/// What a NAT was told, one by one.
type Told = std::rc::Rc<core::cell::RefCell<Vec<Result<(), TranslateError>>>>;

/// A NAT that gives every flow these ends, and says what it was told.
fn nat(translation: impl Fn(u32) -> Translation + 'static) -> (Act, Told) {
    let told = Told::default();
    let log = Told::clone(&told);
    let act: Act = Box::new(move |flow, packet, hook| {
        if hook == Hook::Send && packet.sender == CLIENT && flow.translation().is_none() {
            let number = u32::try_from(log.borrow().len()).unwrap();
            log.borrow_mut().push(flow.translate(translation(number)));
        }
        Verdict::Forward
    });
    (act, told)
}

fn both(port: u16) -> Translation {
    Translation {
        client: Some(endpoint(NAT, port, false)),
        server: Some(endpoint(BACKEND, 8080, false)),
        ..Translation::default()
    }
}

/// `frame` with other ends, all checksums computed anew.
fn with_ends(frame: &[u8], source: ([u8; 4], u16), destination: ([u8; 4], u16)) -> Vec<u8> {
    let mut packet = frame[14..].to_vec();
    packet[12..16].copy_from_slice(&source.0);
    packet[16..20].copy_from_slice(&destination.0);
    packet[20..22].copy_from_slice(&source.1.to_be_bytes());
    packet[22..24].copy_from_slice(&destination.1.to_be_bytes());
    packet[10..12].fill(0);
    let sum = !super::edits::words(&packet[..20], 0);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let addresses = packet[12..20].to_vec();
    let (proto, at) = (packet[9], if packet[9] == 6 { 16 } else { 6 });
    if proto == 6 || packet[26..28] != [0, 0] {
        seal(&mut packet[20..], at, &addresses, proto);
    }
    join(&[&frame[..14], &packet])
}

const SEEN: [([u8; 4], u16); 2] = [(NAT, 40_000), (BACKEND, 8080)];
const ORIGINAL: [([u8; 4], u16); 2] = [(ADDRESSES[0], PORTS[0]), (ADDRESSES[1], PORTS[1])];

/// What the client sends, as it leaves; and what the server sends, as it comes.
fn translated(frame: &[u8], from: Side) -> Vec<u8> {
    let (own, peer) = (from as usize, from.other() as usize);
    with_ends(frame, SEEN[own], SEEN[peer])
}

const ACK: TcpFlags = TcpFlags::ACK;

#[test]
fn both_ends_see_a_connection_of_their_own() {
    let (act, told) = nat(|_| both(40_000));
    let mut middle = Middle::new(vec![act]);
    for (from, flags, numbers, payload) in [
        (CLIENT, TcpFlags::SYN, (0, 0), &b""[..]),
        (SERVER, TcpFlags::SYN | ACK, (0, 1), b""),
        (CLIENT, ACK, (1, 1), b""),
        (CLIENT, ACK, (1, 1), b"request"),
        (SERVER, ACK, (1, 8), b"response"),
        (SERVER, ACK | TcpFlags::FIN, (9, 8), b""),
        (CLIENT, ACK | TcpFlags::FIN, (8, 10), b""),
        (SERVER, ACK, (10, 9), b""),
    ] {
        let original = tcp4(from, flags, numbers, payload);
        let seen = translated(&original, from);
        let (comes, leaves) = if from == CLIENT {
            (original, seen)
        } else {
            (seen, original)
        };
        assert_eq!(middle.pass(&comes), Some(leaves), "{from:?} {numbers:?}");
        assert_eq!(middle.shard.flows(), 1, "one flow");
    }
    assert_eq!(*told.borrow(), [Ok(())]);
    assert_eq!(
        middle.host.streams,
        [b"request".to_vec(), b"response".to_vec()]
    );
    let number = middle.shard.table.first_from(0).unwrap();
    let states = middle.shard.table.hot(number).states;
    assert!(states.iter().all(|state| state.is_over()), "{states:?}");
    middle.shard.finish(&mut middle.host);
    assert!(
        middle.shard.aliases.is_empty(),
        "the key goes with the flow"
    );
}

#[test]
fn hardware_addresses_are_those_of_the_next_hop() {
    let [mine, next, back] = [[2, 0, 0, 0, 9, 1], [2, 0, 0, 0, 9, 2], [2, 0, 0, 0, 9, 3]];
    let (act, _) = nat(move |_| Translation {
        to_server: Hardware {
            source: Some(mine),
            destination: Some(next),
        },
        to_client: Hardware {
            source: None,
            destination: Some(back),
        },
        ..both(40_000)
    });
    let mut middle = Middle::new(vec![act]);
    let syn = tcp4(CLIENT, TcpFlags::SYN, (0, 0), b"");
    let left = middle.pass(&syn).unwrap();
    assert_eq!(left[..12], join(&[&next, &mine]));
    assert_eq!(left[14..], translated(&syn, CLIENT)[14..]);
    let answer = tcp4(SERVER, TcpFlags::SYN | ACK, (0, 1), b"");
    let left = middle.pass(&translated(&answer, SERVER)).unwrap();
    assert_eq!(left[..12], join(&[&back, &answer[6..12]]));
    assert_eq!(left[14..], answer[14..]);
}

#[test]
fn a_tuple_is_given_once_and_again_when_its_flow_is_gone() {
    let (act, told) = nat(|_| both(40_000));
    let mut middle = Middle::new(vec![act]);
    let syn = |port: u16| {
        let frame = tcp4(CLIENT, TcpFlags::SYN, (0, 0), b"");
        with_ends(&frame, (ADDRESSES[0], port), ORIGINAL[1])
    };
    assert_eq!(
        middle.pass(&syn(1)),
        Some(with_ends(&syn(1), SEEN[0], SEEN[1]))
    );
    assert_eq!(middle.pass(&syn(2)), Some(syn(2)), "refused: as it came");
    assert_eq!(*told.borrow(), [Ok(()), Err(TranslateError::Taken)]);
    // A flow that has these ends by itself keeps others from them, too.
    let direct = with_ends(&syn(1), (NAT, 40_001), (BACKEND, 8080));
    middle.pass(&direct).unwrap();
    let (again, told) = nat(|_| both(40_001));
    middle.host.replace(again);
    middle.pass(&syn(3)).unwrap();
    assert_eq!(*told.borrow(), [Err(TranslateError::Taken)]);
    // With the first flow, its key goes.
    let number = (0..).find(|n| !middle.shard.aliases.is_empty() && middle.shard.is_special(*n));
    middle.remove(number.unwrap());
    assert!(middle.shard.aliases.is_empty());
    let (again, told) = nat(|_| both(40_000));
    middle.host.replace(again);
    middle.pass(&syn(4)).unwrap();
    assert_eq!(*told.borrow(), [Ok(())]);
}

#[test]
fn only_the_beginning_of_a_flow_can_be_translated_and_only_within_its_family() {
    let late: Act = Box::new(|flow, packet, hook| {
        if packet.payload() == b"now" || packet.sender == SERVER || hook == Hook::Receive {
            assert_eq!(flow.translate(both(1)), Err(TranslateError::NotOpening));
        } else if let Transport::Tcp {
            flags: TcpFlags::SYN,
            ..
        } = packet.packet.transport
        {
            let v6 = Translation {
                client: Some(endpoint(NAT, 1, true)),
                ..Translation::default()
            };
            assert_eq!(flow.translate(v6), Err(TranslateError::Family));
        }
        Verdict::Forward
    });
    let mut middle = Middle::new(vec![late]);
    super::edits::open(&mut middle);
    let now = tcp4(CLIENT, ACK, (1, 1), b"now");
    assert_eq!(middle.pass(&now), Some(now));
}

#[test]
fn packets_that_come_back_must_belong_to_this_shard() {
    let owners = Owners::new(3);
    let server = Endpoint {
        addr: BACKEND.into(),
        port: 8080,
    };
    let key = FlowKey::v4(
        u32::from_be_bytes(ADDRESSES[0]),
        u32::from_be_bytes(ADDRESSES[1]),
        PORTS[0],
        PORTS[1],
        Proto::TCP,
        0,
    );
    let config = ShardConfig {
        shard: owners.owner(rss::hash(&key.0)),
        owners,
        ..ShardConfig::default()
    };
    let own = config.shard;
    let act: Act = Box::new(move |flow, _, hook| {
        if hook == Hook::Send {
            let mut seen = [false; 3];
            for port in 30_000..30_100 {
                let client = endpoint(NAT, port, false);
                let owner = flow.shard_of(client, server).unwrap();
                seen[usize::from(owner)] = true;
                if owner != own {
                    assert_eq!(
                        flow.translate(both(port)),
                        Err(TranslateError::OtherShard(owner))
                    );
                }
            }
            assert_eq!(seen, [true; 3]);
            let port =
                (1..).find(|port| flow.shard_of(endpoint(NAT, *port, false), server) == Some(own));
            assert_eq!(flow.translate(both(port.unwrap())), Ok(()));
        }
        Verdict::Forward
    });
    let mut middle = Middle::with(config, vec![act]);
    assert!(
        middle
            .pass(&tcp4(CLIENT, TcpFlags::SYN, (0, 0), b""))
            .is_some()
    );
    assert!(!middle.shard.aliases.is_empty());
}

#[test]
fn datagrams_and_echoes_are_translated() {
    let (act, _) = nat(|_| both(40_000));
    let mut middle = Middle::new(vec![act]);
    for sum in [false, true] {
        let mut datagram = udp(PORTS[0], PORTS[1], b"question");
        if sum {
            seal(&mut datagram, 6, &join(&[&ADDRESSES[0], &ADDRESSES[1]]), 17);
        }
        let frame = ethernet(0x0800, &ipv4(17, &datagram));
        assert_eq!(middle.pass(&frame), Some(translated(&frame, CLIENT)));
    }
    let answer = ethernet(0x0800, &ipv4(17, &udp(PORTS[1], PORTS[0], b"answer")));
    let answer = with_ends(&answer, ORIGINAL[1], ORIGINAL[0]);
    assert_eq!(middle.pass(&translated(&answer, SERVER)), Some(answer));

    let echo = |kind: u8, id: u16| {
        let mut echo = join(&[&[kind, 0, 0, 0], &id.to_be_bytes(), &[0, 1], b"ping"]);
        let sum = !super::edits::words(&echo, 0);
        echo[2..4].copy_from_slice(&sum.to_be_bytes());
        echo
    };
    let ip = |source: [u8; 4], destination: [u8; 4], payload: &[u8]| {
        let mut packet = ipv4(1, payload);
        packet[12..20].copy_from_slice(&join(&[&source, &destination]));
        packet[10..12].fill(0);
        let sum = !super::edits::words(&packet[..20], 0);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        ethernet(0x0800, &packet)
    };
    let request = ip(ADDRESSES[0], ADDRESSES[1], &echo(8, 77));
    assert_eq!(
        middle.pass(&request),
        Some(ip(NAT, BACKEND, &echo(8, 40_000)))
    );
    let reply = ip(BACKEND, NAT, &echo(0, 40_000));
    assert_eq!(
        middle.pass(&reply),
        Some(ip(ADDRESSES[1], ADDRESSES[0], &echo(0, 77)))
    );
}

#[test]
fn a_packet_in_fragments_of_a_translated_flow_is_dropped() {
    let (act, _) = nat(|_| both(40_000));
    let mut middle = Middle::new(vec![act]);
    let datagram = udp(PORTS[0], PORTS[1], &[7; 64]);
    let frame = ethernet(0x0800, &ipv4(17, &datagram));
    assert!(middle.pass(&frame).is_some());
    let first = ethernet(0x0800, &ipv4_with(17, 0x2000, &[], &datagram[..32]));
    let second = ethernet(0x0800, &ipv4_with(17, 4, &[], &datagram[32..]));
    middle.absorb(&first);
    assert_eq!(middle.pass_whole(&second), None);
    assert_eq!(middle.shard.counters().untranslated, 1);
}

#[test]
fn a_datagram_whose_fragments_were_held_is_translated() {
    let (act, _) = nat(|_| both(40_000));
    let mut middle = Middle::new(vec![act]).holding();
    let datagram = udp(PORTS[0], PORTS[1], &[7; 64]);
    let whole = ethernet(0x0800, &ipv4(17, &datagram));
    let first = ethernet(0x0800, &ipv4_with(17, 0x2000, &[], &datagram[..32]));
    let second = ethernet(0x0800, &ipv4_with(17, 4, &[], &datagram[32..]));
    // The first packet of the flow, and another one.
    for _ in 0..2 {
        middle.absorb(&first);
        assert_eq!(middle.pass_whole(&second), Some(translated(&whole, CLIENT)));
    }
    assert_eq!(middle.shard.counters().untranslated, 0);
}

/// A segment in fragments may be overwritten where lengths stay, and not at all in flows where they may change.
#[test]
fn a_segment_whose_fragments_were_held_keeps_its_length() {
    for edits in [false, true] {
        let act: Act = Box::new(move |flow, packet, hook| {
            if hook == Hook::Send && !packet.payload().is_empty() {
                let done = flow
                    .edit()
                    .and_then(|mut edit| edit.overwrite_payload(0, b"J"));
                let grown = flow.insert_payload(0, b"more");
                let expected = if edits {
                    [Err(EditError::Fragmented), Err(EditError::Layout)]
                } else {
                    [Ok(()), Err(EditError::NotEdited)]
                };
                assert_eq!([done, grown], expected);
            }
            Verdict::Forward
        });
        let config = ShardConfig::default();
        let middle = match edits {
            true => Middle::editing(config, vec![act]),
            false => Middle::with(config, vec![act]),
        };
        let mut middle = middle.holding();
        let [isn, other] = ISNS;
        middle.pass(&tcp4(CLIENT, TcpFlags::SYN, (isn, 0), b""));
        let both = TcpFlags::SYN | TcpFlags::ACK;
        middle.pass(&tcp4(SERVER, both, (other, isn + 1), b""));
        middle.pass(&tcp4(CLIENT, TcpFlags::ACK, (isn + 1, other + 1), b""));
        let numbers = (isn + 1, other + 1);
        let segment = tcp4(CLIENT, TcpFlags::ACK, numbers, b"hello, world").split_off(34);
        let first = ethernet(0x0800, &ipv4_with(6, 0x2000, &[], &segment[..24]));
        let second = ethernet(0x0800, &ipv4_with(6, 3, &[], &segment[24..]));
        middle.absorb(&first);
        let left = middle.pass_whole(&second).unwrap();
        assert_eq!(left.ends_with(b"Jello, world"), !edits);
    }
}

proptest! {
    /// Any number of flows: whatever comes back finds its flow, and every packet leaves with the ends of its flow.
    #[test]
    fn each_flow_keeps_its_ends(script in proptest::collection::vec((0..20_u16, any::<bool>()), 1..200)) {
        let act: Act = Box::new(|flow, packet, hook| {
            if hook == Hook::Send && packet.sender == CLIENT && flow.translation().is_none() {
                let port = flow.endpoint(CLIENT).port + 20_000;
                flow.translate(both(port)).unwrap();
            }
            Verdict::Forward
        });
        let mut middle = Middle::new(vec![act]);
        let mut begun = std::collections::BTreeSet::new();
        for (flow, reply) in script {
            let port = 100 + flow;
            let plain = ethernet(0x0800, &ipv4(17, &udp(1, 2, b"x")));
            let own = [(ADDRESSES[0], port), ORIGINAL[1]];
            let seen = [(NAT, port + 20_000), SEEN[1]];
            if reply && begun.contains(&flow) {
                let comes = with_ends(&plain, seen[1], seen[0]);
                prop_assert_eq!(middle.pass(&comes), Some(with_ends(&plain, own[1], own[0])));
            } else if !reply {
                begun.insert(flow);
                let comes = with_ends(&plain, own[0], own[1]);
                prop_assert_eq!(middle.pass(&comes), Some(with_ends(&plain, seen[0], seen[1])));
            }
            prop_assert_eq!(middle.shard.flows(), begun.len());
        }
    }
}
