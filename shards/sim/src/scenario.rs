//! What kind of world: how bad the links are and what the peers do.

use crate::peer::{Close, PeerPlan};
use crate::random::{PerMille, Random};

const MILLISECOND: u64 = 1_000_000;

/// A link in one direction or the other: delay and faults.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Link {
    /// Time a frame takes, in nanoseconds.
    pub delay_ns: u64,
    /// Frames that get lost.
    pub loss: PerMille,
    /// Frames that arrive twice.
    pub duplicate: PerMille,
    /// Frames that are held up, and so overtaken by others.
    pub reorder: PerMille,
    /// How long they are held up at most, in nanoseconds.
    pub held_ns: u64,
}

/// How often each kind of behaviour occurs among the connections; several may meet in one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Habits {
    /// Both ends open at once (RFC 9293, section 3.5).
    pub simultaneous_open: PerMille,
    /// Data on the SYN (RFC 7413); half of the servers take it.
    pub syn_data: PerMille,
    /// The server refuses.
    pub refused: PerMille,
    /// The server does not exist.
    pub unanswered: PerMille,
    /// An end waits for the other one's FIN before its own, otherwise both close when they are done.
    pub close_after_peer: PerMille,
    /// An end aborts with RST.
    pub reset: PerMille,
    /// An end falls silent.
    pub vanish: PerMille,
    /// An end sends keep-alive probes.
    pub keep_alive: PerMille,
    /// An application reads slowly from a small buffer, so that windows close.
    pub slow_reader: PerMille,
    /// A stream crosses sequence number 2^32.
    pub wrap: PerMille,
    /// The 5-tuple is used again, with another ISN, once the connection is over.
    pub reuse: PerMille,
    /// An end now and then repeats bytes with other content.
    pub garbage: PerMille,
    /// An end offers timestamps (RFC 7323); it sends them, but does not judge by them.
    pub timestamps: PerMille,
    /// Addresses are IPv6.
    pub v6: PerMille,
    /// An end offers selective acknowledgments (RFC 2018); where both do, they are sent, and go by them.
    pub sack: PerMille,
    /// An end refuses segments by their timestamps (PAWS, RFC 7323, section 5).
    pub paws: PerMille,
}

/// A world to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scenario {
    /// Number of 5-tuples; each may carry up to four connections, one after the other.
    pub connections: usize,
    /// They open within this time, in nanoseconds.
    pub spread_ns: u64,
    /// Between the side that opens and the tap.
    pub near: Link,
    /// Between the tap and the other side.
    pub far: Link,
    /// Frames that pass the tap but are not recorded.
    pub tap_loss: PerMille,
    /// When recording begins, in nanoseconds after the start of the world.
    pub tap_from_ns: u64,
    /// Connections of which only one direction passes the tap.
    pub one_sided: PerMille,
    /// Packets that reach the tap as two IP fragments, sometimes in the wrong order.
    pub fragmented: PerMille,
    /// The most bytes an application sends.
    pub data_max: usize,
    /// What the peers do.
    pub habits: Habits,
    /// The longest time between two looks of a middlebox at what has come, in nanoseconds; see
    /// [`World::run_through`](crate::World::run_through).
    pub poll_ns: u64,
    /// The longest time an end that has sent and received all goes on to acknowledge repetitions, in nanoseconds.
    pub linger_ns: u64,
    /// Repetitions of a segment before an end gives up.
    pub retries_max: u32,
    /// The smallest receive buffer, in bytes; at most 4000.
    pub buffer_min: u64,
    /// Segments that every end sends ahead of acknowledgments, with buffers and windows for as many; drawn for each end, few, where
    /// `None`.
    pub under_way: Option<u64>,
}

impl Default for Scenario {
    /// Eight well-behaved connections over good links.
    fn default() -> Self {
        let link = Link {
            delay_ns: 5 * MILLISECOND,
            ..Link::default()
        };
        Self {
            connections: 8,
            spread_ns: 200 * MILLISECOND,
            near: link,
            far: link,
            tap_loss: PerMille::NEVER,
            tap_from_ns: 0,
            one_sided: PerMille::NEVER,
            fragmented: PerMille::NEVER,
            data_max: 20_000,
            habits: Habits::default(),
            poll_ns: 0,
            linger_ns: 2000 * MILLISECOND,
            retries_max: 8,
            buffer_min: 1,
            under_way: None,
        }
    }
}

impl Scenario {
    /// A world of any kind, but with a tap that records every frame.
    pub fn complete(random: &mut Random) -> Self {
        Self {
            connections: random.size(1..=8),
            spread_ns: random.within(0..=500) * MILLISECOND,
            near: link(random),
            far: link(random),
            fragmented: PerMille(random.pick(&[0, 0, 50])),
            data_max: random.pick(&[200, 5_000, 40_000]),
            habits: habits(random),
            ..Self::default()
        }
    }

    /// A world of any kind whose connections carry all they have to carry, over links that lose, repeat and reorder.
    pub fn lasting(random: &mut Random) -> Self {
        let habits = Habits {
            refused: PerMille::NEVER,
            unanswered: PerMille::NEVER,
            reset: PerMille::NEVER,
            vanish: PerMille::NEVER,
            reuse: PerMille::NEVER,
            sack: PerMille(random.pick(&[0, 500, 1000])),
            paws: PerMille(random.pick(&[0, 500, 1000])),
            ..habits(random)
        };
        Self {
            fragmented: PerMille::NEVER,
            habits,
            poll_ns: random.pick(&[0, 1, 10]) * MILLISECOND,
            // Longer than all repetitions of a segment take.
            linger_ns: 1 << 40,
            // As Linux, which goes on for as long as it gets answers while a window is shut.
            retries_max: 500,
            // Few bytes at a time last for ever where many are added.
            buffer_min: 300,
            ..Self::complete(random)
        }
    }

