//! Writing captures.

use std::io::{self, Write};

use crate::{LinkType, Timestamp};

/// Writes a pcap file with nanosecond timestamps, in the byte order "little".
///
/// Each frame is one or two writes: give it a [`BufWriter`](io::BufWriter).
#[derive(Debug)]
pub struct PcapWriter<W> {
    out: W,
}

impl<W: Write> PcapWriter<W> {
    /// Begins a capture of frames that begin as `link` says.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(mut out: W, link: LinkType) -> io::Result<Self> {
        const VERSION: (u16, u16) = (2, 4);
        let mut header = [0; 24];
        header[0..4].copy_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
        header[4..6].copy_from_slice(&VERSION.0.to_le_bytes());
        header[6..8].copy_from_slice(&VERSION.1.to_le_bytes());
        header[16..20].copy_from_slice(&super::MAX_FRAME_LEN.to_le_bytes());
        header[20..22].copy_from_slice(&link.0.to_le_bytes());
        out.write_all(&header)?;
        Ok(Self { out })
    }

    /// Writes a frame captured whole.
    ///
    /// # Errors
    /// As [`write_cut`](Self::write_cut).
    pub fn write(&mut self, timestamp: Timestamp, bytes: &[u8]) -> io::Result<()> {
        self.write_cut(
            timestamp,
            bytes,
            u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        )
    }

    /// Writes a frame of which `bytes` were captured and that had `wire_len` bytes on the wire.
    ///
    /// # Errors
    /// Those of the output; `InvalidInput` where the frame is longer than [`MAX_FRAME_LEN`](super::MAX_FRAME_LEN) or
    /// the time is past the year 2106, which pcap cannot express.
    pub fn write_cut(
        &mut self,
        timestamp: Timestamp,
        bytes: &[u8],
        wire_len: u32,
    ) -> io::Result<()> {
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
        let cap_len = u32::try_from(bytes.len())
            .ok()
            .filter(|&len| len <= super::MAX_FRAME_LEN);
        let cap_len =
            cap_len.ok_or_else(|| invalid("frame is longer than a capture may have it"))?;
        let nanos = timestamp.as_nanos();
        let seconds = u32::try_from(nanos / 1_000_000_000)
            .map_err(|_| invalid("time is past the range of pcap"))?;
        let fraction = (nanos % 1_000_000_000) as u32;
        let mut header = [0; 16];
        for (field, value) in header
            .chunks_exact_mut(4)
            .zip([seconds, fraction, cap_len, wire_len])
        {
            field.copy_from_slice(&value.to_le_bytes());
        }
        self.out.write_all(&header)?;
        self.out.write_all(bytes)
    }

    /// Flushes, and gives the output back.
    ///
    /// # Errors
    /// Those of flushing.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}
