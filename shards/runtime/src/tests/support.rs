//! A port that a test controls, packets that say what they are, and an actor that writes down what it saw.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mosaic_engine::actor::{Actor, FlowContext, PacketView, ShardContext, StartError};
use mosaic_engine::event::{Event, EventSet, Hook, Verdict};
use mosaic_engine::flow::{FlowKey, Proto, rss};
use mosaic_engine::shard::{ShardConfig, Timeouts};
use mosaic_engine::wire::{Checksums, WireConfig};
use mosaic_port::{
    Batch, Extras, Frame, LinkType, Port, PortError, PortFactory, Received, Timestamp, Way,
};

use crate::{ActorSpec, Plan, Report, Running};

/// A packet of the tests: the `number`-th of flow `flow`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Sent {
    pub(super) flow: u32,
    pub(super) number: u32,
}

/// Packets of `flows` flows in turn, `each` of each.
pub(super) fn in_turn(flows: u32, each: u32) -> Vec<Sent> {
    (0..each)
        .flat_map(|number| (0..flows).map(move |flow| Sent { flow, number }))
        .collect()
}

const SOURCE: u32 = 0x0a00_0000;
const TARGET: u32 = 0xc0a8_0001;

/// The shard that owns `flow` where there are `shards`.
pub(super) fn owner(flow: u32, shards: u16) -> u16 {
    let (key, _) = FlowKey::v4(SOURCE + flow, TARGET, 4000, 53, Proto::UDP, 0);
    rss::Owners::new(shards).owner(rss::hash(&key))
}

/// Flow of packets that are none: their frames are ARP.
pub(super) const ARP: u32 = 1000;

/// Added to the flow of a packet: one of the two fragments that it comes in, the second one with its name.
pub(super) const FIRST: u32 = 1 << 20;
pub(super) const SECOND: u32 = 1 << 21;
/// Added to the flow of a fragment: its datagram says that it is TCP, of whose header only a part would be there.
pub(super) const BAD: u32 = 1 << 22;

/// One of the fragments of the packet that has this name without [`FIRST`] or [`SECOND`].
fn fragment(name: Sent) -> Vec<u8> {
    let sent = Sent {
        flow: name.flow & !(FIRST | SECOND | BAD),
        ..name
    };
    let mut frame = frame(sent);
    let field: [u8; 2] = if name.flow & FIRST != 0 {
        frame.truncate(42);
        [0x20, 0]
    } else {
        frame.drain(34..42);
        [0, 1]
    };
    frame[16..18].copy_from_slice(&[0, 28]);
    frame[18..20].copy_from_slice(&sent.number.to_be_bytes()[2..]);
    frame[20..22].copy_from_slice(&field);
    if name.flow & BAD != 0 {
        frame[23] = 6;
    }
    frame
}

/// UDP over IPv4 over Ethernet, with the packet's name as payload.
pub(super) fn frame(sent: Sent) -> Vec<u8> {
    if sent.flow & (FIRST | SECOND) != 0 {
        return fragment(sent);
    }
    if sent.flow == ARP {
        return [&[0; 12][..], &[0x08, 0x06], &[0; 28]].concat();
    }
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00]);
    frame.extend([0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend((SOURCE + sent.flow).to_be_bytes());
    frame.extend(TARGET.to_be_bytes());
    frame.extend(4000_u16.to_be_bytes());
    frame.extend(53_u16.to_be_bytes());
    frame.extend([0, 16, 0, 0]);
    frame.extend(sent.flow.to_be_bytes());
    frame.extend(sent.number.to_be_bytes());
    frame
}

pub(super) fn sent(payload: &[u8]) -> Sent {
    let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
    Sent {
        flow: word(0),
        number: word(4),
    }
}

/// What a [`TestPort`] gives: bursts, then an end, an error, or the bursts again for ever.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) bursts: VecDeque<Vec<Sent>>,
    pub(super) live: bool,
    pub(super) then: Then,
    pub(super) wire: Option<Wire>,
    /// What comes after [`Then::PanicOnce`].
    pub(super) after: Vec<Sent>,
    /// The port promises that flows come to their owners.
    pub(super) deals_flows: bool,
}

