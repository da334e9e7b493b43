//! Network cards on the PCI bus, and kernel interfaces that virtual devices name.

use super::Check;
use super::system::System;
use crate::config::LivePlan;

/// Drivers that hand a card to a process.
const USER_DRIVERS: &[&str] = &["vfio-pci", "igb_uio", "uio_pci_generic"];
/// Drivers of cards that kernel and process use side by side: nothing is to be bound.
const SHARED_DRIVERS: &[&str] = &["mlx4_core", "mlx5_core", "mana"];

/// A network card.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Card {
    /// PCI address.
    pub(super) address: String,
    driver: Option<String>,
    /// Interfaces of the kernel.
    interfaces: Vec<String>,
    /// Those of them that are up.
    up: Vec<String>,
    numa: Option<u64>,
}

impl Card {
    /// Whether DPDK may open it as it is.
    pub(super) fn is_ready(&self) -> bool {
        let driver = self.driver.as_deref().unwrap_or("");
        USER_DRIVERS.contains(&driver) || SHARED_DRIVERS.contains(&driver)
    }

    fn check(&self) -> Check {
        let name = format!("card {}", self.address);
        let numa = self
            .numa
            .map_or(String::new(), |node| format!(", node {node}"));
        let bind = format!("dpdk-devbind.py --bind=vfio-pci {}", self.address);
        let Some(driver) = &self.driver else {
            return Check::warn(name, format!("no driver{numa}")).remedy(bind);
        };
        if self.is_ready() {
            return Check::ok(name, format!("driver {driver}{numa}"));
        }
        let Some(interface) = self.interfaces.first() else {
            return Check::warn(name, format!("driver {driver} of the kernel{numa}")).remedy(bind);
        };
        let detail = format!("driver {driver} of the kernel, interface {interface}{numa}");
        let share = format!("device = \"net_af_packet0,iface={interface}\"");
        let check = Check::warn(name, detail);
        if self.up.is_empty() {
            check.remedy(format!("{bind}; or leave it to the kernel: {share}"))
        } else {
            check.remedy(format!(
                "leave it to the kernel: {share}; or take it from this host: ip link set {interface} down && {bind}"
            ))
        }
    }
}

/// The network cards of the machine.
pub(super) fn cards(system: &System) -> Vec<Card> {
    const FOLDER: &str = "sys/bus/pci/devices";
    let is_network = |address: &String| {
        let class = system.read(&format!("{FOLDER}/{address}/class"));
        class.is_some_and(|class| class.starts_with("0x02"))
    };
    let addresses = system.list(FOLDER).into_iter().filter(is_network);
    addresses
        .map(|address| {
            let folder = format!("{FOLDER}/{address}");
            let interfaces = interfaces_of(system, &folder);
            let is_up = |name: &&String| {
                let state = system.read(&format!("sys/class/net/{name}/operstate"));
                state.is_some_and(|state| state == "up")
            };
            Card {
                driver: system.link_name(&format!("{folder}/driver")),
                up: interfaces.iter().filter(is_up).cloned().collect(),
                interfaces,
                // -1 where the machine has one node.
                numa: system.number(&format!("{folder}/numa_node")),
                address,
            }
        })
        .collect()
}

/// Interfaces of the device at `folder`: its own, or those of the virtio device below it.
fn interfaces_of(system: &System, folder: &str) -> Vec<String> {
    let mut interfaces = system.list(&format!("{folder}/net"));
    for below in system.list(folder) {
        if below.starts_with("virtio") {
            interfaces.extend(system.list(&format!("{folder}/{below}/net")));
        }
    }
    interfaces
}

/// A check for each card.
pub(super) fn checks(cards: &[Card]) -> Vec<Check> {
    if cards.is_empty() {
        return vec![Check::ok(
            "cards",
            "no network card on the PCI bus; virtual devices work",
        )];
    }
    cards.iter().map(Card::check).collect()
}

