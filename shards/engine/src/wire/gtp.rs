//! GTP user plane (3GPP TS 29.281 for version 1, GSM 09.60 for version 0).

use super::Layer;
use super::reason::Reason;
use super::walk::{Next, Walk};

const V0_LEN: usize = 20;
const V1_LEN: usize = 8;
/// Message type of user data.
const T_PDU: u8 = 255;
/// Version 1: extension header, sequence number or N-PDU number present; any of them adds four bytes.
const OPTIONAL_FIELDS: u8 = 0x07;
const EXTENSION: u8 = 0x04;
const OPTIONAL_LEN: usize = 4;

/// Flags with version, message type, length, tunnel identifier, optional fields; then an IP packet.
pub(super) fn parse(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let [flags, message] = walk.view.array(0)?;
    if message != T_PDU {
        return Err(Reason::NotIp);
    }
    // The length counts what follows the part of the header that is always there.
    let stated_len = usize::from(walk.view.u16(2)?);
    let (fixed_len, len, tunnel) = match flags >> 5 {
        0 => (V0_LEN, V0_LEN, walk.view.u32(12)?),
        1 => (V1_LEN, v1_len(walk, flags)?, walk.view.u32(4)?),
        _ => return Err(Reason::NotIp),
    };
    walk.view = walk.view.limit(fixed_len + stated_len);
    walk.take_off(len, Layer::Gtp(tunnel))?;
    Ok(Next::Ip)
}

fn v1_len(walk: &Walk<'_, '_>, flags: u8) -> Result<usize, Reason> {
    let mut len = V1_LEN;
    if flags & OPTIONAL_FIELDS == 0 {
        return Ok(len);
    }
    len += OPTIONAL_LEN;
    let mut next = if flags & EXTENSION == 0 {
        0
    } else {
        walk.view.u8(len - 1)?
    };
    while next != 0 {
        // Each extension header: length in words of four bytes, content, type of the next one.
        let words = walk.view.u8(len)?;
        if words == 0 {
            return Err(Reason::Malformed);
        }
        len += usize::from(words) * 4;
        next = walk.view.u8(len - 1)?;
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::super::testing::{OUTER4, join, layers_around, outcome, tcp4, tcp6, udp_frame};
    use mosaic_port::LinkType;

    #[test]
    fn both_versions_and_all_optional_fields() {
        let layers = [OUTER4, Layer::Gtp(0x0a0b_0c0d)];
        let teid = [0x0a, 0x0b, 0x0c, 0x0d];
        for (header, fixed_len) in [
            (join(&[&[0x30, 255, 0, 0], &teid]), 8),
            (join(&[&[0x32, 255, 0, 0], &teid, &[0, 1, 0, 0]]), 8),
            // A PDU session container, then a PDCP number.
            (
                join(&[
                    &[0x34, 255, 0, 0],
                    &teid,
                    &[0, 0, 0, 0x85, 1, 0, 0, 0xc0, 1, 0, 0, 0],
                ]),
                8,
            ),
            (
                join(&[
                    &[0x1e, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                    &teid,
                    &[0, 0, 0, 0],
                ]),
                20,
            ),
        ] {
            for inner in [tcp4(), tcp6()] {
                let mut message = join(&[&header, &inner]);
                let len = u16::try_from(message.len() - fixed_len).unwrap();
                message[2..4].copy_from_slice(&len.to_be_bytes());
                assert_eq!(
                    layers_around(LinkType::ETHERNET, &udp_frame(2152, &message)),
                    layers
                );
            }
        }
    }

    #[test]
    fn signalling_and_endless_extensions_are_plain_udp() {
        for header in [
            &[0x32, 1, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0][..],
            &[0x34, 255, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x85, 0, 0],
        ] {
            let packet = outcome(
                LinkType::ETHERNET,
                &udp_frame(2152, &join(&[header, &tcp4()])),
            )
            .unwrap();
            assert_eq!(packet.encapsulation, 0);
        }
    }
}
