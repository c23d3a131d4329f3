//! Local files as a UnixFS DAG: the walk over the file system, and what comes of it.
//!
//! Gives the CIDs that `ipfs add` of Kubo 0.43 gives. Reads each file once, in order of the names' bytes, children
//! before parents, so that the same tree gives the same blocks in the same order. Never follows a symlink inside a
//! tree, never opens what is no regular file or directory. Memory: two chunks, the links of the directories that
//! are open on the way down, and 34 bytes for each distinct block.

mod options;

use std::{
    ffi::OsString,
    fs::{self, File, FileType, Metadata},
    io,
    ops::ControlFlow,
    os::unix::{ffi::OsStrExt, fs::FileTypeExt, fs::MetadataExt},
    path::{Path, PathBuf},
    vec,
};

use bytes::Bytes;
use cid::{Cid, Version};
use multihash_codetable::{Code, MultihashDigest};
use rustix::fs::{Mode, OFlags};
use unixfs::{Attributes, DirectoryError, Entry, FileError, Writer, Written};

pub use self::options::ImportOptions;
use crate::{error::CarError, writer::CarWriter};

/// What an import made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The CID of what was imported.
    pub root: Cid,
    /// Distinct blocks.
    pub blocks: u64,
    /// The distinct blocks' length together, in bytes.
    pub block_bytes: u64,
    /// What was read from files, in bytes.
    pub bytes: u64,
    /// Regular files.
    pub files: u64,
    /// Directories, the root included.
    pub directories: u64,
    /// Symlinks.
    pub symlinks: u64,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What was read from files so far, in bytes.
    pub bytes: u64,
    /// Regular files that are done.
    pub files: u64,
}