/// A check for each kernel interface that a virtual device of `plan` uses.
pub(super) fn interfaces(system: &System, plan: &LivePlan) -> Vec<Check> {
    let af_packet = plan
        .ports
        .iter()
        .filter(|port| port.device.name().starts_with("net_af_"));
    let named = af_packet.filter_map(|port| Some((port, port.device.argument("iface")?)));
    named
        .map(|(port, interface)| {
            let name = format!("port {}", port.name);
            let folder = format!("sys/class/net/{interface}");
            let state = system.read(&format!("{folder}/operstate"));
            let flags = system.read(&format!("{folder}/flags"));
            let is_up = flags
                .and_then(|hex| u32::from_str_radix(hex.trim_start_matches("0x"), 16).ok())
                .is_some_and(|flags| flags & 1 == 1);
            match state {
                None => Check::fail(name, format!("there is no interface {interface}"))
                    .remedy("ip -brief link shows those there are"),
                Some(_) if !is_up => Check::fail(name, format!("interface {interface} is down"))
                    .remedy(format!("ip link set {interface} up")),
                Some(state) if state == "down" => {
                    Check::warn(name, format!("interface {interface} has no link"))
                }
                Some(_) => Check::ok(name, format!("interface {interface} is up")),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::super::system::testing::MadeUp;
    use super::*;
    use crate::config::{PortPlan, WirePlan};

    const ADDRESS: &str = "sys/bus/pci/devices/0000:3b:00.0";

    fn card(files: &[(&str, &str)]) -> Check {
        let machine = MadeUp::new(&[]);
        machine.add(&format!("{ADDRESS}/class"), "0x020000\n");
        machine.add("sys/bus/pci/devices/0000:00:01.0/class", "0x010000\n");
        for (path, text) in files {
            machine.add(&path.replace('@', ADDRESS), text);
        }
        let cards = cards(&machine.system);
        assert_eq!(cards.len(), 1, "only network cards");
        let checks = checks(&cards);
        assert_eq!(checks[0].name, "card 0000:3b:00.0");
        checks[0].clone()
    }

    #[test]
    fn cards_are_judged_by_their_driver() {
        let vfio = card(&[
            ("@/driver", "-> ../drivers/vfio-pci"),
            ("@/numa_node", "1\n"),
        ]);
        assert_eq!(
            (vfio.status, vfio.detail.as_str()),
            (Status::Ok, "driver vfio-pci, node 1")
        );
        let shared = card(&[
            ("@/driver", "-> ../drivers/mlx5_core"),
            ("@/net/p0/mtu", "1500"),
        ]);
        assert_eq!(shared.status, Status::Ok);
        let none = card(&[("@/numa_node", "-1\n")]);
        assert_eq!(
            (none.status, none.detail.as_str()),
            (Status::Warn, "no driver")
        );
        assert_eq!(
            none.remedy.as_deref(),
            Some("dpdk-devbind.py --bind=vfio-pci 0000:3b:00.0")
        );
        let kernel = card(&[
            ("@/driver", "-> ../drivers/ixgbe"),
            ("@/net/eth5/mtu", "1500"),
        ]);
        assert_eq!(kernel.status, Status::Warn);
        let remedy = kernel.remedy.unwrap();
        assert!(remedy.contains("net_af_packet0,iface=eth5") && !remedy.contains("take it"));
    }

    #[test]
    fn taking_an_interface_that_is_up_is_warned_of() {
        let busy = card(&[
            ("@/driver", "-> ../drivers/virtio-pci"),
            ("@/virtio2/net/eth0/mtu", "1500"),
            ("sys/class/net/eth0/operstate", "up\n"),
        ]);
        assert!(busy.detail.contains("interface eth0"), "{busy:?}");
        assert!(busy.remedy.unwrap().starts_with("leave it to the kernel"));
    }

    #[test]
    fn a_machine_without_cards_is_in_order() {
        assert_eq!(checks(&[])[0].status, Status::Ok);
    }

    #[test]
    fn interfaces_of_ports_must_exist_and_be_up() {
        let machine = MadeUp::new(&[
            ("sys/class/net/up0/operstate", "up\n"),
            ("sys/class/net/up0/flags", "0x1003\n"),
            ("sys/class/net/down0/operstate", "down\n"),
            ("sys/class/net/down0/flags", "0x1002\n"),
            ("sys/class/net/alone0/operstate", "down\n"),
            ("sys/class/net/alone0/flags", "0x1003\n"),
        ]);
        let check = |device: &str| {
            let plan = LivePlan {
                ports: vec![PortPlan::new("a", device.parse().unwrap())],
                wires: vec![WirePlan::new(0, None)],
                ..LivePlan::default()
            };
            interfaces(&machine.system, &plan)
        };
        let status = |device| check(device)[0].status;
        assert_eq!(status("net_af_packet0,iface=up0"), Status::Ok);
        assert_eq!(status("net_af_packet0,iface=alone0"), Status::Warn);
        assert_eq!(status("net_af_xdp0,iface=down0"), Status::Fail);
        assert_eq!(status("net_af_packet0,iface=gone0"), Status::Fail);
        assert!(check("net_null0").is_empty() && check("net_tap0,iface=new0").is_empty());
    }
}
