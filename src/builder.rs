//! From settings and actors to a running stack.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mosaic_engine::actor::Actor;
use mosaic_engine::shard::{OverlapPolicy, Profile};
use mosaic_engine::wire::{Checksums, KeyDomain};
use mosaic_port::capture::CaptureFactory;
use mosaic_port::{Port, PortFactory};
use mosaic_runtime::{ActorSpec, Plan as Shards};

use crate::config::words::Timeout;
use crate::config::{Plan, ranges};
use crate::control::{Interrupt, say};
use crate::{Error, Report, Result, Runtime, filter, metrics};

/// Collects what to run. Later settings win over earlier ones, a configuration file among them.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing runs until `run` or `start` is called"]
pub struct Builder {
    pub(crate) plan: Plan,
    actors: Vec<ActorSpec>,
}

impl Builder {
    /// Takes over the TOML file at `path`; see [`config`](crate::config) for its keys.
    ///
    /// # Errors
    /// [`Error::Config`], naming file, line and key.
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Result<Self> {
        self.plan.read_file(path)?;
        Ok(self)
    }

    /// Takes over a whole plan, in place of everything set so far but actors.
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }

    /// Reads packets from the capture at `path`, after the captures named before it; `-` is standard input.
    pub fn capture(mut self, path: impl Into<PathBuf>) -> Self {
        self.plan.captures.push(path.into());
        self
    }

    /// Reads packets from several captures, one after the other as one source.
    pub fn captures(mut self, paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.plan.captures.extend(paths.into_iter().map(Into::into));
        self
    }

    /// Number of shards, 1 to 128; 1 by default. Cores named before no longer count.
    pub fn shards(mut self, shards: u16) -> Self {
        self.plan.shards = shards;
        self.plan.cores.clear();
        self
    }

    /// Runs an actor on every shard: `make` makes the instance of the shard of the given number.
    pub fn actor<A: Actor>(
        mut self,
        name: &str,
        make: impl Fn(u16) -> A + Send + Sync + 'static,
    ) -> Self {
        self.actors.push(ActorSpec::new(name, make));
        self
    }

    /// Whether checksums are verified; they are by default.
    pub fn checksums(mut self, checksums: Checksums) -> Self {
        self.plan.wire.checksums = checksums;
        self
    }

    /// Flows end after this time without a packet; `None` disables every timeout. See [`Plan::set_idle_timeout`].
    /// Rounded up to whole seconds.
    pub fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        let whole = |time: Duration| time.as_secs() + u64::from(time.subsec_nanos() > 0);
        self.plan.set_idle_timeout(Timeout {
            seconds: timeout.map(|time| whole(time).max(1)),
        });
        self
    }

    /// Which segments may add bytes to a stream; [`Profile::Record`] by default.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.plan.shard.profile = profile;
        self
    }

    /// Which copy of a byte counts; the first by default.
    pub fn overlap(mut self, overlap: OverlapPolicy) -> Self {
        self.plan.shard.overlap = overlap;
        self
    }

    /// Which identifiers join the flow key; none by default.
    pub fn key(mut self, domain: KeyDomain) -> Self {
        self.plan.wire.domain = domain;
        self
    }

    /// Drops the packets that the pcap-filter `expression` does not pass, before anything else.
    ///
    /// # Errors
    /// [`Error::Filter`], with libpcap's reason.
    pub fn packet_filter(mut self, expression: &str) -> Result<Self> {
        self.plan.wire.packet_filter = Some(Arc::new(filter::packets(expression)?));
        Ok(self)
    }

    /// Starts, waits until the captures end (live ports never do) or SIGINT or SIGTERM comes, lets the shards process what they have, and ends
    /// every flow. A second signal ends the process at once.
    ///
    /// # Errors
    /// As [`start`](Self::start); and where a capture turned out damaged, after what could be read of it was processed.
    pub fn run(self) -> Result<()> {
        self.until_done(|_| Ok(()), |_| ())?.into_result()
    }

    /// As [`run`](Self::run), for a program that has something to do meanwhile and afterwards: calls `tick` often at first, then
    /// 20 times a second, until every shard has ended, and gives the report, the reason why the source ended early in it.
    /// `tick` may [`stop`](Runtime::stop) the shards.
    ///
    /// Where the plan names an address for metrics, they are served there meanwhile, and a line on standard error says so:
    /// `NAME: metrics at http://ADDRESS/metrics`.
    ///
    /// ```
    /// use mosaic::prelude::*;
    ///
    /// # fn main() -> mosaic::Result<()> {
    /// let mut most = 0;
    /// let report = Runtime::builder()
    ///     .capture("tests/captures/http.pcap")
    ///     .attend("flows", |runtime| most = runtime.snapshot().flows().max(most))?;
    /// let figures = report.snapshot();
    /// println!("{} packets, at most {most} flows at a time", figures.ingress().received_frames);
    /// # assert!(figures.is_balanced() && figures.ingress().received_frames > 0);
    /// report.into_result()
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`start`](Self::start); [`Error::Metrics`], [`Error::Signals`], [`Error::LostShard`].
    pub fn attend(self, name: &str, tick: impl FnMut(&Runtime)) -> Result<Report> {
        let address = self.plan.metrics;
        let serve = |runtime: &Runtime| {
            let Some(address) = address else {
                return Ok(None);
            };
            let server = metrics::serve(address, runtime.watch())?;
            let address = server.address();
            say(format_args!("{name}: metrics at http://{address}/metrics"));
            Ok(Some(server))
        };
        self.until_done(serve, tick)
    }

    /// Runs until the source ends, `tick` stops the shards, or a signal comes. What `began` gives is kept until all is done.
    fn until_done<K>(
        self,
        began: impl FnOnce(&Runtime) -> Result<K>,
        mut tick: impl FnMut(&Runtime),
    ) -> Result<Report> {
        let interrupt = Interrupt::catch()?;
        let runtime = self.start()?;
        let _kept = began(&runtime)?;
        runtime.drive(|runtime| {
            tick(runtime);
            if interrupt.is_asked() {
                runtime.stop();
            }
        });
        runtime.wait()
    }

    /// Starts the shards and returns; they run on their own threads.
    ///
    /// # Errors
    /// [`Error::NoSource`], [`Error::TwoSources`], [`Error::Setting`], or [`Error::Runtime`], which covers captures that
    /// cannot be opened and actors that cannot start. Where live ports are configured, [`Error::NoDpdk`] without the cargo
    /// feature `dpdk`, and whatever keeps a device from being used.
    pub fn start(self) -> Result<Runtime> {
        match (self.plan.captures.is_empty(), self.plan.live.is_empty()) {
            (true, true) => return Err(Error::NoSource),
            (false, false) => return Err(Error::TwoSources),
            (true, false) => return crate::live::start(self),
            (false, true) => {}
        }
        let captures = CaptureFactory::new(self.plan.captures.clone());
        self.start_on(vec![Some(Box::new(captures))])
    }

    /// As [`start`](Self::start), but receives from `ports`, by shard number, instead of from captures.
    ///
    /// # Errors
    /// [`Error::Setting`] or [`Error::Runtime`].
    pub fn start_on<F>(self, ports: Vec<Option<Box<F>>>) -> Result<Runtime>
    where
        F: PortFactory + 'static,
        <F::Port as Port>::Batch: 'static,
    {
        let Plan {
            shards,
            cores,
            idle,
            pin,
            on_panic,
            mut wire,
            mut shard,
            live,
            ..
        } = self.plan;
        // Virtual devices bring packets of programs on this machine, which never were on a wire.
        wire.unfinished_checksums |= !live.is_empty();
        wire.errors_follow |= !live.is_empty();
        shard.hash_seed = RandomState::new().build_hasher().finish();
        let shards =
            crate::config::check(u64::from(shards), &ranges::SHARDS).map_err(|source| {
                Error::Setting {
                    key: "shards",
                    source,
                }
            })?;
        let plan = Shards {
            ports,
            actors: self.actors,
            idle,
            pin,
            cores,
            on_panic,
            wires: live.rules(),
            ..Shards::new(shards, wire, shard)
        };
        Ok(Runtime::new(mosaic_runtime::start(plan)?))
    }
}
