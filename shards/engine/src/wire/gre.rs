//! GRE (RFC 2784, 2890; version 1 of PPTP, RFC 2637) and ERSPAN inside it.

use super::Layer;
use super::ethernet::ether_type;
use super::reason::Reason;
use super::sums::Sum;
use super::view::View;
use super::walk::{Next, Walk};

/// Flags and version.
const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
/// Acknowledgment number, in version 1.
const ACKNOWLEDGMENT: u16 = 0x0080;

/// Protocol types that are no `EtherType` of Ethernet.
mod protocol {
    pub(super) const WCCP: u16 = 0x883e;
    pub(super) const PPP: u16 = 0x880b;
    pub(super) const ERSPAN: u16 = 0x88be;
    pub(super) const ERSPAN_III: u16 = 0x22eb;
    pub(super) const BRIDGED_OLD: u16 = 0x6400;
    /// Aruba: IEEE 802.11 frames, one number for each priority.
    pub(super) const WLAN: core::ops::RangeInclusive<u16> = 0x8200..=0x8370;
}

const ERSPAN_II_LEN: usize = 8;
const ERSPAN_III_LEN: usize = 12;
/// Type III: the platform-specific subheader follows.
const ERSPAN_PLATFORM: u8 = 0x01;
const ERSPAN_PLATFORM_LEN: usize = 8;
const WCCP_REDIRECT_LEN: usize = 4;

/// The header with its optional fields.
pub(super) fn parse(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let view = walk.view;
    let (flags, number) = (view.u16(0)?, view.u16(2)?);
    let mut len = 4;
    if flags & (CHECKSUM | ROUTING) != 0 {
        len += 4;
    }
    let mut key = 0;
    if flags & KEY != 0 {
        key = view.u32(len)?;
        len += 4;
    }
    if flags & SEQUENCE != 0 {
        len += 4;
    }
    if flags & ACKNOWLEDGMENT != 0 {
        len += 4;
    }
    if flags & ROUTING != 0 {
        len += source_routes_len(&view, len)?;
    }
    if flags & CHECKSUM != 0 {
        walk.note_sum(Sum {
            field: view.at() + 4,
            covers: (view.at(), view.at() + view.wire_len()),
            addresses: (0, 0),
            never_zero: false,
        });
    }
    walk.take_off(len, Layer::Gre(key))?;
    payload(walk, number, flags)
}

/// Length of the source route entries (RFC 1701) at `at`: each has family, offset and length; the last is empty.
fn source_routes_len(view: &View<'_>, at: usize) -> Result<usize, Reason> {
    let mut len = 0;
    loop {
        let [high, low, _, entry_len] = view.array(at + len)?;
        len += 4 + usize::from(entry_len);
        if [high, low, entry_len] == [0; 3] {
            return Ok(len);
        }
    }
}

fn payload(walk: &mut Walk<'_, '_>, number: u16, flags: u16) -> Result<Next, Reason> {
    match number {
        protocol::PPP => Ok(Next::PppFramed),
        protocol::ERSPAN => erspan(walk, flags),
        protocol::ERSPAN_III => erspan_iii(walk),
        protocol::BRIDGED_OLD => Ok(Next::Ethernet),
        protocol::WCCP => {
            // Version 2 puts a redirect header in front of the packet.
            if walk.view.u8(0)? >> 4 != 4 {
                walk.skip(WCCP_REDIRECT_LEN)?;
            }
            Ok(Next::Ip)
        }
        ether_type::NSH => Ok(Next::Nsh),
        ether_type::IPV4
        | ether_type::IPV6
        | ether_type::MPLS
        | ether_type::MPLS_MULTICAST
        | ether_type::BRIDGED => Ok(Next::EtherType(number)),
        _ if protocol::WLAN.contains(&number) && number & 0x0f == 0 => {
            walk.push(Layer::Other("wlan"))?;
            Ok(Next::Wlan)
        }
        _ => Err(Reason::NotIp),
    }
}

/// ERSPAN type I, which has no header and no GRE sequence number, or II.
fn erspan(walk: &mut Walk<'_, '_>, gre_flags: u16) -> Result<Next, Reason> {
    if gre_flags & SEQUENCE == 0 {
        walk.push(Layer::Erspan(0))?;
    } else {
        let session = walk.view.u16(2)? & 0x03ff;
        walk.take_off(ERSPAN_II_LEN, Layer::Erspan(session))?;
    }
    Ok(Next::Ethernet)
}

