//! Frames that lie in several packet buffers: capture files with frames larger than one.

use mosaic_dpdk::MbufBatch;
use mosaic_port::{Batch, Port, Received};

use crate::support::{all, burst, bytes, from_file, in_use, inline, port, read_capture, tap};

/// Long and short frames.
fn frames() -> Vec<Vec<u8>> {
    let lens = [60, 9000, 2049, 1500, 5000];
    lens.iter()
        .enumerate()
        .map(|(number, len)| bytes(number, *len))
        .collect()
}

fn contents(batch: &MbufBatch) -> Vec<Vec<u8>> {
    (0..batch.len())
        .map(|index| batch.frame(index).bytes.to_vec())
        .collect()
}

#[test]
fn their_bytes_are_shown_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let device = from_file(30, &folder, &frames());
    let mut port = port(&[tap(&device)]);
    let mut batch = burst(&mut port);
    assert_eq!(contents(&batch), frames());
    assert_eq!(batch.frame(1).wire_len, 9000);
    assert!(in_use(&device) > 5, "several buffers a frame");
    batch.clear();
    assert_eq!(in_use(&device), 0);
}

#[test]
fn the_original_is_what_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = from_file(31, &folder, &frames());
    let b = from_file(32, &folder, &[]);
    let mut port = port(&[inline(&a, &b)]);
    let mut batch = burst(&mut port);
    let sent = port.tx_burst(&mut batch, 0b11011);
    assert_eq!((sent.frames, sent.no_room), (4, 0));
    assert_eq!(sent.bytes, 60 + 9000 + 1500 + 5000);
    assert_eq!((in_use(&a), in_use(&b)), (0, 0));
    drop((port, batch, a, b));
    let mut expected = frames();
    expected.remove(2);
    assert_eq!(read_capture(&folder.path().join("out32.pcap")), expected);
}

#[test]
fn they_can_be_handed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = from_file(33, &folder, &frames());
    let b = from_file(34, &folder, &[]);
    let mut port = port(&[inline(&a, &b)]);
    let mut batch = burst(&mut port);
    let mut other = MbufBatch::default();
    batch.hand_over(&[1, 3, 4], &mut other);
    let expected = frames();
    assert_eq!(contents(&other), [1, 3, 4].map(|at| expected[at].clone()));
    assert_eq!(batch.frame(2).bytes, expected[2]);
    batch.clear();
    let forward = all(&other);
    assert_eq!(port.tx_burst(&mut other, forward).frames, 3);
    assert_eq!(in_use(&a), 0);
    drop((port, batch, other, a, b));
    let sent = read_capture(&folder.path().join("out34.pcap"));
    assert_eq!(sent, [1, 3, 4].map(|at| expected[at].clone()));
}

#[test]
fn each_burst_has_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut many = frames();
    many.extend((0..150).map(|number| bytes(number, 100)));
    // At the place that another has in the burst before; the third burst has none.
    many[64 + 1] = bytes(9, 8000);
    let device = from_file(35, &folder, &many);
    let mut port = port(&[tap(&device)]);
    let mut batch = MbufBatch::default();
    let mut seen = Vec::new();
    while port.rx_burst(&mut batch).ok() == Some(Received::Frames) {
        seen.extend(contents(&batch));
        batch.clear();
    }
    assert!(seen == many, "other frames than in the file");
    assert_eq!(in_use(&device), 0);
}
