//! The port trait.

use std::path::PathBuf;

use crate::{Batch, Extras};

/// What a call of [`Port::rx_burst`] brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// The batch holds at least one frame.
    Frames,
    /// Nothing at the moment; more may come.
    Idle,
    /// Nothing more will ever come.
    End,
}

/// What became of the frames that [`Port::tx_burst`] was to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sent {
    /// Frames that the device took.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that found no room in the device's queue, or no way out, and were dropped.
    pub no_room: u64,
}

/// Something that receives frames, and may send them on: a capture, memory, a device queue. Owned by one shard.
///
/// Each batch that [`rx_burst`](Self::rx_burst) filled, and each that frames of such a batch were handed over to, ends in
/// [`tx_burst`](Self::tx_burst) or in [`Batch::clear`].
pub trait Port {
    /// How it hands out frames.
    type Batch: Batch;

    /// Fills `batch`, which must be empty, with at most [`BURST_MAX`](crate::BURST_MAX) frames.
    ///
    /// # Errors
    /// Where the source is damaged from here on. What was received before stays valid; later calls go on with what
    /// the damage leaves of the source, such as further files, and end with [`Received::End`].
    fn rx_burst(&mut self, batch: &mut Self::Batch) -> Result<Received, PortError>;

    /// Ends a burst: sends the frames of `batch` whose bit is set in `forward` (frame `i` has bit `i`), in order, each out of
    /// the port opposite to the one it came in on, and gives the others back. The batch is empty afterwards.
    ///
    /// A port that cannot send gives all of them back.
    fn tx_burst(&mut self, batch: &mut Self::Batch, forward: u64) -> Sent {
        let _ = forward;
        batch.clear();
        Sent::default()
    }

    /// The same, and sends the frames in `extras`, each in its place. Those that go with a frame are sent whether or not that
    /// frame is. What has no way out, or finds no room, counts as such.
    fn tx_burst_with(&mut self, batch: &mut Self::Batch, forward: u64, extras: &Extras) -> Sent {
        let mut sent = self.tx_burst(batch, forward);
        sent.no_room += extras.len() as u64;
        sent
    }

    /// Whether the device has promised to deal out the flows of `batch`, which came in through this port, as the shards own them:
    /// to find another shard's packets among them says that it does not.
    fn deals_flows(&self, batch: &Self::Batch) -> bool {
        let _ = batch;
        false
    }

    /// Whether it forwards: true for ports that stand in a wire, false for captures and taps.
    fn is_inline(&self) -> bool {
        false
    }

    /// Whether frames may wait: true for captures, which are held back instead of losing frames when a shard cannot
    /// keep up; false for live traffic.
    fn is_lossless(&self) -> bool {
        true
    }

    /// Bytes of the source consumed so far and in all, for a progress display. `None` where unknown.
    fn progress(&self) -> Option<(u64, u64)> {
        None
    }
}

/// Opens a port on the thread of the shard that will own it, so that a port need not be `Send`.
pub trait PortFactory: Send {
    /// What it opens.
    type Port: Port;

    /// Opens the port.
    ///
    /// # Errors
    /// As the port's kind has it; the error names the file or device.
    fn open(self: Box<Self>) -> Result<Self::Port, PortError>;
}

/// Why a port could not be opened or read on.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file, or `-` for standard input.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The file is not a capture, or is damaged.
    #[error("{}: at byte {offset}: {reason}", path.display())]
    Damaged {
        /// The file, or `-` for standard input.
        path: PathBuf,
        /// Byte offset of the record that could not be read.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
}
