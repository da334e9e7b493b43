//! Devices for `mosaic bench port`.

use std::path::PathBuf;

use mosaic_dpdk::{Device, DeviceConfig, DpdkPort, Eal, EalConfig, MbufBatch, Wire};
use mosaic_port::Timestamp;
use mosaic_port::capture::PcapWriter;
use mosaic_port::{Extras, LinkType, Port, PortFactory, Way};

use super::BenchError;
use super::port::Handling;
use super::port::PortArgs;
use super::report::Spread;

/// Measures the device that `source` names. `pcap` stands for one that repeats `frames` without end, `ring` for two that they go
/// round.
pub(super) fn measure(
    args: &PortArgs,
    source: &str,
    frames: &[(Timestamp, [u8; 64])],
) -> Result<Vec<(&'static str, Spread)>, BenchError> {
    let pcap = if source == "pcap" {
        Some(write_capture(frames)?)
    } else {
        None
    };
    let devices = match (source, &pcap) {
        ("ring", _) => vec!["net_ring0".to_owned(), "net_ring1".to_owned()],
        (_, Some(path)) => vec![format!(
            "net_pcap0,rx_pcap={},infinite_rx=1",
            path.display()
        )],
        _ => vec![source.to_owned()],
    };
    let port = open(&devices);
    if let Some(path) = pcap {
        // It was read when the device was opened.
        std::fs::remove_file(path)?;
    }
    let mut port = port?;
    let mut handling = Handling::of_source(|_: &mut DpdkPort| {});
    if source == "ring" {
        fill(&mut port, frames)?;
        handling.end = |port, batch| {
            port.tx_burst(batch, u64::MAX);
        };
    }
    super::port::measure_all(args, port, &handling)
}

/// A capture of `frames`.
fn write_capture(frames: &[(Timestamp, [u8; 64])]) -> Result<PathBuf, BenchError> {
    let path = std::env::temp_dir().join(format!("mosaic-bench-{}.pcap", std::process::id()));
    let mut writer = PcapWriter::new(std::fs::File::create(&path)?, LinkType::ETHERNET)?;
    for (time, frame) in frames {
        writer.write(*time, frame)?;
    }
    writer.finish()?;
    Ok(path)
}

/// Opens a device, or two with a wire between them.
fn open(devices: &[String]) -> Result<DpdkPort, BenchError> {
    let eal = Eal::start(&EalConfig {
        vdevs: devices.to_vec(),
        ..EalConfig::default()
    })?;
    let mut opened = devices.iter().map(|device| {
        let name = device.split(',').next().unwrap_or_default();
        // A device that repeats frames keeps all of them.
        let config = DeviceConfig {
            mbufs: Some(16_383),
            ..DeviceConfig::new(name)
        };
        Device::open(&eal, &config)
    });
    let a = opened.next().ok_or(BenchError::NoQueue)??;
    let wire = Wire {
        a,
        b: opened.next().transpose()?,
    };
    let factory = mosaic_dpdk::factories(&[wire], 1)
        .into_iter()
        .flatten()
        .next();
    Ok(factory.ok_or(BenchError::NoQueue)?.open()?)
}

/// Puts `frames` into the first of two rings.
fn fill(port: &mut DpdkPort, frames: &[(Timestamp, [u8; 64])]) -> Result<(), BenchError> {
    let mut extras = Extras::default();
    let into_first = Way::Interface {
        interface: 0,
        back: true,
    };
    for (_, frame) in frames {
        extras.push(into_first, frame);
    }
    let sent = port.tx_burst_with(&mut MbufBatch::default(), 0, &extras);
    if sent.no_room > 0 {
        return Err(BenchError::RingFull(sent.frames));
    }
    Ok(())
}
