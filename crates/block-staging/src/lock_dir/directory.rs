//! The directory itself: where it is, how it is opened, its random identity, and the names of the files in it.

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

use super::{
    network::network_file_system,
    private_dir::{self, Refusal, user},
};

/// The name of the file with the directory's own name.
pub(super) const ID: &str = "id";
pub(super) const LOCK_SUFFIX: &str = ".lock";
pub(super) const STAGING_SUFFIX: &str = ".staging";
pub(super) const NEW_PREFIX: &str = "new-";
/// The content of the lock file of a holder that may have pins. It is for people; programs look at the file's length.
pub(super) const PINS_MAY_REMAIN: &[u8] = b"pins\n";

/// An open lock directory. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct LockDir {
    pub(super) dir: Arc<Dir>,
    /// For messages only: all files are accessed through `dir`.
    pub(super) path: PathBuf,
    id: [u8; 8],
}

/// Why a lock directory cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LockDirError {
    /// The path exists, but is not a directory.
    #[error("the lock directory {} is not a directory; remove it or choose another", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The path is a symbolic link. Its owner could point it anywhere.
    #[error("the lock directory {} is a symbolic link, which is refused; name the directory itself or choose another", path.display())]
    Symlink {
        /// The path.
        path: PathBuf,
    },
    /// The directory belongs to another user.
    #[error("the lock directory {} belongs to the user {owner}, not to {user}; choose another", path.display())]
    ForeignOwner {
        /// The directory.
        path: PathBuf,
        /// The user who owns it.
        owner: u32,
        /// The user whom this process runs as.
        user: u32,
    },
    /// Other users may read or write the directory.
    #[error("the lock directory {} is open to others (mode {mode:03o}); run `chmod 700` on it or choose another", path.display())]
    OpenToOthers {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file with the directory's id is damaged.
    #[error("the file `id` in the lock directory {} does not hold 8 bytes; remove it if no program that uses this library is running", path.display())]
    BadId {
        /// The directory.
        path: PathBuf,
    },
    /// The directory is on a network file system. A lock that a process on another host holds can look free there, and
    /// then the pins and the files of that process would be taken for a dead one's.
    #[error("the lock directory {} is on a network file system ({file_system}), where locks do not prove who is alive; choose one on a local disk", path.display())]
    NetworkFileSystem {
        /// The directory.
        path: PathBuf,
        /// The kind of file system.
        file_system: String,
    },
    /// The system refused something.
    #[error("could not {action} in the lock directory {}; check its file system and permissions, or choose another", path.display())]
    Io {
        /// The action that failed.
        action: &'static str,
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl LockDir {
    /// The default path of the lock directory: `wasi-ipfs` in `$XDG_CACHE_HOME`, in the directory that systemd made for
    /// a service (`$CACHE_DIRECTORY` or `$STATE_DIRECTORY`) or in `$HOME/.cache`, whichever there is first; or else, for
    /// a user without a home, `wasi-ipfs-<uid>` in the directory for temporary files.
    ///
    /// The path is one that outlives a restart of the machine, since only the [`id`](Self::id) proves that we may
    /// release the pins of a holder that a power loss ended. And it is on a disk, since staging should not take memory.
    pub fn default_path() -> PathBuf {
        let named = |variable| {
            // A service with several directories has them all in one variable. The first is its main one.
            let first = env::split_paths(&env::var_os(variable)?).next()?;
            first.is_absolute().then_some(first)
        };
        let xdg = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let xdg = xdg.filter(|cache| cache.is_absolute());
        // The users that services run as often have a home that does not exist (`/nonexistent`).
        let home = || {
            let home = env::var_os("HOME").map(PathBuf::from);
            home.filter(|home| home.is_absolute() && home.is_dir())
        };
        let cache = xdg
            .or_else(|| named("CACHE_DIRECTORY"))
            .or_else(|| named("STATE_DIRECTORY"))
            .or_else(|| Some(home()?.join(".cache")));
        match cache {
            Some(cache) => cache.join("wasi-ipfs"),
            None => env::temp_dir().join(format!("wasi-ipfs-{}", user())),
        }
    }

    /// Opens the lock directory at its [default path](Self::default_path). Creates it and its missing parents, with
    /// mode 0700 as the XDG Base Directory Specification requires.
    ///
    /// # Errors
    /// The same as [`open`](Self::open).
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

    /// Opens the lock directory at `path`. Creates it with mode 0700 if it does not exist, but not its parents.
    ///
    /// Any number of processes may call this at once; they agree on the [`id`](Self::id).
    ///
    /// # Errors
    /// [`LockDirError`]: the directory is not this user's alone, is on a network file system, or cannot be created,
    /// locked or read.
    pub fn open(path: &Path) -> Result<Self, LockDirError> {
        let dir =
            private_dir::open_or_make(path).map_err(|refusal| LockDirError::of(path, refusal))?;
        let io = |action| {
            move |source: io::Error| LockDirError::Io {
                action,
                path: path.to_owned(),
                source,
            }
        };
        if let Some(file_system) =
            network_file_system(&dir).map_err(io("examine the file system"))?
        {
            return Err(LockDirError::NetworkFileSystem {
                path: path.to_owned(),
                file_system,
            });
        }
        // systemd-tmpfiles leaves a directory alone that somebody has locked. While it looks at this one, it has the
        // lock itself.
        match flock(&dir, FlockOperation::NonBlockingLockShared) {
            Ok(()) | Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(io("lock the directory")(error.into())),
        }
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
    /// The system's error, if this error comes from the system.
    pub fn into_io(self) -> Option<io::Error> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::NotADirectory { .. }
            | Self::Symlink { .. }
            | Self::ForeignOwner { .. }
            | Self::OpenToOthers { .. }
            | Self::BadId { .. }
            | Self::NetworkFileSystem { .. } => None,
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

/// Reads the directory's id, and creates it if there is none. A new id is written under another name first, and then
/// hard-linked to its own name, which succeeds for one process only.
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
            Err(error) => return Err(io("read `id`")(error)),
        }
        let (mut file, new) = locked_new_file(dir).map_err(io("make `id`"))?;
        let made = (|| {
            io::Write::write_all(&mut file, &random::<8>()?)?;
            // Synced, since after a power loss the name must not lead to an empty file.
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

/// Creates and locks a file with a new random name. If a sweep removed the file between its creation and its lock,
/// creates another.
pub(super) fn locked_new_file(dir: &Dir) -> io::Result<(cap_std::fs::File, String)> {
    loop {
        let name = format!("{NEW_PREFIX}{}", hex(&random::<16>()?));
        let file = dir.open_with(&name, &create_options())?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if rustix::fs::fstat(&file)?.st_nlink > 0 => return Ok((file, name)),
            Ok(()) | Err(Errno::WOULDBLOCK) => {}
            Err(error) => {
                let _ = dir.remove_file(&name);
                return Err(error.into());
            }
        }
    }
}

/// The options to create a file that must not exist yet, for its owner alone.
pub(super) fn create_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    options
}

/// Random bytes from the system.
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

/// The reverse of [`hex`]; `None` for any other text.
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
