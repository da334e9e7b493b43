//! Link types.

/// What a frame begins with: a `LINKTYPE_` value of the pcap file formats (see the tcpdump group's registry).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: a four-byte address family in the byte order of the capturing host.
    pub const NULL: Self = Self(0);
    /// IEEE 802.3 / Ethernet II.
    pub const ETHERNET: Self = Self(1);
    /// PPP, optionally with HDLC address and control bytes.
    pub const PPP: Self = Self(9);
    /// PPP in HDLC-like framing (RFC 1662) or Cisco HDLC.
    pub const PPP_HDLC: Self = Self(50);
    /// PPPoE session header first (RFC 2516).
    pub const PPP_ETHER: Self = Self(51);
    /// IPv4 or IPv6 header first.
    pub const RAW: Self = Self(101);
    /// Cisco HDLC.
    pub const C_HDLC: Self = Self(104);
    /// IEEE 802.11 header first.
    pub const IEEE802_11: Self = Self(105);
    /// OpenBSD loopback: a four-byte address family in network byte order.
    pub const LOOP: Self = Self(108);
    /// Linux "cooked" capture, version 1.
    pub const LINUX_SLL: Self = Self(113);
    /// Prism header, then IEEE 802.11.
    pub const IEEE802_11_PRISM: Self = Self(119);
    /// Radiotap header, then IEEE 802.11.
    pub const IEEE802_11_RADIOTAP: Self = Self(127);
    /// AVS header, then IEEE 802.11.
    pub const IEEE802_11_AVS: Self = Self(163);
    /// Per-packet information header, then a frame of the type it names.
    pub const PPI: Self = Self(192);
    /// IPv4 header first.
    pub const IPV4: Self = Self(228);
    /// IPv6 header first.
    pub const IPV6: Self = Self(229);
    /// Linux netfilter log messages.
    pub const NFLOG: Self = Self(239);
    /// Linux "cooked" capture, version 2.
    pub const LINUX_SLL2: Self = Self(276);
}
