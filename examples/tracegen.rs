//! Writes a capture of synthetic TCP connections, interleaved at random: the same work for every engine to be timed.
//!
//! ```text
//! cargo run --release --example tracegen -- -o churn.pcap -c 100000 -n 400000 -q 64 -r 64
//! mosaic bench replay churn.pcap --actor read
//! ```
//!
//! Each connection opens, the client sends a request, the server a response (every second data segment is
//! acknowledged), and both close with FIN. With `-R` some data segments change places with the next one of their
//! connection, with `-X` some are sent twice. Checksums are right; a seed gives the same capture every time.
//! At the end one line says how many packets, bytes on the wire, connections and distinct payload bytes were written.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::Parser;

#[derive(Parser)]
#[command(about = "Writes a capture of synthetic TCP connections")]
struct Args {
    /// Capture to write (pcap, Ethernet).
    #[arg(short)]
    out: PathBuf,
    /// Connections open at the same time.
    #[arg(short, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    concurrent: u32,
    /// Connections in all.
    #[arg(short = 'n', default_value_t = 100_000)]
    connections: u32,
    /// Bytes of each request.
    #[arg(short = 'q', default_value_t = 200)]
    request: u32,
    /// Bytes of each response.
    #[arg(short, default_value_t = 10_000)]
    response: u32,
    /// Payload bytes of a full segment.
    #[arg(short, default_value_t = 1460, value_parser = clap::value_parser!(u16).range(1..=8900))]
    mss: u16,
    /// Percentage of data segments sent after their successor.
    #[arg(short = 'R', default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    reorder: u8,
    /// Percentage of data segments sent twice.
    #[arg(short = 'X', default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    rexmit: u8,
    /// Seed of everything random.
    #[arg(short, default_value_t = 1)]
    seed: u64,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    let mut random = Random(args.seed);
    let mut capture = Capture::create(&args, &mut random)?;
    let mut waiting = 0..args.connections;
    let mut open: Vec<Connection> = waiting
        .by_ref()
        .take(args.concurrent as usize)
        .map(|id| Connection::new(id, &mut random))
        .collect();

    while !open.is_empty() {
        let turn = random.below(open.len());
        if open[turn].advance(&args, &mut random, &mut capture)? {
            continue;
        }
        match waiting.next() {
            Some(id) => open[turn] = Connection::new(id, &mut random),
            None => drop(open.swap_remove(turn)),
        }
    }
    let (packets, bytes) = capture.finish()?;
    let payload =
        u64::from(args.connections) * (u64::from(args.request) + u64::from(args.response));
    writeln!(
        io::stdout(),
        "packets {packets} frame-bytes {bytes} connections {} payload-bytes {payload}",
        args.connections
    )
}

/// One end of a connection.
struct End {
    addr: u32,
    port: u16,
    /// Next sequence number.
    seq: u32,
    /// Payload bytes that have a sequence number.
    sent: u32,
}

#[derive(Clone, Copy)]
enum Step {
    Syn,
    SynAck,
    HandshakeAck,
    Data { sender: usize },
    Fin { sender: usize },
    LastAck,
}

const CLIENT: usize = 0;
const SERVER: usize = 1;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

struct Connection {
    ends: [End; 2],
    step: Step,
    /// A data segment that waits for its successor to go first.
    held: Option<Segment>,
    unacknowledged: u8,
}

#[derive(Clone, Copy)]
struct Segment {
    sender: usize,
    flags: u8,
    seq: u32,
    len: u16,
}

impl Connection {
    fn new(id: u32, random: &mut Random) -> Self {
        let [a, b, c, d, e, f, g, h] = random.next().to_be_bytes();
        let client_port = u16::from_be_bytes([a, b]) | 1024;
        let server_host = u32::from(u16::from_be_bytes([c, d])) % 4096;
        Self {
            ends: [
                End {
                    addr: 0x0a00_0001 + id % 0x00ff_fffe,
                    port: client_port,
                    seq: u32::from_be_bytes([e, f, g, h]),
                    sent: 0,
                },
                End {
                    addr: 0xc0a8_0001 + server_host,
                    port: 80,
                    seq: u32::from_be_bytes([h, e, g, f]),
                    sent: 0,
                },
            ],
            step: Step::Syn,
            held: None,
            unacknowledged: 0,
        }
    }

