//! L2TP data messages, version 2 (RFC 2661).

use super::Layer;
use super::reason::Reason;
use super::walk::{Next, Walk};

/// Flags and version.
const CONTROL: u16 = 0x8000;
const LENGTH: u16 = 0x4000;
const SEQUENCE: u16 = 0x0800;
const OFFSET: u16 = 0x0200;
const VERSION: u16 = 0x000f;

/// Flags, maybe a length, tunnel and session, maybe sequence numbers, maybe an offset; then PPP.
pub(super) fn parse(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let flags = walk.view.u16(0)?;
    if flags & CONTROL != 0 || flags & VERSION != 2 {
        return Err(Reason::NotIp);
    }
    let mut len = 2;
    if flags & LENGTH != 0 {
        walk.view = walk.view.limit(usize::from(walk.view.u16(2)?));
        len += 2;
    }
    let (tunnel, session) = (walk.view.u16(len)?, walk.view.u16(len + 2)?);
    len += 4;
    if flags & SEQUENCE != 0 {
        len += 4;
    }
    if flags & OFFSET != 0 {
        len += 2 + usize::from(walk.view.u16(len)?);
    }
    walk.take_off(len, Layer::L2tp(u32::from(tunnel), u32::from(session)))?;
    Ok(Next::PppFramed)
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::super::testing::{OUTER4, join, layers_around, outcome, tcp4, udp_frame};
    use mosaic_port::LinkType;

    #[test]
    fn optional_fields_are_skipped() {
        let layers = [OUTER4, Layer::L2tp(7, 9)];
        for header in [
            &[0x00, 0x02, 0, 7, 0, 9][..],
            &[0x40, 0x02, 0, 0, 0, 7, 0, 9],
            &[0x48, 0x02, 0, 0, 0, 7, 0, 9, 0, 1, 0, 1],
            &[0x02, 0x02, 0, 7, 0, 9, 0, 3, 1, 1, 1],
        ] {
            for ppp in [&[0xff, 0x03, 0x00, 0x21][..], &[0x21]] {
                let mut message = join(&[header, ppp, &tcp4()]);
                if header[0] & 0x40 != 0 {
                    message[3] = u8::try_from(message.len()).unwrap();
                }
                assert_eq!(
                    layers_around(LinkType::ETHERNET, &udp_frame(1701, &message)),
                    layers
                );
            }
        }
    }

    #[test]
    fn control_messages_are_plain_udp() {
        let payload = join(&[&[0xc8, 0x02, 0, 60, 0, 7, 0, 9, 0, 1, 0, 1, 0x21], &tcp4()]);
        assert_eq!(
            outcome(LinkType::ETHERNET, &udp_frame(1701, &payload))
                .unwrap()
                .encapsulation,
            0
        );
    }
}
