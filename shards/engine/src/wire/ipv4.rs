//! IPv4 (RFC 791).

use super::checksum;
use super::fragments::Fragment;
use super::reason::Reason;
use super::walk::{Addresses, IpHeader, Next, Walk};

/// Length of the header without options.
pub(super) const HEADER_LEN: usize = 20;
/// More fragments follow (flags and fragment offset field).
const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;
const OPTION_END: u8 = 0;
const OPTION_NO_OPERATION: u8 = 1;
const OPTION_LOOSE_ROUTE: u8 = 131;
const OPTION_STRICT_ROUTE: u8 = 137;

/// An IPv4 header with its options; ends at the payload, at a fragment, or at what a tunnel protocol carries.
pub(super) fn parse(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let view = walk.view;
    let fixed: [u8; HEADER_LEN] = view.array(0)?;
    let header_len = usize::from(fixed[0] & 0x0f) * 4;
    let total_len = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    // Length 0 is a segment that the network card was to cut (TSO): it reaches to the end of the frame.
    let len = if total_len == 0 {
        view.wire_len()
    } else {
        total_len
    };
    if fixed[0] >> 4 != 4 || header_len < HEADER_LEN || len < header_len {
        return Err(Reason::Malformed);
    }
    let packet = view.limit(len);
    let payload = packet.skip(header_len)?;
    let header = payload.since(view.at());
    if walk.verify && !checksum::is_valid(checksum::sum(header, 0)) {
        return Err(Reason::IpChecksum);
    }

    let src = u32::from_be_bytes([fixed[12], fixed[13], fixed[14], fixed[15]]);
    let mut dst = u32::from_be_bytes([fixed[16], fixed[17], fixed[18], fixed[19]]);
    if let Some(last) = header.get(HEADER_LEN..).and_then(end_of_route) {
        dst = last;
    }
    let addresses = Addresses::V4(src, dst);
    let proto = fixed[9];
    let flags = u16::from_be_bytes([fixed[6], fixed[7]]);
    walk.view = payload;
    let offset = usize::from(flags & FRAGMENT_OFFSET) * 8;
    let more = flags & MORE_FRAGMENTS != 0;
    let whole = payload.is_complete() && payload.wire_len() == len - header_len;
    match (offset, more, whole) {
        (0, false, _) | (0, true, false) => {}
        (_, _, false) => return Err(Reason::FragmentInvalid),
        (_, _, true) => {
            let id = u32::from(u16::from_be_bytes([fixed[4], fixed[5]]));
            walk.fragment = Some(Fragment {
                addresses,
                proto,
                id,
                offset,
                more,
                header,
                next_header_at: 0,
                ip_at: view.at(),
                payload_at: payload.at(),
                payload: payload.captured(),
            });
            return Ok(Next::Fragment);
        }
    }
    walk.ip = Some(IpHeader {
        at: view.at(),
        len,
        addresses,
        pseudo_sum: checksum::sum(&dst.to_be_bytes(), checksum::sum(&fixed[12..16], 0)),
        proto,
        payload,
        layers: walk.layers.len(),
        partial: more,
    });
    Ok(Next::Protocol(proto))
}

