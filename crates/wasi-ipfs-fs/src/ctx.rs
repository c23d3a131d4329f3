//! What one guest gets: a session of the cache, and the mounts. It knows no wasmtime.
//!
//! Invariant (I10): a mount grants what lies below its own root, and only through itself; `/ipfs` obeys the
//! [`Access`] that the embedder chose, whatever is mounted.

use std::{fmt, sync::Arc};

use pinset::{Access, CacheMode, Dir, Limits, Node, Session};

use crate::Error;

/// The guest's name of the tree of all content.
pub(crate) const IPFS: &str = "/ipfs";

/// One guest's IPFS: which roots it may read, under which limits, and what is mounted where. Cheap to clone; all
/// clones are one guest.
///
/// Give each guest its own: the limits are counted here. Two guests that share a cache share it by two contexts with
/// the same `Arc<PinsetCache>`.
#[derive(Clone)]
pub struct IpfsCtx(Arc<Inner>);

struct Inner {
    cache: CacheMode,
    session: Session,
    mounts: Vec<Mount>,
}

/// A directory of IPFS under a name of the host's choice.
pub(crate) struct Mount {
    /// Its absolute name in the guest.
    pub(crate) guest: String,
    /// What is there.
    pub(crate) dir: Dir,
}

impl IpfsCtx {
    /// Starts a context over `mode`, with `access` to the roots under `/ipfs`. There is no default access: a guest
    /// that may ask for any CID can send data out in what it asks for.
    pub fn builder(mode: impl Into<CacheMode>, access: Access) -> IpfsCtxBuilder {
        IpfsCtxBuilder {
            cache: mode.into(),
            access,
            limits: Limits::default(),
            mounts: Vec::new(),
        }
    }

    /// The cache behind it, for its `stats` and its `close`.
    pub fn cache(&self) -> &CacheMode {
        &self.0.cache
    }

    /// The guest's session: its limits, and what it fetched.
    pub fn session(&self) -> &Session {
        &self.0.session
    }

    pub(crate) fn mounts(&self) -> &[Mount] {
        &self.0.mounts
    }
}

impl fmt::Debug for IpfsCtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mounts: Vec<_> = self.mounts().iter().map(|mount| &mount.guest).collect();
        f.debug_struct("IpfsCtx")
            .field("mounts", &mounts)
            .finish_non_exhaustive()
    }
}

/// Sets up an [`IpfsCtx`].
#[must_use]
pub struct IpfsCtxBuilder {
    cache: CacheMode,
    access: Access,
    limits: Limits,
    mounts: Vec<(String, String)>,
}

impl IpfsCtxBuilder {
    /// What the guest may use; [`Limits::default`] unless set.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Shows the directory `path` (`/ipfs/<CID>/sub`) to the guest as `guest` (`/data`), whatever its access.
    ///
    /// The name is absolute, without `.` and `..`, no other mount's, and not `/ipfs` or below it. A mount comes after
    /// wasmtime-wasi's preopened directories; where both have one name, the usual libraries take the mount.
    pub fn mount(mut self, guest: impl Into<String>, path: impl Into<String>) -> Self {
        self.mounts.push((guest.into(), path.into()));
        self
    }

    /// Resolves the mounts, which fetches the directory blocks on their way, and makes the context.
    ///
    /// # Errors
    /// [`Error::MountName`], [`Error::Mount`], [`Error::MountNotDirectory`], [`Error::TooFewHandles`]: each names
    /// the mount.
    pub async fn build(self) -> Result<IpfsCtx, Error> {
        let preopens = self.mounts.len() + 1;
        if self.limits.open_handles <= preopens {
            return Err(Error::TooFewHandles {
                limit: self.limits.open_handles,
                preopens,
            });
        }
        let mut mounts: Vec<Mount> = Vec::with_capacity(self.mounts.len());
        for (name, path) in self.mounts {
            let guest = guest_name(&name)?;
            if mounts.iter().any(|mount| mount.guest == guest) {
                return Err(Error::MountName {
                    guest: name,
                    reason: "another mount has that name",
                });
            }
            // By the host's own right: what the guest itself may ask for is decided by its session.
            match self.cache.open(&path).await {
                Ok(Node::Dir(dir)) => mounts.push(Mount { guest, dir }),
                Ok(Node::File(_) | Node::Symlink(_)) => {
                    return Err(Error::MountNotDirectory { guest, path });
                }
                Err(source) => {
                    return Err(Error::Mount {
                        guest,
                        path,
                        source: Box::new(source),
                    });
                }
            }
        }
        let session = self.cache.session(self.access, self.limits);
        Ok(IpfsCtx(Arc::new(Inner {
            cache: self.cache,
            session,
            mounts,
        })))
    }
}

impl fmt::Debug for IpfsCtxBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IpfsCtxBuilder")
            .field("access", &self.access)
            .field("limits", &self.limits)
            .field("mounts", &self.mounts)
            .finish_non_exhaustive()
    }
}

/// A mount's name as it is shown: absolute, single slashes, none at the end.
fn guest_name(name: &str) -> Result<String, Error> {
    let refused = |reason| {
        Err(Error::MountName {
            guest: name.to_owned(),
            reason,
        })
    };
    let Some(relative) = name.strip_prefix('/') else {
        return refused("an absolute name like /data is wanted");
    };
    if name.contains('\0') {
        return refused("a name holds no NUL");
    }
    let segments: Vec<_> = relative
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    if segments
        .iter()
        .any(|segment| matches!(*segment, "." | ".."))
    {
        return refused("a name without . and .. is wanted");
    }
    if segments.first() == IPFS.strip_prefix('/').as_ref() {
        return refused("/ipfs is where all content is; choose a name outside it");
    }
    Ok(format!("/{}", segments.join("/")))
}

#[cfg(test)]
mod tests {
    use super::guest_name;

    #[test]
    fn names_are_absolute_and_plain() {
        for (given, shown) in [
            ("/data", "/data"),
            ("/", "/"),
            ("//a//b/", "/a/b"),
            ("/ipfsx", "/ipfsx"),
        ] {
            assert_eq!(guest_name(given).ok().as_deref(), Some(shown));
        }
        for wrong in [
            "", "data", "./data", "/a/../b", "/.", "/a\0b", "/ipfs", "/ipfs/", "//ipfs/x",
        ] {
            let error = guest_name(wrong).expect_err(wrong).to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
