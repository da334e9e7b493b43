//! Live ports and wires: the checked result.

use std::fmt;
use std::str::FromStr;

use mosaic_engine::counters::Drops;
use mosaic_runtime::WireRules;
use serde::Deserialize;

/// Which devices are opened and how they are wired. Empty without live traffic.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LivePlan {
    /// What the environment of all devices is told.
    pub dpdk: DpdkPlan,
    /// Devices; each is part of exactly one wire. Names and devices are unique.
    pub ports: Vec<PortPlan>,
    /// Wires, at least one where there are ports.
    pub wires: Vec<WirePlan>,
}

impl LivePlan {
    /// Whether there is nothing to open.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// The rules for frames by the interface they come in on: the ports of each wire in turn.
    pub(crate) fn rules(&self) -> Vec<WireRules> {
        let ends = |wire: &WirePlan| 1 + usize::from(wire.b.is_some());
        let rules = self.wires.iter().map(|wire| (wire.rules(), ends(wire)));
        rules
            .flat_map(|(rules, ends)| std::iter::repeat_n(rules, ends))
            .collect()
    }

    /// The ports of `wire`, the one or both.
    pub fn ports_of(&self, wire: &WirePlan) -> impl Iterator<Item = &PortPlan> {
        [Some(wire.a), wire.b]
            .into_iter()
            .flatten()
            .filter_map(|port| self.ports.get(port))
    }
}

/// What DPDK's environment abstraction layer (EAL) is told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DpdkPlan {
    /// Where packet buffers lie.
    pub hugepages: Hugepages,
    /// Sets files of this process apart from those of others; one of its own by default.
    pub file_prefix: Option<String>,
    /// Passed to the EAL as they are.
    pub eal_args: Vec<String>,
}

/// Where packet buffers lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Hugepages {
    /// In huge pages where enough are free, otherwise in ordinary ones.
    #[default]
    Auto,
    /// In ordinary pages: slower, and not for every network card.
    Off,
    /// In this many megabytes of huge pages.
    Megabytes(u32),
}

/// Who finishes the checksums of TCP and UDP that their sender left to a network card, in frames that leave through a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChecksumOffload {
    /// The device where it can, otherwise the shard.
    #[default]
    Auto,
    /// The shard.
    Off,
}

/// One device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortPlan {
    /// What it is called in wires, metrics and messages.
    pub name: String,
    /// Which it is.
    pub device: DeviceName,
    /// Queue pairs asked for; as many as there are shards with `None`.
    pub queues: Option<u16>,
    /// Descriptors of each receive queue.
    pub rx_descriptors: u16,
    /// Descriptors of each transmit queue.
    pub tx_descriptors: u16,
    /// Largest IP packet, in bytes; the device's own default with `None`.
    pub mtu: Option<u16>,
    /// Whether frames to other hosts are received.
    pub promiscuous: bool,
    /// Who finishes checksums that came unfinished.
    pub checksum_offload: ChecksumOffload,
    /// Packet buffers; as many as the queues need with `None`.
    pub mbufs: Option<u32>,
}

impl PortPlan {
    /// Default of both kinds of descriptors.
    pub const DESCRIPTORS: u16 = 1024;

    /// `device` with defaults, called `name`.
    pub fn new(name: impl Into<String>, device: DeviceName) -> Self {
        Self {
            name: name.into(),
            device,
            queues: None,
            rx_descriptors: Self::DESCRIPTORS,
            tx_descriptors: Self::DESCRIPTORS,
            mtu: None,
            promiscuous: true,
            checksum_offload: ChecksumOffload::Auto,
            mbufs: None,
        }
    }
}

/// A device: a network card by its PCI address, or a virtual device by its driver and a number; then, after commas, arguments
/// of its driver. `0000:3b:00.0`, `net_af_packet0,iface=eth1`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceName {
    text: String,
    name_len: usize,
    is_pci: bool,
}

impl DeviceName {
    /// What DPDK calls the device: all before the first comma.
    pub fn name(&self) -> &str {
        &self.text[..self.name_len]
    }

    /// Whether it is a PCI device.
    pub fn is_pci(&self) -> bool {
        self.is_pci
    }

