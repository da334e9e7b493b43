//! Headers between Ethernet and what it carries, besides VLAN tags: provider backbones, fabrics, security tags.

use super::Layer;
use super::reason::Reason;
use super::walk::{Next, Walk};

/// A tag of `len` bytes that ends with the type of what follows.
pub(super) fn tag(walk: &mut Walk<'_, '_>, len: usize, name: &'static str) -> Result<Next, Reason> {
    let ether_type = walk.view.u16(len - 2)?;
    walk.take_off(len, Layer::Other(name))?;
    Ok(Next::EtherType(ether_type))
}

/// A header of `len` bytes in front of another Ethernet header.
pub(super) fn bridged(
    walk: &mut Walk<'_, '_>,
    len: usize,
    name: &'static str,
) -> Result<Next, Reason> {
    walk.take_off(len, Layer::Other(name))?;
    Ok(Next::Ethernet)
}

/// Cisco `MetaData`: version, length in options, options of four bytes, the type of what follows.
pub(super) fn metadata(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let options = usize::from(walk.view.u8(1)?);
    tag(walk, 2 + options * 4 + 2, "cmd")
}

/// TRILL (RFC 6325): the length of the options stands in the flags.
pub(super) fn trill(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let words = usize::from(walk.view.u16(0)? >> 6 & 0x1f);
    bridged(walk, 6 + words * 4, "trill")
}

/// Tag control information of `MACsec`: encrypted, changed, explicit channel.
const MACSEC_ENCRYPTED_OR_CHANGED: u8 = 0x08 | 0x04;
const MACSEC_CHANNEL: u8 = 0x20;
const MACSEC_CHECK_LEN: usize = 16;

/// `MACsec` (IEEE 802.1AE) that only authenticates.
pub(super) fn macsec(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let control = walk.view.u8(0)?;
    if control & MACSEC_ENCRYPTED_OR_CHANGED != 0 {
        return Err(Reason::NotIp);
    }
    walk.view = walk
        .view
        .limit(walk.view.wire_len().saturating_sub(MACSEC_CHECK_LEN));
    let len = if control & MACSEC_CHANNEL == 0 { 6 } else { 14 };
    tag(walk, len + 2, "macsec")
}

/// Check sequence at the end of a `FabricPath` frame.
const FABRIC_PATH_CHECK_LEN: usize = 4;

/// Cisco `FabricPath`: what stands in the place of addresses and tag, then the frame with its check sequence.
pub(super) fn fabric_path(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    walk.view = walk
        .view
        .limit(walk.view.wire_len().saturating_sub(FABRIC_PATH_CHECK_LEN));
    bridged(walk, 2, "fabricpath")
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::super::testing::{ethernet, join, layers_around, outcome, tcp4};
    use mosaic_port::LinkType;
    use std::vec::Vec;

    /// A frame of `ether_type` with `header`, then the type of IPv4 and a packet.
    fn tagged(ether_type: u16, header: &[u8]) -> Vec<u8> {
        ethernet(ether_type, &join(&[header, &[0x08, 0x00], &tcp4()]))
    }

    #[test]
    fn tags_end_with_a_type() {
        for (ether_type, len, name) in [
            (0x8926, 4, "vntag"),
            (0x893f, 6, "etag"),
            (0x892f, 4, "hsr"),
            (0xf1c1, 4, "rtag"),
        ] {
            let frame = tagged(ether_type, &[0x15, 0x51, 0x15, 0x51, 0x15, 0x51][..len]);
            assert_eq!(
                layers_around(LinkType::ETHERNET, &frame),
                [Layer::Other(name)]
            );
        }
    }

    #[test]
    fn metadata_counts_its_options() {
        for options in [1, 2] {
            let header = join(&[&[1, options], &[0, 1, 0, 9].repeat(usize::from(options))]);
            assert_eq!(
                layers_around(LinkType::ETHERNET, &tagged(0x8909, &header)),
                [Layer::Other("cmd")]
            );
        }
    }

    #[test]
    fn backbones_and_fabrics_carry_frames() {
        let inner = ethernet(0x0800, &tcp4());
        let carried = |ether_type, header: &[u8], trailer: &[u8]| {
            layers_around(
                LinkType::ETHERNET,
                &ethernet(ether_type, &join(&[header, &inner, trailer])),
            )
        };
        assert_eq!(carried(0x88e7, &[0, 0, 1, 2], &[]), [Layer::Other("pbb")]);
        assert_eq!(
            carried(0x8903, &[0x08, 0x20], &[1, 2, 3, 4]),
            [Layer::Other("fabricpath")]
        );
        assert_eq!(
            carried(0x22f3, &[0x00, 0x03, 0, 1, 0, 2], &[]),
            [Layer::Other("trill")]
        );
        assert_eq!(
            carried(0x22f3, &[0x00, 0x43, 0, 1, 0, 2, 9, 9, 9, 9], &[]),
            [Layer::Other("trill")]
        );
        assert_eq!(carried(0x6558, &[], &[]), [Layer::Other("bridged")]);
    }

    #[test]
    fn macsec_is_read_where_it_is_in_the_clear() {
        let short = [0x00, 48, 0, 0, 0, 1];
        let channel = [0x20, 48, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 0, 1];
        for header in [&short[..], &channel] {
            let frame = join(&[&tagged(0x88e5, header), &[0xff; 16]]);
            assert_eq!(
                layers_around(LinkType::ETHERNET, &frame),
                [Layer::Other("macsec")]
            );
        }
        let encrypted = [0x2c, 48, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 0, 1];
        assert_eq!(
            outcome(LinkType::ETHERNET, &tagged(0x88e5, &encrypted)).unwrap_err(),
            "not_ip"
        );
    }
}
