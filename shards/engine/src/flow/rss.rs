//! Which shard owns a flow: symmetric Toeplitz, bucket table.
//!
//! The key is the 16-bit pattern `6d5a` repeated (Woo and Park, "Scalable TCP session monitoring with symmetric
//! receive-side scaling", 2012), so that both directions hash alike. With a key of period 16 the Toeplitz hash of an
//! input depends only on the exclusive-or of its 16-bit words, which makes it cheap in software.

use super::FlowKey;

/// The 40-byte key to program into a NIC so that it agrees with [`hash`].
pub const KEY: [u8; 40] = {
    let mut key = [0x6d; 40];
    let mut i = 1;
    while i < 40 {
        key[i] = 0x5a;
        i += 2;
    }
    key
};

/// Hash of the flow as a NIC computes it over source and destination address and port (RSS types TCP and UDP; for other
/// protocols the ports are those of the key). Not a hash for tables: it has only 16 bits of variety.
#[inline]
pub fn hash(key: &FlowKey) -> u32 {
    let (lower, upper, ..) = key.parts();
    hash_words(lower ^ upper, key.port_words())
}

/// [`hash`] from the exclusive-or of the addresses and that of the ports, for those who have just read them: a key that
/// was written a moment ago is slow to read back.
#[inline]
pub(crate) fn hash_words(addrs: u128, ports: u32) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "folding: every bit is taken once"
    )]
    let words = {
        let quarter = (addrs ^ addrs >> 64) as u64;
        let eighth = (quarter ^ quarter >> 32) as u32 ^ ports;
        (eighth ^ eighth >> 16) as u16
    };
    let [high, low] = words.to_be_bytes();
    TABLES.0[usize::from(high)] ^ TABLES.1[usize::from(low)]
}

/// Toeplitz of a single byte in the even (`.0`) and odd (`.1`) position of a 16-bit word.
static TABLES: ([u32; 256], [u32; 256]) = (byte_table(0), byte_table(8));

const fn byte_table(first_bit: u32) -> [u32; 256] {
    let pattern = 0x6d5a_6d5a_6d5a_6d5a_u64;
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut bit = 0;
        while bit < 8 {
            if byte & (0x80 >> bit) != 0 {
                let window = ((pattern << (first_bit + bit)) >> 32) as u32;
                table[byte] ^= window;
            }
            bit += 1;
        }
        byte += 1;
    }
    table
}

/// Buckets of the indirection table: the RETA size most NICs have.
pub const BUCKETS: usize = 128;

/// From hash to shard, as a NIC's indirection table does it.
#[derive(Clone, Debug)]
pub struct Owners {
    table: [u16; BUCKETS],
    shards: u16,
}

impl Owners {
    /// Buckets dealt out in turn over `shards` shards.
    ///
    /// # Panics
    /// Where `shards` is 0.
    pub fn new(shards: u16) -> Self {
        assert!(shards > 0, "at least one shard");
        let mut table = [0; BUCKETS];
        for (bucket, owner) in (0_u16..).zip(table.iter_mut()) {
            *owner = bucket % shards;
        }
        Self { table, shards }
    }

    /// The shard that owns flows of this [`hash`].
    #[inline]
    pub fn owner(&self, hash: u32) -> u16 {
        self.table[hash as usize % BUCKETS]
    }

    /// Number of shards.
    pub fn shards(&self) -> u16 {
        self.shards
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Proto;
    use std::vec::Vec;

    /// Toeplitz as the RSS specification words it, bit by bit.
    fn toeplitz(input: &[u8]) -> u32 {
        let mut hash = 0;
        for (i, byte) in input.iter().enumerate() {
            for bit in 0..8 {
                if byte & (0x80 >> bit) != 0 {
                    let at = i * 8 + bit;
                    for k in 0..32 {
                        let key_bit = KEY[(at + k) / 8 % 40] >> (7 - (at + k) % 8) & 1;
                        hash ^= u32::from(key_bit) << (31 - k);
                    }
                }
            }
        }
        hash
    }

    #[test]
    fn agrees_with_the_specification_for_both_families() {
        let mut state = 1_u64;
        let mut next = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 16
        };
        for _ in 0..200 {
            let (a, b) = (next() as u32, next() as u32);
            let (p, q) = (next() as u16, next() as u16);
            let mut input = Vec::new();
            input.extend(a.to_be_bytes());
            input.extend(b.to_be_bytes());
            input.extend(p.to_be_bytes());
            input.extend(q.to_be_bytes());
            assert_eq!(
                hash(&FlowKey::v4(a, b, p, q, Proto::TCP, 0).0),
                toeplitz(&input)
            );
            assert_eq!(
                hash(&FlowKey::v4(b, a, q, p, Proto::TCP, 0).0),
                toeplitz(&input)
            );

            let (a, b) = (
                u128::from(next()) << 64 | u128::from(next()),
                u128::from(next()) << 70,
            );
            let mut input = Vec::new();
            input.extend(a.to_be_bytes());
            input.extend(b.to_be_bytes());
            input.extend(p.to_be_bytes());
            input.extend(q.to_be_bytes());
            // The key of a NIC is 40 bytes; an IPv6 4-tuple takes 36 of them plus 32 bits of window.
            assert_eq!(
                hash(&FlowKey::v6(a, b, p, q, Proto::TCP, 0).0),
                toeplitz(&input)
            );
        }
    }

    #[test]
    fn every_shard_owns_buckets() {
        for shards in 1..=16 {
            let owners = Owners::new(shards);
            let mut seen = [false; 16];
            for h in 0..128 {
                seen[usize::from(owners.owner(h))] = true;
            }
            assert_eq!(seen.iter().filter(|s| **s).count(), usize::from(shards));
        }
    }
}
