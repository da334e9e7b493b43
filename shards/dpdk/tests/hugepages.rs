//! Packet buffers in huge pages, where some are free: its own process, for DPDK starts once.

use mosaic_dpdk::{Device, DeviceConfig, Eal, EalConfig, Error, Hugepages};

#[test]
fn buffers_lie_in_huge_pages() {
    let config = EalConfig {
        hugepages: Hugepages::Megabytes(64),
        vdevs: vec!["net_null0".into()],
        ..EalConfig::default()
    };
    let eal = match Eal::start(&config) {
        Err(error @ Error::Hugepages { .. }) => {
            return eprintln!("skipped: {error}");
        }
        started => started.expect("there are huge pages, and it starts"),
    };
    assert!(eal.uses_hugepages());
    let device = Device::open(&eal, &DeviceConfig::new("net_null0")).expect("it is opened");
    assert_eq!(device.mbufs().in_use, 0);
}
