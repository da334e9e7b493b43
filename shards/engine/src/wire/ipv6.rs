//! IPv6 and its extension headers (RFC 8200).

use super::fragments::Fragment;
use super::ip::protocol;
use super::reason::Reason;
use super::view::View;
use super::walk::{Addresses, IpHeader, Next, Walk};
use super::{Layer, checksum};

/// Length of the fixed header.
pub(super) const HEADER_LEN: usize = 40;
const FRAGMENT_HEADER_LEN: usize = 8;
/// Fragment offset, in bytes (RFC 8200, section 4.5: units of 8 in the upper 13 bits).
const FRAGMENT_OFFSET: u16 = 0xfff8;
const MORE_FRAGMENTS: u16 = 0x0001;
/// The routing header that names the final destination last (deprecated by RFC 5095, still seen).
const ROUTING_SOURCE_ROUTE: u8 = 0;
/// Mobile IPv6 (RFC 6275): the routing header whose one address is the home address.
const ROUTING_HOME_ADDRESS: u8 = 2;
/// Segment routing (RFC 8754).
const ROUTING_SEGMENT: u8 = 4;
const OPTION_PAD1: u8 = 0;
const OPTION_JUMBO: u8 = 0xc2;
const OPTION_HOME_ADDRESS: u8 = 0xc9;

/// What the headers up to here say of the payload.
struct Chain {
    /// Protocol of what follows.
    proto: u8,
    /// Offset from the start of the IP header of the byte that named `proto`.
    named_at: usize,
    /// Source that the transport checksum covers.
    source: [u8; 16],
    /// Destination that the transport checksum covers.
    destination: [u8; 16],
}

/// An IPv6 header and its extension headers; ends at the payload, at a fragment, or at what a tunnel protocol carries.
pub(super) fn parse(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let view = walk.view;
    let fixed: [u8; HEADER_LEN] = view.array(0)?;
    if fixed[0] >> 4 != 6 {
        return Err(Reason::Malformed);
    }
    let mut len = HEADER_LEN + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    if len == HEADER_LEN && fixed[6] == protocol::HOP_BY_HOP {
        len += jumbo_len(view.skip(HEADER_LEN)?).unwrap_or(0);
    }
    walk.view = view.limit(len).skip(HEADER_LEN)?;
    let mut chain = Chain {
        proto: fixed[6],
        named_at: 6,
        source: view.array(8)?,
        destination: view.array(24)?,
    };
    let addresses = Addresses::V6(
        u128::from_be_bytes(chain.source),
        u128::from_be_bytes(chain.destination),
    );
    let mut partial = false;
    while let Some(header_len) = chain.extension_len(&walk.view)? {
        if chain.proto == protocol::FRAGMENT
            && walk.view.u16(2)? & (FRAGMENT_OFFSET | MORE_FRAGMENTS) != 0
        {
            walk.fragment = fragment(&chain, view.at(), walk.view, len, addresses)?;
            if walk.fragment.is_some() {
                return Ok(Next::Fragment);
            }
            partial = true;
        }
        if chain.proto == protocol::AH {
            walk.push(Layer::Other("ah"))?;
        }
        chain.pass(&walk.view)?;
        chain.named_at = walk.view.at() - view.at();
        chain.proto = walk.view.u8(0)?;
        walk.skip(header_len)?;
    }
    walk.ip = Some(IpHeader {
        at: view.at(),
        len,
        addresses,
        pseudo_sum: checksum::sum(&chain.destination, checksum::sum(&chain.source, 0)),
        proto: chain.proto,
        payload: walk.view,
        layers: walk.layers.len(),
        partial,
    });
    Ok(Next::Protocol(chain.proto))
}

impl Chain {
    /// Length of the extension header at `view`; `None` where the payload stands there.
    fn extension_len(&self, view: &View<'_>) -> Result<Option<usize>, Reason> {
        match self.proto {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION | protocol::SHIM6 => {
                Ok(Some((usize::from(view.u8(1)?) + 1) * 8))
            }
            protocol::FRAGMENT => Ok(Some(FRAGMENT_HEADER_LEN)),
            protocol::AH => Ok(Some((usize::from(view.u8(1)?) + 2) * 4)),
            _ => Ok(None),
        }
    }

