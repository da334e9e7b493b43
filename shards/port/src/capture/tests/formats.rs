//! What single fields of the formats mean.

use crate::capture::{MAX_BLOCK_LEN, MAX_FRAME_LEN, MAX_INTERFACES};
use crate::{LinkType, Timestamp};

use super::encode::{Format, Variant, variants};
use super::{OwnedFrame, load, stream};

const MICROS: Variant = Variant {
    format: Format::Micros,
    big_endian: false,
};
const ENHANCED: Variant = Variant {
    format: Format::Enhanced { resolution: 6 },
    big_endian: false,
};

/// Timestamps of the frames of `bytes`, in nanoseconds; the capture must not be damaged.
fn times(bytes: &[u8]) -> Vec<u64> {
    let (frames, damage) = stream(bytes);
    assert_eq!(damage, None);
    frames
        .iter()
        .map(|frame| frame.timestamp.as_nanos())
        .collect()
}

#[test]
fn what_is_no_capture_is_refused_with_a_reason() {
    for (bytes, reason) in [
        (&b""[..], "not a capture: the file is empty"),
        (
            b"\xd4\xc3",
            "not a capture: the file ends within its header",
        ),
        (
            b"\xd4\xc3\xb2\xa1\x02\0",
            "not a capture: the file ends within its header",
        ),
        (
            b"GET / HTTP/1.1\r\n",
            "not a capture: neither pcap nor pcapng",
        ),
        (
            b"\x1f\x8b\x08\0\0",
            "compressed with gzip; decompress it first",
        ),
        (
            b"\x28\xb5\x2f\xfd",
            "compressed with zstd; decompress it first",
        ),
    ] {
        assert_eq!(stream(bytes), (vec![], Some((0, reason))));
        assert_eq!(load(bytes), (vec![], Some((0, reason))));
    }
}

#[test]
fn a_header_alone_is_a_capture_without_frames() {
    for variant in variants() {
        assert_eq!(
            stream(&variant.encode(&[]).bytes),
            (vec![], None),
            "{variant:?}"
        );
    }
}

#[test]
fn upper_bits_of_the_link_type_are_not_part_of_it() {
    let mut bytes = MICROS.encode(&[OwnedFrame::new(0, b"frame")]).bytes;
    bytes[20..24].copy_from_slice(&0x5400_0071_u32.to_le_bytes());
    let (frames, damage) = stream(&bytes);
    assert_eq!((frames[0].link, damage), (LinkType::LINUX_SLL, None));
}

#[test]
fn old_versions_may_have_the_lengths_swapped() {
    let mut frame = OwnedFrame::new(0, b"frame");
    frame.wire_len = 1_000;
    for (minor, swap) in [(2, true), (3, true), (3, false), (4, false), (5, false)] {
        let mut bytes = MICROS.encode(std::slice::from_ref(&frame)).bytes;
        bytes[6] = minor;
        if swap {
            bytes[24 + 8..24 + 16].rotate_left(4);
        }
        assert_eq!(
            stream(&bytes),
            (vec![frame.clone()], None),
            "version 2.{minor}"
        );
    }
    let mut bytes = MICROS.encode(&[]).bytes;
    bytes[4] = 1;
    assert_eq!(
        stream(&bytes).1,
        Some((0, "pcap of a major version other than 2"))
    );
}

#[test]
fn a_frame_is_at_least_as_long_as_what_was_captured_of_it() {
    for variant in [MICROS, ENHANCED] {
        let frame = OwnedFrame::new(0, b"frame");
        let mut stated = frame.clone();
        stated.wire_len = 0;
        let bytes = variant.encode(&[stated]).bytes;
        assert_eq!(stream(&bytes), (vec![frame], None));
    }
}

#[test]
fn fractions_past_a_second_carry_and_seconds_are_unsigned() {
    let record = |seconds, fraction| MICROS.words([seconds, fraction, 0, 0]);
    let header = MICROS.encode(&[]).bytes;
    let bytes = [
        header,
        record(1, 1_000_000),
        record(0x8000_0000, 0),
        record(u32::MAX, u32::MAX),
    ]
    .concat();
    let last = 4_294_967_295 * 1_000_000_000 + 4_294_967_295 * 1_000;
    assert_eq!(
        times(&bytes),
        [2_000_000_000, 2_147_483_648_000_000_000, last]
    );
}

