//! Ports: the queues of one shard.

use std::io;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;

use mosaic_port::{Batch, Extras, Port, PortError, PortFactory, Received, Sent, Way};

use crate::batch::{BURST_MAX_U16, MbufBatch, QueueId};
use crate::device::Claim;
use crate::pool::Pool;
use crate::thread::Registration;
use crate::train::Train;
use crate::{Device, TxChecksums};

/// How often a device that takes nothing is asked again before frames are dropped.
const PATIENCE: u32 = 3;

/// One device to watch, or two with traffic passing between them.
#[derive(Clone, Debug)]
pub struct Wire {
    /// The device watched, or the wire's one end.
    pub a: Device,
    /// The other end: what comes in on one goes out of the other. `None`: a tap, which never sends.
    pub b: Option<Device>,
}

/// A factory for each shard that has queues in any of `wires`, by shard.
///
/// Shard `s` gets queue pair `s` of every device. A wire has as many shards as its device with the fewest queues has
/// queues, and at most `shards`; shards beyond get nothing of it, and `None` where no wire has anything for them. Where a
/// device has more queues than its wire has shards, those shards receive from the further ones as well, in turn, so that
/// nothing that the device puts there is lost.
///
/// A queue is handed out once, until its factory or port is dropped: a shard that would get one that is taken gets `None`.
/// So a device belongs into one wire.
pub fn factories(wires: &[Wire], shards: u16) -> Vec<Option<Box<DpdkFactory>>> {
    for wire in wires {
        if let Some(b) = &wire.b {
            wire.a.keep_pools_of(b);
            b.keep_pools_of(&wire.a);
        }
    }
    (0..shards)
        .map(|shard| factory(wires, shard, shards))
        .collect()
}

fn factory(wires: &[Wire], shard: u16, shards: u16) -> Option<Box<DpdkFactory>> {
    let mut factory = DpdkFactory {
        lanes: Vec::new(),
        claims: Vec::new(),
        devices: Vec::new(),
        burst_max: BURST_MAX_U16,
    };
    let mut interface = 0;
    for wire in wires {
        let ends: Vec<&Device> = std::iter::once(&wire.a).chain(&wire.b).collect();
        let queues = ends.iter().map(|device| device.queues()).min()?;
        let sharing = queues.min(shards);
        for (end, device) in ends.iter().enumerate() {
            let out = wire.b.is_some().then(|| ends[1 - end]);
            if shard < sharing {
                factory.add(device, out, interface, shard, (sharing, shards))?;
            }
            interface += 1;
        }
    }
    (!factory.lanes.is_empty()).then(|| Box::new(factory))
}

/// Opens the port of one shard, on the shard's thread.
#[derive(Debug)]
pub struct DpdkFactory {
    lanes: Vec<Lane>,
    claims: Vec<Claim>,
    devices: Vec<Device>,
    burst_max: u16,
}

/// A queue that is received from, and where its frames go.
#[derive(Clone, Copy, Debug)]
struct Lane {
    rx: QueueId,
    out: Option<Out>,
    /// What the device that they go to finishes.
    checksums: TxChecksums,
    /// Whether its device deals flows out as the shards own them.
    deals_flows: bool,
    /// Out of the device that it is received from.
    back: Out,
    /// Which of the port's pools has buffers for frames of its own.
    pool: usize,
}

/// A queue to send to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    pub(crate) tx: QueueId,
    /// Whether the device needs every frame in one segment.
    pub(crate) linear: bool,
}

impl DpdkFactory {
    /// Takes at most `frames` (1 to 64, the default) a burst.
    #[must_use]
    pub fn burst_max(mut self: Box<Self>, frames: u16) -> Box<Self> {
        self.burst_max = frames.clamp(1, BURST_MAX_U16);
        self
    }

    /// Adds the queues of `device` that shard `shard` of `sharing` among `shards` receives from. `None` where one is taken.
    fn add(
        &mut self,
        device: &Device,
        out: Option<&Device>,
        interface: u32,
        shard: u16,
        (sharing, shards): (u16, u16),
    ) -> Option<()> {
        // A queue for every shard, and no more.
        let all_share = sharing == shards && device.queues() == shards;
        for queue in (shard..device.queues()).step_by(sharing.into()) {
            self.claims.push(Claim::of(device, queue)?);
            let rx = QueueId {
                port: device.number(),
                queue,
                interface,
            };
            // Queue pair `shard` of the other device is claimed as well, for it is received from.
            let way = |device: &Device| Out {
                tx: QueueId {
                    port: device.number(),
                    queue: shard,
                    interface,
                },
                linear: !device.can_multi_segs(),
            };
            self.lanes.push(Lane {
                rx,
                out: out.map(way),
                checksums: out.map(Device::tx_checksums).unwrap_or_default(),
                deals_flows: all_share && device.deals_flows(),
                back: way(device),
                pool: self.devices.len(),
            });
        }
        self.devices.push(device.clone());
        Some(())
    }
}

impl PortFactory for DpdkFactory {
    type Port = DpdkPort;

