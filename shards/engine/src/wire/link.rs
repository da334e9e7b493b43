//! What a frame begins with, by link type.

use mosaic_port::LinkType;

use super::reason::Reason;
use super::view::View;
use super::walk::{Next, Walk};
use super::{ppp, wlan};

/// Link types that stand for another one in some file or on some system.
mod alias {
    use super::LinkType;

    /// `DLT_RAW` of BSD/OS and of OpenBSD.
    pub(super) const RAW_BSDOS: LinkType = LinkType(12);
    pub(super) const RAW_OPENBSD: LinkType = LinkType(14);
    /// Apple's packets with metadata, as registered and as written by its own tools.
    pub(super) const PKTAP: LinkType = LinkType(258);
    pub(super) const PKTAP_USER2: LinkType = LinkType(149);
    /// PPP, with a byte for the direction in front.
    pub(super) const PPP_WITH_DIR: LinkType = LinkType(204);
}

/// Address families of BSD systems, as in the header of the loopback link types: IPv4, and IPv6 on NetBSD and OpenBSD,
/// FreeBSD, macOS, and Linux.
const BSD_INET: u32 = 2;
const BSD_INET6: [u32; 4] = [24, 28, 30, 10];
/// A family above this in network byte order was written in the other one.
const BSD_FAMILY_MAX: u32 = 0xffff;

const SLL_LEN: usize = 16;
const SLL2_LEN: usize = 20;
/// Protocol values of the cooked capture that are no `EtherType`: Ethernet, IEEE 802.2, PPP.
const SLL_ETHERNET: u16 = 3;
const SLL_LLC: u16 = 4;
const SLL_PPP: u16 = 7;
/// Hardware type of Linux for wireless interfaces in monitor mode.
const HARDWARE_RADIOTAP: u16 = 803;

/// Address families of Linux, as NFLOG has them.
const LINUX_INET: u8 = 2;
const LINUX_INET6: u8 = 10;
const NFLOG_HEADER_LEN: usize = 4;
const NFLOG_PAYLOAD: u16 = 9;

/// What stands at the start of a frame of type `link`, or [`Reason::LinkType`] where the type is not known.
pub(super) fn parse(walk: &mut Walk<'_, '_>, link: LinkType) -> Result<Next, Reason> {
    match link {
        LinkType::ETHERNET => Ok(Next::Ethernet),
        LinkType::RAW | alias::RAW_BSDOS | alias::RAW_OPENBSD | LinkType::IPV4 => Ok(Next::Ip),
        LinkType::IPV6 => Ok(Next::Ipv6),
        LinkType::NULL | LinkType::LOOP => loopback(walk),
        LinkType::LINUX_SLL => {
            let (hardware, protocol) = (walk.view.u16(2)?, walk.view.u16(14)?);
            walk.skip(SLL_LEN)?;
            cooked(walk, hardware, protocol)
        }
        LinkType::LINUX_SLL2 => {
            let (hardware, protocol) = (walk.view.u16(8)?, walk.view.u16(0)?);
            walk.skip(SLL2_LEN)?;
            cooked(walk, hardware, protocol)
        }
        LinkType::NFLOG => nflog(walk),
        LinkType::PPP | LinkType::PPP_HDLC => Ok(Next::PppFramed),
        alias::PPP_WITH_DIR => walk.skip(1).map(|()| Next::PppFramed),
        LinkType::PPP_ETHER => Ok(Next::Pppoe),
        LinkType::C_HDLC => Ok(Next::CiscoHdlc),
        LinkType::IEEE802_11 => Ok(Next::Wlan),
        LinkType::IEEE802_11_RADIOTAP => wlan::radiotap(walk),
        LinkType::IEEE802_11_PRISM => wlan::prism(walk),
        LinkType::IEEE802_11_AVS => wlan::avs(walk),
        LinkType::PPI => per_packet_information(walk),
        alias::PKTAP | alias::PKTAP_USER2 => pktap(walk),
        _ => Err(Reason::LinkType),
    }
}

/// BSD loopback: the address family, in the byte order of a host that is not known here.
fn loopback(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let family = walk.view.u32(0)?;
    if family >> 16 == u32::from(u16::from_be_bytes(ppp::FRAMED)) {
        // The loopback type of systems that had none for PPP.
        return Ok(Next::PppFramed);
    }
    let family = if family > BSD_FAMILY_MAX {
        family.swap_bytes()
    } else {
        family
    };
    walk.skip(4)?;
    match family {
        BSD_INET => Ok(Next::Ip),
        _ if BSD_INET6.contains(&family) => Ok(Next::Ipv6),
        _ => u16::try_from(family)
            .map(Next::EtherType)
            .map_err(|_| Reason::NotIp),
    }
}

