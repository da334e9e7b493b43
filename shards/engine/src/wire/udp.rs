//! Tunnels that UDP carries, told by their port numbers.

use super::reason::Reason;
use super::sums::Sum;
use super::view::View;
use super::walk::{Next, Walk};
use super::{Layer, ayiya, capwap, geneve, gtp, l2tp, teredo, vxlan};

const HEADER_LEN: usize = 8;
/// AMT message that carries a packet.
const AMT_DATA: u8 = 6;

/// Services whose clients may have chosen the port of a tunnel: DNS, DHCP, TFTP, Kerberos, NTP, NetBIOS, SNMP, LDAP, QUIC,
/// IKE, syslog.
const SERVICES: [u16; 14] = [
    53, 67, 68, 69, 88, 123, 137, 138, 161, 162, 389, 443, 500, 514,
];

/// What a UDP port is assigned to (IANA).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tunnel {
    Amt,
    Ayiya,
    CapwapData,
    Geneve,
    Gre,
    Gtp,
    JuniperMirror,
    L2tp,
    Lisp,
    Mpls,
    Teredo,
    Tzsp,
    Vxlan,
    VxlanGpe,
}

impl Tunnel {
    fn of_ports(source: u16, destination: u16) -> Option<Self> {
        if SERVICES.contains(&source) || SERVICES.contains(&destination) {
            return None;
        }
        Self::of_port(destination).or_else(|| Self::of_port(source))
    }

    fn of_port(port: u16) -> Option<Self> {
        match port {
            1701 => Some(Self::L2tp),
            // Of the user plane, the control plane and of charging; user data may be on all.
            2152 | 2123 | 3386 => Some(Self::Gtp),
            2268 => Some(Self::Amt),
            3544 => Some(Self::Teredo),
            4341 => Some(Self::Lisp),
            4754 => Some(Self::Gre),
            4789 => Some(Self::Vxlan),
            4790 => Some(Self::VxlanGpe),
            5072 => Some(Self::Ayiya),
            5247 => Some(Self::CapwapData),
            6081 => Some(Self::Geneve),
            6635 => Some(Self::Mpls),
            30030 => Some(Self::JuniperMirror),
            37008 => Some(Self::Tzsp),
            _ => None,
        }
    }

    /// Takes off the tunnel's own header.
    pub(super) fn parse(self, walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
        match self {
            Self::Amt if walk.view.u8(0)? & 0x0f == AMT_DATA => ip(walk, 2, "amt"),
            Self::Amt => Err(Reason::NotIp),
            Self::Ayiya => ayiya::parse(walk),
            Self::CapwapData => capwap::data(walk),
            Self::Geneve => geneve::parse(walk),
            Self::Gre => Ok(Next::Gre),
            Self::Gtp => gtp::parse(walk),
            Self::L2tp => l2tp::parse(walk),
            Self::JuniperMirror => ip(walk, 8, "jmirror"),
            Self::Lisp => ip(walk, 8, "lisp"),
            Self::Mpls => Ok(Next::Mpls),
            Self::Teredo => teredo::parse(walk),
            Self::Tzsp => capwap::tzsp(walk),
            Self::Vxlan => vxlan::parse(walk),
            Self::VxlanGpe => vxlan::parse_gpe(walk),
        }
    }
}

/// A UDP header. Ends at its payload where a port says that it is a tunnel, otherwise at the packet itself.
pub(super) fn parse(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let (source, destination) = (walk.view.u16(0)?, walk.view.u16(2)?);
    let Some(tunnel) = Tunnel::of_ports(source, destination) else {
        return Ok(Next::Packet);
    };
    walk.push_ip()?;
    let at = walk.view.at();
    let is_sent = walk.view.u16(6) != Ok(0);
    walk.view = payload(walk.view)?;
    walk.note_outer(at, walk.view.at());
    if is_sent {
        walk.note_sum(Sum {
            field: at + 6,
            covers: (at, walk.view.at() + walk.view.wire_len()),
            addresses: (0, 0),
            never_zero: true,
        });
    }
    Ok(Next::UdpTunnel(tunnel))
}

fn payload(view: View<'_>) -> Result<View<'_>, Reason> {
    let len = usize::from(view.u16(4)?);
    let datagram = if len < HEADER_LEN {
        view
    } else {
        view.limit(len)
    };
    datagram.skip(HEADER_LEN)
}

/// An IP packet behind a header of `len` bytes: LISP data (RFC 9300), AMT (RFC 7450), Juniper's mirror.
fn ip(walk: &mut Walk<'_, '_>, len: usize, name: &'static str) -> Result<Next, Reason> {
    walk.take_off(len, Layer::Other(name))?;
    Ok(Next::Ip)
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::super::testing::{
        OUTER4, ethernet, ipv4, join, layers_around, outcome, tcp4, tcp6, udp, udp_frame,
    };
    use crate::flow::Proto;
    use mosaic_port::LinkType;

    #[test]
    fn tunnels_without_a_header_of_their_own() {
        let gre = join(&[&[0, 0, 0x08, 0x00], &tcp4()]);
        assert_eq!(
            layers_around(LinkType::ETHERNET, &udp_frame(4754, &gre)),
            [OUTER4, Layer::Gre(0)]
        );
        let labelled = join(&[&[0, 1, 1, 64], &tcp4()]);
        assert_eq!(
            layers_around(LinkType::ETHERNET, &udp_frame(6635, &labelled)),
            [OUTER4, Layer::Mpls(0x10)]
        );
        let mirrored = join(&[&[0, 0, 0, 1, 0, 0, 0, 1], &tcp4()]);
        let layers = [OUTER4, Layer::Other("jmirror")];
        assert_eq!(
            layers_around(LinkType::ETHERNET, &udp_frame(30030, &mirrored)),
            layers
        );
        let multicast = join(&[&[6, 0], &tcp4()]);
        let layers = [OUTER4, Layer::Other("amt")];
        assert_eq!(
            layers_around(LinkType::ETHERNET, &udp_frame(2268, &multicast)),
            layers
        );
        let lisp = join(&[&[0xc0, 0, 0, 1, 0, 0, 0, 1], &tcp6()]);
        assert_eq!(
            layers_around(LinkType::ETHERNET, &udp_frame(4341, &lisp)),
            [OUTER4, Layer::Other("lisp")]
        );
    }

    #[test]
    fn the_port_of_either_side_will_do() {
        let vxlan = join(&[&[8, 0, 0, 0, 0, 0, 9, 0], &ethernet(0x0800, &tcp4())]);
        let frame = ethernet(0x0800, &ipv4(17, &udp(4789, 4000, &vxlan)));
        assert_eq!(
            layers_around(LinkType::ETHERNET, &frame),
            [OUTER4, Layer::Vxlan(9)]
        );
    }

    #[test]
    fn what_is_no_tunnel_is_plain_udp() {
        for port in [
            1701, 2123, 2152, 2268, 3386, 3544, 4341, 4754, 4789, 4790, 5072, 5247, 6081, 6635,
            37008,
        ] {
            for payload in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &[0; 20], &[0xff; 60]] {
                let packet = outcome(LinkType::ETHERNET, &udp_frame(port, payload)).unwrap();
                assert_eq!(
                    (packet.key.proto(), packet.encapsulation, packet.ip_at),
                    (Proto::UDP, 0, 14),
                    "{port}"
                );
                assert_eq!(packet.key.source(packet.direction.reversed()).port, port);
                assert_eq!(packet.payload_len as usize, payload.len());
            }
        }
    }
}
