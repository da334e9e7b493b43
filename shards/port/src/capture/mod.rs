//! Capture files: pcap and pcapng, from files or standard input, streamed.
//!
//! [`CaptureFactory`] opens a [`CapturePort`], which reads a capture of any length through a few buffers of about
//! 1 MiB, its *chunks*. A [`CaptureBatch`] shares the chunk its frames lie in, so frames are never copied, and a chunk
//! is filled again as soon as no batch shares it any more. A frame never straddles two chunks: what is unread of a
//! record at the end of one is moved to the beginning of the next.
//!
//! Files are read, not mapped: a file that shrinks while it is read is an error, not a signal.
//!
//! | understood | |
//! |---|---|
//! | pcap | both byte orders, micro- and nanoseconds, the "modified" records of magic `0xa1b2cd34`, versions 2.0 and later (before 2.4 the two lengths may be swapped) |
//! | pcapng | any number of sections of either byte order and of interfaces of different link types, `if_tsresol` and `if_tsoffset`; enhanced, simple and the obsolete packet blocks; other blocks are skipped |
//!
//! Where a record is damaged everything before it is delivered, then one [`PortError::Damaged`](crate::PortError)
//! names its offset. Limits: [`MAX_FRAME_LEN`], [`MAX_BLOCK_LEN`], [`MAX_INTERFACES`].
//!
//! The length on the wire is what the record states, also where it is less than was captured.
//! Timestamps that no clock shows are kept as they can be: a fraction of a second or more carries into the seconds
//! (microseconds of 10^6 and above are found in the wild), seconds are unsigned (valid to the year 2106 in pcap), and
//! what lies outside the range of [`Timestamp`](crate::Timestamp) becomes its nearest end.

mod batch;
mod chunks;
mod decode;
mod pcap;
mod pcapng;
mod reader;
mod source;
mod write;

#[cfg(test)]
mod tests;

pub use batch::CaptureBatch;
pub use decode::MAX_FRAME_LEN;
pub use pcapng::{MAX_BLOCK_LEN, MAX_INTERFACES};
pub use reader::{CaptureFactory, CapturePort};
pub use write::PcapWriter;

pub(crate) use batch::{Chunk, FrameDesc};
pub(crate) use decode::{Decoder, Step};
pub(crate) use source::read_all;