    /// Name and arguments.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Value of the driver's argument `key`.
    pub fn argument(&self, key: &str) -> Option<&str> {
        let arguments = self.text.split(',').skip(1);
        let mut pairs = arguments.filter_map(|argument| argument.split_once('='));
        pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, arguments) = text.split_once(',').unwrap_or((text, ""));
        let rest = &text[name.len()..];
        if text.contains(char::is_whitespace) {
            return Err(format!("\"{text}\" has white space in it"));
        }
        if !rest.is_empty() && arguments.split(',').any(str::is_empty) {
            return Err(format!("\"{text}\" has an empty argument"));
        }
        if let Some(address) = pci_address(name) {
            return Ok(Self {
                name_len: address.len(),
                text: address + rest,
                is_pci: true,
            });
        }
        let is_virtual = ["net_", "virtio_user", "eth_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if is_virtual {
            return Ok(Self {
                text: text.to_owned(),
                name_len: name.len(),
                is_pci: false,
            });
        }
        Err(format!(
            "\"{text}\" is neither a PCI address (0000:3b:00.0) nor a virtual device (net_af_packet0,iface={})",
            if name.is_empty() { "eth1" } else { name }
        ))
    }
}

/// The address with its domain, in lower case, where `text` is one: `3b:00.0` is in domain `0000`.
fn pci_address(text: &str) -> Option<String> {
    let is_hex = |part: &str, lens: &[usize]| {
        lens.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let (front, function) = text.rsplit_once('.')?;
    let (front, device) = front.rsplit_once(':')?;
    let (domain, bus) = front.rsplit_once(':').unwrap_or(("0000", front));
    let valid = is_hex(domain, &[4, 8])
        && is_hex(bus, &[2])
        && is_hex(device, &[2])
        && matches!(function.as_bytes(), [b'0'..=b'7']);
    valid.then(|| format!("{domain}:{bus}:{device}.{function}").to_ascii_lowercase())
}

/// A pair of ports between which frames pass, or one port that only listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WirePlan {
    /// Its first port, by its place in [`LivePlan::ports`].
    pub a: usize,
    /// The port on the other side; `None` for a tap.
    pub b: Option<usize>,
    /// What becomes of frames when the shards no longer look at them: they drain, or a shard was lost.
    pub on_exit: Unwatched,
    /// What becomes of frames that come faster than the shards can look at them.
    pub on_overload: Unwatched,
    /// What becomes of packets that are not analysed.
    pub not_analysed: NotAnalysed,
}

impl WirePlan {
    /// A tap on port `a`, or a wire between `a` and `b`, with defaults.
    pub fn new(a: usize, b: Option<usize>) -> Self {
        Self {
            a,
            b,
            on_exit: Unwatched::default(),
            on_overload: Unwatched::default(),
            not_analysed: NotAnalysed::default(),
        }
    }

    fn rules(&self) -> WireRules {
        WireRules {
            pass_refused: self.not_analysed.forward_mask(),
            pass_overload: self.on_overload == Unwatched::Bypass,
            pass_exit: self.on_exit == Unwatched::Bypass,
        }
    }
}

/// What becomes of frames that nobody looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unwatched {
    /// They pass: the network works on, unwatched.
    #[default]
    Bypass,
    /// They do not: nothing passes unseen.
    Drop,
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It passes.
    #[default]
    Forward,
    /// It does not.
    Drop,
}

/// What becomes, on an inline wire, of packets that no actor sees. Each is counted under its reason either way
/// (`mosaic_dropped_packets_total`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NotAnalysed {
    /// Refused by the packet filter (`packet_filter`).
    pub filtered: Fate,
    /// No IP inside: ARP, LLDP, spanning tree (`not_ip`, `link_type`).
    pub not_ip: Fate,
    /// Headers that are cut short, contradict themselves or are too many (`malformed`, `too_deep`).
    pub malformed: Fate,
    /// A wrong checksum (`ip_checksum`, `transport_checksum`).
    pub bad_checksum: Fate,
    /// Fragments that break the rules or find no room (`fragment_invalid`, `fragment_bound`).
    pub fragments_dropped: Fate,
    /// No room in the flow table (`table_full`).
    pub table_full: Fate,
}

