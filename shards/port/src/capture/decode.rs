//! From bytes to frames: one record at a time, without input or output.

use super::batch::FrameDesc;
use super::pcap::Pcap;
use super::pcapng::{self, Pcapng};

/// The most bytes a frame may have. It is libpcap's and Wireshark's limit for network link types, four times the
/// longest IP datagram without jumbo option; a record that claims more is damaged. (They allow 128 MiB for D-Bus and USB
/// traffic, which is no network's.)
pub const MAX_FRAME_LEN: u32 = 256 * 1024;

/// What a decoder finds at the beginning of the unread bytes.
#[derive(Debug)]
pub(crate) enum Step {
    /// A record of `len` bytes with a frame, whose `offset` counts from the record's beginning.
    Frame { frame: FrameDesc, len: usize },
    /// A header or a block without a frame, of this many bytes.
    Skip(usize),
    /// Cannot tell yet: so many bytes are needed, more than there are.
    Need(usize),
    /// Nothing can be read from here on, for this reason.
    Damaged(&'static str),
}

/// Decodes the captures of one port, one after another. Interfaces are numbered over all of them.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    format: Format,
    /// Interfaces so far.
    interfaces: u32,
}

#[derive(Debug, Default)]
enum Format {
    /// The file's first bytes have not been seen.
    #[default]
    Unknown,
    Pcap(Pcap),
    Pcapng(Pcapng),
}

impl Decoder {
    /// Expects another file.
    pub(crate) fn next_file(&mut self) {
        self.format = Format::Unknown;
    }

    /// Looks at the record at the beginning of `bytes`. The caller moves on past it before it asks again.
    #[inline]
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Step {
        match &mut self.format {
            Format::Pcap(pcap) => pcap.step(bytes),
            Format::Pcapng(pcapng) => pcapng.step(bytes, &mut self.interfaces),
            Format::Unknown => self.begin(bytes),
        }
    }

    /// What is wrong with a file that ends here with `unread` bytes that make no record; `None` where nothing is.
    pub(crate) fn end_of_file(&self, unread: usize) -> Option<&'static str> {
        match (&self.format, unread) {
            (Format::Unknown, 0) => Some("not a capture: the file is empty"),
            (Format::Unknown, _) => Some("not a capture: the file ends within its header"),
            (_, 0) => None,
            _ => Some("the file is cut off within this record"),
        }
    }

    /// Recognises a file by its first bytes.
    #[cold]
    fn begin(&mut self, bytes: &[u8]) -> Step {
        let Some(&magic) = bytes.first_chunk::<4>() else {
            return Step::Need(4);
        };
        if u32::from_ne_bytes(magic) == pcapng::SECTION_HEADER {
            self.format = Format::Pcapng(Pcapng::default());
            return self.step(bytes);
        }
        match magic {
            [0x1f, 0x8b, ..] => Step::Damaged("compressed with gzip; decompress it first"),
            [0x28, 0xb5, 0x2f, 0xfd] => Step::Damaged("compressed with zstd; decompress it first"),
            _ => match Pcap::begin(bytes, self.interfaces) {
                Ok((pcap, len)) => {
                    self.interfaces = self.interfaces.saturating_add(1);
                    self.format = Format::Pcap(pcap);
                    Step::Skip(len)
                }
                Err(step) => step,
            },
        }
    }
}

/// Byte order of a file or section.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Order {
    #[default]
    Little,
    Big,
}

impl Order {
    #[inline]
    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    #[inline]
    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    pub(super) fn i64(self, bytes: [u8; 8]) -> i64 {
        match self {
            Self::Little => i64::from_le_bytes(bytes),
            Self::Big => i64::from_be_bytes(bytes),
        }
    }

    /// The `N` numbers of 32 bits that `bytes` begins with; `None` where it is shorter.
    #[inline]
    pub(super) fn words<const N: usize>(self, bytes: &[u8]) -> Option<[u32; N]> {
        let (words, _) = bytes.as_chunks::<4>();
        Some(words.first_chunk::<N>()?.map(|word| self.u32(word)))
    }
}
