//! The files for containers and services: that they are in order, and that mosaic works within them.
//!
//! What cannot be tried on a machine (no root, no libseccomp, no systemd) says that it was skipped.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Exit status of `confine.py` where libseccomp is missing.
const NO_LIBSECCOMP: i32 = 77;
/// Any user that owns nothing.
const NOBODY: &str = "65534";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn profile() -> Value {
    let text = fs::read_to_string(root().join("examples/deploy/seccomp.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn unit() -> String {
    fs::read_to_string(root().join("examples/deploy/mosaic.service")).unwrap()
}

/// The words of a setting of the unit.
fn setting(name: &str) -> Vec<String> {
    let unit = unit();
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let words = line.unwrap_or_else(|| panic!("the unit has {name}"));
    words.split_whitespace().map(str::to_owned).collect()
}

fn names(profile: &Value) -> BTreeSet<String> {
    let rules = profile["syscalls"].as_array().unwrap();
    let names = rules
        .iter()
        .flat_map(|rule| rule["names"].as_array().unwrap());
    names
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A folder that another user may look into, with the program, the loader and a profile.
struct Cell {
    folder: TempDir,
}

impl Cell {
    fn new(profile: &Value) -> Self {
        let cell = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(cell.folder.path(), mode).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_mosaic"), cell.path("mosaic")).unwrap();
        fs::write(cell.path("seccomp.json"), profile.to_string()).unwrap();
        cell
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `program`, under the profile; `None` where there is no libseccomp.
    fn confined(&self, program: &[&str]) -> Option<Output> {
        let output = Command::new("python3")
            .arg(root().join("tests/deploy/confine.py"))
            .arg(self.path("seccomp.json"))
            .args(program)
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        if output.status.code() == Some(NO_LIBSECCOMP) {
            eprintln!("skipped: libseccomp is not installed (Debian package libseccomp2)");
            return None;
        }
        Some(output)
    }
}

#[test]
fn the_profile_allows_what_is_needed_and_no_more() {
    let profile = profile();
    let names = names(&profile);
    for needed in [
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "sendto",
    ] {
        assert!(names.contains(needed), "{needed}");
    }
    for refused in [
        "mount",
        "ptrace",
        "bpf",
        "init_module",
        "unshare",
        "setns",
        "iopl",
        "keyctl",
    ] {
        assert!(!names.contains(refused), "{refused}");
    }
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    // Kinds of sockets: the same as the unit's.
    let families = profile["syscalls"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|rule| {
            let comment = rule["comment"].as_str().unwrap();
            comment.strip_prefix("Sockets of ").map(str::to_owned)
        });
    assert_eq!(
        families.collect::<BTreeSet<_>>(),
        setting("RestrictAddressFamilies").into_iter().collect()
    );
}

/// The profile is what decides: without io_uring in it, the doctor names the cause, and nothing runs.
#[test]
fn without_io_uring_in_the_profile_nothing_runs_and_the_doctor_says_why() {
    let mut poorer = profile();
    for rule in poorer["syscalls"].as_array_mut().unwrap() {
        let names = rule["names"].as_array_mut().unwrap();
        names.retain(|name| !name.as_str().unwrap().starts_with("io_uring"));
    }
    let io_uring = |profile: &Value| {
        let cell = Cell::new(profile);
        let output = cell.confined(&["./mosaic", "doctor", "--json"])?;
        let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = findings["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["name"] == "io_uring")
    };
    let Some(check) = io_uring(&poorer) else {
        return;
    };
    assert_eq!(check["status"], "fail", "{check}");
    assert!(
        check["remedy"].as_str().unwrap().contains("seccomp.json"),
        "{check}"
    );
    assert_eq!(io_uring(&profile()).unwrap()["status"], "ok");
}

/// Replays and, with DPDK, runs on an interface of a network namespace: as another user, with the capabilities that the
/// unit gives, under the container's profile and under the unit's filter.
#[test]
fn mosaic_works_with_the_privileges_of_the_files() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: privileges are given away by root only");
        return;
    }
    let mut profiles = vec![profile()];
    profiles.extend(unit_filter());
    for profile in profiles {
        let cell = Cell::new(&profile);
        let capture = root().join("tests/captures/http.pcap");
        fs::copy(capture, cell.path("http.pcap")).unwrap();
        let replay = ["./mosaic", "replay", "--shards", "2", "http.pcap"];
        let Some(output) = cell.confined(&[&unprivileged(), &replay[..]].concat()) else {
            return;
        };
        assert!(output.status.success(), "{output:?}");
        assert!(text(&output.stdout).contains("closed (FIN)"));
        if cfg!(feature = "dpdk") {
            run_on_an_interface(&cell);
        } else {
            eprintln!("skipped in part: built without the feature dpdk");
        }
    }
}

/// Another user, with the unit's capabilities and no others ever.
fn unprivileged() -> Vec<&'static str> {
    let capabilities = setting("AmbientCapabilities");
    assert_eq!(capabilities, setting("CapabilityBoundingSet"));
    let mut set = String::from("-all");
    for name in capabilities {
        set += ",+";
        set += &name.strip_prefix("CAP_").unwrap().to_lowercase();
    }
    let set: &'static str = set.leak();
    vec![
        "setpriv",
        "--reuid",
        NOBODY,
        "--regid",
        NOBODY,
        "--clear-groups",
        "--no-new-privs",
        "--inh-caps",
        set,
        "--ambient-caps",
        set,
        "--bounding-set",
        set,
    ]
}

/// A tap on the loopback interface of a namespace of its own, while datagrams pass there.
fn run_on_an_interface(cell: &Cell) {
    const SCRIPT: &str = r#"
        ip link set lo up
        python3 "$LOADER" seccomp.json "$@" ./mosaic run -c m.toml --conn-log log/connections >out 2>err &
        mosaic=$!
        for try in {1..200}; do
            grep -q 'port left' err && break
            sleep 0.05
        done
        grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/$mosaic/status
        for datagram in {1..20}; do
            echo hello >/dev/udp/127.0.0.1/9
            sleep 0.02
        done
        kill -INT $mosaic
        wait $mosaic
    "#;
    let config = "[[port]]\nname = \"left\"\ndevice = \"net_af_packet0,iface=lo\"\n[[wire]]\nport = \"left\"\n\
                  [packets]\nchecksums = \"ignore\"\n";
    fs::write(cell.path("m.toml"), config).unwrap();
    for folder in ["log", "run"] {
        fs::create_dir(cell.path(folder)).unwrap();
        let owned = Command::new("chown")
            .arg(NOBODY)
            .arg(cell.path(folder))
            .status();
        assert!(owned.unwrap().success());
    }
    let output = Command::new("unshare")
        .args(["--net", "bash", "-c", SCRIPT, "bash"])
        .args(unprivileged())
        .env("LOADER", root().join("tests/deploy/confine.py"))
        .env("XDG_RUNTIME_DIR", cell.path("run"))
        .current_dir(cell.folder.path())
        .output()
        .unwrap();
    let said = fs::read_to_string(cell.path("err")).unwrap();
    assert!(output.status.success(), "{output:?} {said}");
    let status = text(&output.stdout);
    for part in [
        "Uid:\t65534",
        "CapEff:\t0000000000007000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(status.contains(part), "{part} in {status}");
    }
    let summary = fs::read_to_string(cell.path("out")).unwrap();
    assert!(summary.contains("udp"), "{summary}\n{said}");
    let log = fs::read_to_string(cell.path("log/connections")).unwrap();
    assert!(log.contains("\"udp\""), "{log}");
}

/// The unit's `SystemCallFilter`, as a profile; `None` without systemd.
fn unit_filter() -> Option<Value> {
    let mut names = BTreeSet::new();
    let mut left = setting("SystemCallFilter");
    while let Some(name) = left.pop() {
        if !name.starts_with('@') {
            names.insert(name);
            continue;
        }
        let output = Command::new("systemd-analyze")
            .args(["syscall-filter", &name])
            .output();
        let Ok(output) = output else {
            eprintln!("skipped in part: systemd is not installed");
            return None;
        };
        assert!(output.status.success(), "{name}");
        let lines = text(&output.stdout).lines().skip(1).map(str::trim);
        left.extend(
            lines
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(str::to_owned),
        );
    }
    // systemd allows these always.
    names.extend(
        [
            "execve",
            "exit",
            "exit_group",
            "rt_sigreturn",
            "brk",
            "mmap",
        ]
        .map(str::to_owned),
    );
    assert!(names.len() > 200, "{names:?}");
    Some(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
    }))
}

