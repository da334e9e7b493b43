//! IP fragments and the datagrams they make (RFC 791, section 3.2; RFC 8200, section 4.5; RFC 5722).
//!
//! Pieces of a datagram are kept disjoint and in order of their offset. Bytes that were there first stay: a fragment that
//! says otherwise makes the whole datagram invalid, since no rule tells which copy the receiver will take. With IPv6 any
//! overlap does (RFC 5722), except for an exact duplicate. An invalid datagram is remembered until its time is over, so
//! that later fragments do not begin another.

use alloc::vec::Vec;
use mosaic_port::Timestamp;

use super::checksum;
use super::reason::Reason;
use super::slab::{NONE, Slab};
use super::waited::{Place, Waited};
use super::walk::Addresses;
use crate::counters::IngressCounters;

/// The most that a length field says: with IPv4 of the packet, with IPv6 of what stands behind the fixed header.
const LENGTH_MAX: usize = 65_535;
/// Fragments other than the last carry multiples of this.
const UNIT: usize = 8;
/// Buffers longer than this are not kept for later use.
const POOLED_MAX: usize = 16 << 10;
/// Finished datagrams' buffers that are kept for later use: one for each frame of a burst.
const POOL: usize = crate::limits::BURST;

/// One IP fragment, captured whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    /// Addresses of the header.
    pub(super) addresses: Addresses,
    /// Protocol of the datagram's payload.
    pub(super) proto: u8,
    /// Identification.
    pub(super) id: u32,
    /// Where its payload belongs in the datagram's, in bytes.
    pub(super) offset: usize,
    /// Whether more fragments follow.
    pub(super) more: bool,
    /// The IP header with what must stand in every fragment, without the fragment header.
    pub(super) header: &'a [u8],
    /// Offset in `header` of the byte that named the fragment header (IPv6).
    pub(super) next_header_at: usize,
    /// Where the IP header stands in the buffer.
    pub(super) ip_at: usize,
    /// Where `payload` does.
    pub(super) payload_at: usize,
    /// Its piece of the payload.
    pub(super) payload: &'a [u8],
}

impl Fragment<'_> {
    fn end(&self) -> usize {
        self.offset + self.payload.len()
    }

    fn is_v6(&self) -> bool {
        matches!(self.addresses, Addresses::V6(..))
    }

    fn place(&self) -> Place {
        Place {
            ip_at: self.ip_at,
            payload_at: self.payload_at,
            offset: self.offset,
            len: self.payload.len(),
        }
    }

    /// Whether it may stand in any datagram at all.
    fn is_sane(&self) -> bool {
        let whole_units = !self.more || self.payload.len().is_multiple_of(UNIT);
        !self.payload.is_empty()
            && whole_units
            && can_be_stated(self.addresses, self.header.len(), self.end())
    }
}

/// How a fragment waits for the others of its datagram.
#[derive(Debug)]
pub(super) struct Hold<'a> {
    /// Its frame.
    pub(super) frame: &'a [u8],
    /// Index of that in the batch.
    pub(super) number: u8,
    /// What the datagram begins with.
    pub(super) head: &'a [u8],
    /// Takes the frames in once the datagram is complete.
    pub(super) waited: &'a mut Waited,
}

/// A frame that waits.
#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    place: Place,
    /// The frame that came next, or [`NONE`].
    next: u32,
}

/// What all fragments of a datagram have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Key {
    addresses: Addresses,
    /// What stands around the IP header.
    domain: u64,
    id: u32,
    /// Part of the key with IPv4 only.
    proto: u8,
}

impl Key {
    fn of(fragment: &Fragment<'_>, domain: u64) -> Self {
        let proto = if fragment.is_v6() { 0 } else { fragment.proto };
        Self {
            addresses: fragment.addresses,
            domain,
            id: fragment.id,
            proto,
        }
    }

    fn hash(&self) -> u64 {
        let addresses = match self.addresses {
            Addresses::V4(src, dst) => u128::from(src) << 32 | u128::from(dst),
            Addresses::V6(src, dst) => src ^ dst.rotate_left(64),
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "folding: every bit is taken once"
        )]
        let folded = (addresses ^ addresses >> 64) as u64;
        let mixed = (folded ^ self.domain ^ u64::from(self.id) << 32 ^ u64::from(self.proto))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ mixed >> 32
    }
}