/// Where an inline port sends to: on, and back.
#[derive(Clone, Default, Debug)]
pub(super) struct Wire(Frames, Frames);

/// Frames that were sent one way.
type Frames = Arc<Mutex<Vec<Vec<u8>>>>;

impl Wire {
    /// Every frame so far.
    pub(super) fn frames(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().clone()
    }

    /// The packets among them.
    pub(super) fn packets(&self) -> Vec<Sent> {
        let frames = self.frames();
        frames
            .iter()
            .filter(|frame| frame.len() == 50)
            .map(|frame| sent(&frame[42..]))
            .collect()
    }

    /// Every frame that went back to where frames come from.
    pub(super) fn returned(&self) -> Vec<Vec<u8>> {
        self.1.lock().unwrap().clone()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    End,
    Fail,
    Idle,
    Repeat,
    Panic,
    /// As `Panic`, and `Idle` from then on.
    PanicOnce,
    RefuseToOpen,
}

impl Script {
    /// `packets` in bursts of `burst`, then the end.
    pub(super) fn new(packets: &[Sent], burst: usize) -> Self {
        Self {
            bursts: packets.chunks(burst).map(<[Sent]>::to_vec).collect(),
            live: false,
            then: Then::End,
            wire: None,
            after: Vec::new(),
            deals_flows: false,
        }
    }

    /// A live port in a wire.
    pub(super) fn inline(self, wire: &Wire) -> Self {
        Self {
            live: true,
            then: Then::Idle,
            wire: Some(wire.clone()),
            ..self
        }
    }

    pub(super) fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    pub(super) fn live(self) -> Self {
        Self { live: true, ..self }
    }
}

impl PortFactory for Script {
    type Port = TestPort;

    fn open(self: Box<Self>) -> Result<TestPort, PortError> {
        if self.then == Then::RefuseToOpen {
            Err(broken())
        } else {
            Ok(TestPort {
                script: *self,
                clock: 0,
            })
        }
    }
}

pub(super) struct TestPort {
    script: Script,
    clock: u64,
}

impl Port for TestPort {
    type Batch = TestBatch;

    fn rx_burst(&mut self, batch: &mut TestBatch) -> Result<Received, PortError> {
        assert!(batch.is_empty(), "a port fills empty batches only");
        let Some(burst) = self.script.bursts.pop_front() else {
            return match self.script.then {
                Then::Fail => {
                    self.script.then = Then::End;
                    Err(broken())
                }
                Then::Idle => Ok(Received::Idle),
                Then::Panic => panic!("a port with a defect"),
                Then::PanicOnce => {
                    self.script.then = Then::Idle;
                    self.script
                        .bursts
                        .push_back(std::mem::take(&mut self.script.after));
                    panic!("a port with a defect")
                }
                Then::End | Then::Repeat | Then::RefuseToOpen => Ok(Received::End),
            };
        };
        for packet in &burst {
            self.clock += 1_000;
            batch
                .frames
                .push((frame(*packet), Timestamp::from_nanos(self.clock)));
        }
        if self.script.then == Then::Repeat {
            self.script.bursts.push_back(burst);
        }
        Ok(Received::Frames)
    }

    fn is_lossless(&self) -> bool {
        !self.script.live
    }

    fn progress(&self) -> Option<(u64, u64)> {
        Some((self.clock, u64::MAX))
    }

    fn deals_flows(&self, batch: &TestBatch) -> bool {
        assert!(!batch.is_empty(), "asked about what came in");
        self.script.deals_flows
    }

    fn is_inline(&self) -> bool {
        self.script.wire.is_some()
    }