    /// Sends what comes next; false after the connection's last packet.
    fn advance(
        &mut self,
        args: &Args,
        random: &mut Random,
        capture: &mut Capture,
    ) -> io::Result<bool> {
        self.step = match self.step {
            Step::Syn => self.control(capture, CLIENT, SYN, Step::SynAck)?,
            Step::SynAck => self.control(capture, SERVER, SYN | ACK, Step::HandshakeAck)?,
            Step::HandshakeAck => {
                self.control(capture, CLIENT, ACK, Step::Data { sender: CLIENT })?
            }
            Step::Data { sender } => self.data(sender, args, random, capture)?,
            Step::Fin { sender: SERVER } => {
                self.control(capture, SERVER, FIN | ACK, Step::Fin { sender: CLIENT })?
            }
            Step::Fin { sender } => self.control(capture, sender, FIN | ACK, Step::LastAck)?,
            Step::LastAck => {
                self.control(capture, SERVER, ACK, Step::LastAck)?;
                return Ok(false);
            }
        };
        Ok(true)
    }

    /// Sends a segment without payload. SYN and FIN take a sequence number.
    fn control(
        &mut self,
        capture: &mut Capture,
        sender: usize,
        flags: u8,
        next: Step,
    ) -> io::Result<Step> {
        let seq = self.ends[sender].seq;
        capture.write(
            self,
            Segment {
                sender,
                flags,
                seq,
                len: 0,
            },
        )?;
        if flags & (SYN | FIN) != 0 {
            self.ends[sender].seq = seq.wrapping_add(1);
        }
        Ok(next)
    }

    /// Sends, or holds back, the next data segment of `sender`.
    fn data(
        &mut self,
        sender: usize,
        args: &Args,
        random: &mut Random,
        capture: &mut Capture,
    ) -> io::Result<Step> {
        let (total, next) = if sender == CLIENT {
            (args.request, Step::Data { sender: SERVER })
        } else {
            (args.response, Step::Fin { sender: SERVER })
        };
        let end = &mut self.ends[sender];
        let left = total - end.sent;
        if left == 0 {
            return Ok(next);
        }
        let len = u16::try_from(left).unwrap_or(args.mss).min(args.mss);
        let segment = Segment {
            sender,
            flags: PSH | ACK,
            seq: end.seq,
            len,
        };
        end.seq = end.seq.wrapping_add(u32::from(len));
        end.sent += u32::from(len);

        let is_last = u32::from(len) == left;
        if self.held.is_none() && !is_last && random.percent(args.reorder) {
            self.held = Some(segment);
            return Ok(self.step);
        }
        capture.write(self, segment)?;
        if random.percent(args.rexmit) {
            capture.write(self, segment)?;
        }
        if let Some(late) = self.held.take() {
            capture.write(self, late)?;
        }
        self.unacknowledged += 1;
        if self.unacknowledged == 2 {
            self.unacknowledged = 0;
            let receiver = 1 - sender;
            capture.write(
                self,
                Segment {
                    sender: receiver,
                    flags: ACK,
                    seq: self.ends[receiver].seq,
                    len: 0,
                },
            )?;
        }
        Ok(self.step)
    }
}

/// Maximum segment size 1460, window scale 7, SACK permitted.
const SYN_OPTIONS: [u8; 12] = [2, 4, 0x05, 0xb4, 1, 3, 3, 7, 1, 1, 4, 2];
const ETHERNET_LEN: usize = 14;
const IPV4_LEN: usize = 20;
/// Payload bytes are taken from a pool of this size (a power of two), so that neighbours in a stream differ.
const POOL_LEN: u32 = 1 << 19;

/// The capture file being written: pcap with microsecond timestamps, one packet per microsecond.
struct Capture {
    file: BufWriter<File>,
    pool: Vec<u8>,
    frame: Vec<u8>,
    packets: u64,
    bytes: u64,
}

