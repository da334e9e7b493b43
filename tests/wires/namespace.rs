//! Network namespaces, and programs in them.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Names of namespaces begin with it; the number of the process that made them follows.
const PREFIX: &str = "mosaic-wires-";
/// Seconds that any one command may take.
const COMMAND_SECONDS: &str = "160";
/// Time within which everything here happens on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What must be installed.
const TOOLS: &[&str] = &[
    "curl",
    "ethtool",
    "ip",
    "iperf3",
    "nginx",
    "ping",
    "python3",
    "redis-benchmark",
    "redis-cli",
    "redis-server",
    "setpriv",
    "tc",
    "timeout",
];

/// Whether there may be namespaces, with all tools in them; says so where not.
pub(crate) fn is_possible() -> bool {
    let mut why_not = String::new();
    if !rustix::process::geteuid().is_root() {
        why_not += "network namespaces need root";
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    for tool in TOOLS {
        if !std::env::split_paths(&path).any(|folder| folder.join(tool).exists()) {
            let _ = write!(why_not, " {tool} is not installed");
        }
    }
    if why_not.is_empty() {
        return true;
    }
    eprintln!("skipped: {} (see `.ci/setup test`)", why_not.trim());
    false
}

/// Asks again and again until there is an answer.
#[expect(
    clippy::disallowed_methods,
    reason = "programs take the time they take"
)]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} does not happen");
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("outputs are text")
}

/// A network namespace, deleted when dropped.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// A new one, with `role` in its name. Those of processes that are gone are deleted.
    pub(crate) fn new(role: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        delete_left_over();
        let process = std::process::id();
        let name = eventually("a new namespace", || {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("{PREFIX}{process}-{number}-{role}");
            let added = Command::new("ip").args(["netns", "add", &name]).output();
            added.unwrap().status.success().then_some(name)
        });
        let namespace = Self { name };
        namespace.ip("link set lo up");
        namespace
    }

    /// No IPv6, so that it sends nothing by itself.
    pub(crate) fn silence(&self) {
        for which in ["all", "default"] {
            self.set(&format!("net/ipv6/conf/{which}/disable_ipv6"), "1");
        }
    }

    /// Sets a value of `/proc/sys`.
    pub(crate) fn set(&self, key: &str, value: &str) {
        let script = format!("echo {value} >/proc/sys/{key}");
        self.run(&["sh", "-c", &script]);
    }

    /// The same where this kernel has such a key.
    pub(crate) fn set_if_known(&self, key: &str, value: &str) {
        let script = format!("[ ! -e /proc/sys/{key} ] || echo {value} >/proc/sys/{key}");
        self.run(&["sh", "-c", &script]);
    }

    /// `program`, in the namespace, bounded in time.
    pub(crate) fn command(&self, program: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=2", COMMAND_SECONDS]);
        command.args(["ip", "netns", "exec", &self.name]);
        command.args(program).stdin(Stdio::null());
        command
    }

    /// What `program` prints; it must succeed.
    #[track_caller]
    pub(crate) fn run(&self, program: &[&str]) -> String {
        let output = self.command(program).output().unwrap();
        assert!(output.status.success(), "{program:?} {output:?}");
        text(&output.stdout).to_owned()
    }

    /// As [`run`](Self::run), of words without spaces.
    #[track_caller]
    pub(crate) fn words(&self, program: &str) -> String {
        self.run(&program.split_whitespace().collect::<Vec<_>>())
    }

    /// What `program` did, whether it succeeds or not.
    pub(crate) fn output(&self, program: &str) -> Output {
        let words: Vec<_> = program.split_whitespace().collect();
        self.command(&words).output().unwrap()
    }

    /// `ip` with these arguments.
    #[track_caller]
    pub(crate) fn ip(&self, arguments: &str) {
        let output = self.ip_output(arguments);
        assert!(output.status.success(), "ip {arguments}: {output:?}");
    }

    fn ip_output(&self, arguments: &str) -> Output {
        let mut ip = Command::new("ip");
        ip.args(["-n", &self.name]);
        ip.args(arguments.split_whitespace()).output().unwrap()
    }

    /// A pair of interfaces: `here`, and `there` in another namespace. Both are up.
    pub(crate) fn join(&self, here: &str, other: &Self, there: &str) {
        let name = &other.name;
        self.ip(&format!(
            "link add {here} type veth peer name {there} netns {name}"
        ));
        self.ip(&format!("link set {here} up"));
        other.ip(&format!("link set {there} up"));
    }

    /// Hardware address of an interface.
    pub(crate) fn hardware_address(&self, interface: &str) -> String {
        let path = format!("/sys/class/net/{interface}/address");
        self.run(&["cat", &path]).trim().to_owned()
    }

    /// Frames that an interface has received and sent, as the kernel counts them.
    pub(crate) fn frames(&self, interface: &str) -> [u64; 2] {
        let output = self.ip_output(&format!("-s -j link show {interface}"));
        let links: Value = serde_json::from_slice(&output.stdout).unwrap();
        let stats = &links[0]["stats64"];
        ["rx", "tx"].map(|way| stats[way]["packets"].as_u64().unwrap())
    }

    /// A figure of the kernel about a protocol over IPv4, as in `/proc/net/snmp`; those of TCP are about both versions.
    pub(crate) fn statistic(&self, protocol: &str, name: &str) -> u64 {
        let text = self.words("cat /proc/net/snmp");
        let mut lines = text
            .lines()
            .filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(": "));
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        let at = names.split(' ').position(|known| known == name).unwrap();
        values.split(' ').nth(at).unwrap().parse().unwrap()
    }

    /// Starts `program` in the background, its outputs in `folder` under its name. It ends with the thread that starts it.
    pub(crate) fn start(&self, program: &[&str], folder: &Path, name: &str) -> Background {
        let file = |kind: &str| File::create(folder.join(format!("{name}.{kind}"))).unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]);
        command.args(["setpriv", "--pdeathsig", "KILL", "--"]);
        command.args(program).stdin(Stdio::null());
        command.stdout(file("out")).stderr(file("err"));
        Background {
            child: command.spawn().unwrap(),
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        delete(&self.name);
    }
}

fn delete(name: &str) {
    let _ = Command::new("ip").args(["netns", "del", name]).output();
}

/// Deletes the namespaces of runs that were killed.
fn delete_left_over() {
    let output = Command::new("ip").args(["netns", "list"]).output().unwrap();
    let lines = text(&output.stdout).lines();
    for name in lines.filter_map(|line| line.split_whitespace().next()) {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let process = rest.split('-').next().unwrap_or_default();
        if !Path::new("/proc").join(process).exists() {
            delete(name);
        }
    }
}

/// A program in the background, killed when dropped.
#[derive(Debug)]
pub(crate) struct Background {
    child: Child,
}

impl Background {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Its end, in bounded time.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the end of a program", || self.child.try_wait().unwrap())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
