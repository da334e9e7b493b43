//! Captures made for a test.

use mosaic::port::capture::PcapWriter;
use mosaic::port::{LinkType, Timestamp};
use mosaic::prelude::*;
use mosaic_engine::wire::TcpFlags;
use mosaic_sim::{Ends, Segment, frame};

/// From 192.0.2.1 to port 80 of 192.0.2.2.
pub(crate) fn ends(client_port: u16) -> Ends {
    let endpoint = |addr: &str, port| Endpoint {
        addr: addr.parse().unwrap(),
        port,
    };
    Ends([
        endpoint("192.0.2.1", client_port),
        endpoint("192.0.2.2", 80),
    ])
}

/// A segment of the client, whose stream begins at sequence number 1, or of the server.
pub(crate) fn segment(sender: Side, seq: u32, flags: TcpFlags, payload: &[u8]) -> Segment {
    Segment {
        sender,
        seq,
        ack: 0,
        flags,
        window: 1024,
        options: Vec::new(),
        payload: payload.to_vec(),
    }
}

/// The client's SYN, with sequence number 0.
pub(crate) fn syn() -> Segment {
    segment(Side::Client, 0, TcpFlags::SYN, &[])
}

/// Bytes of the client that begin at this offset of its stream.
pub(crate) fn data(offset: usize, bytes: &[u8]) -> Segment {
    let seq = 1 + u32::try_from(offset).unwrap();
    segment(Side::Client, seq, TcpFlags::ACK, bytes)
}

/// A capture of these segments, a millisecond apart.
pub(crate) fn pcap(segments: impl IntoIterator<Item = (Ends, Segment)>) -> Vec<u8> {
    let mut capture = PcapWriter::new(Vec::new(), LinkType::ETHERNET).unwrap();
    for ((ends, segment), millis) in segments.into_iter().zip(1..) {
        let time = Timestamp::from_nanos(millis * 1_000_000);
        capture.write(time, &frame(&ends, &segment, 0)).unwrap();
    }
    capture.finish().unwrap()
}

/// One connection, whose client's bytes come in segments of `segment_len` bytes, each pair of them in the wrong order.
pub(crate) fn connection(bytes: &[u8], segment_len: usize) -> Vec<u8> {
    let chunks = bytes.chunks(segment_len).zip(0..);
    let mut segments: Vec<_> = chunks
        .map(|(chunk, number)| data(number * segment_len, chunk))
        .collect();
    segments
        .chunks_exact_mut(2)
        .for_each(|pair| pair.swap(0, 1));
    segments.insert(0, syn());
    pcap(segments.into_iter().map(|segment| (ends(40_000), segment)))
}
