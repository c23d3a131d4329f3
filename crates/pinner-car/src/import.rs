//! Imports local files as a UnixFS DAG: walks the file system and writes blocks.
//!
//! The CIDs are those of `ipfs add` of Kubo 0.43. Each file is read once, in the order of the names' bytes, children
//! before parents, so that the same tree results in the same blocks in the same order. The walk never follows a symlink
//! inside a tree, and opens only regular files and directories. Memory: two chunks, the links of the directories that
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

pub use self::options::{Chunker, ImportOptions, ParseChunkerError};
use crate::{error::CarError, writer::CarWriter};

/// The result of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The CID of the imported file, directory or symlink.
    pub root: Cid,
    /// The number of distinct blocks.
    pub blocks: u64,
    /// The total length of the distinct blocks, in bytes.
    pub block_bytes: u64,
    /// The number of bytes read from files.
    pub bytes: u64,
    /// The number of regular files.
    pub files: u64,
    /// The number of directories, including the root.
    pub directories: u64,
    /// The number of symlinks.
    pub symlinks: u64,
}

/// The result of an import of several paths.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportedAll {
    /// The CIDs of the paths, in their order; with [`ImportOptions::wrap`] the CID of the directory around them alone.
    pub roots: Vec<Cid>,
    /// The sums over all paths, and the last root.
    pub total: Imported,
}

/// The progress of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The number of bytes read from files so far.
    pub bytes: u64,
    /// The number of regular files that are finished.
    pub files: u64,
}

