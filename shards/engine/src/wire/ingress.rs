//! The entrance: frames in, packets out.

use alloc::sync::Arc;
use alloc::vec::Vec;
use mosaic_port::{BURST_MAX, Batch, Frame, LinkType, Timestamp};

use super::fragments::Fragments;
use super::packet::{Buffer, Packet};
use super::reason::Reason;
use super::transport::{self, Origin};
use super::view::View;
use super::walk::{Found, Layers, Next, Walk};
use super::{Encapsulation, domain, fast};
use crate::counters::{Drops, IngressCounters};
use crate::event::Filter;
use crate::prefetch::prefetch;

const CACHE_LINE: usize = 64;

/// Whether checksums of IPv4, TCP and UDP are checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Checksums {
    /// A packet with a wrong checksum is dropped and counted.
    #[default]
    Verify,
    /// Taken as they are: captures from hosts that offload checksums.
    Ignore,
}

/// Which identifiers join the flow key, so that equal addresses behind different ones stay apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeyDomain {
    /// VLAN identifiers.
    pub vlan: bool,
    /// Tunnel identifiers that are the same in both directions: VXLAN, Geneve, GRE key, ERSPAN session, PPPoE session.
    pub tunnel: bool,
}

/// How frames become packets.
#[derive(Clone, Debug)]
pub struct WireConfig {
    /// Checksum policy.
    pub checksums: Checksums,
    /// What joins the key.
    pub domain: KeyDomain,
    /// Evaluated on every frame before anything else; `None` lets all pass.
    pub packet_filter: Option<Arc<PacketFilter>>,
    /// The most IP fragments held at any time.
    pub fragments_max: usize,
    /// How long an incomplete datagram is kept, in nanoseconds (RFC 791 and RFC 8200 say 60 s; systems use 30 s).
    pub fragment_timeout_ns: u64,
}

impl Default for WireConfig {
    fn default() -> Self {
        Self {
            checksums: Checksums::Verify,
            domain: KeyDomain::default(),
            packet_filter: None,
            fragments_max: crate::limits::FRAGMENTS,
            fragment_timeout_ns: crate::limits::FRAGMENT_TIMEOUT_NS,
        }
    }
}

/// Which frames are looked at, by what they begin with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PacketFilter {
    /// One program for each link type. Frames of other types are dropped.
    pub programs: Vec<(LinkType, Filter)>,
}

impl PacketFilter {
    fn passes(&self, frame: &Frame<'_>) -> bool {
        let program = self.programs.iter().find(|(link, _)| *link == frame.link);
        program.is_some_and(|(_, filter)| filter.matches(frame.bytes, frame.wire_len))
    }
}

/// What became of a frame that was not dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Taken {
    Packet,
    Absorbed,
}

/// The packets of one burst. Reused from burst to burst.
#[derive(Debug, Default)]
pub struct Parsed {
    /// In the order of their frames.
    pub packets: Vec<Packet>,
    /// Distinct encapsulations of the burst; index 0 is the empty one.
    pub encapsulations: Vec<Encapsulation>,
    /// Datagrams put together from fragments; each begins with its (first fragment's) IP header.
    pub datagrams: Vec<Vec<u8>>,
}

/// Turns frames into packets; keeps the IP fragments of one source.
#[derive(Debug)]
pub struct Ingress {
    config: WireConfig,
    clock: Timestamp,
    fragments: Fragments,
    /// Layers of the frame that is being parsed.
    layers: Layers,
    counters: IngressCounters,
    drops: Drops,
}

impl Ingress {
    /// Nothing received yet.
    pub fn new(config: WireConfig) -> Self {
        let fragments = Fragments::new(config.fragments_max, config.fragment_timeout_ns);
        Self {
            config,
            clock: Timestamp::ZERO,
            fragments,
            layers: Layers::new(),
            counters: IngressCounters::default(),
            drops: Drops::default(),
        }
    }

