//! Devices: found, opened, asked, refused.

use mosaic_dpdk::{Device, DeviceConfig, Error, Rss, RssSupport, drivers, version};
use mosaic_port::Batch;

use crate::support::{burst, device, device_with, eal, port, tap};

fn open_error(config: &DeviceConfig) -> Error {
    Device::open(eal(), config).expect_err("it cannot be opened")
}

#[test]
fn version_and_drivers_are_known() {
    assert!(version().starts_with("DPDK 2"), "{}", version());
    let drivers = drivers();
    for driver in [
        "net_null",
        "net_ring",
        "net_pcap",
        "net_af_packet",
        "net_tap",
    ] {
        assert!(drivers.iter().any(|d| d == driver), "{driver}: {drivers:?}");
    }
}

#[test]
fn devices_are_listed_with_what_they_can_do() {
    eal().attach("net_null70").expect("attached");
    eal().attach("net_ring70").expect("attached");
    let devices = eal().devices();
    let of = |name: &str| devices.iter().find(|d| d.name == name).expect("is listed");
    let null = of("net_null70");
    assert_eq!((null.driver.as_str(), null.mtu), ("net_null", 1500));
    assert!(null.rx_queues_max > 1 && null.tx_queues_max > 1);
    assert_eq!(null.rss, RssSupport::Symmetric);
    let ring = of("net_ring70");
    assert_eq!(ring.tx_offloads, ["MULTI_SEGS"]);
    assert!(matches!(&ring.rss, RssSupport::Missing(why) if why.contains("net_ring")));
    assert!(!eal().uses_hugepages());
}

#[test]
fn an_unknown_device_is_named_with_those_there_are() {
    eal().attach("net_null71").expect("attached");
    for name in ["net_null999", "0000:7f:1f.7"] {
        let error = open_error(&DeviceConfig::new(name));
        assert!(
            matches!(&error, Error::UnknownDevice { device, known }
                if device == name && known.iter().any(|k| k == "net_null71")),
            "{error}"
        );
    }
}

#[test]
fn a_device_that_cannot_be_made_is_named() {
    for devargs in ["net_bogus0", "net_pcap72,rx_pcap=/nonexistent/file", ""] {
        let error = eal().attach(devargs).expect_err("it cannot be attached");
        assert!(
            error
                .to_string()
                .contains(if devargs.is_empty() { "\"\"" } else { devargs }),
            "{error}"
        );
    }
}

#[test]
fn options_out_of_range_are_named() {
    let null = DeviceConfig::new("net_null73");
    eal().attach("net_null73").expect("attached");
    let cases: [(DeviceConfig, &str); 5] = [
        (
            DeviceConfig {
                rx_descriptors: 0,
                ..null.clone()
            },
            "rx_descriptors",
        ),
        (
            DeviceConfig {
                tx_descriptors: 0,
                ..null.clone()
            },
            "tx_descriptors",
        ),
        (
            DeviceConfig {
                queues: 0,
                ..null.clone()
            },
            "queues",
        ),
        (
            DeviceConfig {
                mbufs: Some(1),
                ..null.clone()
            },
            "mbufs",
        ),
        (
            DeviceConfig {
                mtu: Some(10),
                ..null.clone()
            },
            "mtu",
        ),
    ];
    for (config, option) in cases {
        let error = open_error(&config);
        assert!(
            matches!(&error, Error::OutOfRange { device, option: named, .. }
                if device == "net_null73" && *named == option),
            "{option}: {error}"
        );
    }
    Device::open(eal(), &null).expect("nothing was broken by the errors");
}

#[test]
fn buffers_for_absurd_descriptors_find_no_memory() {
    eal().attach("net_null74").expect("attached");
    let config = DeviceConfig {
        queues: 1000,
        rx_descriptors: u16::MAX,
        tx_descriptors: u16::MAX,
        ..DeviceConfig::new("net_null74")
    };
    let error = open_error(&config);
    assert!(
        matches!(&error, Error::Pool { device, mbufs, .. } if device == "net_null74" && *mbufs > 100_000_000),
        "{error}"
    );
    Device::open(eal(), &DeviceConfig::new("net_null74")).expect("nothing was broken by the error");
}

#[test]
fn a_device_is_opened_once_at_a_time() {
    let null = device("net_null75", 1);
    let error = open_error(&DeviceConfig::new("net_null75"));
    assert_eq!(error.to_string(), "net_null75: is open already");
    let clone = null.clone();
    drop(null);
    assert_eq!(open_error(&DeviceConfig::new("net_null75")), error);
    drop(clone);
    for _ in 0..3 {
        let again = Device::open(eal(), &DeviceConfig::new("net_null75"))
            .expect("closed devices are attached again");
        assert!(!burst(&mut port(&[tap(&again)])).frame(0).bytes.is_empty());
    }
}

#[test]
fn fewer_queues_than_asked_for_are_a_warning() {
    let ring = device("net_ring76", 50);
    assert_eq!(ring.queues(), 16);
    assert_eq!(ring.warnings().len(), 2, "{:?}", ring.warnings());
    assert!(ring.warnings()[0].contains("50 queues asked for, the device has 16"));
    assert!(matches!(ring.rss(), Rss::Software(why) if why.contains("does not spread flows")));
}

#[test]
fn rss_is_symmetric_where_the_device_confirms_it() {
    let null = device("net_null77", 4);
    assert_eq!(*null.rss(), Rss::Symmetric, "{:?}", null.warnings());
    assert!(null.warnings().is_empty(), "{:?}", null.warnings());
    let one = device("net_null78", 1);
    assert_eq!(*one.rss(), Rss::Software("it has one queue".into()));
    assert!(one.warnings().is_empty(), "one was asked for");
}

#[test]
fn statistics_count_what_went_through() {
    let null = device("net_null79,size=60", 1);
    let mut port = port(&[tap(&null)]);
    drop(burst(&mut port));
    assert_eq!(null.stats().rx_packets, 64);
    let xstats = null.xstats();
    assert!(
        xstats.contains(&("rx_good_packets".into(), 64)),
        "{xstats:?}"
    );
    let link = null.link();
    assert!(
        link.up && link.full_duplex && link.speed_mbps == Some(10_000),
        "{link:?}"
    );
    assert_eq!(null.info().name, null.name());
}

#[test]
fn options_are_taken() {
    let null = device_with("net_null80,size=4000", |config| {
        config.mtu = Some(9000);
        config.mbufs = Some(1023);
        config.promiscuous = false;
    });
    assert_eq!(null.mbufs().total, 1023);
    let batch = burst(&mut port(&[tap(&null)]));
    assert_eq!(batch.frame(0).bytes.len(), 4000, "one buffer holds it");
}
