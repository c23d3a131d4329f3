//! A persistent staging directory from outside: what is in it, whether that is right, and how it is emptied. For the
//! commands that a person runs.
//!
//! All of it waits for the disk: call it on a thread that may. Nothing here makes a directory that is not there.

use std::path::Path;

use rustix::fs::{AtFlags, statat};

use crate::{
    class::{CLASSES, class_bytes},
    disk::{
        files::{self, Access},
        index,
        journal::Reader,
        layout, sweep,
    },
    error::StagingError,
    follower::Follower,
    key::Key,
    lock_dir::{StagingDir, private_dir},
    resume::Warm,
    space::budget::Budget,
    writer::Staging,
};

/// What a staging directory holds, by its index. Whether the blocks are right, only [`verify`] can say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contents {
    /// Blocks that the index names.
    pub blocks: u64,
    /// Their lengths' sum, in bytes.
    pub bytes: u64,
    /// What the file system reports for the directory and this library's files in it, in bytes.
    pub allocated_bytes: u64,
    /// The same by the size of slots, ascending; those without a block are left out.
    pub classes: Vec<Class>,
    /// Who writes to it.
    pub writer: Writer,
}

/// The blocks in slots of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Class {
    /// The size of a slot, in bytes: a block lies in the smallest that holds it.
    pub slot_bytes: u64,
    /// How many blocks.
    pub blocks: u64,
    /// Their lengths' sum, in bytes.
    pub bytes: u64,
}

/// Who writes to a staging directory: the process that holds its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Nobody.
    Nobody,
    /// A process, by its own number (in a container, that is the number it has there); `None` where that is not
    /// known.
    Process(Option<u32>),
}

/// What becomes of a block that is not what its multihash says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotten {
    /// It is reported and left: the next use of it finds the same, and fetches it.
    Report,
    /// It is reported and removed, for which nobody else may use the directory.
    Clear,
}

/// How far [`verify`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Blocks looked at so far.
    pub blocks: u64,
    /// Blocks in all.
    pub of_blocks: u64,
    /// Bytes read so far.
    pub bytes: u64,
}

/// What [`verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Blocks that were read.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The multihashes of those that were not right, or could not be read.
    pub rotten: Vec<Key>,
    /// Blocks that were evicted before they were looked at.
    pub gone: u64,
}

/// What [`clear`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cleared {
    /// Blocks.
    pub blocks: u64,
    /// Their lengths' sum, in bytes.
    pub bytes: u64,
}

/// What is in the staging directory at `path`. Reads its index, in use or not, and changes nothing.
///
/// # Errors
/// [`StagingError::Unreachable`] where there is none; the other refusals of a directory; what the disk says.
pub fn contents(path: &Path) -> Result<Contents, StagingError> {
    let dir = open(path)?;
    layout::check(&dir)?;
    let writer = match layout::try_lock(&dir) {
        true => {
            layout::unlock(&dir);
            Writer::Nobody
        }
        false => Writer::Process(Reader::open(&dir)?.and_then(|journal| journal.writer())),
    };
    let mut classes = Vec::new();
    for class in 0..CLASSES {
        let (mut blocks, mut bytes) = (0, 0);
        each_record(&dir, class, |_, len| {
            blocks += 1;
            bytes += u64::from(len);
        })?;
        if blocks > 0 {
            classes.push(Class {
                slot_bytes: class_bytes(class),
                blocks,
                bytes,
            });
        }
    }
    Ok(Contents {
        blocks: classes.iter().map(|class| class.blocks).sum(),
        bytes: classes.iter().map(|class| class.bytes).sum(),
        allocated_bytes: allocated(&dir)?,
        classes,
        writer,
    })
}

