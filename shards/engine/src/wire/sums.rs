//! Which checksums of a packet cover which of its bytes, and how they follow a change (RFC 1624).

use arrayvec::ArrayVec;

use super::checksum::{fold, sum};
use super::packet::Packet;
use super::view::View;
use super::walk::{Layers, Next, Walk};
use super::{Buffer, LAYERS_MAX, Quote};
use crate::flow::{FlowKey, Proto};

/// Those of the innermost packet, and of one that it quotes.
const OWN: usize = 4;

/// A checksum field and the bytes it covers, as offsets in the buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sum {
    /// Where the field stands.
    pub(super) field: usize,
    /// First byte covered, and the one behind the last. The field itself, which lies in between, does not count.
    pub(super) covers: (usize, usize),
    /// Addresses that count as well; empty where there is no pseudo-header.
    pub(super) addresses: (usize, usize),
    /// Whether zero would say that none was sent (UDP).
    pub(super) never_zero: bool,
}

/// Bytes from the first offset on, up to the second.
pub(super) type Range = (usize, usize);

/// Every checksum of a packet, the innermost first, and what must stay as it is.
#[derive(Clone, Debug)]
pub(crate) struct Sums {
    sums: ArrayVec<Sum, { LAYERS_MAX + OWN }>,
    /// Headers of tunnels around the packet.
    outer: ArrayVec<Range, { 2 * LAYERS_MAX }>,
    /// Whether the payload's protocol has a checksum that cannot follow a change.
    is_sealed: bool,
}

impl Sums {
    /// Those of `packet`, whose offsets point into `bytes`. `None` where what is around it cannot be told.
    pub(crate) fn of(packet: &Packet, bytes: &[u8]) -> Option<Self> {
        let mut sums = Self::none();
        sums.add_ip(packet, bytes);
        if packet.encapsulation != 0 && matches!(packet.buffer, Buffer::Frame(_)) {
            sums.add_outer(packet, bytes)?;
        }
        sums.sums.retain(|sum| sum.field + 2 <= bytes.len());
        Some(sums)
    }

    /// That of an IPv4 header only, which stands from `from` to `to`.
    pub(super) fn of_header(from: usize, to: usize) -> Self {
        let mut sums = Self::none();
        sums.sums.push(Sum::of_header((from, to)));
        sums
    }

    /// No checksum at all.
    pub(super) fn none() -> Self {
        Self {
            sums: ArrayVec::new(),
            outer: ArrayVec::new(),
            is_sealed: false,
        }
    }

    /// Those of `packet`, and those of what it quotes, as far as they were quoted.
    pub(crate) fn with_quote(packet: &Packet, quote: &Quote, bytes: &[u8]) -> Option<Self> {
        let mut sums = Self::of(packet, bytes)?;
        let (ip, transport, end) = (quote.ip_at, quote.transport_at, quote.end);
        if let Some(sum) = Sum::of_transport(&quote.key, ip, (transport, end))
            && sum.field + 2 <= end
            && !sum.is_unsent(bytes)
        {
            sums.sums.try_insert(0, sum).ok()?;
        }
        if !quote.key.is_v6() {
            sums.sums
                .try_insert(0, Sum::of_header((ip, transport)))
                .ok()?;
        }
        Some(sums)
    }

    fn add_ip(&mut self, packet: &Packet, bytes: &[u8]) {
        let (ip, transport) = (packet.ip_at as usize, packet.transport_at as usize);
        let end = packet.payload_at as usize + packet.payload_len as usize;
        if !packet.key.is_v6() {
            let len = usize::from(bytes.get(ip).map_or(0, |first| first & 0xf)) * 4;
            self.sums.push(Sum::of_header((ip, ip + len)));
        }
        let sum = Sum::of_transport(&packet.key, ip, (transport, end));
        self.sums.extend(sum.filter(|sum| !sum.is_unsent(bytes)));
        // SCTP has a CRC, DCCP and UDP-Lite checksums over a part.
        self.is_sealed = matches!(packet.key.proto(), Proto::SCTP | Proto(33 | 136));
    }

