//! Frames that are sent changed, and frames of our own.

use mosaic_dpdk::MbufBatch;
use mosaic_port::{Batch, Extras, Port, Way};

use crate::support::{all, burst, bytes, from_file, in_use, inline, port, read_capture};

#[test]
fn a_replaced_frame_leaves_in_its_place_whatever_its_length() {
    let folder = tempfile::tempdir().expect("a folder");
    let lens = [60, 9000, 100, 5000, 60];
    let frames: Vec<Vec<u8>> = lens
        .iter()
        .enumerate()
        .map(|(n, len)| bytes(n, *len))
        .collect();
    let a = from_file(80, &folder, &frames);
    let b = from_file(81, &folder, &[]);
    let mut port = port(&[inline(&a, &b)]);
    let mut batch = burst(&mut port);
    let new = [bytes(7, 1400), bytes(8, 9000), bytes(9, 80), bytes(10, 64)];
    for (index, bytes) in new.iter().enumerate() {
        assert!(batch.replace(index, bytes), "{index}");
        assert_eq!(batch.frame(index).bytes, bytes);
        assert_eq!(batch.frame(index).wire_len as usize, bytes.len());
    }
    assert!(
        !batch.replace(4, &bytes(1, 60_000)),
        "more than a buffer holds"
    );
    assert_eq!(batch.frame(4).bytes, frames[4]);
    let forward = all(&batch);
    assert_eq!(port.tx_burst(&mut batch, forward).frames, 5);
    assert_eq!(
        (in_use(&a), in_use(&b)),
        (0, 0),
        "segments that were too many are back"
    );
    drop((port, batch, a, b));
    let sent = read_capture(&folder.path().join("out81.pcap"));
    assert_eq!(sent[..4], new);
    assert_eq!(sent[4], frames[4]);
}

#[test]
fn own_frames_go_on_and_back_in_their_places() {
    let folder = tempfile::tempdir().expect("a folder");
    let frames: Vec<Vec<u8>> = (0..64).map(|n| bytes(n, 60 + n)).collect();
    let a = from_file(82, &folder, &frames);
    let b = from_file(83, &folder, &[]);
    let mut port = port(&[inline(&a, &b)]);
    let mut batch = burst(&mut port);
    let mut extras = Extras::default();
    let mut on = Vec::new();
    let mut back = Vec::new();
    for index in 0..64_u8 {
        let number = 100 + usize::from(index);
        let way = |before, back| Way::With {
            frame: index,
            before,
            back,
        };
        extras.push(way(true, false), &bytes(number, 70));
        extras.push(way(false, false), &bytes(number, 71));
        extras.push(way(false, true), &bytes(number, 72));
        on.push(bytes(number, 70));
        if index != 9 {
            on.push(frames[usize::from(index)].clone());
        }
        on.push(bytes(number, 71));
        back.push(bytes(number, 72));
    }
    let alone = |back| Way::Interface { interface: 0, back };
    extras.push(alone(false), &bytes(1, 90));
    extras.push(alone(true), &bytes(2, 91));
    on.push(bytes(1, 90));
    back.push(bytes(2, 91));
    let sent = port.tx_burst_with(&mut batch, !(1 << 9), &extras);
    assert_eq!(
        (sent.frames, sent.no_room),
        ((on.len() + back.len()) as u64, 0)
    );
    // Without frames of a batch as well; and what has no way out is counted.
    extras.clear();
    extras.push(
        Way::Interface {
            interface: 1,
            back: true,
        },
        &bytes(3, 92),
    );
    extras.push(
        Way::Interface {
            interface: 7,
            back: true,
        },
        &bytes(3, 92),
    );
    let way = Way::With {
        frame: 0,
        before: true,
        back: true,
    };
    extras.push(way, &bytes(3, 92));
    on.push(bytes(3, 92));
    let sent = port.tx_burst_with(&mut MbufBatch::default(), 0, &extras);
    assert_eq!((sent.frames, sent.no_room), (1, 2));
    assert_eq!((in_use(&a), in_use(&b)), (0, 0));
    drop((port, batch, a, b));
    assert_eq!(read_capture(&folder.path().join("out83.pcap")), on);
    assert_eq!(read_capture(&folder.path().join("out82.pcap")), back);
}
