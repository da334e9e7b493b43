//! Devices: opened, asked, closed.

use std::ffi::c_char;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mosaic_dpdk_sys as sys;
use mosaic_port::BURST_MAX;

use crate::drivers::reason;
use crate::eal::Control;
use crate::pool::Pool;
use crate::{DeviceConfig, DeviceInfo, Eal, Error, Rss, RssSupport, TxChecksums, info, rss};

/// Bytes that a packet buffer holds at least: what most drivers ask for.
const DATA_LEN_MIN: u32 = 2048;
/// What a frame has besides its payload: Ethernet header, two VLAN tags, checksum.
const FRAME_OVERHEAD: u32 = 14 + 8 + 4;
/// Bursts of each queue that may be on their way between shards, in caches, or held by a wire's other device.
const BURSTS_IN_FLIGHT: u32 = 64;
/// The fewest buffers of a pool.
const MBUFS_MIN: u32 = 8191;
/// Drivers that send frames of several segments, for they copy or drop them, but do not announce it.
const COPYING: &[&str] = &["net_null", "net_pcap"];
/// Statistics that a device may have.
const XSTATS_MAX: usize = 4096;

/// A device that receives and sends. Clones are the same device; the last one that is dropped, those that ports and
/// batches hold included, stops and closes it.
#[derive(Clone, Debug)]
pub struct Device {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Closed before the pools go.
    port: OpenPort,
    info: DeviceInfo,
    /// Whether it sends frames of several segments.
    can_multi_segs: bool,
    tx_checksums: TxChecksums,
    queues: u16,
    rss: Rss,
    deals_flows: bool,
    warnings: Vec<String>,
    /// By queue, whether a port has it.
    claimed: Box<[AtomicBool]>,
    pool: Arc<Pool>,
    /// Of devices it stands in a wire with: it may hold their buffers.
    foreign_pools: Mutex<Vec<Arc<Pool>>>,
    eal: Eal,
}

/// State of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Whether there is one.
    pub up: bool,
    /// Its speed in Mbit/s, where known.
    pub speed_mbps: Option<u32>,
    /// Whether both sides may send at the same time.
    pub full_duplex: bool,
}

/// What a device has counted since it was opened. Devices may leave any of them 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DeviceStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets that came while no descriptor was free.
    pub rx_missed: u64,
    /// Packets received damaged.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets that found no packet buffer.
    pub rx_no_buffer: u64,
}

/// How full a device's pool is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mbufs {
    /// Packet buffers there are.
    pub total: u32,
    /// Those that are with the device, in batches, or on their way out. Exact while nothing moves.
    pub in_use: u32,
}

impl Device {
    /// Opens the device: configured, with its queues, started.
    ///
    /// What it lacks (queues, RSS, descriptors, promiscuous mode) is a warning, see [`warnings`](Self::warnings).
    ///
    /// # Errors
    /// Where there is no such device, where it is open already, where an option is outside of its range, where memory is
    /// missing, or where it refuses.
    pub fn open(eal: &Eal, config: &DeviceConfig) -> Result<Self, Error> {
        check(config)?;
        let mut control = eal.control();
        open(eal, &mut control, config)
    }

    /// PCI address or name of the virtual device.
    pub fn name(&self) -> &str {
        &self.inner.info.name
    }

    /// What it is and can do.
    pub fn info(&self) -> &DeviceInfo {
        &self.inner.info
    }

    /// Queue pairs that it has: those asked for, or the most it can have.
    pub fn queues(&self) -> u16 {
        self.inner.queues
    }

    /// Who deals flows out.
    pub fn rss(&self) -> &Rss {
        &self.inner.rss
    }

    /// Checksums that are left to it: none where [`DeviceConfig::checksum_offload`] is off.
    pub fn tx_checksums(&self) -> TxChecksums {
        self.inner.tx_checksums
    }

    /// Whether it has confirmed that it deals flows out to its queues as shards own them, where there are as many.
    pub fn deals_flows(&self) -> bool {
        self.inner.deals_flows
    }

