//! VXLAN (RFC 7348) and its generic protocol extension.

use super::Layer;
use super::reason::Reason;
use super::walk::{Next, Walk};

const HEADER_LEN: usize = 8;
/// The next protocol field is valid (generic protocol extension).
const NEXT_PROTOCOL: u8 = 0x04;

/// Flags, reserved, network identifier, reserved; then Ethernet.
pub(super) fn parse(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    take_off(walk)?;
    Ok(Next::Ethernet)
}

/// The same with a next protocol.
pub(super) fn parse_gpe(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let [flags, _, _, protocol] = walk.view.array(0)?;
    take_off(walk)?;
    match protocol {
        _ if flags & NEXT_PROTOCOL == 0 => Err(Reason::NotIp),
        1 => Ok(Next::Ip),
        2 => Ok(Next::Ipv6),
        3 => Ok(Next::Ethernet),
        4 => Ok(Next::Nsh),
        5 => Ok(Next::Mpls),
        _ => Err(Reason::NotIp),
    }
}

fn take_off(walk: &mut Walk<'_, '_>) -> Result<(), Reason> {
    let identifier = walk.view.u32(4)? >> 8;
    walk.take_off(HEADER_LEN, Layer::Vxlan(identifier))
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::super::testing::{
        OUTER4, ethernet, join, layers_around, outcome, tcp4, tcp6, udp_frame,
    };
    use mosaic_port::LinkType;

    #[test]
    fn the_identifier_has_24_bits() {
        let payload = join(&[
            &[8, 0, 0, 0, 0x12, 0x34, 0x56, 0xff],
            &ethernet(0x0800, &tcp4()),
        ]);
        let layers = layers_around(LinkType::ETHERNET, &udp_frame(4789, &payload));
        assert_eq!(layers, [OUTER4, Layer::Vxlan(0x12_3456)]);
    }

    #[test]
    fn the_extension_names_what_it_carries() {
        let layers = [OUTER4, Layer::Vxlan(1)];
        for (protocol, payload) in [(1, tcp4()), (2, tcp6()), (3, ethernet(0x0800, &tcp4()))] {
            let payload = join(&[&[0x0c, 0, 0, protocol, 0, 0, 1, 0], &payload]);
            assert_eq!(
                layers_around(LinkType::ETHERNET, &udp_frame(4790, &payload)),
                layers
            );
        }
        let plain = join(&[&[8, 0, 0, 3, 0, 0, 1, 0], &ethernet(0x0800, &tcp4())]);
        assert_eq!(
            outcome(LinkType::ETHERNET, &udp_frame(4790, &plain))
                .unwrap()
                .encapsulation,
            0
        );
    }
}
