//! The EAL: DPDK's process-wide part.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mosaic_dpdk_sys as sys;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::drivers::reason;
use crate::{DeviceInfo, EalConfig, Error, Hugepages};

/// Free huge pages with which [`Hugepages::Auto`] takes them, in MB.
const AUTO_HUGEPAGES_MB: u64 = 256;
/// Limit of ordinary memory, in MB; what is not used is not taken.
const ORDINARY_MB: u64 = 1024;

static STARTED: AtomicBool = AtomicBool::new(false);

/// DPDK, started. The last clone that is dropped, devices included, ends it.
#[derive(Clone, Debug)]
pub struct Eal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    uses_hugepages: bool,
    /// The folder DPDK has made for this process, if nobody chose its name.
    own_folder: Option<PathBuf>,
    control: Mutex<Control>,
}

/// What is known about devices. Whoever attaches, opens or closes one holds its lock.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// Name and arguments of those that were attached.
    attached: BTreeMap<String, CString>,
    /// Names of those that are open.
    pub(crate) open: BTreeSet<String>,
    /// Pools made so far: each has a name of its own.
    pub(crate) pools: u32,
}

impl Eal {
    /// Starts DPDK. Virtual devices are attached; none is opened.
    ///
    /// It keeps quiet: warnings go to standard error. The calling thread keeps its affinity.
    ///
    /// # Errors
    /// Where it was started before in this process, where huge pages are missing, or where DPDK refuses. After an error
    /// of DPDK itself it cannot be started again.
    pub fn start(config: &EalConfig) -> Result<Self, Error> {
        let vdevs = config
            .vdevs
            .iter()
            .map(|vdev| text("vdevs", vdev))
            .collect::<Result<Vec<_>, _>>()?;
        let hugepages_mb = hugepages_mb(config.hugepages)?;
        let arguments = arguments(config, hugepages_mb)?;
        if STARTED.swap(true, Ordering::Relaxed) {
            return Err(Error::AlreadyStarted);
        }
        init(arguments)?;
        let own_folder = config.file_prefix.is_none().then(runtime_folder).flatten();
        if let Some(folder) = &own_folder {
            remove_left_over(folder);
        }
        let eal = Self {
            inner: Arc::new(Inner {
                uses_hugepages: hugepages_mb.is_some(),
                own_folder,
                control: Mutex::default(),
            }),
        };
        for vdev in vdevs {
            eal.attach_to(&mut eal.control(), vdev)?;
        }
        Ok(eal)
    }

    /// Attaches one more virtual device, such as `net_null0,size=64`, or PCI device.
    ///
    /// # Errors
    /// Where the driver is not known, does not take the arguments, or fails.
    pub fn attach(&self, device: &str) -> Result<(), Error> {
        self.attach_to(&mut self.control(), text("device", device)?)
    }

    /// The devices there are, open or not.
    pub fn devices(&self) -> Vec<DeviceInfo> {
        let _control = self.control();
        ports()
            .filter_map(|port| DeviceInfo::of(port).ok())
            .collect()
    }

    /// Whether packet buffers lie in huge pages.
    pub fn uses_hugepages(&self) -> bool {
        self.inner.uses_hugepages
    }

    pub(crate) fn control(&self) -> MutexGuard<'_, Control> {
        // A panic with the lock held leaves nothing half done: the sets are changed last.
        self.inner
            .control
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of the device of this name, which is attached again if it was closed.
    pub(crate) fn find(&self, control: &mut Control, name: &str) -> Result<u16, Error> {
        let c_name = text("name", name)?;
        if let Some(port) = find(&c_name) {
            return Ok(port);
        }
        if let Some(devargs) = control.attached.get(name).cloned() {
            self.attach_to(control, devargs)?;
        }
        find(&c_name).ok_or_else(|| Error::UnknownDevice {
            device: name.to_owned(),
            known: ports()
                .filter_map(|port| DeviceInfo::of(port).ok())
                .map(|info| info.name)
                .collect(),
        })
    }

    #[expect(clippy::unused_self, reason = "proves that the EAL is started")]
    fn attach_to(&self, control: &mut Control, devargs: CString) -> Result<(), Error> {
        let attach_error = |reason| Error::Attach {
            device: devargs.to_string_lossy().into_owned(),
            reason,
        };
        // SAFETY: the EAL is started (`self`), the text ends with a zero, and the lock on `control` keeps others from
        // attaching at the same time.
        let result = unsafe { sys::mosaic_device_attach(devargs.as_ptr()) };
        if result < 0 {
            return Err(attach_error(reason(result)));
        }
        let text = devargs.to_string_lossy();
        let name = text.split(',').next().unwrap_or_default().to_owned();
        let known = CString::new(name.clone()).is_ok_and(|name| find(&name).is_some());
        if !known {
            return Err(attach_error("it is no network device".into()));
        }
        control.attached.insert(name, devargs);
        Ok(())
    }