/// Contiguous bytes of a datagram's payload.
#[derive(Debug)]
struct Piece {
    offset: usize,
    bytes: Vec<u8>,
    /// The piece behind, or [`NONE`].
    next: u32,
}

impl Piece {
    fn end(&self) -> usize {
        self.offset + self.bytes.len()
    }
}

/// A datagram of which fragments are missing.
#[derive(Debug)]
struct Datagram {
    key: Key,
    /// The clock when its first fragment came.
    since: Timestamp,
    /// Pieces with the lowest and the highest offset.
    first: u32,
    last: u32,
    /// How many bytes they hold.
    present: usize,
    /// Length of the payload, once the last fragment was seen.
    len: Option<usize>,
    /// Header of the first fragment; empty until it came.
    header: Vec<u8>,
    next_header_at: usize,
    proto: u8,
    invalid: bool,
    /// The first and the last frame that came, where they wait.
    held: [u32; 2],
    /// The next one in the same bucket.
    chained: u32,
    /// Neighbours in order of `since`.
    older: u32,
    newer: u32,
}

/// What a fragment means to its datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Judged {
    Fits,
    Contradicts,
}

/// The incomplete datagrams of one source, bounded by the number of their fragments.
#[derive(Debug)]
pub(super) struct Fragments {
    fragments_max: usize,
    timeout_ns: u64,
    datagrams: Slab<Datagram>,
    pieces: Slab<Piece>,
    /// The first datagram of each hash bucket; a power of two of them.
    buckets: Vec<u32>,
    oldest: u32,
    newest: u32,
    /// Invalid datagrams that are remembered; each counts as one fragment.
    invalid: usize,
    /// Frames that wait.
    held: Slab<Held>,
    /// Frames that have waited for nothing, or were not needed.
    given_up: u64,
    /// Buffers of finished datagrams, for use again.
    pool: Vec<Vec<u8>>,
}

impl Fragments {
    /// At most `fragments_max` fragments, each datagram for at most `timeout_ns` nanoseconds.
    pub(super) fn new(fragments_max: usize, timeout_ns: u64) -> Self {
        Self {
            fragments_max,
            timeout_ns,
            datagrams: Slab::new(),
            pieces: Slab::new(),
            buckets: alloc::vec![NONE; fragments_max.max(1).next_power_of_two()],
            oldest: NONE,
            newest: NONE,
            invalid: 0,
            held: Slab::new(),
            given_up: 0,
            pool: Vec::new(),
        }
    }

    /// Takes a fragment that stands inside `domain`, and its frame if that is to wait. Returns the datagram where it was the last
    /// one missing.
    ///
    /// The datagram begins with the header of its first fragment, whose fields say now that it is whole.
    pub(super) fn add(
        &mut self,
        fragment: &Fragment<'_>,
        (domain, clock): (u64, Timestamp),
        hold: Option<Hold<'_>>,
        counters: &mut IngressCounters,
    ) -> Result<Option<Vec<u8>>, Reason> {
        self.expire(clock, counters);
        if !fragment.is_sane() {
            return Err(Reason::FragmentInvalid);
        }
        self.make_room(counters)?;
        let key = Key::of(fragment, domain);
        let number = match self.find(&key) {
            Some(number) => number,
            None => self.begin(key, clock),
        };
        if self.datagrams[number].invalid {
            return Err(Reason::FragmentInvalid);
        }
        if self.judge(number, fragment) == Judged::Contradicts {
            self.invalidate(number);
            return Err(Reason::FragmentInvalid);
        }
        let datagram = &mut self.datagrams[number];
        if fragment.offset == 0 && datagram.header.is_empty() {
            datagram.header.extend_from_slice(fragment.header);
            (datagram.next_header_at, datagram.proto) = (fragment.next_header_at, fragment.proto);
        }
        if !fragment.more {
            datagram.len = Some(fragment.end());
        }
        let before = self.datagrams[number].present;
        if !self.store(number, fragment) {
            self.remove(number);
            counters.datagrams_evicted += 1;
            return Err(Reason::FragmentBound);
        }
        let Datagram {
            ref header,
            present,
            len,
            ..
        } = self.datagrams[number];
        if len != Some(present) {
            match hold {
                Some(hold) if present > before => self.hold(number, hold.frame, fragment),
                Some(_) => self.given_up += 1,
                None => {}
            }
            return Ok(None);
        }
        let head = hold.as_ref().map_or(&[][..], |hold| hold.head);
        let payload_from = head.len() + header.len();
        let whole = can_be_stated(key.addresses, header.len(), present)
            .then(|| self.assemble(number, head));
        if let Some(hold) = hold.filter(|_| whole.is_some()) {
            self.let_go(number, hold, fragment, payload_from);
        }
        self.remove(number);
        let Some(whole) = whole else {
            return Err(Reason::FragmentInvalid);
        };
        counters.datagrams_reassembled += 1;
        Ok(Some(whole))
    }

