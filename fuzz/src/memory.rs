//! A bound on the memory for one input, by the input's size: a few bytes must not make a reader allocate gigabytes.

use std::{alloc::System, panic, sync::Once};

use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// The bytes that an input of any size may take, for error texts, tables and windows.
const BASE: usize = 1024 * 1024;

/// The backtrace of a panic takes more memory than an input may. Without this, an allocation would fail while the panic
/// is reported, and the process would hang there.
static PANICS_ARE_FREE: Once = Once::new();

/// Runs `check`, which may hold `per_byte` bytes for each of the input's `len` bytes, and one mebibyte more. Any
/// further allocation fails, which ends the process.
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
    // A limit is refused only if it is exceeded already.
    ALLOCATOR
        .set_limit(limit)
        .expect("the limit is above the memory in use");
    let checked = check();
    ALLOCATOR
        .set_limit(usize::MAX)
        .expect("no use exceeds the greatest number");
    checked
}
