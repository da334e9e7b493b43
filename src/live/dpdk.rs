//! Devices of DPDK, opened as a plan says.

use std::sync::Arc;

use mosaic_dpdk::{Device, DeviceConfig, Eal, EalConfig, Rss, Wire};

use super::{About, Finisher, PortFigures, PortInfo, Ports};
use crate::config::{ChecksumOffload, Hugepages, LivePlan, PortPlan};
use crate::{Builder, Error, Result, Runtime};

/// Opens what the builder's plan names and starts its shards on it.
///
/// # Errors
/// [`Error::Dpdk`], or as with shards on captures.
pub(crate) fn start(builder: Builder) -> Result<Runtime> {
    let (plan, shards) = (&builder.plan.live, builder.plan.shards);
    let eal = Eal::start(&eal_config(plan))?;
    let open = |port: &PortPlan| Device::open(&eal, &device_config(port, shards));
    let devices = plan
        .ports
        .iter()
        .map(open)
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let device = |port: usize| devices.get(port).cloned().ok_or(Error::UnknownPort(port));
    let wires = plan
        .wires
        .iter()
        .map(|wire| {
            Ok(Wire {
                a: device(wire.a)?,
                b: wire.b.map(device).transpose()?,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let ports = ports(plan, &eal, devices);
    let factories = mosaic_dpdk::factories(&wires, shards);
    Ok(builder.start_on(factories)?.with_ports(ports))
}

/// What the EAL is told: no device but those of the plan is touched.
pub(crate) fn eal_config(plan: &LivePlan) -> EalConfig {
    let devices = |pci| {
        let ports = plan
            .ports
            .iter()
            .filter(move |port| port.device.is_pci() == pci);
        ports.map(|port| port.device.as_str().to_owned()).collect()
    };
    EalConfig {
        hugepages: match plan.dpdk.hugepages {
            Hugepages::Auto => mosaic_dpdk::Hugepages::Auto,
            Hugepages::Off => mosaic_dpdk::Hugepages::Off,
            Hugepages::Megabytes(megabytes) => mosaic_dpdk::Hugepages::Megabytes(megabytes),
        },
        file_prefix: plan.dpdk.file_prefix.clone(),
        allow: devices(true),
        vdevs: devices(false),
        args: plan.dpdk.eal_args.clone(),
    }
}

fn device_config(port: &PortPlan, shards: u16) -> DeviceConfig {
    DeviceConfig {
        // More would be polled by nobody.
        queues: port.queues.unwrap_or(shards).min(shards),
        rx_descriptors: port.rx_descriptors,
        tx_descriptors: port.tx_descriptors,
        mtu: port.mtu,
        promiscuous: port.promiscuous,
        checksum_offload: port.checksum_offload == ChecksumOffload::Auto,
        mbufs: port.mbufs,
        ..DeviceConfig::new(port.device.name())
    }
}

fn ports(plan: &LivePlan, eal: &Eal, devices: Vec<Device>) -> Ports {
    let named: Vec<(Arc<str>, Device)> = plan
        .ports
        .iter()
        .map(|port| Arc::from(port.name.as_str()))
        .zip(devices)
        .collect();
    let sends = |port: usize| {
        let mut inline = plan.wires.iter().filter(|wire| wire.b.is_some());
        inline.any(|wire| [Some(wire.a), wire.b].contains(&Some(port)))
    };
    let about = About {
        ports: named
            .iter()
            .enumerate()
            .map(|(port, (name, device))| info(name, device, sends(port)))
            .collect(),
        dpdk: mosaic_dpdk::version().to_owned(),
        uses_hugepages: eal.uses_hugepages(),
    };
    Ports::new(about, move || {
        let figures = named.iter().map(|(name, device)| figures(name, device));
        figures.collect()
    })
}

fn info(name: &str, device: &Device, sends: bool) -> PortInfo {
    let checksums = device.tx_checksums();
    PortInfo {
        name: name.to_owned(),
        device: device.name().to_owned(),
        driver: device.info().driver.clone(),
        queues: device.queues(),
        software_rss: match device.rss() {
            Rss::Symmetric => None,
            Rss::Software(reason) => Some(reason.clone()),
        },
        checksums: sends.then_some(match (checksums.tcp, checksums.udp) {
            (true, true) => Finisher::Device,
            (true, false) => Finisher::DeviceTcp,
            (false, true) => Finisher::DeviceUdp,
            (false, false) => Finisher::Shard,
        }),
        warnings: device.warnings().to_vec(),
    }
}

fn figures(name: &Arc<str>, device: &Device) -> PortFigures {
    let (stats, mbufs) = (device.stats(), device.mbufs());
    PortFigures {
        name: Arc::clone(name),
        link_up: device.link().up,
        received_frames: stats.rx_packets,
        received_bytes: stats.rx_bytes,
        sent_frames: stats.tx_packets,
        sent_bytes: stats.tx_bytes,
        missed_frames: stats.rx_missed,
        no_buffer_frames: stats.rx_no_buffer,
        receive_errors: stats.rx_errors,
        send_errors: stats.tx_errors,
        mbufs: mbufs.total.into(),
        mbufs_in_use: mbufs.in_use.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::WirePlan;

    #[test]
    fn devices_are_told_to_the_eal_by_their_kind() {
        let port = |name: &str, device: &str| PortPlan::new(name, device.parse().unwrap());
        let plan = LivePlan {
            ports: vec![port("a", "3b:00.0,x=1"), port("b", "net_null0,size=64")],
            wires: vec![WirePlan::new(0, Some(1))],
            ..LivePlan::default()
        };
        let config = eal_config(&plan);
        assert_eq!(config.allow, ["0000:3b:00.0,x=1"]);
        assert_eq!(config.vdevs, ["net_null0,size=64"]);
        let device = device_config(&plan.ports[1], 3);
        assert_eq!((device.name.as_str(), device.queues), ("net_null0", 3));
        assert!(device.checksum_offload);
        let off = PortPlan {
            checksum_offload: ChecksumOffload::Off,
            ..port("e", "net_null3")
        };
        assert!(!device_config(&off, 1).checksum_offload);
        let one = PortPlan {
            queues: Some(1),
            ..port("c", "net_null1")
        };
        assert_eq!(device_config(&one, 3).queues, 1);
        let many = PortPlan {
            queues: Some(8),
            ..port("d", "net_null2")
        };
        assert_eq!(device_config(&many, 3).queues, 3, "one for each shard");
    }
}
