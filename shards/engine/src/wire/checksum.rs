//! The Internet checksum (RFC 1071).

use super::Packet;
use crate::flow::Proto;

/// One's complement sum of `bytes` as 16-bit words in network byte order, an odd last byte padded with zero, added to
/// `sum`. Not folded: [`is_valid`] does that.
///
/// Words are summed in the byte order of the processor and swapped once in the end, which comes to the same (RFC 1071,
/// section 2 B); words of 32 bits as well, since 2^16 is 1 modulo 2^16 - 1.
#[inline]
pub(crate) fn sum(bytes: &[u8], sum: u64) -> u64 {
    let (quads, tail) = bytes.as_chunks::<4>();
    let mut total: u64 = quads
        .iter()
        .map(|quad| u64::from(u32::from_ne_bytes(*quad)))
        .sum();
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(tail) {
        *to = *from;
    }
    total += u64::from(u32::from_ne_bytes(last));
    sum + u64::from(u16::from_be(fold(total)))
}

/// The sum folded to 16 bits, not complemented.
#[inline]
pub(crate) fn fold(sum: u64) -> u16 {
    let mut folded = (sum >> 32) + (sum & 0xffff_ffff);
    folded = (folded >> 32) + (folded & 0xffff_ffff);
    folded = (folded >> 16) + (folded & 0xffff);
    folded = (folded >> 16) + (folded & 0xffff);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "after two folds of 32 bits no carry is left"
    )]
    let folded = folded as u16;
    folded
}

/// What the checksum of a TCP or UDP packet says about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Finding {
    /// It holds, was not sent or cannot be told.
    Good,
    /// It does not hold.
    Bad,
    /// It is the sum of the pseudo-header alone, not complemented, as a system leaves it to the network card to finish.
    Unfinished,
}

/// Completes the checksum of a packet that is [`unfinished`](Packet::unfinished), in the buffer its offsets point into.
///
/// What stands in the field is the sum of the pseudo-header; the sum of the segment joins it (RFC 9293, section 3.1; RFC
/// 768). Nothing is done where the segment is not all there. Returns whether that changed the checksum: a complete one that is
/// the sum of the pseudo-header by chance, as one of 65,536 is, stays as it was.
pub fn finish_checksum(packet: &Packet, bytes: &mut [u8]) -> bool {
    let (start, end) = (
        packet.transport_at as usize,
        (packet.payload_at + packet.payload_len) as usize,
    );
    let is_udp = packet.key.proto() == Proto::UDP;
    let field = if is_udp { 6 } else { 16 };
    let Some(segment) = bytes.get_mut(start..end) else {
        return false;
    };
    let finished = match !fold(sum(segment, 0)) {
        // Zero would say that none was sent (RFC 768).
        0 if is_udp => 0xffff,
        finished => finished,
    };
    let Some(place) = segment.get_mut(field..field + 2) else {
        return false;
    };
    let finished = finished.to_be_bytes();
    let changes = *place != finished;
    place.copy_from_slice(&finished);
    changes
}

/// The same in a copy of the packet's buffer that is to be changed: changes follow checksums that are complete.
pub(crate) fn finish_copy(packet: &mut Packet, bytes: &mut [u8]) {
    if core::mem::take(&mut packet.unfinished) {
        finish_checksum(packet, bytes);
    }
}

/// The checksum of `bytes` whose field is zero, with `pseudo` before it.
pub(crate) fn checksum_of(pseudo: &[u8], bytes: &[u8]) -> u16 {
    !fold(sum(bytes, sum(pseudo, 0)))
}

/// Whether a sum that includes the checksum field itself says "intact".
#[inline]
pub(super) fn is_valid(sum: u64) -> bool {
    fold(sum) == 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&bytes, 0)), 0xddf2);
    }

    #[test]
    fn an_odd_byte_counts_as_the_upper_half() {
        assert_eq!(fold(sum(&[0x12], 0)), 0x1200);
        assert_eq!(fold(sum(&[0x12, 0x34, 0x56], 0)), 0x6834);
        assert_eq!(fold(sum(&[], 5)), 5);
    }

    #[test]
    fn carries_fold_all_the_way() {
        assert_eq!(fold(u64::MAX), 0xffff);
        assert_eq!(fold(0x1_ffff_fffe), 0xffff);
        assert!(is_valid(0xffff) && !is_valid(0));
    }

    #[test]
    fn agrees_with_the_plain_sum_of_words() {
        let bytes: std::vec::Vec<u8> = (0..253_u32)
            .map(|i| (i * 37 + 11).to_le_bytes()[0])
            .collect();
        for len in 0..bytes.len() {
            let mut plain = 0_u32;
            for pair in bytes[..len].chunks(2) {
                plain += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
            }
            while plain > 0xffff {
                plain = (plain >> 16) + (plain & 0xffff);
            }
            assert_eq!(u32::from(fold(sum(&bytes[..len], 0))), plain, "{len}");
        }
    }
}
