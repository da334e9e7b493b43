//! Hand-over rings: one single-producer single-consumer ring for each ordered pair of shards, and one back, on which
//! bundles return to the shard that filled them. That one sends the frames on that may pass, gives the others back, and fills
//! the bundle again, so that the steady state allocates nothing and each queue of a device is used by one thread.

use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use mosaic_engine::wire::{Packet, Parsed};
use mosaic_port::Batch;
use rtrb::{Consumer, Producer, PushError, RingBuffer};

use crate::bundle::Bundle;

/// The thread of a shard, to be woken where it sleeps; empty where it never does.
type Sleeper = Arc<OnceLock<Thread>>;

/// The rings of one shard.
#[derive(Debug)]
pub(crate) struct Links<B> {
    own: Sleeper,
    /// To the other shards, by shard number, with `None` for itself; empty where it hands nothing out.
    pub(crate) to: Vec<Option<Sender<B>>>,
    /// From the shards that hand packets out.
    pub(crate) from: Vec<Receiver<B>>,
}

/// The rings of all shards: one from each shard with a port to each other shard.
pub(crate) fn mesh<B: Batch>(has_port: &[bool], depth: usize) -> Vec<Links<B>> {
    let mut links: Vec<Links<B>> = has_port
        .iter()
        .map(|_| Links {
            own: Sleeper::default(),
            to: Vec::new(),
            from: Vec::new(),
        })
        .collect();
    for from in (0..has_port.len()).filter(|shard| has_port[*shard]) {
        for to in 0..has_port.len() {
            let sender = (from != to).then(|| {
                let (mut sender, mut receiver) = ring(depth);
                sender.peer = Arc::clone(&links[to].own);
                receiver.peer = Arc::clone(&links[from].own);
                links[to].from.push(receiver);
                sender
            });
            links[from].to.push(sender);
        }
    }
    links
}

impl<B> Links<B> {
    /// Lets the others wake the calling thread, which may park, when they send something.
    pub(crate) fn note_sleeper(&self) {
        // Whoever calls it twice is the same thread.
        let _ = self.own.set(std::thread::current());
    }
}

fn wake(sleeper: &Sleeper) {
    if let Some(thread) = sleeper.get() {
        thread.unpark();
    }
}

/// The sending end towards one shard. Dropping it closes the ring.
#[derive(Debug)]
pub(crate) struct Sender<B> {
    full: Producer<Box<Bundle<B>>>,
    done: Consumer<Box<Bundle<B>>>,
    /// What the burst at hand has for that shard.
    pending: Option<Box<Bundle<B>>>,
    /// Empty bundles.
    spare: Vec<Box<Bundle<B>>>,
    /// Bundles that have not come back.
    under_way: usize,
    peer: Sleeper,
}

/// The receiving end from one shard.
#[derive(Debug)]
pub(crate) struct Receiver<B> {
    full: Consumer<Box<Bundle<B>>>,
    done: Producer<Box<Bundle<B>>>,
    peer: Sleeper,
}

/// What became of the pending bundle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Published {
    /// It is on its way, or there was none.
    Done,
    /// No room; it is still pending.
    Full,
    /// The receiver is gone; it is still pending.
    Gone,
}

/// A ring for at most `depth` bundles.
fn ring<B: Batch>(depth: usize) -> (Sender<B>, Receiver<B>) {
    let (full_in, full_out) = RingBuffer::new(depth);
    // Besides those in the ring, the sender fills one bundle while the receiver works on another.
    let (done_in, done_out) = RingBuffer::new(depth + 2);
    let sender = Sender {
        full: full_in,
        done: done_out,
        pending: None,
        spare: Vec::with_capacity(depth + 2),
        under_way: 0,
        peer: Sleeper::default(),
    };
    (
        sender,
        Receiver {
            full: full_out,
            done: done_in,
            peer: Sleeper::default(),
        },
    )
}

impl<B: Batch> Sender<B> {
    /// Adds a packet of the burst `parsed` to what is pending.
    pub(crate) fn add(&mut self, packet: &Packet, parsed: &mut Parsed) {
        let spare = &mut self.spare;
        let bundle = self
            .pending
            .get_or_insert_with(|| spare.pop().unwrap_or_default());
        bundle.add(packet, parsed);
    }

    /// Takes the frames of the pending packets out of the burst.
    pub(crate) fn take_frames(&mut self, burst: &mut B, inline: bool) {
        if let Some(bundle) = &mut self.pending {
            bundle.take_frames(burst, inline);
        }
    }

    /// Sends what is pending, if there is room.
    pub(crate) fn publish(&mut self) -> Published {
        let Some(bundle) = self.pending.take() else {
            return Published::Done;
        };
        if self.full.is_abandoned() {
            self.pending = Some(bundle);
            return Published::Gone;
        }
        match self.full.push(bundle) {
            Ok(()) => {
                self.under_way += 1;
                wake(&self.peer);
                Published::Done
            }
            Err(PushError::Full(bundle)) => {
                self.pending = Some(bundle);
                Published::Full
            }
        }
    }

    /// What is pending, to be given back with [`reuse`](Self::reuse) instead of being sent.
    pub(crate) fn discard(&mut self) -> Option<Box<Bundle<B>>> {
        self.pending.take()
    }

    /// The next bundle that came back, in the order in which they were sent, to be given to [`reuse`](Self::reuse).
    pub(crate) fn returned(&mut self) -> Option<Box<Bundle<B>>> {
        let bundle = self.done.pop().ok()?;
        self.under_way -= 1;
        Some(bundle)
    }

    /// Keeps an empty bundle to be filled again.
    pub(crate) fn reuse(&mut self, mut bundle: Box<Bundle<B>>) {
        bundle.clear();
        if self.spare.len() < self.spare.capacity() {
            self.spare.push(bundle);
        }
    }

