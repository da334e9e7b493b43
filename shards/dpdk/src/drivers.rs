//! What is installed.

use std::ffi::{CStr, c_char};

use mosaic_dpdk_sys as sys;

/// The version of DPDK this process runs with, such as `DPDK 22.11.11`.
pub fn version() -> &'static str {
    // SAFETY: no arguments; the shim gives a string that lives as long as the process.
    static_text(unsafe { sys::mosaic_version() })
}

/// Names of the network drivers that the EAL loads when it starts, such as `net_af_packet`, sorted. Empty where the
/// drivers are linked into the library instead.
pub fn drivers() -> Vec<String> {
    // SAFETY: no arguments; the shim gives a string that lives as long as the process.
    let folder = static_text(unsafe { sys::mosaic_driver_folder() });
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let files = entries.flatten().map(|entry| entry.file_name());
    let mut names: Vec<String> = files
        .filter_map(|file| driver_name(file.to_str()?))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// `net_null` of `librte_net_null.so` or `librte_net_null.so.23`.
fn driver_name(file: &str) -> Option<String> {
    let (name, _) = file.strip_prefix("librte_")?.split_once(".so")?;
    name.starts_with("net_").then(|| name.to_owned())
}

/// A text of the shim that lives as long as the process.
fn static_text(text: *const c_char) -> &'static str {
    // SAFETY: called with what the shim's functions for constant texts return: zero-terminated, never freed.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("")
}

/// What DPDK says about an error: the names of errno, and some of its own.
pub(crate) fn reason(error: i32) -> String {
    // SAFETY: any number is fine; the text lies in memory of this thread until its next call, and is copied here.
    unsafe { CStr::from_ptr(sys::mosaic_strerror(error)) }
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_named_by_their_files() {
        assert_eq!(
            driver_name("librte_net_null.so.23.0").as_deref(),
            Some("net_null")
        );
        assert_eq!(driver_name("librte_mempool_ring.so"), None);
        assert_eq!(driver_name("net_null.so"), None);
    }
}
