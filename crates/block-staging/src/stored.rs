//! A persistent staging directory from outside: lists, verifies and removes its blocks, for the commands that a person
//! runs.
//!
//! All functions wait for the disk: call them on a thread that may. None of them creates a directory.

use std::path::Path;

use rustix::fs::{AtFlags, statat};

use crate::{
    class::{CLASSES, class_bytes},
    disk::{
        files::{self, Access},
        index::{self, IndexFile},
        journal::Reader,
        layout, slots, sweep,
    },
    error::StagingError,
    follower::Follower,
    key::Key,
    lock_dir::{StagingDir, private_dir},
    resume::Warm,
    space::budget::Budget,
    writer::Staging,
};

/// The contents of a staging directory, according to its index. Only [`verify`] can tell whether the blocks are
/// correct.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contents {
    /// The number of blocks that the index names.
    pub blocks: u64,
    /// The sum of their lengths, in bytes.
    pub bytes: u64,
    /// The space that the file system reports for the directory and this library's files in it, in bytes.
    pub allocated_bytes: u64,
    /// The same blocks by the size of their slots, ascending; sizes without a block are left out.
    pub classes: Vec<Class>,
    /// The process that writes to it.
    pub writer: Writer,
}

/// The blocks in slots of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Class {
    /// The size of a slot, in bytes. A block is in the smallest slot that holds it.
    pub slot_bytes: u64,
    /// The number of blocks.
    pub blocks: u64,
    /// The sum of their lengths, in bytes.
    pub bytes: u64,
}

/// The writer of a staging directory: the process that holds its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// No process writes.
    Nobody,
    /// A process writes. The number is its process id as it sees it, so in a container the id in there; `None` if it
    /// is not known.
    Process(Option<u32>),
}

/// The treatment of a block whose bytes do not match its multihash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotten {
    /// Report it and leave it. Its next use detects it too, and fetches the block.
    Report,
    /// Report it and remove it. For this, no other process may write to the directory.
    Clear,
}

/// The progress of [`verify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The number of blocks checked so far.
    pub blocks: u64,
    /// The number of blocks in all.
    pub of_blocks: u64,
    /// The number of bytes read so far.
    pub bytes: u64,
}

/// The result of [`verify`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The number of blocks that were checked.
    pub blocks: u64,
    /// The number of bytes that were read.
    pub bytes: u64,
    /// The multihashes of the blocks that were wrong or could not be read.
    pub rotten: Vec<Key>,
    /// The number of blocks that were evicted before they could be checked.
    pub gone: u64,
}

/// The result of [`clear`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cleared {
    /// The number of blocks that were removed.
    pub blocks: u64,
    /// The sum of their lengths, in bytes.
    pub bytes: u64,
}

/// Returns the contents of the staging directory at `path`. Reads its index, whether the directory is in use or not,
/// and changes nothing.
///
/// # Errors
/// [`StagingError::Unreachable`] if it does not exist; the other errors of a directory that is refused; errors of the
/// disk.
pub fn contents(path: &Path) -> Result<Contents, StagingError> {
    let dir = open(path)?;
    layout::check(&dir)?;
    let writer = match layout::try_lock(&dir)? {
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

/// Reads every block in the staging directory at `path`, asks `is_right` whether its bytes match its multihash, and
/// calls `progress` after each.
///
/// With [`Rotten::Report`] it works while other processes use the directory, and changes nothing.
///
/// # Errors
/// [`StagingError::InUse`] if rotten blocks are to be cleared while another process writes to the directory; the errors
/// of [`contents`].
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
            let (_staging, warm) = Staging::resume(dir, Budget::alone(u64::MAX), None)?;
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

/// Removes every block from the staging directory at `path`. Its files stay, and take next to no space.
///
/// # Errors
/// [`StagingError::InUse`] if another process writes to the directory; the errors of [`contents`].
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
    for class in 0..CLASSES {
        empty(&dir, class)?;
    }
    // A budget of zero bytes has room for no block: what somebody leases goes slot by slot.
    Staging::resume(dir, Budget::alone(0), None)?;
    Ok(cleared)
}

fn open(path: &Path) -> Result<StagingDir, StagingError> {
    let dir = private_dir::open(path).map_err(|refusal| StagingError::refused(path, refusal))?;
    Ok(StagingDir::from_dir(dir, path))
}

fn lock_for_us(dir: &StagingDir) -> Result<(), StagingError> {
    match layout::try_lock(dir)? {
        true => Ok(()),
        false => Err(StagingError::InUse {
            dir: dir.path().to_owned(),
        }),
    }
}

/// Empties the files of a class at once, unless somebody leases a block in them.
fn empty(dir: &StagingDir, class: usize) -> Result<(), StagingError> {
    let bytes = class_bytes(class);
    let (index, slots) = (index::name(bytes), slots::name(bytes));
    let Some(file) = files::open_existing(dir, &index, Access::Write)? else {
        return Ok(());
    };
    let failed = |name: &str| {
        let name = name.to_owned();
        move |error| StagingError::of("set_len", &name, error)
    };
    // The claim ends when the file is closed. The records go first, as in an eviction.
    if IndexFile::claim_all(&file).map_err(failed(&index))? {
        file.set_len(0).map_err(failed(&index))?;
        if let Some(file) = files::open_existing(dir, &slots, Access::Write)? {
            file.set_len(0).map_err(failed(&slots))?;
        }
    }
    Ok(())
}

/// Calls `give` with the multihash and the length of every block that a class's index names.
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
    let own = sweep::ours().chain([".".to_owned()]);
    let of_parts = sweep::parts().flat_map(|part| {
        let slots = (0..CLASSES).map(|class| slots::name(class_bytes(class)));
        let files: Vec<_> = slots.map(|name| format!("{part}/{name}")).collect();
        files.into_iter().chain([part])
    });
    for name in own.chain(of_parts) {
        match statat(dir.handle(), &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => blocks += u64::try_from(stat.st_blocks).unwrap_or(0),
            Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(StagingError::of("stat", &name, errno.into())),
        }
    }
    Ok(blocks * 512)
}
