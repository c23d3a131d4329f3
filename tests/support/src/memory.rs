//! The memory that this process uses, on systems with `/proc`.

use std::fs;

/// The resident set, in bytes.
pub fn resident_bytes() -> Option<u64> {
    status("VmRSS:")
}

/// The highest resident set so far, in bytes. It counts the whole process, so a test that reads it needs a process of
/// its own.
pub fn peak_bytes() -> Option<u64> {
    status("VmHWM:")
}

/// Makes [`peak_bytes`] count from now on. Returns whether the system could.
pub fn reset_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

fn status(field: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}
