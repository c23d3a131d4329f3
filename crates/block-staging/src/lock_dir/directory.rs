//! The directory itself: where it is, how it is opened, and the identity that it gives itself. And the names in it.

use std::{
    env, fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use thiserror::Error;

use super::private_dir::{self, Refusal, user};

/// The name of the file with the directory's own name.
const ID: &str = "id";
pub(super) const LOCK_SUFFIX: &str = ".lock";
pub(super) const STAGING_SUFFIX: &str = ".staging";
pub(super) const NEW_PREFIX: &str = "new-";
/// What is in the lock file of a holder that may have pins, for people; programs look at its length.
pub(super) const PINS_MAY_REMAIN: &[u8] = b"pins\n";

/// A lock directory that is open. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LockDir {
    pub(super) dir: Arc<Dir>,
    /// For messages only: everything is reached through `dir`.
    pub(super) path: PathBuf,
    id: [u8; 8],
}

/// What can go wrong with a lock directory.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LockDirError {
    /// It is there, but is no directory.
    #[error("the lock directory {} is not a directory; remove it or choose another", path.display())]
    NotADirectory {
        /// Which.
        path: PathBuf,
    },
    /// It is a symbolic link: whoever made that could point it anywhere.
    #[error("the lock directory {} is a symbolic link, which is refused; name the directory itself or choose another", path.display())]
    Symlink {
        /// Which.
        path: PathBuf,
    },
    /// It belongs to another user.
    #[error("the lock directory {} belongs to the user {owner}, not to {user}; choose another", path.display())]
    ForeignOwner {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who this process runs as.
        user: u32,
    },
    /// Others may look or write into it.
    #[error("the lock directory {} is open to others (mode {mode:03o}); run `chmod 700` on it or choose another", path.display())]
    OpenToOthers {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Its name in the holders of pins is damaged.
    #[error("the file `id` in the lock directory {} does not hold 8 bytes; remove it if nothing of this library's is running", path.display())]
    BadId {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused something.
    #[error("could not {action} in the lock directory {}; check its file system and permissions, or choose another", path.display())]
    Io {
        /// What.
        action: &'static str,
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl LockDir {
    /// Where the lock directory is unless one is chosen: `$XDG_CACHE_HOME/wasi-ipfs`, else `$HOME/.cache/wasi-ipfs`,
    /// else, for a user without a home, `wasi-ipfs-<uid>` in the directory for temporary files.
    ///
    /// A place that outlives a restart of the machine: the [`id`](Self::id) is what proves that the pins of a
    /// holder that a power loss ended are ours to release. And one on a disk: staging is to cost no memory.
    pub fn default_path() -> PathBuf {
        let named = |variable| env::var_os(variable).map(PathBuf::from);
        let cache = named("XDG_CACHE_HOME").filter(|cache| cache.is_absolute());
        // Users of services often have a home that is not there (`/nonexistent`).
        let home = || named("HOME").filter(|home| home.is_absolute() && home.is_dir());
        match cache.or_else(|| Some(home()?.join(".cache"))) {
            Some(cache) => cache.join("wasi-ipfs"),
            None => env::temp_dir().join(format!("wasi-ipfs-{}", user())),
        }
    }

    /// Opens the lock directory at its [default place](Self::default_path); makes it where there is none, and what is
    /// missing of its parents, mode 0700 as the XDG Base Directory Specification says.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_default() -> Result<Self, LockDirError> {
        let path = Self::default_path();
        let parent = path.parent().unwrap_or(&path);
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(parent);
        made.map_err(|source| LockDirError::Io {
            action: "make the parents of the directory",
            path: path.clone(),
            source,
        })?;
        Self::open(&path)
    }

    /// Opens the lock directory at `path`; makes it, with mode 0700, where there is none (but not its parents).
    ///
    /// Any number of processes may do so at once: they agree on the [`id`](Self::id).
    ///
    /// # Errors
    /// [`LockDirError`]: the directory is not this user's alone, or cannot be made or read.
    pub fn open(path: &Path) -> Result<Self, LockDirError> {
        let dir =
            private_dir::open_or_make(path).map_err(|refusal| LockDirError::of(path, refusal))?;
        let id = read_or_make_id(&dir, path)?;
        Ok(Self {
            dir: Arc::new(dir),
            path: path.to_owned(),
            id,
        })
    }

    /// The directory's name in the holders of pins.
    pub fn id(&self) -> [u8; 8] {
        self.id
    }

    /// Where it is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn io(&self, action: &'static str) -> impl Fn(io::Error) -> LockDirError + '_ {
        move |source| LockDirError::Io {
            action,
            path: self.path.clone(),
            source,
        }
    }
}

impl LockDirError {
    /// The system's error, where the system was asked.
    pub fn into_io(self) -> Option<io::Error> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::NotADirectory { .. }
            | Self::Symlink { .. }
            | Self::ForeignOwner { .. }
            | Self::OpenToOthers { .. }
            // coverage: each kind has a test of its own, in the lock directory.
            | Self::BadId { .. } => None,
        }
    }

    fn of(path: &Path, refusal: Refusal) -> Self {
        let path = path.to_owned();
        match refusal {
            Refusal::NotADirectory => Self::NotADirectory { path },
            Refusal::Symlink => Self::Symlink { path },
            Refusal::ForeignOwner { owner, user } => Self::ForeignOwner { path, owner, user },
            Refusal::OpenToOthers { mode } => Self::OpenToOthers { path, mode },
            Refusal::Io { action, source } => Self::Io {
                action,
                path,
                source,
            },
        }
    }
}

