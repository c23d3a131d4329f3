//! Copies a file or tree out to a host directory, through a capability handle.
//!
//! This is the only place where names of directory entries become host file names. Each name was checked to be a single
//! path segment when its directory was decoded, and every step goes through the handle of the directory that was just
//! made. So nothing leads out of the destination, not even a symlink that was just written (I4).
//!
//! A copy is made under a [private](private) name and gets its own name when it is complete. It goes depth first, with
//! several entries side by side, within [`SIDE_BY_SIDE`], [`ROOM_BYTES`] and [`OPEN_DIRS`] (I9). Host files are touched
//! on blocking threads only.

mod attributes;
mod private;

use std::{
    io::{self, Write},
    path::{Component, Path},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use cap_std::fs::{Dir as HostDir, OpenOptions};
use futures_util::{StreamExt, TryStreamExt, stream::FuturesUnordered};
use tokio::sync::Semaphore;

use self::private::Private;
use super::{progress::Progress, stream::PIECE};
use crate::{
    error::Error,
    metadata::Metadata,
    path::ipfs_path::{Symlinks, shown},
    read::{
        dir::Dir,
        file::File,
        listing::{Entries, Entry},
        node::{Node, Symlink},
        readahead::Advice,
    },
    session::Session,
    task,
};

/// The depth of the deepest tree that is copied out, in directories. There is a limit because each directory on the way
/// is open, here and on the host.
const MAX_DEPTH: usize = 256;

/// The number of entries that are opened or copied concurrently.
const SIDE_BY_SIDE: usize = 16;

/// The total size of the files that are copied concurrently, in bytes. A larger file is copied alone.
const ROOM_BYTES: u64 = 32 << 20;

/// The size of one permit for a file's bytes.
const PERMIT_BYTES: u64 = 4096;

/// The number of directories that are filled concurrently. Beyond it, a directory is begun only if nothing else can go
/// on: a deep tree has more on one path.
const OPEN_DIRS: usize = 64;

/// Copies `node` to `dest/name`, which must not exist. After an error nothing is left of the copy when this returns.
/// When the future is dropped, it is removed in the background.
pub(crate) async fn materialize(
    session: &Session,
    node: Node,
    dest: &HostDir,
    name: &str,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let failed = |error| write_error(shown(name), error);
    if !is_one_name(name) {
        let what = "the copy's name must be a single path segment";
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, what)));
    }
    let dest = Arc::new(dest.try_clone().map_err(failed)?);
    let (private, gone) = Private::new(dest.clone(), name);
    let copy = Copy {
        session,
        progress,
        name,
        private,
        longest_name: longest_name(&dest),
        room: Semaphore::new((ROOM_BYTES / PERMIT_BYTES) as usize),
        files: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
    };
    let copied = copy.run(node, dest).await;
    // The sender was dropped with the last step of the copy, and with what had to be removed.
    _ = gone.await;
    copied
}

fn is_one_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!(components.next(), Some(Component::Normal(only)) if only.to_str() == Some(name))
        && components.next().is_none()
}

/// The length of the longest name on the file system, in bytes, as far as it says.
fn longest_name(dest: &HostDir) -> usize {
    let said = rustix::fs::fstatvfs(dest).ok();
    said.and_then(|said| usize::try_from(said.f_namemax).ok())
        .unwrap_or(usize::MAX)
}

struct Copy<'a> {
    session: &'a Session,
    progress: &'a dyn Progress,
    /// The name of the finished copy.
    name: &'a str,
    private: Arc<Private>,
    longest_name: usize,
    /// Permits for the bytes of files.
    room: Semaphore,
    files: AtomicU64,
    bytes: AtomicU64,
}

/// A host directory that is being filled. Each step that adds something to it holds a reference, so it is full when the
/// last one is dropped.
struct Filled {
    host: Arc<HostDir>,
    /// The directory's own place, and its metadata; `None` for the destination, which stays as it is.
    made: Option<(Spot, Metadata)>,
}

