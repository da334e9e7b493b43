//! From frames to packets.
//!
//! [`Ingress`] takes a batch of frames and yields one [`Packet`] for every frame that carries a whole innermost IP packet:
//! link layer, VLANs, MPLS, PPPoE and tunnels are taken off, IP fragments are reassembled, checksums are checked where
//! configured. Everything a shard needs of the headers is in the [`Packet`]; a frame that yields none is counted under the
//! reason.

mod ayiya;
mod capwap;
mod checksum;
mod domain;
mod encapsulation;
mod ethernet;
mod fast;
mod fragments;
mod geneve;
mod gre;
mod gtp;
mod ingress;
mod ip;
mod ipv4;
mod ipv6;
mod l2tp;
mod link;
mod llc;
mod mpls;
mod nsh;
mod packet;
mod ppp;
mod quote;
mod reason;
mod shim;
mod slab;
mod sums;
mod teredo;
#[cfg(test)]
pub(crate) mod testing;
mod transport;
mod udp;
mod view;
mod vlan;
mod vxlan;
mod waited;
mod walk;
mod wlan;

pub use checksum::finish_checksum;
pub(crate) use checksum::{checksum_of, finish_copy};
pub(crate) use checksum::{fold as fold_sum, sum as checksum_sum};
pub use encapsulation::{Encapsulation, LAYERS_MAX, Layer};
pub(crate) use ethernet::{LINK_MAX, is_plain, type_at};
pub use ingress::{
    Checksums, FragmentPolicy, Ingress, KeyDomain, PacketFilter, Parsed, Refused, WireConfig,
};
pub use packet::{Buffer, Packet, TcpFlags, Transport};
pub(crate) use quote::Quote;
pub(crate) use sums::Sums;
pub(crate) use transport::changes_key;
pub use waited::{Part as WaitedPart, Waited};