    /// Registers the calling thread with DPDK.
    fn open(self: Box<Self>) -> Result<DpdkPort, PortError> {
        let registration = Registration::of_this_thread().map_err(|reason| PortError::Io {
            path: PathBuf::from(self.devices[0].name()),
            source: io::Error::other(format!("no DPDK thread number for this thread: {reason}")),
        })?;
        Ok(DpdkPort {
            is_inline: self.lanes.iter().any(|lane| lane.out.is_some()),
            pools: self
                .devices
                .iter()
                .map(|device| Arc::clone(device.pool()))
                .collect(),
            lanes: self.lanes.into(),
            next: 0,
            burst_max: self.burst_max,
            home: Arc::new(Home {
                _devices: self.devices,
            }),
            _claims: self.claims,
            _registration: registration,
            _stays: PhantomData,
        })
    }
}

/// What keeps the buffers of a port's batches alive wherever they are.
#[derive(Debug)]
pub(crate) struct Home {
    _devices: Vec<Device>,
}

/// The queues of one shard.
#[derive(Debug)]
pub struct DpdkPort {
    lanes: Box<[Lane]>,
    /// The lane to ask next.
    next: usize,
    burst_max: u16,
    is_inline: bool,
    /// One a device.
    pools: Box<[Arc<Pool>]>,
    home: Arc<Home>,
    _claims: Vec<Claim>,
    /// Dropped after everything that frees buffers.
    _registration: Registration,
    _stays: PhantomData<*const ()>,
}

impl DpdkPort {
    /// Sends a frame that goes with none of a batch.
    #[cold]
    fn send_alone(&self, interface: u32, back: bool, bytes: &[u8], sent: &mut Sent) {
        let lane = self
            .lanes
            .iter()
            .find(|lane| lane.rx.interface == interface && lane.out.is_some());
        let way = lane.and_then(|lane| Some((if back { lane.back } else { lane.out? }, lane.pool)));
        let Some((way, pool)) = way else {
            sent.no_room += 1;
            return;
        };
        let mut train = Train::new(way, mosaic_dpdk_sys::SPECIAL, PATIENCE);
        sent.no_room += u64::from(!train.add_new(&self.pools[pool], bytes));
        let alone = train.send();
        sent.frames += u64::from(alone.frames);
        sent.bytes += alone.bytes;
        sent.no_room += u64::from(alone.no_room);
    }
}

impl Port for DpdkPort {
    type Batch = MbufBatch;

    /// Asks the queues in turn until one has something. Never ends and never fails.
    #[inline]
    fn rx_burst(&mut self, batch: &mut MbufBatch) -> Result<Received, PortError> {
        for _ in 0..self.lanes.len() {
            let lane = self.next;
            self.next = if lane + 1 == self.lanes.len() {
                0
            } else {
                lane + 1
            };
            let Lane { rx, checksums, .. } = self.lanes[lane];
            if batch.receive(&self.home, lane, (rx, checksums), self.burst_max) {
                return Ok(Received::Frames);
            }
        }
        Ok(Received::Idle)
    }

    /// What the device takes nothing of any more, though asked a few times, is dropped and counted as without room; so
    /// are frames of a batch that came in through another port.
    #[inline]
    fn tx_burst(&mut self, batch: &mut MbufBatch, forward: u64) -> Sent {
        if batch.is_empty() {
            return Sent::default();
        }
        if !batch.is_from(&self.home) {
            let no_room = batch.count_owned(forward);
            batch.clear();
            return Sent {
                no_room,
                ..Sent::default()
            };
        }
        let Some(out) = self.lanes[batch.lane()].out else {
            batch.clear();
            return Sent::default();
        };
        let sent = batch.send(out.tx, forward, out.linear, PATIENCE);
        Sent {
            frames: sent.frames.into(),
            bytes: sent.bytes,
            no_room: sent.no_room.into(),
        }
    }

    fn tx_burst_with(&mut self, batch: &mut MbufBatch, forward: u64, extras: &Extras) -> Sent {
        let lane = batch.lane();
        let ways = self
            .lanes
            .get(lane)
            .and_then(|lane| Some((lane.out?, lane.back, lane.pool)));
        let with_frames = extras
            .iter()
            .filter(|(way, _)| matches!(way, Way::With { .. }))
            .count();
        let mut sent = match ways.filter(|_| !batch.is_empty() && batch.is_from(&self.home)) {
            Some((out, back, pool)) => {
                let sent =
                    batch.send_with((out, back), forward, extras, &self.pools[pool], PATIENCE);
                Sent {
                    frames: sent.frames.into(),
                    bytes: sent.bytes,
                    no_room: sent.no_room.into(),
                }
            }
            None => {
                let mut sent = self.tx_burst(batch, forward);
                sent.no_room += with_frames as u64;
                sent
            }
        };
        for (way, bytes) in extras.iter() {
            if let Way::Interface { interface, back } = way {
                self.send_alone(interface, back, bytes, &mut sent);
            }
        }
        sent
    }

    fn deals_flows(&self, batch: &MbufBatch) -> bool {
        let lane = self.lanes.get(batch.lane());
        batch.is_from(&self.home) && lane.is_some_and(|lane| lane.deals_flows)
    }

    fn is_inline(&self) -> bool {
        self.is_inline
    }

    fn is_lossless(&self) -> bool {
        false
    }
}
