//! Captures in memory: what tests and benchmarks receive from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::capture::{CaptureBatch, Chunk, Decoder, FrameDesc, Step, read_all};
use crate::{
    BURST_MAX, Batch, Frame, LinkType, Port, PortError, PortFactory, Received, Timestamp, prefetch,
};

/// A capture that lies in memory, indexed: frame by frame in any order, and as often as one likes.
///
/// Needs the file's length and 32 bytes a frame.
#[derive(Default)]
pub struct MemoryCapture {
    bytes: Arc<Vec<u8>>,
    index: Vec<FrameDesc>,
    /// Sum of what the frames have captured.
    captured: u64,
}

impl MemoryCapture {
    /// Reads the capture at `path` (`-` is standard input), in any format of [`capture`](crate::capture).
    ///
    /// Where it is damaged, the second value says so, and the first has the frames before the damage.
    ///
    /// # Errors
    /// Where it cannot be read, or is no capture at all.
    pub fn load(path: impl AsRef<Path>) -> Result<(Self, Option<PortError>), PortError> {
        let path = path.as_ref();
        let bytes = read_all(path)?;
        Self::from_file_bytes(path.to_path_buf(), bytes)
    }

    /// Indexes the `bytes` of a capture file; errors call it `name`.
    ///
    /// # Errors
    /// As with [`load`](Self::load).
    pub fn from_file_bytes(
        name: impl Into<PathBuf>,
        bytes: Vec<u8>,
    ) -> Result<(Self, Option<PortError>), PortError> {
        let mut index = Vec::new();
        let mut decoder = Decoder::default();
        let mut at = 0;
        let reason = loop {
            match decoder.step(&bytes[at..]) {
                Step::Frame { mut frame, len } => {
                    frame.offset += at;
                    index.push(frame);
                    at += len;
                }
                Step::Skip(len) => at += len,
                Step::Need(_) => break decoder.end_of_file(bytes.len() - at),
                Step::Damaged(reason) => break Some(reason),
            }
        };
        let damage = reason.map(|reason| PortError::Damaged {
            path: name.into(),
            offset: at as u64,
            reason,
        });
        match damage {
            Some(damage) if at == 0 => Err(damage),
            damage => Ok((Self::new(Arc::new(bytes), index), damage)),
        }
    }

    /// A capture of `frames`, none of them cut, that begin as `link` says.
    ///
    /// # Panics
    /// Where a frame is longer than 4 GiB.
    pub fn from_frames<B: AsRef<[u8]>>(
        link: LinkType,
        frames: impl IntoIterator<Item = (Timestamp, B)>,
    ) -> Self {
        let mut bytes = Vec::new();
        let mut index = Vec::new();
        for (timestamp, frame) in frames {
            let frame = frame.as_ref();
            let len = u32::try_from(frame.len()).expect("a frame is shorter than 4 GiB");
            index.push(FrameDesc {
                offset: bytes.len(),
                timestamp,
                cap_len: len,
                wire_len: len,
                interface: 0,
                link,
            });
            bytes.extend_from_slice(frame);
        }
        Self::new(Arc::new(bytes), index)
    }

    fn new(bytes: Arc<Vec<u8>>, index: Vec<FrameDesc>) -> Self {
        let captured = index.iter().map(|frame| u64::from(frame.cap_len)).sum();
        Self {
            bytes,
            index,
            captured,
        }
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Bytes that were captured, over all frames.
    pub fn bytes(&self) -> u64 {
        self.captured
    }

    /// Frame `index`, from 0, in the order of the capture.
    ///
    /// # Panics
    /// Where `index >= len()`.
    pub fn frame(&self, index: usize) -> Frame<'_> {
        self.index[index].frame(&self.bytes)
    }

