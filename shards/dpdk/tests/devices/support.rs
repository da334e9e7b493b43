//! What the tests share.

use std::path::Path;
use std::sync::OnceLock;

use mosaic_dpdk::{
    Device, DeviceConfig, DpdkPort, Eal, EalConfig, Hugepages, MbufBatch, Wire, factories,
};
use mosaic_port::capture::PcapWriter;
use mosaic_port::memory::MemoryCapture;
use mosaic_port::{Batch, LinkType, Port, PortFactory, Received, Timestamp};

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

/// A device that receives `frames`, and sends into `outNUMBER.pcap` of the folder.
pub(crate) fn from_file(number: u32, folder: &tempfile::TempDir, frames: &[Vec<u8>]) -> Device {
    let file = folder.path().join(format!("in{number}.pcap"));
    write_capture(&file, frames);
    let out = folder.path().join(format!("out{number}.pcap"));
    let devargs = format!(
        "net_pcap{number},rx_pcap={},tx_pcap={}",
        file.display(),
        out.display()
    );
    device(&devargs, 1)
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

/// Packet buffers of the device that are not in its pool.
pub(crate) fn in_use(device: &Device) -> u32 {
    device.mbufs().in_use
}

/// A frame of `len` bytes, all different in the neighbourhood and between numbers.
pub(crate) fn bytes(number: usize, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| ((at * 7 + at / 256 + number * 31) % 251).to_le_bytes()[0])
        .collect()
}

/// Writes a capture of `frames`.
pub(crate) fn write_capture(path: &Path, frames: &[Vec<u8>]) {
    let mut writer =
        PcapWriter::new(Vec::new(), LinkType::ETHERNET).expect("memory takes everything");
    for (number, frame) in (1..).zip(frames) {
        writer
            .write(Timestamp::from_nanos(number * 1_000_000_000), frame)
            .expect("memory takes everything");
    }
    let bytes = writer.finish().expect("memory takes everything");
    std::fs::write(path, bytes).expect("the file is written");
}

/// Reads the frames of a capture.
pub(crate) fn read_capture(path: &Path) -> Vec<Vec<u8>> {
    let (capture, damage) = MemoryCapture::load(path).expect("a capture");
    assert!(damage.is_none(), "{damage:?}");
    capture.frames().map(|frame| frame.bytes.to_vec()).collect()
}
