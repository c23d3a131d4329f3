//! Helpers that the tests and benches of several crates share. They use no crate above the backends: helpers that need
//! `pinset` or the adapter stay beside the tests that use them.
//!
//! * [`content`], [`balanced`]: content on a mock node: imported files and trees, and large files that need no disk.
//! * [`golden`]: the content behind the golden tables of CIDs, rebuilt.
//! * [`mod@examples`]: a package's examples, as built programs.
//! * [`traces`]: published traces of page requests.
//! * [`staged`]: a persistent staging directory as the file system sees it, and blocks to fill it with.
//! * [`file_system`]: a file system and a process of a test's own.
//! * [`memory`]: the memory that the process uses.
//! * [`turns`]: tests that share a binary and must not affect each other.
//! * [`until`]: waits for an effect of work in the background.

pub mod balanced;
mod chacha20;
pub mod content;
pub mod examples;
pub mod file_system;
pub mod golden;
pub mod memory;
#[cfg(shuttle)]
pub mod schedules;
pub mod staged;
pub mod traces;
pub mod turns;

use std::time::Duration;

/// Waits for the effect of work in the background, for 20 seconds at most.
///
/// # Panics
/// If the effect does not come; the message names it by `what`.
pub async fn until(what: &str, mut there: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if there() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come");
}
