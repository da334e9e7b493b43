//! `mosaic run`, and what it says about the traffic.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ::mosaic::config::Plan;
use ::mosaic::control::Interrupt;
use ::mosaic::prelude::{Actor, Runtime};
use serde_json::Value;

use crate::built;
use crate::lab::{Device, Lab};
use crate::namespace::{Background, eventually};

/// Looks at figures, 50 ms each, for which they stay the same at rest: they are published once a second.
const UNCHANGED: u32 = 24;

/// `mosaic run` at work in the middle.
#[derive(Debug)]
pub(crate) struct Mosaic<'a> {
    lab: &'a Lab,
    process: Background,
    address: String,
    log: PathBuf,
}

/// What it left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) summary: String,
    pub(crate) records: Vec<Record>,
}

impl<'a> Mosaic<'a> {
    /// On an inline wire.
    pub(crate) fn inline(lab: &'a Lab, device: Device, rules: &str) -> Self {
        let mosaic = Self::start(lab, &lab.wire(device, rules));
        lab.bridge_taps(device);
        mosaic
    }

    /// With any configuration.
    pub(crate) fn start(lab: &'a Lab, config: &str) -> Self {
        let log = lab.path("connections.jsonl");
        let _ = fs::remove_file(&log);
        // Another build of the same program, for figures of optimized code.
        let program = std::env::var("MOSAIC_PROGRAM");
        let program = program.unwrap_or_else(|_| env!("CARGO_BIN_EXE_mosaic").to_owned());
        let file = Self::configure(lab, config);
        let arguments = [
            &program,
            "run",
            "-c",
            &file,
            "--conn-log",
            log.to_str().unwrap(),
            "--metrics",
            "127.0.0.1:0",
        ];
        Self::program(lab, &arguments)
    }

    /// An example on an inline wire, with these arguments.
    pub(crate) fn example(lab: &'a Lab, device: Device, name: &str, arguments: &[&str]) -> Self {
        Self::example_with(lab, device, name, arguments, "")
    }

    /// The same, with more sections of the configuration.
    pub(crate) fn example_with(
        lab: &'a Lab,
        device: Device,
        name: &str,
        arguments: &[&str],
        more: &str,
    ) -> Self {
        let wire = lab.wire(device, more);
        let file = Self::configure(lab, &(wire + "[metrics]\nlisten = \"127.0.0.1:0\"\n"));
        let program = built::example(name);
        let begin = [program.to_str().unwrap(), "--config", &file];
        let mosaic = Self::program(lab, &[&begin, arguments].concat());
        lab.bridge_taps(device);
        mosaic
    }

    /// A test of this binary that is run for nothing else, with this configuration: it finds the name of its file in the variable
    /// `variable` of its environment.
    pub(crate) fn own_test(lab: &'a Lab, config: &str, variable: &str, test: &str) -> Self {
        let variable = format!("{variable}={}", Self::configure(lab, config));
        let program = std::env::current_exe().unwrap();
        let program = program.to_str().unwrap();
        let arguments = [
            "env",
            &variable,
            program,
            "--exact",
            test,
            "--ignored",
            "--nocapture",
        ];
        Self::program(lab, &arguments)
    }

    /// The name of a file with this configuration.
    fn configure(lab: &Lab, config: &str) -> String {
        let file = lab.path("mosaic.toml");
        fs::write(&file, config).unwrap();
        file.to_str().unwrap().to_owned()
    }

    fn program(lab: &'a Lab, program: &[&str]) -> Self {
        let mut mosaic = Self {
            lab,
            process: lab.m.start(program, lab.folder(), "mosaic"),
            address: String::new(),
            log: lab.path("connections.jsonl"),
        };
        mosaic.address = eventually("that mosaic is ready", || {
            let said = mosaic.said();
            assert!(mosaic.process.is_running(), "it ended: {said}");
            let (_, rest) = said.split_once(": metrics at ")?;
            rest.split_once('\n').map(|(address, _)| address.to_owned())
        });
        mosaic
    }

    /// What it has said on standard output.
    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(self.lab.path("mosaic.out")).unwrap()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// What it has said on standard error.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.lab.path("mosaic.err")).unwrap()
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let text = self.lab.m.run(&["curl", "-sS", "-m", "10", &self.address]);
        let values = text.lines().filter(|line| line.starts_with("mosaic_"));
        let values = values.map(|line| {
            let (key, value) = line.rsplit_once(' ').unwrap();
            (key.to_owned(), value.parse().unwrap())
        });
        Metrics {
            values: values.collect(),
        }
    }

    /// Waits for figures about which `ask` has an answer.
    pub(crate) fn wait_for<T>(&self, what: &str, ask: impl Fn(&Metrics) -> Option<T>) -> T {
        eventually(what, || ask(&self.metrics()))
    }

    /// Figures once nothing moves any more, and the books balance: shards have seen what ports have received.
    pub(crate) fn at_rest(&self) -> Metrics {
        let mut before = None;
        let mut unchanged = 0;
        eventually("rest", || {
            let now = self.metrics();
            let received = now.sum("mosaic_received_frames_total", &[]);
            let sent = now.sum("mosaic_forwarded_frames_total", &[]);
            let agree = received == now.sum("mosaic_port_received_frames_total", &[])
                && sent == now.sum("mosaic_port_sent_frames_total", &[])
                && now.unaccounted() == 0.0;
            let same = before.replace((received, sent)) == Some((received, sent));
            unchanged = if agree && same { unchanged + 1 } else { 0 };
            (unchanged >= UNCHANGED).then_some(now)
        })
    }

    /// User and system time so far, in ticks.
    pub(crate) fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let fields: Vec<_> = fields.split_whitespace().collect();
        [11, 12]
            .map(|i: usize| fields[i].parse::<u64>().unwrap())
            .iter()
            .sum()
    }

    /// Ends it as an operator does.
    pub(crate) fn end(mut self) -> Ended {
        self.process.signal("INT");
        let status = self.process.wait();
        assert!(status.success(), "{status}: {}", self.said());
        // Examples write none.
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let records = text.lines();
        Ended {
            records: records
                .map(|line| Record(serde_json::from_str(line).unwrap()))
                .collect(),
            summary: fs::read_to_string(self.lab.path("mosaic.out")).unwrap(),
        }
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(mut self) {
        self.process.signal("KILL");
        assert!(!self.process.wait().success());
    }
}