impl Capture {
    fn create(args: &Args, random: &mut Random) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(4 << 20, File::create(&args.out)?);
        for (value, len) in [
            (0xa1b2_c3d4_u32, 4),
            (2, 2),
            (4, 2),
            (0, 4),
            (0, 4),
            (65_535, 4),
            (1, 4),
        ] {
            file.write_all(&value.to_le_bytes()[..len])?;
        }
        let pool = (0..POOL_LEN as usize + usize::from(u16::MAX))
            .map(|_| b' ' + random.byte_below(95))
            .collect();
        Ok(Self {
            file,
            pool,
            frame: Vec::new(),
            packets: 0,
            bytes: 0,
        })
    }

    fn write(&mut self, connection: &Connection, segment: Segment) -> io::Result<()> {
        self.build_frame(connection, segment);
        let micros = 1_700_000_000_000_000 + self.packets;
        let len = u32::try_from(self.frame.len()).map_err(io::Error::other)?;
        let second = u32::try_from(micros / 1_000_000).map_err(io::Error::other)?;
        let fraction = u32::try_from(micros % 1_000_000).map_err(io::Error::other)?;
        for value in [second, fraction, len, len] {
            self.file.write_all(&value.to_le_bytes())?;
        }
        self.file.write_all(&self.frame)?;
        self.packets += 1;
        self.bytes += u64::from(len);
        Ok(())
    }

    fn build_frame(&mut self, connection: &Connection, segment: Segment) {
        let (from, to) = (
            &connection.ends[segment.sender],
            &connection.ends[1 - segment.sender],
        );
        let options: &[u8] = if segment.flags & SYN != 0 {
            &SYN_OPTIONS
        } else {
            &[]
        };
        let header_words = if options.is_empty() { 5_u8 } else { 8 };
        let tcp_len = u16::from(header_words) * 4 + segment.len;
        let ack = if segment.flags & ACK != 0 { to.seq } else { 0 };

        let frame = &mut self.frame;
        frame.clear();
        frame.extend([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00]);

        frame.extend([0x45, 0]);
        frame.extend((20 + tcp_len).to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        frame.extend(from.addr.to_be_bytes());
        frame.extend(to.addr.to_be_bytes());
        let sum = checksum(&frame[ETHERNET_LEN..], 0);
        frame[ETHERNET_LEN + 10..ETHERNET_LEN + 12].copy_from_slice(&sum);

        frame.extend(from.port.to_be_bytes());
        frame.extend(to.port.to_be_bytes());
        frame.extend(segment.seq.to_be_bytes());
        frame.extend(ack.to_be_bytes());
        frame.extend([header_words << 4, segment.flags, 0xff, 0xff, 0, 0, 0, 0]);
        frame.extend(options);
        let start = (segment
            .seq
            .wrapping_add(from.addr.wrapping_mul(0x9e37_79b1))
            % POOL_LEN) as usize;
        frame.extend(&self.pool[start..start + usize::from(segment.len)]);
        // The pseudo-header (RFC 9293, section 3.1): both addresses, which stand right before the segment, protocol, length.
        let sum = checksum(&frame[ETHERNET_LEN + 12..], 6 + u32::from(tcp_len));
        let at = ETHERNET_LEN + IPV4_LEN + 16;
        frame[at..at + 2].copy_from_slice(&sum);
    }

    fn finish(mut self) -> io::Result<(u64, u64)> {
        self.file.flush()?;
        Ok((self.packets, self.bytes))
    }
}

/// The Internet checksum (RFC 1071) of `bytes` added to `initial`.
fn checksum(bytes: &[u8], initial: u32) -> [u8; 2] {
    let words = bytes
        .chunks(2)
        .map(|w| u32::from(w[0]) << 8 | w.get(1).copied().map_or(0, u32::from));
    let mut sum = initial + words.sum::<u32>();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [.., high, low] = (!sum).to_be_bytes();
    [high, low]
}

/// `SplitMix64` (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Uniform enough for traffic: 0 to `bound - 1`.
    fn below(&mut self, bound: usize) -> usize {
        // The high half of the product lies below `bound`, so it fits.
        let product = u128::from(self.next()) * (bound as u128);
        usize::try_from(product >> 64).unwrap_or(0)
    }

    fn byte_below(&mut self, bound: u8) -> u8 {
        let [byte, ..] = self.next().to_be_bytes();
        byte % bound
    }

    fn percent(&mut self, percent: u8) -> bool {
        percent > 0 && self.byte_below(100) < percent
    }
}