/// Imports the file, directory or symlink at `path`, handing each distinct block to `sink`, children first.
///
/// Blocking, and as long as reading and hashing everything takes: off the async threads, please. `progress` hears
/// of every chunk and every file, and stops the import by [`ControlFlow::Break`]. A sink that does nothing makes
/// this the CID alone, as `ipfs add --only-hash` gives it.
///
/// # Behavior
/// * Entries come in the order of their names' bytes: the same tree, the same blocks in the same order.
/// * A block is handed over once, however often it occurs.
/// * A file that changes meanwhile is imported as it was read.
///
/// # Errors
/// * [`Io`](CarError::Io): a file or directory cannot be read; it names the path.
/// * [`NameNotUtf8`](CarError::NameNotUtf8): a path of IPFS is text.
/// * [`SpecialFile`](CarError::SpecialFile): a socket, pipe or device, as `ipfs add` refuses it. A hidden one is
///   skipped with the other hidden files.
/// * [`MetadataInRawLeaves`](CarError::MetadataInRawLeaves): before anything is read.
/// * [`NamesCollide`](CarError::NamesCollide): in a directory to be sharded.
/// * [`Cancelled`](CarError::Cancelled), and whatever `sink` fails with.
pub fn import(
    path: impl AsRef<Path>,
    options: &ImportOptions,
    sink: impl FnMut(Cid, Bytes) -> Result<(), CarError>,
    progress: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Imported, CarError> {
    Import::new(options, None, sink, progress)?.run(path.as_ref())
}

/// Imports `path` into a CARv1 at `destination`, whose one root it is.
///
/// The CAR is written beside its destination and moved there when it is complete: an error, or an import that is
/// cancelled, leaves the destination as it was and nothing beside it. Where `destination` lies in the imported
/// tree, the CAR that is being made is not part of it; one that is there already is.
///
/// # Errors
/// As [`import`] and [`CarWriter`].
pub fn import_to_car(
    path: impl AsRef<Path>,
    destination: impl Into<PathBuf>,
    options: &ImportOptions,
    progress: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Imported, CarError> {
    // Any CID of the profile has the length of the root's.
    let hash = Code::Sha2_256.digest(&[]);
    let expected = match options.profile.layout().cid_version() {
        Version::V0 => Cid::new_v0(hash).unwrap_or_default(),
        Version::V1 => Cid::new_v1(0x70, hash),
    };
    options.layout()?;
    let mut writer = CarWriter::create(destination, &[expected])?;
    let own = writer
        .file()
        .metadata()
        .map(|metadata| FileId::of(&metadata))
        .ok();
    let sink = |cid, block: Bytes| writer.put(&cid, &block);
    let imported = Import::new(options, own, sink, progress)?.run(path.as_ref())?;
    writer.finish(&[imported.root])?;
    Ok(imported)
}

/// Which file it is, whatever it is called.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// One import on its way.
struct Import<'a, S, P> {
    options: &'a ImportOptions,
    /// The CAR that is being written, should it lie in the tree.
    left_out: Option<FileId>,
    blocks: Writer<S>,
    progress: P,
    so_far: Progress,
    directories: u64,
    symlinks: u64,
}

/// A directory some of whose entries are imported.
struct OpenDirectory {
    path: PathBuf,
    /// Its own name in its parent; empty at the root.
    name: Box<str>,
    attributes: Attributes,
    to_do: vec::IntoIter<OsString>,
    done: Vec<Entry>,
}

impl<S, P> Import<'_, S, P>
where
    S: FnMut(Cid, Bytes) -> Result<(), CarError>,
    P: FnMut(Progress) -> ControlFlow<()>,
{
    fn new(
        options: &ImportOptions,
        left_out: Option<FileId>,
        sink: S,
        progress: P,
    ) -> Result<Import<'_, S, P>, CarError> {
        Ok(Import {
            options,
            left_out,
            blocks: Writer::new(options.layout()?, sink),
            progress,
            so_far: Progress::default(),
            directories: 0,
            symlinks: 0,
        })
    }

    fn run(mut self, path: &Path) -> Result<Imported, CarError> {
        // `link/` would follow the link; Kubo cleans its arguments as well.
        let mut path: PathBuf = path.components().collect();
        if self.options.dereference_args {
            path = path.canonicalize().map_err(CarError::io("read", path))?;
        }
        let metadata = fs::symlink_metadata(&path).map_err(CarError::io("read", &path))?;
        let root = if metadata.is_dir() {
            let root = self.enter(path, "".into(), &metadata)?;
            self.tree(root)?
        } else {
            self.leaf(&path, &metadata)?
        };
        Ok(Imported {
            root: root.cid(),
            blocks: self.blocks.blocks(),
            block_bytes: self.blocks.block_bytes(),
            bytes: self.so_far.bytes,
            files: self.so_far.files,
            directories: self.directories,
            symlinks: self.symlinks,
        })
    }

    /// Everything below `root`, on a stack of its own: depth costs no stack of the thread's.
    fn tree(&mut self, root: OpenDirectory) -> Result<Written, CarError> {
        let mut above = Vec::new();
        let mut here = root;
        loop {
            let Some(file_name) = here.to_do.next() else {
                let (name, node) = self.leave(here)?;
                let Some(parent) = above.pop() else {
                    return Ok(node);
                };
                here = parent;
                here.done.push(Entry::new(name, node));
                continue;
            };
            let path = here.path.join(&file_name);
            let Ok(name) = file_name.into_string().map(String::into_boxed_str) else {
                return Err(CarError::NameNotUtf8 { path });
            };
            let metadata = fs::symlink_metadata(&path).map_err(CarError::io("read", &path))?;
            if self.left_out == Some(FileId::of(&metadata)) {
                continue;
            }
            if metadata.is_dir() {
                let child = self.enter(path, name, &metadata)?;
                above.push(std::mem::replace(&mut here, child));
            } else {
                let node = self.leaf(&path, &metadata)?;
                here.done.push(Entry::new(name, node));
            }
        }
    }

    /// Reads a directory's names.
    fn enter(
        &mut self,
        path: PathBuf,
        name: Box<str>,
        metadata: &Metadata,
    ) -> Result<OpenDirectory, CarError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(CarError::io("list", &path))? {
            let file_name = entry.map_err(CarError::io("list", &path))?.file_name();
            if self.options.hidden || !file_name.as_bytes().starts_with(b".") {
                names.push(file_name);
            }
        }
        names.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        self.directories += 1;
        Ok(OpenDirectory {
            attributes: self.options.attributes(metadata),
            path,
            name,
            done: Vec::with_capacity(names.len()),
            to_do: names.into_iter(),
        })
    }

    /// Makes the directory's own blocks, its entries being done.
    fn leave(&mut self, directory: OpenDirectory) -> Result<(Box<str>, Written), CarError> {
        let OpenDirectory {
            path,
            name,
            attributes,
            done,
            ..
        } = directory;
        match self.blocks.directory(done, attributes) {
            Ok(node) => Ok((name, node)),
            Err(DirectoryError::Sink(error)) => Err(error),
            Err(DirectoryError::Collision { first, second }) => Err(CarError::NamesCollide {
                path,
                first: first.into(),
                second: second.into(),
            }),
            // No file system has such names, unless it is broken.
            Err(error) => Err(CarError::io("list", path)(io::Error::other(
                error.to_string(),
            ))),
        }
    }

    /// What is no directory.
    fn leaf(&mut self, path: &Path, metadata: &Metadata) -> Result<Written, CarError> {
        if metadata.is_symlink() {
            self.symlink(path, metadata)
        } else if metadata.is_file() {
            self.file(path)
        } else {
            Err(special(path, metadata.file_type()))
        }
    }

    fn symlink(&mut self, path: &Path, metadata: &Metadata) -> Result<Written, CarError> {
        let target = fs::read_link(path).map_err(CarError::io("read", path))?;
        self.symlinks += 1;
        let attributes = self.options.attributes(metadata);
        self.blocks
            .symlink(target.as_os_str().as_bytes(), attributes)
    }

    fn file(&mut self, path: &Path) -> Result<Written, CarError> {
        let file = open(path).map_err(CarError::io("open", path))?;
        // Of the open file, not of the name: a pipe that took its place is refused and not waited for.
        let metadata = file.metadata().map_err(CarError::io("read", path))?;
        if !metadata.is_file() {
            return Err(special(path, metadata.file_type()));
        }
        let Self {
            blocks,
            progress,
            so_far,
            ..
        } = self;
        let mut read = |bytes| {
            so_far.bytes += bytes;
            go_on(progress(*so_far))
        };
        let attributes = self.options.attributes(&metadata);
        let node = blocks
            .file_with_progress(&file, metadata.len(), attributes, &mut read)
            .map_err(|error| match error {
                FileError::Read(source) => CarError::io("read", path)(source),
                FileError::Sink(error) => error,
            })?;
        self.so_far.files += 1;
        go_on((self.progress)(self.so_far))?;
        Ok(node)
    }
}

/// Without waiting for whoever writes into a pipe, and without following a symlink that came meanwhile.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

fn go_on(flow: ControlFlow<()>) -> Result<(), CarError> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(CarError::Cancelled),
    }
}

fn special(path: &Path, kind: FileType) -> CarError {
    CarError::SpecialFile {
        path: path.into(),
        kind: if kind.is_fifo() {
            "named pipe"
        } else if kind.is_socket() {
            "socket"
        } else if kind.is_block_device() || kind.is_char_device() {
            "device"
        } else {
            "file of an unknown kind"
        },
    }
}

#[cfg(test)]
mod tests;
