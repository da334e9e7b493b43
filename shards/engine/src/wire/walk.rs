//! The walk from the link layer to the innermost IP packet.

use arrayvec::ArrayVec;
use mosaic_port::LinkType;

use super::fragments::Fragment;
use super::reason::Reason;
use super::sums::{Range, Sum};
use super::udp::Tunnel;
use super::view::View;
use super::{LAYERS_MAX, Layer, ethernet, gre, ip, ipv6, link, llc, mpls, nsh, ppp, wlan};

/// What stands at the walk's current position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// What a link type names.
    Link(LinkType),
    /// An Ethernet header.
    Ethernet,
    /// What an `EtherType` names.
    EtherType(u16),
    /// An IEEE 802.2 header.
    Llc,
    /// An IEEE 802.11 header.
    Wlan,
    /// PPP: maybe address and control bytes, then the protocol field.
    PppFramed,
    /// PPPoE session header.
    Pppoe,
    /// Cisco's HDLC framing.
    CiscoHdlc,
    /// MPLS label stack.
    Mpls,
    /// Network service header (RFC 8300).
    Nsh,
    /// GRE header.
    Gre,
    /// A tunnel that UDP carries, named by its port number.
    UdpTunnel(Tunnel),
    /// An IP header; its version decides.
    Ip,
    /// An IPv6 header, whatever its version field says.
    Ipv6,
    /// What an IP protocol number names, inside [`Walk::ip`].
    Protocol(u8),
    /// The payload of [`Walk::ip`] is as far as the walk goes.
    Packet,
    /// A fragment, kept in [`Walk::fragment`].
    Fragment,
}

/// The addresses of an IP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Addresses {
    /// Source and destination.
    V4(u32, u32),
    /// Source and destination.
    V6(u128, u128),
}

impl Addresses {
    /// As a layer around another packet.
    fn layer(self) -> Layer {
        match self {
            Self::V4(src, dst) => Layer::Ip(
                core::net::Ipv4Addr::from(src).into(),
                core::net::Ipv4Addr::from(dst).into(),
            ),
            Self::V6(src, dst) => Layer::Ip(
                core::net::Ipv6Addr::from(src).into(),
                core::net::Ipv6Addr::from(dst).into(),
            ),
        }
    }
}

/// An IP header that was read, with what it says of its payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct IpHeader<'a> {
    /// Offset of the header in the buffer.
    pub(super) at: usize,
    /// Length of the packet by its header.
    pub(super) len: usize,
    /// Addresses of the header.
    pub(super) addresses: Addresses,
    /// Sum of the addresses that the transport checksum covers: with a routing header, of the final destination.
    pub(super) pseudo_sum: u64,
    /// Protocol of the payload, behind extension headers.
    pub(super) proto: u8,
    /// The payload, without padding of the link layer.
    pub(super) payload: View<'a>,
    /// How many layers stand around this header.
    pub(super) layers: usize,
    /// The first fragment of a datagram, cut by the snap length, so that it can never become whole. A packet that a tunnel
    /// in it carries is as good as any other that was cut; the datagram itself is none.
    pub(super) partial: bool,
}

/// Layers around an IP header, outermost first.
pub(super) type Layers = ArrayVec<Layer, LAYERS_MAX>;

/// A walk through the headers of one frame or datagram.
#[derive(Debug)]
pub(super) struct Walk<'a, 'l> {
    /// What has not been looked at yet.
    pub(super) view: View<'a>,
    /// The innermost IP header so far.
    pub(super) ip: Option<IpHeader<'a>>,
    /// The fragment that ended the walk.
    pub(super) fragment: Option<Fragment<'a>>,
    /// What was taken off so far.
    pub(super) layers: &'l mut Layers,
    /// Whether header checksums are checked.
    pub(super) verify: bool,
    /// Checksums that cover what stands inside, outermost first.
    pub(super) sums: ArrayVec<Sum, LAYERS_MAX>,
    /// Where the headers that carry another packet stand: IP with its extensions, UDP.
    pub(super) outer: ArrayVec<Range, { 2 * LAYERS_MAX }>,
}

impl<'a, 'l> Walk<'a, 'l> {
    /// Nothing looked at yet; `layers` were taken off before.
    pub(super) fn new(view: View<'a>, layers: &'l mut Layers, verify: bool) -> Self {
        Self {
            view,
            ip: None,
            fragment: None,
            layers,
            verify,
            sums: ArrayVec::new(),
            outer: ArrayVec::new(),
        }
    }

    /// Walks from `next` to a fragment, left in `self.fragment`, or else to the innermost IP packet, left in `self.ip`.
    ///
    /// Where an IP packet carries something that leads no further (ARP in a tunnel, a tunnel that was a guess by port
    /// number and is none), that IP packet is the innermost one.
    pub(super) fn run(&mut self, mut next: Next) -> Result<(), Reason> {
        let otherwise = loop {
            match self.step(next) {
                Ok(Next::Packet) => break Reason::NotIp,
                Ok(Next::Fragment) => return Ok(()),
                Ok(further) => next = further,
                Err(reason @ (Reason::NotIp | Reason::Malformed)) => break reason,
                Err(reason) => return Err(reason),
            }
        };
        match &self.ip {
            Some(ip) if ip.partial => Err(Reason::FragmentInvalid),
            Some(_) => Ok(()),
            None => Err(otherwise),
        }
    }

    fn step(&mut self, next: Next) -> Result<Next, Reason> {
        match next {
            Next::Link(link) => link::parse(self, link),
            Next::Ethernet => ethernet::parse(self),
            Next::EtherType(ether_type) => ethernet::dispatch(self, ether_type),
            Next::Llc => llc::parse(self),
            Next::Wlan => wlan::parse(self),
            Next::PppFramed => ppp::framed(self),
            Next::Pppoe => ppp::over_ethernet(self),
            Next::CiscoHdlc => ppp::cisco_hdlc(self),
            Next::Mpls => mpls::parse(self),
            Next::Nsh => nsh::parse(self),
            Next::Gre => gre::parse(self),
            Next::UdpTunnel(tunnel) => tunnel.parse(self),
            Next::Ip => ip::parse(self),
            Next::Ipv6 => ipv6::parse(self),
            Next::Protocol(proto) => ip::dispatch(self, proto),
            Next::Packet | Next::Fragment => Ok(next),
        }
    }

    /// Goes `len` bytes on.
    pub(super) fn skip(&mut self, len: usize) -> Result<(), Reason> {
        self.view = self.view.skip(len)?;
        Ok(())
    }

    /// Notes a layer that was taken off.
    pub(super) fn push(&mut self, layer: Layer) -> Result<(), Reason> {
        self.layers.try_push(layer).map_err(|_| Reason::TooDeep)
    }

    /// Takes off `len` bytes of a header and notes it as `layer`.
    pub(super) fn take_off(&mut self, len: usize, layer: Layer) -> Result<(), Reason> {
        self.push(layer)?;
        self.skip(len)
    }

    /// Notes that the current IP header carries another packet.
    pub(super) fn push_ip(&mut self) -> Result<(), Reason> {
        match self.ip {
            Some(ip) => {
                self.push(ip.addresses.layer())?;
                self.note_outer(ip.at, self.view.at());
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Notes where a header around another packet stands.
    pub(super) fn note_outer(&mut self, from: usize, to: usize) {
        // Two a layer at most.
        let _ = self.outer.try_push((from, to));
    }

    /// Notes a checksum that covers what stands inside.
    pub(super) fn note_sum(&mut self, sum: Sum) {
        // One a layer at most.
        let _ = self.sums.try_push(sum);
    }
}
