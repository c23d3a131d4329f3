//! How many blocks may be staged, however small they are: their table is in memory, and a guest chooses their size.

use std::{fs, sync::OnceLock};

/// The part of the memory that the tables may take.
const PART: u64 = 16;

/// The most that a block takes in the table, in bytes: its entry, its part of two indices, and a ghost.
const A_BLOCK: u64 = 200;

/// The least bound, and the memory that is assumed if the system does not say how much there is.
const LEAST: u64 = 1 << 16;
const ASSUMED: u64 = 4 << 30;

/// The default bound: a sixteenth of the memory of the machine, or of this process's control group.
pub(super) fn by_memory() -> u64 {
    static MOST: OnceLock<u64> = OnceLock::new();
    *MOST.get_or_init(|| (memory().unwrap_or(ASSUMED) / PART / A_BLOCK).max(LEAST))
}

fn memory() -> Option<u64> {
    let all = total(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let of_group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let of_group = of_group.and_then(|text| text.trim().parse().ok());
    Some(all.min(of_group.unwrap_or(u64::MAX)))
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_read() {
        assert_eq!(total("MemTotal:       16 kB\nMemFree: 8 kB\n"), Some(16384));
        for text in ["", "MemFree: 8 kB", "MemTotal: many kB", "MemTotal: 16"] {
            assert_eq!(total(text), None);
        }
        assert!(by_memory() >= LEAST);
    }
}
