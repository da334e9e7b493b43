//! AYIYA, the tunnel of SixXS (draft-massar-v6ops-ayiya).

use super::Layer;
use super::reason::Reason;
use super::walk::{Next, Walk};

const HEADER_LEN: usize = 8;
const FORWARD: u8 = 1;

/// Lengths of identity and signature, methods, operation, next header, time; then what the next header names.
pub(super) fn parse(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let [identity, signature, operation, next_header] = walk.view.array(0)?;
    if operation & 0x0f != FORWARD {
        return Err(Reason::NotIp);
    }
    let len = HEADER_LEN + (1 << (identity >> 4)) + usize::from(signature >> 4) * 4;
    walk.take_off(len, Layer::Ayiya)?;
    match next_header {
        super::ip::protocol::IPV4 => Ok(Next::Ip),
        super::ip::protocol::IPV6 => Ok(Next::Ipv6),
        _ => Err(Reason::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::super::testing::{OUTER4, join, layers_around, outcome, tcp6, udp_frame};
    use mosaic_port::LinkType;

    #[test]
    fn identity_and_signature_are_skipped() {
        let header = join(&[&[0x41, 0x52, 0x11, 41, 0, 0, 0, 0], &[7; 16], &[8; 20]]);
        let layers = layers_around(
            LinkType::ETHERNET,
            &udp_frame(5072, &join(&[&header, &tcp6()])),
        );
        assert_eq!(layers, [OUTER4, Layer::Ayiya]);
    }

    #[test]
    fn only_forwarded_packets_count() {
        let echo = join(&[&[0x41, 0x52, 0x12, 41, 0, 0, 0, 0], &[7; 16], &[8; 20]]);
        assert_eq!(
            outcome(
                LinkType::ETHERNET,
                &udp_frame(5072, &join(&[&echo, &tcp6()]))
            )
            .unwrap()
            .encapsulation,
            0
        );
    }
}