    /// A world of any kind, with a tap that misses frames.
    pub fn lossy(random: &mut Random) -> Self {
        Self {
            tap_loss: PerMille(random.pick(&[3, 20, 100])),
            one_sided: PerMille(random.pick(&[0, 0, 200])),
            ..Self::complete(random)
        }
    }

    /// A world of any kind, with a tap that is switched on while connections last.
    pub fn late(random: &mut Random) -> Self {
        Self {
            tap_from_ns: random.within(10..=400) * MILLISECOND,
            ..Self::complete(random)
        }
    }
}

fn link(random: &mut Random) -> Link {
    Link {
        delay_ns: random.within(0..=30_000) * 1000,
        loss: PerMille(random.pick(&[0, 0, 10, 50])),
        duplicate: PerMille(random.pick(&[0, 0, 20])),
        reorder: PerMille(random.pick(&[0, 0, 50, 200])),
        held_ns: random.within(1..=20_000) * 1000,
    }
}

fn habits(random: &mut Random) -> Habits {
    let mut chance = || PerMille(random.pick(&[0, 0, 0, 100, 300]));
    Habits {
        simultaneous_open: chance(),
        syn_data: chance(),
        refused: chance(),
        unanswered: chance(),
        close_after_peer: chance(),
        reset: chance(),
        vanish: chance(),
        keep_alive: chance(),
        slow_reader: chance(),
        wrap: chance(),
        reuse: chance(),
        garbage: PerMille::NEVER,
        timestamps: PerMille(700),
        v6: chance(),
        sack: PerMille::NEVER,
        paws: PerMille::NEVER,
    }
}

/// What happens when a connection is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Opening {
    Usual,
    Simultaneous,
    Refused,
    Unanswered,
}

/// Draws how the connection opens.
pub(crate) fn opening(random: &mut Random, habits: &Habits) -> Opening {
    if random.happens(habits.simultaneous_open) {
        Opening::Simultaneous
    } else if random.happens(habits.refused) {
        Opening::Refused
    } else if random.happens(habits.unanswered) {
        Opening::Unanswered
    } else {
        Opening::Usual
    }
}

/// Draws the plans of both peers, the opener's first.
pub(crate) fn plans(random: &mut Random, scenario: &Scenario) -> [PeerPlan; 2] {
    let mss = random.pick(&[536, 1000, 1440]);
    let mut plans = [plan(random, scenario, mss), plan(random, scenario, mss)];
    let habits = &scenario.habits;
    if random.happens(habits.syn_data) {
        plans[0].syn_payload = random.size(1..=usize::from(mss));
        plans[1].takes_syn_payload = random.happens(PerMille(500));
        plans[0].takes_syn_payload = true;
        if random.happens(PerMille(200)) {
            plans[1].syn_payload = random.size(1..=usize::from(mss));
        }
    }
    let one = random.size(0..=1);
    if random.happens(habits.close_after_peer) {
        plans[one].close = Close::AfterPeer;
    }
    if random.happens(habits.reset) {
        let after = random.within(0..=plans[one].data.len() as u64);
        plans[one].close = Close::Reset { after };
    }
    if random.happens(habits.vanish) {
        let after = random.within(0..=plans[1 - one].data.len() as u64);
        plans[one].close = Close::Vanish { after };
    }
    if random.happens(habits.keep_alive) {
        plans[one].keep_alive_ns = Some(random.within(50..=500) * MILLISECOND);
    }
    if random.happens(habits.garbage) {
        plans[one].garbage = PerMille(400);
    }
    plans
}

fn plan(random: &mut Random, scenario: &Scenario, mss: u16) -> PeerPlan {
    let len = match random.within(0..=9) {
        0 => 0,
        1..=5 => random.size(0..=scenario.data_max.min(2000)),
        _ => random.size(0..=scenario.data_max),
    };
    let slow = random.happens(scenario.habits.slow_reader);
    let isn = if random.happens(scenario.habits.wrap) {
        u32::MAX - u32::try_from(random.within(0..=len as u64 + 1)).unwrap_or(0)
    } else {
        random.next_u32()
    };
    let mut plan = PeerPlan {
        data: random.bytes(len),
        isn,
        mss,
        ahead: random.within(2..=20),
        buffer: if slow {
            random.within(scenario.buffer_min..=4000)
        } else {
            random.within(4_000..=200_000)
        },
        scale: random.pick(&[None, Some(1), Some(7)]),
        timestamps: random.happens(scenario.habits.timestamps),
        syn_payload: 0,
        takes_syn_payload: false,
        write_max: random.pick(&[100, 3_000, 100_000]),
        write_gap_ns: random.pick(&[0, 5, 300]) * MILLISECOND,
        slow_reads: slow.then(|| {
            (
                random.within(500..=4000),
                random.within(10..=400) * MILLISECOND,
            )
        }),
        close: Close::WhenSent,
        keep_alive_ns: None,
        retries_max: scenario.retries_max,
        garbage: PerMille::NEVER,
        resets_strangers: random.happens(PerMille(700)),
        // Drawn only where it is asked for, so that other worlds stay what they were.
        linger_ns: scenario.linger_ns,
        sack: scenario.habits.sack != PerMille::NEVER && random.happens(scenario.habits.sack),
        paws: scenario.habits.paws != PerMille::NEVER && random.happens(scenario.habits.paws),
    };
    if let Some(segments) = scenario.under_way {
        plan.ahead = segments;
        plan.buffer = segments * u64::from(mss);
        plan.scale = Some(8);
        (plan.write_max, plan.write_gap_ns) = (usize::MAX, 0);
        plan.slow_reads = None;
    }
    plan
}
