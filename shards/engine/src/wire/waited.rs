//! Frames with fragments that have waited for their datagram.

use alloc::vec::Vec;
use core::ops::Range;

use super::packet::Packet;
use super::sums::Sums;

/// Where a fragment stands in its frame, and in its datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// Offset of the IP header in the frame.
    pub(super) ip_at: usize,
    /// Offset of the piece of the payload in the frame.
    pub(super) payload_at: usize,
    /// Offset of the piece in the payload of the datagram, in bytes.
    pub(super) offset: usize,
    /// Length of the piece, in bytes.
    pub(super) len: usize,
}

/// A fragment of a datagram that is complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    /// Index in the batch of the frame that completed the datagram.
    of: u8,
    /// Where the bytes of the frame end, which begin where those of the one before end. That of the frame that completed the
    /// datagram has none here.
    end: usize,
    place: Place,
    /// Where the datagram's payload begins in its buffer.
    payload_from: usize,
}

/// The frames with fragments of datagrams that one burst has completed, in the order in which they came.
#[derive(Debug, Default)]
pub struct Waited {
    bytes: Vec<u8>,
    list: Vec<Entry>,
}

/// A fragment of a datagram that is complete.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The frame it came in; `None` for the one that completed the datagram, which is in the batch.
    pub frame: Option<&'a [u8]>,
    entry: Entry,
}

impl Waited {
    /// Whether nothing has waited.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The fragments of the datagram that frame `frame` of the batch completed; that frame comes last.
    pub fn of(&self, frame: u8) -> impl Iterator<Item = Part<'_>> {
        let starts = core::iter::once(0).chain(self.list.iter().map(|entry| entry.end));
        let parts = starts.zip(&self.list).map(|(start, entry)| Part {
            frame: (entry.end > start).then(|| &self.bytes[start..entry.end]),
            entry: *entry,
        });
        parts.filter(move |part| part.entry.of == frame)
    }

    /// How many frames have waited for that frame.
    pub fn count(&self, frame: u8) -> u64 {
        self.of(frame).filter(|part| part.frame.is_some()).count() as u64
    }

    /// How many frames have waited.
    pub fn frames(&self) -> u64 {
        let mut start = 0;
        let waited = self
            .list
            .iter()
            .filter(|entry| core::mem::replace(&mut start, entry.end) < entry.end);
        waited.count() as u64
    }

    /// Adds a copy of what `other` has for frame `from`, which is called `to` here.
    pub fn copy(&mut self, other: &Self, from: u8, to: u8) {
        for part in other.of(from) {
            self.bytes.extend_from_slice(part.frame.unwrap_or_default());
            self.list.push(Entry {
                of: to,
                end: self.bytes.len(),
                ..part.entry
            });
        }
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.list.clear();
    }

    /// Adds a fragment of the datagram that frame `of` completes, whose payload begins at `payload_from` in its buffer. `frame`
    /// is empty for that frame itself.
    pub(super) fn push(&mut self, of: u8, frame: &[u8], place: Place, payload_from: usize) {
        self.bytes.extend_from_slice(frame);
        self.list.push(Entry {
            of,
            end: self.bytes.len(),
            place,
            payload_from,
        });
    }
}

/// Where fields stand in IP headers that all fragments of a datagram have, and that may be changed: class of traffic, flow label,
/// TTL or hop limit, addresses.
const COMMON_V4: [Range<usize>; 3] = [1..2, 8..9, 12..20];
const COMMON_V6: [Range<usize>; 2] = [0..4, 7..40];

impl Part<'_> {
    /// Lets `frame`, a copy of the frame of this fragment, follow what has become of the datagram `packet`: `came` is its buffer
    /// as it came, `leaves` as it is to leave, of the same length.
    ///
    /// The payload is that of the datagram. Fields that all fragments have are written where the datagram's differ from what
    /// they were: in the link layer and the IP header, options of IPv4 in the first fragment only. The checksum of an IPv4
    /// header follows by as much as that makes out.
    pub fn follow(&self, frame: &mut [u8], packet: &Packet, came: &[u8], leaves: &[u8]) {
        let Place {
            ip_at,
            payload_at,
            offset,
            len,
        } = self.entry.place;
        let payload_from = self.entry.payload_from;
        let from = payload_from + offset;
        if let (Some(own), Some(new)) = (
            frame.get_mut(payload_at..payload_at + len),
            leaves.get(from..from + len),
        ) {
            own.copy_from_slice(new);
        }
        let ip_from = packet.ip_at as usize;
        let is_v6 = packet.key.is_v6();
        let sums = match is_v6 {
            true => Sums::none(),
            false => Sums::of_header(ip_at, payload_at),
        };
        let mut follow = |to: usize, range: Range<usize>| {
            for (number, at) in range.enumerate() {
                if let (Some(old), Some(new)) = (came.get(at), leaves.get(at))
                    && old != new
                {
                    sums.write(frame, to + number, &[*new]);
                }
            }
        };
        if ip_at == ip_from {
            follow(0, 0..ip_from);
        }
        let fields: &[Range<usize>] = if is_v6 { &COMMON_V6 } else { &COMMON_V4 };
        for field in fields {
            follow(
                ip_at + field.start,
                ip_from + field.start..ip_from + field.end,
            );
        }
        if !is_v6 && offset == 0 {
            follow(ip_at + 20, ip_from + 20..payload_from);
        }
    }
}

#[cfg(test)]
mod tests;
