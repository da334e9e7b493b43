//! The event loop: peers, links, and the tap between them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mosaic_engine::event::Side;
use mosaic_engine::flow::Endpoint;
use mosaic_port::Timestamp;

use crate::peer::Peer;
use crate::random::{PerMille, Random};
use crate::scenario::{Link, Opening, Scenario, opening, plans};
use crate::segment::{self, Ends, Segment};
use crate::truth::Conversation;

/// When the world begins, in nanoseconds since the Unix epoch.
const EPOCH_NS: u64 = 1_700_000_000_000_000_000;
const MILLISECOND: u64 = 1_000_000;
/// The most connections of one 5-tuple.
const GENERATIONS_MAX: usize = 4;
/// A world that does not come to rest within this many events is broken.
const EVENTS_MAX: u64 = 1_000_000;

/// A frame the tap recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordedFrame {
    /// When.
    pub timestamp: Timestamp,
    /// An Ethernet frame.
    pub bytes: Vec<u8>,
}

/// What the tap recorded, and what it means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// The seed it came from.
    pub seed: u64,
    /// The frames in the order in which they passed.
    pub frames: Vec<RecordedFrame>,
    /// Every connection of which at least one frame was recorded, in the order of their first frames.
    pub truth: Vec<Conversation>,
}

/// What stands between the links, in the place of the tap.
pub trait Middlebox {
    /// Takes the frames that have come, at most 64, in their order, each with the side that sent it. Gives those that leave, each
    /// with the side it goes to.
    fn handle_frames(&mut self, now: Timestamp, frames: &[(Side, Vec<u8>)])
    -> Vec<(Side, Vec<u8>)>;
}

/// One connection through a [`Middlebox`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passage {
    /// Addresses and ports.
    pub ends: Ends,
    /// What each side's application had to send.
    pub sent: [Vec<u8>; 2],
    /// What each side received in order.
    pub received: [Vec<u8>; 2],
    /// Whether each side's stream, the FIN included, was acknowledged to it, and it got that of the other one.
    pub finished: [bool; 2],
}

/// The most frames of a burst.
const BURST_MAX: usize = 64;

/// A network of pairs of hosts, all of whose links pass one tap, or a middlebox.
pub struct World<'m> {
    scenario: Scenario,
    random: Random,
    now: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    /// What is planned, by the number it has in `queue`.
    planned: BTreeMap<u64, Planned>,
    events: u64,
    connections: Vec<Connection>,
    frames: Vec<RecordedFrame>,
    packet_id: u16,
    middlebox: Option<&'m mut dyn Middlebox>,
    /// What has come to it since it last looked.
    waiting: Vec<(Side, Vec<u8>)>,
}

struct Connection {
    ends: Ends,
    peers: [Peer; 2],
    /// Which sides' segments pass the tap.
    tapped: [bool; 2],
    unanswered: bool,
    in_flight: u32,
    /// Whether it was decided if the 5-tuple opens again after the connection that lasts.
    reuse_decided: bool,
    wakes_at: [Option<u64>; 2],
    /// Initial sequence numbers the opener has used.
    isns: Vec<u32>,
    /// The one that lasts and those before it.
    conversations: Vec<Conversation>,
}

enum Planned {
    Open(usize),
    Wake(usize, Side),
    AtTap(usize, Segment),
    Poll,
    Arrive(usize, Segment),
}

impl<'m> World<'m> {
    /// Runs the world that `seed` makes of `scenario` until nothing happens any more.
    ///
    /// # Panics
    /// Where it does not come to rest.
    pub fn run(seed: u64, scenario: &Scenario) -> Trace {
        World::play(seed, scenario, None).into_trace(seed)
    }

