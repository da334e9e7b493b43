//! The port trait.

use std::path::PathBuf;

use crate::Batch;

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

/// Something that receives frames: a capture, memory, a device queue. Owned by one shard.
pub trait Port {
    /// How it hands out frames.
    type Batch: Batch;

    /// Fills `batch`, which must be empty, with at most [`BURST_MAX`](crate::BURST_MAX) frames.
    ///
    /// # Errors
    /// Where the source is damaged from here on. What was received before stays valid; later calls go on with what
    /// the damage leaves of the source, such as further files, and end with [`Received::End`].
    fn rx_burst(&mut self, batch: &mut Self::Batch) -> Result<Received, PortError>;

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
