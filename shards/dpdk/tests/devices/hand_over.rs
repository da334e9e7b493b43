//! Who owns a frame.

use std::thread;

use mosaic_dpdk::MbufBatch;
use mosaic_port::{Batch, Port, Timestamp};

use crate::support::{burst, bytes, device, in_use, inline, port, tap, write_capture};

#[test]
fn frames_given_away_are_neither_sent_nor_freed_here() {
    let (a, b) = (device("net_null50,size=60", 1), device("net_null51", 1));
    let mut port = port(&[inline(&a, &b)]);
    let mut batch = burst(&mut port);
    batch.stamp(Timestamp::from_nanos(9));
    let (mut first, mut second) = (MbufBatch::default(), MbufBatch::default());
    batch.hand_over(&[0, 5, 63], &mut first);
    batch.hand_over(&[7], &mut second);
    assert_eq!((batch.len(), first.len(), second.len()), (64, 3, 1));
    assert_eq!(
        (first.frame(2).timestamp, first.frame(2).interface),
        (Timestamp::from_nanos(9), 0)
    );
    assert!(batch.frame(5).bytes.is_empty(), "it is another's now");
    assert_eq!(first.frame(1).bytes.len(), 60);
    // All bits: those of frames given away have no effect.
    assert_eq!(port.tx_burst(&mut batch, u64::MAX).frames, 60);
    assert_eq!(in_use(&a), 4);
    assert_eq!(port.tx_burst(&mut first, 0b101).frames, 2);
    assert_eq!(in_use(&a), 1);
    second.clear();
    assert_eq!((in_use(&a), b.stats().tx_packets), (0, 62));
}

#[test]
fn a_pick_given_twice_has_one_owner() {
    let null = device("net_null52,size=60", 1);
    let mut port = port(&[tap(&null)]);
    let mut batch = burst(&mut port);
    let mut other = MbufBatch::default();
    batch.hand_over(&[3, 3], &mut other);
    assert_eq!(
        (other.frame(0).bytes.len(), other.frame(1).bytes.len()),
        (60, 0)
    );
    drop(other);
    assert_eq!(in_use(&null), 63);
    drop(batch);
    assert_eq!(in_use(&null), 0);
}

#[test]
fn nothing_handed_over_leaves_everything_where_it_is() {
    let null = device("net_null53", 1);
    let mut port = port(&[tap(&null)]);
    let mut batch = burst(&mut port);
    let mut other = MbufBatch::default();
    batch.hand_over(&[], &mut other);
    assert!(other.is_empty());
    batch.clear();
    batch.hand_over(&[], &mut other);
    assert_eq!(in_use(&null), 0);
}

#[test]
fn another_thread_may_free_what_it_got() {
    let null = device("net_null54,size=60", 1);
    let mut port = port(&[tap(&null)]);
    for round in 0..200 {
        let mut batch = burst(&mut port);
        let mut other = MbufBatch::default();
        batch.hand_over(&[1, 2, 3], &mut other);
        let freed = thread::spawn(move || {
            assert_eq!(other.frame(2).bytes.len(), 60);
            match round % 2 {
                0 => other.clear(),
                _ => drop(other),
            }
        });
        batch.clear();
        freed.join().expect("the thread ends well");
    }
    assert_eq!(in_use(&null), 0);
}

#[test]
fn frames_outlive_their_port_and_their_device() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("in");
    write_capture(&path, &[bytes(1, 500)]);
    let device = device(&format!("net_pcap55,rx_pcap={}", path.display()), 1);
    let batch = {
        let mut port = port(&[tap(&device)]);
        burst(&mut port)
    };
    drop(device);
    assert_eq!(batch.frame(0).bytes, bytes(1, 500));
    thread::spawn(move || drop(batch))
        .join()
        .expect("the device is closed by the last of its frames, wherever that is");
}

#[test]
#[should_panic(expected = "picks are frames of the batch")]
fn a_pick_that_is_no_frame_is_refused() {
    let null = device("net_null56", 1);
    let mut port = port(&[tap(&null)]);
    let mut batch = burst(&mut port);
    batch.hand_over(&[64], &mut MbufBatch::default());
}
