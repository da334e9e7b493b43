//! Facts of the last packets, and round trips.

use core::time::Duration;
use std::vec::Vec;

use super::edits::tcp4;
use super::errno::Ask;
use super::fixture::{Bench, CLIENT, SERVER, Seen, letters};
use super::raw_edits::{Early, open};
use crate::actor::{FlowContext, LastPacket, LastSegment, RoundTrip};
use crate::event::{Hook, Side};
use crate::flow::Proto;
use crate::shard::ShardConfig;
use crate::wire::{Packet, TcpFlags, Transport};

/// A shard with an actor that sees packets, of flows that are tracked, or not.
fn bench(tracked: bool) -> Bench {
    let mut bench = Bench::without_actors(ShardConfig::default());
    bench.host.0.push(Seen::default());
    let mut start = bench.start(0);
    let monitor = start.monitor_stream(None).packets(Hook::Receive);
    let monitor = if tracked { monitor.track() } else { monitor };
    monitor.open().unwrap();
    bench
}

/// One segment, `after_ms` after the one before; what `ask` gives is that of the callback at `Receive`.
fn step<T>(
    bench: &mut Bench,
    after_ms: u64,
    change: impl Fn(&mut Packet, &mut Vec<u8>),
    (from, flags, seq, ack, text): (Side, &str, u32, u32, &str),
    mut ask: impl FnMut(&mut FlowContext<'_>) -> T,
) -> T {
    bench.now_ms += after_ms;
    let (mut packet, mut bytes) = bench.segment(from, letters(flags), seq, ack, text.as_bytes());
    change(&mut packet, &mut bytes);
    let mut answer = None;
    let mut host = Ask(|flow: &mut FlowContext<'_>| answer = Some(ask(flow)));
    let layers = [Default::default()];
    bench
        .shard
        .handle_burst(&[packet], &[&bytes], &layers, &mut host);
    answer.expect("the packet is shown")
}

fn as_it_is(_: &mut Packet, _: &mut Vec<u8>) {}

fn both_rtts(flow: &mut FlowContext<'_>) -> [Option<RoundTrip>; 2] {
    Side::BOTH.map(|side| flow.rtt(side))
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn the_handshake_shows_both_round_trips_of_any_flow() {
    for tracked in [false, true] {
        let mut bench = bench(tracked);
        let rtts = step(&mut bench, 0, as_it_is, (CLIENT, "S", 0, 0, ""), both_rtts);
        assert_eq!(rtts, [None; 2]);
        let rtts = step(
            &mut bench,
            30,
            as_it_is,
            (SERVER, "SA", 0, 1, ""),
            both_rtts,
        );
        assert_eq!(rtts[1].unwrap().smoothed, ms(30));
        assert_eq!(rtts[0], None);
        let rtts = step(&mut bench, 7, as_it_is, (CLIENT, "A", 1, 1, ""), both_rtts);
        let once = RoundTrip {
            smoothed: ms(7),
            variation: ms(7) / 2,
            min: ms(7),
            latest: ms(7),
            samples: 1,
        };
        assert_eq!((rtts[0], rtts[1].unwrap().latest), (Some(once), ms(30)));
        // What comes later changes it for tracked flows only.
        step(
            &mut bench,
            100,
            as_it_is,
            (CLIENT, "A", 1, 1, "data"),
            |_| (),
        );
        let rtts = step(&mut bench, 50, as_it_is, (SERVER, "A", 1, 5, ""), both_rtts);
        assert_eq!(rtts[0], Some(once));
        let expected = if tracked { (ms(50), 2) } else { (ms(30), 1) };
        let to_server = rtts[1].unwrap();
        assert_eq!((to_server.latest, to_server.samples), expected);
        assert_eq!(to_server.min, ms(30));
        bench.host.0[0].removed.clear();
        bench.finish();
        assert_eq!(bench.removed().round_trips, [Some(ms(7)), Some(ms(30))]);
    }
}

#[test]
fn a_handshake_of_which_a_part_was_sent_twice_shows_nothing_more() {
    let mut bench = bench(false);
    step(&mut bench, 0, as_it_is, (CLIENT, "S", 0, 0, ""), |_| ());
    step(&mut bench, 1000, as_it_is, (CLIENT, "S", 0, 0, ""), |_| ());
    step(&mut bench, 5, as_it_is, (SERVER, "SA", 0, 1, ""), |_| ());
    let rtts = step(&mut bench, 5, as_it_is, (CLIENT, "A", 1, 1, ""), both_rtts);
    assert_eq!(rtts, [None; 2], "which SYN was answered?");

    bench.port += 1;
    step(&mut bench, 0, as_it_is, (CLIENT, "S", 0, 0, ""), |_| ());
    step(&mut bench, 5, as_it_is, (SERVER, "SA", 0, 1, ""), |_| ());
    step(&mut bench, 1000, as_it_is, (SERVER, "SA", 0, 1, ""), |_| ());
    let rtts = step(&mut bench, 5, as_it_is, (CLIENT, "A", 1, 1, ""), both_rtts);
    assert_eq!(rtts[1].unwrap().latest, ms(5));
    assert_eq!(rtts[0], None, "which SYN/ACK was answered?");
}

#[test]
fn repeated_bytes_are_not_timed() {
    let mut bench = bench(true);
    let client = |bench: &mut Bench, after, seq, text| {
        step(bench, after, as_it_is, (CLIENT, "A", seq, 1, text), |_| ());
    };
    let server = |bench: &mut Bench, after, ack| {
        step(bench, after, as_it_is, (SERVER, "A", 1, ack, ""), |flow| {
            flow.rtt(SERVER).map_or(0, |rtt| rtt.samples)
        })
    };
    // A keep-alive probe with a byte, before anything was sent.
    client(&mut bench, 0, 1, "");
    assert_eq!(server(&mut bench, 0, 1), 0);
    client(&mut bench, 50, 0, "?");
    assert_eq!(server(&mut bench, 1, 1), 0);
    client(&mut bench, 0, 1, "ab");
    // Sent again: an acknowledgment may be of either.
    client(&mut bench, 200, 1, "ab");
    assert_eq!(server(&mut bench, 1, 3), 0);
    // While some is timed, what follows is not; the acknowledgment of a part is none.
    client(&mut bench, 0, 3, "cdef");
    client(&mut bench, 5, 7, "gh");
    assert_eq!(server(&mut bench, 5, 5), 0);
    assert_eq!(server(&mut bench, 5, 9), 1);
    // A hole is filled: what was timed behind it had to wait for that.
    client(&mut bench, 0, 11, "kl");
    client(&mut bench, 300, 9, "ij");
    assert_eq!(server(&mut bench, 1, 13), 1);
    // A reset acknowledges nothing.
    client(&mut bench, 0, 13, "m");
    let samples = step(&mut bench, 1, as_it_is, (SERVER, "RA", 1, 14, ""), |flow| {
        flow.rtt(SERVER).unwrap().samples
    });
    assert_eq!(samples, 1);
}

#[test]
fn the_last_packet_of_each_side_is_known_where_asked() {
    let mut bench = bench(true);
    let scaled = |packet: &mut Packet, bytes: &mut Vec<u8>| {
        bytes[22] = 63;
        bytes.splice(54..54, [1, 3, 3, 4]);
        packet.payload_at += 4;
        if let Transport::Tcp { options_len, .. } = &mut packet.transport {
            *options_len = 4;
        }
    };
    let lasts = |flow: &mut FlowContext<'_>| Side::BOTH.map(|side| flow.last_packet(side));
    let [client, server] = step(&mut bench, 0, scaled, (CLIENT, "S", 0, 0, ""), lasts);
    let syn = LastSegment {
        seq: 1000,
        ack: None,
        window: 1000,
        flags: TcpFlags::SYN,
    };
    let client = client.unwrap();
    assert_eq!(
        (client.ttl, client.payload_len, client.segment),
        (63, 0, Some(syn))
    );
    assert_eq!(server, None);
    step(&mut bench, 0, scaled, (SERVER, "SA", 0, 1, ""), lasts);
    step(&mut bench, 0, as_it_is, (CLIENT, "A", 1, 1, ""), lasts);
    let low = |_: &mut Packet, bytes: &mut Vec<u8>| bytes[22] = 5;
    let [client, server] = step(&mut bench, 9, low, (CLIENT, "AP", 1, 1, "data"), lasts);
    let data = LastSegment {
        seq: 1001,
        ack: Some(5001),
        window: 16_000,
        flags: letters("AP"),
    };
    let expected = LastPacket {
        time: mosaic_port::Timestamp::from_nanos(bench.now_ms * 1_000_000),
        ttl: 5,
        payload_len: 4,
        segment: Some(data),
    };
    assert_eq!(client, Some(expected));
    assert_eq!(server.unwrap().segment.unwrap().flags, letters("SA"));

    let mut untracked = super::track::bench(false);
    let lasts = step(&mut untracked, 0, as_it_is, (CLIENT, "S", 0, 0, ""), lasts);
    assert_eq!(lasts, [None; 2]);
}

#[test]
fn what_is_known_of_a_flow_goes_with_it() {
    let mut bench = bench(true);
    step(&mut bench, 0, as_it_is, (CLIENT, "A", 1, 1, "data"), |_| ());
    let known = step(&mut bench, 3, as_it_is, (SERVER, "A", 1, 5, ""), |flow| {
        (flow.index(), flow.rtt(SERVER).is_some())
    });
    bench.host.0[0].removed.clear();
    bench.finish();
    bench.port += 1;
    let again = step(&mut bench, 0, as_it_is, (SERVER, "A", 1, 1, ""), |flow| {
        (
            flow.index(),
            flow.rtt(SERVER).is_some(),
            flow.last_packet(SERVER),
        )
    });
    assert_eq!((known.0, again.0, known.1, again.1), (0, 0, true, false));
    assert_eq!(again.2, None, "the first to send counts as the client");
}

#[test]
fn datagrams_have_a_last_packet_without_a_segment() {
    let mut bench = bench(true);
    let datagram = |packet: &mut Packet, bytes: &mut Vec<u8>| {
        let (key, direction) = crate::flow::FlowKey::v4(1, 2, 3, 4, Proto::UDP, 0);
        (packet.key, packet.direction) = (key, direction);
        packet.transport = Transport::Other;
        bytes[22] = 64;
    };
    let last = step(&mut bench, 0, datagram, (CLIENT, "", 0, 0, "hi"), |flow| {
        flow.last_packet(CLIENT).unwrap()
    });
    assert_eq!((last.ttl, last.payload_len, last.segment), (64, 2, None));
}

#[test]
fn what_is_known_of_the_sides_turns_with_them() {
    let mut bench = bench(true);
    // The server's acknowledgment comes first, so that it is taken for the client.
    let senders = |flow: &mut FlowContext<'_>| {
        Side::BOTH.map(|side| {
            let last = flow.last_packet(side)?;
            let port = flow.endpoint(side).port;
            Some((port, last.segment?.flags))
        })
    };
    let seen = step(&mut bench, 0, as_it_is, (SERVER, "A", 9, 1, ""), senders);
    assert_eq!(seen, [Some((80, letters("A"))), None]);
    let seen = step(&mut bench, 0, as_it_is, (CLIENT, "S", 0, 0, ""), senders);
    assert_eq!(
        seen,
        [Some((40_000, letters("S"))), Some((80, letters("A")))]
    );
}

/// Such a segment is told of when the flow ends, in a burst without packets.
#[test]
fn segments_of_edited_flows_that_wait_to_the_end_have_facts() {
    let mut early = Early::with(ShardConfig::default(), Vec::new(), true);
    early.shard.set_inline(false);
    open(&mut early);
    let mut late = tcp4(CLIENT, TcpFlags::ACK, (4, 1), b"late");
    late[22] = 33;
    early.pass(&late);
    let told = |early: &Early, ttl| early.host.log.iter().any(|line| line.contains(ttl));
    assert!(!told(&early, "ttl: 33"));
    early.shard.finish(&mut early.host);
    assert!(told(&early, "ttl: 33"), "{:?}", early.host.log);
}
