//! IEEE 802.11 data frames, and the headers that capturing hosts put in front of them.

use super::reason::Reason;
use super::view::View;
use super::walk::{Next, Walk};

/// Frame control, first byte: type "data", and the bits of its subtype.
const TYPE_MASK: u8 = 0x0f;
const TYPE_DATA: u8 = 0x08;
const SUBTYPE_QOS: u8 = 0x80;
const SUBTYPE_NO_DATA: u8 = 0x40;
/// Frame control, second byte.
const TO_AND_FROM_DS: u8 = 0x03;
const MORE_FRAGMENTS: u8 = 0x04;
const PROTECTED: u8 = 0x40;
const ORDER: u8 = 0x80;
/// QoS control: the payload is an aggregate (A-MSDU).
const QOS_AMSDU: u8 = 0x80;

const HEADER_LEN: usize = 24;
/// Offset of the fragment number and sequence number.
const SEQUENCE_AT: usize = 22;
const ADDRESS_LEN: usize = 6;
const QOS_LEN: usize = 2;
const HT_CONTROL_LEN: usize = 4;
/// Two addresses and the length of a subframe of an aggregate.
const SUBFRAME_LEN: usize = 14;

const PRISM_LEN: usize = 144;
/// What an AVS header begins with; some drivers announce Prism and send AVS.
const AVS_MAGIC: [u32; 2] = [0x8021_1001, 0x8021_1002];

/// Presence bits and flags of radiotap.
const RADIOTAP_TSFT: u32 = 1 << 0;
const RADIOTAP_FLAGS: u32 = 1 << 1;
const RADIOTAP_MORE: u32 = 1 << 31;
const RADIOTAP_FLAG_FCS: u8 = 0x10;
const RADIOTAP_FLAG_PADDED: u8 = 0x20;
const FCS_LEN: usize = 4;

/// An IEEE 802.11 header.
pub(super) fn parse(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let control = walk.view.array(0)?;
    data_frame(walk, control, false)
}

/// An IEEE 802.11 header whose frame control bytes are swapped, as some controllers send it (CAPWAP).
pub(super) fn parse_swapped(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let [second, first] = walk.view.array(0)?;
    data_frame(walk, [first, second], false)
}

/// A data frame; ends at its LLC header. `padded`: the card aligned what follows the header to 4 bytes.
fn data_frame(
    walk: &mut Walk<'_, '_>,
    [kind, flags]: [u8; 2],
    padded: bool,
) -> Result<Next, Reason> {
    if kind & TYPE_MASK != TYPE_DATA
        || kind & SUBTYPE_NO_DATA != 0
        || flags & (PROTECTED | MORE_FRAGMENTS) != 0
    {
        return Err(Reason::NotIp);
    }
    let fragment = walk.view.u8(SEQUENCE_AT)? & 0x0f;
    if fragment != 0 {
        return Err(Reason::NotIp);
    }
    let mut len = HEADER_LEN;
    if flags & TO_AND_FROM_DS == TO_AND_FROM_DS {
        len += ADDRESS_LEN;
    }
    let mut aggregate = false;
    if kind & SUBTYPE_QOS != 0 {
        aggregate = walk.view.u8(len)? & QOS_AMSDU != 0;
        len += QOS_LEN;
        if flags & ORDER != 0 {
            len += HT_CONTROL_LEN;
        }
    }
    if padded {
        len = len.next_multiple_of(4);
    }
    walk.skip(len)?;
    if aggregate {
        // A frame yields one packet: that of the first subframe.
        let len = walk.view.u16(SUBFRAME_LEN - 2)?;
        walk.skip(SUBFRAME_LEN)?;
        walk.view = walk.view.limit(usize::from(len));
    }
    Ok(Next::Llc)
}

/// A radiotap header: version, padding, length, presence bits, fields; in little-endian order.
pub(super) fn radiotap(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let view = walk.view;
    let len = usize::from(u16::from_le_bytes(view.array(2)?));
    if len < 8 {
        return Err(Reason::Malformed);
    }
    let flags = radiotap_flags(&view).unwrap_or(0);
    let mut frame = view.skip(len)?;
    if flags & RADIOTAP_FLAG_FCS != 0 {
        frame = frame.limit(frame.wire_len().saturating_sub(FCS_LEN));
    }
    walk.view = frame;
    let control = walk.view.array(0)?;
    data_frame(walk, control, flags & RADIOTAP_FLAG_PADDED != 0)
}

/// The flags field, where the header has one.
fn radiotap_flags(view: &View<'_>) -> Option<u8> {
    let first = u32::from_le_bytes(view.array(4).ok()?);
    let mut at = 8;
    let mut present = first;
    while present & RADIOTAP_MORE != 0 {
        present = u32::from_le_bytes(view.array(at).ok()?);
        at += 4;
    }
    if first & RADIOTAP_FLAGS == 0 {
        return None;
    }
    if first & RADIOTAP_TSFT != 0 {
        at = at.next_multiple_of(8) + 8;
    }
    view.u8(at).ok()
}

