//! The one table of a guest's error codes, for all previews. Only this file turns an error into a [`Code`]; each
//! preview's `errno` spells a `Code` in its own type. No match here has a wildcard, so a new way to fail does not
//! compile until it has its place in the table.
//!
//! | what happened | code |
//! |---|---|
//! | a name or root proven absent, a first segment that is not a CID, a root or name not granted | `NoEntry` |
//! | a block below a found root missing, corrupt, late or refused; over the limit of fetched bytes | `Io` |
//! | any way to write | `NotPermitted`, as with wasmtime-wasi's read-only preopens |
//! | creating with `EXCLUSIVE` where something exists | `Exist` |
//! | a file used as a directory; a directory read as a file | `NotDirectory`; `IsDirectory` |
//! | a directory where wasmtime-wasi wants a file's descriptor (advise, set-size, write) | `BadDescriptor` |
//! | more than 40 symlinks; opening a symlink with no-follow | `Loop` |
//! | leaving the preopen or mount | `NotPermitted` |
//! | rename or link between ours and native | `CrossDevice` |
//! | readlink of anything but a symlink; open flags that exclude each other | `Invalid` |
//! | synchronised I/O asked for at open | `Unsupported` |
//! | handles over the limit; distinct targets over the limit; a path over the limit | `InsufficientMemory`; `Quota`; `NameTooLong` |
//!
//! No error becomes `Interrupted`, on which a guest's standard library would retry for ever. No error becomes the end
//! of a file or an absence (I7).

use pinset::{Error, Limit};

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
    /// Synchronised I/O, which wasmtime-wasi does not support either.
    SynchronisedIo,
}

impl Refusal {
    /// Returns the error code.
    pub(crate) fn code(self) -> Code {
        match self {
            Self::ReadOnly | Self::AbsoluteTarget => Code::NotPermitted,
            Self::Exists => Code::Exist,
            Self::NotDirectory => Code::NotDirectory,
            Self::ReadOfDirectory => Code::IsDirectory,
            Self::NotFile => Code::BadDescriptor,
            Self::SymlinkNotFollowed => Code::Loop,
            Self::CrossDevice => Code::CrossDevice,
            Self::NotSymlink | Self::ContradictoryFlags => Code::Invalid,
            Self::SynchronisedIo => Code::Unsupported,
        }
    }
}

/// Returns the code for an error of the cache.
pub(crate) fn code(error: &Error) -> Code {
    match error {
        Error::InvalidPath { .. }
        | Error::InvalidName { .. }
        | Error::NotFound { .. }
        | Error::RootNotFound { .. }
        | Error::NotGranted { .. } => Code::NoEntry,
        Error::PathTooLong { .. } => Code::NameTooLong,
        Error::NotDirectory { .. } => Code::NotDirectory,
        Error::IsDirectory { .. } => Code::IsDirectory,
        Error::Escapes { .. } => Code::NotPermitted,
        Error::TooManySymlinks { .. } => Code::Loop,
        Error::LimitReached { limit, .. } => match limit {
            Limit::OpenHandles => Code::InsufficientMemory,
            Limit::Targets => Code::Quota,
            Limit::FetchedBytes => Code::Io,
            // One that is newer than this table.
            _ => Code::Io,
        },
        Error::Fetch { .. }
        | Error::Corrupt { .. }
        | Error::Malformed { .. }
        | Error::Unsupported { .. }
        | Error::Closed
        // The rest concerns the host alone. If a guest's call meets it, the guest sees a failure of the device.
        | Error::OverBudget { .. }
        | Error::BudgetTooSmall { .. }
        | Error::Pin { .. }
        | Error::Staging { .. }
        | Error::Write { .. }
        | Error::NoNames { .. }
        | Error::Name { .. } => Code::Io,
        // One that is newer than this table.
        _ => Code::Io,
    }
}

/// Returns the code for an error that ends a guest's call, and logs the error. A guest sees only the code, so the log
/// is the only place that says which block of which content could not be read.
pub(crate) fn logged(error: &Error) -> Code {
    let code = code(error);
    match code {
        Code::Io | Code::Quota | Code::InsufficientMemory => {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                ?code,
                "a guest's call failed"
            );
        }
        _ => tracing::debug!(
            // coverage: no test reads debug messages.
            error = error as &dyn std::error::Error,
            ?code,
            "a guest's call failed"
        ),
    }
    code
}
