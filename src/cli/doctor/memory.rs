//! Locked memory, huge pages, and the IOMMU.

use mosaic_runtime::MEMLOCK_BYTES_PER_SHARD;

use super::Check;
use super::system::System;

/// Free huge pages from which on they are used unasked (`hugepages = "auto"`), in MB.
const HUGEPAGES_MB: u64 = 256;
/// CAP_SYS_RESOURCE: may raise its own limits.
const SYS_RESOURCE: u32 = 24;

/// Whether the limit on locked memory lets as many shards run as there are cores.
pub(super) fn locked(system: &System) -> Check {
    const NAME: &str = "memlock";
    let limits = system.read("proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max locked memory"));
    let Some([soft, hard]) = line.and_then(|line| {
        let mut words = line.split_whitespace();
        Some([words.next()?, words.next()?])
    }) else {
        return Check::warn(NAME, "the limit cannot be read");
    };
    // What is no number is `unlimited`.
    let bytes = |word: &str| word.parse::<u64>().unwrap_or(u64::MAX);
    // A process may raise its limit up to the hard one.
    let limit = bytes(soft).max(bytes(hard));
    let cores = system.cores().len().max(1) as u64;
    let needed = cores * MEMLOCK_BYTES_PER_SHARD;
    if limit == u64::MAX {
        return Check::ok(NAME, "unlimited");
    }
    let shards = limit / MEMLOCK_BYTES_PER_SHARD;
    let detail = format!("{} KiB: enough for {shards} shards", limit / 1024);
    if limit >= needed {
        return Check::ok(NAME, detail);
    }
    if system.is_capable(SYS_RESOURCE) {
        return Check::ok(NAME, format!("{detail}, and may be raised when needed"));
    }
    let detail = format!("{detail}, there are {cores} cores");
    let check = if shards == 0 {
        Check::fail(NAME, detail)
    } else {
        Check::warn(NAME, detail)
    };
    check.remedy(format!(
        "ulimit -l {} (as root), or LimitMEMLOCK=infinity in the unit",
        needed / 1024
    ))
}

/// Huge pages, by size.
pub(super) fn hugepages(system: &System) -> Check {
    const NAME: &str = "hugepages";
    const FOLDER: &str = "sys/kernel/mm/hugepages";
    let sizes: Vec<Pages> = system
        .list(FOLDER)
        .iter()
        .filter_map(|name| Pages::read(system, FOLDER, name))
        .collect();
    if sizes.is_empty() {
        return Check::warn(NAME, "this kernel has none; most network cards need them").remedy(
            "use a kernel with CONFIG_HUGETLBFS, or hugepages = \"off\" for virtual devices",
        );
    }
    let remedy = "sysctl -w vm.nr_hugepages=512 (2 MB each; in /etc/sysctl.d for good)";
    if sizes.iter().all(|size| size.total == 0) {
        let detail = "none reserved: packet buffers lie in ordinary pages, which is slower and not for every network card";
        return Check::warn(NAME, detail).remedy(remedy);
    }
    let described: Vec<_> = sizes
        .iter()
        .filter(|size| size.total > 0)
        .map(Pages::describe)
        .collect();
    let detail = described.join(", ");
    let free_mb = sizes
        .iter()
        .map(|size| size.free * size.kb / 1024)
        .sum::<u64>();
    if free_mb < HUGEPAGES_MB {
        let detail = format!("{detail}; from {HUGEPAGES_MB} MB on they are used unasked");
        return Check::warn(NAME, detail).remedy(remedy);
    }
    Check::ok(NAME, detail)
}

/// Huge pages of one size.
struct Pages {
    kb: u64,
    total: u64,
    free: u64,
}

impl Pages {
    /// Those of the folder's entry `name`, as in `hugepages-2048kB`.
    fn read(system: &System, folder: &str, name: &str) -> Option<Self> {
        let kb = name.strip_prefix("hugepages-")?.strip_suffix("kB")?;
        Some(Self {
            kb: kb.parse().ok()?,
            total: system.number(&format!("{folder}/{name}/nr_hugepages"))?,
            free: system.number(&format!("{folder}/{name}/free_hugepages"))?,
        })
    }

    fn describe(&self) -> String {
        let (free, total) = (self.free, self.total);
        match self.kb / 1024 {
            mb if mb >= 1024 => format!("{free} of {total} of {} GB free", mb / 1024),
            mb => format!("{free} of {total} of {mb} MB free"),
        }
    }
}

