//! CAPWAP data (RFC 5415), between access points and their controller; TZSP, the stream of a remote sniffer.

use super::Layer;
use super::reason::Reason;
use super::walk::{Next, Walk};
use super::wlan;

/// Preamble: version 0 with the header in the clear.
const CLEAR: u8 = 0;
/// Third byte: wireless binding, and whether the payload is a frame of that kind.
const BINDING: u8 = 0x3e;
const BINDING_WLAN: u8 = 1 << 1;
const NATIVE: u8 = 0x01;
/// Fourth byte: a fragment, or a keep-alive.
const FRAGMENT_OR_KEEP_ALIVE: u8 = 0x80 | 0x08;

/// Preamble, header length, binding, flags; then a frame.
pub(super) fn data(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let [preamble, length, binding, flags] = walk.view.array(0)?;
    if preamble != CLEAR || flags & FRAGMENT_OR_KEEP_ALIVE != 0 {
        return Err(Reason::NotIp);
    }
    let words = usize::from(length >> 3);
    walk.take_off(words.max(2) * 4, Layer::Other("capwap"))?;
    match (binding & NATIVE != 0, binding & BINDING) {
        (false, _) => Ok(Next::Ethernet),
        (true, BINDING_WLAN) => wlan::parse_swapped(walk),
        _ => Err(Reason::NotIp),
    }
}

/// Types of what TZSP carries.
const TZSP_ETHERNET: u16 = 1;
const TZSP_WLAN: u16 = 18;
/// Tags that have no length.
const TAG_PADDING: u8 = 0;
const TAG_END: u8 = 1;

/// Version, type, kind of frame, tagged fields; then the frame.
pub(super) fn tzsp(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let kind = walk.view.u16(2)?;
    let mut len = 4;
    loop {
        match walk.view.u8(len)? {
            TAG_END => break,
            TAG_PADDING => len += 1,
            _ => len += 2 + usize::from(walk.view.u8(len + 1)?),
        }
    }
    walk.take_off(len + 1, Layer::Other("tzsp"))?;
    match kind {
        TZSP_ETHERNET => Ok(Next::Ethernet),
        TZSP_WLAN => Ok(Next::Wlan),
        _ => Err(Reason::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::super::testing::{OUTER4, ethernet, join, layers_around, outcome, tcp4, udp_frame};
    use mosaic_port::LinkType;

    #[test]
    fn access_points_send_frames_of_both_kinds() {
        let llc = join(&[&[0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00], &tcp4()]);
        // Frame control swapped: flags first.
        let wlan = join(&[&[0x01, 0x08], &[0; 22], &llc]);
        let payload = join(&[&[0, 0x10, 0x03, 0, 0, 0, 0, 0], &wlan]);
        assert_eq!(
            layers_around(LinkType::ETHERNET, &udp_frame(5247, &payload)),
            [OUTER4, Layer::Other("capwap")]
        );
        let payload = join(&[&[0, 0x10, 0x02, 0, 0, 0, 0, 0], &ethernet(0x0800, &tcp4())]);
        assert_eq!(
            layers_around(LinkType::ETHERNET, &udp_frame(5247, &payload)),
            [OUTER4, Layer::Other("capwap")]
        );
    }

    #[test]
    fn encrypted_fragments_and_keep_alives_are_plain_udp() {
        for header in [
            [1, 0x10, 0x02, 0],
            [0, 0x10, 0x02, 0x80],
            [0, 0x10, 0x02, 0x08],
        ] {
            let payload = join(&[&header, &[0; 4], &ethernet(0x0800, &tcp4())]);
            assert_eq!(
                outcome(LinkType::ETHERNET, &udp_frame(5247, &payload))
                    .unwrap()
                    .encapsulation,
                0
            );
        }
    }

    #[test]
    fn tags_of_a_sniffer_are_skipped() {
        for tags in [&[1][..], &[0, 0, 1], &[10, 1, 0xaa, 0, 11, 0, 1]] {
            let payload = join(&[&[1, 0, 0, 1], tags, &ethernet(0x0800, &tcp4())]);
            assert_eq!(
                layers_around(LinkType::ETHERNET, &udp_frame(37008, &payload)),
                [OUTER4, Layer::Other("tzsp")]
            );
        }
    }
}
