use super::fixture::{Bench, CLIENT, SERVER};
use crate::actor::{ActorId, FlowContext, Host, PeekError};
use crate::event::{Event, EventSet, Hook};
use crate::shard::ShardConfig;
use std::string::String;
use std::vec::Vec;

#[test]
fn a_reader_that_takes_little_gets_everything_in_the_end() {
    let mut bench = Bench::without_actors(ShardConfig::default());
    bench.add_actor(EventSet::all(), 3, 0);
    bench.add_actor(EventSet::all(), usize::MAX, 0);
    bench.open();
    for (seq, text) in [(1, "abcdefgh"), (9, "i"), (10, "j"), (11, "k"), (12, "l")] {
        bench.send(CLIENT, "AP", seq, 1, text);
    }
    assert_eq!(bench.host.0[0].read[0], b"abcdefghijkl");
    assert_eq!(bench.host.0[1].read[0], b"abcdefghijkl");
    assert_eq!(
        bench.host.0[1]
            .log
            .iter()
            .filter(|line| *line == "NewData(Client)")
            .count(),
        5
    );
}

#[test]
fn a_reader_that_never_reads_loses_its_own_bytes_only() {
    let config = ShardConfig {
        side_bytes_max: 10,
        out_of_order_bytes_max: 10,
        ..ShardConfig::default()
    };
    let mut bench = Bench::without_actors(config);
    bench.add_actor(EventSet::all(), usize::MAX, 0);
    bench.add_actor(EventSet::all(), 0, 0);
    bench.open();
    for i in 0..4 {
        bench.send(CLIENT, "AP", 1 + 5 * i, 1, "12345");
    }
    assert_eq!(bench.read(CLIENT), "12345123451234512345");
    assert_eq!(bench.shard.counters().overrun_bytes, 10);
    assert!(
        bench.host.0[1]
            .log
            .contains(&"Client Overrun { len: 5 }".into())
    );
    bench.host.0[1].appetite = usize::MAX;
    bench.send(CLIENT, "AP", 21, 1, "!");
    assert_eq!(bench.host.0[1].lost[0], 10);
    assert_eq!(bench.host.0[1].read[0], b"1234512345!");
}

#[test]
fn holes_are_seen_by_slow_readers_as_well() {
    let mut bench = Bench::without_actors(ShardConfig::default());
    bench.add_actor(EventSet::all(), 2, 0);
    bench.open();
    bench.send(CLIENT, "AP", 1, 1, "abcd");
    bench.send(CLIENT, "AP", 8, 1, "hij");
    bench.send(SERVER, "A", 1, 11, "");
    bench.now_ms += 1000;
    bench.send(SERVER, "A", 1, 11, "");
    for seq in 11..16 {
        bench.send(CLIENT, "AP", seq, 1, "+");
    }
    assert_eq!(bench.read(CLIENT), "abcdhij+++++");
}

#[test]
fn a_stopped_actor_hears_only_of_the_removal() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.host.0[0].stops = true;
    bench.open();
    assert_eq!(bench.log(), ["ConnStart"]);
    bench.send(CLIENT, "AP", 1, 1, "unheard");
    bench.finish();
    assert_eq!(bench.log(), ["removed"]);
    assert_eq!(bench.removed().sides[0].stream_bytes, 7);
}

/// Looks back into the stream at every new byte.
#[derive(Default)]
struct LookingBack(Vec<Result<String, PeekError>>);

impl Host for LookingBack {
    fn on_event(&mut self, _: ActorId, flow: &mut FlowContext<'_>, event: Event) {
        if let Event::NewData(side) | Event::StateChange { side, .. } = event {
            let mut bytes = [0; 6];
            let before = flow.unread(side);
            let result = flow.peek_at(side, 2, &mut bytes);
            assert_eq!(flow.unread(side), before, "peek_at moves no reader");
            self.0
                .push(result.map(|len| String::from_utf8_lossy(&bytes[..len]).into_owned()));
            let _ = flow.peek(side, |chunks| chunks.map(<[u8]>::len).sum());
        }
    }
}

#[test]
fn peek_at_reaches_what_is_retained() {
    let mut bench = Bench::without_actors(ShardConfig::default());
    let mut start = bench.shard.start_actor(ActorId(0));
    start
        .monitor_stream(None)
        .on(Hook::End, EventSet::NEW_DATA)
        .retain(6)
        .open()
        .unwrap();
    let mut host = LookingBack::default();
    let texts = ["ab", "cd", "efgh", "ij", "k"];
    let mut seq = 1;
    for text in texts {
        let segment = bench.segment(
            CLIENT,
            super::fixture::letters("AP"),
            seq,
            1,
            text.as_bytes(),
        );
        bench.shard.handle_burst(
            &[segment.0],
            &[&segment.1],
            &[Default::default()],
            &mut host,
        );
        seq += text.len() as u32;
    }
    let expected = [
        Err(PeekError::NoData),
        Ok("cd".into()),
        Ok("cdefgh".into()),
        Ok("cdefgh".into()),
        Err(PeekError::NoData),
    ];
    assert_eq!(host.0, expected);
    bench.shard.finish(&mut host);
    assert_eq!(bench.shard.buffered_bytes(), 0);
}
