//! Receiving and sending.

use mosaic_dpdk::MbufBatch;
use mosaic_port::{BURST_MAX, Batch, LinkType, Port, PortFactory, Received, Sent, Timestamp};

use crate::support::{all, burst, device, in_use, inline, port, tap};

#[test]
fn a_burst_is_received_read_and_given_back() {
    let null = device("net_null10,size=60", 1);
    let mut port = port(&[tap(&null)]);
    assert!(!port.is_inline() && !port.is_lossless());
    let mut batch = burst(&mut port);
    assert_eq!(batch.len(), BURST_MAX);
    batch.stamp(Timestamp::from_nanos(7));
    for index in 0..batch.len() {
        let frame = batch.frame(index);
        assert_eq!((frame.bytes.len(), frame.wire_len), (60, 60));
        assert_eq!(
            (frame.timestamp, frame.link),
            (Timestamp::from_nanos(7), LinkType::ETHERNET)
        );
    }
    assert_eq!(in_use(&null), 64);
    batch.clear();
    assert_eq!((batch.len(), in_use(&null)), (0, 0));
}

#[test]
fn what_is_sent_into_a_ring_comes_back() {
    let null = device("net_null11,size=99", 1);
    let ring = device("net_ring11", 1);
    let mut port = port(&[inline(&null, &ring)]);
    assert!(port.is_inline());
    let mut batch = burst(&mut port);
    assert_eq!(batch.frame(0).interface, 0);
    let sent = port.tx_burst(&mut batch, 0b1011);
    let expected = Sent {
        frames: 3,
        bytes: 3 * 99,
        no_room: 0,
    };
    assert_eq!((sent, batch.len()), (expected, 0));
    assert_eq!(in_use(&null), 3, "those in the ring");
    assert_eq!(port.rx_burst(&mut batch).ok(), Some(Received::Frames));
    assert_eq!((batch.len(), batch.frame(2).interface), (3, 1));
    assert_eq!(batch.frame(2).bytes.len(), 99);
    let forward = all(&batch);
    assert_eq!(port.tx_burst(&mut batch, forward), expected);
    assert_eq!(in_use(&null), 0);
}

#[test]
fn devices_are_asked_in_turn() {
    let devices = [12, 13, 14].map(|number| device(&format!("net_null{number}"), 1));
    let mut port = port(&[inline(&devices[0], &devices[1]), tap(&devices[2])]);
    let interfaces: Vec<u32> = (0..6)
        .map(|_| burst(&mut port).frame(0).interface)
        .collect();
    assert_eq!(interfaces, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn a_tap_never_sends() {
    let null = device("net_null15", 1);
    let mut port = port(&[tap(&null)]);
    let mut batch = burst(&mut port);
    assert_eq!(port.tx_burst(&mut batch, u64::MAX), Sent::default());
    assert_eq!((batch.len(), in_use(&null)), (0, 0));
    assert_eq!(null.stats().tx_packets, 0);
}

#[test]
fn a_full_ring_is_counted_and_nothing_leaks() {
    // Two queues against one: what comes in is twice what can leave, and the ring fills up.
    let null = device("net_null16,size=60", 2);
    let ring = device("net_ring16", 1);
    let mut port = port(&[inline(&null, &ring)]);
    let (mut into_ring, mut out_of_ring) = (Sent::default(), Sent::default());
    let mut batch = MbufBatch::default();
    for round in 0..300 {
        assert_eq!(port.rx_burst(&mut batch).ok(), Some(Received::Frames));
        let total = match batch.frame(0).interface {
            0 => &mut into_ring,
            _ => &mut out_of_ring,
        };
        // Whole bursts, and parts of them.
        let (forward, left_out) = if round % 2 == 0 {
            (u64::MAX, 0)
        } else {
            (!0b1010, 2)
        };
        let asked = batch.len() as u64 - left_out;
        let sent = port.tx_burst(&mut batch, forward);
        assert_eq!(sent.frames + sent.no_room, asked);
        assert_eq!(sent.bytes, sent.frames * 60);
        total.frames += sent.frames;
        total.no_room += sent.no_room;
    }
    assert!(into_ring.no_room > 1000, "{into_ring:?}");
    assert_eq!(out_of_ring.no_room, 0);
    assert_eq!(ring.stats().tx_packets, into_ring.frames);
    // What is still in the ring is all that is missing.
    let in_ring = into_ring.frames - ring.stats().rx_packets;
    assert!(in_ring > 900, "a ring holds a thousand frames: {in_ring}");
    assert_eq!(u64::from(in_use(&null)), in_ring);
    drop(ring);
    drop(port);
}

#[test]
fn queues_beyond_those_of_the_wire_are_received_from_as_well() {
    let (many, one) = (device("net_null17", 3), device("net_null18", 1));
    let mut port = port(&[inline(&many, &one)]);
    let interfaces: Vec<u32> = (0..8)
        .map(|_| burst(&mut port).frame(0).interface)
        .collect();
    assert_eq!(interfaces, [0, 0, 0, 1, 0, 0, 0, 1]);
}

#[test]
fn a_batch_of_another_port_is_not_sent() {
    let [a, b] = ["net_null19", "net_null20"].map(|name| device(name, 1));
    let [c, d] = ["net_null21", "net_null22"].map(|name| device(name, 1));
    let (mut first, mut second) = (port(&[inline(&a, &b)]), port(&[inline(&c, &d)]));
    let mut batch = burst(&mut first);
    let sent = second.tx_burst(&mut batch, 0b111);
    assert_eq!((sent.frames, sent.no_room), (0, 3));
    assert_eq!((batch.len(), in_use(&a)), (0, 0));
    assert_eq!(d.stats().tx_packets, 0);
}

#[test]
fn a_smaller_burst_can_be_asked_for() {
    let null = device("net_null23", 1);
    let factory = mosaic_dpdk::factories(&[tap(&null)], 1).remove(0);
    let mut port = factory
        .expect("a factory")
        .burst_max(5)
        .open()
        .expect("a port");
    assert_eq!(burst(&mut port).len(), 5);
}