    /// Whether a bundle may still come back.
    pub(crate) fn awaits(&self) -> bool {
        self.under_way > 0 && !(self.done.is_abandoned() && self.done.is_empty())
    }
}

impl<B: Batch> Receiver<B> {
    /// The next bundle, in the order in which they were sent.
    pub(crate) fn take(&mut self) -> Option<Box<Bundle<B>>> {
        self.full.pop().ok()
    }

    /// Sends a bundle back to the shard that filled it.
    pub(crate) fn give_back(&mut self, bundle: Box<Bundle<B>>) {
        // There is room for every bundle that exists; were there none, its frames would be given back, that is all.
        let _ = self.done.push(bundle);
        wake(&self.peer);
    }

    /// Whether the sender is gone and everything it sent was taken.
    pub(crate) fn is_closed(&self) -> bool {
        if !self.full.is_abandoned() {
            return false;
        }
        // `is_abandoned` looks without ordering; whatever was sent before the sender went must be seen now.
        fence(Ordering::Acquire);
        self.full.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::tests::{Frames, burst};

    /// Sends the packets of a burst of `n` frames.
    fn fill(sender: &mut Sender<Frames>, n: u8) {
        let (mut parsed, mut batch) = burst(n);
        for packet in parsed.packets.clone() {
            sender.add(&packet, &mut parsed);
        }
        sender.take_frames(&mut batch, false);
    }

    #[test]
    fn bundles_go_round_without_being_allocated_again() {
        let (mut sender, mut receiver) = ring(1);
        let mut addresses = std::collections::BTreeSet::new();
        for round in 0..100 {
            fill(&mut sender, 3);
            assert_eq!(sender.publish(), Published::Done);
            let bundle = receiver.take().unwrap();
            assert_eq!(
                (bundle.packets(), bundle.batch.len()),
                (3, 3),
                "round {round}"
            );
            addresses.insert(std::ptr::from_ref(&*bundle).addr());
            assert!(sender.awaits());
            receiver.give_back(bundle);
            let returned = sender.returned().unwrap();
            assert_eq!(returned.batch.len(), 3, "with its frames");
            assert!(!sender.awaits());
            sender.reuse(returned);
        }
        assert_eq!(addresses.len(), 1);
    }

    #[test]
    fn what_finds_no_room_stays_until_there_is_some_or_it_is_discarded() {
        let (mut sender, mut receiver) = ring(1);
        fill(&mut sender, 1);
        assert_eq!(sender.publish(), Published::Done);
        fill(&mut sender, 2);
        assert_eq!(sender.publish(), Published::Full);
        assert_eq!(receiver.take().map(|bundle| bundle.packets()), Some(1));
        assert_eq!(sender.publish(), Published::Done);
        fill(&mut sender, 4);
        assert_eq!(sender.publish(), Published::Full);
        let discarded = sender.discard().unwrap();
        assert_eq!(discarded.packets(), 4);
        sender.reuse(discarded);
        assert_eq!(receiver.take().map(|bundle| bundle.packets()), Some(2));
        assert_eq!(
            sender.publish(),
            Published::Done,
            "a discarded bundle is not sent"
        );
        assert!(receiver.take().is_none());
        fill(&mut sender, 5);
        assert_eq!(sender.publish(), Published::Done);
        assert_eq!(receiver.take().map(|bundle| bundle.batch.len()), Some(5));
    }

    #[test]
    fn a_ring_is_closed_when_its_sender_is_gone_and_everything_taken() {
        let (mut sender, mut receiver) = ring(2);
        fill(&mut sender, 1);
        assert_eq!(sender.publish(), Published::Done);
        assert!(!receiver.is_closed());
        drop(sender);
        assert!(!receiver.is_closed());
        assert!(receiver.take().is_some());
        assert!(receiver.is_closed());
    }

    #[test]
    fn packets_for_a_shard_that_is_gone_are_counted() {
        let (mut sender, receiver) = ring(2);
        drop(receiver);
        fill(&mut sender, 3);
        assert_eq!(sender.publish(), Published::Gone);
        assert_eq!(sender.discard().map(|bundle| bundle.packets()), Some(3));
        assert_eq!(sender.publish(), Published::Done);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "measures how long it sleeps")]
    fn a_shard_that_sleeps_is_woken_by_what_comes_and_what_comes_back() {
        const LONG: std::time::Duration = std::time::Duration::from_secs(30);
        let mut links = mesh::<Frames>(&[true, true], 1);
        let (mut second, mut first) = (links.remove(1), links.remove(0));
        let began = std::time::Instant::now();
        let sleeper = std::thread::spawn(move || {
            second.note_sleeper();
            while second.from[0].full.is_empty() {
                std::thread::park_timeout(LONG);
            }
            let bundle = second.from[0].take().unwrap();
            second.from[0].give_back(bundle);
        });
        first.note_sleeper();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let sender = first.to[1].as_mut().unwrap();
        fill(sender, 1);
        assert_eq!(sender.publish(), Published::Done);
        while sender.returned().is_none() {
            std::thread::park_timeout(LONG);
        }
        sleeper.join().unwrap();
        assert!(began.elapsed() < LONG);
    }

    #[test]
    fn only_shards_with_a_port_hand_out() {
        let links = mesh::<Frames>(&[true, false, true], 1);
        let to: Vec<Vec<bool>> = links
            .iter()
            .map(|l| l.to.iter().map(Option::is_some).collect())
            .collect();
        assert_eq!(
            to,
            [vec![false, true, true], vec![], vec![true, true, false]]
        );
        assert_eq!(
            links.iter().map(|l| l.from.len()).collect::<Vec<_>>(),
            [1, 2, 1]
        );
    }
}