/// What the protocol field of a Linux cooked capture names.
fn cooked(walk: &mut Walk<'_, '_>, hardware: u16, protocol: u16) -> Result<Next, Reason> {
    if hardware == HARDWARE_RADIOTAP {
        return wlan::radiotap(walk);
    }
    match protocol {
        SLL_ETHERNET => Ok(Next::Ethernet),
        SLL_LLC => Ok(Next::Llc),
        SLL_PPP => Ok(Next::PppFramed),
        0..0x0600 => Err(Reason::NotIp),
        _ => Ok(Next::EtherType(protocol)),
    }
}

/// Netfilter log: family, version, resource, then attributes, of which one is the packet.
fn nflog(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let family = walk.view.u8(0)?;
    let attributes = walk.view.skip(NFLOG_HEADER_LEN)?;
    // Attributes are in the byte order of the capturing host. Read in the wrong order they do not add up.
    let (at, len) = nflog_payload(attributes, u16::from_le_bytes)
        .or_else(|| nflog_payload(attributes, u16::from_be_bytes))
        .ok_or(Reason::NotIp)?;
    walk.view = attributes.skip(at)?.limit(len);
    match family {
        LINUX_INET => Ok(Next::Ip),
        LINUX_INET6 => Ok(Next::Ipv6),
        _ => Err(Reason::NotIp),
    }
}

/// Offset and length of the payload attribute's value.
fn nflog_payload(view: View<'_>, order: fn([u8; 2]) -> u16) -> Option<(usize, usize)> {
    let mut at = 0;
    loop {
        let len = usize::from(order(view.array(at).ok()?));
        let kind = order(view.array(at + 2).ok()?) & 0x7fff;
        if len < 4 || at + len > view.wire_len() {
            return None;
        }
        if kind == NFLOG_PAYLOAD {
            return Some((at + 4, len - 4));
        }
        at += len.next_multiple_of(4);
    }
}

/// PPI: version, flags, length and link type of what follows, in little-endian order.
fn per_packet_information(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let len = u16::from_le_bytes(walk.view.array(2)?);
    let link = u32::from_le_bytes(walk.view.array(4)?);
    if len < 8 {
        return Err(Reason::Malformed);
    }
    walk.skip(usize::from(len))?;
    inner(link)
}

/// Apple's metadata: length, kind of record, link type of what follows, in little-endian order.
fn pktap(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let len = u32::from_le_bytes(walk.view.array(0)?);
    let link = u32::from_le_bytes(walk.view.array(8)?);
    if len < 12 {
        return Err(Reason::Malformed);
    }
    walk.skip(usize::try_from(len).map_err(|_| Reason::Malformed)?)?;
    inner(link)
}