    /// Parses every frame of `batch` into `parsed`, whose earlier content is replaced.
    ///
    /// Each frame is counted once: as one of `parsed.packets`, as an absorbed fragment, or under the reason for which it
    /// was dropped.
    pub fn parse<B: Batch>(&mut self, batch: &B, parsed: &mut Parsed) {
        self.reset(parsed);
        let frames = batch.len().min(BURST_MAX);
        parsed.packets.reserve(frames);
        for index in 0..frames {
            let start = batch.frame(index).bytes.as_ptr();
            prefetch(start);
            prefetch(start.wrapping_add(CACHE_LINE));
        }
        for (number, index) in (0_u8..).zip(0..frames) {
            let frame = batch.frame(index);
            self.counters.received_frames += 1;
            self.counters.received_bytes += u64::from(frame.wire_len);
            self.clock = self.clock.max(frame.timestamp);
            match self.parse_frame(&frame, number, parsed) {
                Ok(Taken::Packet) => self.counters.packets += 1,
                Ok(Taken::Absorbed) => self.counters.fragments_absorbed += 1,
                Err(reason) => reason.count(&mut self.drops),
            }
        }
    }

    /// What was done so far.
    pub fn counters(&self) -> &IngressCounters {
        &self.counters
    }

    /// What was dropped so far.
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    fn reset(&mut self, parsed: &mut Parsed) {
        parsed.packets.clear();
        parsed.encapsulations.truncate(1);
        if parsed.encapsulations.is_empty() {
            parsed.encapsulations.push(Encapsulation::default());
        }
        for buffer in parsed.datagrams.drain(..) {
            self.fragments.recycle(buffer);
        }
    }

    fn parse_frame(&mut self, frame: &Frame<'_>, number: u8, parsed: &mut Parsed) -> Result<Taken, Reason> {
        if let Some(filter) = &self.config.packet_filter
            && !filter.passes(frame)
        {
            return Err(Reason::PacketFilter);
        }
        let origin = Origin {
            buffer: Buffer::Frame(number),
            timestamp: frame.timestamp,
            clock: self.clock,
            wire_len: frame.wire_len,
        };
        let verify = self.config.checksums == Checksums::Verify;
        if frame.link == LinkType::ETHERNET && fast::parse(frame.bytes, &origin, verify, &mut parsed.packets) {
            return Ok(Taken::Packet);
        }
        let mut datagram = None;
        self.layers.clear();
        let taken = self.walk(frame, origin, &mut datagram, parsed);
        if let Some(buffer) = datagram {
            match taken {
                Ok(Taken::Packet) => parsed.datagrams.push(buffer),
                Ok(Taken::Absorbed) | Err(_) => self.fragments.recycle(buffer),
            }
        }
        taken
    }

    /// Walks through `frame` and, where it completes a datagram, through that, which is left in `datagram`.
    fn walk(
        &mut self,
        frame: &Frame<'_>,
        mut origin: Origin,
        datagram: &mut Option<Vec<u8>>,
        parsed: &mut Parsed,
    ) -> Result<Taken, Reason> {
        let verify = self.config.checksums == Checksums::Verify;
        loop {
            let (view, next) = match datagram {
                None => (View::new(frame.bytes, frame.wire_len as usize), Next::Link(frame.link)),
                Some(bytes) => (View::new(bytes, bytes.len()), Next::Ip),
            };
            match Walk::new(view, &mut self.layers, verify).run(next)? {
                Found::Packet(ip) => {
                    self.layers.truncate(ip.layers);
                    let domain = domain::of_key(&self.layers, self.config.domain);
                    let encapsulation = intern(&mut parsed.encapsulations, &self.layers);
                    let packet = transport::packet(&ip, &origin, encapsulation, domain, verify)?;
                    parsed.packets.push(packet);
                    return Ok(Taken::Packet);
                }
                Found::Fragment(fragment) => {
                    let domain = domain::of_fragment(&self.layers);
                    let whole = self.fragments.add(&fragment, domain, self.clock, &mut self.counters)?;
                    let Some(whole) = whole else { return Ok(Taken::Absorbed) };
                    if let Some(outer) = datagram.replace(whole) {
                        self.fragments.recycle(outer);
                    }
                    origin.buffer = Buffer::Datagram(u8::try_from(parsed.datagrams.len()).unwrap_or(u8::MAX));
                }
            }
        }
    }
}

/// Index of `layers` in `encapsulations`, where they are added if they are new.
fn intern(encapsulations: &mut Vec<Encapsulation>, layers: &Layers) -> u8 {
    if layers.is_empty() {
        return 0;
    }
    // Neighbouring frames mostly come through the same layers.
    let known = encapsulations.iter().rposition(|known| known.layers == *layers);
    let index = known.unwrap_or_else(|| {
        encapsulations.push(Encapsulation { layers: layers.clone() });
        encapsulations.len() - 1
    });
    u8::try_from(index).unwrap_or(0)
}

const _: () = assert!(BURST_MAX < 255, "encapsulations of a burst are numbered by a u8, with one for none");