/// A name in a host directory.
struct Spot {
    into: Arc<Filled>,
    name: String,
    /// The number of directories above it within the copy.
    depth: usize,
}

/// A directory whose entries are being copied.
struct Level {
    dir: Dir,
    entries: Entries,
    filled: Arc<Filled>,
    depth: usize,
}

/// One step of the copy.
enum Step {
    /// Takes the next entry of a directory.
    List(Box<Level>),
    /// Opens an entry of a directory, and copies it unless it is a directory.
    Open(Dir, Spot),
    /// Copies a node that is open.
    Copy(Node, Spot),
    /// Makes a directory, to be filled.
    Make(Dir, Spot),
    /// Sets the attributes of a directory that is full.
    Finish(Arc<HostDir>, Spot, Metadata),
}

/// The result of a step.
enum Done {
    /// The name of the next entry, if there is one.
    Listed(Box<Level>, Option<String>),
    /// The spot is taken.
    Copied(Spot),
    /// There is a directory to be copied to the spot.
    IsDir(Dir, Spot),
    Made(Box<Level>),
    /// The directory at the spot is complete.
    Finished(Spot),
}

impl Copy<'_> {
    async fn run(self, node: Node, dest: Arc<HostDir>) -> Result<(), Error> {
        let (there, name) = (dest.clone(), self.name.to_owned());
        let failed = |error| write_error(shown(self.name), error);
        let refused = move || match there.symlink_metadata(name) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        self.blocking(refused).await?.map_err(failed)?;
        if let Node::File(file) = &node {
            self.progress.expects(file.len());
        }
        let spot = Spot {
            into: Arc::new(Filled {
                host: dest,
                made: None,
            }),
            name: self.private.name().to_owned(),
            depth: 0,
        };
        self.tree(node, spot).await?;
        let (private, name) = (self.private.clone(), self.name.to_owned());
        let published = self.blocking(move || private.publish(&name)).await?;
        published.map_err(failed)
    }

    /// Copies a tree, with its pending steps on the heap: the depth of the content must not determine how much of the
    /// thread's stack is used. The last step is taken first, so that the copy goes down before it goes on.
    async fn tree(&self, node: Node, spot: Spot) -> Result<(), Error> {
        let mut steps = vec![Step::Copy(node, spot)];
        let mut under_way = FuturesUnordered::new();
        let mut open_dirs = 0;
        loop {
            while under_way.len() < SIDE_BY_SIDE
                && let Some(step) = steps.pop_if(|step| {
                    open_dirs < OPEN_DIRS || under_way.is_empty() || !matches!(step, Step::Make(..))
                })
            {
                open_dirs += usize::from(matches!(step, Step::Make(..)));
                under_way.push(self.take(step));
            }
            let Some(done) = under_way.next().await else {
                return Ok(());
            };
            match done? {
                Done::Listed(level, Some(name)) => {
                    let spot = Spot {
                        into: level.filled.clone(),
                        name,
                        depth: level.depth,
                    };
                    let open = Step::Open(level.dir.clone(), spot);
                    steps.extend([Step::List(level), open]);
                }
                Done::Listed(level, None) => {
                    self.report_left_out(&level);
                    steps.extend(finish(level.filled));
                }
                Done::Copied(spot) => steps.extend(finish(spot.into)),
                Done::IsDir(dir, spot) => steps.push(Step::Make(dir, spot)),
                Done::Made(level) => steps.push(Step::List(level)),
                Done::Finished(spot) => {
                    open_dirs -= 1;
                    steps.extend(finish(spot.into));
                }
            }
        }
    }

    async fn take(&self, step: Step) -> Result<Done, Error> {
        match step {
            Step::List(mut level) => loop {
                match level.entries.try_next().await {
                    Ok(entry) => return Ok(Done::Listed(level, entry.map(Entry::into_name))),
                    Err(error) => {
                        let above = level.filled.made.as_ref().map(|(spot, _)| self.path(spot));
                        let path = format!("{}/", above.unwrap_or_default());
                        self.progress.lacks(&path, error)?;
                        level.entries.pass_over();
                    }
                }
            },
            Step::Open(dir, spot) => match self.opened(&dir, &spot).await {
                Ok(node) => self.node(node, spot).await,
                Err(error) => {
                    self.progress.lacks(&self.path(&spot), error)?;
                    Ok(Done::Copied(spot))
                }
            },
            Step::Copy(node, spot) => self.node(node, spot).await,
            Step::Make(dir, spot) => self.make(dir, spot).await.map(Done::Made),
            Step::Finish(host, spot, metadata) => {
                let set = move || attributes::set_on_dir(&host, &metadata);
                self.blocking(set)
                    .await?
                    .map_err(|e| self.failed(&spot, e))?;
                Ok(Done::Finished(spot))
            }
        }
    }

    async fn opened(&self, dir: &Dir, spot: &Spot) -> Result<Node, Error> {
        if spot.name.len() > self.longest_name {
            let (len, most) = (spot.name.len(), self.longest_name);
            let long =
                format!("its name has {len} bytes, and the file system allows {most} at most");
            let long = io::Error::new(io::ErrorKind::InvalidFilename, long);
            return Err(self.failed(spot, long));
        }
        let opened = self.session.open_at(dir, &spot.name, Symlinks::NoFollow);
        opened.await
    }

    /// Copies a file or symlink. A directory is only made when its turn comes, since it is kept open.
    async fn node(&self, node: Node, spot: Spot) -> Result<Done, Error> {
        match node {
            Node::File(file) => match self.file(&file, &spot).await {
                Ok(()) => {}
                // The host is at fault, or this file is all that is copied.
                Err(error @ Error::Write { .. }) => return Err(error),
                Err(error) if spot.into.made.is_none() => return Err(error),
                Err(error) => {
                    self.progress.lacks(&self.path(&spot), error)?;
                    self.remove(&spot).await?;
                }
            },
            Node::Symlink(link) => self.symlink(&link, &spot).await?,
            Node::Dir(_) if spot.depth >= MAX_DEPTH => {
                let deep = io::Error::other(format!("more than {MAX_DEPTH} directories deep"));
                return Err(self.failed(&spot, deep));
            }
            Node::Dir(dir) => return Ok(Done::IsDir(dir, spot)),
        }
        Ok(Done::Copied(spot))
    }

    async fn symlink(&self, link: &Symlink, spot: &Spot) -> Result<(), Error> {
        // The target is copied as text. Whoever follows the symlink has to judge it.
        let (target, metadata) = (link.target().to_owned(), link.metadata());
        let make = move |dir: &HostDir, name: &str| dir.symlink_contents(target, name);
        let set =
            move |dir: &HostDir, name: &str, ()| attributes::set_on_symlink(dir, name, &metadata);
        self.add(spot, make, set).await
    }

    async fn make(&self, dir: Dir, spot: Spot) -> Result<Box<Level>, Error> {
        let make = |host: &HostDir, name: &str| host.create_dir(name);
        let open = |host: &HostDir, name: &str, ()| host.open_dir(name);
        let host = Arc::new(self.add(&spot, make, open).await?);
        let entries = dir.entries()?.keep_left_out();
        let depth = spot.depth + 1;
        let made = Some((spot, dir.metadata()));
        Ok(Box::new(Level {
            dir,
            entries,
            filled: Arc::new(Filled { host, made }),
            depth,
        }))
    }

    async fn file(&self, file: &File, spot: &Spot) -> Result<(), Error> {
        let permits = file.len().min(ROOM_BYTES).div_ceil(PERMIT_BYTES) as u32;
        let room = self.room.acquire_many(permits).await;
        let _room = room.map_err(|_| Error::Closed)?;
        if file.len() > PIECE as u64 {
            file.advise(0, 0, Advice::Sequential);
        }
        let metadata = file.metadata();
        let mut out = None;
        let mut offset = 0;
        loop {
            let bytes = file.read_at(offset, PIECE).await?;
            let len = bytes.len() as u64;
            // A read is short only at the end of the file.
            let is_last = bytes.len() < PIECE;
            let write = move |mut out: std::fs::File| {
                out.write_all(&bytes)?;
                if is_last {
                    attributes::set_on_file(&out, &metadata)?;
                }
                Ok(out)
            };
            out = Some(match out.take() {
                Some(out) => {
                    let written = self.blocking(move || write(out)).await?;
                    written.map_err(|error| self.failed(spot, error))?
                }
                None => {
                    let make = |dir: &HostDir, name: &str| {
                        dir.open_with(name, OpenOptions::new().write(true).create_new(true))
                    };
                    let write =
                        move |_: &HostDir, _: &str, out: cap_std::fs::File| write(out.into_std());
                    self.add(spot, make, write).await?
                }
            });
            offset += len;
            let total = self.bytes.fetch_add(len, Ordering::Relaxed) + len;
            let files = match is_last {
                true => self.files.fetch_add(1, Ordering::Relaxed) + 1,
                false => self.files.load(Ordering::Relaxed),
            };
            self.progress.advanced(files, total);
            if is_last {
                return Ok(());
            }
        }
    }

    /// Removes the beginning of a file.
    async fn remove(&self, spot: &Spot) -> Result<(), Error> {
        let (dir, name) = (spot.into.host.clone(), spot.name.clone());
        let removed = self.blocking(move || dir.remove_file(name)).await?;
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed(spot, error)),
            _ => Ok(()),
        }
    }

    /// Makes something new at the spot, and goes on with it on the same blocking thread.
    async fn add<M, T: Send + 'static>(
        &self,
        spot: &Spot,
        make: impl FnOnce(&HostDir, &str) -> io::Result<M> + Send + 'static,
        then: impl FnOnce(&HostDir, &str, M) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (dir, name) = (spot.into.host.clone(), spot.name.clone());
        let is_top = spot.into.made.is_none();
        let private = self.private.clone();
        let work = move || {
            let made = make(&dir, &name)?;
            if is_top {
                private.is_made();
            }
            then(&dir, &name, made)
        };
        let done = self.blocking(work).await?;
        done.map_err(|error| self.failed(spot, error))
    }

    /// Runs `work` on a blocking thread. If the copy is given up meanwhile, it is removed after the work.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<io::Result<T>, Error> {
        let private = self.private.clone();
        task::blocking(move || {
            let done = work();
            drop(private);
            Ok(done)
        })
        .await
    }

    fn report_left_out(&self, level: &Level) {
        let left_out = level.entries.left_out();
        if left_out.count > 0 {
            let spot = level.filled.made.as_ref().map(|(spot, _)| spot);
            let directory = spot.map_or_else(String::new, |spot| self.path(spot));
            self.progress.left_out(&directory, left_out);
        }
    }

    fn failed(&self, spot: &Spot, error: io::Error) -> Error {
        write_error(self.path(spot), error)
    }

    /// The path of a spot, beginning with the name of the copy.
    fn path(&self, spot: &Spot) -> String {
        let mut names = Vec::new();
        let mut next = Some(spot);
        while let Some(spot) = next {
            next = spot.into.made.as_ref().map(|(above, _)| above);
            names.push(match next {
                Some(_) => shown(&spot.name),
                // The private name stands for this one.
                None => shown(self.name),
            });
        }
        names.reverse();
        names.join("/")
    }
}

/// Drops a reference to a directory. Returns the step that ends the directory if it was the last one.
fn finish(filled: Arc<Filled>) -> Option<Step> {
    let Filled { host, made } = Arc::into_inner(filled)?;
    let (spot, metadata) = made?;
    Some(Step::Finish(host, spot, metadata))
}

fn write_error(path: String, error: io::Error) -> Error {
    Error::Write {
        path,
        source: Arc::new(error),
    }
}
