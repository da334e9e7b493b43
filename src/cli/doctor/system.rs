//! `/proc` and `/sys`, or what a test puts in their place.

use std::fs;
use std::path::PathBuf;

/// The files that tell what a machine is, below a root folder.
pub(super) struct System {
    root: PathBuf,
}

impl System {
    /// The machine this runs on.
    pub(super) fn this() -> Self {
        Self { root: "/".into() }
    }

    /// The text of the file at `path`, without white space around it; `None` where it cannot be read.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(path)).ok()?;
        Some(text.trim().to_owned())
    }

    /// The number that the file at `path` holds.
    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.read(path)?.parse().ok()
    }

    /// Names in the folder at `path`, sorted; empty where it cannot be read.
    pub(super) fn list(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.join(path)) else {
            return Vec::new();
        };
        let mut names: Vec<_> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        names
    }

    /// The last name of what the link at `path` leads to.
    pub(super) fn link_name(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.root.join(path)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    /// Whether there is something at `path`.
    pub(super) fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// The value of `key` in `/proc/self/status`.
    pub(super) fn status(&self, key: &str) -> Option<String> {
        let status = self.read("proc/self/status")?;
        let value = status
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        Some(value.trim().to_owned())
    }

    /// Whether this process has capability number `capability` (see `linux/capability.h`).
    pub(super) fn is_capable(&self, capability: u32) -> bool {
        let set = self.status("CapEff");
        set.and_then(|hex| u64::from_str_radix(&hex, 16).ok())
            .is_some_and(|set| set >> capability & 1 == 1)
    }

    /// The cores this process may use.
    pub(super) fn cores(&self) -> Vec<u32> {
        let list = self.status("Cpus_allowed_list");
        list.map(|list| core_list(&list)).unwrap_or_default()
    }
}

/// The numbers of a list as the kernel writes it: `0-2,5`.
pub(super) fn core_list(text: &str) -> Vec<u32> {
    let ranges = text.split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    });
    ranges.flatten().collect()
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A machine that exists in a temporary folder only.
    pub(in super::super) struct MadeUp {
        folder: tempfile::TempDir,
        pub(in super::super) system: System,
    }

    impl MadeUp {
        /// With `files`: path and content. A content that begins with `-> ` makes a link.
        pub(in super::super) fn new(files: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let system = System {
                root: folder.path().to_owned(),
            };
            let machine = Self { folder, system };
            files
                .iter()
                .for_each(|(path, text)| machine.add(path, text));
            machine
        }

        pub(in super::super) fn add(&self, path: &str, text: &str) {
            let path = self.folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => fs::write(path, text).unwrap(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(core_list("0-2,5"), [0, 1, 2, 5]);
        assert_eq!(core_list("7"), [7]);
        assert!(core_list("").is_empty());
    }

    #[test]
    fn capabilities_are_bits() {
        let machine = testing::MadeUp::new(&[("proc/self/status", "CapEff:\t0000000000003000\n")]);
        assert!(machine.system.is_capable(12) && machine.system.is_capable(13));
        assert!(!machine.system.is_capable(14));
        assert!(!testing::MadeUp::new(&[]).system.is_capable(12));
    }
}
