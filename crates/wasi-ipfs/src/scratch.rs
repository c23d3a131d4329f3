//! Temporary archives: where they are made, and the removal of those that a killed process left.
//!
//! They lie where staging does, and not in the directory for temporary files, which is memory on many systems.
//!
//! Invariant: a directory is removed only by whoever holds its lock, which ends with the process that made it.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use pinset::lock_dir::LockDir;
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

/// How the names of these directories begin.
const PREFIX: &str = "wasi-ipfs-add-";

/// The advice where they cannot be made, for messages.
pub(crate) const ELSEWHERE: &str = "name another place with --staging, or with XDG_CACHE_HOME";

/// A directory for temporary archives. It is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: TempDir,
    /// Says that the process lives.
    _lock: File,
}

impl Scratch {
    /// Makes one in [`parent`], after those that killed processes left there are gone.
    pub(crate) fn new(staging: Option<&Path>) -> anyhow::Result<Self> {
        let parent = parent(staging)?;
        let made = sweep(&parent).and_then(|()| Self::in_swept(&parent));
        made.with_context(|| {
            format!(
                "cannot make a temporary directory in '{}'; {ELSEWHERE}",
                parent.display()
            )
        })
    }

    fn in_swept(parent: &Path) -> io::Result<Self> {
        loop {
            let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            let lock = File::open(directory.path())?;
            flock(&lock, FlockOperation::LockExclusive)?;
            // Another process that started meanwhile may have swept the directory before it was locked.
            if directory.path().exists() {
                return Ok(Self {
                    directory,
                    _lock: lock,
                });
            }
        }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// The directory in which temporary archives are made: that of `--staging`, or else the user's own, which exists then.
pub(crate) fn parent(staging: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(staging) = staging {
        return Ok(staging.to_owned());
    }
    let own = LockDir::default_path();
    // It makes sure that the directory is this user's alone.
    LockDir::open_default().with_context(|| {
        format!(
            "cannot use '{}' for temporary archives; {ELSEWHERE}",
            own.display()
        )
    })?;
    Ok(own)
}

/// Removes the directories of processes that are dead.
fn sweep(parent: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(parent)? {
        let entry = entry?;
        let is_ours = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes());
        if !is_ours || !entry.file_type()?.is_dir() {
            continue;
        }
        let Ok(lock) = File::open(entry.path()) else {
            continue;
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // If that fails, the directory belongs to somebody else, or the next start finds it.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().expect("a directory");
        let living = Scratch::new(Some(parent.path())).expect("made");
        let left = parent.path().join(format!("{PREFIX}left"));
        std::fs::create_dir(&left).expect("a directory");
        std::fs::write(left.join("0.car"), b"half").expect("a file");
        let other = parent.path().join("other");
        std::fs::create_dir(&other).expect("a directory");
        let second = Scratch::new(Some(parent.path())).expect("made");
        assert!(!left.exists() && other.exists() && living.path().exists());
        let (first, second_path) = (living.path().to_owned(), second.path().to_owned());
        drop((living, second));
        assert!(!first.exists() && !second_path.exists());
    }
}