#[test]
fn systemd_accepts_the_unit_and_finds_it_tight() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mosaic.service");
    // It is not installed here.
    let unit = unit().replace("/usr/local/bin/mosaic", env!("CARGO_BIN_EXE_mosaic"));
    fs::write(&path, &unit).unwrap();
    let analyze = |arguments: &[&str], path: &Path| {
        Command::new("systemd-analyze")
            .args(arguments)
            .arg(path)
            .output()
            .ok()
    };
    let verify = ["verify", "--man=no", "--recursive-errors=no"];
    let Some(output) = analyze(&verify, &path) else {
        eprintln!("skipped: systemd is not installed");
        return;
    };
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    // 0 is tight, 100 is a unit that restricts nothing.
    let security = ["security", "--offline=true", "--no-pager", "--threshold=25"];
    let output = analyze(&security, &path).unwrap();
    assert!(output.status.success(), "{}", text(&output.stdout));

    let loose = folder.path().join("loose.service");
    fs::write(&loose, "[Service]\nExecStart=/bin/true\n").unwrap();
    assert!(
        !analyze(&security, &loose).unwrap().status.success(),
        "the check can fail"
    );
    let wrong = folder.path().join("wrong.service");
    fs::write(&wrong, unit.replace("ProtectHome", "ProtectHmoe")).unwrap();
    let output = analyze(&verify, &wrong).unwrap();
    assert!(
        !output.stderr.is_empty(),
        "a setting that does not exist is told"
    );
}