    /// What was asked for and is not there.
    pub fn warnings(&self) -> &[String] {
        &self.inner.warnings
    }

    /// State of its link. A device that does not tell is down.
    pub fn link(&self) -> Link {
        let mut link = sys::MosaicLink::default();
        let _control = self.inner.eal.control();
        // SAFETY: the device is open as long as `self`, the lock is held, `link` may be written.
        unsafe { sys::mosaic_link(self.number(), &mut link) };
        Link {
            up: link.up != 0,
            speed_mbps: (link.speed_mbps != u32::MAX && link.speed_mbps != 0)
                .then_some(link.speed_mbps),
            full_duplex: link.full_duplex != 0,
        }
    }

    /// What it has counted.
    pub fn stats(&self) -> DeviceStats {
        let mut stats = sys::MosaicStats::default();
        let _control = self.inner.eal.control();
        // SAFETY: the device is open as long as `self`, the lock is held, `stats` may be written.
        unsafe { sys::mosaic_stats(self.number(), &mut stats) };
        DeviceStats {
            rx_packets: stats.rx_packets,
            tx_packets: stats.tx_packets,
            rx_bytes: stats.rx_bytes,
            tx_bytes: stats.tx_bytes,
            rx_missed: stats.rx_missed,
            rx_errors: stats.rx_errors,
            tx_errors: stats.tx_errors,
            rx_no_buffer: stats.rx_no_buffer,
        }
    }

    /// Everything it has counted, by the names that its driver gives. Empty where it does not tell.
    pub fn xstats(&self) -> Vec<(String, u64)> {
        let mut names: Vec<[c_char; sys::NAME_LEN]> = vec![[0; sys::NAME_LEN]; XSTATS_MAX];
        let mut values = vec![0; XSTATS_MAX];
        let max = u32::try_from(XSTATS_MAX).unwrap_or(0);
        let _control = self.inner.eal.control();
        // SAFETY: the device is open as long as `self`, the lock is held, both arrays have `max` entries.
        let count = unsafe {
            sys::mosaic_xstats(
                self.number(),
                names.as_mut_ptr().cast(),
                values.as_mut_ptr(),
                max,
            )
        };
        let count = usize::try_from(count)
            .ok()
            .filter(|count| *count <= XSTATS_MAX)
            .unwrap_or(0);
        names[..count]
            .iter()
            .map(|name| info::name(name))
            .zip(values)
            .collect()
    }

    /// How full its pool is.
    pub fn mbufs(&self) -> Mbufs {
        Mbufs {
            total: self.inner.pool.mbufs(),
            in_use: self.inner.pool.in_use(),
        }
    }

    pub(crate) fn number(&self) -> u16 {
        self.inner.port.number
    }

    pub(crate) fn can_multi_segs(&self) -> bool {
        self.inner.can_multi_segs
    }

    /// The pool of its buffers.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.inner.pool
    }

    /// Keeps the pools whose buffers `other` may hold until this device is closed, for it may hold them as well.
    pub(crate) fn keep_pools_of(&self, other: &Self) {
        let mut theirs = lock(&other.inner.foreign_pools).clone();
        theirs.push(Arc::clone(&other.inner.pool));
        let mut kept = lock(&self.inner.foreign_pools);
        for pool in theirs {
            if !Arc::ptr_eq(&pool, &self.inner.pool) && !kept.iter().any(|k| Arc::ptr_eq(k, &pool))
            {
                kept.push(pool);
            }
        }
    }
}

/// The right to poll one queue pair of a device: there is at most one.
#[derive(Debug)]
pub(crate) struct Claim {
    device: Device,
    queue: u16,
}

