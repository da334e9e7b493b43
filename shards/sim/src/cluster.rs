//! Shards behind one entrance, called in turn.

use std::sync::Arc;

use mosaic_engine::actor::Host;
use mosaic_engine::flow::rss::Owners;
use mosaic_engine::shard::{Shard, ShardConfig};
use mosaic_engine::wire::{Ingress, Packet, Parsed, WireConfig};
use mosaic_port::{BURST_MAX, Batch, Frame, LinkType, Timestamp};

use crate::world::RecordedFrame;

/// Recorded frames as a batch.
#[derive(Clone, Debug, Default)]
pub struct Burst {
    frames: Vec<(Timestamp, LinkType, Arc<[u8]>)>,
}

impl Burst {
    /// Adds a frame.
    ///
    /// # Panics
    /// Where the burst is full.
    pub fn push(&mut self, timestamp: Timestamp, link: LinkType, bytes: &[u8]) {
        assert!(
            self.frames.len() < BURST_MAX,
            "a burst has at most {BURST_MAX} frames"
        );
        self.frames.push((timestamp, link, bytes.into()));
    }
}

impl Batch for Burst {
    fn len(&self) -> usize {
        self.frames.len()
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        let (timestamp, link, bytes) = &self.frames[index];
        Frame {
            bytes,
            wire_len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            timestamp: *timestamp,
            link: *link,
            interface: 0,
        }
    }

    fn clear(&mut self) {
        self.frames.clear();
    }

    fn hand_over(&mut self, picks: &[u8], to: &mut Self) {
        to.frames.extend(
            picks
                .iter()
                .map(|pick| self.frames[usize::from(*pick)].clone()),
        );
    }
}

/// *N* shards, one entrance; everything happens on the caller's thread, in the order of the calls.
#[derive(Debug)]
pub struct Cluster {
    ingress: Ingress,
    owners: Owners,
    parsed: Parsed,
    clock: Timestamp,
    /// The shards, by number.
    pub shards: Vec<Shard>,
}

impl Cluster {
    /// `shards` shards, all configured alike but for their number.
    ///
    /// # Panics
    /// Where `shards` is 0.
    pub fn new(shards: u16, wire: WireConfig, config: &ShardConfig) -> Self {
        let shard = |shard| {
            Shard::new(ShardConfig {
                shard,
                owners: Owners::new(shards),
                ..config.clone()
            })
        };
        Self {
            ingress: Ingress::new(wire),
            owners: Owners::new(shards),
            parsed: Parsed::default(),
            clock: Timestamp::ZERO,
            shards: (0..shards).map(shard).collect(),
        }
    }

    /// The entrance.
    pub fn ingress(&self) -> &Ingress {
        &self.ingress
    }

    /// Feeds one burst: each shard gets the packets it owns; `hosts` are by shard.
    ///
    /// # Panics
    /// Where there are fewer hosts than shards.
    pub fn handle_burst<H: Host>(&mut self, burst: &Burst, hosts: &mut [H]) {
        self.ingress.parse(burst, &mut self.parsed);
        if let Some(last) = self.parsed.packets.last() {
            self.clock = self.clock.max(last.clock);
        }
        for (number, (shard, host)) in (0_u16..).zip(self.shards.iter_mut().zip(hosts)) {
            let packets: Vec<Packet> = self
                .parsed
                .packets
                .iter()
                .filter(|packet| self.owners.owner(packet.rss) == number)
                .copied()
                .collect();
            let bytes: Vec<&[u8]> = packets
                .iter()
                .map(|packet| self.parsed.bytes_of(packet, burst))
                .collect();
            if packets.is_empty() {
                // Time passes for those who got nothing, too.
                shard.handle_clock(self.clock, host);
            } else {
                shard.handle_burst(&packets, &bytes, &self.parsed.encapsulations, host);
            }
        }
    }

    /// Feeds `frames` in bursts of the sizes that `burst_len` gives (1 to 64).
    pub fn handle_frames<H: Host>(
        &mut self,
        frames: &[RecordedFrame],
        mut burst_len: impl FnMut() -> usize,
        hosts: &mut [H],
    ) {
        let mut rest = frames;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(burst_len().clamp(1, BURST_MAX).min(rest.len()));
            let mut burst = Burst::default();
            for frame in now {
                burst.push(frame.timestamp, LinkType::ETHERNET, &frame.bytes);
            }
            self.handle_burst(&burst, hosts);
            rest = later;
        }
    }

    /// Ends every flow, at the same time everywhere.
    pub fn finish<H: Host>(&mut self, hosts: &mut [H]) {
        for (shard, host) in self.shards.iter_mut().zip(hosts) {
            shard.handle_clock(self.clock, host);
            shard.finish(host);
        }
    }
}
