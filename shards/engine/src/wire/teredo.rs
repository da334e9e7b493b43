//! Teredo (RFC 4380).

use super::Layer;
use super::reason::Reason;
use super::walk::{Next, Walk};

const AUTHENTICATION: u16 = 0x0001;
/// Indicator, two lengths, nonce, confirmation; the two variable fields stand between.
const AUTHENTICATION_LEN: usize = 4 + 8 + 1;
const ORIGIN: u16 = 0x0000;
const ORIGIN_LEN: usize = 8;

/// Authentication and origin indications, each at most once; then an IPv6 packet.
pub(super) fn parse(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    walk.push(Layer::Teredo)?;
    if walk.view.u16(0)? == AUTHENTICATION {
        let [client, value] = walk.view.array(2)?;
        walk.skip(AUTHENTICATION_LEN + usize::from(client) + usize::from(value))?;
    }
    if walk.view.u16(0)? == ORIGIN {
        walk.skip(ORIGIN_LEN)?;
    }
    Ok(Next::Ipv6)
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::super::testing::{OUTER4, join, layers_around, tcp6, udp_frame};
    use mosaic_port::LinkType;

    #[test]
    fn indications_stand_in_front() {
        let authentication = [0, 1, 2, 1, 0xaa, 0xbb, 0xcc, 1, 2, 3, 4, 5, 6, 7, 8, 0];
        let origin = [0, 0, 1, 2, 3, 4, 5, 6];
        for front in [
            &[][..],
            &authentication,
            &origin,
            &join(&[&authentication, &origin]),
        ] {
            let layers = layers_around(
                LinkType::ETHERNET,
                &udp_frame(3544, &join(&[front, &tcp6()])),
            );
            assert_eq!(layers, [OUTER4, Layer::Teredo]);
        }
    }
}
