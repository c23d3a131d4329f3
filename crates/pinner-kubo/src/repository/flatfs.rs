//! The files of a repository: finds its flatfs, and reads the file of one block. All of it blocks the thread.
//!
//! Invariant: below the directory of blocks only regular files are read, no symbolic link is followed, and of no file
//! more than [`MAX_BLOCK`] bytes are read. Nothing is ever written. Names come from a multihash alone (I4).
//!
//! # Beside a running node
//! No lock is needed. flatfs writes a block into a temporary file and renames it, so a file that has a block's name is
//! whole, and it does not change afterwards. A collection unlinks files; one that is open can be read to its end. The
//! repository's `repo.lock` keeps other writers away from it, and concerns no reader. A power loss or a failing disk
//! may leave wrong bytes; they are found by their hash, as those of any backend.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use cap_std::{ambient_authority, fs::Dir};
use cid::Cid;
use kubo_protocol::{BlockFile, BlockStore, NoBlockStore, Sharding};
use pinner_api::{Bytes, Cause, MAX_BLOCK, PinnerError};
use rustix::{
    buffer::spare_capacity,
    fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, statat},
    io::{Errno, read},
};

use super::error::RepositoryError;
use crate::rpc::may_be_empty;

/// The first version of a repository that has its blocks by multihash, whatever the CID that they were put with.
const BY_MULTIHASH: u32 = 12;

/// The longest file that is read beside blocks, in bytes.
const LONGEST: usize = 64 * 1024;

/// The file of a flatfs that names its sharding function. Every flatfs has one.
const SHARDING: &str = "SHARDING";

/// A directory of blocks, open.
#[derive(Debug)]
pub(super) struct Flatfs {
    dir: Dir,
    sharding: Sharding,
    /// The repository, for messages.
    repository: PathBuf,
    /// Whether the repository has blocks nowhere else.
    is_sole: bool,
}

impl Flatfs {
    /// Opens the directory of blocks that the repository at `path` mounts.
    pub(super) fn open(path: &Path) -> Result<Self, RepositoryError> {
        let repository = open_ambient(path)?;
        let version = text(&repository, path, "version")?;
        let version: u32 = version.trim().parse().map_err(|_| {
            let shown: String = version.trim().escape_debug().take(40).collect();
            malformed(path.join("version"), format!("its version is '{shown}'"))
        })?;
        if version < BY_MULTIHASH {
            return Err(RepositoryError::TooOld {
                path: path.to_owned(),
                version,
                minimum: BY_MULTIHASH,
            });
        }
        let spec = text(&repository, path, "datastore_spec")?;
        let store = BlockStore::find(spec.as_bytes()).map_err(|error| match error {
            NoBlockStore::Other { found } => RepositoryError::NotFlatfs {
                path: path.to_owned(),
                found,
            },
            NoBlockStore::Malformed { reason } => malformed(path.join("datastore_spec"), reason),
        })?;
        // The owner may keep it on another disk, by an absolute path or by a symbolic link.
        let blocks = path.join(&store.path);
        let dir = open_ambient(&blocks)?;
        let sharding = text(&dir, &blocks, SHARDING)?;
        let sharding = sharding.parse::<Sharding>().map_err(|error| {
            let reason = format!("invalid sharding function: {error}");
            malformed(blocks.join(SHARDING), reason)
        })?;
        Ok(Self {
            dir,
            sharding,
            repository: path.to_owned(),
            is_sole: store.is_sole,
        })
    }

    /// The path of the repository.
    pub(super) fn repository(&self) -> &Path {
        &self.repository
    }

    /// Returns the bytes in the block's file, unverified.
    pub(super) fn block(&self, cid: &Cid) -> Result<Bytes, PinnerError> {
        match self.read(&self.sharding.file_of(cid)) {
            // All that a power loss leaves of some files.
            Ok(bytes) if bytes.is_empty() && !may_be_empty(cid) => {
                Err(self.failed(cid, Failure::CutShort))
            }
            Ok(bytes) => Ok(bytes.into()),
            Err(failure) => Err(self.failed(cid, failure)),
        }
    }

    fn read(&self, file: &BlockFile) -> Result<Vec<u8>, Failure> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let shard = match openat(&self.dir, &*file.shard, flags, Mode::empty()) {
            // With both flags, Linux says so of a link as well.
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(Failure::Odd(NOT_A_DIRECTORY)),
            opened => opened?,
        };
        read_file(&shard, &file.name, MAX_BLOCK)
    }

    fn failed(&self, cid: &Cid, failure: Failure) -> PinnerError {
        let operation = format!(
            "block {cid} from the files of {}",
            self.repository.display()
        );
        let corrupt = |reason: String| PinnerError::Corrupt {
            operation: operation.clone(),
            reason,
        };
        let unavailable = |why: &str| PinnerError::Unavailable {
            operation: format!("{operation}: {why}"),
            source: None,
        };
        match failure {
            Failure::Absent if !self.is_sole => {
                unavailable("it has no such file, but keeps blocks elsewhere too")
            }
            Failure::Absent if !self.is_there() => unavailable("its directory of blocks is gone"),
            Failure::Absent => PinnerError::NotFound { cid: *cid },
            Failure::Odd(reason) => corrupt(reason.to_owned()),
            Failure::TooLarge(bytes) => {
                corrupt(format!("{bytes} bytes, over the limit of {MAX_BLOCK}"))
            }
            Failure::CutShort => corrupt("the file is cut short".to_owned()),
            Failure::System(Errno::ACCESS | Errno::PERM) => PinnerError::Denied {
                operation,
                reason: "permission denied; run this as the user that the repository belongs to"
                    .to_owned(),
            },
            Failure::System(errno) => PinnerError::Unavailable {
                operation,
                source: Some(Cause::new(io::Error::from(errno))),
            },
        }
    }

    /// Whether the directory still is a flatfs. A file that is missing from a removed or emptied one proves nothing.
    fn is_there(&self) -> bool {
        statat(&self.dir, SHARDING, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }
}