/// The last address of a source route that is not used up, which is where the packet goes to and what checksums cover; the
/// destination field only names the next hop (RFC 791, section 3.1).
fn end_of_route(mut options: &[u8]) -> Option<u32> {
    while let [kind, rest @ ..] = options {
        options = match *kind {
            OPTION_END => return None,
            OPTION_NO_OPERATION => rest,
            kind => {
                let len = usize::from(*rest.first()?);
                let (option, behind) = options.split_at_checked(len.max(2))?;
                if let (OPTION_LOOSE_ROUTE | OPTION_STRICT_ROUTE, [_, _, pointer, .., a, b, c, d]) =
                    (kind, option)
                    && usize::from(*pointer) <= len
                {
                    return Some(u32::from_be_bytes([*a, *b, *c, *d]));
                }
                behind
            }
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::super::testing::{
        Bench, OUTER4, OneFrame, ethernet, ipv4, ipv4_with, join, layers_around, outcome, tcp,
        tcp4, tcp6,
    };
    use super::super::view::View;
    use super::super::walk::Layers;
    use super::*;
    use crate::flow::Proto;
    use mosaic_port::LinkType;
    use std::vec::Vec;

    const FROM: Addresses = Addresses::V4(0xc000_0201, 0xc633_6402);

    #[test]
    fn options_are_skipped() {
        let segment = tcp(&[192, 0, 2, 1, 198, 51, 100, 2]);
        let packet = ipv4_with(6, 0x4000, &[7, 7, 4, 0, 0, 0, 0, 0], &segment);
        assert_eq!(layers_around(LinkType::RAW, &packet), []);
        let found = outcome(LinkType::RAW, &packet).unwrap();
        assert_eq!(
            (
                found.ip_at,
                found.ip_len,
                found.transport_at,
                found.payload_at
            ),
            (0, 53, 28, 48)
        );
    }

    #[test]
    fn a_source_route_ends_at_the_destination() {
        let route = |kind: u8, pointer: u8| [1, kind, 11, pointer, 10, 9, 9, 1, 10, 9, 9, 2];
        for (options, end) in [
            (route(131, 4), [10, 9, 9, 2]),
            (route(137, 8), [10, 9, 9, 2]),
            (route(131, 12), [198, 51, 100, 2]),
            (route(7, 4), [198, 51, 100, 2]),
        ] {
            let packet = ipv4_with(6, 0, &options, &tcp(&join(&[&[192, 0, 2, 1], &end])));
            let found = outcome(LinkType::RAW, &packet).unwrap();
            let destination = found.key.source(found.direction.reversed());
            assert_eq!(destination.addr, core::net::IpAddr::from(end));
        }
        for options in [
            &[131, 2, 0, 0][..],
            &[131, 0, 0, 0],
            &[131, 60, 4, 0],
            &[1, 1, 1, 131],
            &[0, 131, 7, 4],
        ] {
            assert_eq!(end_of_route(options), None);
        }
    }

    #[test]
    fn headers_that_contradict_themselves_are_malformed() {
        let bad = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut packet = tcp4();
            change(&mut packet);
            Bench::ignoring()
                .frame(OneFrame::new(LinkType::RAW, &packet))
                .unwrap_err()
        };
        assert_eq!(bad(&|packet| packet[0] = 0x44), "malformed");
        assert_eq!(bad(&|packet| packet[0] = 0x55), "malformed");
        assert_eq!(bad(&|packet| packet[3] = 19), "malformed");
        assert_eq!(bad(&|packet| packet[0] = 0x4f), "malformed");
        assert_eq!(bad(&|packet| packet.truncate(19)), "malformed");
    }

    #[test]
    fn length_zero_reaches_to_the_end_of_the_frame() {
        let mut packet = tcp4();
        packet[2..4].fill(0);
        let found = Bench::ignoring()
            .frame(OneFrame::new(LinkType::RAW, &packet))
            .unwrap();
        assert_eq!((found.ip_len, found.payload_len), (45, 5));
    }

    #[test]
    fn what_was_on_the_wire_and_what_was_captured_are_told_apart() {
        let mut frame = OneFrame::new(LinkType::RAW, &tcp4());
        frame.bytes.truncate(42);
        let found = Bench::verifying().frame(frame).unwrap();
        assert_eq!(
            (found.payload_len, found.payload_captured, found.payload_at),
            (5, 2, 40)
        );
        // A frame that is shorter on the wire than its packet says it is.
        let mut short = tcp4();
        short.truncate(43);
        let found = Bench::ignoring()
            .frame(OneFrame::new(LinkType::RAW, &short))
            .unwrap();
        assert_eq!(
            (found.payload_len, found.payload_captured, found.ip_len),
            (3, 3, 45)
        );
    }

    #[test]
    fn a_wrong_checksum_counts_only_where_it_is_checked() {
        let mut packet = tcp4();
        packet[8] ^= 1;
        assert_eq!(outcome(LinkType::RAW, &packet).unwrap_err(), "ip_checksum");
        assert!(
            Bench::ignoring()
                .frame(OneFrame::new(LinkType::RAW, &packet))
                .is_ok()
        );
    }

    #[test]
    fn tunnels_of_both_versions() {
        assert_eq!(layers_around(LinkType::RAW, &ipv4(4, &tcp4())), [OUTER4]);
        assert_eq!(layers_around(LinkType::RAW, &ipv4(41, &tcp6())), [OUTER4]);
        let ether_ip = join(&[&[0x30, 0], &ethernet(0x0800, &tcp4())]);
        assert_eq!(
            layers_around(LinkType::RAW, &ipv4(97, &ether_ip)),
            [OUTER4, Layer::Other("etherip")]
        );
        let labelled = join(&[&[0, 1, 1, 64], &tcp4()]);
        assert_eq!(
            layers_around(LinkType::RAW, &ipv4(137, &labelled)),
            [OUTER4, Layer::Mpls(16)]
        );
        let segment = tcp(&[192, 0, 2, 1, 198, 51, 100, 2]);
        let authenticated = join(&[&[6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1], &[0xaa; 12], &segment]);
        assert_eq!(
            layers_around(LinkType::RAW, &ipv4(51, &authenticated)),
            [Layer::Other("ah")]
        );
    }

    #[test]
    fn a_tunnel_with_nothing_inside_is_a_packet_itself() {
        for inner in [&[][..], &[0x45], &[0x12, 0x34]] {
            let found = outcome(LinkType::RAW, &ipv4(4, inner)).unwrap();
            assert_eq!(
                (found.key.proto().0, found.payload_len as usize),
                (4, inner.len())
            );
        }
    }

    #[test]
    fn a_fragment_is_read_field_by_field() {
        let packet = ipv4_with(17, 0x2003, &[1, 1, 1, 1], &[9; 16]);
        let mut layers = Layers::new();
        let mut walk = Walk::new(View::new(&packet, packet.len()), &mut layers, true);
        assert_eq!(parse(&mut walk), Ok(Next::Fragment));
        let fragment = walk.fragment.unwrap();
        assert_eq!(
            (fragment.addresses, fragment.proto, fragment.id),
            (FROM, 17, 0x1234)
        );
        assert_eq!(
            (fragment.offset, fragment.more, fragment.payload),
            (24, true, &[9; 16][..])
        );
        assert_eq!(fragment.header, &packet[..24]);
    }

    #[test]
    fn fragments_that_were_cut_make_nothing() {
        for (flags, reason) in [(0x2000, "fragment_invalid"), (0x0003, "fragment_invalid")] {
            let mut frame = OneFrame::new(LinkType::RAW, &ipv4_with(6, flags, &[], &[9; 64]));
            frame.bytes.truncate(60);
            assert_eq!(Bench::verifying().frame(frame).unwrap_err(), reason);
        }
        // But what a tunnel in it carries is there.
        let mut inner = tcp4();
        inner[2..4].copy_from_slice(&1400_u16.to_be_bytes());
        let mut frame = OneFrame::new(
            LinkType::RAW,
            &ipv4_with(4, 0x2000, &[], &join(&[&inner, &[0; 1000]])),
        );
        frame.bytes.truncate(80);
        let found = Bench::ignoring().frame(frame).unwrap();
        assert_eq!(
            (found.key.proto(), found.ip_at, found.payload_captured),
            (Proto::TCP, 20, 20)
        );
    }
}
