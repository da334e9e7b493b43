//! From capture file to capture file.

use mosaic_dpdk::MbufBatch;
use mosaic_port::{Batch, Port, Received};

use crate::support::{
    all, burst, bytes, device, in_use, inline, port, read_capture, tap, write_capture,
};

#[test]
fn every_frame_arrives_in_order_and_unchanged() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let frames: Vec<Vec<u8>> = (0..1000)
        .map(|number| bytes(number, 60 + number % 1400))
        .collect();
    write_capture(&path("in"), &frames);
    write_capture(&path("empty"), &[]);
    let a = device(
        &format!(
            "net_pcap40,rx_pcap={},tx_pcap={}",
            path("in").display(),
            path("back").display()
        ),
        1,
    );
    let b = device(
        &format!(
            "net_pcap41,rx_pcap={},tx_pcap={}",
            path("empty").display(),
            path("out").display()
        ),
        1,
    );
    let mut port = port(&[inline(&a, &b)]);
    let mut batch = MbufBatch::default();
    let mut sent = 0;
    while port.rx_burst(&mut batch).ok() == Some(Received::Frames) {
        let forward = all(&batch);
        sent += port.tx_burst(&mut batch, forward).frames;
    }
    assert_eq!((sent, in_use(&a), in_use(&b)), (1000, 0, 0));
    assert_eq!((a.stats().rx_packets, b.stats().tx_packets), (1000, 1000));
    let total: usize = frames.iter().map(Vec::len).sum();
    assert_eq!(a.stats().rx_bytes, total as u64);
    assert_eq!(b.stats().tx_bytes, total as u64);
    drop((port, batch, a, b));
    assert!(
        read_capture(&path("out")) == frames,
        "the file that was sent is another"
    );
    assert!(read_capture(&path("back")).is_empty());
}

#[test]
fn each_file_is_a_queue_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut devargs = "net_pcap42".to_owned();
    for number in 0..2 {
        let path = folder.path().join(format!("{number}"));
        write_capture(&path, &[bytes(number, 80)]);
        devargs += &format!(",rx_pcap={}", path.display());
    }
    let device = device(&devargs, 2);
    assert_eq!(device.queues(), 2);
    let factories = mosaic_dpdk::factories(&[tap(&device)], 3);
    assert_eq!(
        factories.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, true, false]
    );
    for (number, factory) in factories.into_iter().flatten().enumerate() {
        let mut port = mosaic_port::PortFactory::open(factory).expect("a port");
        assert_eq!(burst(&mut port).frame(0).bytes, bytes(number, 80));
    }
}

#[test]
fn what_the_device_says_about_frames_is_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("in");
    write_capture(&path, &[bytes(0, 80), bytes(1, 80), bytes(2, 80)]);
    let device = device(&format!("net_pcap43,rx_pcap={}", path.display()), 1);
    let mut port = port(&[tap(&device)]);
    let mut batch = burst(&mut port);
    let mut other = MbufBatch::default();
    batch.hand_over(&[1], &mut other);
    let times: Vec<Option<u64>> = batch.facts().iter().map(|facts| facts.timestamp).collect();
    // The driver counts microseconds.
    assert_eq!(times, [Some(1_000_000), None, Some(3_000_000)]);
    assert_eq!(other.facts()[0].timestamp, Some(2_000_000));
    assert_eq!(other.facts()[0].rss_hash, None);
}
