//! Geneve (RFC 8926).

use super::Layer;
use super::reason::Reason;
use super::walk::{Next, Walk};

const HEADER_LEN: usize = 8;

/// Version and length of the options, flags, protocol type, network identifier, options.
pub(super) fn parse(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let [first, _, high, low] = walk.view.array(0)?;
    if first >> 6 != 0 {
        return Err(Reason::NotIp);
    }
    let options = usize::from(first & 0x3f) * 4;
    let identifier = walk.view.u32(4)? >> 8;
    walk.take_off(HEADER_LEN + options, Layer::Geneve(identifier))?;
    Ok(Next::EtherType(u16::from_be_bytes([high, low])))
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::super::testing::{
        OUTER4, ethernet, join, layers_around, outcome, tcp4, tcp6, udp_frame,
    };
    use mosaic_port::LinkType;

    #[test]
    fn options_are_skipped() {
        for options in [0, 3] {
            let header = [options, 0, 0x65, 0x58, 0, 0, 5, 0];
            let payload = join(&[
                &header,
                &[0; 12][..usize::from(options) * 4],
                &ethernet(0x0800, &tcp4()),
            ]);
            let layers = layers_around(LinkType::ETHERNET, &udp_frame(6081, &payload));
            assert_eq!(layers, [OUTER4, Layer::Geneve(5), Layer::Other("bridged")]);
        }
        let bare = join(&[&[0, 0, 0x86, 0xdd, 0, 0, 5, 0], &tcp6()]);
        assert_eq!(
            layers_around(LinkType::ETHERNET, &udp_frame(6081, &bare)),
            [OUTER4, Layer::Geneve(5)]
        );
    }

    #[test]
    fn another_version_is_not_understood() {
        let payload = join(&[&[0x40, 0, 0x08, 0x00, 0, 0, 5, 0], &tcp4()]);
        assert_eq!(
            outcome(LinkType::ETHERNET, &udp_frame(6081, &payload))
                .unwrap()
                .encapsulation,
            0
        );
    }
}
