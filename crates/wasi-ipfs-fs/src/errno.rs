//! The one table of a guest's error codes, for all previews. Only this file turns an error into a [`Code`]; each
//! preview's `errno` spells a `Code` in its own type. No match here has a wildcard, so a new way to fail does not
//! compile until it has its place in the table.
//!
//! | what happened | code |
//! |---|---|
//! | a name or root proven absent, a first segment that is not a CID, a root or name not granted | `NoEntry` |
//! | a block below a found root missing, corrupt, late or refused; over the limit of fetched bytes | `Io` |
//! | a failure of a host's own tree | `Io` |
//! | any way to write | `NotPermitted`, as with wasmtime-wasi's read-only preopens |
//! | creating with `EXCLUSIVE` where something exists | `Exist` |
//! | a file used as a directory; a directory read as a file | `NotDirectory`; `IsDirectory` |
//! | a directory where wasmtime-wasi wants a file's descriptor (advise, set-size, write) | `BadDescriptor` |
//! | more than 40 symlinks; opening a symlink with no-follow | `Loop` |
//! | leaving the preopen or mount | `NotPermitted` |
//! | rename or link between ours and native | `CrossDevice` |
//! | a number under which nothing is open; a write to a file that is open for reading (preview 1) | `BadDescriptor` |
//! | readlink of anything but a symlink; open flags that exclude each other; an offset out of range | `Invalid` |
//! | synchronised I/O asked for at open; calls that wasmtime-wasi supports on no file | `Unsupported` |
//! | arguments that are more than the host copies out of a guest (preview 1) | `InsufficientMemory` |
//! | handles over the limit; distinct targets over the limit; a path over the limit | `InsufficientMemory`; `Quota`; `NameTooLong` |
//!
//! No error becomes `Interrupted`, on which a guest's standard library would retry for ever. No error becomes the end
//! of a file or an absence (I7).

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    mem::{Discriminant, discriminant},
    sync::{Mutex, PoisonError},
};

use pinset::{Identity, Limit};

use crate::node::Error;

/// An error code, by the name that WASI has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    BadDescriptor,
    CrossDevice,
    Exist,
    InsufficientMemory,
    Invalid,
    Io,
    IsDirectory,
    Loop,
    NameTooLong,
    NoEntry,
    NotDirectory,
    NotPermitted,
    Quota,
    Unsupported,
}

/// A call that this crate refuses without asking the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "p1"),
    expect(dead_code, reason = "some are of preview 1 alone")
)]
pub(crate) enum Refusal {
    /// Any way to write, create, remove, link, rename, or set times or size.
    ReadOnly,
    /// Exclusive creation of something that exists.
    Exists,
    /// A directory's method on a file, or a file opened with `DIRECTORY`.
    NotDirectory,
    /// A directory read as a file.
    ReadOfDirectory,
    /// A method that wasmtime-wasi has only for files, called on a directory.
    NotFile,
    /// A number under which nothing is open, or nothing of the kind that the call is for. Only preview 1 has numbers.
    NotOpen,
    /// A write to a file, which is open for reading. A host's own answer, which preview 1 passes on.
    NotWritable,
    /// Opening a symlink that is not to be followed.
    SymlinkNotFollowed,
    /// Linking or renaming between IPFS and a native directory.
    CrossDevice,
    /// `readlink` of a node that is not a symlink.
    NotSymlink,
    /// `readlink` of a symlink in content whose target is absolute: wasmtime-wasi refuses to show such targets.
    AbsoluteTarget,
    /// `DIRECTORY` together with a way to create or truncate.
    ContradictoryFlags,
    /// An offset or a flag that no file can have.
    OutOfRange,
    /// Synchronised I/O, which wasmtime-wasi does not support either.
    SynchronisedIo,
    /// A call that wasmtime-wasi supports on no file.
    NotSupported,
    /// Arguments that are more than the host copies out of a guest in one call.
    TooMuchCopied,
}

impl Refusal {
    /// Returns the error code.
    pub(crate) fn code(self) -> Code {
        match self {
            Self::ReadOnly | Self::AbsoluteTarget => Code::NotPermitted,
            Self::Exists => Code::Exist,
            Self::NotDirectory => Code::NotDirectory,
            Self::ReadOfDirectory => Code::IsDirectory,
            Self::NotFile | Self::NotOpen | Self::NotWritable => Code::BadDescriptor,
            Self::SymlinkNotFollowed => Code::Loop,
            Self::CrossDevice => Code::CrossDevice,
            Self::NotSymlink | Self::ContradictoryFlags | Self::OutOfRange => Code::Invalid,
            Self::SynchronisedIo | Self::NotSupported => Code::Unsupported,
            Self::TooMuchCopied => Code::InsufficientMemory,
        }
    }
}

/// Returns the code for an error of a node.
pub(crate) fn code(error: &Error) -> Code {
    match error {
        Error::NotFound { .. } => Code::NoEntry,
        Error::NotDirectory { .. } => Code::NotDirectory,
        Error::Escapes { .. } => Code::NotPermitted,
        Error::TooManySymlinks { .. } => Code::Loop,
        Error::PathTooLong { .. } => Code::NameTooLong,
        Error::Failed(_) => Code::Io,
        Error::Ipfs(error) => code_of_ipfs(error),
    }
}