    /// All frames in order.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = Frame<'_>> {
        self.index.iter().map(|frame| frame.frame(&self.bytes))
    }

    /// Deals the frames out to `parts` ports, each to the one that `part` names. The ports share the bytes.
    ///
    /// # Panics
    /// Where `part` names one that does not exist: `parts` or more.
    pub fn partition(
        &self,
        parts: usize,
        mut part: impl FnMut(Frame<'_>) -> usize,
    ) -> Vec<MemoryPort> {
        let mut indices = vec![Vec::new(); parts];
        for frame in &self.index {
            indices[part(frame.frame(&self.bytes))].push(*frame);
        }
        indices
            .into_iter()
            .map(|index| MemoryPort::new(Arc::new(Self::new(Arc::clone(&self.bytes), index))))
            .collect()
    }
}

impl std::fmt::Debug for MemoryCapture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "MemoryCapture({} frames, {} bytes)",
            self.len(),
            self.bytes()
        )
    }
}

/// A port that receives the frames of a capture in memory, and is its own factory.
///
/// A burst costs the copy of its frames' descriptors (32 bytes each); no byte of a frame is touched.
#[derive(Debug)]
pub struct MemoryPort {
    capture: Arc<MemoryCapture>,
    /// The capture's bytes, with a count of this port's own.
    chunk: Arc<Chunk>,
    /// The frame to receive next.
    next: usize,
}

impl MemoryPort {
    /// A port that receives all of `capture`.
    pub fn new(capture: Arc<MemoryCapture>) -> Self {
        let chunk = Arc::new(Chunk {
            bytes: Arc::clone(&capture.bytes),
        });
        Self {
            capture,
            chunk,
            next: 0,
        }
    }

    /// What it receives.
    pub fn capture(&self) -> &Arc<MemoryCapture> {
        &self.capture
    }

    /// Begins again with the first frame.
    pub fn rewind(&mut self) {
        self.next = 0;
    }
}

impl MemoryPort {
    /// Fetches the heads of the frames that the next call will bring, while this burst is being processed.
    #[inline]
    fn prefetch_next_burst(&self) {
        let following = &self.capture.index[self.next..];
        for frame in following.iter().take(BURST_MAX) {
            let head = self.chunk.bytes.as_ptr().wrapping_add(frame.offset);
            prefetch(head);
            prefetch(head.wrapping_add(64));
        }
    }
}

impl Port for MemoryPort {
    type Batch = CaptureBatch;

    #[inline]
    fn rx_burst(&mut self, batch: &mut CaptureBatch) -> Result<Received, PortError> {
        debug_assert!(
            batch.is_empty(),
            "the batch of a burst is cleared before the next"
        );
        let taken = batch.fill(&self.chunk, &self.capture.index[self.next..]);
        self.next += taken;
        self.prefetch_next_burst();
        Ok(if taken == 0 {
            Received::End
        } else {
            Received::Frames
        })
    }

    /// Counts captured bytes. Exact at the beginning and the end only; between, frames count alike.
    fn progress(&self) -> Option<(u64, u64)> {
        let total = u128::from(self.capture.bytes());
        let read = total * (self.next as u128) / (self.capture.len().max(1) as u128);
        Some((
            u64::try_from(read).unwrap_or(u64::MAX),
            self.capture.bytes(),
        ))
    }
}

impl PortFactory for MemoryPort {
    type Port = Self;