/// Reads every block in the staging directory at `path`, asks `is_right` whether its bytes are those of its multihash,
/// and tells `progress` after each.
///
/// With [`Rotten::Report`] it works beside others that use the directory, and changes nothing.
///
/// # Errors
/// [`StagingError::InUse`] where rotten blocks are to be cleared while another process writes to the directory; as
/// [`contents`].
pub fn verify(
    path: &Path,
    rotten: Rotten,
    mut is_right: impl FnMut(&Key, Vec<u8>) -> bool,
    mut progress: impl FnMut(Progress),
) -> Result<Verified, StagingError> {
    let dir = open(path)?;
    layout::check(&dir)?;
    let mut verified = Verified::default();
    let mut look = |key: &Key, read: std::io::Result<Vec<u8>>, of_blocks: usize| {
        let right = read.is_ok_and(|bytes| {
            verified.bytes += bytes.len() as u64;
            is_right(key, bytes)
        });
        verified.blocks += 1;
        if !right {
            verified.rotten.push(*key);
        }
        progress(Progress {
            blocks: verified.blocks,
            of_blocks: of_blocks as u64,
            bytes: verified.bytes,
        });
        right
    };
    match rotten {
        Rotten::Report => {
            let mut keys = Vec::new();
            for class in 0..CLASSES {
                each_record(&dir, class, |key, _| keys.push(*key))?;
            }
            let follower = Follower::open(dir)?;
            let mut gone = 0;
            for key in &keys {
                match follower.lease(key)? {
                    Some(leased) => {
                        look(key, leased.extent.read_blocking(0, usize::MAX), keys.len());
                    }
                    None => gone += 1,
                }
            }
            verified.gone = gone;
        }
        Rotten::Clear => {
            lock_for_us(&dir)?;
            let (_staging, warm) = Staging::resume(dir, Budget::alone(u64::MAX))?;
            let of_blocks = warm.len();
            for Warm { key, extent } in warm {
                if !look(&key, extent.read_blocking(0, usize::MAX), of_blocks) {
                    extent.discard();
                }
            }
        }
    }
    Ok(verified)
}

/// Removes every block from the staging directory at `path`. Its files stay, and take next to nothing.
///
/// # Errors
/// [`StagingError::InUse`] where another process writes to the directory; as [`contents`].
pub fn clear(path: &Path) -> Result<Cleared, StagingError> {
    let dir = open(path)?;
    lock_for_us(&dir)?;
    layout::check(&dir)?;
    let mut cleared = Cleared::default();
    for class in 0..CLASSES {
        each_record(&dir, class, |_, len| {
            cleared.blocks += 1;
            cleared.bytes += u64::from(len);
        })?;
    }
    // In a budget of nothing, nothing stays.
    Staging::resume(dir, Budget::alone(0))?;
    Ok(cleared)
}

fn open(path: &Path) -> Result<StagingDir, StagingError> {
    let dir = private_dir::open(path).map_err(|refusal| StagingError::refused(path, refusal))?;
    Ok(StagingDir::from_dir(dir, path))
}

fn lock_for_us(dir: &StagingDir) -> Result<(), StagingError> {
    match layout::try_lock(dir) {
        true => Ok(()),
        false => Err(StagingError::InUse {
            dir: dir.path().to_owned(),
        }),
    }
}

/// Gives the multihash and the length of every block that a class's index names.
fn each_record(
    dir: &StagingDir,
    class: usize,
    mut give: impl FnMut(&Key, u32),
) -> Result<(), StagingError> {
    let name = index::name(class_bytes(class));
    let Some(file) = files::open_existing(dir, &name, Access::Read)? else {
        return Ok(());
    };
    index::records(&file, class, |_, record| give(&record.key, record.len))
        .map_err(|error| StagingError::of("read", &name, error))
}

fn allocated(dir: &StagingDir) -> Result<u64, StagingError> {
    let mut blocks = 0;
    for name in sweep::ours().chain([".".to_owned()]) {
        match statat(dir.handle(), &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => blocks += u64::try_from(stat.st_blocks).unwrap_or(0),
            Err(rustix::io::Errno::NOENT) => {}
            // coverage: needs a disk that fails.
            Err(errno) => return Err(StagingError::of("stat", &name, errno.into())),
        }
    }
    Ok(blocks * 512)
}