impl Claim {
    /// `None` where somebody else has it.
    pub(crate) fn of(device: &Device, queue: u16) -> Option<Self> {
        let claimed = device.inner.claimed.get(usize::from(queue))?;
        (!claimed.swap(true, Ordering::Acquire)).then(|| Self {
            device: device.clone(),
            queue,
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.device.inner.claimed[usize::from(self.queue)].store(false, Ordering::Release);
    }
}

/// A device that is ours from its configuration on.
#[derive(Debug)]
struct OpenPort {
    number: u16,
    is_open: bool,
}

impl OpenPort {
    /// Stops and closes it. The caller holds the lock on `Control`.
    fn close(&mut self) {
        if std::mem::replace(&mut self.is_open, false) {
            // SAFETY: nobody polls its queues: ports hold the device, and this is its end. The lock is held. Buffers
            // that it holds go back to pools that it keeps.
            unsafe {
                sys::mosaic_device_stop(self.number);
                sys::mosaic_device_close(self.number);
            }
        }
    }
}

impl Drop for OpenPort {
    fn drop(&mut self) {
        self.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut control = self.eal.control();
        self.port.close();
        control.open.remove(&self.info.name);
    }
}

/// Checks what does not depend on the device.
fn check(config: &DeviceConfig) -> Result<(), Error> {
    for (option, asked) in [
        ("queues", config.queues),
        ("rx_descriptors", config.rx_descriptors),
        ("tx_descriptors", config.tx_descriptors),
    ] {
        in_range(config, option, asked.into(), 1, u16::MAX.into())?;
    }
    if let Some(mbufs) = config.mbufs {
        in_range(config, "mbufs", mbufs.into(), 2 * BURST_MAX as u64, 1 << 26)?;
    }
    Ok(())
}

fn in_range(
    config: &DeviceConfig,
    option: &'static str,
    asked: u64,
    min: u64,
    max: u64,
) -> Result<(), Error> {
    if (min..=max).contains(&asked) {
        return Ok(());
    }
    Err(Error::OutOfRange {
        device: config.name.clone(),
        option,
        asked,
        min,
        max,
    })
}

fn open(eal: &Eal, control: &mut Control, config: &DeviceConfig) -> Result<Device, Error> {
    let device = || config.name.clone();
    if control.open.contains(&config.name) {
        return Err(Error::InUse { device: device() });
    }
    let number = eal.find(control, &config.name)?;
    let raw = info::raw(number).map_err(refused(config, "tell what it can do"))?;
    check_limits(config, &raw)?;
    let mut opening = Opening {
        config,
        raw: &raw,
        number,
        queues: config.queues.min(raw.max_rx_queues).min(raw.max_tx_queues),
        warnings: Vec::new(),
    };
    if opening.queues == 0 {
        return Err(refused(config, "receive and send")(-ENOTSUP));
    }
    let pool = Arc::new(opening.pool(eal, control)?);
    // Closed before the pool goes, also where an error ends this function.
    let port = OpenPort {
        number,
        is_open: true,
    };
    let key = opening.configure()?;
    opening.set_up_queues(&pool)?;
    opening.start()?;
    let (rss, deals_flows) = opening.verify_rss(key.as_deref());
    let info = DeviceInfo::of(number).map_err(refused(config, "tell what it can do"))?;
    Eal::note(control, &config.name);
    control.open.insert(info.name.clone());
    let tx_checksums = opening.tx_checksums();
    let Opening {
        queues, warnings, ..
    } = opening;
    Ok(Device {
        inner: Arc::new(Inner {
            port,
            can_multi_segs: raw.can_multi_segs != 0 || COPYING.contains(&info.driver.as_str()),
            info,
            tx_checksums,
            queues,
            rss,
            deals_flows,
            warnings,
            claimed: (0..queues).map(|_| AtomicBool::new(false)).collect(),
            pool,
            foreign_pools: Mutex::default(),
            eal: eal.clone(),
        }),
    })
}

/// Checks against what the device announces.
fn check_limits(config: &DeviceConfig, raw: &sys::MosaicDeviceInfo) -> Result<(), Error> {
    for (option, asked, max) in [
        (
            "rx_descriptors",
            config.rx_descriptors,
            raw.max_rx_descriptors,
        ),
        (
            "tx_descriptors",
            config.tx_descriptors,
            raw.max_tx_descriptors,
        ),
    ] {
        // 0: it does not say.
        let max = if max == 0 { u16::MAX } else { max };
        in_range(config, option, asked.into(), 1, max.into())?;
    }
    if let Some(mtu) = config.mtu {
        in_range(
            config,
            "mtu",
            mtu.into(),
            raw.min_mtu.max(1).into(),
            raw.max_mtu.into(),
        )?;
    }
    Ok(())
}

fn refused(config: &DeviceConfig, what: &'static str) -> impl Fn(i32) -> Error {
    let device = config.name.clone();
    move |error| Error::Refused {
        device: device.clone(),
        what,
        reason: reason(error),
    }
}

/// ENOTSUP of Linux, on every processor.
const ENOTSUP: i32 = 95;

/// A device on its way to be opened, in the order of the methods.
struct Opening<'a> {
    config: &'a DeviceConfig,
    raw: &'a sys::MosaicDeviceInfo,
    number: u16,
    queues: u16,
    warnings: Vec<String>,
}

impl Opening<'_> {
    /// A pool that is large enough, of buffers that hold the largest frame.
    fn pool(&mut self, eal: &Eal, control: &mut Control) -> Result<Pool, Error> {
        if self.queues < self.config.queues {
            self.warnings.push(format!(
                "{} queues asked for, the device has {}",
                self.config.queues, self.queues
            ));
        }
        control.pools += 1;
        let mtu = self.config.mtu.unwrap_or(self.raw.mtu);
        let len = (u32::from(mtu) + FRAME_OVERHEAD)
            .next_multiple_of(64)
            .clamp(DATA_LEN_MIN, u32::from(u16::MAX) - 1024);
        let mbufs = self.config.mbufs.unwrap_or_else(|| self.mbufs());
        Pool::new(
            eal,
            control.pools,
            &self.config.name,
            mbufs,
            len,
            self.raw.numa,
        )
    }

