//! What the kernel lets this process do.

use mosaic_runtime::RuntimeError;

use super::Check;
use super::system::System;

/// Capabilities that live ports need: number, name, and for what.
const CAPABILITIES: &[(u32, &str, &str)] = &[
    (12, "net_admin", "promiscuous mode, net_tap"),
    (13, "net_raw", "net_af_packet"),
    (14, "ipc_lock", "memory of network cards"),
];

/// Whether io_uring can be used; `probe` is what the runtime found out by trying.
pub(super) fn io_uring(system: &System, probe: Result<(), RuntimeError>) -> Check {
    const NAME: &str = "io_uring";
    let disabled = system
        .number("proc/sys/kernel/io_uring_disabled")
        .unwrap_or(0);
    let Err(error) = probe else {
        return Check::ok(NAME, "usable");
    };
    let (detail, remedy) = match error {
        RuntimeError::IoUringMissing => (
            "this kernel has none".to_owned(),
            "use Linux 5.8 or newer, built with CONFIG_IO_URING",
        ),
        RuntimeError::IoUringTooOld => (
            "that of this kernel is too old".to_owned(),
            "use Linux 5.8 or newer",
        ),
        RuntimeError::IoUringForbidden if disabled > 0 => (
            format!("forbidden by kernel.io_uring_disabled = {disabled}"),
            "sysctl -w kernel.io_uring_disabled=0",
        ),
        RuntimeError::IoUringForbidden => (
            "forbidden by a seccomp filter".to_owned(),
            "docker run --security-opt seccomp=examples/deploy/seccomp.json, or in a unit \
             SystemCallFilter=@system-service io_uring_setup io_uring_enter io_uring_register",
        ),
        other => (
            other.to_string(),
            "see what the operating system said; locked memory is a common cause",
        ),
    };
    Check::fail(NAME, detail).remedy(remedy)
}

/// Whether a filter of system calls is in force.
pub(super) fn seccomp(system: &System) -> Check {
    const NAME: &str = "seccomp";
    match system.status("Seccomp").as_deref() {
        Some("0") => Check::ok(NAME, "no filter"),
        Some("2") => Check::ok(NAME, "a filter is in force"),
        Some(mode) => Check::fail(
            NAME,
            format!("mode {mode}: hardly any system call is allowed"),
        )
        .remedy("run it without strict seccomp"),
        None => Check::warn(NAME, "this kernel does not tell"),
    }
}

/// Whether live ports get what they need without root.
pub(super) fn capabilities(system: &System) -> Check {
    const NAME: &str = "capabilities";
    let missing: Vec<_> = CAPABILITIES
        .iter()
        .filter(|(number, ..)| !system.is_capable(*number))
        .map(|(_, name, purpose)| format!("{name} ({purpose})"))
        .collect();
    if missing.is_empty() {
        return Check::ok(NAME, "net_admin, net_raw, ipc_lock");
    }
    Check::warn(NAME, format!("missing: {}", missing.join(", "))).remedy(
        "setcap cap_net_admin,cap_net_raw,cap_ipc_lock+ep $(command -v mosaic), or run it as root or as \
         examples/deploy/mosaic.service does",
    )
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::super::system::testing::MadeUp;
    use super::*;

    #[test]
    fn io_uring_is_mended_where_it_is_forbidden() {
        let free = MadeUp::new(&[]);
        let disabled = MadeUp::new(&[("proc/sys/kernel/io_uring_disabled", "2\n")]);
        let check = |machine: &MadeUp, probe| io_uring(&machine.system, probe);
        assert_eq!(check(&free, Ok(())).status, Status::Ok);
        for (machine, error, detail, remedy) in [
            (
                &free,
                RuntimeError::IoUringMissing,
                "has none",
                "CONFIG_IO_URING",
            ),
            (&free, RuntimeError::IoUringTooOld, "too old", "5.8"),
            (
                &free,
                RuntimeError::IoUringForbidden,
                "seccomp",
                "seccomp.json",
            ),
            (
                &disabled,
                RuntimeError::IoUringForbidden,
                "io_uring_disabled = 2",
                "sysctl -w",
            ),
        ] {
            let check = check(machine, Err(error));
            assert_eq!(check.status, Status::Fail);
            assert!(check.detail.contains(detail), "{check:?}");
            assert!(check.remedy.as_ref().unwrap().contains(remedy), "{check:?}");
        }
    }

    #[test]
    fn seccomp_is_told() {
        let status = |text| seccomp(&MadeUp::new(&[("proc/self/status", text)]).system).status;
        assert_eq!(status("Seccomp:\t0\n"), Status::Ok);
        assert_eq!(status("Seccomp:\t2\nSeccomp_filters:\t1\n"), Status::Ok);
        assert_eq!(status("Seccomp:\t1\n"), Status::Fail);
        assert_eq!(status("Seccomp_filters:\t1\n"), Status::Warn);
    }

    #[test]
    fn missing_capabilities_are_named() {
        let check = |hex| {
            let status = format!("CapEff:\t{hex}\n");
            capabilities(&MadeUp::new(&[("proc/self/status", &status)]).system)
        };
        assert_eq!(check("000001ffffffffff").status, Status::Ok);
        let partial = check("0000000000003000");
        assert_eq!(partial.status, Status::Warn);
        assert_eq!(
            partial.detail,
            "missing: ipc_lock (memory of network cards)"
        );
        assert!(check("0").detail.contains("net_raw (net_af_packet)"));
    }
}