    fn tx_burst(&mut self, batch: &mut TestBatch, forward: u64) -> mosaic_port::Sent {
        let mut sent = mosaic_port::Sent::default();
        if let Some(wire) = &self.script.wire {
            for (index, (bytes, _)) in batch.frames.drain(..).enumerate() {
                // Frames that were handed over are empty.
                if forward >> index & 1 == 1 && !bytes.is_empty() {
                    sent.frames += 1;
                    sent.bytes += bytes.len() as u64;
                    wire.0.lock().unwrap().push(bytes);
                }
            }
        }
        batch.clear();
        sent
    }

    fn tx_burst_with(
        &mut self,
        batch: &mut TestBatch,
        forward: u64,
        extras: &Extras,
    ) -> mosaic_port::Sent {
        let mut sent = mosaic_port::Sent::default();
        let Some(wire) = &self.script.wire else {
            return sent;
        };
        let mut send = |bytes: &[u8], back: bool| {
            sent.frames += 1;
            sent.bytes += bytes.len() as u64;
            let to = if back { &wire.1 } else { &wire.0 };
            to.lock().unwrap().push(bytes.to_vec());
        };
        for (index, (bytes, _)) in batch.frames.drain(..).enumerate() {
            extras
                .with(index, true)
                .for_each(|(back, bytes)| send(bytes, back));
            if forward >> index & 1 == 1 && !bytes.is_empty() {
                send(&bytes, false);
            }
            extras
                .with(index, false)
                .for_each(|(back, bytes)| send(bytes, back));
        }
        for (way, bytes) in extras.iter() {
            if let Way::Interface { back, .. } = way {
                send(bytes, back);
            }
        }
        sent
    }
}

pub(super) fn broken() -> PortError {
    PortError::Damaged {
        path: "test".into(),
        offset: 7,
        reason: "on purpose",
    }
}

#[derive(Debug, Default)]
pub(super) struct TestBatch {
    frames: Vec<(Vec<u8>, Timestamp)>,
}

impl Batch for TestBatch {
    fn len(&self) -> usize {
        self.frames.len()
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        let (bytes, timestamp) = &self.frames[index];
        let wire_len = u32::try_from(bytes.len()).unwrap();
        Frame {
            bytes,
            wire_len,
            timestamp: *timestamp,
            link: LinkType::ETHERNET,
            interface: 0,
        }
    }

    fn bytes_mut(&mut self, index: usize) -> Option<&mut [u8]> {
        Some(&mut self.frames[index].0)
    }

    fn replace(&mut self, index: usize, bytes: &[u8]) -> bool {
        // A device's buffers are not larger either.
        let fits = bytes.len() <= 2048;
        if fits {
            self.frames[index].0 = bytes.to_vec();
        }
        fits
    }

    fn clear(&mut self) {
        self.frames.clear();
    }

    fn hand_over(&mut self, picks: &[u8], to: &mut Self) {
        assert!(to.is_empty() && picks.is_sorted());
        for pick in picks {
            let (bytes, timestamp) = &mut self.frames[usize::from(*pick)];
            // Emptied, so that whoever still looks at it here is found out.
            to.frames.push((std::mem::take(bytes), *timestamp));
        }
    }
}

/// What the actors of all shards saw, each entry with the shard.
#[derive(Clone, Default)]
pub(super) struct Log {
    seen: Arc<Mutex<Vec<(u16, Sent)>>>,
    ends: Arc<Mutex<Vec<(u16, End)>>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// A flow left, after so many packets.
    Removed(u32),
    /// The shard ended.
    Finished,
}

impl Log {
    /// An actor that writes here, and takes `delay` for each packet.
    pub(super) fn actor(&self, delay: Duration) -> ActorSpec {
        self.firewall(delay, |_| Verdict::Forward)
    }

    /// As [`actor`](Self::actor), with a verdict for each packet.
    pub(super) fn firewall(&self, delay: Duration, verdict: fn(Sent) -> Verdict) -> ActorSpec {
        let log = self.clone();
        ActorSpec::new("recorder", move |shard| Recorder {
            log: log.clone(),
            shard,
            delay,
            verdict,
        })
    }

