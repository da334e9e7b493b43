//! What the tests share.

use std::sync::OnceLock;

use mosaic_dpdk::{
    Device, DeviceConfig, DpdkPort, Eal, EalConfig, Hugepages, MbufBatch, Wire, factories,
};
use mosaic_port::{Batch, Port, PortFactory, Received};

/// The EAL of this process.
pub(crate) fn eal() -> &'static Eal {
    static EAL: OnceLock<Eal> = OnceLock::new();
    EAL.get_or_init(|| {
        Eal::start(&EalConfig {
            hugepages: Hugepages::Off,
            ..EalConfig::default()
        })
        .expect("DPDK starts")
    })
}

/// Attaches `devargs` and opens it with `queues` queues.
pub(crate) fn device(devargs: &str, queues: u16) -> Device {
    device_with(devargs, |config| config.queues = queues)
}

/// Attaches `devargs` and opens it with a changed configuration.
pub(crate) fn device_with(devargs: &str, change: impl FnOnce(&mut DeviceConfig)) -> Device {
    eal().attach(devargs).expect("the device is attached");
    let mut config = DeviceConfig::new(devargs.split(',').next().unwrap_or_default());
    change(&mut config);
    Device::open(eal(), &config).expect("the device is opened")
}

/// A wire between two devices.
pub(crate) fn inline(a: &Device, b: &Device) -> Wire {
    Wire {
        a: a.clone(),
        b: Some(b.clone()),
    }
}

/// A device that is watched.
pub(crate) fn tap(a: &Device) -> Wire {
    Wire {
        a: a.clone(),
        b: None,
    }
}

/// The port of the only shard.
pub(crate) fn port(wires: &[Wire]) -> DpdkPort {
    let mut factories = factories(wires, 1);
    let factory = factories.pop().flatten().expect("a factory for shard 0");
    factory.open().expect("the port opens")
}

/// Receives a burst, which must be there.
pub(crate) fn burst(port: &mut DpdkPort) -> MbufBatch {
    let mut batch = MbufBatch::default();
    assert_eq!(port.rx_burst(&mut batch).ok(), Some(Received::Frames));
    batch
}

/// Bits of all frames.
pub(crate) fn all(batch: &MbufBatch) -> u64 {
    u64::MAX >> (64 - batch.len())
}
