//! Ethernet II, IEEE 802.3 and what an `EtherType` names.

use mosaic_port::LinkType;

use super::reason::Reason;
use super::walk::{Next, Walk};
use super::{shim, vlan};

/// `EtherType` values (IEEE registration authority).
pub(super) mod ether_type {
    pub(in crate::wire) const IPV4: u16 = 0x0800;
    pub(in crate::wire) const IPV6: u16 = 0x86dd;
    pub(in crate::wire) const VLAN: u16 = 0x8100;
    pub(in crate::wire) const QINQ: u16 = 0x88a8;
    /// Double tags from before IEEE 802.1ad.
    pub(in crate::wire) const QINQ_OLD: u16 = 0x9100;
    pub(in crate::wire) const MPLS: u16 = 0x8847;
    pub(in crate::wire) const MPLS_MULTICAST: u16 = 0x8848;
    pub(in crate::wire) const PPPOE_SESSION: u16 = 0x8864;
    /// Transparent Ethernet bridging, in GRE and Geneve.
    pub(in crate::wire) const BRIDGED: u16 = 0x6558;
    pub(in crate::wire) const NSH: u16 = 0x894f;
    /// Length of an IEEE 802.3 frame; larger values up to 0x05ff mean nothing.
    pub(in crate::wire) const LENGTH_MAX: u16 = 1500;
    /// IEEE 802.2 in frames longer than [`LENGTH_MAX`].
    pub(in crate::wire) const LLC: u16 = 0x8870;
    pub(in crate::wire) const PROVIDER_BACKBONE: u16 = 0x88e7;
    pub(in crate::wire) const MACSEC: u16 = 0x88e5;
    pub(in crate::wire) const HSR: u16 = 0x892f;
    /// Redundancy tag of IEEE 802.1CB.
    pub(in crate::wire) const REDUNDANCY: u16 = 0xf1c1;
    pub(in crate::wire) const TRILL: u16 = 0x22f3;
    pub(in crate::wire) const VN_TAG: u16 = 0x8926;
    /// E-tag of IEEE 802.1BR.
    pub(in crate::wire) const E_TAG: u16 = 0x893f;
    pub(in crate::wire) const CISCO_METADATA: u16 = 0x8909;
    pub(in crate::wire) const CISCO_FABRIC_PATH: u16 = 0x8903;
}

/// Length of two addresses and the type.
pub(super) const HEADER_LEN: usize = 14;

/// The longest link layer that is plain: Ethernet with four tags.
pub(crate) const LINK_MAX: usize = 30;

/// Whether `head`, what stands before an IP header, is Ethernet with tags of VLANs at most, or nothing at all.
pub(crate) fn is_plain(link: LinkType, head: &[u8]) -> bool {
    if link != LinkType::ETHERNET {
        return head.is_empty();
    }
    let at = type_at(head);
    let is_ip = matches!(head.get(at..at + 2), Some([0x08, 0x00] | [0x86, 0xdd]));
    is_ip && head.len() == at + 2 && head.len() <= LINK_MAX
}

/// Where in an Ethernet frame the type stands of what comes behind the tags of VLANs.
pub(crate) fn type_at(frame: &[u8]) -> usize {
    let is_tag = |kind: &[u8]| matches!(kind, [0x81 | 0x91, 0] | [0x88, 0xa8]);
    let mut at = HEADER_LEN - 2;
    while frame.get(at..at + 2).is_some_and(is_tag) {
        at += 4;
    }
    at
}

/// An Ethernet header.
pub(super) fn parse(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let type_or_length = walk.view.u16(HEADER_LEN - 2)?;
    walk.skip(HEADER_LEN)?;
    Ok(Next::EtherType(type_or_length))
}

/// What an `EtherType`, or the length that stands in its place, says.
pub(super) fn dispatch(walk: &mut Walk<'_, '_>, ether_type: u16) -> Result<Next, Reason> {
    match ether_type {
        ether_type::IPV4 => Ok(Next::Ip),
        ether_type::IPV6 => Ok(Next::Ipv6),
        ether_type::VLAN | ether_type::QINQ | ether_type::QINQ_OLD => vlan::parse(walk),
        ether_type::MPLS | ether_type::MPLS_MULTICAST => Ok(Next::Mpls),
        ether_type::PPPOE_SESSION => Ok(Next::Pppoe),
        0..=ether_type::LENGTH_MAX => {
            walk.view = walk.view.limit(usize::from(ether_type));
            Ok(Next::Llc)
        }
        ether_type::LLC => Ok(Next::Llc),
        ether_type::NSH => Ok(Next::Nsh),
        ether_type::BRIDGED => shim::bridged(walk, 0, "bridged"),
        ether_type::PROVIDER_BACKBONE => shim::bridged(walk, 4, "pbb"),
        ether_type::CISCO_FABRIC_PATH => shim::fabric_path(walk),
        ether_type::TRILL => shim::trill(walk),
        ether_type::VN_TAG => shim::tag(walk, 6, "vntag"),
        ether_type::E_TAG => shim::tag(walk, 8, "etag"),
        ether_type::HSR => shim::tag(walk, 6, "hsr"),
        ether_type::REDUNDANCY => shim::tag(walk, 6, "rtag"),
        ether_type::CISCO_METADATA => shim::metadata(walk),
        ether_type::MACSEC => shim::macsec(walk),
        _ => Err(Reason::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ethernet, layers_around, outcome, tcp4, tcp6};
    use mosaic_port::LinkType;

    #[test]
    fn both_versions_of_ip_follow_their_type() {
        assert_eq!(
            layers_around(LinkType::ETHERNET, &ethernet(0x0800, &tcp4())),
            []
        );
        assert_eq!(
            layers_around(LinkType::ETHERNET, &ethernet(0x86dd, &tcp6())),
            []
        );
        // Version 6 under the type of IPv4 is read as what it is, the other way round is not.
        assert_eq!(
            layers_around(LinkType::ETHERNET, &ethernet(0x0800, &tcp6())),
            []
        );
        assert_eq!(
            outcome(LinkType::ETHERNET, &ethernet(0x86dd, &tcp4())).unwrap_err(),
            "malformed"
        );
    }

    #[test]
    fn other_types_are_no_ip() {
        for ether_type in [0x0806, 0x88cc, 0x8863, 0x05ff] {
            assert_eq!(
                outcome(LinkType::ETHERNET, &ethernet(ether_type, &tcp4())).unwrap_err(),
                "not_ip"
            );
        }
        assert_eq!(
            outcome(LinkType::ETHERNET, &[0; 13]).unwrap_err(),
            "malformed"
        );
    }

    #[test]
    fn padding_of_the_link_layer_is_no_payload() {
        let mut frame = ethernet(0x0800, &tcp4());
        frame.resize(80, 0);
        let packet = outcome(LinkType::ETHERNET, &frame).unwrap();
        assert_eq!(
            (packet.payload_len, packet.payload_captured, packet.wire_len),
            (5, 5, 80)
        );
    }
}
