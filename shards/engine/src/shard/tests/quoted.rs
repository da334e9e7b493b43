//! ICMP errors about translated flows: whom they reach, what they quote, and their checksums, against errors made anew.

use core::net::IpAddr;
use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::edits::{Act, Middle, reseal_ip, words};
use super::fixture::{CLIENT, SERVER};
use crate::actor::{Hardware, Translation};
use crate::event::{Hook, Side, Verdict};
use crate::flow::Endpoint;
use crate::wire::testing::{ethernet, ipv4_with, join, seal};

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    }
}

fn at(addr: &str, port: u16) -> Endpoint {
    let addr = addr.parse().unwrap();
    Endpoint { addr, port }
}

/// Client and server, as the client and as the server know them, and a router on either side.
#[derive(Clone, Copy)]
struct World {
    original: [Endpoint; 2],
    seen: [Endpoint; 2],
    routers: [Endpoint; 2],
}

const V4: fn() -> World = || World {
    original: [at("192.0.2.1", 4000), at("198.51.100.2", 80)],
    seen: [at("203.0.113.9", 40_000), at("10.9.8.7", 8080)],
    routers: [at("192.0.2.77", 0), at("100.64.0.77", 0)],
};
const V6: fn() -> World = || World {
    original: [at("2001:db8::1", 4000), at("2001:db8::2", 80)],
    seen: [at("2001:db8:1::9", 40_000), at("fd00::7", 8080)],
    routers: [at("2001:db8::77", 0), at("fd00::77", 0)],
};

impl World {
    /// The ends of what `side` knows.
    fn known(&self, side: Side) -> [Endpoint; 2] {
        [self.original, self.seen][side as usize]
    }

    /// With a server that has its own address.
    fn source_nat(mut self) -> Self {
        self.seen[1] = self.original[1];
        self
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Echoes of either family.
const ECHO: u8 = 1;

fn number(proto: u8, v6: bool) -> u8 {
    if v6 && proto == ECHO { 58 } else { proto }
}

/// An IP packet with right checksums.
fn ip(proto: u8, source: Endpoint, destination: Endpoint, at: usize, payload: &[u8]) -> Vec<u8> {
    let v6 = source.addr.is_ipv6();
    let addresses = join(&[&octets(source.addr), &octets(destination.addr)]);
    let mut payload = payload.to_vec();
    if at != usize::MAX {
        if proto == ECHO && !v6 {
            payload[at..at + 2].fill(0);
            let sum = !words(&payload, 0);
            payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        } else {
            seal(&mut payload, at, &addresses, number(proto, v6));
        }
    }
    if v6 {
        let [high, low] = u16::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [0x60, 0, 0, 0, high, low, number(proto, true), 64];
        return join(&[&head, &addresses, &payload]);
    }
    let mut packet = ipv4_with(proto, 0x4000, &[], &payload);
    packet[12..20].copy_from_slice(&addresses);
    reseal_ip(&mut packet);
    packet
}

/// A packet of a flow between these.
fn packet(proto: u8, from: Side, ends: [Endpoint; 2], payload: &[u8]) -> Vec<u8> {
    let (source, destination) = (ends[from as usize], ends[from.other() as usize]);
    let ports = [source.port.to_be_bytes(), destination.port.to_be_bytes()].concat();
    let v6 = source.addr.is_ipv6();
    let (at, transport) = match proto {
        TCP => {
            let flags = if from == CLIENT { 0x02 } else { 0x12 };
            let rest = [0, 0, 0, 9, 0, 0, 0, 8, 0x50, flags, 0x20, 0, 0, 0, 0, 0];
            (16, join(&[&ports, &rest, payload]))
        }
        UDP => {
            let len = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
            (6, join(&[&ports, &len, &[0, 0], payload]))
        }
        _ => {
            let kinds = if v6 { [128, 129] } else { [8, 0] };
            let id = ends[0].port.to_be_bytes();
            let head = [kinds[from as usize], 0, 0, 0, id[0], id[1], 0, 1];
            (2, join(&[&head, payload]))
        }
    };
    ip(proto, source, destination, at, &transport)
}

/// What an error says besides what it quotes.
#[derive(Clone, Copy, Debug)]
struct Says {
    kind: [u8; 2],
    rest: [u8; 4],
    /// So much is quoted.
    quoted: usize,
    /// Extensions follow (RFC 4884).
    extended: bool,
}

/// An extension structure, whose checksum is its own affair.
const EXTENSION: [u8; 12] = [0x20, 0, 0xab, 0xcd, 0, 8, 1, 1, 0x12, 0x34, 0x56, 0x78];

fn error(says: Says, from: IpAddr, to: IpAddr, quoted: &[u8]) -> Vec<u8> {
    let v6 = from.is_ipv6();
    let mut quoted = quoted[..says.quoted.min(quoted.len())].to_vec();
    let mut rest = says.rest;
    if says.extended {
        quoted.resize(128, 0);
        if v6 {
            rest[0] = 16;
        } else {
            rest[1] = 32;
        }
        quoted.extend(EXTENSION);
    }
    let message = join(&[&says.kind, &[0, 0], &rest, &quoted]);
    let [from, to] = [from, to].map(|addr| Endpoint { addr, port: 0 });
    ip(ECHO, from, to, 2, &message)
}

fn frame(packet: &[u8]) -> Vec<u8> {
    let kind = if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 };
    ethernet(kind, packet)
}

/// A shard that translates every flow so, and has seen a packet of each side of one.
fn translating(world: World, proto: u8, hardware: Hardware) -> Middle {
    let act: Act = Box::new(move |flow, packet, hook| {
        let is_own = flow.endpoint(CLIENT) == world.original[0] && flow.translation().is_none();
        if hook == Hook::Send && packet.sender == CLIENT && is_own {
            let translation = Translation {
                client: Some(world.seen[0]),
                server: Some(world.seen[1]),
                to_client: hardware,
                ..Translation::default()
            };
            flow.translate(translation).unwrap();
        }
        Verdict::Forward
    });
    let mut middle = Middle::new(vec![act]);
    for side in [CLIENT, SERVER] {
        let comes = frame(&packet(proto, side, world.known(side), b"payload"));
        let leaves = frame(&packet(proto, side, world.known(side.other()), b"payload"));
        let left = middle.pass(&comes).unwrap();
        assert_eq!(left[14..], leaves[14..]);
    }
    middle
}

const TOO_BIG: Says = Says {
    kind: [3, 4],
    rest: [0, 0, 0x05, 0x14],
    quoted: 28,
    extended: false,
};

/// Type and code of errors of both families, with what follows.
fn says(v6: bool) -> impl Strategy<Value = Says> {
    let kinds = if v6 {
        vec![
            ([1, 4], [0; 4], true),
            ([2, 0], [0, 0, 5, 0x14], false),
            ([3, 0], [0; 4], true),
            ([4, 1], [0, 0, 0, 40], false),
        ]
    } else {
        vec![
            ([3, 4], [0, 0, 5, 0x14], true),
            ([3, 3], [0; 4], true),
            ([4, 0], [0; 4], false),
            ([11, 0], [0; 4], true),
            ([12, 0], [20, 0, 0, 0], true),
        ]
    };
    let least = if v6 { 48 } else { 28 };
    (
        proptest::sample::select(kinds),
        least..128_usize,
        any::<bool>(),
    )
        .prop_map(|((kind, rest, extensible), quoted, extended)| Says {
            kind,
            rest,
            // With extensions as much as goes in; otherwise anything but half a checksum.
            quoted: if extended && extensible {
                128
            } else {
                quoted & !1
            },
            extended: extended && extensible,
        })
}

fn scene() -> impl Strategy<Value = (World, Says)> {
    any::<(bool, bool)>().prop_flat_map(|(v6, source_only)| {
        let mut world = if v6 { V6() } else { V4() };
        if source_only {
            world = world.source_nat();
        }
        says(v6).prop_map(move |says| (world, says))
    })
}

impl core::fmt::Debug for World {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} {:?}", self.original, self.seen)
    }
}

