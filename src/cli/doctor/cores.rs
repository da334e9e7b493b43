//! Cores and memory nodes.

use super::Check;
use super::system::{System, core_list};

/// How many cores there are for shards.
pub(super) fn cores(system: &System) -> Check {
    const NAME: &str = "cores";
    let ours = system.cores();
    let online = system.read("sys/devices/system/cpu/online");
    let online = online.map_or(ours.len(), |list| core_list(&list).len());
    match ours.len() {
        0 => Check::warn(NAME, "this kernel does not tell which may be used"),
        1 => Check::warn(
            NAME,
            format!("1 of {online} may be used: shards and everything else share it"),
        )
        .remedy("give it more: taskset, AllowedCPUs= of the unit, --cpuset-cpus of docker"),
        count => Check::ok(NAME, format!("{count} of {online} may be used")),
    }
}

/// Whether memory is equally near to every core.
pub(super) fn numa(system: &System) -> Check {
    const NAME: &str = "numa";
    const FOLDER: &str = "sys/devices/system/node";
    let nodes: Vec<_> = system
        .list(FOLDER)
        .into_iter()
        .filter_map(|name| {
            let number: u32 = name.strip_prefix("node")?.parse().ok()?;
            let cores = system.read(&format!("{FOLDER}/{name}/cpulist"))?;
            Some(format!("node {number} with cores {cores}"))
        })
        .collect();
    match nodes.len() {
        0 | 1 => Check::ok(NAME, "one node"),
        _ => Check::ok(NAME, nodes.join(", "))
            .remedy("name cores of the node of the network card: cores = [...] in [runtime]"),
    }
}

/// Whether cores are kept free of other work.
pub(super) fn isolated(system: &System) -> Check {
    const NAME: &str = "isolated cores";
    let list = system.read("sys/devices/system/cpu/isolated");
    match list.filter(|list| !list.is_empty()) {
        Some(list) => Check::ok(NAME, list),
        None => Check::ok(NAME, "none").remedy(
            "for the least jitter boot with isolcpus=LIST nohz_full=LIST rcu_nocbs=LIST and name them: cores = [...]",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::super::system::testing::MadeUp;
    use super::*;

    #[test]
    fn cores_are_those_this_process_may_use() {
        let check = |status| {
            let files = [
                ("proc/self/status", status),
                ("sys/devices/system/cpu/online", "0-7\n"),
            ];
            cores(&MadeUp::new(&files).system)
        };
        assert_eq!(
            check("Cpus_allowed_list:\t0-2,4\n").detail,
            "4 of 8 may be used"
        );
        assert_eq!(check("Cpus_allowed_list:\t5\n").status, Status::Warn);
        assert_eq!(check("").status, Status::Warn);
    }

    #[test]
    fn nodes_and_isolated_cores_are_named() {
        let flat = MadeUp::new(&[("sys/devices/system/node/node0/cpulist", "0-3\n")]);
        assert_eq!(numa(&flat.system), Check::ok("numa", "one node"));
        let two = MadeUp::new(&[
            ("sys/devices/system/node/node0/cpulist", "0-3\n"),
            ("sys/devices/system/node/node1/cpulist", "4-7\n"),
            ("sys/devices/system/node/has_cpu", "0-1\n"),
            ("sys/devices/system/cpu/isolated", "2-3\n"),
        ]);
        let check = numa(&two.system);
        assert_eq!(check.detail, "node 0 with cores 0-3, node 1 with cores 4-7");
        assert!(check.remedy.is_some());
        assert_eq!(isolated(&two.system).detail, "2-3");
        assert!(isolated(&flat.system).remedy.unwrap().contains("isolcpus"));
    }
}