    fn open(self: Box<Self>) -> Result<Self, PortError> {
        Ok(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A capture of `count` frames; frame `n` holds `n` in two bytes, at `n` nanoseconds.
    fn numbered(count: u16) -> MemoryCapture {
        let frame = |number: u16| (Timestamp::from_nanos(number.into()), number.to_be_bytes());
        MemoryCapture::from_frames(LinkType::RAW, (0..count).map(frame))
    }

    /// Numbers of the frames of each burst until the end.
    fn bursts(port: &mut MemoryPort) -> Vec<Vec<u16>> {
        let mut bursts = Vec::new();
        let mut batch = CaptureBatch::default();
        while port.rx_burst(&mut batch).unwrap() == Received::Frames {
            bursts.push(numbers(&batch));
            assert_eq!(Arc::strong_count(&port.chunk), 2);
            batch.clear();
            assert_eq!(
                Arc::strong_count(&port.chunk),
                1,
                "cleared it holds nothing"
            );
        }
        bursts
    }

    fn numbers(batch: &CaptureBatch) -> Vec<u16> {
        (0..batch.len())
            .map(|index| u16::from_be_bytes(batch.frame(index).bytes.try_into().unwrap()))
            .collect()
    }

    #[test]
    fn a_port_gives_full_bursts_until_the_end_and_again_after_rewinding() {
        let mut port = MemoryPort::new(Arc::new(numbered(150)));
        assert_eq!(port.progress(), Some((0, 300)));
        let first = bursts(&mut port);
        assert_eq!(first.iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 22]);
        assert_eq!(first.concat(), (0..150).collect::<Vec<_>>());
        assert_eq!(port.progress(), Some((300, 300)));
        assert!(bursts(&mut port).is_empty());
        port.rewind();
        assert_eq!(bursts(&mut port), first);
    }

    #[test]
    fn partition_deals_every_frame_out_in_order() {
        let capture = numbered(10);
        let mut ports = capture.partition(3, |frame| usize::from(frame.bytes[1] % 4 / 2));
        let received: Vec<Vec<u16>> = ports.iter_mut().map(|port| bursts(port).concat()).collect();
        assert_eq!(received, [vec![0, 1, 4, 5, 8, 9], vec![2, 3, 6, 7], vec![]]);
        assert_eq!(ports[1].capture().bytes(), 8);
    }

    #[test]
    fn frames_handed_over_outlive_the_batch_they_came_in() {
        let mut port = MemoryPort::new(Arc::new(numbered(5)));
        let (mut batch, mut other) = (CaptureBatch::default(), CaptureBatch::default());
        port.rx_burst(&mut batch).unwrap();
        batch.hand_over(&[], &mut other);
        assert!(other.is_empty());
        batch.hand_over(&[1, 4], &mut other);
        batch.clear();
        drop(port);
        assert_eq!(numbers(&other), [1, 4]);
        assert_eq!(other.frame(1).timestamp, Timestamp::from_nanos(4));
        other.clear();
        assert!(other.is_empty());
    }

    #[test]
    fn a_capture_is_loaded_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("capture");
        let mut writer = crate::capture::PcapWriter::new(Vec::new(), LinkType::RAW).unwrap();
        writer.write(Timestamp::from_nanos(7), b"frame").unwrap();
        let mut bytes = writer.finish().unwrap();
        bytes.push(0);
        std::fs::write(&path, &bytes).unwrap();

        let (capture, damage) = MemoryCapture::load(&path).unwrap();
        assert_eq!((capture.len(), capture.bytes()), (1, 5));
        assert_eq!(capture.frame(0).bytes, b"frame");
        let expected = format!(
            "{}: at byte 45: the file is cut off within this record",
            path.display()
        );
        assert_eq!(damage.unwrap().to_string(), expected);
        assert!(matches!(
            MemoryCapture::load(dir.path().join("missing")),
            Err(PortError::Io { .. })
        ));
    }

    #[test]
    #[ignore = "needs 5 GiB of memory"]
    fn frames_past_four_gigabytes_are_found() {
        let record_len = 16 + 0x4_0000;
        let count = 5 * 4096;
        let mut bytes = vec![0; 24 + count * record_len];
        bytes[..8].copy_from_slice(&[0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0]);
        for number in 0..count {
            let record = &mut bytes[24 + number * record_len..][..record_len];
            record[8..12].copy_from_slice(&0x4_0000_u32.to_le_bytes());
            record[16..24].copy_from_slice(&(number as u64).to_le_bytes());
        }
        let (capture, damage) = MemoryCapture::from_file_bytes("test", bytes).unwrap();
        assert!(damage.is_none());
        assert_eq!(capture.len(), count);
        for (number, frame) in capture.frames().enumerate() {
            assert_eq!(frame.bytes[..8], (number as u64).to_le_bytes());
        }
    }
}