    pub(super) fn seen(&self) -> Vec<(u16, Sent)> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn ends(&self) -> Vec<(u16, End)> {
        self.ends.lock().unwrap().clone()
    }

    pub(super) fn finished(&self) -> usize {
        self.ends()
            .iter()
            .filter(|(_, end)| *end == End::Finished)
            .count()
    }
}

struct Recorder {
    log: Log,
    shard: u16,
    delay: Duration,
    verdict: fn(Sent) -> Verdict,
}

impl Actor for Recorder {
    type Flow = u32;

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        assert_eq!(shard.shard(), self.shard);
        monitor_all(shard)
    }

    fn on_packet(
        &mut self,
        count: &mut u32,
        _: &mut FlowContext<'_>,
        packet: &PacketView<'_>,
        _: Hook,
    ) -> Verdict {
        if !self.delay.is_zero() {
            std::thread::sleep(self.delay);
        }
        *count += 1;
        let packet = sent(packet.payload());
        self.log.seen.lock().unwrap().push((self.shard, packet));
        (self.verdict)(packet)
    }

    fn on_event(&mut self, _: &mut u32, flow: &mut FlowContext<'_>, _: Event) {
        assert_eq!(flow.id().shard, self.shard);
    }

    fn on_removed(&mut self, count: &mut u32, _: &mut FlowContext<'_>) {
        self.log
            .ends
            .lock()
            .unwrap()
            .push((self.shard, End::Removed(*count)));
    }

    fn finish(&mut self) {
        self.log
            .ends
            .lock()
            .unwrap()
            .push((self.shard, End::Finished));
    }
}

/// Every packet at [`Hook::Receive`], and the beginning of every flow.
pub(super) fn monitor_all(shard: &mut ShardContext<'_>) -> Result<(), StartError> {
    shard
        .monitor_stream(None)
        .packets(Hook::Receive)
        .on(Hook::Receive, EventSet::CONN_START)
        .open()?;
    Ok(())
}

pub(super) fn wire() -> WireConfig {
    WireConfig {
        checksums: Checksums::Ignore,
        ..WireConfig::default()
    }
}

pub(super) fn shard_config() -> ShardConfig {
    ShardConfig {
        flows_max: 4096,
        timeouts: Timeouts::NEVER,
        ..ShardConfig::default()
    }
}

/// A plan for `shards` shards; the first of them have the ports of `scripts`.
pub(super) fn plan(shards: u16, scripts: Vec<Script>, actors: Vec<ActorSpec>) -> Plan<Script> {
    let ports = scripts
        .into_iter()
        .map(|script| Some(Box::new(script)))
        .collect();
    Plan {
        ports,
        actors,
        ..Plan::new(shards, wire(), shard_config())
    }
}

/// The report, soon: a shard that hangs fails the test instead of hanging it.
pub(super) fn wait(running: Running) -> Report {
    until("the shards to end", || running.is_finished());
    let report = running.wait();
    assert!(report.shards.iter().all(|shard| shard.snapshot.finished));
    report
}

/// Waits for `condition`.
pub(super) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    #[expect(clippy::disallowed_methods, reason = "a test waits for other threads")]
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "waited in vain for {what}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sum of a figure over all shards.
pub(super) fn sum(report: &Report, figure: impl Fn(&crate::ShardSnapshot) -> u64) -> u64 {
    report
        .shards
        .iter()
        .map(|shard| figure(&shard.snapshot))
        .sum()
}

/// The books between shards.
pub(super) fn assert_books(report: &Report) {
    assert_eq!(
        sum(report, |s| s.handed_out),
        sum(report, |s| s.taken_in) + sum(report, |s| s.ring_dropped)
    );
    assert_eq!(
        sum(report, |s| s.ingress.packets),
        sum(report, |s| s.counters.packets) + sum(report, |s| s.ring_dropped),
        "what was not dropped between shards was processed"
    );
}
