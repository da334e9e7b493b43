//! A device of the configuration that does not exist: its own process, for DPDK starts once.

use mosaic_dpdk::{Eal, EalConfig, Error, Hugepages};

#[test]
fn a_device_that_cannot_be_made_ends_the_start() {
    let error = Eal::start(&EalConfig {
        hugepages: Hugepages::Off,
        vdevs: vec!["net_null0".into(), "net_bogus0,x=1".into()],
        ..EalConfig::default()
    })
    .expect_err("there is no such driver");
    assert!(
        matches!(&error, Error::Attach { device, .. } if device == "net_bogus0,x=1"),
        "{error}"
    );
}
