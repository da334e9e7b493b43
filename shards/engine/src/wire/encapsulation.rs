//! What was taken off around the innermost IP header.

use arrayvec::ArrayVec;
use core::net::IpAddr;

/// The most layers that are taken off one frame; deeper frames are dropped and counted.
pub const LAYERS_MAX: usize = 8;

/// One layer around the innermost IP packet, outermost first. Plain link layers are not listed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Layer {
    /// IEEE 802.1Q or 802.1ad tag: the VLAN identifier, 0 to 4095.
    Vlan(u16),
    /// MPLS label stack entry: the label, 20 bits.
    Mpls(u32),
    /// PPPoE session (RFC 2516): the session identifier.
    Pppoe(u16),
    /// An IP header that carries another packet: source and destination.
    Ip(IpAddr, IpAddr),
    /// GRE (RFC 2784, 2890): the key, 0 without one.
    Gre(u32),
    /// VXLAN (RFC 7348): the network identifier, 24 bits.
    Vxlan(u32),
    /// Geneve (RFC 8926): the network identifier, 24 bits.
    Geneve(u32),
    /// GTP-U (3GPP TS 29.281): the tunnel endpoint identifier.
    Gtp(u32),
    /// Teredo (RFC 4380).
    Teredo,
    /// ERSPAN type I, II or III: the session identifier, 10 bits.
    Erspan(u16),
    /// AYIYA.
    Ayiya,
    /// L2TP data (RFC 2661, 3931): tunnel and session identifiers.
    L2tp(u32, u32),
    /// Another layer that carries no identifier worth keeping, by its usual short name (`"wlan"`, `"pbb"`, `"ah"`).
    Other(&'static str),
}

/// The layers around one innermost IP packet, outermost first; empty for plain traffic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Encapsulation {
    /// At most [`LAYERS_MAX`].
    pub layers: ArrayVec<Layer, LAYERS_MAX>,
}