/// Returns the code for an error of the cache.
fn code_of_ipfs(error: &pinset::Error) -> Code {
    use pinset::Error as E;
    match error {
        E::InvalidPath { .. }
        | E::InvalidName { .. }
        | E::NotFound { .. }
        | E::RootNotFound { .. }
        | E::NotGranted { .. } => Code::NoEntry,
        E::PathTooLong { .. } => Code::NameTooLong,
        E::NotDirectory { .. } => Code::NotDirectory,
        E::IsDirectory { .. } => Code::IsDirectory,
        E::Escapes { .. } => Code::NotPermitted,
        E::TooManySymlinks { .. } => Code::Loop,
        E::LimitReached { limit, .. } => match limit {
            Limit::OpenHandles => Code::InsufficientMemory,
            Limit::Targets => Code::Quota,
            Limit::FetchedBytes => Code::Io,
            // One that is newer than this table.
            _ => Code::Io,
        },
        E::Fetch { .. }
        | E::Corrupt { .. }
        | E::Malformed { .. }
        | E::Unsupported { .. }
        | E::Closed
        // The rest concerns the host alone. If a guest's call meets it, the guest sees a failure of the device.
        | E::OverBudget { .. }
        | E::BudgetTooSmall { .. }
        | E::Pin { .. }
        | E::Staging { .. }
        | E::Write { .. }
        | E::NoNames { .. }
        | E::Name { .. } => Code::Io,
        // One that is newer than this table.
        _ => Code::Io,
    }
}

/// The failures of one guest's calls that were logged.
///
/// A guest sees only a code, so the log is the only place that says which block of which content could not be read. But
/// a guest can make a call fail as often as it likes. So each way to fail is logged once for each block, up to
/// [`LOGGED`](Self::LOGGED) of them, and the calls that failed besides are counted, and logged at the guest's end.
#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    logged: HashSet<Failure>,
    unlogged: u64,
}

/// A way to fail, and what is to blame.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Failure {
    /// Of IPFS, with the block.
    Ipfs(
        Discriminant<pinset::Error>,
        Option<Discriminant<Limit>>,
        Option<Identity>,
    ),
    /// Of another tree: a hash of its message.
    Tree(u64),
}

impl Failures {
    /// The most warnings for one guest.
    const LOGGED: usize = 256;

    /// Returns the code for an error that ends a guest's call, and logs the error.
    pub(crate) fn log(&self, error: &Error) -> Code {
        let code = code(error);
        let warned = match code {
            Code::Io | Code::Quota | Code::InsufficientMemory => self.is_first(error),
            _ => false,
        };
        let error = error as &dyn std::error::Error;
        if warned {
            tracing::warn!(error, ?code, "a guest's call failed");
        } else {
            tracing::debug!(error, ?code, "a guest's call failed");
        }
        code
    }

    /// Counts a failure. Returns whether it is to be logged.
    fn is_first(&self, error: &Error) -> bool {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = failure(error);
        let first = counted.logged.len() < Self::LOGGED && counted.logged.insert(failure);
        counted.unlogged += u64::from(!first);
        first
    }
}

impl Drop for Failures {
    fn drop(&mut self) {
        let counted = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if counted.unlogged > 0 {
            let calls = counted.unlogged;
            tracing::warn!(calls, "more of a guest's calls failed than were logged");
        }
    }
}

fn failure(error: &Error) -> Failure {
    use pinset::Error as E;
    let Error::Ipfs(error) = error else {
        let mut message = DefaultHasher::new();
        error.to_string().hash(&mut message);
        return Failure::Tree(message.finish());
    };
    let (limit, cid) = match error {
        E::LimitReached { limit, .. } => (Some(discriminant(limit)), None),
        E::Fetch { cid, .. }
        | E::Corrupt { cid, .. }
        | E::Malformed { cid, .. }
        | E::Unsupported { cid, .. } => (None, Some(Identity::of(cid))),
        _ => (None, None),
    };
    Failure::Ipfs(discriminant(error), limit, cid)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use cid::Cid;
    use tracing::{Event, Level, Metadata, Subscriber, span};

    use super::*;

    /// Counts the warnings.
    #[derive(Clone, Default)]
    struct Warnings(Arc<AtomicUsize>);

    impl Subscriber for Warnings {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::WARN
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    fn corrupt(number: u32) -> Error {
        let mut digest = [7; 32];
        digest[..4].copy_from_slice(&number.to_le_bytes());
        let hash = cid::multihash::Multihash::wrap(0x12, &digest).unwrap();
        let cid = Cid::new_v1(0x55, hash);
        pinset::Error::Corrupt { cid, len: 1 }.into()
    }

    fn limit(limit: Limit) -> Error {
        pinset::Error::LimitReached { limit, value: 1 }.into()
    }

    fn of_a_tree(text: &str) -> Error {
        Error::failed(std::io::Error::other(text))
    }

    #[test]
    fn each_way_to_fail_is_logged_once_for_each_block() {
        let warnings = Warnings::default();
        let lines = || warnings.0.swap(0, Ordering::Relaxed);
        tracing::subscriber::with_default(warnings.clone(), || {
            let failures = Failures::default();
            for _ in 0..10_000 {
                for error in [
                    corrupt(1),
                    corrupt(2),
                    pinset::Error::Closed.into(),
                    limit(Limit::OpenHandles),
                    limit(Limit::Targets),
                    of_a_tree("one way"),
                    of_a_tree("another way"),
                ] {
                    assert_eq!(failures.log(&error), code(&error));
                }
                // The guest is told what it asked; that is not a failure of the host.
                failures.log(&Error::Escapes { path: "..".into() });
            }
            assert_eq!(lines(), 7);
            // The number of warnings is bounded.
            for number in 0..10_000 {
                failures.log(&corrupt(number));
            }
            assert_eq!(lines(), Failures::LOGGED - 7);
            drop(failures);
            assert_eq!(lines(), 1);
            // Another guest's are logged again.
            Failures::default().log(&corrupt(1));
            assert_eq!(lines(), 1);
        });
    }
}
