//! Inline, with two shards: what ends send each other arrives, and is recorded as they report it.

use serde_json::Value;

use crate::lab::{B4, B6, Device, Lab};
use crate::load::{
    Web, assert_web_agrees, assert_whole, iperf, iperf_server, ping, redis, small_requests,
};
use crate::mosaic::Mosaic;

/// The tests of this file, on each kind of device.
macro_rules! on_each {
    ($($module:ident: $device:expr, [$($test:ident),*];)*) => {$(
        mod $module {
            $(#[test]
            fn $test() {
                super::$test($device);
            })*
        }
    )*};
}

on_each! {
    veth: super::Device::Veth, [pings_pass, files_arrive_whole, a_thousand_connections, bulk_and_redis, datagrams];
    veth_queues: super::Device::VethQueues, [pings_pass, files_arrive_whole, a_thousand_connections, bulk_and_redis];
    xdp: super::Device::Xdp, [pings_pass, files_arrive_whole, bulk_and_redis, datagrams];
    tap: super::Device::Tap, [pings_pass, files_arrive_whole, a_thousand_connections, bulk_and_redis, datagrams];
}

fn pings_pass(device: Device) {
    let Some(lab) = Lab::new() else { return };
    if !lab.can_have(device) {
        return;
    }
    let mosaic = Mosaic::inline(&lab, device, "");
    ping(&lab, B4, 20);
    ping(&lab, B6, 20);
    mosaic.at_rest();
    let ended = mosaic.end();
    let mut seen = Vec::new();
    for record in &ended.records {
        let packets = ["c2s.packets", "s2c.packets"].map(|field| record.number(field));
        if packets == [20, 20] {
            seen.push(record.text("proto"));
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, ["icmp", "icmpv6"], "{:?}", ended.records);
}

fn files_arrive_whole(device: Device) {
    let Some(lab) = Lab::new() else { return };
    if !lab.can_have(device) {
        return;
    }
    let web = Web::start(&lab);
    let mosaic = Mosaic::inline(&lab, device, "");
    let mut transfers = web.fetch_big(&lab, B4);
    transfers.extend(web.fetch_big(&lab, &format!("[{B6}]")));
    mosaic.at_rest();
    let ended = mosaic.end();
    assert_web_agrees(&transfers, &ended);
    assert!(ended.summary.contains("closed (FIN)"), "{}", ended.summary);
}

/// And the books: every frame that an end's kernel sent is received, and every frame sent is one that the other's kernel
/// received.
fn a_thousand_connections(device: Device) {
    let Some(lab) = Lab::new() else { return };
    let _web = Web::start(&lab);
    let mosaic = Mosaic::inline(&lab, device, "");
    // Neighbours are known from here on.
    ping(&lab, B4, 1);
    let kernel = || [lab.a.frames("a0"), lab.b.frames("b0")];
    let before = (mosaic.at_rest(), kernel());
    let transfers = small_requests(&lab, B4, 1_000);
    let after = (mosaic.at_rest(), kernel());
    for (i, port) in ["left", "right"].into_iter().enumerate() {
        let of_mosaic = ["sent_frames_total", "received_frames_total"]
            .map(|what| after.0.of_port(what, port) - before.0.of_port(what, port));
        let of_kernel = [0, 1].map(|way| after.1[i][way] - before.1[i][way]);
        assert!(of_kernel[0] > 4_000 && of_kernel[1] > 4_000);
        assert_eq!(
            of_kernel.map(|n| n as f64),
            of_mosaic,
            "{port}: to the end, from it"
        );
    }
    assert_web_agrees(&transfers, &mosaic.end());
}

fn bulk_and_redis(device: Device) {
    const BYTES: u64 = 30_000_000;
    let Some(lab) = Lab::new() else { return };
    if !lab.can_have(device) {
        return;
    }
    let _server = iperf_server(&lab);
    let mosaic = Mosaic::inline(&lab, device, "");
    let report = iperf(&lab, &format!("-n {BYTES} -P 2"));
    let number = |field: &str| report.pointer(field).and_then(Value::as_u64).unwrap();
    let (sent, received) = (
        number("/end/sum_sent/bytes"),
        number("/end/sum_received/bytes"),
    );
    // At the end of its test, the server reads no more.
    assert!(sent >= BYTES && received > BYTES / 2, "{sent} {received}");
    let (connections, bytes_to_redis) = redis(&lab);
    mosaic.at_rest();
    let ended = mosaic.end();

    // One connection to talk about the two others; each begins with a cookie of 37 bytes.
    let of_iperf = ended.of("tcp", 5201);
    assert_eq!(of_iperf.len(), 3);
    let streams: Vec<_> = of_iperf
        .iter()
        .filter(|record| record.number("c2s.stream_bytes") > BYTES / 10)
        .collect();
    let stream_bytes: u64 = streams
        .iter()
        .map(|record| record.number("c2s.stream_bytes") - 37)
        .sum();
    assert_eq!(streams.len(), 2);
    assert!(
        (received..=sent).contains(&stream_bytes),
        "{received} {stream_bytes} {sent}"
    );

    let of_redis = ended.of("tcp", 6379);
    assert_eq!(of_redis.len() as u64, connections);
    let stream_bytes: u64 = of_redis
        .iter()
        .map(|record| record.number("c2s.stream_bytes"))
        .sum();
    assert_eq!(stream_bytes, bytes_to_redis);
    for record in of_redis {
        assert_whole(record);
    }
}

fn datagrams(device: Device) {
    let Some(lab) = Lab::new() else { return };
    if !lab.can_have(device) {
        return;
    }
    let _server = iperf_server(&lab);
    let mosaic = Mosaic::inline(&lab, device, "");
    let report = iperf(&lab, "-u -b 8M -l 1000 -t 2");
    let number = |field: &str| report.pointer(field).and_then(Value::as_u64).unwrap();
    let sent = number("/end/sum/packets");
    let arrived = sent - number("/end/sum/lost_packets");
    assert!(sent > 1_000 && arrived > sent / 2, "{report}");
    let books = mosaic.at_rest();
    let ended = mosaic.end();
    // Each side says hello with a datagram of 4 bytes first.
    let [record] = ended.of("udp", 5201)[..] else {
        panic!("{:?}", ended.records)
    };
    let seen = record.number("c2s.packets") - 1;
    assert!((arrived..=sent).contains(&seen), "{arrived} {seen} {sent}");
    assert_eq!(record.number("c2s.payload_bytes"), 4 + 1_000 * seen);
    assert_eq!(books.sum("mosaic_wire_dropped_frames_total", &[]), 0.0);
}

/// Tagged by a link on each side, for the ends know nothing of VLANs.
#[test]
fn vlan_tags_pass_and_are_recorded() {
    let Some(lab) = Lab::through("--vlan 7") else {
        return;
    };
    let web = Web::start(&lab);
    for device in [Device::Veth, Device::Tap] {
        let mosaic = Mosaic::inline(&lab, device, "");
        ping(&lab, B4, 5);
        let transfers = web.fetch_big(&lab, B4);
        mosaic.at_rest();
        let ended = mosaic.end();
        assert_web_agrees(&transfers, &ended);
        assert!(
            ended.records.iter().all(|record| record.vlans() == [7]),
            "{ended:?}"
        );
    }
}
