//! Captures that end too early or have wrong bytes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::encode::variants;
use super::round_trip::capture;
use super::{CapturePort, OwnedFrame, ShortReads, load, receive, stream};

#[test]
fn a_cut_capture_gives_its_whole_frames_and_one_error() {
    let frames: Vec<OwnedFrame> = [&b""[..], b"a", b"four", b"longer than the others"]
        .map(|bytes| OwnedFrame::new(7_000, bytes))
        .into();
    for variant in variants() {
        let expected: Vec<OwnedFrame> =
            frames.iter().map(|frame| variant.expected(frame)).collect();
        let encoded = variant.encode(&frames);
        for cut in 0..=encoded.bytes.len() {
            let bytes = &encoded.bytes[..cut];
            let whole = encoded.frame_ends.iter().filter(|&&end| end <= cut).count();
            let ends = || encoded.boundaries.iter().chain(&encoded.frame_ends);
            let offset = ends().copied().filter(|&end| end <= cut).max().unwrap_or(0);

            let (received, damage) = stream(bytes);
            assert_eq!(received, expected[..whole], "{variant:?} cut at {cut}");
            let clean = ends().any(|&end| end == cut);
            let damaged_at = damage.map(|(offset, _)| offset);
            assert_eq!(
                damaged_at,
                (!clean).then_some(offset as u64),
                "{variant:?} cut at {cut}"
            );
            assert_eq!(load(bytes), (received, damage), "{variant:?} cut at {cut}");
        }
    }
}

proptest! {
    /// Whatever the bytes are: no panic, an end, and memory and stream agree. Frames before the first wrong byte are there.
    #[test]
    fn wrong_bytes_are_survived(
        (variant, frames) in capture(),
        wrong in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        size in 1_usize..500,
    ) {
        let encoded = variant.encode(&frames);
        let mut bytes = encoded.bytes.clone();
        let mut first = bytes.len();
        for (index, value) in wrong {
            let index = index.index(bytes.len());
            bytes[index] = value;
            first = first.min(index);
        }
        let outcome = load(&bytes);
        let sound = encoded.frame_ends.iter().filter(|&&end| end <= first).count();
        for (received, frame) in outcome.0.iter().zip(&frames[..sound]) {
            prop_assert_eq!(received, &variant.expected(frame));
        }
        prop_assert!(outcome.0.len() >= sound);
        let reader = ShortReads::new(bytes, vec![size]);
        prop_assert_eq!(receive(&mut CapturePort::from_reader_in_chunks("test", reader, 64), 1), outcome);
    }

    #[test]
    fn noise_is_survived(start in prop::sample::select(STARTS.to_vec()), noise in vec(any::<u8>(), 0..2_000)) {
        let bytes = [start, &noise].concat();
        prop_assert_eq!(stream(&bytes), load(&bytes));
    }
}

/// Beginnings that get noise past the first check.
const STARTS: [&[u8]; 5] = [
    b"",
    b"\xd4\xc3\xb2\xa1\x02\0\x04\0",
    b"\xa1\xb2\x3c\x4d\0\x02\0\x04",
    b"\x0a\x0d\x0d\x0a",
    b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0\x01\0\0\0",
];
