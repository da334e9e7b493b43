//! The entrance: frames in, packets out.

use alloc::sync::Arc;
use alloc::vec::Vec;
use arrayvec::ArrayVec;
use mosaic_port::{BURST_MAX, Batch, Frame, LinkType, Timestamp, prefetch};

use super::fragments::{Fragments, Hold};
use super::packet::{Buffer, Packet};
use super::reason::Reason;
use super::transport::{self, Checks, Origin};
use super::view::View;
use super::waited::Waited;
use super::walk::{Layers, Next, Walk};
use super::{Encapsulation, domain, fast, is_plain};
use crate::counters::{Drops, IngressCounters};
use crate::event::Filter;

const CACHE_LINE: usize = 64;
/// How many frames the fetching of heads runs ahead of their parsing.
const FETCH_AHEAD: usize = 16;

/// Whether checksums of IPv4, TCP and UDP are checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Checksums {
    /// A packet with a wrong checksum is dropped and counted.
    #[default]
    Verify,
    /// Taken as they are: captures from hosts that offload checksums.
    Ignore,
}

/// What is done with the frames of IP fragments on their way through a wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FragmentPolicy {
    /// They pass as they come, but for the one that completes a datagram: the verdict about that one decides about the datagram,
    /// which cannot be changed any more.
    #[default]
    Pass,
    /// They are held until their datagram is complete ([`Parsed::waited`]), and leave with it, or not; changes of the datagram
    /// are made in all of them ([`Buffer::Framed`]).
    Hold,
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
    /// Tells checksums that were left to a network card to finish from wrong ones, as they come from other programs on this
    /// machine through virtual devices; see [`Packet::unfinished`]. Off for captures, where they count as wrong.
    pub unfinished_checksums: bool,
    /// Gives ICMP errors to the shard that owns the flow of the packet they quote, where they can be translated with it; not
    /// to the owner of their own addresses. Off for captures, whose records do not depend on the number of shards: with it,
    /// errors between two hosts are a flow on each shard that gets some of them.
    pub errors_follow: bool,
    /// What is done with frames of fragments. To hold them where nothing is sent on is of no use.
    pub fragments: FragmentPolicy,
    /// How long an incomplete datagram is kept, in nanoseconds (RFC 791 and RFC 8200 say 60 s; systems use 30 s).
    pub fragment_timeout_ns: u64,
}

impl Default for WireConfig {
    fn default() -> Self {
        Self {
            checksums: Checksums::Verify,
            domain: KeyDomain::default(),
            packet_filter: None,
            unfinished_checksums: false,
            errors_follow: false,
            fragments: FragmentPolicy::Pass,
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
        self.judge(frame) == Some(true)
    }

    /// Whether a frame passes; `None` where there is no program for its link type.
    #[inline]
    pub fn judge(&self, frame: &Frame<'_>) -> Option<bool> {
        let (_, filter) = self.programs.iter().find(|(link, _)| *link == frame.link)?;
        Some(filter.matches(frame.bytes, frame.wire_len))
    }
}

/// What became of a frame that was not dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Taken {
    Packet,
    Absorbed,
    /// The same, and the frame waits for others.
    Held,
}

/// The packets of one burst. Reused from burst to burst.
#[derive(Debug, Default)]
pub struct Parsed {
    /// In the order of their frames.
    pub packets: Vec<Packet>,
    /// Distinct encapsulations of the burst; index 0 is the empty one.
    pub encapsulations: Vec<Encapsulation>,
    /// Datagrams put together from fragments; each begins with its (first fragment's) IP header, or the link layer before that
    /// ([`Buffer::Framed`]).
    pub datagrams: Vec<Vec<u8>>,
    /// Frames that yielded no packet, in order.
    pub refused: ArrayVec<Refused, BURST_MAX>,
    /// Frames with fragments that wait for others: frame `i` has bit `i`.
    pub absorbed: u64,
    /// Those of them that are not to be sent on, since they were kept for later.
    pub held: u64,
    /// The frames that were kept and can go now, with the frame of this burst that completed their datagram.
    pub waited: Waited,
}

