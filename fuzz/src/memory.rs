//! A bound on what one input may allocate, by its own size: a few bytes must not make a reader ask for gigabytes.

use std::{alloc::System, panic, sync::Once};

use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What an input of any size may take, in bytes: error texts, tables, windows.
const BASE: usize = 1024 * 1024;

/// A panic prints a backtrace, which takes more than any input is worth: without this, it would end as an allocation
/// that fails inside the report of the panic, and hang there.
static PANICS_ARE_FREE: Once = Once::new();

/// Runs `check`, which may hold `per_byte` bytes for each of the input's `len`, and a mebibyte. More is an allocation
/// that fails, which ends the process.
pub fn bounded<T>(len: usize, per_byte: usize, check: impl FnOnce() -> T) -> T {
    PANICS_ARE_FREE.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let _ = ALLOCATOR.set_limit(usize::MAX);
            report(panic);
        }));
    });
    let before = ALLOCATOR.allocated();
    let limit = before.saturating_add(BASE + len.saturating_mul(per_byte));
    // It is refused only where the limit is exceeded already.
    ALLOCATOR
        .set_limit(limit)
        .expect("the limit is above what is in use");
    let checked = check();
    ALLOCATOR
        .set_limit(usize::MAX)
        .expect("nothing exceeds every number");
    checked
}