    /// What the tunnels around the packet have summed.
    fn add_outer(&mut self, packet: &Packet, bytes: &[u8]) -> Option<()> {
        let mut layers = Layers::new();
        let view = View::new(bytes, packet.wire_len as usize);
        let mut walk = Walk::new(view, &mut layers, false);
        walk.run(Next::Link(packet.link)).ok()?;
        walk.ip.filter(|ip| ip.at == packet.ip_at as usize)?;
        let ip_at = packet.ip_at as usize;
        let around = walk.sums.iter().rev().filter(|sum| sum.field < ip_at);
        self.sums.extend(
            around
                .copied()
                .take(self.sums.remaining_capacity().saturating_sub(2)),
        );
        self.outer = walk
            .outer
            .iter()
            .copied()
            .filter(|(_, end)| *end <= ip_at)
            .collect();
        Some(())
    }

    /// Whether the bytes from `at` on belong to the header of a tunnel around the packet.
    pub(crate) fn is_outer(&self, at: usize, len: usize) -> bool {
        self.outer
            .iter()
            .any(|(from, to)| at < *to && *from < at + len)
    }

    /// Whether the payload cannot change without breaking a checksum that cannot follow.
    pub(crate) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// Puts `new` at `at`, and lets every checksum that covers it follow. One that was wrong stays wrong by as much.
    pub(crate) fn write(&self, bytes: &mut [u8], at: usize, new: &[u8]) {
        self.write_from(0, bytes, at, new);
    }

    /// Where the checksums before number `first` do not cover what is written.
    fn write_from(&self, first: usize, bytes: &mut [u8], at: usize, new: &[u8]) {
        let Some(old) = bytes
            .get_mut(at..at + new.len())
            .filter(|old| **old != *new)
        else {
            return;
        };
        let mut fields = ArrayVec::<(usize, u16), { LAYERS_MAX + OWN }>::new();
        for (number, sum) in self.sums.iter().enumerate().skip(first) {
            let (before, after) = (sum.part(at, old), sum.part(at, new));
            if before != after {
                // Difference, as a sum to be added.
                fields.push((number, fold(u64::from(!before) + u64::from(after))));
            }
        }
        old.copy_from_slice(new);
        for (number, difference) in fields {
            let sum = &self.sums[number];
            if let Some([high, low]) = bytes.get(sum.field..sum.field + 2) {
                let field = sum.moved(u16::from_be_bytes([*high, *low]), difference);
                self.write_from(number + 1, bytes, sum.field, &field.to_be_bytes());
            }
        }
    }
}

impl Sum {
    /// That of an IPv4 header.
    fn of_header(covers: Range) -> Self {
        Self {
            field: covers.0 + 10,
            covers,
            addresses: (0, 0),
            never_zero: false,
        }
    }

    /// That of a transport header and its payload, `covers`, in the IP packet at `ip`. `None` where the protocol has none
    /// that can follow.
    fn of_transport(key: &FlowKey, ip: usize, covers: Range) -> Option<Self> {
        let pseudo = if key.is_v6() {
            (ip + 8, ip + 40)
        } else {
            (ip + 12, ip + 20)
        };
        let (at, addresses, never_zero) = match key.proto() {
            Proto::TCP => (16, pseudo, false),
            Proto::UDP => (6, pseudo, true),
            Proto::ICMP => (2, (0, 0), false),
            Proto::ICMPV6 => (2, pseudo, false),
            _ => return None,
        };
        Some(Self {
            field: covers.0 + at,
            covers,
            addresses,
            never_zero,
        })
    }

    /// Whether the sender has left it out.
    fn is_unsent(&self, bytes: &[u8]) -> bool {
        self.never_zero && bytes.get(self.field..self.field + 2) == Some(&[0, 0])
    }

    /// What `bytes`, if they stand at `at`, add.
    fn part(&self, at: usize, bytes: &[u8]) -> u16 {
        let (from, to) = self.covers;
        let parts = [
            (from, (from, self.field)),
            (from, (self.field + 2, to)),
            (self.addresses.0, self.addresses),
        ];
        let total = parts.into_iter().map(|(begins, (from, to))| {
            let (low, high) = (from.max(at), to.min(at + bytes.len()));
            if low >= high {
                return 0;
            }
            let part = fold(sum(&bytes[low - at..high - at], 0));
            // A byte in an odd place counts as the lower half.
            u64::from(if (low - begins) % 2 == 1 {
                part.swap_bytes()
            } else {
                part
            })
        });
        fold(total.sum())
    }

    /// The field `old` after what it covers has grown by `difference`: equation 3 of RFC 1624.
    fn moved(&self, old: u16, difference: u16) -> u16 {
        match !fold(u64::from(!old) + u64::from(difference)) {
            0 if self.never_zero => 0xffff,
            new => new,
        }
    }
}