impl Parsed {
    /// The buffer that the offsets in `packet`, one of `packets`, count in.
    #[inline]
    pub fn bytes_of<'a, B: Batch>(&'a self, packet: &Packet, batch: &'a B) -> &'a [u8] {
        match packet.buffer.datagram() {
            None => batch.frame(usize::from(packet.buffer.frame())).bytes,
            Some(datagram) => &self.datagrams[usize::from(datagram)],
        }
    }
}

/// A frame that yielded no packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Index in the batch.
    pub frame: u8,
    /// Why: place in [`Drops::NAMES`].
    pub reason: u8,
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
        let checked = batch.checksums_hold();
        let fetch_head = |index: usize| {
            let start = batch.frame(index).bytes.as_ptr();
            prefetch(start);
            prefetch(start.wrapping_add(CACHE_LINE));
        };
        (0..frames.min(FETCH_AHEAD)).for_each(fetch_head);
        for (number, index) in (0_u8..).zip(0..frames) {
            if index + FETCH_AHEAD < frames {
                fetch_head(index + FETCH_AHEAD);
            }
            let frame = batch.frame(index);
            self.counters.received_frames += 1;
            self.counters.received_bytes += u64::from(frame.wire_len);
            self.clock = self.clock.max(frame.timestamp);
            match self.parse_frame(&frame, number, checked, parsed) {
                Ok(Taken::Packet) => self.counters.packets += 1,
                Ok(taken @ (Taken::Absorbed | Taken::Held)) => {
                    self.counters.fragments_absorbed += 1;
                    parsed.absorbed |= 1 << number;
                    parsed.held |= u64::from(taken == Taken::Held) << number;
                }
                Err(reason) => {
                    reason.count(&mut self.drops);
                    parsed.refused.push(Refused {
                        frame: number,
                        reason: reason.number(),
                    });
                }
            }
        }
        self.fragments.expire(self.clock, &mut self.counters);
    }

    /// Gives up incomplete datagrams whose time is over at `now`. To be called where no frames come.
    pub fn run_clock(&mut self, now: Timestamp) {
        self.clock = self.clock.max(now);
        self.fragments.expire(self.clock, &mut self.counters);
    }

    /// Gives up all incomplete datagrams.
    pub fn give_up_fragments(&mut self) {
        self.fragments.give_up(&mut self.counters);
    }

    /// Frames that wait for the rest of their datagram.
    pub fn held_frames(&self) -> u64 {
        self.fragments.waiting() as u64
    }

    /// Frames that have waited for nothing: of datagrams that were given up, and fragments that said nothing new.
    pub fn held_for_nothing(&self) -> u64 {
        self.fragments.given_up()
    }

    /// What was done so far.
    pub fn counters(&self) -> &IngressCounters {
        &self.counters
    }

    /// What was dropped so far.
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    fn checks(&self) -> Checks {
        Checks {
            verify: self.config.checksums == Checksums::Verify,
            unfinished: self.config.unfinished_checksums,
            errors_follow: self.config.errors_follow,
        }
    }

    fn reset(&mut self, parsed: &mut Parsed) {
        parsed.packets.clear();
        parsed.refused.clear();
        (parsed.absorbed, parsed.held) = (0, 0);
        parsed.waited.clear();
        parsed.encapsulations.truncate(1);
        if parsed.encapsulations.is_empty() {
            parsed.encapsulations.push(Encapsulation::default());
        }
        for buffer in parsed.datagrams.drain(..) {
            self.fragments.recycle(buffer);
        }
    }

    fn parse_frame(
        &mut self,
        frame: &Frame<'_>,
        number: u8,
        checked: bool,
        parsed: &mut Parsed,
    ) -> Result<Taken, Reason> {
        if let Some(filter) = &self.config.packet_filter
            && !filter.passes(frame)
        {
            return Err(Reason::PacketFilter);
        }
        let origin = Origin {
            buffer: Buffer::Frame(number),
            link: frame.link,
            timestamp: frame.timestamp,
            clock: self.clock,
            wire_len: frame.wire_len,
        };
        // What the device has checked are the checksums of this shape; within tunnels it has not looked.
        let mut checks = self.checks();
        checks.verify &= !checked;
        if frame.link == LinkType::ETHERNET
            && fast::parse(frame.bytes, &origin, checks, &mut parsed.packets)
        {
            return Ok(Taken::Packet);
        }
        let mut datagram = None;
        self.layers.clear();
        let taken = self.walk(frame, origin, &mut datagram, parsed);
        if let Some(buffer) = datagram {
            match taken {
                Ok(Taken::Packet) => parsed.datagrams.push(buffer),
                Ok(Taken::Absorbed | Taken::Held) | Err(_) => self.fragments.recycle(buffer),
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
        let checks = self.checks();
        let number = origin.buffer.frame();
        loop {
            // A fragment in a datagram that came in fragments itself does not wait.
            let holds = self.config.fragments == FragmentPolicy::Hold && datagram.is_none();
            let (view, next) = match datagram {
                None => (
                    View::new(frame.bytes, frame.wire_len as usize),
                    Next::Link(frame.link),
                ),
                Some(bytes) => {
                    let next = match origin.buffer {
                        Buffer::Framed { .. } => Next::Link(frame.link),
                        _ => Next::Ip,
                    };
                    (View::new(bytes, bytes.len()), next)
                }
            };
            let mut walk = Walk::new(view, &mut self.layers, checks.verify);
            walk.run(next)?;
            let Some(fragment) = walk.fragment else {
                let ip = walk.ip.ok_or(Reason::NotIp)?;
                self.layers.truncate(ip.layers);
                let domain = domain::of_key(&self.layers, self.config.domain);
                let encapsulation = intern(&mut parsed.encapsulations, &self.layers);
                let packet = transport::packet(&ip, &origin, encapsulation, domain, checks)?;
                parsed.packets.push(packet);
                return Ok(Taken::Packet);
            };
            let head = frame.bytes.get(..fragment.ip_at).unwrap_or_default();
            let is_framed = holds && is_plain(frame.link, head);
            let hold = holds.then_some(Hold {
                frame: frame.bytes,
                number,
                head: if is_framed { head } else { &[] },
                waited: &mut parsed.waited,
            });
            let around = (domain::of_fragment(&self.layers), self.clock);
            let counters = &mut self.counters;
            let Some(whole) = self.fragments.add(&fragment, around, hold, counters)? else {
                return Ok(if holds { Taken::Held } else { Taken::Absorbed });
            };
            if let Some(outer) = datagram.replace(whole) {
                self.fragments.recycle(outer);
            }
            let index = u8::try_from(parsed.datagrams.len()).unwrap_or(u8::MAX);
            origin.buffer = if is_framed {
                // It goes through the same tags once more.
                self.layers.clear();
                Buffer::Framed {
                    datagram: index,
                    frame: number,
                }
            } else {
                Buffer::Datagram {
                    datagram: index,
                    frame: number,
                }
            };
        }
    }
}

/// Index of `layers` in `encapsulations`, where they are added if they are new.
fn intern(encapsulations: &mut Vec<Encapsulation>, layers: &Layers) -> u8 {
    if layers.is_empty() {
        return 0;
    }
    // Neighbouring frames mostly come through the same layers.
    let known = encapsulations
        .iter()
        .rposition(|known| known.layers == *layers);
    let index = known.unwrap_or_else(|| {
        encapsulations.push(Encapsulation {
            layers: layers.clone(),
        });
        encapsulations.len() - 1
    });
    u8::try_from(index).unwrap_or(0)
}

const _: () = assert!(
    BURST_MAX < 255,
    "encapsulations of a burst are numbered by a u8, with one for none"
);

#[cfg(test)]
mod tests;
