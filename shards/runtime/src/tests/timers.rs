//! Timers and closed monitors, through the host that runs actors.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mosaic_engine::actor::{
    Actor, FlowContext, MonitorId, PacketView, ShardContext, StartError, TimerId,
};
use mosaic_engine::event::{Hook, Verdict};
use mosaic_port::{PortFactory, Received, Timestamp};

use super::support::*;
use crate::{ActorSpec, LocalShard, OnPanic};

/// Counts packets of each flow; its timers say how many.
struct Clockwork {
    lines: Arc<Mutex<Vec<String>>>,
    monitor: Option<MonitorId>,
    panics: bool,
}

/// Says that it was dropped once it has counted.
#[derive(Default)]
struct Count(u32, Option<Arc<Mutex<Vec<String>>>>);

impl Drop for Count {
    fn drop(&mut self) {
        if let Some(lines) = &self.1 {
            lines.lock().unwrap().push(format!("dropped {}", self.0));
        }
    }
}

impl Actor for Clockwork {
    type Flow = Count;

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        let monitor = shard.monitor_stream(None).packets(Hook::Send).open()?;
        self.monitor = Some(monitor);
        shard.set_timer_every(Duration::from_secs(10))?;
        Ok(())
    }

    fn on_packet(
        &mut self,
        count: &mut Count,
        flow: &mut FlowContext<'_>,
        _: &PacketView<'_>,
        _: Hook,
    ) -> Verdict {
        count.0 += 1;
        if count.0 == 1 {
            count.1 = Some(Arc::clone(&self.lines));
            flow.set_timer(Duration::from_secs(5)).unwrap();
        }
        Verdict::Forward
    }

    fn on_timer(&mut self, count: &mut Count, _: &mut FlowContext<'_>, _: TimerId) {
        self.lines
            .lock()
            .unwrap()
            .push(format!("counted {}", count.0));
    }

    fn on_shard_timer(&mut self, shard: &mut ShardContext<'_>, _: TimerId) {
        assert!(!self.panics, "in a timer");
        if let Some(monitor) = self.monitor.take() {
            shard.close(monitor).unwrap();
        }
    }
}

/// What is written down when 20 s pass after four packets of one flow, and how often the actor panicked.
fn outcome(panics: bool) -> (Vec<String>, u64) {
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let for_actor = Arc::clone(&lines);
    let spec = ActorSpec::new("clockwork", move |_| Clockwork {
        lines: Arc::clone(&for_actor),
        monitor: None,
        panics,
    });
    let mut shard = LocalShard::new(wire(), shard_config(), &[spec], OnPanic::Forward).unwrap();
    let mut port = Box::new(Script::new(&in_turn(1, 4), 64)).open().unwrap();
    let mut batch = TestBatch::default();
    let mut now = Timestamp::ZERO;
    while mosaic_port::Port::rx_burst(&mut port, &mut batch).unwrap() == Received::Frames {
        now = now.max(mosaic_port::Batch::frame(&batch, 0).timestamp);
        shard.run_burst(&mut batch);
    }
    for second in 1..=20 {
        shard.run_clock(now.saturating_add_nanos(second * 1_000_000_000));
    }
    let panics = shard
        .snapshot()
        .actor_panics
        .iter()
        .map(|actor| actor.panics)
        .sum();
    let lines = lines.lock().unwrap().clone();
    (lines, panics)
}

#[test]
fn a_timer_has_the_state_of_its_flow_and_a_closed_monitor_leaves_none() {
    let expected = ["counted 4", "dropped 4"].map(String::from);
    assert_eq!(outcome(false), (expected.to_vec(), 0));
}

#[test]
fn a_panic_in_a_timer_is_contained_and_the_beat_goes_on() {
    let (lines, panics) = outcome(true);
    assert_eq!((lines.len(), panics), (2, 2), "{lines:?}");
}
