//! What is written is read back, however the bytes arrive.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::{LinkType, Timestamp};

use super::encode::{FORMATS, Variant};
use super::{CapturePort, OwnedFrame, ShortReads, load, receive};

proptest! {
    #[test]
    fn frames_come_back(
        (variant, frames) in capture(),
        sizes in vec(0_usize..300, 1..20).prop_filter("some progress", |sizes| sizes.iter().any(|&size| size > 0)),
        chunk_len in 1_usize..2_000,
        held in 0_usize..5,
    ) {
        let expected: Vec<OwnedFrame> = frames.iter().map(|frame| variant.expected(frame)).collect();
        let bytes = variant.encode(&frames).bytes;
        let reader = ShortReads::new(bytes.clone(), sizes);
        let mut port = CapturePort::from_reader_in_chunks("test", reader, chunk_len);
        prop_assert_eq!(receive(&mut port, held), (expected.clone(), None));
        prop_assert_eq!(load(&bytes), (expected, None));
    }
}

/// A variant, and frames that agree in their link type.
pub(super) fn capture() -> impl Strategy<Value = (Variant, Vec<OwnedFrame>)> {
    let variant = (prop::sample::select(FORMATS.to_vec()), any::<bool>())
        .prop_map(|(format, big_endian)| Variant { format, big_endian });
    (variant, any::<u16>())
        .prop_flat_map(|(variant, link)| (Just(variant), vec(frame(LinkType(link)), 0..150)))
}

fn frame(link: LinkType) -> impl Strategy<Value = OwnedFrame> {
    // Binary resolution of 2^-30 s keeps 34 bits of seconds, as far as pcap does.
    let nanos = 0..u64::from(u32::MAX) * 1_000_000_000;
    (nanos, vec(any::<u8>(), 0..120), 0_u32..2_000).prop_map(move |(nanos, bytes, cut)| {
        OwnedFrame {
            wire_len: u32::try_from(bytes.len()).unwrap() + cut,
            timestamp: Timestamp::from_nanos(nanos),
            link,
            interface: 0,
            bytes,
        }
    })
}
