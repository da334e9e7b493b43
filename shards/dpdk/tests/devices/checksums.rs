//! Checksums that are left to the device a frame leaves through.

use mosaic_dpdk::{Device, MbufBatch, TxChecksums};
use mosaic_port::{Batch, Headers};

use crate::support::{burst, bytes, device_with, inline, port, write_capture};

const TCP: Headers = Headers {
    link_len: 14,
    ip_len: 20,
    transport_len: 32,
    is_v6: false,
    is_udp: false,
};
const UDP: Headers = Headers {
    link_len: 18,
    ip_len: 40,
    transport_len: 8,
    is_v6: true,
    is_udp: true,
};

/// A burst of three frames on its way to a device of vhost, which can finish checksums, and is told to or not.
fn bound_for_vhost(number: u32, told: bool) -> (tempfile::TempDir, Device, MbufBatch) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("in.pcap");
    write_capture(&file, &[bytes(1, 200), bytes(2, 9000), bytes(3, 100)]);
    let a = device_with(
        &format!("net_pcap{number},rx_pcap={}", file.display()),
        |_| {},
    );
    let socket = folder.path().join("socket");
    let b = device_with(
        &format!("net_vhost{number},iface={}", socket.display()),
        |config| config.checksum_offload = told,
    );
    let batch = burst(&mut port(&[inline(&a, &b)]));
    (folder, b, batch)
}

fn offloaded(batch: &MbufBatch) -> Vec<Option<Headers>> {
    batch.facts().iter().map(|facts| facts.offloaded).collect()
}

#[test]
fn buffers_say_what_is_to_be_finished() {
    let (_folder, device, mut batch) = bound_for_vhost(90, true);
    assert_eq!(
        device.tx_checksums(),
        TxChecksums {
            tcp: true,
            udp: true
        }
    );
    assert_eq!(offloaded(&batch), [None; 3]);
    assert!(batch.offload_checksum(0, TCP));
    assert!(batch.offload_checksum(1, UDP), "in several buffers");
    assert_eq!(offloaded(&batch), [Some(TCP), Some(UDP), None]);
    let before = batch.frame(0).bytes.to_vec();
    assert_eq!(before, bytes(1, 200), "nothing is done in software");

    // They stay so on their way to another shard and back.
    let mut other = MbufBatch::default();
    batch.hand_over(&[1, 2], &mut other);
    assert_eq!(offloaded(&other), [Some(UDP), None]);
    assert!(other.offload_checksum(1, TCP));
    assert!(!batch.offload_checksum(1, TCP), "it was given away");

    // What is written anew is complete.
    assert!(batch.replace(0, &bytes(4, 300)));
    assert_eq!(offloaded(&batch)[0], None);
}

#[test]
fn odd_headers_are_not_left_to_a_device() {
    let (_folder, _device, mut batch) = bound_for_vhost(91, true);
    for odd in [
        Headers {
            link_len: 128,
            ..TCP
        },
        Headers { ip_len: 512, ..TCP },
        // Behind the frame's end.
        Headers {
            transport_len: 180,
            ..TCP
        },
        // Extension headers.
        Headers { ip_len: 48, ..UDP },
    ] {
        assert!(!batch.offload_checksum(0, odd), "{odd:?}");
    }
    assert_eq!(offloaded(&batch), [None; 3]);
}

#[test]
fn nothing_is_left_to_a_device_that_cannot_or_is_not_to() {
    let (_folder, device, mut batch) = bound_for_vhost(92, false);
    assert!(device.info().tx_checksums.any() && !device.tx_checksums().any());
    assert!(!batch.offload_checksum(0, TCP));
    let a = device_with("net_null92,size=64", |_| {});
    let b = device_with("net_null93,size=64", |_| {});
    let mut batch = burst(&mut port(&[inline(&a, &b)]));
    assert!(!batch.offload_checksum(0, TCP));
    assert_eq!(offloaded(&batch)[0], None);
}
