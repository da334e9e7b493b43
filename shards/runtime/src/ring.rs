//! Hand-over rings: one single-producer single-consumer ring for each ordered pair of shards, and one back for the
//! empty bundles, so that the steady state allocates nothing.

use std::sync::atomic::{Ordering, fence};

use mosaic_engine::wire::{Packet, Parsed};
use mosaic_port::Batch;
use rtrb::{Consumer, Producer, PushError, RingBuffer};

use crate::bundle::Bundle;

/// The rings of one shard.
#[derive(Debug)]
pub(crate) struct Links<B> {
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
            to: Vec::new(),
            from: Vec::new(),
        })
        .collect();
    for from in (0..has_port.len()).filter(|shard| has_port[*shard]) {
        for to in 0..has_port.len() {
            let sender = (from != to).then(|| {
                let (sender, receiver) = ring(depth);
                links[to].from.push(receiver);
                sender
            });
            links[from].to.push(sender);
        }
    }
    links
}

/// The sending end towards one shard. Dropping it closes the ring.
#[derive(Debug)]
pub(crate) struct Sender<B> {
    full: Producer<Box<Bundle<B>>>,
    empty: Consumer<Box<Bundle<B>>>,
    /// What the burst at hand has for that shard.
    pending: Option<Box<Bundle<B>>>,
}

/// The receiving end from one shard.
#[derive(Debug)]
pub(crate) struct Receiver<B> {
    full: Consumer<Box<Bundle<B>>>,
    empty: Producer<Box<Bundle<B>>>,
}

/// What became of the pending bundle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Published {
    /// It is on its way, or there was none.
    Done,
    /// No room; it is still pending.
    Full,
    /// The receiver is gone; so many packets were dropped.
    Gone(u64),
}

/// A ring for at most `depth` bundles.
fn ring<B: Batch>(depth: usize) -> (Sender<B>, Receiver<B>) {
    let (full_in, full_out) = RingBuffer::new(depth);
    // Besides those in the ring, the sender fills one bundle while the receiver works on another.
    let (empty_in, empty_out) = RingBuffer::new(depth + 2);
    let sender = Sender {
        full: full_in,
        empty: empty_out,
        pending: None,
    };
    (
        sender,
        Receiver {
            full: full_out,
            empty: empty_in,
        },
    )
}

impl<B: Batch> Sender<B> {
    /// Adds a packet of the burst `parsed` to what is pending.
    pub(crate) fn add(&mut self, packet: &Packet, parsed: &mut Parsed) {
        let empty = &mut self.empty;
        let bundle = self
            .pending
            .get_or_insert_with(|| empty.pop().unwrap_or_default());
        bundle.add(packet, parsed);
    }

    /// Takes the frames of the pending packets out of the burst.
    pub(crate) fn take_frames(&mut self, burst: &mut B) {
        if let Some(bundle) = &mut self.pending {
            bundle.take_frames(burst);
        }
    }

    /// Sends what is pending, if there is room.
    pub(crate) fn publish(&mut self) -> Published {
        // A bundle without packets was discarded before, and waits to be filled again.
        let Some(bundle) = self.pending.take_if(|bundle| bundle.packets() > 0) else {
            return Published::Done;
        };
        if self.full.is_abandoned() {
            return Published::Gone(bundle.packets());
        }
        match self.full.push(bundle) {
            Ok(()) => Published::Done,
            Err(PushError::Full(bundle)) => {
                self.pending = Some(bundle);
                Published::Full
            }
        }
    }

    /// Drops what is pending; returns the number of packets.
    pub(crate) fn discard(&mut self) -> u64 {
        let Some(bundle) = &mut self.pending else {
            return 0;
        };
        let packets = bundle.packets();
        bundle.clear();
        packets
    }
}

impl<B: Batch> Receiver<B> {
    /// The next bundle, in the order in which they were sent.
    pub(crate) fn take(&mut self) -> Option<Box<Bundle<B>>> {
        self.full.pop().ok()
    }

    /// Clears a bundle and sends it back to be filled again.
    pub(crate) fn give_back(&mut self, mut bundle: Box<Bundle<B>>) {
        bundle.clear();
        // There is room for every bundle that exists; were there none, the memory would be freed, that is all.
        let _ = self.empty.push(bundle);
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
        sender.take_frames(&mut batch);
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
            receiver.give_back(bundle);
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
        assert_eq!((sender.publish(), sender.discard()), (Published::Full, 4));
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
        assert_eq!(sender.publish(), Published::Gone(3));
        assert_eq!(sender.publish(), Published::Done);
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
