//! Flow keys.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IP protocol number (IANA "Assigned Internet Protocol Numbers").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Proto(pub u8);

impl Proto {
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(1);
    /// Transmission Control Protocol.
    pub const TCP: Self = Self(6);
    /// User Datagram Protocol.
    pub const UDP: Self = Self(17);
    /// ICMP for IPv6.
    pub const ICMPV6: Self = Self(58);
    /// Stream Control Transmission Protocol.
    pub const SCTP: Self = Self(132);
}

/// The name of the well-known ones in lower case, otherwise `proto-N`.
impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ICMP => f.write_str("icmp"),
            Self::TCP => f.write_str("tcp"),
            Self::UDP => f.write_str("udp"),
            Self::ICMPV6 => f.write_str("icmpv6"),
            Self::SCTP => f.write_str("sctp"),
            Self(n) => write!(f, "proto-{n}"),
        }
    }
}

/// An address and a port; the port is 0 for protocols without ports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Endpoint {
    /// IPv4 or IPv6 address.
    pub addr: IpAddr,
    /// Port, or the identifier of an ICMP echo.
    pub port: u16,
}

/// `192.0.2.1:80`, `[2001:db8::1]:80`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        core::net::SocketAddr::new(self.addr, self.port).fmt(f)
    }
}

/// Which way a packet runs through a canonical key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// From the key's lower endpoint to its upper one.
    Up = 0,
    /// From the key's upper endpoint to its lower one.
    Down = 1,
}

/// The canonical innermost 5-tuple: the same for both directions of a flow.
///
/// Addresses are kept as 128 bits (IPv4 in the low 32, told apart by `family`), ordered so that the lower endpoint
/// stands first. `domain` is 0 unless the configuration lets VLAN or tunnel identifiers join the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct FlowKey {
    addr_lower: u128,
    addr_upper: u128,
    domain: u64,
    /// From the highest bits down: nothing (16), lower port (16), upper port (16), protocol (8), family (8).
    rest: u64,
}

impl FlowKey {
    /// The key of a packet from (`src`, `src_port`) to (`dst`, `dst_port`) over IPv4, and which way the packet runs.
    #[inline]
    pub fn v4(
        src: u32,
        dst: u32,
        src_port: u16,
        dst_port: u16,
        proto: Proto,
        domain: u64,
    ) -> (Self, Direction) {
        Self::ordered(
            u128::from(src),
            u128::from(dst),
            src_port,
            dst_port,
            proto,
            4,
            domain,
        )
    }

    /// The key of a packet from (`src`, `src_port`) to (`dst`, `dst_port`) over IPv6, and which way the packet runs.
    #[inline]
    pub fn v6(
        src: u128,
        dst: u128,
        src_port: u16,
        dst_port: u16,
        proto: Proto,
        domain: u64,
    ) -> (Self, Direction) {
        Self::ordered(src, dst, src_port, dst_port, proto, 6, domain)
    }

    #[inline]
    fn ordered(
        src: u128,
        dst: u128,
        src_port: u16,
        dst_port: u16,
        proto: Proto,
        family: u8,
        domain: u64,
    ) -> (Self, Direction) {
        let down = (src, src_port) > (dst, dst_port);
        let (addr_lower, addr_upper, port_lower, port_upper) = if down {
            (dst, src, dst_port, src_port)
        } else {
            (src, dst, src_port, dst_port)
        };
        let key = Self {
            addr_lower,
            addr_upper,
            domain,
            rest: u64::from(port_lower) << 32
                | u64::from(port_upper) << 16
                | u64::from(proto.0) << 8
                | u64::from(family),
        };
        (key, if down { Direction::Down } else { Direction::Up })
    }

    /// Source of the packets that run in `direction`.
    pub fn source(&self, direction: Direction) -> Endpoint {
        match direction {
            Direction::Up => Endpoint {
                addr: self.addr(self.addr_lower),
                port: self.ports().0,
            },
            Direction::Down => Endpoint {
                addr: self.addr(self.addr_upper),
                port: self.ports().1,
            },
        }
    }

    /// IP protocol.
    #[inline]
    pub fn proto(&self) -> Proto {
        let [.., proto, _] = self.rest.to_be_bytes();
        Proto(proto)
    }

    /// The lower endpoint's port and the upper one's.
    #[inline]
    fn ports(&self) -> (u16, u16) {
        let [_, _, a, b, c, d, ..] = self.rest.to_be_bytes();
        (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
    }

    /// Whether it is an IPv6 flow.
    #[inline]
    pub fn is_v6(&self) -> bool {
        self.rest & 0xff == 6
    }

    /// VLAN and tunnel identifiers that joined the key; 0 where the configuration leaves them out.
    pub fn domain(&self) -> u64 {
        self.domain
    }

    /// The parts that hashes mix: addresses, domain, and ports with protocol and family.
    #[inline]
    pub(crate) fn parts(&self) -> (u128, u128, u64, u64) {
        (self.addr_lower, self.addr_upper, self.domain, self.rest)
    }

    /// Both ports, the lower endpoint's first.
    #[inline]
    pub(crate) fn port_words(&self) -> u32 {
        let (lower, upper) = self.ports();
        u32::from(lower) << 16 | u32::from(upper)
    }

    fn addr(&self, bits: u128) -> IpAddr {
        if self.is_v6() {
            return Ipv6Addr::from_bits(bits).into();
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "an IPv4 address stands in the low 32 bits"
        )]
        let bits = bits as u32;
        Ipv4Addr::from_bits(bits).into()
    }
}

impl Direction {
    /// The other way.
    pub fn reversed(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_one_key() {
        let (up, d1) = FlowKey::v4(0x0a00_0001, 0xc0a8_0001, 4000, 80, Proto::TCP, 0);
        let (down, d2) = FlowKey::v4(0xc0a8_0001, 0x0a00_0001, 80, 4000, Proto::TCP, 0);
        assert_eq!(up, down);
        assert_eq!((d1, d2), (Direction::Up, Direction::Down));
        assert_eq!(
            up.source(Direction::Up),
            Endpoint {
                addr: Ipv4Addr::new(10, 0, 0, 1).into(),
                port: 4000
            }
        );
        assert_eq!(
            up.source(d2),
            Endpoint {
                addr: Ipv4Addr::new(192, 168, 0, 1).into(),
                port: 80
            }
        );
    }

    #[test]
    fn families_do_not_meet() {
        let (four, _) = FlowKey::v4(1, 2, 3, 4, Proto::TCP, 0);
        let (six, _) = FlowKey::v6(1, 2, 3, 4, Proto::TCP, 0);
        assert_ne!(four, six);
    }

    #[test]
    fn a_key_is_48_bytes() {
        assert_eq!(size_of::<FlowKey>(), 48);
    }
}
