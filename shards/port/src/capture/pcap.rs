//! The pcap format (draft-ietf-opsawg-pcap, and its predecessors that libpcap reads).

use crate::{LinkType, Timestamp};

use super::batch::FrameDesc;
use super::decode::{MAX_FRAME_LEN, Order, Step};

/// Length of the file header, in bytes.
const FILE_HEADER_LEN: usize = 24;
/// Length of a record's header, in bytes.
const RECORD_HEADER_LEN: usize = 16;
/// The same of "modified" captures: interface index, protocol and packet type follow.
const MODIFIED_RECORD_HEADER_LEN: usize = 24;

/// How to read the records of one pcap file.
#[derive(Debug)]
pub(super) struct Pcap {
    order: Order,
    record_header_len: usize,
    nanos_per_fraction: u32,
    lengths: Lengths,
    link: LinkType,
    interface: u32,
}

/// In which order a record has captured length and length on the wire.
#[derive(Debug)]
enum Lengths {
    /// Captured length first, as the format has it.
    Captured,
    /// Length on the wire first, as before version 2.3.
    Wire,
    /// Version 2.3: writers differ; the captured length is the smaller one.
    Either,
}

impl Pcap {
    /// Reads the file header at the beginning of `bytes`. Gives its length, too.
    ///
    /// # Errors
    /// The step to take instead, where there is none.
    pub(super) fn begin(bytes: &[u8], interface: u32) -> Result<(Self, usize), Step> {
        let magic = bytes.first_chunk::<4>().ok_or(Step::Need(4))?;
        let (order, (record_header_len, nanos_per_fraction)) = [Order::Little, Order::Big]
            .into_iter()
            .find_map(|order| Some((order, variant(order.u32(*magic))?)))
            .ok_or(Step::Damaged("not a capture: neither pcap nor pcapng"))?;
        let [_, version, _zone, _accuracy, _snap_len, network] =
            order.words(bytes).ok_or(Step::Need(FILE_HEADER_LEN))?;
        // Two numbers of 16 bits; the first has the lower address.
        let (major, minor) = match order {
            Order::Little => (version & 0xffff, version >> 16),
            Order::Big => (version >> 16, version & 0xffff),
        };
        let lengths = match (major, minor) {
            (2, 0..=2) => Lengths::Wire,
            (2, 3) => Lengths::Either,
            (2, _) => Lengths::Captured,
            _ => return Err(Step::Damaged("pcap of a major version other than 2")),
        };
        let link = link_type(network);
        Ok((
            Self {
                order,
                record_header_len,
                nanos_per_fraction,
                lengths,
                link,
                interface,
            },
            FILE_HEADER_LEN,
        ))
    }

    /// Looks at the record at the beginning of `bytes`.
    #[inline]
    pub(super) fn step(&self, bytes: &[u8]) -> Step {
        let Some([seconds, fraction, first, second]) = self.order.words(bytes) else {
            return Step::Need(self.record_header_len);
        };
        let (cap_len, wire_len) = match self.lengths {
            Lengths::Captured => (first, second),
            Lengths::Wire => (second, first),
            Lengths::Either => (first.min(second), first.max(second)),
        };
        if cap_len > MAX_FRAME_LEN {
            return Step::Damaged("record claims more than 262144 captured bytes");
        }
        let len = self.record_header_len + cap_len as usize;
        if bytes.len() < len {
            return Step::Need(len);
        }
        // Cannot overflow: below 2^32 * 10^9 + 2^32 * 10^3.
        let nanos = u64::from(seconds) * 1_000_000_000
            + u64::from(fraction) * u64::from(self.nanos_per_fraction);
        let frame = FrameDesc {
            offset: self.record_header_len,
            timestamp: Timestamp::from_nanos(nanos),
            cap_len,
            wire_len,
            interface: self.interface,
            link: self.link,
        };
        Step::Frame { frame, len }
    }
}

/// Record header length and nanoseconds in a unit of the time's fraction, by magic number.
fn variant(magic: u32) -> Option<(usize, u32)> {
    match magic {
        0xa1b2_c3d4 => Some((RECORD_HEADER_LEN, 1_000)),
        0xa1b2_3c4d => Some((RECORD_HEADER_LEN, 1)),
        0xa1b2_cd34 => Some((MODIFIED_RECORD_HEADER_LEN, 1_000)),
        _ => None,
    }
}

/// The link type of a file header's last field, whose upper half says whether frames end with a check sequence (their
/// own lengths tell where they end) or is reserved.
fn link_type(network: u32) -> LinkType {
    let [_, _, high, low] = network.to_be_bytes();
    LinkType(u16::from_be_bytes([high, low]))
}
