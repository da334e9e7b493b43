//! Writing captures in every variant.

use crate::{LinkType, Timestamp};

use super::OwnedFrame;

/// A way to write a capture down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variant {
    pub(super) format: Format,
    pub(super) big_endian: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Format {
    Micros,
    Nanos,
    Modified,
    Enhanced { resolution: u8 },
    Obsolete,
    Simple,
}

pub(super) const FORMATS: [Format; 8] = [
    Format::Micros,
    Format::Nanos,
    Format::Modified,
    Format::Enhanced { resolution: 6 },
    Format::Enhanced { resolution: 9 },
    Format::Enhanced {
        resolution: 0x80 | 30,
    },
    Format::Obsolete,
    Format::Simple,
];

/// Every format in either byte order.
pub(super) fn variants() -> impl Iterator<Item = Variant> {
    let both = |format| [false, true].map(|big_endian| Variant { format, big_endian });
    FORMATS.into_iter().flat_map(both)
}

/// A capture being written, with the ends of its records.
#[derive(Default)]
pub(super) struct Encoded {
    pub(super) bytes: Vec<u8>,
    /// Offset behind the header and behind each record without a frame.
    pub(super) boundaries: Vec<usize>,
    /// Offset behind each record with a frame.
    pub(super) frame_ends: Vec<usize>,
}

impl Variant {
    /// A capture of `frames`, of the link type and interface that they have in common.
    pub(super) fn encode(self, frames: &[OwnedFrame]) -> Encoded {
        let link = frames
            .first()
            .map_or(LinkType::ETHERNET, |frame| frame.link);
        let mut encoded = Encoded::default();
        self.begin(link, &mut encoded);
        for frame in frames {
            encoded.bytes.extend(self.record(frame));
            encoded.frame_ends.push(encoded.bytes.len());
        }
        encoded
    }

    /// `frame` as it is read back: this format may say less than a frame has.
    pub(super) fn expected(self, frame: &OwnedFrame) -> OwnedFrame {
        let nanos = frame.timestamp.as_nanos();
        let nanos = match self.format {
            Format::Simple => 0,
            Format::Nanos => nanos,
            Format::Enhanced { resolution } => nanos_of_ticks(ticks(nanos, resolution), resolution),
            Format::Micros | Format::Modified | Format::Obsolete => nanos / 1_000 * 1_000,
        };
        // A simple packet block has no other captured length than that on the wire.
        let wire_len = match self.format {
            Format::Simple => u32::try_from(frame.bytes.len()).unwrap(),
            _ => frame.wire_len,
        };
        OwnedFrame {
            timestamp: Timestamp::from_nanos(nanos),
            wire_len,
            ..frame.clone()
        }
    }

    fn begin(self, link: LinkType, to: &mut Encoded) {
        let magic = match self.format {
            Format::Micros => 0xa1b2_c3d4,
            Format::Nanos => 0xa1b2_3c4d,
            Format::Modified => 0xa1b2_cd34,
            _ => {
                to.bytes.extend(self.section());
                to.boundaries.push(to.bytes.len());
                let resolution = match self.format {
                    Format::Enhanced { resolution } => resolution,
                    _ => 6,
                };
                to.bytes
                    .extend(self.interface(link, 0, &[(9, vec![resolution])]));
                to.boundaries.push(to.bytes.len());
                return;
            }
        };
        to.bytes.extend(self.words([magic]));
        to.bytes.extend([self.half(2), self.half(4)].concat());
        to.bytes
            .extend(self.words([0, 0, 65_535, u32::from(link.0)]));
        to.boundaries.push(to.bytes.len());
    }

    /// One record with `frame`.
    pub(super) fn record(self, frame: &OwnedFrame) -> Vec<u8> {
        let nanos = frame.timestamp.as_nanos();
        let lens = [u32::try_from(frame.bytes.len()).unwrap(), frame.wire_len];
        let seconds = u32::try_from(nanos / 1_000_000_000).unwrap();
        let fraction = u32::try_from(nanos % 1_000_000_000).unwrap();
        let pcap = |fraction, rest: &[u8]| {
            [
                &self.words([seconds, fraction, lens[0], lens[1]]),
                rest,
                &frame.bytes,
            ]
            .concat()
        };
        let timed = |interface: Vec<u8>, ticks: u64| {
            let [high, low] =
                [ticks >> 32, ticks & 0xffff_ffff].map(|half| u32::try_from(half).unwrap());
            let fixed = self.words([high, low, lens[0], lens[1]]);
            [&interface, &fixed, &padded(&frame.bytes)[..]].concat()
        };
        match self.format {
            Format::Micros => pcap(fraction / 1_000, &[]),
            Format::Nanos => pcap(fraction, &[]),
            Format::Modified => pcap(fraction / 1_000, &[7; 8]),
            Format::Enhanced { resolution } => self.block(
                6,
                &timed(self.words([frame.interface]), ticks(nanos, resolution)),
            ),
            Format::Obsolete => {
                let interface = u16::try_from(frame.interface).unwrap();
                self.block(
                    2,
                    &timed(
                        [self.half(interface), self.half(0xffff)].concat(),
                        nanos / 1_000,
                    ),
                )
            }
            Format::Simple => {
                self.block(3, &[self.words([lens[0]]), padded(&frame.bytes)].concat())
            }
        }
    }

    /// A section header block.
    pub(super) fn section(self) -> Vec<u8> {
        let length_unknown = [0xff; 8];
        let version = [self.half(1), self.half(0)].concat();
        self.block(
            0x0a0d_0d0a,
            &[&self.words([0x1a2b_3c4d]), &version, &length_unknown[..]].concat(),
        )
    }

    /// An interface description block.
    pub(super) fn interface(
        self,
        link: LinkType,
        snap_len: u32,
        options: &[(u16, Vec<u8>)],
    ) -> Vec<u8> {
        let mut body = [self.half(link.0), self.half(0), self.words([snap_len])].concat();
        for (code, value) in options {
            body.extend(self.half(*code));
            body.extend(self.half(u16::try_from(value.len()).unwrap()));
            body.extend(padded(value));
        }
        if !options.is_empty() {
            body.extend([0; 4]);
        }
        self.block(1, &body)
    }

    /// Any block; `body` is padded already.
    pub(super) fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(body.len() + 12).unwrap();
        [&self.words([kind, len]), body, &self.words([len])[..]].concat()
    }

    pub(super) fn words<const N: usize>(self, words: [u32; N]) -> Vec<u8> {
        let bytes = |word: u32| {
            if self.big_endian {
                word.to_be_bytes()
            } else {
                word.to_le_bytes()
            }
        };
        words.map(bytes).concat()
    }

    pub(super) fn half(self, half: u16) -> Vec<u8> {
        if self.big_endian {
            half.to_be_bytes()
        } else {
            half.to_le_bytes()
        }
        .to_vec()
    }
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Whole ticks until `nanos`.
fn ticks(nanos: u64, resolution: u8) -> u64 {
    let ticks = match resolution {
        0..0x80 => u128::from(nanos) * 10_u128.pow(resolution.into()) / 1_000_000_000,
        _ => (u128::from(nanos) << (resolution & 0x7f)) / 1_000_000_000,
    };
    u64::try_from(ticks).unwrap()
}

fn nanos_of_ticks(ticks: u64, resolution: u8) -> u64 {
    let nanos = match resolution {
        0..0x80 => u128::from(ticks) * 1_000_000_000 / 10_u128.pow(resolution.into()),
        _ => (u128::from(ticks) * 1_000_000_000) >> (resolution & 0x7f),
    };
    u64::try_from(nanos).unwrap()
}