    /// Runs the world that `seed` makes of `scenario`, with `middlebox` in the way, until nothing happens any more. It looks at what
    /// has come within [`Scenario::poll_ns`]. What is said of the tap, and of fragments, does not count.
    ///
    /// # Panics
    /// Where the world does not come to rest, or the middlebox sends a frame that makes no sense.
    pub fn run_through(
        seed: u64,
        scenario: &Scenario,
        middlebox: &'m mut dyn Middlebox,
    ) -> Vec<Passage> {
        let world = World::play(seed, scenario, Some(middlebox));
        let passages = world.connections.iter().map(|connection| {
            let [client, server] = &connection.peers;
            Passage {
                ends: connection.ends,
                sent: [client.data().to_vec(), server.data().to_vec()],
                received: [client.received(), server.received()],
                finished: [client.is_done(), server.is_done()],
            }
        });
        passages.collect()
    }

    fn play(seed: u64, scenario: &Scenario, middlebox: Option<&'m mut dyn Middlebox>) -> Self {
        let mut world = Self {
            scenario: *scenario,
            random: Random::new(seed),
            now: EPOCH_NS,
            queue: BinaryHeap::new(),
            planned: BTreeMap::new(),
            events: 0,
            connections: Vec::new(),
            frames: Vec::new(),
            packet_id: 0,
            middlebox,
            waiting: Vec::new(),
        };
        for index in 0..scenario.connections {
            let at = world.now + world.random.within(0..=scenario.spread_ns);
            let connection = world.connection(index);
            world.connections.push(connection);
            world.plan(at, Planned::Open(index));
        }
        while let Some(Reverse((at, number))) = world.queue.pop() {
            world.now = at;
            if let Some(planned) = world.planned.remove(&number) {
                world.handle(planned);
            }
        }
        world
    }

    fn into_trace(self, seed: u64) -> Trace {
        let mut truth: Vec<Conversation> = Vec::new();
        for mut connection in self.connections {
            connection.note_delivered();
            truth.append(&mut connection.conversations);
        }
        truth.retain(|conversation| conversation.packets() > 0);
        // A reused 5-tuple that cannot be told from its predecessor spoils both.
        for index in 1..truth.len() {
            if truth[index].ambiguous
                && truth[index].generation > 0
                && truth[index - 1].ends == truth[index].ends
            {
                truth[index - 1].ambiguous = true;
            }
        }
        truth.sort_by_key(|conversation| conversation.first_frame);
        Trace {
            seed,
            frames: self.frames,
            truth,
        }
    }

    fn plan(&mut self, at: u64, planned: Planned) {
        self.events += 1;
        assert!(self.events < EVENTS_MAX, "the world does not come to rest");
        self.queue.push(Reverse((at, self.events)));
        self.planned.insert(self.events, planned);
    }

    fn connection(&mut self, index: usize) -> Connection {
        let mut random = self.random.split();
        let ends = ends(&mut random, index, self.scenario.habits.v6);
        let one_sided = random.happens(self.scenario.one_sided);
        let hidden = random.size(0..=1);
        let [client, server] = plans(&mut random, &self.scenario);
        Connection {
            ends,
            peers: [
                Peer::new(Side::Client, client, random.split()),
                Peer::new(Side::Server, server, random.split()),
            ],
            tapped: [0, 1].map(|side| !(one_sided && side == hidden)),
            unanswered: false,
            in_flight: 0,
            reuse_decided: false,
            wakes_at: [None; 2],
            isns: Vec::new(),
            conversations: Vec::new(),
        }
    }

    fn handle(&mut self, planned: Planned) {
        let mut out = Vec::new();
        let index = match planned {
            Planned::Open(index) => {
                self.open(index, &mut out);
                index
            }
            Planned::Wake(index, side) => {
                let connection = &mut self.connections[index];
                let wakes_at = &mut connection.wakes_at[side as usize];
                if *wakes_at != Some(self.now) {
                    // An earlier call was planned since.
                    return;
                }
                *wakes_at = None;
                connection.peers[side as usize].handle_time(self.now, &mut out);
                index
            }
            Planned::Poll => return self.poll(),
            Planned::AtTap(index, segment) => {
                self.connections[index].in_flight -= 1;
                self.pass_tap(index, segment);
                index
            }
            Planned::Arrive(index, segment) => {
                let connection = &mut self.connections[index];
                connection.in_flight -= 1;
                let receiver = segment.sender.other();
                if !(connection.unanswered && receiver == Side::Server) {
                    connection.peers[receiver as usize]
                        .handle_segment(self.now, &segment, &mut out);
                }
                index
            }
        };
        for segment in out {
            let link = self.link(segment.sender);
            self.carry(index, link, segment, Planned::AtTap);
        }
        self.wake_in_time(index);
        self.reuse(index);
    }