/// A Prism header, or the AVS header that some drivers send in its place.
pub(super) fn prism(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    if AVS_MAGIC.contains(&walk.view.u32(0)?) {
        return avs(walk);
    }
    walk.skip(PRISM_LEN).map(|()| Next::Wlan)
}

/// An AVS header: magic number, length.
pub(super) fn avs(walk: &mut Walk<'_, '_>) -> Result<Next, Reason> {
    let len = usize::try_from(walk.view.u32(4)?).map_err(|_| Reason::Malformed)?;
    if len < 8 {
        return Err(Reason::Malformed);
    }
    walk.skip(len).map(|()| Next::Wlan)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, OneFrame, join, layers_around, outcome, tcp4};
    use mosaic_port::LinkType;
    use std::vec::Vec;

    const SNAP: [u8; 8] = [0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00];

    /// A frame with this frame control, as many zeros as the rest of the header is long, and a packet.
    fn wlan(control: [u8; 2], rest_len: usize) -> Vec<u8> {
        join(&[&control, &[0; 40][..rest_len], &SNAP, &tcp4()])
    }

    #[test]
    fn every_length_of_header() {
        for (control, rest_len) in [
            ([0x08, 0x01], 22),
            ([0x08, 0x02], 22),
            ([0x08, 0x03], 28),
            ([0x88, 0x01], 24),
            ([0x88, 0x03], 30),
            ([0x88, 0x81], 28),
            // Data with acknowledgment and poll.
            ([0x38, 0x01], 22),
        ] {
            assert_eq!(
                layers_around(LinkType::IEEE802_11, &wlan(control, rest_len)),
                []
            );
        }
    }

    #[test]
    fn what_is_encrypted_or_has_no_data_is_no_ip() {
        let fragment = join(&[&[0x08, 0x01], &[0; 20], &[0x01, 0x00], &SNAP, &tcp4()]);
        let frames = [
            wlan([0x80, 0x00], 22), // beacon
            wlan([0xd4, 0x00], 22), // acknowledgment
            wlan([0x48, 0x01], 22), // null
            wlan([0x08, 0x41], 22), // protected
            wlan([0x08, 0x05], 22), // more fragments
            fragment,
        ];
        for frame in frames {
            assert_eq!(outcome(LinkType::IEEE802_11, &frame).unwrap_err(), "not_ip");
        }
    }

    #[test]
    fn an_aggregate_gives_its_first_subframe() {
        let len = u16::try_from(SNAP.len() + tcp4().len())
            .unwrap()
            .to_be_bytes();
        let subframe = join(&[&[0; 12], &len, &SNAP, &tcp4(), &[0; 3]]);
        let frame = join(&[&[0x88, 0x01], &[0; 22], &[0x80, 0], &subframe, &subframe]);
        assert_eq!(layers_around(LinkType::IEEE802_11, &frame), []);
    }

    #[test]
    fn radiotap_says_what_stands_at_the_end_and_in_between() {
        let frame = wlan([0x08, 0x01], 22);
        let plain = join(&[&[0, 0, 8, 0, 0, 0, 0, 0], &frame]);
        assert_eq!(layers_around(LinkType::IEEE802_11_RADIOTAP, &plain), []);
        // Time and flags, in a header with a second word of presence bits; the check sequence is there.
        let header = [
            0, 0, 25, 0, 3, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x10,
        ];
        let mut checked = join(&[&header, &frame, &[9; 4]]);
        assert_eq!(layers_around(LinkType::IEEE802_11_RADIOTAP, &checked), []);
        // Total length 0 reaches to the end of the frame, but not into the check sequence.
        let total_len_at = header.len() + 24 + SNAP.len() + 2;
        checked[total_len_at..][..2].fill(0);
        let packet = Bench::ignoring()
            .frame(OneFrame::new(LinkType::IEEE802_11_RADIOTAP, &checked))
            .unwrap();
        assert_eq!(packet.payload_len, 5);
        // Quality of service makes 26 bytes, which the card padded to 28.
        let padded = join(&[&[0, 0, 9, 0, 2, 0, 0, 0, 0x20], &wlan([0x88, 0x01], 26)]);
        assert_eq!(layers_around(LinkType::IEEE802_11_RADIOTAP, &padded), []);
        assert_eq!(
            outcome(LinkType::IEEE802_11_RADIOTAP, &[0, 0, 7, 0, 0, 0, 0, 0]).unwrap_err(),
            "malformed"
        );
    }

    #[test]
    fn prism_and_avs() {
        let frame = wlan([0x08, 0x01], 22);
        assert_eq!(
            layers_around(LinkType::IEEE802_11_PRISM, &join(&[&[0; 144], &frame])),
            []
        );
        let avs = join(&[&[0x80, 0x21, 0x10, 0x01, 0, 0, 0, 64], &[0; 56], &frame]);
        assert_eq!(layers_around(LinkType::IEEE802_11_AVS, &avs), []);
        assert_eq!(layers_around(LinkType::IEEE802_11_PRISM, &avs), []);
    }
}