impl NotAnalysed {
    /// What becomes of a packet that was counted under `reason`, one of [`Drops::NAMES`]. A reason that no key names passes.
    pub fn fate(&self, reason: &str) -> Fate {
        match reason {
            "packet_filter" => self.filtered,
            "link_type" | "not_ip" => self.not_ip,
            "malformed" | "too_deep" => self.malformed,
            "ip_checksum" | "transport_checksum" => self.bad_checksum,
            "fragment_invalid" | "fragment_bound" => self.fragments_dropped,
            "table_full" => self.table_full,
            _ => Fate::Forward,
        }
    }

    /// The reasons under which packets pass: bit `n` stands for `Drops::NAMES[n]`.
    pub fn forward_mask(&self) -> u32 {
        let bits = (0..).zip(Drops::NAMES);
        bits.filter(|(_, reason)| self.fate(reason) == Fate::Forward)
            .fold(0, |mask, (bit, _)| mask | 1 << bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_stand_in_the_order_of_the_ends() {
        let inline = WirePlan {
            on_exit: Unwatched::Drop,
            ..WirePlan::new(0, Some(1))
        };
        let overloaded = WirePlan {
            on_overload: Unwatched::Drop,
            ..WirePlan::new(3, Some(4))
        };
        let plan = LivePlan {
            wires: vec![inline, WirePlan::new(2, None), overloaded],
            ..LivePlan::default()
        };
        let rules = plan.rules();
        let exit: Vec<_> = rules.iter().map(|rules| rules.pass_exit).collect();
        let overload: Vec<_> = rules.iter().map(|rules| rules.pass_overload).collect();
        assert_eq!(exit, [false, false, true, true, true]);
        assert_eq!(overload, [true, true, true, false, false]);
    }

    #[test]
    fn devices_are_pci_addresses_or_virtual() {
        for (text, name, is_pci) in [
            ("0000:3b:00.0", "0000:3b:00.0", true),
            ("3B:00.1", "0000:3b:00.1", true),
            ("3b:00.0,rx_vec_en=1", "0000:3b:00.0", true),
            ("net_null0", "net_null0", false),
            ("net_af_packet0,iface=veth0", "net_af_packet0", false),
            ("virtio_user0,path=/dev/vhost-net", "virtio_user0", false),
        ] {
            let device: DeviceName = text.parse().unwrap();
            assert_eq!((device.name(), device.is_pci()), (name, is_pci), "{text}");
        }
        let device: DeviceName = "3b:00.0,a=1,iface=x".parse().unwrap();
        assert_eq!(device.as_str(), "0000:3b:00.0,a=1,iface=x");
        assert_eq!(device.argument("iface"), Some("x"));
        assert_eq!(device.argument("face"), None);
        for refused in [
            "eth0",
            "",
            "3b:00.8",
            "3b:0.0",
            "xx:00.0",
            "net_null0,",
            "net_null0,size=64,,copy=1",
            "net null0",
            "net_null0 ",
            "net_nu-ll",
            "é:00.0",
        ] {
            assert!(refused.parse::<DeviceName>().is_err(), "{refused}");
        }
        let error = "eth7".parse::<DeviceName>().unwrap_err();
        assert!(error.contains("net_af_packet0,iface=eth7"), "{error}");
    }

    /// A reason of the engine that no key governs would pass silently.
    #[test]
    fn every_drop_reason_has_a_key() {
        let none = NotAnalysed {
            filtered: Fate::Drop,
            not_ip: Fate::Drop,
            malformed: Fate::Drop,
            bad_checksum: Fate::Drop,
            fragments_dropped: Fate::Drop,
            table_full: Fate::Drop,
        };
        for reason in Drops::NAMES {
            assert_eq!(none.fate(reason), Fate::Drop, "{reason}");
            assert_eq!(
                NotAnalysed::default().fate(reason),
                Fate::Forward,
                "{reason}"
            );
        }
        assert_eq!(none.forward_mask(), 0);
        let only_arp = NotAnalysed {
            not_ip: Fate::Forward,
            ..none
        };
        let bit = |name| 1 << Drops::NAMES.iter().position(|n| *n == name).unwrap();
        assert_eq!(only_arp.forward_mask(), bit("not_ip") | bit("link_type"));
    }
}
