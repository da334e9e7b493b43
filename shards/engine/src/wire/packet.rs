//! What is known of a packet after decapsulation.

use mosaic_port::{LinkType, Timestamp};

use crate::flow::{Direction, FlowKey};

/// Which buffer of the burst a packet's bytes lie in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Buffer {
    /// Frame of this index in the batch.
    Frame(u8),
    /// A datagram that was put together from fragments.
    Datagram {
        /// Index in [`Parsed::datagrams`](super::Parsed::datagrams).
        datagram: u8,
        /// Index in the batch of the frame with the fragment that completed it: whether that goes on its way decides about
        /// all of the datagram.
        frame: u8,
    },
    /// The same where its fragments were held ([`FragmentPolicy::Hold`](super::FragmentPolicy::Hold)), in no tunnel: it begins with the link layer of the frame that completed it, and may be changed as a frame may, but for its length.
    Framed {
        /// Index in [`Parsed::datagrams`](super::Parsed::datagrams).
        datagram: u8,
        /// Index in the batch of the frame with the fragment that completed it.
        frame: u8,
    },
}

impl Buffer {
    /// Index in the batch of the frame that brought the packet or completed it.
    #[inline]
    pub fn frame(self) -> u8 {
        let (Self::Frame(frame) | Self::Datagram { frame, .. } | Self::Framed { frame, .. }) = self;
        frame
    }

    /// Index in [`Parsed::datagrams`](super::Parsed::datagrams); `None` for a frame.
    #[inline]
    pub fn datagram(self) -> Option<u8> {
        match self {
            Self::Frame(_) => None,
            Self::Datagram { datagram, .. } | Self::Framed { datagram, .. } => Some(datagram),
        }
    }
}

bitflags::bitflags! {
    /// Control bits of a TCP header (RFC 9293, section 3.1; RFC 3168 for ECN).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct TcpFlags: u8 {
        /// No more data from the sender.
        const FIN = 0x01;
        /// Synchronise sequence numbers.
        const SYN = 0x02;
        /// Reset the connection.
        const RST = 0x04;
        /// Push function.
        const PSH = 0x08;
        /// The acknowledgment field is significant.
        const ACK = 0x10;
        /// The urgent pointer field is significant.
        const URG = 0x20;
        /// ECN echo.
        const ECE = 0x40;
        /// Congestion window reduced.
        const CWR = 0x80;
    }
}

/// Transport header, as far as the shard needs it.
#[derive(Clone, Copy, Debug)]
pub enum Transport {
    /// TCP with a complete fixed header.
    Tcp {
        /// Sequence number.
        seq: u32,
        /// Acknowledgment number; meaningful with [`TcpFlags::ACK`].
        ack: u32,
        /// Window field, unscaled.
        window: u16,
        /// Control bits.
        flags: TcpFlags,
        /// Length of the captured options in bytes, 0 to 40; they begin 20 bytes after `Packet::transport_at`.
        options_len: u8,
    },
    /// Anything else; ports, if it has any, are in the key.
    Other,
}

/// One innermost IP packet, decapsulated and complete.
///
/// Offsets count bytes from the start of the buffer that `buffer` names.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Canonical innermost 5-tuple.
    pub key: FlowKey,
    /// Which way it runs through the key.
    pub direction: Direction,
    /// Where its bytes lie.
    pub buffer: Buffer,
    /// What the frame begins with.
    pub link: LinkType,
    /// Index into [`Parsed::encapsulations`](super::Parsed::encapsulations) of what was taken off around the innermost IP
    /// header.
    pub encapsulation: u8,
    /// Symmetric Toeplitz hash ([`flow::rss::hash`](crate::flow::rss::hash)), which decides the owner: of the key, or of what
    /// an ICMP error quotes where [errors follow flows](super::WireConfig::errors_follow).
    pub rss: u32,
    /// When it was captured.
    pub timestamp: Timestamp,
    /// The clock: the largest timestamp the source has shown so far. Timeouts are decided by it.
    pub clock: Timestamp,
    /// Length of the frame on the wire.
    pub wire_len: u32,
    /// Where the innermost IP header begins.
    pub ip_at: u32,
    /// Length of the innermost IP packet by its header (for a reassembled one, of the whole datagram), header included.
    pub ip_len: u32,
    /// Where the transport header begins.
    pub transport_at: u32,
    /// Where the payload begins.
    pub payload_at: u32,
    /// Payload length by the headers.
    pub payload_len: u32,
    /// How much of the payload was captured, at most `payload_len`; less where the snap length cut it.
    pub payload_captured: u32,
    /// Transport header.
    pub transport: Transport,
    /// Whether the checksum of TCP or UDP is not complete though the data is good: the packet comes from this machine and
    /// never was on a wire. See [`finish_checksum`](super::finish_checksum). It is told by the checksum being the sum of the
    /// pseudo-header, which one complete checksum of 65,536 is by chance; finishing that one does not change it.
    pub unfinished: bool,
}