/// A frame of type `link` inside a header with metadata. There is no second such header inside.
fn inner(link: u32) -> Result<Next, Reason> {
    match u16::try_from(link).map(LinkType) {
        Err(_) | Ok(LinkType::PPI | alias::PKTAP | alias::PKTAP_USER2) => Err(Reason::LinkType),
        Ok(link) => Ok(Next::Link(link)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::super::testing::{ethernet, join, layers_around, outcome, tcp4, tcp6};
    use super::*;
    use std::vec::Vec;

    #[test]
    fn raw_ip_has_many_numbers() {
        for link in [12, 14, 101, 228] {
            assert_eq!(layers_around(LinkType(link), &tcp4()), []);
        }
        for link in [12, 14, 101, 229] {
            assert_eq!(layers_around(LinkType(link), &tcp6()), []);
        }
        assert_eq!(outcome(LinkType(229), &tcp4()).unwrap_err(), "malformed");
        assert_eq!(outcome(LinkType(9999), &tcp4()).unwrap_err(), "link_type");
    }

    #[test]
    fn loopback_in_both_byte_orders() {
        for link in [LinkType::NULL, LinkType::LOOP] {
            for family in [24_u32, 28, 30, 10] {
                assert_eq!(
                    layers_around(link, &join(&[&family.to_be_bytes(), &tcp6()])),
                    []
                );
                assert_eq!(
                    layers_around(link, &join(&[&family.to_le_bytes(), &tcp6()])),
                    []
                );
            }
            assert_eq!(
                layers_around(link, &join(&[&2_u32.to_be_bytes(), &tcp4()])),
                []
            );
            assert_eq!(
                layers_around(link, &join(&[&2_u32.to_le_bytes(), &tcp4()])),
                []
            );
            assert_eq!(
                outcome(link, &join(&[&[0, 0, 0, 7], &tcp4()])).unwrap_err(),
                "not_ip"
            );
        }
    }

    #[test]
    fn cooked_captures_of_both_versions() {
        let first = |protocol: u16, payload: &[u8]| {
            join(&[
                &[0, 0, 0, 1, 0, 6],
                &[2; 8],
                &protocol.to_be_bytes(),
                payload,
            ])
        };
        let second =
            |protocol: u16, payload: &[u8]| join(&[&protocol.to_be_bytes(), &[0; 18], payload]);
        let snap = join(&[&[0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00], &tcp4()]);
        let tagged = join(&[&[0, 5, 0x08, 0x00], &tcp4()]);
        for (link, frame) in [
            (
                LinkType::LINUX_SLL,
                &first as &dyn Fn(u16, &[u8]) -> Vec<u8>,
            ),
            (LinkType::LINUX_SLL2, &second),
        ] {
            assert_eq!(layers_around(link, &frame(0x0800, &tcp4())), []);
            assert_eq!(layers_around(link, &frame(0x86dd, &tcp6())), []);
            assert_eq!(
                layers_around(link, &frame(0x8100, &tagged)),
                [Layer::Vlan(5)]
            );
            assert_eq!(
                layers_around(link, &frame(3, &ethernet(0x0800, &tcp4()))),
                []
            );
            assert_eq!(layers_around(link, &frame(4, &snap)), []);
            assert_eq!(
                layers_around(link, &frame(7, &join(&[&[0x21], &tcp4()]))),
                []
            );
            assert_eq!(
                outcome(link, &frame(0x000c, &tcp4())).unwrap_err(),
                "not_ip"
            );
        }
    }

    #[test]
    fn wireless_monitors_may_be_captured_cooked() {
        let wlan = join(&[
            &[0x08, 0x01],
            &[0; 22],
            &[0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00],
        ]);
        let frame = join(&[&[0, 0, 8, 0, 0, 0, 0, 0], &wlan, &tcp4()]);
        let first = join(&[&[0, 0, 3, 0x23, 0, 6], &[2; 8], &[0, 0x19], &frame]);
        assert_eq!(layers_around(LinkType::LINUX_SLL, &first), []);
        let second = join(&[&[0, 0x19, 0, 0, 0, 0, 0, 1, 3, 0x23], &[0; 10], &frame]);
        assert_eq!(layers_around(LinkType::LINUX_SLL2, &second), []);
    }

    #[test]
    fn netfilter_attributes_in_both_byte_orders() {
        let len = u16::try_from(4 + tcp4().len()).unwrap();
        let little = join(&[
            &[2, 0, 0, 0],
            &[5, 0, 1, 0, 7, 0, 0, 0],
            &len.to_le_bytes(),
            &[9, 0],
            &tcp4(),
        ]);
        let big = join(&[
            &[2, 0, 0, 0],
            &[0, 5, 0, 1, 7, 0, 0, 0],
            &len.to_be_bytes(),
            &[0, 9],
            &tcp4(),
        ]);
        assert_eq!(layers_around(LinkType::NFLOG, &little), []);
        assert_eq!(layers_around(LinkType::NFLOG, &big), []);
        assert_eq!(
            outcome(LinkType::NFLOG, &[2, 0, 0, 0, 4, 0, 1, 0]).unwrap_err(),
            "not_ip"
        );
        assert_eq!(
            outcome(LinkType::NFLOG, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap_err(),
            "not_ip"
        );
    }

    #[test]
    fn metadata_headers_name_what_they_carry() {
        let ppi = |link: u8| {
            join(&[
                &[0, 0, 12, 0, link, 0, 0, 0, 1, 1, 1, 1],
                &ethernet(0x0800, &tcp4()),
            ])
        };
        assert_eq!(layers_around(LinkType::PPI, &ppi(1)), []);
        assert_eq!(outcome(LinkType::PPI, &ppi(192)).unwrap_err(), "link_type");
        let pktap = join(&[
            &[16, 0, 0, 0, 1, 0, 0, 0, 101, 0, 0, 0, 0, 0, 0, 0],
            &tcp4(),
        ]);
        for link in [149, 258] {
            assert_eq!(layers_around(LinkType(link), &pktap), []);
        }
        assert_eq!(
            outcome(LinkType::PPI, &[0, 0, 7, 0, 1, 0, 0, 0]).unwrap_err(),
            "malformed"
        );
        assert_eq!(outcome(LinkType(258), &[0; 12]).unwrap_err(), "malformed");
    }
}