/// ERSPAN type III.
fn erspan_iii(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let session = walk.view.u16(2)? & 0x03ff;
    let platform = walk.view.u8(ERSPAN_III_LEN - 1)? & ERSPAN_PLATFORM != 0;
    let len = if platform {
        ERSPAN_III_LEN + ERSPAN_PLATFORM_LEN
    } else {
        ERSPAN_III_LEN
    };
    walk.take_off(len, Layer::Erspan(session))?;
    Ok(Next::Ethernet)
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::super::testing::{OUTER4, ethernet, ipv4, join, layers_around, outcome, tcp4, tcp6};
    use crate::flow::Proto;
    use mosaic_port::LinkType;
    use std::vec::Vec;

    fn frame(header: &[u8], payload: &[u8]) -> Vec<u8> {
        ethernet(0x0800, &ipv4(47, &join(&[header, payload])))
    }

    #[test]
    fn optional_fields_are_skipped_and_the_key_is_kept() {
        let (checksum, key, sequence) = ([1, 2, 0, 0], [0, 0, 0, 9], [0, 0, 0, 1]);
        for (flags, fields, id) in [
            (0x00, join(&[]), 0),
            (0x80, join(&[&checksum]), 0),
            (0x20, join(&[&key]), 9),
            (0x10, join(&[&sequence]), 0),
            (0xb0, join(&[&checksum, &key, &sequence]), 9),
            // One source route entry of three bytes, and the one that ends the list.
            (
                0x60,
                join(&[&checksum, &key, &[8, 0, 0, 3, 7, 7, 7], &[0, 0, 0, 0]]),
                9,
            ),
        ] {
            let header = join(&[&[flags, 0, 0x08, 0x00], &fields]);
            assert_eq!(
                layers_around(LinkType::ETHERNET, &frame(&header, &tcp4())),
                [OUTER4, Layer::Gre(id)]
            );
        }
    }

    #[test]
    fn frames_labels_and_both_versions_of_ip_are_carried() {
        let bridged = ethernet(0x86dd, &tcp6());
        let layers = layers_around(LinkType::ETHERNET, &frame(&[0, 0, 0x65, 0x58], &bridged));
        assert_eq!(layers, [OUTER4, Layer::Gre(0), Layer::Other("bridged")]);
        let labelled = join(&[&[0, 1, 1, 64], &tcp4()]);
        let layers = layers_around(LinkType::ETHERNET, &frame(&[0, 0, 0x88, 0x47], &labelled));
        assert_eq!(layers, [OUTER4, Layer::Gre(0), Layer::Mpls(0x10)]);
        assert_eq!(
            layers_around(LinkType::ETHERNET, &frame(&[0, 0, 0x86, 0xdd], &tcp6())).len(),
            2
        );
    }

    #[test]
    fn version_one_carries_ppp() {
        let header = [0x30, 0x81, 0x88, 0x0b, 0, 60, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2];
        for ppp in [&[0xff, 0x03, 0x00, 0x21][..], &[0x21]] {
            let layers = layers_around(LinkType::ETHERNET, &frame(&header, &join(&[ppp, &tcp4()])));
            assert_eq!(layers, [OUTER4, Layer::Gre(0x003c_0005)]);
        }
    }

    #[test]
    fn mirrors_of_every_type() {
        let mirrored = ethernet(0x0800, &tcp4());
        let one = frame(&[0, 0, 0x88, 0xbe], &mirrored);
        assert_eq!(
            layers_around(LinkType::ETHERNET, &one),
            [OUTER4, Layer::Gre(0), Layer::Erspan(0)]
        );
        let two = join(&[&[0x10, 0x05, 0x04, 0x07, 0, 0, 0, 0], &mirrored]);
        let two = frame(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1], &two);
        assert_eq!(
            layers_around(LinkType::ETHERNET, &two),
            [OUTER4, Layer::Gre(0), Layer::Erspan(7)]
        );
        let header = [0x20, 0x05, 0x04, 0x07, 0, 0, 0, 0, 0, 0, 0, 0];
        let three = frame(
            &[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1],
            &join(&[&header, &mirrored]),
        );
        assert_eq!(
            layers_around(LinkType::ETHERNET, &three),
            [OUTER4, Layer::Gre(0), Layer::Erspan(7)]
        );
        let header = [
            0x20, 0x05, 0x04, 0x07, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8,
        ];
        let platform = frame(
            &[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1],
            &join(&[&header, &mirrored]),
        );
        assert_eq!(layers_around(LinkType::ETHERNET, &platform).len(), 3);
    }

    #[test]
    fn aruba_carries_wireless_frames() {
        let wlan = join(&[
            &[0x08, 0x01],
            &[0; 22],
            &[0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00],
            &tcp4(),
        ]);
        for number in [[0x82, 0x00], [0x83, 0x70]] {
            let layers = layers_around(
                LinkType::ETHERNET,
                &frame(&join(&[&[0, 0], &number]), &wlan),
            );
            assert_eq!(layers, [OUTER4, Layer::Gre(0), Layer::Other("wlan")]);
        }
    }

    #[test]
    fn redirected_packets_of_both_versions() {
        for redirect in [&[][..], &[0, 0, 0, 0]] {
            let layers = layers_around(
                LinkType::ETHERNET,
                &frame(&[0, 0, 0x88, 0x3e], &join(&[redirect, &tcp4()])),
            );
            assert_eq!(layers, [OUTER4, Layer::Gre(0)]);
        }
    }

    #[test]
    fn what_carries_no_ip_is_a_packet_of_the_tunnel_itself() {
        for frame in [
            frame(&[0, 0, 0, 0], &[]),
            frame(&[0, 0, 0x08, 0x06], &[0; 28]),
            frame(&[0x20, 0], &[]),
        ] {
            let packet = outcome(LinkType::ETHERNET, &frame).unwrap();
            assert_eq!(
                (packet.key.proto(), packet.encapsulation, packet.ip_at),
                (Proto(47), 0, 14)
            );
        }
    }
}
