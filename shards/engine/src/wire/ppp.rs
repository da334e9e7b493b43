//! PPP (RFC 1661, 1662), PPPoE sessions (RFC 2516), Cisco HDLC.

use super::Layer;
use super::ethernet::ether_type;
use super::reason::Reason;
use super::walk::{Next, Walk};

/// Address and control bytes of PPP in HDLC-like framing.
pub(super) const FRAMED: [u8; 2] = [0xff, 0x03];
/// Addresses of Cisco HDLC: unicast and broadcast.
const CISCO_UNICAST: u8 = 0x0f;
const CISCO_BROADCAST: u8 = 0x8f;

/// PPP protocol numbers (IANA).
mod protocol {
    pub(super) const IPV4: u16 = 0x0021;
    pub(super) const BRIDGED: u16 = 0x0031;
    pub(super) const IPV6: u16 = 0x0057;
    pub(super) const MPLS_UNICAST: u16 = 0x0281;
    pub(super) const MPLS_MULTICAST: u16 = 0x0283;
}

/// PPPoE code of session data.
const SESSION_DATA: u8 = 0;
const PPPOE_LEN: usize = 6;

/// PPP, with or without address and control bytes; or Cisco HDLC, which some captures carry under the same link type.
pub(super) fn framed(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let first = walk.view.u8(0)?;
    if first == CISCO_UNICAST || first == CISCO_BROADCAST {
        return Ok(Next::CiscoHdlc);
    }
    if walk.view.array(0) == Ok(FRAMED) {
        walk.skip(FRAMED.len())?;
    }
    parse(walk)
}

/// The protocol field and what it names.
fn parse(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let first = walk.view.u8(0)?;
    // Protocol field compression (RFC 1661, section 6.5): only the last byte of the number is odd.
    let number = if first & 1 == 1 {
        u16::from(first)
    } else {
        walk.view.u16(0)?
    };
    walk.skip(if first & 1 == 1 { 1 } else { 2 })?;
    match number {
        protocol::IPV4 => Ok(Next::Ip),
        protocol::IPV6 => Ok(Next::Ipv6),
        protocol::MPLS_UNICAST | protocol::MPLS_MULTICAST => Ok(Next::Mpls),
        // RFC 3518: flags, type 1 for Ethernet.
        protocol::BRIDGED if walk.view.u8(1)? == 1 => {
            walk.take_off(2, Layer::Other("bridged"))?;
            Ok(Next::Ethernet)
        }
        ether_type::IPV4 | ether_type::IPV6 => Ok(Next::EtherType(number)),
        _ => Err(Reason::NotIp),
    }
}

/// PPPoE: version and type, code, session identifier, length; then PPP without framing.
pub(super) fn over_ethernet(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let [_, code, high, low] = walk.view.array(0)?;
    let len = walk.view.u16(4)?;
    if code != SESSION_DATA {
        return Err(Reason::NotIp);
    }
    walk.take_off(PPPOE_LEN, Layer::Pppoe(u16::from_be_bytes([high, low])))?;
    walk.view = walk.view.limit(usize::from(len));
    parse(walk)
}

/// Cisco HDLC: address, control, `EtherType`.
pub(super) fn cisco_hdlc(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let number = walk.view.u16(2)?;
    walk.skip(4)?;
    match number {
        ether_type::IPV4
        | ether_type::IPV6
        | ether_type::MPLS
        | ether_type::MPLS_MULTICAST
        | ether_type::BRIDGED => Ok(Next::EtherType(number)),
        _ => Err(Reason::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::super::testing::{
        Bench, OneFrame, ethernet, join, layers_around, outcome, tcp4, tcp6,
    };
    use mosaic_port::LinkType;

    #[test]
    fn address_control_and_protocol_may_be_compressed() {
        for prefix in [
            &[0xff, 0x03, 0x00, 0x21][..],
            &[0x00, 0x21],
            &[0x21],
            &[0xff, 0x03, 0x21],
        ] {
            assert_eq!(layers_around(LinkType::PPP, &join(&[prefix, &tcp4()])), []);
        }
        assert_eq!(
            layers_around(
                LinkType::PPP_HDLC,
                &join(&[&[0xff, 0x03, 0x00, 0x57], &tcp6()])
            ),
            []
        );
        assert_eq!(
            layers_around(
                LinkType(204),
                &join(&[&[1, 0xff, 0x03, 0x00, 0x21], &tcp4()])
            ),
            []
        );
    }

    #[test]
    fn what_is_no_ip_is_told() {
        assert_eq!(
            outcome(LinkType::PPP, &[0xff, 0x03, 0xc0, 0x21, 1, 1, 0, 4]).unwrap_err(),
            "not_ip"
        );
        assert_eq!(outcome(LinkType::PPP, &[]).unwrap_err(), "malformed");
        assert_eq!(
            outcome(LinkType::PPP, &[0xff, 0x03]).unwrap_err(),
            "malformed"
        );
    }

    #[test]
    fn mpls_and_bridged_frames_are_layers() {
        let labels = join(&[&[0x02, 0x81, 0, 0x01, 0x01, 64], &tcp4()]);
        assert_eq!(layers_around(LinkType::PPP, &labels), [Layer::Mpls(0x10)]);
        let bridged = join(&[&[0x00, 0x31, 0, 1], &ethernet(0x0800, &tcp4())]);
        assert_eq!(
            layers_around(LinkType::PPP, &bridged),
            [Layer::Other("bridged")]
        );
    }

    #[test]
    fn a_session_carries_its_identifier_and_its_length() {
        let ppp = join(&[&[0x00, 0x21], &tcp4()]);
        let len = u16::try_from(ppp.len()).unwrap().to_be_bytes();
        let session = join(&[&[0x11, 0, 0x12, 0x34], &len, &ppp]);
        assert_eq!(
            layers_around(LinkType::ETHERNET, &ethernet(0x8864, &session)),
            [Layer::Pppoe(0x1234)]
        );
        assert_eq!(
            layers_around(LinkType::PPP_ETHER, &session),
            [Layer::Pppoe(0x1234)]
        );

        // Less than the IP packet says: what is beyond belongs to nobody.
        let mut short = session.clone();
        short[5] -= 2;
        let packet = Bench::ignoring()
            .frame(OneFrame::new(LinkType::PPP_ETHER, &short))
            .unwrap();
        assert_eq!((packet.payload_len, packet.payload_captured), (3, 3));

        let mut discovery = session;
        discovery[1] = 9;
        assert_eq!(
            outcome(LinkType::PPP_ETHER, &discovery).unwrap_err(),
            "not_ip"
        );
    }

    #[test]
    fn cisco_framing_comes_under_two_link_types() {
        for address in [0x0f, 0x8f] {
            let frame = join(&[&[address, 0, 0x08, 0x00], &tcp4()]);
            assert_eq!(layers_around(LinkType::C_HDLC, &frame), []);
            assert_eq!(layers_around(LinkType::PPP, &frame), []);
        }
        let keep_alive = [
            0x8f, 0, 0x80, 0x35, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0xff, 0xff,
        ];
        assert_eq!(
            outcome(LinkType::C_HDLC, &keep_alive).unwrap_err(),
            "not_ip"
        );
    }
}