/// Imports the file, directory or symlink at `path`, handing each distinct block to `sink`, children first.
///
/// The call blocks for as long as reading and hashing everything takes: keep it off the async threads. `progress` is
/// called after every chunk and every file, and stops the import by [`ControlFlow::Break`]. With a sink that does
/// nothing, only the CID is computed, as by `ipfs add --only-hash`.
///
/// # Behavior
/// * Entries come in the order of their names' bytes: the same tree results in the same blocks in the same order.
/// * A block is handed over once, however often it occurs.
/// * A file that changes meanwhile is imported as it was read.
///
/// # Errors
/// * [`Io`](CarError::Io): a file or directory cannot be read; the error names the path.
/// * [`NameNotUtf8`](CarError::NameNotUtf8): a name is not UTF-8, but IPFS paths are text.
/// * [`SpecialFile`](CarError::SpecialFile): a socket, pipe or device, which `ipfs add` refuses too. A hidden one is
///   skipped with the other hidden files.
/// * [`MetadataInRawLeaves`](CarError::MetadataInRawLeaves): the options exclude each other; nothing has been read.
/// * [`NamesCollide`](CarError::NamesCollide): two names collide in a directory that has to be sharded.
/// * [`Cancelled`](CarError::Cancelled), and any error of `sink`.
pub fn import(
    path: impl AsRef<Path>,
    options: &ImportOptions,
    sink: impl FnMut(Cid, Bytes) -> Result<(), CarError>,
    progress: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Imported, CarError> {
    let imported = import_all(&[path.as_ref()], options, sink, progress)?;
    Ok(imported.total)
}

/// Imports several files, directories and symlinks one after the other, as [`import`] does with one. A block that several
/// of them have is handed over once.
///
/// # Errors
/// Those of [`import`]; [`NoPath`](CarError::NoPath); and with [`ImportOptions::wrap`]
/// [`SameName`](CarError::SameName), if two paths end in the same name.
pub fn import_all(
    paths: &[impl AsRef<Path>],
    options: &ImportOptions,
    sink: impl FnMut(Cid, Bytes) -> Result<(), CarError>,
    progress: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<ImportedAll, CarError> {
    Import::new(options, None, sink, progress)?.run(paths)
}

/// Imports `path` into a CARv1 at `destination`, as the CAR's only root.
///
/// The CAR is written beside its destination and moved there when it is complete. An error or a cancelled import leaves
/// the destination as it was, and nothing beside it. If `destination` is inside the imported tree, the CAR that is
/// being written is not imported, but an existing file at `destination` is.
///
/// # Errors
/// The same as [`import`] and [`CarWriter`].
pub fn import_to_car(
    path: impl AsRef<Path>,
    destination: impl Into<PathBuf>,
    options: &ImportOptions,
    progress: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Imported, CarError> {
    let imported = import_all_to_car(&[path.as_ref()], destination, options, progress)?;
    Ok(imported.total)
}

/// Imports several paths, as [`import_all`] does, into a CARv1 whose roots are theirs, as [`import_to_car`] does with one.
///
/// # Errors
/// The same as [`import_all`] and [`CarWriter`].
pub fn import_all_to_car(
    paths: &[impl AsRef<Path>],
    destination: impl Into<PathBuf>,
    options: &ImportOptions,
    progress: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<ImportedAll, CarError> {
    // The header gets room for CIDs of the layout. Roots of another length cost one more copy of the CAR.
    let hash = Code::Sha2_256.digest(&[]);
    let expected = match options.layout()?.cid_version() {
        Version::V0 => Cid::new_v0(hash).unwrap_or_default(),
        Version::V1 => Cid::new_v1(0x70, hash),
    };
    let roots = match options.wrap {
        true => 1,
        false => paths.len(),
    };
    let mut writer = CarWriter::create(destination, &vec![expected; roots])?;
    let own = writer
        .file()
        .metadata()
        .map(|metadata| FileId::of(&metadata))
        .ok();
    let sink = |cid, block: Bytes| writer.put(&cid, &block);
    let imported = Import::new(options, own, sink, progress)?.run(paths)?;
    writer.finish(&imported.roots)?;
    Ok(imported)
}

/// The identity of a file, independent of its name.
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

/// The state of one import.
struct Import<'a, S, P> {
    options: &'a ImportOptions,
    /// The CAR that is being written, which is skipped if it is in the tree.
    left_out: Option<FileId>,
    blocks: Writer<S>,
    progress: P,
    so_far: Progress,
    directories: u64,
    symlinks: u64,
}

/// A directory with some of its entries imported.
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

    fn run(mut self, paths: &[impl AsRef<Path>]) -> Result<ImportedAll, CarError> {
        let mut written = Vec::with_capacity(paths.len());
        for path in paths {
            written.push(self.path(path.as_ref())?);
        }
        if self.options.wrap {
            written = vec![self.wrap(paths, written)?];
        }
        let roots: Vec<_> = written.iter().map(Written::cid).collect();
        let root = *roots.last().ok_or(CarError::NoPath)?;
        let total = Imported {
            root,
            blocks: self.blocks.blocks(),
            block_bytes: self.blocks.block_bytes(),
            bytes: self.so_far.bytes,
            files: self.so_far.files,
            directories: self.directories,
            symlinks: self.symlinks,
        };
        Ok(ImportedAll { roots, total })
    }

    fn path(&mut self, path: &Path) -> Result<Written, CarError> {
        // Removes a trailing slash, since `link/` would follow the link. Kubo cleans its arguments as well.
        let mut path: PathBuf = path.components().collect();
        if self.options.dereference_args {
            path = path.canonicalize().map_err(CarError::io("read", path))?;
        }
        let metadata = fs::symlink_metadata(&path).map_err(CarError::io("read", &path))?;
        match metadata.is_dir() {
            true => {
                let root = self.enter(path, "".into(), &metadata)?;
                self.tree(root)
            }
            false => self.leaf(&path, &metadata),
        }
    }

    /// Writes the directory around `written`, which the paths became.
    fn wrap(
        &mut self,
        paths: &[impl AsRef<Path>],
        written: Vec<Written>,
    ) -> Result<Written, CarError> {
        let mut entries = Vec::with_capacity(written.len());
        for (path, node) in paths.iter().zip(written) {
            entries.push(Entry::new(own_name(path.as_ref())?, node));
        }
        self.directories += 1;
        match self.blocks.directory(entries, Attributes::default()) {
            Err(DirectoryError::DuplicateName { name }) => {
                Err(CarError::SameName { name: name.into() })
            }
            done => done.map_err(|error| not_a_directory(Path::new("."), error)),
        }
    }

    /// Imports everything below `root`. It keeps its own stack of directories, so depth costs none of the thread's.
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

    /// Writes the directory's own blocks, once all its entries are imported.
    fn leave(&mut self, directory: OpenDirectory) -> Result<(Box<str>, Written), CarError> {
        let OpenDirectory {
            path,
            name,
            attributes,
            done,
            ..
        } = directory;
        let node = self.blocks.directory(done, attributes);
        Ok((name, node.map_err(|error| not_a_directory(&path, error))?))
    }

    /// Imports anything except a directory.
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
        // The metadata of the open file, not of the path: a pipe that has replaced the file is refused, and the import
        // does not wait for it.
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

fn not_a_directory(path: &Path, error: DirectoryError<CarError>) -> CarError {
    match error {
        DirectoryError::Sink(error) => error,
        DirectoryError::Collision { first, second } => CarError::NamesCollide {
            path: path.into(),
            first: first.into(),
            second: second.into(),
        },
        // Only a broken file system has such names.
        error => CarError::io("list", path)(io::Error::other(error.to_string())),
    }
}

/// The name of a path in the directory around it. A path like `.` has the name of what it stands for.
fn own_name(path: &Path) -> Result<String, CarError> {
    let named = match path.file_name() {
        Some(name) => name.to_owned(),
        None => {
            let real = path.canonicalize().map_err(CarError::io("read", path))?;
            let name = real.file_name().map(ToOwned::to_owned);
            name.ok_or_else(|| {
                let nameless = io::Error::other("it has no name for the directory around it");
                CarError::io("wrap", path)(nameless)
            })?
        }
    };
    named
        .into_string()
        .map_err(|_| CarError::NameNotUtf8 { path: path.into() })
}

/// Opens a file without waiting for the writer of a pipe, and without following a symlink that has replaced the file.
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
