//! What a port gets out of a device: counterpart of `loop.c`, with the same options, EAL arguments and pool.
//!
//! usage: `port_loop free|forward SECONDS BURST DEVICE [DEVICE]`
#![expect(clippy::print_stdout, reason = "a program that prints its result")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::time::{Duration, Instant};

use mosaic_dpdk::{Device, DeviceConfig, DpdkPort, Eal, EalConfig, Hugepages, MbufBatch, Wire};
use mosaic_port::{Batch, Port, PortFactory};

/// Bursts between two looks at the clock.
const TURNS: u32 = 4096;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, seconds, burst, devices @ ..] = &arguments[..] else {
        return Err("usage: port_loop free|forward SECONDS BURST DEVICE [DEVICE]".into());
    };
    let length = Duration::from_secs_f64(seconds.parse()?);
    let burst: u16 = burst.parse()?;
    let mut port = open(devices, burst)?;
    let mut batch = MbufBatch::default();
    let forward = mode == "forward";
    let (mut packets, mut began) = (0_u64, None);
    let elapsed = loop {
        let now = Instant::now();
        if began.is_none() && packets > 0 {
            (packets, began) = (0, Some(now));
        }
        match began {
            Some(began) if now - began >= length => break now - began,
            _ => packets += turns(&mut port, &mut batch, forward)?,
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "a figure to be read")]
    let mpps = packets as f64 / elapsed.as_secs_f64() * 1e-6;
    println!(
        "{{\"loop\":\"rust\",\"mode\":\"{mode}\",\"device\":\"{}\",\"burst\":{burst},\"seconds\":{:.3},\"packets\":{packets},\"mpps\":{mpps:.3}}}",
        devices[0],
        elapsed.as_secs_f64()
    );
    Ok(())
}

fn open(devices: &[String], burst: u16) -> Result<DpdkPort, Box<dyn std::error::Error>> {
    let eal = Eal::start(&EalConfig {
        hugepages: Hugepages::Off,
        vdevs: devices.to_vec(),
        ..EalConfig::default()
    })?;
    let mut opened = devices.iter().map(|device| {
        let name = device.split(',').next().unwrap_or_default();
        Device::open(&eal, &DeviceConfig::new(name))
    });
    let a = opened.next().ok_or("DEVICE is missing")??;
    let b = opened.next().transpose()?;
    let factory = mosaic_dpdk::factories(&[Wire { a, b }], 1).remove(0);
    Ok(factory
        .ok_or("no queue for shard 0")?
        .burst_max(burst)
        .open()?)
}

/// Packets received in a number of bursts; forwarded, or given back.
fn turns(
    port: &mut DpdkPort,
    batch: &mut MbufBatch,
    forward: bool,
) -> Result<u64, mosaic_port::PortError> {
    let mut packets = 0;
    for _ in 0..TURNS {
        port.rx_burst(batch)?;
        packets += batch.len() as u64;
        if forward {
            port.tx_burst(batch, u64::MAX);
        } else {
            batch.clear();
        }
    }
    Ok(packets)
}