/// What a test that [`Mosaic::own_test`] has started does: an actor on a wire, until it is interrupted. Nothing, where it was
/// started otherwise.
pub(crate) fn run_alone<A: Actor>(
    variable: &str,
    name: &str,
    actor: impl Fn(u16) -> A + Send + Sync + 'static,
) {
    let Ok(file) = std::env::var(variable) else {
        return;
    };
    let mut plan = Plan::default();
    plan.read_file(Path::new(&file)).unwrap();
    let address = plan.metrics.unwrap();
    let interrupt = Interrupt::catch().unwrap();
    let runtime = Runtime::builder()
        .plan(plan)
        .actor(name, actor)
        .start()
        .unwrap();
    let server = ::mosaic::metrics::serve(address, runtime.watch()).unwrap();
    eprintln!("{name}: metrics at http://{}/metrics", server.address());
    runtime.drive(|runtime| {
        if interrupt.is_asked() {
            runtime.stop();
        }
    });
    runtime.wait().unwrap().into_result().unwrap();
}

/// Values by name and labels.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    values: BTreeMap<String, f64>,
}

impl Metrics {
    /// The sum over all labels but `labels`, such as `reason="exit"`.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let with_labels = format!("{name}{{");
        let chosen = self.values.iter().filter(|(key, _)| {
            key.starts_with(&with_labels) && labels.iter().all(|label| key.contains(label))
        });
        let values: Vec<f64> = chosen.map(|(_, value)| *value).collect();
        assert!(!values.is_empty(), "{name} {labels:?}");
        values.iter().sum()
    }

    pub(crate) fn of_port(&self, what: &str, port: &str) -> f64 {
        let name = format!("mosaic_port_{what}");
        self.sum(&name, &[&format!("port=\"{port}\"")])
    }

    /// Values by the value of a label, added up over the others.
    pub(crate) fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let (with_labels, label) = (format!("{name}{{"), format!("{label}=\""));
        let mut sums = BTreeMap::new();
        for (key, value) in &self.values {
            if let Some(labels) = key.strip_prefix(&with_labels) {
                let (_, rest) = labels.split_once(&label).unwrap();
                let (of, _) = rest.split_once('"').unwrap();
                *sums.entry(of.to_owned()).or_default() += value;
            }
        }
        sums
    }

    /// Frames dropped on the wire.
    pub(crate) fn dropped(&self, reason: &str) -> f64 {
        let reason = format!("reason=\"{reason}\"");
        self.sum("mosaic_wire_dropped_frames_total", &[&reason])
    }

    /// What the books of the wire lack: received + injected = forwarded + dropped + held.
    pub(crate) fn unaccounted(&self) -> f64 {
        let all = |name| self.sum(name, &[]);
        all("mosaic_received_frames_total")
            + all("mosaic_unseen_frames_total")
            + all("mosaic_injected_frames_total")
            - all("mosaic_forwarded_frames_total")
            - all("mosaic_wire_dropped_frames_total")
            - all("mosaic_held_frames")
    }
}

/// A line of the connection log.
#[derive(Clone, Debug)]
pub(crate) struct Record(Value);

impl Record {
    fn at(&self, field: &str) -> &Value {
        let pointer = format!("/{}", field.replace('.', "/"));
        let value = self.0.pointer(&pointer);
        value.unwrap_or_else(|| panic!("{field} of {}", self.0))
    }

    /// A number, such as `c2s.stream_bytes`.
    pub(crate) fn number(&self, field: &str) -> u64 {
        self.at(field).as_u64().unwrap()
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.at(field).as_str().unwrap()
    }

    pub(crate) fn vlans(&self) -> Vec<u64> {
        let vlans = self.at("vlans").as_array().unwrap();
        vlans.iter().map(|vlan| vlan.as_u64().unwrap()).collect()
    }

    /// Sum over both sides.
    pub(crate) fn both(&self, field: &str) -> u64 {
        ["c2s", "s2c"]
            .map(|side| self.number(&format!("{side}.{field}")))
            .iter()
            .sum()
    }
}

impl Ended {
    /// Records of a protocol with this server port.
    pub(crate) fn of(&self, proto: &str, port: u64) -> Vec<&Record> {
        let chosen = self
            .records
            .iter()
            .filter(|record| record.text("proto") == proto && record.number("server.port") == port);
        chosen.collect()
    }
}
