//! DPDK and what it says about devices.

#[cfg(feature = "dpdk")]
pub(super) use self::with::checks;

#[cfg(not(feature = "dpdk"))]
pub(super) use self::without::checks;

#[cfg(not(feature = "dpdk"))]
mod without {
    use super::super::Check;
    use super::super::devices::Card;
    use crate::config::LivePlan;

    /// There is nothing to ask; ports of the configuration cannot be opened.
    pub(in super::super) fn checks(_: &[Card], plan: &LivePlan) -> Vec<Check> {
        const DETAIL: &str = "this mosaic was built without";
        let check = if plan.is_empty() {
            Check::warn("dpdk", format!("{DETAIL}: captures only"))
        } else {
            Check::fail("dpdk", format!("{DETAIL}, the configuration names ports"))
        };
        vec![check.remedy("apt-get install libdpdk-dev && cargo build --release --features dpdk")]
    }

    #[cfg(test)]
    mod tests {
        use super::super::super::Status;
        use super::*;
        use crate::config::PortPlan;

        #[test]
        fn ports_without_dpdk_fail() {
            assert_eq!(checks(&[], &LivePlan::default())[0].status, Status::Warn);
            let plan = LivePlan {
                ports: vec![PortPlan::new("a", "net_null0".parse().unwrap())],
                ..LivePlan::default()
            };
            assert_eq!(checks(&[], &plan)[0].status, Status::Fail);
        }
    }
}

#[cfg(feature = "dpdk")]
mod with {
    use mosaic_dpdk::{DeviceInfo, Eal, RssSupport};

    use super::super::Check;
    use super::super::devices::Card;
    use crate::config::LivePlan;
    use crate::live::eal_config;

    /// Version and drivers; then the devices of the plan, or without one the cards that a driver for processes has.
    pub(in super::super) fn checks(cards: &[Card], plan: &LivePlan) -> Vec<Check> {
        let mut config = eal_config(plan);
        if plan.is_empty() {
            let ready = cards.iter().filter(|card| card.is_ready());
            config.allow = ready.map(|card| card.address.clone()).collect();
        }
        let mut checks = vec![installed(&mosaic_dpdk::drivers())];
        if config.allow.is_empty() && config.vdevs.is_empty() {
            return checks;
        }
        // Attached one by one below, so that one that is refused does not hide the others.
        let vdevs = std::mem::take(&mut config.vdevs);
        match Eal::start(&config) {
            Ok(eal) => {
                let refused = vdevs.iter().filter_map(|vdev| eal.attach(vdev).err());
                let refused: Vec<_> = refused
                    .map(|error| Check::fail("device", error.to_string()))
                    .collect();
                let devices = eal.devices();
                checks.extend(devices.iter().map(device));
                checks.extend(refused);
                checks.extend(missing(&config.allow, &devices));
            }
            Err(error) => checks.push(Check::fail("dpdk start", error.to_string())),
        }
        checks
    }

    fn installed(drivers: &[String]) -> Check {
        let version = mosaic_dpdk::version();
        let drivers = match drivers.len() {
            0 => "drivers linked in".to_owned(),
            count => {
                // What works without a network card comes first to mind.
                let virtual_ones = [
                    "net_af_packet",
                    "net_af_xdp",
                    "net_tap",
                    "net_memif",
                    "net_pcap",
                ];
                let found = |name: &&str| drivers.iter().any(|driver| driver == name);
                let found: Vec<_> = virtual_ones.into_iter().filter(found).collect();
                format!("{count} network drivers, among them {}", found.join(", "))
            }
        };
        Check::ok("dpdk", format!("{version}, {drivers}"))
    }

    fn device(info: &DeviceInfo) -> Check {
        let numa = info
            .numa
            .map_or(String::new(), |node| format!(", node {node}"));
        let offloads = |list: &[String]| {
            if list.is_empty() {
                "none".to_owned()
            } else {
                list.join(" ")
            }
        };
        let checksums = match (info.tx_checksums.tcp, info.tx_checksums.udp) {
            (true, true) => "by the device",
            (true, false) => "of TCP by the device",
            (false, true) => "of UDP by the device",
            (false, false) => "in software",
        };
        let common = format!(
            "driver {}, {} receive and {} send queues, mtu {} (at most {}){numa}, receive offloads: {}, send offloads: {}, \
             unfinished checksums finished {checksums}",
            info.driver,
            info.rx_queues_max,
            info.tx_queues_max,
            info.mtu,
            info.mtu_max,
            offloads(&info.rx_offloads),
            offloads(&info.tx_offloads)
        );
        let name = format!("device {}", info.name);
        match &info.rss {
            RssSupport::Symmetric => Check::ok(name, format!("{common}, RSS symmetric")),
            RssSupport::Missing(reason) => Check::warn(name, format!("{common}, no symmetric RSS: {reason}"))
                .remedy("none needed: with more than one shard, packets change shards in software, which costs time"),
        }
    }

    /// A check for each address that DPDK did not find.
    fn missing(allow: &[String], devices: &[DeviceInfo]) -> Vec<Check> {
        let address = |device: &str| device.split(',').next().unwrap_or_default().to_owned();
        let wanted = allow.iter().map(|device| address(device));
        wanted
            .filter(|address| devices.iter().all(|device| device.name != *address))
            .map(|address| {
                Check::fail(format!("device {address}"), "DPDK does not find it").remedy(format!(
                    "dpdk-devbind.py --bind=vfio-pci {address}, or install the driver of this card"
                ))
            })
            .collect()
    }

    #[cfg(test)]
    mod tests {
        use super::super::super::Status;
        use super::*;
        use mosaic_dpdk::TxChecksums;

        fn info(rss: RssSupport) -> DeviceInfo {
            DeviceInfo {
                name: "net_null0".into(),
                driver: "net_null".into(),
                numa: Some(1),
                mac: [2, 0, 0, 0, 0, 1],
                rx_queues_max: 8,
                tx_queues_max: 4,
                rx_descriptors_max: 1024,
                tx_descriptors_max: 1024,
                rss,
                rx_offloads: vec!["RX_A".into(), "RX_B".into()],
                tx_offloads: Vec::new(),
                tx_checksums: TxChecksums {
                    tcp: true,
                    udp: false,
                },
                mtu: 1500,
                mtu_min: 68,
                mtu_max: 9000,
            }
        }

        #[test]
        fn a_device_without_symmetric_rss_is_a_warning() {
            let good = device(&info(RssSupport::Symmetric));
            assert_eq!(good.status, Status::Ok);
            for part in [
                "8 receive and 4 send",
                "node 1",
                "RX_A RX_B",
                "send offloads: none",
                "finished of TCP by the device",
            ] {
                assert!(good.detail.contains(part), "{good:?}");
            }
            let other = device(&info(RssSupport::Missing("it has one queue".into())));
            assert_eq!(other.status, Status::Warn);
            assert!(other.detail.contains("it has one queue"));
        }

        #[test]
        fn a_device_that_is_not_found_fails() {
            let found = [info(RssSupport::Symmetric)];
            assert!(missing(&["net_null0,size=64".into()], &found).is_empty());
            let checks = missing(&["0000:3b:00.0,x=1".into()], &found);
            assert_eq!(checks[0].status, Status::Fail);
            assert!(
                checks[0]
                    .remedy
                    .as_ref()
                    .unwrap()
                    .contains("vfio-pci 0000:3b:00.0,")
            );
        }
    }
}
