//! Counters: plain integers, owned by the one who counts.

/// Defines a struct of `u64` counters with a name for each, so that they can be summed, published and listed.
macro_rules! counters {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[doc = $doc:literal])+ $field:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        $vis struct $name { $($(#[doc = $doc])+ pub $field: u64,)+ }

        impl $name {
            /// Names of the counters, in order.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field)),+];

            /// Every counter with its name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($field), self.$field)),+].into_iter()
            }

            /// Sum of all counters.
            pub fn sum(&self) -> u64 {
                0 $(+ self.$field)+
            }
        }

        impl core::ops::AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                $(self.$field += other.$field;)+
            }
        }
    };
}
pub(crate) use counters;

counters! {
    /// Frames and packets that were dropped, by reason. Each is counted under exactly one.
    pub struct Drops {
        /// Refused by the packet filter.
        packet_filter,
        /// A link type that is not understood.
        link_type,
        /// No IP packet inside (ARP, LLDP, 802.11 management and encrypted frames ...).
        not_ip,
        /// A header is cut short or contradicts itself.
        malformed,
        /// More than [`LAYERS_MAX`](crate::wire::LAYERS_MAX) layers around the innermost IP packet.
        too_deep,
        /// The IPv4 header checksum is wrong (where checksums are verified).
        ip_checksum,
        /// The TCP or UDP checksum is wrong (where checksums are verified).
        transport_checksum,
        /// An IP fragment that overlaps another with other bytes, breaks the rules of RFC 791, 5722 or 8200, or was cut by
        /// the snap length.
        fragment_invalid,
        /// No room for another fragment, and none could be given up.
        fragment_bound,
        /// The flow table is full and the policy is not to evict.
        table_full,
    }
}

counters! {
    /// What an [`Ingress`](crate::wire::Ingress) did with frames, besides [`Drops`].
    pub struct IngressCounters {
        /// Frames taken from the port.
        received_frames,
        /// Bytes of those frames on the wire.
        received_bytes,
        /// Packets given on to shards.
        packets,
        /// Fragments kept for, or used in, a datagram (the fragment that completes one is counted in `packets`).
        fragments_absorbed,
        /// Datagrams put together from fragments.
        datagrams_reassembled,
        /// Datagrams given up, incomplete, after the fragment timeout.
        datagrams_expired,
        /// Datagrams given up, incomplete, because the bound on fragments was hit.
        datagrams_evicted,
    }
}
