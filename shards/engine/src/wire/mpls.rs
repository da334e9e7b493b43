//! MPLS label stacks (RFC 3032) and what stands behind them, which nothing names.

use super::Layer;
use super::ethernet::{self, ether_type};
use super::reason::Reason;
use super::view::View;
use super::walk::{Next, Walk};

const BOTTOM_OF_STACK: u32 = 1 << 8;
/// The control word of a pseudo-wire (RFC 4385).
const CONTROL_WORD_LEN: usize = 4;

/// The label stack. What follows is told by its first four bits, as routers do it (RFC 4928).
pub(super) fn parse(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    loop {
        let entry = walk.view.u32(0)?;
        walk.take_off(4, Layer::Mpls(entry >> 12))?;
        if entry & BOTTOM_OF_STACK != 0 {
            break;
        }
    }
    match walk.view.u8(0)? >> 4 {
        4 => Ok(Next::Ip),
        6 => Ok(Next::Ipv6),
        0 if is_ethernet(&walk.view, CONTROL_WORD_LEN) => {
            walk.take_off(CONTROL_WORD_LEN, Layer::Other("pw"))?;
            Ok(Next::Ethernet)
        }
        _ if is_ethernet(&walk.view, 0) => {
            walk.push(Layer::Other("pw"))?;
            Ok(Next::Ethernet)
        }
        _ => Err(Reason::NotIp),
    }
}

/// Whether an Ethernet header of a frame that can hold an IP packet stands at `offset`.
fn is_ethernet(view: &View<'_>, offset: usize) -> bool {
    view.u16(offset + ethernet::HEADER_LEN - 2)
        .is_ok_and(|number| {
            matches!(
                number,
                ether_type::IPV4
                    | ether_type::IPV6
                    | ether_type::VLAN
                    | ether_type::QINQ
                    | ether_type::QINQ_OLD
                    | ether_type::MPLS
                    | ether_type::PPPOE_SESSION
            )
        })
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::super::testing::{ethernet, join, layers_around, outcome, tcp4, tcp6};
    use mosaic_port::LinkType;
    use std::vec::Vec;

    fn labelled(stack: &[u8], payload: &[u8]) -> Vec<u8> {
        ethernet(0x8847, &join(&[stack, payload]))
    }

    #[test]
    fn the_first_bits_tell_ip_from_ip() {
        let stack = [0x00, 0x01, 0x00, 64, 0xff, 0xff, 0xf1, 64];
        let layers = [Layer::Mpls(0x10), Layer::Mpls(0xfffff)];
        assert_eq!(
            layers_around(LinkType::ETHERNET, &labelled(&stack, &tcp4())),
            layers
        );
        assert_eq!(
            layers_around(LinkType::ETHERNET, &labelled(&stack, &tcp6())),
            layers
        );
        assert_eq!(
            layers_around(LinkType::ETHERNET, &labelled(&stack[4..], &tcp6())),
            layers[1..]
        );
    }

    #[test]
    fn pseudo_wires_come_with_and_without_control_word() {
        let stack = [0x00, 0x01, 0x01, 64];
        let layers = [Layer::Mpls(0x10), Layer::Other("pw")];
        let inner = ethernet(0x0800, &tcp4());
        assert_eq!(
            layers_around(
                LinkType::ETHERNET,
                &labelled(&stack, &join(&[&[0, 0, 0, 7], &inner]))
            ),
            layers
        );
        assert_eq!(
            layers_around(LinkType::ETHERNET, &labelled(&stack, &inner)),
            layers
        );
    }

    #[test]
    fn a_stack_without_bottom_or_with_something_else_inside_is_no_ip() {
        assert_eq!(
            outcome(LinkType::ETHERNET, &labelled(&[0, 1, 0, 64], &[])).unwrap_err(),
            "malformed"
        );
        assert_eq!(
            outcome(LinkType::ETHERNET, &labelled(&[0, 1, 1, 64], &[0x10; 30])).unwrap_err(),
            "not_ip"
        );
        assert_eq!(
            outcome(
                LinkType::ETHERNET,
                &labelled(&[0, 1, 0, 64].repeat(30), &[])
            )
            .unwrap_err(),
            "too_deep"
        );
    }
}
