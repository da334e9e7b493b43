//! IEEE 802.1Q and 802.1ad tags.

use super::Layer;
use super::reason::Reason;
use super::walk::{Next, Walk};

/// The two bytes of priority and identifier, and the type of what follows.
pub(super) fn parse(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let control = walk.view.u16(0)?;
    let ether_type = walk.view.u16(2)?;
    walk.push(Layer::Vlan(control & 0x0fff))?;
    walk.skip(4)?;
    Ok(Next::EtherType(ether_type))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ethernet, join, layers_around, outcome, tcp4};
    use super::super::{LAYERS_MAX, Layer};
    use mosaic_port::LinkType;
    use std::vec::Vec;

    fn tagged(ether_type: u16, control: u16, inner: &[u8]) -> Vec<u8> {
        ethernet(ether_type, &join(&[&control.to_be_bytes(), inner]))
    }

    #[test]
    fn every_kind_of_tag_gives_its_identifier() {
        let inner = join(&[&[0x08, 0x00], &tcp4()]);
        for ether_type in [0x8100, 0x88a8, 0x9100] {
            let layers = layers_around(LinkType::ETHERNET, &tagged(ether_type, 0xe123, &inner));
            assert_eq!(layers, [Layer::Vlan(0x123)]);
        }
        let twice = join(&[&[0x81, 0x00, 0x00, 0x07], &inner]);
        let layers = layers_around(LinkType::ETHERNET, &tagged(0x88a8, 5, &twice));
        assert_eq!(layers, [Layer::Vlan(5), Layer::Vlan(7)]);
    }

    #[test]
    fn a_length_may_stand_behind_a_tag() {
        let llc = join(&[&[0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00], &tcp4()]);
        let len = u16::try_from(llc.len()).unwrap().to_be_bytes();
        let layers = layers_around(LinkType::ETHERNET, &tagged(0x8100, 9, &join(&[&len, &llc])));
        assert_eq!(layers, [Layer::Vlan(9)]);
    }

    #[test]
    fn depth_is_bounded() {
        let tags = |count: usize| {
            let inner = join(&[&[0x08, 0x00], &tcp4()]);
            let more = [0x81, 0x00, 0x00, 0x01].repeat(count - 1);
            tagged(0x8100, 1, &join(&[&more, &inner]))
        };
        assert_eq!(
            layers_around(LinkType::ETHERNET, &tags(LAYERS_MAX)),
            [Layer::Vlan(1); LAYERS_MAX]
        );
        assert_eq!(
            outcome(LinkType::ETHERNET, &tags(LAYERS_MAX + 1)).unwrap_err(),
            "too_deep"
        );
    }
}