proptest! {
    /// An error made of the packet as it left becomes the one that would have been made of the packet as it came.
    #[test]
    fn errors_go_back_to_who_sent_what_they_quote(
        (world, says) in scene(),
        proto in proptest::sample::select(vec![TCP, UDP, ECHO]),
        sender in proptest::sample::select(vec![CLIENT, SERVER]),
        by_router in any::<bool>(),
        payload in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut middle = translating(world, proto, Hardware::default());
        let far = sender.other();
        let (here, there) = (world.known(sender), world.known(far));
        let by = if by_router { world.routers[far as usize] } else { there[far as usize] };
        let left = packet(proto, sender, there, &payload);
        let came = packet(proto, sender, here, &payload);
        let comes = error(says, by.addr, there[sender as usize].addr, &left);
        // Behind an address that is translated, nobody else is known.
        let hidden = here[far as usize].addr != there[far as usize].addr;
        let source = if hidden { here[far as usize].addr } else { by.addr };
        let leaves = error(says, source, here[sender as usize].addr, &came);
        prop_assert_eq!(middle.pass(&frame(&comes)), Some(frame(&leaves)));
        let counters = *middle.shard.counters();
        prop_assert_eq!((counters.errors_translated, counters.untranslated), (1, 0));
        prop_assert_eq!((counters.packets, counters.consumed, middle.shard.flows()), (3, 2, 1));
    }

    /// Whatever an ICMP message holds, nothing breaks, and what stands before IP stays.
    #[test]
    fn nonsense_is_survived(
        v6 in any::<bool>(),
        kind in 0..6_u8,
        mut bytes in proptest::collection::vec(any::<u8>(), 0..90),
        damage in proptest::collection::vec((0..90_usize, any::<u8>()), 0..4),
        real in any::<bool>(),
    ) {
        let world = if v6 { V6() } else { V4() };
        let mut middle = translating(world, TCP, Hardware::default());
        if real {
            bytes = packet(TCP, CLIENT, world.seen, b"x");
            for (at, byte) in damage {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
        }
        let says = Says { kind: [kind, 0], rest: [0; 4], quoted: usize::MAX, extended: false };
        let comes = frame(&error(says, world.routers[1].addr, world.seen[0].addr, &bytes));
        let left = middle.pass(&comes);
        prop_assert!(left.is_none_or(|left| left.len() == comes.len() && left[..14] == comes[..14]));
    }
}

#[test]
fn an_error_goes_to_the_next_hop_of_its_receiver() {
    let hardware = Hardware {
        source: None,
        destination: Some([2, 0, 0, 0, 9, 3]),
    };
    let world = V4();
    let mut middle = translating(world, UDP, hardware);
    let left = packet(UDP, CLIENT, world.seen, b"question");
    let comes = error(TOO_BIG, world.routers[1].addr, world.seen[0].addr, &left);
    let passed = middle.pass(&frame(&comes)).unwrap();
    assert_eq!(passed[..6], [2, 0, 0, 0, 9, 3]);
    assert_eq!(passed[6..12], frame(&comes)[6..12]);
}

#[test]
fn a_datagram_without_a_checksum_is_quoted_without_one() {
    let world = V4();
    let mut middle = translating(world, UDP, Hardware::default());
    let unsealed = |ends| {
        let mut packet = packet(UDP, CLIENT, ends, b"question");
        packet[26..28].fill(0);
        packet
    };
    let [from, to] = [world.original[1].addr, world.original[0].addr];
    let comes = error(
        TOO_BIG,
        world.seen[1].addr,
        world.seen[0].addr,
        &unsealed(world.seen),
    );
    let leaves = error(TOO_BIG, from, to, &unsealed(world.original));
    assert_eq!(middle.pass(&frame(&comes)), Some(frame(&leaves)));
}

/// What stands behind the quotation is not of the packet, also where that ends early.
#[test]
fn extensions_stay_what_they_are() {
    let world = V4();
    let mut middle = translating(world, TCP, Hardware::default());
    let says = Says {
        rest: [0, 7, 0x05, 0x14],
        quoted: 40,
        ..TOO_BIG
    };
    let with_extension = |ends| {
        let packet = packet(TCP, CLIENT, ends, b"");
        join(&[&packet[..28], &EXTENSION])
    };
    let [from, to] = [world.original[1].addr, world.original[0].addr];
    let comes = with_extension(world.seen);
    let comes = error(says, world.seen[1].addr, world.seen[0].addr, &comes);
    let leaves = error(says, from, to, &with_extension(world.original));
    assert_eq!(middle.pass(&frame(&comes)), Some(frame(&leaves)));
}

#[test]
fn errors_that_are_not_about_what_has_left_from_here_are_packets_like_others() {
    let world = V4();
    let router = world.routers[1].addr;
    let [inside, outside] = [world.original[0].addr, world.seen[0].addr];
    let left = packet(TCP, CLIENT, world.seen, b"");
    let mut fragment = left.clone();
    fragment[7] = 2;
    let other = {
        let mut ends = world.seen;
        ends[0].port += 1;
        packet(TCP, CLIENT, ends, b"")
    };
    let says = |quoted| Says { quoted, ..TOO_BIG };
    for (name, error) in [
        ("another flow", error(says(28), router, outside, &other)),
        ("to somebody else", error(says(28), router, inside, &left)),
        (
            "a later fragment",
            error(says(28), router, outside, &fragment),
        ),
        ("too little", error(says(23), router, outside, &left)),
        (
            "not sent yet",
            error(
                says(28),
                router,
                world.seen[1].addr,
                &packet(TCP, SERVER, world.seen, b""),
            ),
        ),
        (
            "sent before it came here",
            error(
                says(28),
                router,
                inside,
                &packet(TCP, CLIENT, world.original, b""),
            ),
        ),
    ] {
        let mut middle = translating(world, TCP, Hardware::default());
        assert_eq!(middle.pass(&frame(&error)), Some(frame(&error)), "{name}");
        assert_eq!(middle.shard.flows(), 2, "{name}");
        assert_eq!(middle.shard.counters().errors_translated, 0, "{name}");
    }
}

#[test]
fn redirects_and_errors_about_blocked_flows_do_not_pass() {
    let world = V4();
    let left = packet(TCP, CLIENT, world.seen, b"");
    let says = Says {
        kind: [5, 1],
        ..TOO_BIG
    };
    let redirect = error(says, world.routers[1].addr, world.seen[0].addr, &left);
    let mut middle = translating(world, TCP, Hardware::default());
    assert_eq!(middle.pass(&frame(&redirect)), None);
    assert_eq!(middle.shard.counters().untranslated, 1);
    let too_big = error(TOO_BIG, world.routers[1].addr, world.seen[0].addr, &left);
    middle
        .shard
        .make_special(0, |special| special.blocked = true);
    assert_eq!(middle.pass(&frame(&too_big)), None);
    assert_eq!(middle.shard.counters().untranslated, 1);
}