    /// Notes a device that the bus had when the EAL started, so that it can be attached again.
    pub(crate) fn note(control: &mut Control, name: &str) {
        if let Ok(devargs) = CString::new(name) {
            control.attached.entry(name.to_owned()).or_insert(devargs);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: every device and pool holds an `Eal`, so that none is left.
        unsafe { sys::mosaic_eal_cleanup() };
        if let Some(folder) = &self.own_folder {
            // It is empty, unless a driver has put something there.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// Numbers of the devices there are.
fn ports() -> impl Iterator<Item = u16> {
    let mut next = Some(0_u16);
    std::iter::from_fn(move || {
        let mut port = next?;
        // SAFETY: `port` may be written; reads a table that exists as long as the process.
        let found = unsafe { sys::mosaic_device_next(&mut port) } != 0;
        next = found.then(|| port + 1);
        found.then_some(port)
    })
}

fn find(name: &CString) -> Option<u16> {
    let mut port = 0;
    // SAFETY: the name ends with a zero, `port` may be written.
    let result = unsafe { sys::mosaic_device_find(name.as_ptr(), &mut port) };
    (result == 0).then_some(port)
}

pub(crate) fn text(option: &'static str, text: &str) -> Result<CString, Error> {
    let error = || Error::Text {
        option,
        text: text.to_owned(),
    };
    if text.is_empty() {
        return Err(error());
    }
    CString::new(text).map_err(|_| error())
}

/// MB of huge pages to take; `None` for ordinary memory.
fn hugepages_mb(wish: Hugepages) -> Result<Option<u64>, Error> {
    let free_mb = free_hugepages_mb();
    match wish {
        Hugepages::Off => Ok(None),
        Hugepages::Auto => Ok((free_mb >= AUTO_HUGEPAGES_MB).then_some(AUTO_HUGEPAGES_MB)),
        Hugepages::Megabytes(asked) if u64::from(asked) > free_mb => Err(Error::Hugepages {
            asked_mb: asked.into(),
            free_mb,
        }),
        Hugepages::Megabytes(asked) => Ok(Some(asked.into())),
    }
}

/// Over all sizes of huge pages.
fn free_hugepages_mb() -> u64 {
    let Ok(sizes) = std::fs::read_dir("/sys/kernel/mm/hugepages") else {
        return 0;
    };
    let free_kb = sizes.flatten().filter_map(|size| {
        let name = size.file_name();
        let page_kb: u64 = name
            .to_str()?
            .strip_prefix("hugepages-")?
            .strip_suffix("kB")?
            .parse()
            .ok()?;
        let free = std::fs::read_to_string(size.path().join("free_hugepages")).ok()?;
        Some(page_kb * free.trim().parse::<u64>().ok()?)
    });
    free_kb.sum::<u64>() / 1024
}

/// The EAL's command line.
fn arguments(config: &EalConfig, hugepages_mb: Option<u64>) -> Result<Vec<CString>, Error> {
    let affinity = sched_getaffinity(None).unwrap_or_default();
    let core = (0..CpuSet::MAX_CPU)
        .find(|core| affinity.is_set(*core))
        .unwrap_or(0);
    let mut arguments = vec!["mosaic".to_owned()];
    let mut add = |argument: String| arguments.push(argument);
    match hugepages_mb {
        // Pages without files: nothing is left behind, and no hugetlbfs need be mounted.
        Some(mb) => {
            add("--in-memory".into());
            add(format!("-m{mb}"));
        }
        // `--in-memory` is refused together with `--no-huge`; this keeps other processes out as well.
        None => {
            add("--no-huge".into());
            add("--no-shconf".into());
            add("--iova-mode=va".into());
            add(format!("-m{ORDINARY_MB}"));
        }
    }
    add(format!(
        "--file-prefix={}",
        config.file_prefix.clone().unwrap_or_else(own_prefix)
    ));
    // One lcore, for the calling thread; the shards' threads register themselves.
    add(format!("--lcores=0@{core}"));
    add("--no-telemetry".into());
    add("--log-level=*:warning".into());
    if config.allow.is_empty() {
        add("--no-pci".into());
    }
    for address in &config.allow {
        text("allow", address)?;
        add(format!("--allow={address}"));
    }
    arguments.extend(config.args.iter().cloned());
    arguments
        .iter()
        .map(|argument| text("args", argument))
        .collect()
}

/// A prefix that no other process has, one with the same number in another container included.
fn own_prefix() -> String {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(0);
    format!("mosaic-{}-{random:016x}", std::process::id())
}

/// The folder DPDK has made for this process.
fn runtime_folder() -> Option<PathBuf> {
    // SAFETY: no arguments.
    let folder = unsafe { sys::mosaic_runtime_folder() };
    if folder.is_null() {
        return None;
    }
    // SAFETY: the text ends with a zero and lives as long as the process.
    let folder = unsafe { CStr::from_ptr(folder) };
    Some(PathBuf::from(OsStr::from_bytes(folder.to_bytes())))
}

/// Removes the empty folders of processes that could not do so themselves.
fn remove_left_over(own: &Path) {
    let Some(entries) = own
        .parent()
        .and_then(|parent| std::fs::read_dir(parent).ok())
    else {
        return;
    };
    for entry in entries.flatten() {
        let is_left_over = entry
            .file_name()
            .to_str()
            .and_then(process_of)
            .is_some_and(|process| !Path::new("/proc").join(process).exists());
        if is_left_over {
            // Fails where it is not empty, or another's.
            let _ = std::fs::remove_dir(entry.path());
        }
    }
}

/// The process that had this prefix from [`own_prefix`].
fn process_of(prefix: &str) -> Option<&str> {
    let (process, random) = prefix.strip_prefix("mosaic-")?.split_once('-')?;
    let is_ours = !process.is_empty()
        && process.bytes().all(|byte| byte.is_ascii_digit())
        && random.len() == 16
        && random.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_ours.then_some(process)
}

fn init(arguments: Vec<CString>) -> Result<(), Error> {
    let shown: Vec<String> = arguments
        .iter()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let affinity = sched_getaffinity(None);
    // DPDK may keep pointers to its arguments, and reorders the array.
    let mut argv: Vec<*mut c_char> = arguments.into_iter().map(CString::into_raw).collect();
    let count = i32::try_from(argv.len()).unwrap_or(i32::MAX);
    argv.push(std::ptr::null_mut());
    // SAFETY: `count` texts that end with a zero and are never freed, and a null after them; `STARTED` makes this the
    // only call in the process.
    let result = unsafe { sys::mosaic_eal_init(count, argv.as_mut_ptr()) };
    if let Ok(affinity) = affinity {
        // Of no importance where it fails: the thread then stays where DPDK put it.
        let _ = sched_setaffinity(None, &affinity);
    }
    if result < 0 {
        return Err(Error::Start {
            reason: reason(result),
            arguments: shown[1..].join(" "),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(config: &EalConfig, hugepages_mb: Option<u64>) -> Vec<String> {
        arguments(config, hugepages_mb)
            .unwrap()
            .into_iter()
            .map(|argument| argument.into_string().unwrap())
            .collect()
    }

    #[test]
    fn arguments_follow_the_configuration() {
        let config = EalConfig {
            file_prefix: Some("p".into()),
            allow: vec!["0000:01:00.0".into()],
            args: vec!["--log-level=8".into()],
            ..EalConfig::default()
        };
        let ordinary = shown(&config, None);
        assert!(ordinary.contains(&"--no-huge".into()) && !ordinary.contains(&"--no-pci".into()));
        assert!(ordinary.contains(&"--allow=0000:01:00.0".into()));
        assert!(ordinary.contains(&"--file-prefix=p".into()));
        assert_eq!(
            ordinary.last().unwrap(),
            "--log-level=8",
            "what the user says comes last"
        );
        let huge = shown(&EalConfig::default(), Some(300));
        assert!(huge.contains(&"--in-memory".into()) && huge.contains(&"-m300".into()));
        assert!(huge.contains(&"--no-pci".into()) && !huge.contains(&"--no-huge".into()));
    }

    #[test]
    fn every_process_has_a_prefix_of_its_own() {
        assert_ne!(own_prefix(), own_prefix());
        let process = std::process::id().to_string();
        assert_eq!(process_of(&own_prefix()), Some(process.as_str()));
        for other in [
            "mosaic-x",
            "mosaic-12-short",
            "rte",
            "mosaic--0123456789abcdef",
        ] {
            assert_eq!(process_of(other), None, "{other}");
        }
    }

    #[test]
    fn texts_with_a_zero_are_refused() {
        let config = EalConfig {
            allow: vec!["a\0b".into()],
            ..EalConfig::default()
        };
        let error = arguments(&config, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "allow: \"a\\0b\" is not a text that DPDK takes"
        );
    }

    #[test]
    fn huge_pages_that_are_not_there_are_an_error() {
        let error = hugepages_mb(Hugepages::Megabytes(u32::MAX)).unwrap_err();
        assert!(matches!(error, Error::Hugepages { .. }));
        assert_eq!(hugepages_mb(Hugepages::Off), Ok(None));
    }
}