    /// Takes back the buffer of a datagram.
    pub(super) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.pool.len() < POOL {
            buffer.clear();
            self.pool.push(buffer);
        }
    }

    /// How many frames wait.
    pub(super) fn waiting(&self) -> usize {
        self.held.in_use()
    }

    /// How many frames have waited for nothing, or brought nothing.
    pub(super) fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Gives up all datagrams.
    pub(super) fn give_up(&mut self, counters: &mut IngressCounters) {
        while self.oldest != NONE {
            counters.datagrams_expired += self.give_up_oldest();
        }
    }

    /// Gives up the oldest datagram; 1, or 0 where it was invalid.
    fn give_up_oldest(&mut self) -> u64 {
        let was_valid = !self.datagrams[self.oldest].invalid;
        self.remove(self.oldest);
        u64::from(was_valid)
    }

    /// Lets a frame wait for its datagram.
    fn hold(&mut self, number: u32, frame: &[u8], fragment: &Fragment<'_>) {
        let new = self.held.take(|| Held {
            bytes: Vec::new(),
            place: fragment.place(),
            next: NONE,
        });
        let held = &mut self.held[new];
        held.bytes.clear();
        held.bytes.extend_from_slice(frame);
        (held.place, held.next) = (fragment.place(), NONE);
        let [first, last] = self.datagrams[number].held;
        if first == NONE {
            self.datagrams[number].held = [new, new];
        } else {
            self.held[last].next = new;
            self.datagrams[number].held[1] = new;
        }
    }

    /// Gives away the frames of a datagram that `fragment` completes.
    fn let_go(
        &mut self,
        number: u32,
        hold: Hold<'_>,
        fragment: &Fragment<'_>,
        payload_from: usize,
    ) {
        let [first, _] = core::mem::replace(&mut self.datagrams[number].held, [NONE; 2]);
        let mut at = first;
        while at != NONE {
            let held = &self.held[at];
            hold.waited
                .push(hold.number, &held.bytes, held.place, payload_from);
            at = self.release_held(at);
        }
        hold.waited
            .push(hold.number, &[], fragment.place(), payload_from);
    }

    /// Gives a frame back; the one that came next.
    fn release_held(&mut self, number: u32) -> u32 {
        let held = &mut self.held[number];
        if held.bytes.capacity() > POOLED_MAX {
            held.bytes = Vec::new();
        }
        let next = held.next;
        self.held.release(number);
        next
    }

    /// Gives up datagrams whose time is over.
    pub(super) fn expire(&mut self, clock: Timestamp, counters: &mut IngressCounters) {
        while self.oldest != NONE {
            let datagram = &self.datagrams[self.oldest];
            if datagram.since.saturating_add_nanos(self.timeout_ns) >= clock {
                return;
            }
            counters.datagrams_expired += self.give_up_oldest();
        }
    }

    /// Gives up the oldest datagrams until another fragment has room.
    fn make_room(&mut self, counters: &mut IngressCounters) -> Result<(), Reason> {
        while self.is_full() {
            if self.oldest == NONE {
                return Err(Reason::FragmentBound);
            }
            counters.datagrams_evicted += self.give_up_oldest();
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.pieces.in_use() + self.invalid >= self.fragments_max
    }

    fn bucket(&self, key: &Key) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low bits choose the bucket"
        )]
        let hash = key.hash() as usize;
        hash & (self.buckets.len() - 1)
    }

    fn find(&self, key: &Key) -> Option<u32> {
        let mut number = self.buckets[self.bucket(key)];
        while number != NONE && self.datagrams[number].key != *key {
            number = self.datagrams[number].chained;
        }
        (number != NONE).then_some(number)
    }

    /// A new datagram without pieces, the newest of all.
    fn begin(&mut self, key: Key, clock: Timestamp) -> u32 {
        let bucket = self.bucket(&key);
        let number = self.datagrams.take(|| Datagram {
            key,
            since: clock,
            first: NONE,
            last: NONE,
            present: 0,
            len: None,
            header: Vec::new(),
            next_header_at: 0,
            proto: 0,
            invalid: false,
            held: [NONE; 2],
            chained: NONE,
            older: NONE,
            newer: NONE,
        });
        let datagram = &mut self.datagrams[number];
        datagram.header.clear();
        (datagram.key, datagram.since, datagram.len, datagram.invalid) = (key, clock, None, false);
        (datagram.chained, datagram.older, datagram.newer) =
            (self.buckets[bucket], self.newest, NONE);
        self.buckets[bucket] = number;
        match self.newest {
            NONE => self.oldest = number,
            newest => self.datagrams[newest].newer = number,
        }
        self.newest = number;
        number
    }

    /// Whether `fragment` agrees with what is known of its datagram.
    fn judge(&self, number: u32, fragment: &Fragment<'_>) -> Judged {
        let datagram = &self.datagrams[number];
        let highest = if datagram.last == NONE {
            0
        } else {
            self.pieces[datagram.last].end()
        };
        let beyond = datagram
            .len
            .is_some_and(|len| fragment.end() > len || (!fragment.more && fragment.end() != len));
        if beyond || (!fragment.more && fragment.end() < highest) {
            return Judged::Contradicts;
        }
        if fragment.offset >= highest {
            return Judged::Fits;
        }
        let mut at = datagram.first;
        while at != NONE && self.pieces[at].offset < fragment.end() {
            let piece = &self.pieces[at];
            let duplicate =
                piece.offset == fragment.offset && piece.bytes.len() == fragment.payload.len();
            if piece.end() > fragment.offset
                && (fragment.is_v6() && !duplicate || differs(piece, fragment))
            {
                return Judged::Contradicts;
            }
            at = piece.next;
        }
        Judged::Fits
    }

    /// Keeps what of `fragment` was not there before. False where there is no room for all of it.
    fn store(&mut self, number: u32, fragment: &Fragment<'_>) -> bool {
        let Datagram { first, last, .. } = self.datagrams[number];
        // In order, the usual case: nothing before needs to be looked at.
        let appends = last != NONE && self.pieces[last].end() <= fragment.offset;
        let (mut before, mut behind) = if appends { (last, NONE) } else { (NONE, first) };
        let mut at = fragment.offset;
        while at < fragment.end() {
            while behind != NONE && self.pieces[behind].end() <= at {
                (before, behind) = (behind, self.pieces[behind].next);
            }
            let hole_end = if behind == NONE {
                fragment.end()
            } else {
                self.pieces[behind].offset.min(fragment.end())
            };
            if hole_end > at {
                if self.is_full() {
                    return false;
                }
                let bytes = fragment
                    .payload
                    .get(at - fragment.offset..hole_end - fragment.offset)
                    .unwrap_or_default();
                before = self.insert(number, before, behind, at, bytes);
            }
            at = if behind == NONE {
                hole_end
            } else {
                self.pieces[behind].end()
            };
        }
        true
    }

    /// A new piece between `before` and `behind`.
    fn insert(
        &mut self,
        number: u32,
        before: u32,
        behind: u32,
        offset: usize,
        bytes: &[u8],
    ) -> u32 {
        let new = self.pieces.take(|| Piece {
            offset,
            bytes: Vec::new(),
            next: NONE,
        });
        let piece = &mut self.pieces[new];
        piece.bytes.clear();
        piece.bytes.extend_from_slice(bytes);
        (piece.offset, piece.next) = (offset, behind);
        let datagram = &mut self.datagrams[number];
        datagram.present += bytes.len();
        if behind == NONE {
            datagram.last = new;
        }
        match before {
            NONE => datagram.first = new,
            before => self.pieces[before].next = new,
        }
        new
    }

    /// The whole datagram, behind `head`.
    fn assemble(&mut self, number: u32, head: &[u8]) -> Vec<u8> {
        let mut whole = self.pool.pop().unwrap_or_default();
        let datagram = &self.datagrams[number];
        whole.extend_from_slice(head);
        whole.extend_from_slice(&datagram.header);
        let mut at = datagram.first;
        while at != NONE {
            whole.extend_from_slice(&self.pieces[at].bytes);
            at = self.pieces[at].next;
        }
        let packet = whole.get_mut(head.len()..).unwrap_or_default();
        match datagram.key.addresses {
            Addresses::V4(..) => finish_v4(packet, datagram.header.len()),
            Addresses::V6(..) => finish_v6(packet, datagram.next_header_at, datagram.proto),
        }
        whole
    }

    /// Forgets the bytes of a datagram, but not that it is invalid.
    fn invalidate(&mut self, number: u32) {
        self.release_pieces(number);
        self.datagrams[number].invalid = true;
        self.invalid += 1;
    }

    fn remove(&mut self, number: u32) {
        self.release_pieces(number);
        let Datagram {
            key,
            chained,
            older,
            newer,
            invalid,
            ..
        } = self.datagrams[number];
        self.invalid -= usize::from(invalid);
        let bucket = self.bucket(&key);
        if self.buckets[bucket] == number {
            self.buckets[bucket] = chained;
        } else {
            let mut at = self.buckets[bucket];
            while self.datagrams[at].chained != number {
                at = self.datagrams[at].chained;
            }
            self.datagrams[at].chained = chained;
        }
        match older {
            NONE => self.oldest = newer,
            older => self.datagrams[older].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.datagrams[newer].older = older,
        }
        self.datagrams.release(number);
    }

    fn release_pieces(&mut self, number: u32) {
        let [mut at, _] = core::mem::replace(&mut self.datagrams[number].held, [NONE; 2]);
        while at != NONE {
            at = self.release_held(at);
            self.given_up += 1;
        }
        let datagram = &mut self.datagrams[number];
        let mut at = datagram.first;
        (datagram.first, datagram.last, datagram.present) = (NONE, NONE, 0);
        while at != NONE {
            let piece = &mut self.pieces[at];
            if piece.bytes.capacity() > POOLED_MAX {
                piece.bytes = Vec::new();
            }
            let next = piece.next;
            self.pieces.release(at);
            at = next;
        }
    }
}

