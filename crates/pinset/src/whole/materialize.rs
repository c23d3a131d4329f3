//! A file or tree copied out to a host directory, through a capability handle.
//!
//! The one place where names of directory entries become host file names: each was checked to be a single path
//! segment when its directory was decoded, and every step goes through the handle of the directory that was just
//! made, so that nothing, no symlink that was just written either, leads out of the destination (I4).

use std::{io, sync::Arc};

use cap_std::fs::{Dir as HostDir, OpenOptions};
use futures_util::TryStreamExt;

use super::{progress::Progress, stream::PIECE};
use crate::{
    error::Error,
    path::ipfs_path::Symlinks,
    read::{dir::Dir, file::File, listing::Entries, node::Node, readahead::Advice},
    session::Session,
};

/// The deepest tree of directories that is copied out: each on the way is open, here and on the host.
const MAX_DEPTH: usize = 256;

/// Copies `node` to `dest/name`, which must not be there. After an error what was written is removed.
pub(crate) async fn materialize(
    session: &Session,
    node: Node,
    dest: &HostDir,
    name: &str,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let copy = Copy {
        session,
        progress,
        files: std::sync::atomic::AtomicU64::new(0),
        bytes: std::sync::atomic::AtomicU64::new(0),
    };
    if dest.symlink_metadata(name).is_ok() {
        let exists = io::Error::from(io::ErrorKind::AlreadyExists);
        return Err(write_error(name, exists));
    }
    let dest = Arc::new(dest.try_clone().map_err(|error| write_error(name, error))?);
    // Also when the future is dropped.
    let mut undo = Undo {
        dest: dest.clone(),
        name: Some(name.to_owned()),
    };
    copy.tree(node, dest, name).await?;
    undo.name = None;
    Ok(())
}

struct Undo {
    dest: Arc<HostDir>,
    name: Option<String>,
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Whichever it is.
            if self.dest.remove_file(name).is_err() {
                _ = self.dest.remove_dir_all(name);
            }
        }
    }
}

struct Copy<'a> {
    session: &'a Session,
    progress: &'a dyn Progress,
    files: std::sync::atomic::AtomicU64,
    bytes: std::sync::atomic::AtomicU64,
}

/// A directory that is being copied, and what is still to come of it.
struct Level {
    dir: Dir,
    entries: Entries,
    /// Where it goes.
    made: Arc<HostDir>,
    path: String,
}

impl Copy<'_> {
    /// Level by level on a stack of our own: how deep content is must not decide how much of the thread's is needed.
    async fn tree(&self, node: Node, dest: Arc<HostDir>, name: &str) -> Result<(), Error> {
        let mut levels = Vec::new();
        let first = self.node(node, dest, name.to_owned(), name.to_owned(), 0);
        levels.extend(first.await?);
        while let Some(level) = levels.last_mut() {
            let Some(entry) = level.entries.try_next().await? else {
                levels.pop();
                continue;
            };
            let opened = self
                .session
                .open_at(&level.dir, entry.name(), Symlinks::NoFollow);
            let node = opened.await?;
            let path = format!("{}/{}", level.path, entry.name());
            let (made, depth) = (level.made.clone(), levels.len());
            levels.extend(
                self.node(node, made, entry.into_name(), path, depth)
                    .await?,
            );
        }
        Ok(())
    }

    /// Copies a file or symlink; makes a directory, which is gone into next.
    async fn node(
        &self,
        node: Node,
        dest: Arc<HostDir>,
        name: String,
        path: String,
        depth: usize,
    ) -> Result<Option<Level>, Error> {
        match node {
            Node::File(file) => self.file(&file, dest, name, &path).await?,
            Node::Symlink(link) => {
                // As text: where it points is for whoever follows it to judge.
                let target = link.target().to_owned();
                blocking(&path, move || dest.symlink_contents(target, name)).await?;
            }
            Node::Dir(_) if depth >= MAX_DEPTH => {
                let deep = io::Error::other(format!("more than {MAX_DEPTH} directories deep"));
                return Err(write_error(&path, deep));
            }
            Node::Dir(dir) => {
                let made = blocking(&path, move || {
                    dest.create_dir(&name)?;
                    dest.open_dir(&name)
                });
                let made = Arc::new(made.await?);
                let entries = dir.entries();
                return Ok(Some(Level {
                    dir,
                    entries,
                    made,
                    path,
                }));
            }
        }
        Ok(None)
    }

    async fn file(
        &self,
        file: &File,
        dest: Arc<HostDir>,
        name: String,
        path: &str,
    ) -> Result<(), Error> {
        use std::{io::Write, sync::atomic::Ordering};
        let mut out = blocking(path, move || {
            dest.open_with(name, OpenOptions::new().write(true).create_new(true))
        })
        .await?;
        file.advise(0, 0, Advice::Sequential);
        let mut offset = 0;
        loop {
            let bytes = file.read_at(offset, PIECE).await?;
            if bytes.is_empty() {
                break;
            }
            let len = bytes.len() as u64;
            out = blocking(path, move || out.write_all(&bytes).map(|()| out)).await?;
            offset += len;
            let total = self.bytes.fetch_add(len, Ordering::Relaxed) + len;
            self.progress
                .advanced(self.files.load(Ordering::Relaxed), total);
        }
        self.files.fetch_add(1, Ordering::Relaxed);
        let metadata = file.metadata();
        blocking(path, move || {
            if let Some(mode) = metadata.mode {
                use cap_std::fs::{Permissions, PermissionsExt};
                // The permission bits alone: no DAG makes a file that runs as somebody else.
                out.set_permissions(Permissions::from_mode(mode & 0o777))?;
            }
            if let Some(mtime) = metadata.mtime {
                let time = rustix::fs::Timespec {
                    tv_sec: mtime.seconds,
                    tv_nsec: i64::from(mtime.nanos),
                };
                rustix::fs::futimens(
                    &out,
                    &rustix::fs::Timestamps {
                        last_access: time,
                        last_modification: time,
                    },
                    // coverage: needs a disk that fails.
                )?;
            }
            Ok(())
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    path: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|error| write_error(path, error))
}

fn write_error(path: &str, error: io::Error) -> Error {
    Error::Write {
        path: path.to_owned(),
        source: Arc::new(error),
    }
}
