//! Captures of every variant, whole and damaged, through a reader and from memory.

mod damage;
mod encode;
mod files;
mod formats;
mod round_trip;

use std::io::{self, Read};

use crate::memory::MemoryCapture;
use crate::{Batch, Frame, LinkType, Port, PortError, Received, Timestamp};

use super::{CaptureBatch, CapturePort};

/// A frame, owned.
#[derive(Clone, PartialEq, Eq, Debug)]
struct OwnedFrame {
    bytes: Vec<u8>,
    wire_len: u32,
    timestamp: Timestamp,
    link: LinkType,
    interface: u32,
}

impl OwnedFrame {
    /// Of an Ethernet frame captured whole on the first interface.
    fn new(nanos: u64, bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            wire_len: u32::try_from(bytes.len()).unwrap(),
            timestamp: Timestamp::from_nanos(nanos),
            link: LinkType::ETHERNET,
            interface: 0,
        }
    }
}

impl From<Frame<'_>> for OwnedFrame {
    fn from(frame: Frame<'_>) -> Self {
        let Frame {
            bytes,
            wire_len,
            timestamp,
            link,
            interface,
        } = frame;
        Self {
            bytes: bytes.to_vec(),
            wire_len,
            timestamp,
            link,
            interface,
        }
    }
}

/// What a capture gave: its frames, and where and why it is damaged.
type Outcome = (Vec<OwnedFrame>, Option<(u64, &'static str)>);

/// Receives everything from `port`, holding `held` batches at a time, and compares batches when they are given back
/// with what they were: nobody may have written over their frames.
fn receive(port: &mut CapturePort, held: usize) -> Outcome {
    let (mut frames, mut damage) = (Vec::new(), None);
    let mut batches = std::collections::VecDeque::new();
    loop {
        let mut batch = CaptureBatch::default();
        match port.rx_burst(&mut batch) {
            Ok(Received::Frames) => {
                let received: Vec<OwnedFrame> = owned(&batch);
                assert!(!received.is_empty());
                frames.extend_from_slice(&received);
                batches.push_back((batch, received));
            }
            Ok(Received::Idle) => {}
            Ok(Received::End) => break,
            Err(PortError::Damaged { offset, reason, .. }) => {
                assert_eq!(damage, None, "reported twice");
                assert!(batch.is_empty());
                damage = Some((offset, reason));
            }
            Err(error) => panic!("{error}"),
        }
        while batches.len() > held {
            let (batch, received) = batches.pop_front().unwrap();
            assert_eq!(owned(&batch), received, "a batch changed while it was held");
        }
    }
    for (batch, received) in batches {
        assert_eq!(owned(&batch), received, "a batch changed while it was held");
    }
    (frames, damage)
}

fn owned(batch: &CaptureBatch) -> Vec<OwnedFrame> {
    (0..batch.len())
        .map(|index| batch.frame(index).into())
        .collect()
}

/// Streams `bytes` in the usual way.
fn stream(bytes: &[u8]) -> Outcome {
    receive(
        &mut CapturePort::from_reader("test", io::Cursor::new(bytes.to_vec())),
        0,
    )
}

/// Loads `bytes` into memory. As streaming must: a capture without a readable header has no frames.
fn load(bytes: &[u8]) -> Outcome {
    let (frames, damage) = match MemoryCapture::from_file_bytes("test", bytes.to_vec()) {
        Ok((capture, damage)) => (capture.frames().map(OwnedFrame::from).collect(), damage),
        Err(damage) => (Vec::new(), Some(damage)),
    };
    let damage = damage.map(|damage| match damage {
        PortError::Damaged { offset, reason, .. } => (offset, reason),
        error => panic!("{error}"),
    });
    (frames, damage)
}

/// Gives `bytes` in pieces of at most `sizes` bytes, over and over; a size of 0 is an interrupted system call.
struct ShortReads {
    bytes: Vec<u8>,
    at: usize,
    sizes: Vec<usize>,
    turn: usize,
}

impl ShortReads {
    fn new(bytes: Vec<u8>, sizes: Vec<usize>) -> Self {
        Self {
            bytes,
            at: 0,
            sizes,
            turn: 0,
        }
    }
}

impl Read for ShortReads {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes[self.turn % self.sizes.len()];
        self.turn += 1;
        if size == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = size.min(to.len()).min(self.bytes.len() - self.at);
        to[..count].copy_from_slice(&self.bytes[self.at..][..count]);
        self.at += count;
        Ok(count)
    }
}
