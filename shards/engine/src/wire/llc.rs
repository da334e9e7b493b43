//! IEEE 802.2 LLC and SNAP.

use super::reason::Reason;
use super::shim;
use super::walk::{Next, Walk};

const SAP_IP: u8 = 0x06;
const SAP_SNAP: u8 = 0xaa;
/// Unnumbered information, the control byte of connectionless frames.
const CONTROL_UI: u8 = 0x03;
const BRIDGED_WITH_CHECK: u16 = 1;
const BRIDGED: u16 = 7;
const CHECK_LEN: usize = 4;

/// DSAP, SSAP, control byte, and the SNAP header behind them.
pub(super) fn parse(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let [dsap, ssap, control] = walk.view.array(0)?;
    match (dsap, ssap, control) {
        (SAP_SNAP, SAP_SNAP, CONTROL_UI) => {
            let [o, u, i, high, low] = walk.view.array(3)?;
            walk.skip(8)?;
            snap(walk, [o, u, i], u16::from_be_bytes([high, low]))
        }
        (SAP_IP, _, CONTROL_UI) => {
            walk.skip(3)?;
            Ok(Next::Ip)
        }
        _ => Err(Reason::NotIp),
    }
}

/// What the organisation and the number it assigned name.
fn snap(walk: &mut Walk<'_, '_>, organisation: [u8; 3], protocol: u16) -> Result<Next, Reason> {
    match (organisation, protocol) {
        // RFC 1042, and the code of Cisco and Apple for the same (IEEE 802.1H).
        ([0, 0, 0] | [0, 0, 0xf8], _) => Ok(Next::EtherType(protocol)),
        // RFC 2684, section 5.3: Ethernet behind two bytes of padding, with and without its check sequence.
        ([0, 0x80, 0xc2], BRIDGED_WITH_CHECK) => {
            let len = walk.view.wire_len().saturating_sub(CHECK_LEN);
            walk.view = walk.view.limit(len);
            shim::bridged(walk, 2, "bridged")
        }
        ([0, 0x80, 0xc2], BRIDGED) => shim::bridged(walk, 2, "bridged"),
        _ => Err(Reason::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::super::testing::{Bench, OneFrame, ethernet, join, layers_around, outcome, tcp4};
    use mosaic_port::LinkType;
    use std::vec::Vec;

    /// An IEEE 802.3 frame: the length stands in the place of the type.
    fn frame(llc: &[u8], payload: &[u8]) -> Vec<u8> {
        let len = u16::try_from(llc.len() + payload.len()).unwrap();
        ethernet(len, &join(&[llc, payload]))
    }

    #[test]
    fn snap_names_an_ether_type() {
        for organisation in [[0, 0, 0], [0, 0, 0xf8]] {
            let [o, u, i] = organisation;
            let llc = [0xaa, 0xaa, 3, o, u, i, 0x08, 0x00];
            assert_eq!(layers_around(LinkType::ETHERNET, &frame(&llc, &tcp4())), []);
        }
        let cisco = [0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0x00];
        assert_eq!(
            outcome(LinkType::ETHERNET, &frame(&cisco, &tcp4())).unwrap_err(),
            "not_ip"
        );
    }

    #[test]
    fn bridged_ethernet_is_a_layer() {
        let inner = ethernet(0x0800, &tcp4());
        for (number, trailer) in [(7, &[][..]), (1, &[9; 4])] {
            let llc = [0xaa, 0xaa, 3, 0, 0x80, 0xc2, 0, number, 0, 0];
            let frame = frame(&llc, &join(&[&inner, trailer]));
            assert_eq!(
                layers_around(LinkType::ETHERNET, &frame),
                [Layer::Other("bridged")]
            );
        }
    }

    #[test]
    fn ip_has_an_access_point_of_its_own() {
        assert_eq!(
            layers_around(LinkType::ETHERNET, &frame(&[6, 6, 3], &tcp4())),
            []
        );
        assert_eq!(
            outcome(LinkType::ETHERNET, &frame(&[0x42, 0x42, 3], &tcp4())).unwrap_err(),
            "not_ip"
        );
    }

    #[test]
    fn what_is_beyond_the_length_is_padding() {
        let mut padded = frame(&[6, 6, 3], &tcp4());
        let stated_len = padded.len();
        // Total length 0: to the end of the frame, which is where the 802.3 length says.
        padded[14 + 3 + 2..][..2].fill(0);
        padded.resize(stated_len + 9, 0);
        let mut bench = Bench::ignoring();
        let packet = bench
            .frame(OneFrame::new(LinkType::ETHERNET, &padded))
            .unwrap();
        assert_eq!(packet.payload_len, 5);
    }
}