    /// Lets the next connection of a 5-tuple begin.
    fn open(&mut self, index: usize, out: &mut Vec<Segment>) {
        let mut random = self.random.split();
        let [mut client, mut server] = plans(&mut random, &self.scenario);
        let opening = opening(&mut random, &self.scenario.habits);
        if opening == Opening::Refused {
            server.resets_strangers = true;
        }
        if opening == Opening::Simultaneous {
            // Data on crossing SYNs is nothing real stacks agree on.
            (client.syn_payload, server.syn_payload) = (0, 0);
        }
        let connection = &mut self.connections[index];
        // Nothing else tells a new connection from a repetition of the old one's SYN (RFC 9293, section 3.4.1).
        while connection.isns.contains(&client.isn) {
            client.isn = client.isn.wrapping_sub(1);
        }
        connection.isns.push(client.isn);
        connection.note_delivered();
        connection.reuse_decided = false;
        let generation = connection.conversations.len();
        connection
            .conversations
            .push(Conversation::new(connection.ends, generation));
        connection.unanswered = opening == Opening::Unanswered;
        let [client_random, server_random] = [random.split(), random.split()];
        connection.peers = [
            Peer::new(Side::Client, client, client_random),
            Peer::new(Side::Server, server, server_random),
        ];
        let [client, server] = &mut connection.peers;
        client.connect(self.now, out);
        match opening {
            Opening::Simultaneous => server.connect(self.now, out),
            Opening::Refused => server.refuse_all(),
            Opening::Usual | Opening::Unanswered => {}
        }
    }

    fn link(&self, side: Side) -> Link {
        match side {
            Side::Client => self.scenario.near,
            Side::Server => self.scenario.far,
        }
    }

    /// Sends a segment over one link; it arrives never, once or twice.
    fn carry(
        &mut self,
        index: usize,
        link: Link,
        segment: Segment,
        arrival: fn(usize, Segment) -> Planned,
    ) {
        let copies = if self.random.happens(link.loss) {
            0
        } else {
            1 + usize::from(self.random.happens(link.duplicate))
        };
        for _ in 0..copies {
            let held = if self.random.happens(link.reorder) {
                self.random.within(0..=link.held_ns)
            } else {
                0
            };
            self.connections[index].in_flight += 1;
            self.plan(
                self.now + link.delay_ns + held,
                arrival(index, segment.clone()),
            );
        }
    }

    fn pass_tap(&mut self, index: usize, segment: Segment) {
        if self.middlebox.is_some() {
            return self.queue(index, &segment);
        }
        let since_start = self.now - EPOCH_NS;
        let seen = self.connections[index].tapped[segment.sender as usize]
            && since_start >= self.scenario.tap_from_ns
            && !self.random.happens(self.scenario.tap_loss);
        if seen {
            self.record(index, &segment);
        }
        let link = self.link(segment.sender.other());
        self.carry(index, link, segment, Planned::Arrive);
    }

    /// A segment has come to the middlebox, which looks at it soon.
    fn queue(&mut self, index: usize, segment: &Segment) {
        if self.waiting.len() == BURST_MAX {
            self.poll();
        }
        if self.waiting.is_empty() {
            let after = self.random.within(0..=self.scenario.poll_ns);
            self.plan(self.now + after, Planned::Poll);
        }
        self.packet_id = self.packet_id.wrapping_add(1);
        let frame = segment::frame(&self.connections[index].ends, segment, self.packet_id);
        self.waiting.push((segment.sender, frame));
    }

