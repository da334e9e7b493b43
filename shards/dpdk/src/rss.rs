//! Receive-side scaling: the device deals flows out to queues, both directions to the same one.

use mosaic_dpdk_sys as sys;

use crate::drivers::reason;
use crate::info;

/// Entries of the table by which the engine deals flows out to shards.
const BUCKETS: u16 = 128;
/// The largest hash key a device may have.
const KEY_LEN_MAX: usize = 255;

/// Whether a device can deal flows out so that both directions of a flow reach the same queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RssSupport {
    /// It may; it is asked again after it was told.
    Symmetric,
    /// It cannot, for this reason.
    Missing(String),
}

impl RssSupport {
    pub(crate) fn of(info: &sys::MosaicDeviceInfo) -> Self {
        let missing = if info.max_rx_queues < 2 {
            "it has one queue"
        } else if info.can_rss == 0 {
            "its driver does not spread flows"
        } else {
            return Self::Symmetric;
        };
        Self::Missing(format!("{missing} ({})", info::name(&info.driver)))
    }
}

/// Who deals flows out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rss {
    /// The device, symmetrically; it confirmed key and function.
    Symmetric,
    /// The shards among themselves, for this reason.
    Software(String),
}

/// The symmetric key in the length that the device takes.
pub(crate) fn key(info: &sys::MosaicDeviceInfo) -> Vec<u8> {
    let len = match usize::from(info.hash_key_len) {
        0 => 40,
        len => len.min(KEY_LEN_MAX),
    };
    [0x6d, 0x5a].into_iter().cycle().take(len).collect()
}

/// Asks started device `port`, which has `queues` queues and was configured with `key`, what it does; tells it once more
/// if need be. The second value is a warning.
pub(crate) fn verify(
    port: u16,
    info: &sys::MosaicDeviceInfo,
    key: &[u8],
    queues: u16,
) -> (Rss, Option<String>) {
    let symmetric = confirm(port, key).or_else(|_| {
        write_key(port, key)?;
        confirm(port, key)
    });
    if let Err(reason) = symmetric {
        let warning = format!("RSS is not symmetric, flows are dealt out in software: {reason}");
        return (Rss::Software(reason), Some(warning));
    }
    let warning = set_table(port, info.reta_size, queues).err().map(|reason| {
        format!("the RSS table stays as the device has it, shards hand packets over: {reason}")
    });
    (Rss::Symmetric, warning)
}

/// Whether the device says that it hashes symmetrically.
fn confirm(port: u16, key: &[u8]) -> Result<(), String> {
    let mut found = [0_u8; KEY_LEN_MAX + 1];
    let mut len = u32::try_from(key.len()).unwrap_or(0);
    let mut function = sys::RSS_UNKNOWN;
    // SAFETY: `found` has room for the longest key there is (its length is 8 bits), the others may be written.
    let result = unsafe { sys::mosaic_rss_read(port, found.as_mut_ptr(), &mut len, &mut function) };
    if result < 0 {
        return Err(format!(
            "the device does not tell its RSS settings: {}",
            reason(result)
        ));
    }
    let found = &found[..(len as usize).min(KEY_LEN_MAX)];
    match function {
        sys::RSS_SYMMETRIC_TOEPLITZ => Ok(()),
        sys::RSS_OTHER => Err("the device uses another hash function than Toeplitz".into()),
        _ if is_symmetric(found) => Ok(()),
        _ => Err("the device keeps a key of its own".into()),
    }
}

/// Whether Toeplitz with this key gives both directions the same hash, and the engine's.
fn is_symmetric(key: &[u8]) -> bool {
    key.len() >= 40 && key.chunks(2).all(|pair| [0x6d, 0x5a].starts_with(pair))
}

fn write_key(port: u16, key: &[u8]) -> Result<(), String> {
    let len = u32::try_from(key.len()).unwrap_or(0);
    // SAFETY: the key has `len` bytes, and is copied by the driver.
    match unsafe { sys::mosaic_rss_write(port, key.as_ptr(), len) } {
        0 => Ok(()),
        error => Err(format!("the device does not take a key: {}", reason(error))),
    }
}

/// Sets the device's table as the engine's, and reads it back.
fn set_table(port: u16, size: u16, queues: u16) -> Result<(), String> {
    if size == 0 {
        return Err("the device has none".into());
    }
    let table = table(size, queues);
    let mut found = vec![0; table.len()];
    // SAFETY: both have `size` entries.
    let result = unsafe {
        match sys::mosaic_reta_write(port, table.as_ptr(), size) {
            0 => sys::mosaic_reta_read(port, found.as_mut_ptr(), size),
            error => error,
        }
    };
    match result {
        0 if found == table => Ok(()),
        0 => Err("the device keeps another".into()),
        error => Err(reason(error)),
    }
}

/// Whether a table of this device's size can say for every hash what the engine's does.
pub(crate) fn agrees(info: &sys::MosaicDeviceInfo, queues: u16) -> bool {
    covers(info.reta_size, queues)
}

fn covers(size: u16, queues: u16) -> bool {
    let divides_both = size.is_multiple_of(queues) && BUCKETS.is_multiple_of(queues);
    size != 0 && (size.is_multiple_of(BUCKETS) || divides_both)
}

/// The queue of each entry: that of the engine's bucket.
fn table(size: u16, queues: u16) -> Vec<u16> {
    (0..size).map(|entry| entry % BUCKETS % queues).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_the_bucket_of_every_hash() {
        for (size, queues, agree) in [
            (128, 3, true),
            (512, 5, true),
            (256, 7, true),
            (64, 4, true),
            (64, 1, true),
            (64, 3, false),
            (96, 2, true),
            (100, 3, false),
            (192, 4, true),
        ] {
            let table = table(size, queues);
            let is_owner = |hash: u16| table[usize::from(hash % size)] == hash % BUCKETS % queues;
            let all = (0..6400).all(is_owner);
            assert_eq!(all, agree, "{size} entries, {queues} queues");
            assert_eq!(
                covers(size, queues),
                agree,
                "{size} entries, {queues} queues"
            );
        }
        assert!(!covers(0, 2));
    }

    #[test]
    fn only_the_repeated_key_is_symmetric() {
        let good: Vec<u8> = [0x6d, 0x5a].into_iter().cycle().take(52).collect();
        assert!(is_symmetric(&good) && is_symmetric(&good[..40]));
        assert!(!is_symmetric(&good[..8]) && !is_symmetric(&[]));
        let mut bad = good;
        bad[31] ^= 1;
        assert!(!is_symmetric(&bad));
    }
}
