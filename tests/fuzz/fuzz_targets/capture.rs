//! Capture files: any bytes are read to their end or to one error, the same in one go and piece by piece.
#![no_main]

use std::io::{Cursor, Read};

use libfuzzer_sys::fuzz_target;
use mosaic_port::capture::{CaptureBatch, CapturePort};
use mosaic_port::memory::MemoryCapture;
use mosaic_port::{Batch, Frame, Port, Received};

/// Everything a frame says.
type Seen = (Vec<u8>, u32, u64, u16, u32);

fuzz_target!(|bytes: &[u8]| {
    let (whole, damaged) = match MemoryCapture::from_file_bytes("fuzz", bytes.to_vec()) {
        Ok((capture, damage)) => (capture.frames().map(seen).collect(), damage.is_some()),
        Err(_) => (Vec::new(), true),
    };
    for piece in [usize::MAX, 7] {
        assert_eq!(
            read(Pieces {
                bytes: Cursor::new(bytes.to_vec()),
                most: piece
            }),
            (whole.clone(), damaged)
        );
    }
});

fn seen(frame: Frame<'_>) -> Seen {
    assert!(
        frame.bytes.len() <= frame.wire_len as usize,
        "more was captured than there was"
    );
    let Frame {
        bytes,
        wire_len,
        timestamp,
        link,
        interface,
    } = frame;
    (
        bytes.to_vec(),
        wire_len,
        timestamp.as_nanos(),
        link.0,
        interface,
    )
}

/// The frames, and whether the file is damaged.
fn read(reader: Pieces) -> (Vec<Seen>, bool) {
    let mut port = CapturePort::from_reader("fuzz", reader);
    let mut batch = CaptureBatch::default();
    let mut frames = Vec::new();
    let mut damaged = false;
    loop {
        match port.rx_burst(&mut batch) {
            Ok(Received::Frames) => {
                frames.extend((0..batch.len()).map(|index| seen(batch.frame(index))))
            }
            Ok(Received::Idle) => {}
            Ok(Received::End) => return (frames, damaged),
            Err(_) => {
                frames.extend((0..batch.len()).map(|index| seen(batch.frame(index))));
                damaged = true;
            }
        }
        batch.clear();
    }
}

/// A reader that gives a few bytes at a time, as a pipe may.
struct Pieces {
    bytes: Cursor<Vec<u8>>,
    most: usize,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let len = into.len().min(self.most);
        self.bytes.read(&mut into[..len])
    }
}
