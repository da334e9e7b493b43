//! Ports over files, and the writer.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use crate::capture::{CaptureBatch, CaptureFactory, CapturePort, PcapWriter};
use crate::{Batch, LinkType, Port, PortError, PortFactory, Received, Timestamp};

use super::encode::{Format, Variant};
use super::{OwnedFrame, receive};

/// Files in a directory that goes away with it.
struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn capture(&self, name: &str, format: Format, frames: &[OwnedFrame]) -> PathBuf {
        self.write(
            name,
            &Variant {
                format,
                big_endian: false,
            }
            .encode(frames)
            .bytes,
        )
    }
}

fn open(paths: Vec<PathBuf>) -> Result<CapturePort, PortError> {
    Box::new(CaptureFactory::new(paths)).open()
}

#[test]
fn several_captures_are_one_with_interfaces_numbered_on() {
    let files = Files::new();
    let (one, two) = (
        OwnedFrame::new(1_000, b"one"),
        OwnedFrame::new(2_000, b"two"),
    );
    let first = files.capture("1.pcap", Format::Micros, std::slice::from_ref(&one));
    let empty = files.capture("2.pcap", Format::Nanos, &[]);
    let last = files.capture(
        "3.pcapng",
        Format::Enhanced { resolution: 9 },
        std::slice::from_ref(&two),
    );
    let total: u64 = [&first, &empty, &last]
        .map(|path| fs::metadata(path).unwrap().len())
        .iter()
        .sum();

    let mut port = open(vec![first, empty, last]).unwrap();
    assert_eq!(port.progress(), Some((0, total)));
    let expected = vec![
        one,
        OwnedFrame {
            interface: 2,
            ..two
        },
    ];
    assert_eq!(receive(&mut port, 0), (expected, None));
    assert_eq!(port.progress(), Some((total, total)));
    assert!(port.is_lossless());
}

#[test]
fn damage_names_file_and_offset_and_costs_no_other_file() {
    let files = Files::new();
    let frame = OwnedFrame::new(1_000, b"frame");
    let good = files.capture("good.pcap", Format::Micros, std::slice::from_ref(&frame));
    let bad = files.write("bad.pcap", &fs::read(&good).unwrap()[..30]);
    let mut port = open(vec![good.clone(), bad.clone(), good]).unwrap();

    let mut batch = CaptureBatch::default();
    assert_eq!(port.rx_burst(&mut batch).unwrap(), Received::Frames);
    assert_eq!(batch.len(), 1);
    batch.clear();
    let error = port.rx_burst(&mut batch).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{}: at byte 24: the file is cut off within this record",
            bad.display()
        )
    );
    assert_eq!(port.rx_burst(&mut batch).unwrap(), Received::Frames);
    assert_eq!(batch.len(), 1, "the file behind the damaged one");
    batch.clear();
    for _ in 0..2 {
        assert_eq!(port.rx_burst(&mut batch).unwrap(), Received::End);
    }
}

#[test]
fn what_cannot_be_opened_or_read_is_an_error_of_the_file() {
    let files = Files::new();
    let good = files.capture("good.pcap", Format::Micros, &[]);
    let missing = open(vec![good, files.path("missing")]).err().unwrap();
    assert!(
        matches!(&missing, PortError::Io { path, .. } if *path == files.path("missing")),
        "{missing}"
    );
    let mut directory = open(vec![files.dir.path().to_path_buf()]).unwrap();
    assert!(matches!(
        directory.rx_burst(&mut CaptureBatch::default()),
        Err(PortError::Io { .. })
    ));
    assert_eq!(
        open(vec![])
            .unwrap()
            .rx_burst(&mut CaptureBatch::default())
            .unwrap(),
        Received::End
    );
}

#[test]
fn a_slow_pipe_leaves_the_port_idle() {
    let files = Files::new();
    let frame = OwnedFrame::new(1_000, b"frame");
    let bytes =
        fs::read(files.capture("1.pcap", Format::Nanos, std::slice::from_ref(&frame))).unwrap();
    let path = files.path("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    // Opened for both directions, so that neither end waits for the other.
    let mut writer = fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let mut port = open(vec![path]).unwrap();
    assert_eq!(port.progress(), None);

    let mut batch = CaptureBatch::default();
    for piece in [&bytes[..10], &bytes[10..30], &bytes[30..44]] {
        writer.write_all(piece).unwrap();
        assert_eq!(port.rx_burst(&mut batch).unwrap(), Received::Idle);
    }
    writer.write_all(&bytes[44..]).unwrap();
    assert_eq!(port.rx_burst(&mut batch).unwrap(), Received::Frames);
    assert_eq!(super::owned(&batch), [frame]);
    batch.clear();
    assert_eq!(port.rx_burst(&mut batch).unwrap(), Received::Idle);
    drop(writer);
    assert_eq!(port.rx_burst(&mut batch).unwrap(), Received::End);
}

#[test]
fn what_the_writer_writes_is_read_back() {
    let mut writer = PcapWriter::new(Vec::new(), LinkType::RAW).unwrap();
    let time = Timestamp::from_nanos(1_700_000_000_123_456_789);
    writer.write(time, b"whole").unwrap();
    writer.write_cut(time, b"cut", 1_500).unwrap();
    let past_2106 = Timestamp::from_nanos((1 << 32) * 1_000_000_000);
    assert!(writer.write(past_2106, b"").is_err());
    assert!(
        writer
            .write(time, &vec![0; super::super::MAX_FRAME_LEN as usize + 1])
            .is_err()
    );

    let whole = OwnedFrame {
        link: LinkType::RAW,
        ..OwnedFrame::new(time.as_nanos(), b"whole")
    };
    let cut = OwnedFrame {
        wire_len: 1_500,
        bytes: b"cut".to_vec(),
        ..whole.clone()
    };
    assert_eq!(
        super::load(&writer.finish().unwrap()),
        (vec![whole, cut], None)
    );
}
