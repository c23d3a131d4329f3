//! A file or tree copied out to a host directory, through a capability handle.
//!
//! The one place where names of directory entries become host file names: each was checked to be a single path
//! segment when its directory was decoded, and every step goes through the handle of the directory that was just
//! made, so that nothing, no symlink that was just written either, leads out of the destination (I4).

use std::{io, sync::Arc};

use cap_std::fs::{Dir as HostDir, OpenOptions};
use futures_util::future::BoxFuture;

use super::{PIECE, Progress};
use crate::{
    dir::Dir,
    error::Error,
    file::File,
    node::Node,
    readahead::Advice,
    session::{Session, Symlinks},
};

/// The deepest tree of directories that is copied out.
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
    copy.node(node, dest, name.to_owned(), name.to_owned(), 0)
        .await?;
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

impl Copy<'_> {
    fn node<'s>(
        &'s self,
        node: Node,
        dest: Arc<HostDir>,
        name: String,
        path: String,
        depth: usize,
    ) -> BoxFuture<'s, Result<(), Error>> {
        Box::pin(async move {
            match node {
                Node::File(file) => self.file(&file, &dest, &name, &path).await,
                Node::Dir(dir) => self.dir(&dir, &dest, &name, &path, depth).await,
                Node::Symlink(link) => {
                    // As text: where it points is for whoever follows it to judge.
                    let target = link.target().to_owned();
                    blocking(&path, move || dest.symlink_contents(target, name)).await
                }
            }
        })
    }

    async fn file(
        &self,
        file: &File,
        dest: &Arc<HostDir>,
        name: &str,
        path: &str,
    ) -> Result<(), Error> {
        use std::{io::Write, sync::atomic::Ordering};
        let (dest, name) = (dest.clone(), name.to_owned());
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
                )?;
            }
            Ok(())
        })
        .await
    }

    async fn dir(
        &self,
        dir: &Dir,
        dest: &Arc<HostDir>,
        name: &str,
        path: &str,
        depth: usize,
    ) -> Result<(), Error> {
        if depth >= MAX_DEPTH {
            let deep = io::Error::other(format!("more than {MAX_DEPTH} directories deep"));
            return Err(write_error(path, deep));
        }
        let (parent, own) = (dest.clone(), name.to_owned());
        let made = blocking(path, move || {
            parent.create_dir(&own)?;
            parent.open_dir(&own)
        })
        .await?;
        let made = Arc::new(made);
        let mut entries = dir.entries();
        while let Some(entry) = entries.next().await? {
            let node = self
                .session
                .open_at(dir, &entry.name, Symlinks::NoFollow)
                .await?;
            let below = format!("{path}/{}", entry.name);
            self.node(node, made.clone(), entry.name, below, depth + 1)
                .await?;
        }
        Ok(())
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