    /// The middlebox looks at what has come. What it sends goes on, if it goes to where its addresses say.
    fn poll(&mut self) {
        let frames = std::mem::take(&mut self.waiting);
        let now = Timestamp::from_nanos(self.now);
        let Some(middlebox) = &mut self.middlebox else {
            return;
        };
        if frames.is_empty() {
            return;
        }
        for (to, frame) in middlebox.handle_frames(now, &frames) {
            let (source, destination, mut segment) = segment::parse(&frame);
            let index = self.connections.iter().position(|connection| {
                connection.ends.of(to) == destination && connection.ends.of(to.other()) == source
            });
            let index = index.expect("a frame goes to one end of a connection, from the other");
            segment.sender = to.other();
            let link = self.link(to);
            self.carry(index, link, segment, Planned::Arrive);
        }
    }

    fn record(&mut self, index: usize, segment: &Segment) {
        self.packet_id = self.packet_id.wrapping_add(1);
        let connection = &mut self.connections[index];
        let mut frames = if self.random.happens(self.scenario.fragmented) {
            let cut = self.random.size(8..=1200);
            segment::fragments(&connection.ends, segment, self.packet_id, cut)
        } else {
            vec![segment::frame(&connection.ends, segment, self.packet_id)]
        };
        if self.random.happens(PerMille(300)) {
            frames.reverse();
        }
        let timestamp = Timestamp::from_nanos(self.now);
        self.frames.extend(
            frames
                .into_iter()
                .map(|bytes| RecordedFrame { timestamp, bytes }),
        );
        if let Some(conversation) = connection.conversations.last_mut() {
            conversation.record(segment, self.frames.len() - 1);
        }
    }

    /// Plans the next call of a peer's timers, if it is not planned yet.
    fn wake_in_time(&mut self, index: usize) {
        for side in Side::BOTH {
            let connection = &mut self.connections[index];
            let Some(deadline) = connection.peers[side as usize].poll_deadline() else {
                continue;
            };
            let deadline = deadline.max(self.now);
            let wakes_at = &mut connection.wakes_at[side as usize];
            if wakes_at.is_none_or(|at| at > deadline) {
                *wakes_at = Some(deadline);
                self.plan(deadline, Planned::Wake(index, side));
            }
        }
    }

    /// Opens the 5-tuple again, where the connection is over and no segment of it is on its way.
    fn reuse(&mut self, index: usize) {
        let connection = &self.connections[index];
        let generations = connection.conversations.len();
        let over = connection.in_flight == 0 && connection.peers.iter().all(Peer::is_over);
        if !over || generations == 0 || generations >= GENERATIONS_MAX || connection.reuse_decided {
            return;
        }
        self.connections[index].reuse_decided = true;
        if self.random.happens(self.scenario.habits.reuse) {
            let pause = self.random.within(0..=3000 * MILLISECOND);
            self.plan(self.now + pause, Planned::Open(index));
        }
    }
}

impl Connection {
    /// Notes what the applications sent and received over the connection that ends.
    fn note_delivered(&mut self) {
        let [client, server] = &self.peers;
        if let Some(conversation) = self.conversations.last_mut() {
            for (side, sender, receiver) in [
                (Side::Client, client, server),
                (Side::Server, server, client),
            ] {
                let direction = &mut conversation.directions[side as usize];
                direction.sent = sender.data().to_vec();
                direction.received = receiver.received();
            }
        }
    }
}

/// Addresses of pair `index`; in half of them the opener has the higher one.
fn ends(random: &mut Random, index: usize, v6: PerMille) -> Ends {
    let host = u32::try_from(index).unwrap_or(0);
    let v6 = random.happens(v6);
    let addr = |network: u32| -> IpAddr {
        if v6 {
            let prefix = 0x2001_0db8_u128 << 96 | u128::from(network) << 64;
            Ipv6Addr::from_bits(prefix | u128::from(host)).into()
        } else {
            Ipv4Addr::from_bits(0x0a00_0000 | network << 16 | host).into()
        }
    };
    let (client, server) = if random.happens(PerMille(500)) {
        (1, 2)
    } else {
        (2, 1)
    };
    let port = u16::try_from(random.within(1024..=65_535)).unwrap_or(1024);
    Ends([
        Endpoint {
            addr: addr(client),
            port,
        },
        Endpoint {
            addr: addr(server),
            port: 80,
        },
    ])
}