/// Whether network cards can be handed to a process, protected.
pub(super) fn iommu(system: &System) -> Check {
    const NAME: &str = "iommu";
    let groups = system.list("sys/kernel/iommu_groups").len();
    let has_vfio = system.exists("sys/bus/pci/drivers/vfio-pci");
    let unprotected = system
        .read("sys/module/vfio/parameters/enable_unsafe_noiommu_mode")
        .is_some_and(|mode| mode == "Y");
    match (groups, has_vfio) {
        (1.., true) => Check::ok(NAME, format!("{groups} groups, vfio-pci is loaded")),
        (1.., false) => Check::warn(NAME, format!("{groups} groups, vfio-pci is not loaded"))
            .remedy("modprobe vfio-pci"),
        (0, true) if unprotected => Check::warn(
            NAME,
            "none: vfio-pci is loaded without protection, a network card may write anywhere",
        ),
        (0, _) => Check::warn(
            NAME,
            "none: network cards cannot be bound to vfio-pci; virtual devices need none",
        )
        .remedy(
            "switch it on in the firmware and boot with intel_iommu=on iommu=pt; in a virtual machine without: \
             modprobe vfio enable_unsafe_noiommu_mode=1 && modprobe vfio-pci",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::super::system::testing::MadeUp;
    use super::*;

    fn memlock(soft: &str, hard: &str, capabilities: &str) -> Check {
        let limits = format!(
            "Limit                     Soft Limit           Hard Limit           Units\n\
             Max locked memory         {soft}                {hard}                bytes\n"
        );
        let status = format!("CapEff:\t{capabilities}\nCpus_allowed_list:\t0-15\n");
        locked(&MadeUp::new(&[("proc/self/limits", &limits), ("proc/self/status", &status)]).system)
    }

    #[test]
    fn locked_memory_is_for_a_shard_on_each_core() {
        assert_eq!(memlock("unlimited", "unlimited", "0").detail, "unlimited");
        let enough = memlock("8388608", "8388608", "0");
        assert_eq!(enough.status, Status::Ok);
        assert_eq!(enough.detail, "8192 KiB: enough for 16 shards");
        assert_eq!(
            memlock("65536", "8388608", "0").status,
            Status::Ok,
            "hard limit"
        );
        let few = memlock("1048576", "1048576", "0");
        assert_eq!(few.status, Status::Warn);
        assert!(
            few.detail
                .contains("enough for 2 shards, there are 16 cores")
        );
        assert!(few.remedy.unwrap().contains("ulimit -l 8192"));
        assert_eq!(memlock("65536", "65536", "0").status, Status::Fail);
        assert_eq!(
            memlock("65536", "65536", "1000000").status,
            Status::Ok,
            "may raise it"
        );
        assert_eq!(locked(&MadeUp::new(&[]).system).status, Status::Warn);
    }

    fn pages(sizes: &[(&str, &str, &str)]) -> Check {
        let machine = MadeUp::new(&[]);
        for (kb, total, free) in sizes {
            let folder = format!("sys/kernel/mm/hugepages/hugepages-{kb}kB");
            machine.add(&format!("{folder}/nr_hugepages"), total);
            machine.add(&format!("{folder}/free_hugepages"), free);
        }
        hugepages(&machine.system)
    }

    #[test]
    fn huge_pages_are_counted_by_size() {
        assert!(pages(&[]).detail.contains("this kernel has none"));
        let none = pages(&[("2048", "0\n", "0\n"), ("1048576", "0\n", "0\n")]);
        assert_eq!(none.status, Status::Warn);
        assert!(none.detail.contains("none reserved"));
        let few = pages(&[("2048", "512\n", "127\n")]);
        assert_eq!(few.status, Status::Warn);
        assert!(few.detail.starts_with("127 of 512 of 2 MB free"), "{few:?}");
        let enough = pages(&[("2048", "512\n", "128\n"), ("1048576", "0\n", "0\n")]);
        assert_eq!(enough.status, Status::Ok);
        assert_eq!(enough.detail, "128 of 512 of 2 MB free");
        let large = pages(&[("1048576", "2\n", "1\n")]);
        assert_eq!(
            (large.status, large.detail.as_str()),
            (Status::Ok, "1 of 2 of 1 GB free")
        );
    }

    #[test]
    fn the_iommu_needs_its_driver() {
        const GROUP: (&str, &str) = ("sys/kernel/iommu_groups/0/type", "DMA");
        const VFIO: (&str, &str) = ("sys/bus/pci/drivers/vfio-pci/bind", "");
        const UNSAFE: (&str, &str) = (
            "sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
            "Y\n",
        );
        let check = |files: &[(&str, &str)]| iommu(&MadeUp::new(files).system);
        assert_eq!(check(&[GROUP, VFIO]).status, Status::Ok);
        let unloaded = check(&[GROUP]);
        assert_eq!(unloaded.status, Status::Warn);
        assert_eq!(unloaded.remedy.as_deref(), Some("modprobe vfio-pci"));
        assert!(check(&[VFIO, UNSAFE]).detail.contains("without protection"));
        assert!(check(&[VFIO]).remedy.unwrap().contains("intel_iommu=on"));
    }
}