/// Whether the length of a datagram with this much of header and payload fits into the field of its header.
fn can_be_stated(addresses: Addresses, header_len: usize, payload_len: usize) -> bool {
    let counted = match addresses {
        Addresses::V4(..) => header_len,
        Addresses::V6(..) => header_len.saturating_sub(super::ipv6::HEADER_LEN),
    };
    counted + payload_len <= LENGTH_MAX
}

/// Whether the bytes that `piece` and `fragment` both have are not the same.
fn differs(piece: &Piece, fragment: &Fragment<'_>) -> bool {
    let from = piece.offset.max(fragment.offset);
    let to = piece.end().min(fragment.end());
    let old = piece.bytes.get(from - piece.offset..to - piece.offset);
    let new = fragment
        .payload
        .get(from - fragment.offset..to - fragment.offset);
    old != new
}

/// Makes the header of a first fragment that of the datagram: its length, no fragment, the checksum.
fn finish_v4(whole: &mut [u8], header_len: usize) {
    const DO_NOT_FRAGMENT: u8 = 0x40;
    let total_len = u16::try_from(whole.len()).unwrap_or(u16::MAX);
    let Some(header) = whole.get_mut(..header_len) else {
        return;
    };
    let Some(fixed) = header.first_chunk_mut::<{ super::ipv4::HEADER_LEN }>() else {
        return;
    };
    [fixed[2], fixed[3]] = total_len.to_be_bytes();
    (fixed[6], fixed[7]) = (fixed[6] & DO_NOT_FRAGMENT, 0);
    (fixed[10], fixed[11]) = (0, 0);
    let sum = !checksum::fold(checksum::sum(header, 0));
    if let Some(field) = header.get_mut(10..12) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
}

/// The same for IPv6, where the fragment header was left out already.
fn finish_v6(whole: &mut [u8], next_header_at: usize, proto: u8) {
    let payload_len = u16::try_from(whole.len() - super::ipv6::HEADER_LEN).unwrap_or(u16::MAX);
    if let Some(field) = whole.get_mut(4..6) {
        field.copy_from_slice(&payload_len.to_be_bytes());
    }
    if let Some(named) = whole.get_mut(next_header_at) {
        *named = proto;
    }
}

#[cfg(test)]
mod tests;
