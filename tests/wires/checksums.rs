//! Who finishes the checksums that ends leave to a network card. The kernel behind the wire checks every one of them.

use crate::lab::{B4, B6, Device, Lab};
use crate::load::{Web, assert_web_agrees, iperf, iperf_server};
use crate::mosaic::Mosaic;

/// Frames by who finishes their checksum, device and shard, of files and datagrams that pass.
fn finished(option: &str) -> Option<[f64; 2]> {
    let lab = Lab::new()?;
    let (web, _server) = (Web::start(&lab), iperf_server(&lab));
    let name = "name = \"right\"\n";
    let config = lab.wire(Device::VethTap, "");
    let mosaic = Mosaic::start(&lab, &config.replace(name, &format!("{name}{option}\n")));
    lab.bridge_taps(Device::VethTap);
    let mut transfers = web.fetch_big(&lab, B4);
    transfers.extend(web.fetch_big(&lab, &format!("[{B6}]")));
    iperf(&lab, "-n 1M");
    iperf(&lab, "-u -b 4M -l 1000 -t 1");
    let books = mosaic.at_rest();
    for (protocol, received) in [("Tcp", "InSegs"), ("Udp", "InDatagrams")] {
        assert_eq!(lab.b.statistic(protocol, "InCsumErrors"), 0, "{protocol}");
        assert!(lab.b.statistic(protocol, received) > 100, "{protocol}");
    }
    let by = ["offloaded", "finished"]
        .map(|what| books.sum(&format!("mosaic_{what}_checksums_total"), &[]));
    let ended = mosaic.end();
    assert_web_agrees(&transfers, &ended);
    Some(by)
}

#[test]
fn the_device_does_where_it_can() {
    let Some([device, shard]) = finished("checksum_offload = \"auto\"") else {
        return;
    };
    // Frames to the left, where no device does it, come complete: the kernel has finished them for the interface on the right.
    assert!(device > 1_000.0 && shard == 0.0, "{device} {shard}");
}

#[test]
fn the_shard_does_otherwise() {
    let Some([device, shard]) = finished("checksum_offload = \"off\"") else {
        return;
    };
    assert!(device == 0.0 && shard > 1_000.0, "{device} {shard}");
}
