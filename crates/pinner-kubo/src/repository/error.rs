//! Why a repository cannot be read.

use std::path::PathBuf;

use pinner_api::Cause;

/// Why the blocks of a repository cannot be read from its files. There is a variant for each thing that can be done
/// about it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// The directory is not a repository.
    #[error(
        "there is no Kubo repository at {}: it has no file '{missing}'; give the directory that IPFS_PATH names",
        path.display()
    )]
    NotARepository {
        /// The directory.
        path: PathBuf,
        /// The file that a repository has and this directory has not.
        missing: &'static str,
    },
    /// The repository keeps its blocks in another datastore than flatfs, in a format of its own.
    #[error(
        "the repository at {} keeps its blocks in {found}, and only those in flatfs at /blocks can be read from its \
         files: read them through the node", path.display()
    )]
    NotFlatfs {
        /// The repository.
        path: PathBuf,
        /// The name of the datastore, and the prefix of keys that it is mounted at.
        found: String,
    },
    /// The repository was written by a Kubo that did not keep its blocks by multihash.
    #[error(
        "the repository at {} has version {version}, but at least {minimum} is required: start a current Kubo on it, \
         which migrates it", path.display()
    )]
    TooOld {
        /// The repository.
        path: PathBuf,
        /// Its version.
        version: u32,
        /// The oldest version that is supported.
        minimum: u32,
    },
    /// A file of the repository does not hold what Kubo writes there.
    #[error("{} is not as Kubo writes it: {reason}", path.display())]
    Malformed {
        /// The file or directory.
        path: PathBuf,
        /// Its defect.
        reason: String,
    },
    /// This user may not read the repository.
    #[error(
        "{} cannot be read: permission denied; run this as the user that the repository belongs to",
        path.display()
    )]
    Denied {
        /// The file or directory.
        path: PathBuf,
    },
    /// The system cannot read a file of the repository.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: Cause,
    },
}