#[test]
fn clocks_of_any_resolution_and_offset_end_at_the_range_of_a_timestamp() {
    let offset = |seconds: i64| (14, seconds.to_le_bytes().to_vec());
    let resolution = |code| (9, vec![code]);
    for (options, ticks, nanos) in [
        (vec![], 5, 5_000),
        (vec![resolution(0)], 5, 5_000_000_000),
        (vec![resolution(3)], 5, 5_000_000),
        (vec![resolution(9)], 5, 5),
        (vec![resolution(12)], 5_999, 5),
        (vec![resolution(127)], u64::MAX - 1, 0),
        (vec![resolution(0x80)], 5, 5_000_000_000),
        (vec![resolution(0x81)], 5, 2_500_000_000),
        (vec![resolution(0xff)], u64::MAX, 0),
        (vec![resolution(0)], u64::MAX, u64::MAX),
        (vec![resolution(0x80)], u64::MAX, u64::MAX),
        (vec![offset(3)], 5, 3_000_005_000),
        (vec![resolution(9), offset(i64::MAX)], 5, u64::MAX),
        (vec![resolution(0), offset(-3)], 5, 2_000_000_000),
        (vec![offset(i64::MIN)], 5, 0),
        (
            vec![(2, b"eth0".to_vec()), (1, b"note".to_vec()), resolution(9)],
            5,
            5,
        ),
    ] {
        let [high, low] =
            [ticks >> 32, ticks & 0xffff_ffff].map(|half| u32::try_from(half).unwrap());
        let bytes = [
            ENHANCED.section(),
            ENHANCED.interface(LinkType::ETHERNET, 0, &options),
            ENHANCED.block(6, &ENHANCED.words([0, high, low, 0, 0])),
        ];
        assert_eq!(times(&bytes.concat()), [nanos], "{options:?}");
    }
}

#[test]
fn damaged_options_of_an_interface_are_damage() {
    let interface = |options: &[u8]| {
        let fixed = [1, 0, 0, 0, 0, 0, 0, 0];
        [
            ENHANCED.section(),
            ENHANCED.block(1, &[&fixed[..], options].concat()),
        ]
        .concat()
    };
    assert_eq!(
        stream(&interface(&[9, 0, 1, 0, 6, 0, 0, 0])).1,
        None,
        "no end of options"
    );
    assert_eq!(
        stream(&interface(&[0, 0, 0, 0, 9, 9, 9, 9])).1,
        None,
        "bytes after the end of options"
    );
    for options in [&[9, 0, 2, 0, 6, 6, 0, 0][..], &[14, 0, 1, 0, 6, 0, 0, 0]] {
        assert_eq!(
            stream(&interface(options)).1,
            Some((28, "time option of a wrong length"))
        );
    }
    assert_eq!(
        stream(&interface(&[2, 0, 5, 0, 6, 0, 0, 0])).1,
        Some((28, "option is cut off by its block's end"))
    );
}

#[test]
fn sections_have_their_own_byte_order_and_interfaces_and_other_blocks_are_skipped() {
    let (little, big) = (
        ENHANCED,
        Variant {
            big_endian: true,
            ..ENHANCED
        },
    );
    let frame = |interface| OwnedFrame {
        interface,
        ..OwnedFrame::new(1_000, b"frame")
    };
    let bytes = [
        little.section(),
        little.interface(LinkType::RAW, 0, &[]),
        little.interface(LinkType::ETHERNET, 0, &[]),
        little.block(5, &[0; 64]),
        little.record(&frame(1)),
        little.record(&frame(0)),
        big.section(),
        big.block(0x0bad_0bad, &[]),
        big.interface(LinkType::LINUX_SLL, 0, &[]),
        big.record(&frame(0)),
        Variant {
            format: Format::Obsolete,
            ..big
        }
        .record(&frame(0)),
        big.record(&frame(1)),
    ];
    let (frames, damage) = stream(&bytes.concat());
    let links: Vec<_> = frames
        .iter()
        .map(|frame| (frame.link, frame.interface))
        .collect();
    let sll = (LinkType::LINUX_SLL, 2);
    assert_eq!(
        links,
        [(LinkType::ETHERNET, 1), (LinkType::RAW, 0), sll, sll]
    );
    let offset = bytes[..11].concat().len() as u64;
    assert_eq!(
        damage,
        Some((
            offset,
            "packet of an interface that the section does not describe"
        ))
    );
}

#[test]
fn a_simple_packet_is_cut_by_the_snap_length_of_the_first_interface() {
    let simple = Variant {
        format: Format::Simple,
        ..ENHANCED
    };
    let bytes = [
        simple.section(),
        simple.interface(LinkType::RAW, 4, &[]),
        simple.block(3, &[&simple.words([1_000]), &b"abcd"[..]].concat()),
        simple.block(3, &[&simple.words([3]), &b"xyz\0"[..]].concat()),
    ];
    let (frames, damage) = stream(&bytes.concat());
    let frames: Vec<_> = frames
        .iter()
        .map(|frame| (&frame.bytes[..], frame.wire_len, frame.timestamp))
        .collect();
    assert_eq!(
        frames,
        [
            (&b"abcd"[..], 1_000, Timestamp::ZERO),
            (&b"xyz"[..], 3, Timestamp::ZERO)
        ]
    );
    assert_eq!(damage, None);
}