    /// Enough for descriptors and bursts in flight; a power of two less one, as the pool likes it.
    fn mbufs(&self) -> u32 {
        let descriptors =
            u32::from(self.config.rx_descriptors) + u32::from(self.config.tx_descriptors);
        let burst_max = u32::try_from(BURST_MAX).unwrap_or(u32::MAX);
        let needed = u32::from(self.queues) * (descriptors + BURSTS_IN_FLIGHT * burst_max);
        ((needed + 1).next_power_of_two() - 1).max(MBUFS_MIN)
    }

    /// Configures the device. The key it was given, if it spreads flows.
    fn configure(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let wants_rss =
            self.queues > 1 && matches!(RssSupport::of(self.raw), RssSupport::Symmetric);
        let key = wants_rss.then(|| rss::key(self.raw));
        let key = match (self.configure_with(key.as_deref()), key) {
            (Ok(()), key) => key,
            (Err(error), Some(_)) => {
                self.warnings
                    .push(format!("RSS was refused: {}", reason(error)));
                self.configure_with(None)
                    .map_err(refused(self.config, "be configured"))?;
                None
            }
            (Err(error), None) => return Err(refused(self.config, "be configured")(error)),
        };
        self.set_mtu()?;
        Ok(key)
    }

    fn configure_with(&self, key: Option<&[u8]>) -> Result<(), i32> {
        let config = sys::MosaicDeviceConfig {
            rss_key: key.map_or(std::ptr::null(), <[u8]>::as_ptr),
            rss_key_len: key.map_or(0, |key| u32::try_from(key.len()).unwrap_or(0)),
            queues: self.queues,
            mtu: self.mtu().unwrap_or(0),
            // Buffers hold the largest frame.
            scatter: 0,
            multi_segs: self.raw.can_multi_segs,
            tx_checksums: self.tx_checksums().bits(),
        };
        // SAFETY: the device is not started, the lock is held, `config` and the key live until the call returns.
        ok(unsafe { sys::mosaic_device_configure(self.number, &config) })
    }

