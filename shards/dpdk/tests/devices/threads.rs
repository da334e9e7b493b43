//! A thread a queue.

use std::sync::mpsc;
use std::thread;

use mosaic_dpdk::{DpdkFactory, MbufBatch, factories};
use mosaic_port::{Batch, Port, PortFactory, Received};

use crate::support::{all, device, in_use, inline, tap};

const BURSTS: u64 = 2000;

/// Forwards bursts; every other burst, three frames take the way through the other thread and come back to be sent.
fn forward(
    factory: Box<DpdkFactory>,
    to: &mpsc::Sender<(MbufBatch, bool)>,
    from: &mpsc::Receiver<(MbufBatch, bool)>,
) -> u64 {
    let mut port = factory.open().expect("a port");
    let mut batch = MbufBatch::default();
    let (mut sent, mut bursts, mut awaited, mut is_told) = (0, 0, 0, false);
    let mut other_is_done = false;
    while !(is_told && other_is_done && awaited == 0) {
        if bursts < BURSTS {
            if port.rx_burst(&mut batch).ok() == Some(Received::Frames) {
                bursts += 1;
                if bursts % 2 == 0 {
                    let mut other = MbufBatch::default();
                    batch.hand_over(&[0, 1, 2], &mut other);
                    to.send((other, false)).expect("the other thread listens");
                    awaited += 1;
                }
                sent += port.tx_burst(&mut batch, u64::MAX).frames;
            }
        } else if awaited == 0 && !is_told {
            is_told = true;
            to.send((MbufBatch::default(), true))
                .expect("the other thread listens");
        }
        while let Ok((mut batch, is_back)) = from.try_recv() {
            match (batch.is_empty(), is_back) {
                (true, _) => other_is_done = true,
                (false, false) => to.send((batch, true)).expect("the other thread listens"),
                (false, true) => {
                    awaited -= 1;
                    let bits = all(&batch);
                    sent += port.tx_burst(&mut batch, bits).frames;
                }
            }
        }
    }
    sent
}

#[test]
fn two_threads_forward_and_exchange_frames() {
    let (a, b) = (
        device("net_null60,size=60", 2),
        device("net_null61,size=60", 2),
    );
    let factories = factories(&[inline(&a, &b)], 2);
    let (to_first, from_second) = mpsc::channel();
    let (to_second, from_first) = mpsc::channel();
    let ends = [(to_second, from_second), (to_first, from_first)];
    let threads: Vec<_> = factories
        .into_iter()
        .flatten()
        .zip(ends)
        .map(|(factory, (to, from))| thread::spawn(move || forward(factory, &to, &from)))
        .collect();
    let sent: Vec<u64> = threads
        .into_iter()
        .map(|thread| thread.join().expect("the thread ends well"))
        .collect();
    assert_eq!(sent, [BURSTS * 64; 2]);
    assert_eq!(a.stats().tx_packets + b.stats().tx_packets, 2 * BURSTS * 64);
    assert_eq!((in_use(&a), in_use(&b)), (0, 0));
}

#[test]
fn a_queue_is_handed_out_once_at_a_time() {
    let null = device("net_null62", 2);
    let wires = [tap(&null)];
    let first = factories(&wires, 2);
    assert!(first.iter().all(Option::is_some));
    assert!(factories(&wires, 2).iter().all(Option::is_none));
    let mut first = first.into_iter();
    let port = first.next().flatten().map(PortFactory::open);
    drop(first);
    assert!(factories(&wires, 2)[0].is_none(), "a port has queue 0");
    assert!(factories(&wires, 2)[1].is_some(), "queue 1 is free again");
    drop(port);
    assert!(factories(&wires, 2).iter().all(Option::is_some));
    assert!(
        factories(&[inline(&null, &null)], 1)[0].is_none(),
        "no device is both ends"
    );
}

#[test]
fn a_thread_may_have_several_ports() {
    thread::spawn(|| {
        let (a, b) = (device("net_null63", 1), device("net_null64", 1));
        let mut first = crate::support::port(&[tap(&a)]);
        let mut second = crate::support::port(&[tap(&b)]);
        drop(crate::support::burst(&mut first));
        drop(first);
        drop(crate::support::burst(&mut second));
        assert_eq!((in_use(&a), in_use(&b)), (0, 0));
    })
    .join()
    .expect("the thread ends well");
}
