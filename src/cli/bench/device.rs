//! Devices for `mosaic bench port`.

use mosaic_port::Timestamp;

use super::BenchError;
use super::port::PortArgs;
use super::report::Spread;

/// Measures the device that `source` names; `pcap` stands for one that repeats `frames` without end.
#[cfg(feature = "dpdk")]
pub(super) fn measure(
    args: &PortArgs,
    source: &str,
    frames: &[(Timestamp, [u8; 64])],
) -> Result<Vec<(&'static str, Spread)>, BenchError> {
    use mosaic_dpdk::{Device, DeviceConfig, Eal, EalConfig, Wire};
    use mosaic_port::capture::PcapWriter;
    use mosaic_port::{LinkType, PortFactory};

    let mut written = None;
    let device = if source == "pcap" {
        let path = std::env::temp_dir().join(format!("mosaic-bench-{}.pcap", std::process::id()));
        let mut writer = PcapWriter::new(std::fs::File::create(&path)?, LinkType::ETHERNET)?;
        for (time, frame) in frames {
            writer.write(*time, frame)?;
        }
        writer.finish()?;
        let device = format!("net_pcap0,rx_pcap={},infinite_rx=1", path.display());
        written = Some(path);
        device
    } else {
        source.to_owned()
    };
    let config = EalConfig {
        vdevs: vec![device.clone()],
        ..EalConfig::default()
    };
    let opened = Eal::start(&config).and_then(|eal| {
        let name = device.split(',').next().unwrap_or_default();
        // A device that repeats frames keeps all of them.
        let config = DeviceConfig {
            mbufs: Some(16_383),
            ..DeviceConfig::new(name)
        };
        Device::open(&eal, &config)
    });
    if let Some(path) = written {
        // It was read when the device was opened.
        std::fs::remove_file(path)?;
    }
    let wire = Wire {
        a: opened?,
        b: None,
    };
    let factory = mosaic_dpdk::factories(&[wire], 1)
        .into_iter()
        .flatten()
        .next();
    let port = factory.ok_or(BenchError::NoQueue)?.open()?;
    super::port::measure_all(args, port, |_| {})
}

/// Refuses: there is nothing to open it with.
#[cfg(not(feature = "dpdk"))]
pub(super) fn measure(
    _: &PortArgs,
    source: &str,
    _: &[(Timestamp, [u8; 64])],
) -> Result<Vec<(&'static str, Spread)>, BenchError> {
    Err(BenchError::NoDpdk(source.to_owned()))
}
