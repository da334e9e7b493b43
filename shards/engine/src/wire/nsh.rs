//! Network service header (RFC 8300).

use super::Layer;
use super::reason::Reason;
use super::walk::{Next, Walk};

/// Version, flags, length in words, metadata type, next protocol, service path.
pub(super) fn parse(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let [_, length, _, protocol] = walk.view.array(0)?;
    let words = usize::from(length & 0x3f);
    if words < 2 {
        return Err(Reason::Malformed);
    }
    walk.take_off(words * 4, Layer::Other("nsh"))?;
    match protocol {
        1 => Ok(Next::Ip),
        2 => Ok(Next::Ipv6),
        3 => Ok(Next::Ethernet),
        4 => Ok(Next::Nsh),
        5 => Ok(Next::Mpls),
        _ => Err(Reason::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::super::testing::{ethernet, join, layers_around, outcome, tcp4, tcp6};
    use mosaic_port::LinkType;

    #[test]
    fn the_next_protocol_decides() {
        let bridged = ethernet(0x0800, &tcp4());
        let again = join(&[&[0, 2, 1, 1, 0, 0, 1, 255], &tcp4()]);
        for (protocol, payload) in [(1, tcp4()), (2, tcp6()), (3, bridged)] {
            let frame = ethernet(
                0x894f,
                &join(&[&[0, 3, 1, protocol, 0, 0, 1, 255, 9, 9, 9, 9], &payload]),
            );
            assert_eq!(
                layers_around(LinkType::ETHERNET, &frame),
                [Layer::Other("nsh")]
            );
        }
        let frame = ethernet(0x894f, &join(&[&[0, 2, 1, 4, 0, 0, 1, 255], &again]));
        assert_eq!(
            layers_around(LinkType::ETHERNET, &frame),
            [Layer::Other("nsh"); 2]
        );
    }

    #[test]
    fn a_header_is_at_least_two_words_long() {
        let frame = ethernet(0x894f, &join(&[&[0, 1, 1, 1], &tcp4()]));
        assert_eq!(
            outcome(LinkType::ETHERNET, &frame).unwrap_err(),
            "malformed"
        );
    }
}
