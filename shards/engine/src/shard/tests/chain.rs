//! Several monitors on one shard form a chain.

use std::format;
use std::string::String;
use std::vec::Vec;

use super::fixture::{Bench, CLIENT, SERVER};
use crate::actor::{ActorId, FlowContext, Host, MonitorId, PacketError, PacketView};
use crate::event::{Event, EventSet, Hook, Verdict};
use crate::shard::{Shard, ShardConfig};
use crate::wire::{Encapsulation, TcpFlags};

/// Writes down who was called, with what; the actor `drops` at its events.
#[derive(Default)]
struct Calls {
    log: Vec<String>,
    drops: Option<ActorId>,
    results: Vec<Result<(), PacketError>>,
}

impl Host for Calls {
    fn on_packet(
        &mut self,
        actor: ActorId,
        _: &mut FlowContext<'_>,
        packet: &PacketView<'_>,
        _: Hook,
    ) -> Verdict {
        self.log.push(format!("{} {:?}", actor.0, packet.sender));
        Verdict::Forward
    }

    fn on_event(&mut self, actor: ActorId, flow: &mut FlowContext<'_>, event: Event) {
        self.log.push(format!("{} {event:?}", actor.0));
        if self.drops == Some(actor) {
            self.results.push(flow.drop_packet());
        }
    }
}

fn open(shard: &mut Shard, actor: u8) -> MonitorId {
    let mut start = shard.start_actor(ActorId(actor));
    let monitor = start.monitor_stream(None).packets(Hook::Send);
    monitor.on(Hook::End, EventSet::NEW_DATA).open().unwrap()
}

fn exchange(shard: &mut Shard, calls: &mut Calls, port: u16) -> Vec<String> {
    let mut bench = Bench::without_actors(ShardConfig::default());
    bench.port = port;
    let ack = TcpFlags::ACK;
    for (from, seq) in [(CLIENT, 1), (SERVER, 1)] {
        let (packet, bytes) = bench.segment(from, ack, seq, 1, b"abc");
        shard.handle_burst(&[packet], &[&bytes], &[Encapsulation::default()], calls);
    }
    core::mem::take(&mut calls.log)
}

#[test]
fn from_the_client_first_to_last_and_back() {
    let (mut shard, mut calls) = (Shard::new(ShardConfig::default()), Calls::default());
    let first = open(&mut shard, 0);
    open(&mut shard, 1);
    open(&mut shard, 2);
    let there = ["0 Client", "1 Client", "2 Client"];
    let there_data = [
        "0 NewData(Client)",
        "1 NewData(Client)",
        "2 NewData(Client)",
    ];
    let back = ["2 Server", "1 Server", "0 Server"];
    let back_data = [
        "2 NewData(Server)",
        "1 NewData(Server)",
        "0 NewData(Server)",
    ];
    assert_eq!(
        exchange(&mut shard, &mut calls, 1),
        [there, there_data, back, back_data].concat()
    );

    // One that is opened anew is the last, whichever place in the pool it gets.
    shard.finish(&mut calls);
    shard.start_actor(ActorId(0)).close(first).unwrap();
    for _ in 0..crate::limits::MONITORS - 3 {
        let unused = open(&mut shard, 3);
        shard.start_actor(ActorId(3)).close(unused).unwrap();
    }
    open(&mut shard, 0);
    calls.log.clear();
    let order = exchange(&mut shard, &mut calls, 2);
    assert_eq!(order[..3], ["1 Client", "2 Client", "0 Client"]);
    assert_eq!(order[6..9], ["0 Server", "2 Server", "1 Server"]);
}

#[test]
fn an_event_at_a_hook_may_drop_its_packet() {
    let (mut shard, mut calls) = (Shard::new(ShardConfig::default()), Calls::default());
    let changes = EventSet::STATE_CHANGE;
    for (actor, hook) in [(0, Hook::Send), (1, Hook::Receive), (2, Hook::End)] {
        let mut start = shard.start_actor(ActorId(actor));
        start.monitor_stream(None).on(hook, changes).open().unwrap();
    }
    let mut bench = Bench::without_actors(ShardConfig::default());
    let mut send = |drops, calls: &mut Calls| {
        calls.drops = Some(ActorId(drops));
        bench.port += 1;
        let (packet, bytes) = bench.segment(CLIENT, TcpFlags::SYN, 0, 0, b"");
        let layers = [Encapsulation::default()];
        let dropped = shard.handle_burst(&[packet], &[&bytes], &layers, calls);
        (dropped, core::mem::take(&mut calls.results))
    };
    assert_eq!(send(3, &mut calls), (0, Vec::new()));
    assert_eq!(send(0, &mut calls), (1, [Ok(())].into()));
    assert_eq!(send(1, &mut calls), (1, [Ok(())].into()));
    let none = Err(PacketError::NoPacket);
    assert_eq!(send(2, &mut calls), (0, [none; 2].into()));
    assert_eq!(PacketError::NoPacket.errno(), "ENODATA");
}

#[test]
fn events_are_refused_at_hooks_where_they_do_not_happen() {
    let mut shard = Shard::new(ShardConfig::default());
    for event in EventSet::all().iter() {
        for hook in [Hook::Send, Hook::Receive, Hook::End] {
            let mut start = shard.start_actor(ActorId(0));
            let opened = start.monitor_stream(None).on(hook, event).open();
            assert_eq!(
                opened.is_ok(),
                EventSet::at(hook).contains(event),
                "{event:?} {hook:?}"
            );
            if let Ok(monitor) = opened {
                start.close(monitor).unwrap();
            }
        }
    }
}