#[test]
fn a_block_whose_padding_is_not_in_its_length_is_read() {
    let mut block = ENHANCED.block(
        6,
        &[&ENHANCED.words([0, 0, 7, 3, 3]), &b"xyz\0"[..]].concat(),
    );
    let len = block.len();
    block[4] -= 1;
    block[len - 4] -= 1;
    let next = ENHANCED.record(&OwnedFrame::new(8_000, b"next"));
    let (frames, damage) = stream(
        &[
            ENHANCED.section(),
            ENHANCED.interface(LinkType::ETHERNET, 0, &[]),
            block,
            next,
        ]
        .concat(),
    );
    assert_eq!(
        frames,
        [
            OwnedFrame::new(7_000, b"xyz"),
            OwnedFrame::new(8_000, b"next")
        ]
    );
    assert_eq!(damage, None);
}

#[test]
fn longest_frame_and_block_are_read_and_longer_ones_refused() {
    let frame = OwnedFrame::new(0, &vec![0x55; MAX_FRAME_LEN as usize]);
    let longer = OwnedFrame::new(0, &vec![0x55; MAX_FRAME_LEN as usize + 1]);
    let reason = "record claims more than 262144 captured bytes";
    for variant in variants() {
        let bytes = variant.encode(&[frame.clone(), longer.clone()]);
        let offset = bytes.frame_ends[0] as u64;
        assert_eq!(
            stream(&bytes.bytes),
            (vec![variant.expected(&frame)], Some((offset, reason))),
            "{variant:?}"
        );
    }
    let block = ENHANCED.block(99, &vec![0; MAX_BLOCK_LEN as usize - 12]);
    let longer = ENHANCED.block(99, &vec![0; MAX_BLOCK_LEN as usize - 8]);
    let start = ENHANCED.section();
    assert_eq!(stream(&[&start[..], &block].concat()), (vec![], None));
    assert_eq!(
        stream(&[&start[..], &longer].concat()).1,
        Some((28, "block claims more than 16 MiB"))
    );
}

#[test]
fn interfaces_of_a_section_are_bounded() {
    let interface = ENHANCED.interface(LinkType::ETHERNET, 0, &[]);
    let most = [ENHANCED.section(), interface.repeat(MAX_INTERFACES)].concat();
    assert_eq!(stream(&most), (vec![], None));
    let damage = stream(&[&most[..], &interface].concat()).1;
    assert_eq!(
        damage,
        Some((most.len() as u64, "more than 65536 interfaces in a section"))
    );
}

#[test]
fn damaged_blocks_say_what_is_wrong() {
    let start = [
        ENHANCED.section(),
        ENHANCED.interface(LinkType::ETHERNET, 0, &[]),
    ]
    .concat();
    let patched = |at: usize, word: u32| {
        let mut block = ENHANCED.record(&OwnedFrame::new(0, b"four"));
        block[at..at + 4].copy_from_slice(&word.to_le_bytes());
        [start.clone(), block].concat()
    };
    for (at, word, reason) in [
        (4, 8, "block claims fewer than 12 bytes"),
        (
            32,
            40,
            "lengths at the beginning and the end of the block differ",
        ),
        (20, 5, "packet is longer than its block"),
        (
            8,
            1,
            "packet of an interface that the section does not describe",
        ),
    ] {
        assert_eq!(
            stream(&patched(at, word)),
            (vec![], Some((start.len() as u64, reason)))
        );
    }
    for (block, reason) in [
        (ENHANCED.block(6, &[0; 16]), "packet block is too short"),
        (ENHANCED.block(2, &[0; 16]), "packet block is too short"),
        (ENHANCED.block(3, &[]), "packet block is too short"),
        (
            ENHANCED.block(1, &[0; 4]),
            "interface description is too short",
        ),
        (
            ENHANCED.block(0x0a0d_0d0a, &[1; 16]),
            "section header without byte-order magic",
        ),
        (
            ENHANCED.block(0x0a0d_0d0a, &[0x4d, 0x3c, 0x2b, 0x1a]),
            "section header is too short",
        ),
        (
            ENHANCED.block(0x0a0d_0d0a, &[0x4d, 0x3c, 0x2b, 0x1a, 2, 0, 0, 0]),
            "pcapng of a major version other than 1",
        ),
    ] {
        assert_eq!(
            stream(&[&start[..], &block].concat()),
            (vec![], Some((start.len() as u64, reason)))
        );
    }
}
