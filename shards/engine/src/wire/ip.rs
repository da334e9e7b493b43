//! What is common to IPv4 and IPv6: the version, and the protocols inside.

use super::reason::Reason;
use super::walk::{Next, Walk};
use super::{Layer, ipv4, ipv6, shim, udp};

/// IP protocol numbers (IANA) of what can carry another packet, and of extension headers.
pub(super) mod protocol {
    pub(in crate::wire) const HOP_BY_HOP: u8 = 0;
    pub(in crate::wire) const IPV4: u8 = 4;
    pub(in crate::wire) const UDP: u8 = 17;
    pub(in crate::wire) const IPV6: u8 = 41;
    pub(in crate::wire) const ROUTING: u8 = 43;
    pub(in crate::wire) const FRAGMENT: u8 = 44;
    pub(in crate::wire) const GRE: u8 = 47;
    pub(in crate::wire) const AH: u8 = 51;
    pub(in crate::wire) const DESTINATION: u8 = 60;
    /// Ethernet in IP (RFC 3378).
    pub(in crate::wire) const ETHER_IP: u8 = 97;
    pub(in crate::wire) const MPLS: u8 = 137;
    pub(in crate::wire) const SHIM6: u8 = 140;
    /// Ethernet in segment routing (RFC 8986).
    pub(in crate::wire) const ETHERNET: u8 = 143;
}

/// An IP header of either version.
pub(super) fn parse(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    match walk.view.u8(0)? >> 4 {
        4 => ipv4::parse(walk),
        6 => ipv6::parse(walk),
        _ => Err(Reason::Malformed),
    }
}

/// What stands behind an IP header, by protocol number.
pub(super) fn dispatch(walk: &mut Walk<'_, '_>, number: u8) -> Result<Next, Reason> {
    match number {
        protocol::IPV4 => walk.push_ip().map(|()| Next::Ip),
        protocol::IPV6 => walk.push_ip().map(|()| Next::Ipv6),
        protocol::UDP => udp::parse(walk),
        protocol::GRE => walk.push_ip().map(|()| Next::Gre),
        protocol::AH => authentication(walk),
        protocol::ETHER_IP => {
            walk.push_ip()?;
            shim::bridged(walk, 2, "etherip")
        }
        protocol::MPLS => walk.push_ip().map(|()| Next::Mpls),
        protocol::ETHERNET => {
            walk.push_ip()?;
            shim::bridged(walk, 0, "bridged")
        }
        _ => Ok(Next::Packet),
    }
}

/// IP Authentication Header (RFC 4302): the payload is in the clear.
fn authentication(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let [next, words] = walk.view.array(0)?;
    walk.push(Layer::Other("ah"))?;
    walk.skip((usize::from(words) + 2) * 4)?;
    let layers = walk.layers.len();
    if let Some(ip) = &mut walk.ip {
        (ip.proto, ip.payload, ip.layers) = (next, walk.view, layers);
    }
    Ok(Next::Protocol(next))
}