const NOT_A_DIRECTORY: &str = "its directory is a symbolic link, or not a directory";
const NOT_A_FILE: &str = "it is not a regular file";

/// Why a file is not read.
enum Failure {
    Absent,
    /// Kubo puts nothing like this there.
    Odd(&'static str),
    /// It has so many bytes.
    TooLarge(u64),
    CutShort,
    System(Errno),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::Absent,
            Errno::LOOP => Self::Odd("it is a symbolic link"),
            // A socket.
            Errno::NXIO => Self::Odd(NOT_A_FILE),
            other => Self::System(other),
        }
    }
}

/// Reads the regular file `name` in `dir`, which has at most `most` bytes.
fn read_file(dir: impl AsFd, name: &str, most: usize) -> Result<Vec<u8>, Failure> {
    // A pipe would be waited for, and a terminal taken.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file: OwnedFd = openat(dir, name, OFlags::RDONLY | flags, Mode::empty())?;
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Failure::Odd(NOT_A_FILE));
    }
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    let len = match usize::try_from(size) {
        Ok(len) if len <= most => len,
        Ok(_) | Err(_) => return Err(Failure::TooLarge(size)),
    };
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        match read(&file, spare_capacity(&mut bytes)) {
            Ok(0) => return Err(Failure::CutShort),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    // The capacity may be more than was asked for, and the file may have grown.
    bytes.truncate(len);
    Ok(bytes)
}

/// Opens a directory by its path, following symbolic links.
fn open_ambient(path: &Path) -> Result<Dir, RepositoryError> {
    Dir::open_ambient_dir(path, ambient_authority()).map_err(|error| unreadable(path, error))
}

/// Reads a small text file of the directory at `path`.
fn text(dir: &Dir, path: &Path, name: &'static str) -> Result<String, RepositoryError> {
    let file = path.join(name);
    let bytes = read_file(dir, name, LONGEST).map_err(|failure| match failure {
        Failure::Absent => RepositoryError::NotARepository {
            path: path.to_owned(),
            missing: name,
        },
        Failure::Odd(reason) => malformed(file.clone(), reason),
        Failure::TooLarge(bytes) => malformed(
            file.clone(),
            format!("{bytes} bytes, over the limit of {LONGEST}"),
        ),
        Failure::CutShort => malformed(file.clone(), "it is cut short"),
        Failure::System(errno) => unreadable(&file, errno.into()),
    })?;
    String::from_utf8(bytes).map_err(|_| malformed(file, "it is not UTF-8"))
}

fn malformed(path: PathBuf, reason: impl Into<String>) -> RepositoryError {
    RepositoryError::Malformed {
        path,
        reason: reason.into(),
    }
}

fn unreadable(path: &Path, error: io::Error) -> RepositoryError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::PermissionDenied => RepositoryError::Denied { path },
        _ => RepositoryError::Unreadable {
            path,
            source: Cause::new(error),
        },
    }
}

/// A repository with one block, for the tests of this folder.
#[cfg(test)]
pub(super) fn sample() -> (tempfile::TempDir, Cid) {
    use multihash_codetable::{Code, MultihashDigest as _};

    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        let folder = path.parent().expect("it has one");
        std::fs::create_dir_all(folder).expect("a directory");
        std::fs::write(path, text).expect("written");
    };
    let function = "/repo/flatfs/shard/v1/next-to-last/2";
    write("version", "18");
    write(
        "datastore_spec",
        r#"{"type":"mount","mounts":[{"mountpoint":"/blocks","path":"blocks","type":"flatfs"}]}"#,
    );
    write("blocks/SHARDING", function);
    let cid = Cid::new_v1(0x55, Code::Sha2_256.digest(b"a block"));
    let sharding: Sharding = function.parse().expect("a function");
    let BlockFile { shard, name } = sharding.file_of(&cid);
    write(&format!("blocks/{shard}/{name}"), "a block");
    (dir, cid)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root user may read everything, so no test of files shows this on every machine.
    #[test]
    fn a_refusal_of_the_system_says_whom_to_run_it_as() {
        let (dir, _) = sample();
        let flatfs = Flatfs::open(dir.path()).expect("a repository");
        let path = dir.path().display().to_string();
        for errno in [Errno::ACCESS, Errno::PERM] {
            let error = flatfs.failed(&Cid::default(), errno.into());
            assert!(matches!(error, PinnerError::Denied { .. }), "{error:?}");
            let text = error.to_string();
            assert!(
                text.contains(&path) && text.contains("run this as the user"),
                "{text}"
            );
            let error = unreadable(dir.path(), errno.into());
            assert!(matches!(error, RepositoryError::Denied { .. }), "{error:?}");
            assert!(error.to_string().contains("run this as"), "{error}");
        }
        let error = flatfs.failed(&Cid::default(), Errno::IO.into());
        assert!(
            matches!(error, PinnerError::Unavailable { .. }),
            "{error:?}"
        );
    }
}