/// Reads the directory's id, after making one where there is none: complete under another name first, then linked
/// to its own, which fails for all but the first.
fn read_or_make_id(dir: &Dir, path: &Path) -> Result<[u8; 8], LockDirError> {
    let io = |action| {
        move |source| LockDirError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    };
    for _ in 0..2 {
        match dir.read(ID) {
            Ok(bytes) => {
                return bytes.try_into().map_err(|_| LockDirError::BadId {
                    path: path.to_owned(),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // coverage: needs a disk that fails, or somebody who takes the file away again and again.
            Err(error) => return Err(io("read `id`")(error)),
        }
        let (mut file, new) = locked_new_file(dir).map_err(io("make `id`"))?;
        let made = (|| {
            io::Write::write_all(&mut file, &random::<8>()?)?;
            // After a power loss the name must not lead to an empty file.
            file.sync_all()?;
            dir.hard_link(&new, dir, ID)
        })();
        let _ = dir.remove_file(&new);
        match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(io("make `id`")(error));
            }
            _ => {}
        }
    }
    Err(io("keep `id`")(io::ErrorKind::NotFound.into()))
}

/// A new file under a name of its own, locked. A sweep that came between its creation and its lock has removed it:
/// then another is made.
pub(super) fn locked_new_file(dir: &Dir) -> io::Result<(cap_std::fs::File, String)> {
    loop {
        let name = format!("{NEW_PREFIX}{}", hex(&random::<16>()?));
        let file = dir.open_with(&name, &create_options())?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if rustix::fs::fstat(&file)?.st_nlink > 0 => return Ok((file, name)),
            Ok(()) | Err(Errno::WOULDBLOCK) => {}
            // coverage: needs a file system without locks.
            Err(error) => {
                let _ = dir.remove_file(&name);
                return Err(error.into());
            }
        }
    }
}

/// For a file that must not be there yet, for its owner alone.
pub(super) fn create_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    options
}

/// Random bytes of the system.
pub(super) fn random<const N: usize>() -> io::Result<[u8; N]> {
    use std::io::Read as _;
    let mut bytes = [0; N];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The reverse of [`hex`]; nothing else is taken for a name.
pub(super) fn unhex(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    Some(bytes)
}
