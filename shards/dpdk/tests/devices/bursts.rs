//! Receiving and sending.

use mosaic_port::{BURST_MAX, Batch, LinkType, Port, Received, Timestamp};

use crate::support::{all, burst, device, inline, port, tap};

#[test]
fn a_burst_is_received_read_and_given_back() {
    let null = device("net_null10,size=60", 1);
    let before = null.mbufs().in_use;
    let mut port = port(&[tap(&null)]);
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
    assert_eq!(null.mbufs().in_use, before + 64);
    batch.clear();
    assert_eq!((batch.len(), null.mbufs().in_use), (0, before));
}

#[test]
fn what_is_sent_into_a_ring_comes_back() {
    let null = device("net_null11,size=99", 1);
    let ring = device("net_ring11", 1);
    let mut port = port(&[inline(&null, &ring)]);
    let mut batch = burst(&mut port);
    assert_eq!(batch.frame(0).interface, 0);
    let sent = port.tx_burst(&mut batch, 0b1011);
    assert_eq!((sent.frames, sent.bytes, sent.no_room), (3, 297, 0));
    assert!(batch.is_empty());
    assert_eq!(port.rx_burst(&mut batch).unwrap(), Received::Frames);
    assert_eq!((batch.len(), batch.frame(2).interface), (3, 1));
    assert_eq!(batch.frame(2).bytes.len(), 99);
    let forward = all(&batch);
    assert_eq!(port.tx_burst(&mut batch, forward).frames, 3);
    assert_eq!(null.mbufs().in_use, 0);
}