    /// What it is to finish as it sends.
    fn tx_checksums(&self) -> TxChecksums {
        match self.config.checksum_offload {
            true => TxChecksums::of(self.raw),
            false => TxChecksums::default(),
        }
    }

    /// The MTU to set: that of the configuration, if DPDK lets the device have it.
    fn mtu(&self) -> Option<u16> {
        self.config
            .mtu
            .filter(|mtu| *mtu <= info::mtu_max(self.raw))
    }

    /// Virtual devices pass it on to the kernel's interface; those that cannot change it are fine if it is right.
    fn set_mtu(&mut self) -> Result<(), Error> {
        let Some(asked) = self.config.mtu else {
            return Ok(());
        };
        let result = match self.mtu() {
            // SAFETY: the device is configured, the lock is held.
            Some(mtu) => ok(unsafe { sys::mosaic_device_set_mtu(self.number, mtu) }),
            None => Err(-ENOTSUP),
        };
        match result {
            Err(error) if error == -ENOTSUP => {
                self.warnings.push(format!(
                    "the driver cannot set the MTU to {asked}: packet buffers have the room, the rest is up to the \
                     device's arguments and its interface"
                ));
                Ok(())
            }
            result => result.map_err(refused(self.config, "set the MTU")),
        }
    }

    fn set_up_queues(&mut self, pool: &Arc<Pool>) -> Result<(), Error> {
        let (mut rx, mut tx) = (self.config.rx_descriptors, self.config.tx_descriptors);
        // SAFETY: the device is configured, the lock is held, both numbers may be written.
        ok(unsafe { sys::mosaic_descriptors_adjust(self.number, &mut rx, &mut tx) })
            .map_err(refused(self.config, "take these descriptors"))?;
        for queue in 0..self.queues {
            // SAFETY: as above, and the pool outlives the device, which is closed before it.
            ok(unsafe { sys::mosaic_rx_queue_setup(self.number, queue, rx, pool.as_ptr()) })
                .map_err(refused(self.config, "set up a receive queue"))?;
            // SAFETY: as above.
            ok(unsafe { sys::mosaic_tx_queue_setup(self.number, queue, tx) })
                .map_err(refused(self.config, "set up a send queue"))?;
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), Error> {
        // SAFETY: the device has its queues, the lock is held.
        ok(unsafe { sys::mosaic_device_start(self.number) })
            .map_err(refused(self.config, "start"))?;
        let on = i32::from(self.config.promiscuous);
        // SAFETY: the device is started, the lock is held.
        let result = ok(unsafe { sys::mosaic_promiscuous(self.number, on) });
        if let (Err(error), true) = (result, self.config.promiscuous) {
            self.warnings
                .push(format!("promiscuous mode was refused: {}", reason(error)));
        }
        Ok(())
    }

    /// Who deals flows out; and whether the device does it as shards own them.
    fn verify_rss(&mut self, key: Option<&[u8]>) -> (Rss, bool) {
        let why_not = match (key, RssSupport::of(self.raw)) {
            (Some(key), _) => {
                let (rss, warning) = rss::verify(self.number, self.raw, key, self.queues);
                let agrees = rss == Rss::Symmetric
                    && warning.is_none()
                    && rss::agrees(self.raw, self.queues);
                self.warnings.extend(warning);
                return (rss, agrees);
            }
            (None, RssSupport::Missing(why_not)) => why_not,
            (None, RssSupport::Symmetric) if self.queues == 1 => "it has one queue".into(),
            (None, RssSupport::Symmetric) => "it refused".into(),
        };
        if self.queues > 1 {
            self.warnings.push(format!(
                "no RSS, flows are dealt out in software: {why_not}"
            ));
        }
        (Rss::Software(why_not), false)
    }
}

fn ok(result: i32) -> Result<(), i32> {
    if result < 0 { Err(result) } else { Ok(()) }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
