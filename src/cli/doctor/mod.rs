//! `mosaic doctor`: what this machine can do, and what to mend.
//!
//! Everything is read below the root folder of a [`System`], so that tests show it machines that they make up; what is not
//! a file (io_uring, DPDK) is handed to the verdicts as a value.

mod cores;
mod devices;
mod dpdk;
mod kernel;
mod memory;
mod system;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use self::system::System;
use crate::config::{LivePlan, Plan};

/// Say what this machine can do for mosaic, and how to mend what it cannot
///
/// Looks at io_uring, memory, cores, network cards and DPDK. Exit status: 0 where nothing fails, 1 where something does.
/// Nothing is changed; devices are attached, but not opened.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Look also at this configuration and the devices it names
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print one JSON object: {"checks": [{"name", "status", "detail", "remedy"}]}
    #[arg(long)]
    json: bool,
}

/// How a check came out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could, or not for everything.
    Warn,
    /// It does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Check {
    name: String,
    status: Status,
    detail: String,
    /// What mends or improves it: a command, where there is one.
    remedy: Option<String>,
}

impl Check {
    fn new(name: impl Into<String>, status: Status, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            status,
            detail: detail.into(),
            remedy: None,
        }
    }

    fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, detail)
    }

    fn warn(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Warn, detail)
    }

    fn fail(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Fail, detail)
    }

    fn remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..self
        }
    }
}

/// All checks, as `--json` has them.
#[derive(Debug, Serialize)]
struct Findings {
    checks: Vec<Check>,
}

/// Runs the command.
///
/// # Errors
/// Where standard output cannot be written.
pub(crate) fn run(args: &DoctorArgs) -> io::Result<ExitCode> {
    let findings = Findings {
        checks: look(&System::this(), args),
    };
    let text = if args.json {
        serde_json::to_string(&findings)?
    } else {
        findings.to_text()
    };
    writeln!(io::stdout(), "{text}")?;
    Ok(findings.exit_code())
}

fn look(system: &System, args: &DoctorArgs) -> Vec<Check> {
    let mut checks = vec![
        kernel::io_uring(system, mosaic_runtime::check_io_uring()),
        kernel::seccomp(system),
        kernel::capabilities(system),
        memory::locked(system),
        memory::hugepages(system),
        memory::iommu(system),
        cores::cores(system),
        cores::numa(system),
        cores::isolated(system),
    ];
    let mut live = LivePlan::default();
    if let Some(path) = &args.config {
        let mut plan = Plan::default();
        checks.push(match plan.read_file(path) {
            Ok(()) => {
                let text = format!("{} is in order", path.display());
                Check::ok("configuration", text)
            }
            Err(error) => Check::fail("configuration", error.to_string()),
        });
        live = plan.live;
        checks.extend(devices::interfaces(system, &live));
    }
    let cards = devices::cards(system);
    checks.extend(devices::checks(&cards));
    checks.extend(dpdk::checks(&cards, &live));
    checks
}

impl Findings {
    /// Two lines at most for each: what was found, and what to do.
    fn to_text(&self) -> String {
        let widths = self.checks.iter().map(|check| check.name.chars().count());
        let width = widths.max().unwrap_or(0);
        let mut lines = Vec::new();
        for check in &self.checks {
            let status = match check.status {
                Status::Ok => "ok",
                Status::Warn => "warn",
                Status::Fail => "FAIL",
            };
            lines.push(format!(
                "{status:4}  {:width$}  {}",
                check.name, check.detail
            ));
            if let Some(remedy) = &check.remedy {
                lines.push(format!("{:4}  {:width$}  -> {remedy}", "", ""));
            }
        }
        lines.join("\n")
    }

    fn exit_code(&self) -> ExitCode {
        if self.checks.iter().any(|check| check.status == Status::Fail) {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_fails() {
        let findings = |checks| Findings { checks };
        let code = |checks| format!("{:?}", findings(checks).exit_code());
        let success = format!("{:?}", ExitCode::SUCCESS);
        assert_eq!(code(vec![]), success);
        assert_eq!(code(vec![Check::warn("a", "b")]), success);
        assert_ne!(
            code(vec![Check::fail("a", "b"), Check::ok("c", "d")]),
            success
        );
    }

    #[test]
    fn remedies_stand_below_what_they_mend() {
        let findings = Findings {
            checks: vec![
                Check::ok("cores", "2"),
                Check::warn("hugepages", "none").remedy("sysctl"),
            ],
        };
        assert_eq!(
            findings.to_text(),
            "ok    cores      2\nwarn  hugepages  none\n                 -> sysctl"
        );
        assert_eq!(
            serde_json::to_string(&findings).unwrap(),
            r#"{"checks":[{"name":"cores","status":"ok","detail":"2","remedy":null},{"name":"hugepages","status":"warn","detail":"none","remedy":"sysctl"}]}"#
        );
    }
}