    /// Takes note of the addresses that the extension header at `view` puts in the place of those of the IP header.
    fn pass(&mut self, view: &View<'_>) -> Result<(), Reason> {
        match self.proto {
            protocol::ROUTING => {
                let [_, words, kind, segments_left] = view.array(0)?;
                // With no segment left the destination of the IP header is the final one already.
                if segments_left > 0 && words >= 2 {
                    match kind {
                        ROUTING_SOURCE_ROUTE | ROUTING_HOME_ADDRESS => {
                            self.destination = view.array(usize::from(words) * 8 - 8)?;
                        }
                        // RFC 8754: the list stands in reverse.
                        ROUTING_SEGMENT => self.destination = view.array(8)?,
                        _ => {}
                    }
                }
            }
            protocol::DESTINATION => {
                if let Some(at) = find_option(view, OPTION_HOME_ADDRESS, 16) {
                    self.source = view.array(at)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The fragment whose fragment header stands at `view`, in the packet of length `len` that begins at `ip_at`; `None` where
/// it is a first fragment that was not captured whole.
fn fragment<'a>(
    chain: &Chain,
    ip_at: usize,
    view: View<'a>,
    len: usize,
    addresses: Addresses,
) -> Result<Option<Fragment<'a>>, Reason> {
    let [next, _, high, low] = view.array(0)?;
    let field = u16::from_be_bytes([high, low]);
    let id = view.u32(4)?;
    let payload = view.skip(FRAGMENT_HEADER_LEN)?;
    let offset = usize::from(field & FRAGMENT_OFFSET);
    if !payload.is_complete() || payload.at() + payload.wire_len() != ip_at + len {
        return if offset == 0 {
            Ok(None)
        } else {
            Err(Reason::FragmentInvalid)
        };
    }
    Ok(Some(Fragment {
        addresses,
        proto: next,
        id,
        offset,
        more: field & MORE_FRAGMENTS != 0,
        header: view.since(ip_at),
        next_header_at: chain.named_at,
        ip_at,
        payload_at: payload.at(),
        payload: payload.captured(),
    }))
}

/// Length of the payload of a jumbogram (RFC 2675), from the hop-by-hop header at `view`. Shorter ones are an error there.
fn jumbo_len(view: View<'_>) -> Option<usize> {
    let at = find_option(&view, OPTION_JUMBO, 4)?;
    let len = usize::try_from(view.u32(at).ok()?).ok()?;
    (len > usize::from(u16::MAX)).then_some(len)
}

/// Offset of the value of option `wanted`, of length `value_len`, in the options header at `view`.
fn find_option(view: &View<'_>, wanted: u8, value_len: u8) -> Option<usize> {
    let end = (usize::from(view.u8(1).ok()?) + 1) * 8;
    let mut at = 2;
    while at < end {
        let option = view.u8(at).ok()?;
        if option == OPTION_PAD1 {
            at += 1;
            continue;
        }
        let len = view.u8(at + 1).ok()?;
        if option == wanted {
            return (len == value_len && at + 2 + usize::from(len) <= end).then_some(at + 2);
        }
        at += 2 + usize::from(len);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        Bench, DESTINATION6, OneFrame, SOURCE6, ipv6, join, layers_around, outcome, tcp, tcp6,
    };
    use super::super::walk::Layers;
    use super::*;
    use crate::flow::Proto;
    use mosaic_port::LinkType;
    use std::vec::Vec;

    const THIRD: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3];

    /// A packet with these extension headers, whose checksum covers other addresses than the header's.
    fn extended(first: u8, headers: &[u8], source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
        ipv6(
            first,
            &join(&[headers, &tcp(&join(&[&source, &destination]))]),
        )
    }

    #[test]
    fn extension_headers_are_skipped() {
        let pad = [1, 4, 0, 0, 0, 0];
        let chain = join(&[
            &[60, 0],
            &pad,
            &[43, 0],
            &pad,
            &[44, 0, 5, 0, 0, 0, 0, 0],
            &[6, 0, 0, 0, 0, 0, 0, 1],
        ]);
        let packet = extended(0, &chain, SOURCE6, DESTINATION6);
        assert_eq!(layers_around(LinkType::RAW, &packet), []);
        let found = outcome(LinkType::RAW, &packet).unwrap();
        assert_eq!(
            (found.transport_at, found.ip_len as usize),
            (72, packet.len())
        );
        let authenticated = join(&[&[6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1], &[0xaa; 12]]);
        let packet = extended(51, &authenticated, SOURCE6, DESTINATION6);
        assert_eq!(layers_around(LinkType::RAW, &packet), [Layer::Other("ah")]);
        let mut chain = join(&[&authenticated, &[6, 0], &pad]);
        chain[0] = 60;
        let packet = extended(51, &chain, SOURCE6, DESTINATION6);
        assert_eq!(layers_around(LinkType::RAW, &packet), [Layer::Other("ah")]);
    }

    #[test]
    fn the_checksum_covers_the_final_addresses_and_the_key_those_of_the_header() {
        let routed = |kind: u8, left: u8| join(&[&[6, 2, kind, left, 0, 0, 0, 0], &THIRD]);
        let home = join(&[&[6, 2, 1, 2, 0, 0, 0xc9, 16], &THIRD]);
        for packet in [
            extended(43, &routed(0, 1), SOURCE6, THIRD),
            extended(43, &routed(2, 1), SOURCE6, THIRD),
            extended(43, &routed(4, 1), SOURCE6, THIRD),
            extended(43, &routed(0, 0), SOURCE6, DESTINATION6),
            extended(60, &home, THIRD, DESTINATION6),
        ] {
            assert_eq!(layers_around(LinkType::RAW, &packet), []);
            let found = outcome(LinkType::RAW, &packet).unwrap();
            assert_eq!(
                found.key.source(found.direction).addr,
                core::net::IpAddr::from(SOURCE6)
            );
            assert_eq!(
                found.key.source(found.direction.reversed()).addr,
                core::net::IpAddr::from(DESTINATION6)
            );
        }
        let wrong = extended(43, &routed(0, 1), SOURCE6, DESTINATION6);
        assert_eq!(
            outcome(LinkType::RAW, &wrong).unwrap_err(),
            "transport_checksum"
        );
    }

    #[test]
    fn chains_that_end_nowhere_are_malformed() {
        assert_eq!(
            outcome(LinkType::RAW, &ipv6(0, &[])).unwrap_err(),
            "malformed"
        );
        assert_eq!(
            outcome(LinkType::RAW, &ipv6(0, &[6, 9, 0, 0, 0, 0, 0, 0])).unwrap_err(),
            "malformed"
        );
        let endless = [0, 0, 1, 4, 0, 0, 0, 0].repeat(100);
        assert_eq!(
            outcome(LinkType::RAW, &ipv6(0, &endless)).unwrap_err(),
            "malformed"
        );
        assert_eq!(
            outcome(LinkType::RAW, &tcp6()[..39]).unwrap_err(),
            "malformed"
        );
        assert_eq!(
            outcome(LinkType::RAW, &ipv6(59, &[])).unwrap().key.proto(),
            Proto(59)
        );
    }

    #[test]
    fn a_jumbogram_states_its_length_in_an_option() {
        let segment = tcp(&join(&[&SOURCE6, &DESTINATION6]));
        let jumbo = |len: u32| {
            let mut packet = ipv6(0, &join(&[&[6, 0, 0xc2, 4], &len.to_be_bytes(), &segment]));
            packet[4..6].fill(0);
            OneFrame {
                wire_len: 40 + len,
                ..OneFrame::new(LinkType::RAW, &packet)
            }
        };
        let found = Bench::verifying().frame(jumbo(70_000)).unwrap();
        assert_eq!(
            (found.payload_len, found.payload_captured, found.ip_len),
            (69_972, 5, 70_040)
        );
        assert_eq!(
            Bench::verifying().frame(jumbo(65_535)).unwrap_err(),
            "malformed"
        );
        // Without the option, length 0 is no payload.
        let mut empty = tcp6();
        empty[4..6].fill(0);
        assert_eq!(outcome(LinkType::RAW, &empty).unwrap_err(), "malformed");
    }

    #[test]
    fn a_fragment_knows_what_stood_before_its_header() {
        let packet = ipv6(
            60,
            &join(&[
                &[44, 0, 1, 4, 0, 0, 0, 0],
                &[6, 0, 0, 0x19, 0, 0, 0, 9],
                &[7; 8],
            ]),
        );
        let mut layers = Layers::new();
        let mut walk = Walk::new(View::new(&packet, packet.len()), &mut layers, true);
        assert_eq!(parse(&mut walk), Ok(Next::Fragment));
        let fragment = walk.fragment.unwrap();
        assert_eq!(
            (fragment.proto, fragment.id, fragment.offset, fragment.more),
            (6, 9, 24, true)
        );
        assert_eq!(
            (fragment.header, fragment.next_header_at),
            (&packet[..48], 40)
        );
        assert_eq!(fragment.payload, [7; 8]);
    }
}
