//! The IPFS of one guest: a session of the cache, names, and mounts, among them trees of the host's own.
//!
//! Invariants (I10): a mount grants only what lies below its own root, and only through itself. Paths below `/ipfs`
//! obey the [`Access`] that the embedder chose, and reach the targets of granted names besides, whatever is mounted.
//! Each name is resolved once, before the guest starts, however often it is granted or mounted.

use std::{collections::HashMap, fmt, sync::Arc};

use pinset::{
    Access, CacheMode, ContentPath, Dir, FixedName, IpnsName, Limits, Node, Session, Symlinks,
};

#[cfg(feature = "p3")]
use crate::streams::Streams;
use crate::{
    counted::CountedDir, errno::Failures, error::Error, ipfs::IpfsDir, node::DirNode, types::Types,
};

/// The tree of all content, as the guest sees it.
pub(crate) const IPFS: &str = "/ipfs";

/// The directory of granted names, as the guest sees it. It exists if at least one name was granted.
pub(crate) const IPNS: &str = "/ipns";

/// One guest's IPFS: which roots it may read, under which limits, and what is mounted where. Cheap to clone; all
/// clones are one guest.
///
/// Give each guest its own context, because the limits are counted in it. Two guests share a cache by two contexts with
/// clones of one [`CacheMode`].
#[derive(Clone)]
pub struct IpfsCtx(Arc<Inner>);

struct Inner {
    cache: CacheMode,
    session: Session,
    mounts: Vec<Mount>,
    failures: Arc<Failures>,
    types: Arc<Types>,
    #[cfg(feature = "p3")]
    streams: Arc<Streams>,
}

/// A directory of IPFS, or of the host's own, under a name that the host chose.
struct Mount {
    /// Its absolute name in the guest.
    guest: String,
    /// The directory that the guest finds there. The limits of the guest's session hold for it.
    dir: Arc<dyn DirNode>,
}

/// A directory that the guest finds open, with its absolute name in the guest.
pub(crate) type Preopen = (String, Arc<dyn DirNode>);

/// The directory of a mount, before it is opened.
enum Source {
    Path(ContentPath),
    Tree(Arc<dyn DirNode>),
}

impl IpfsCtx {
    /// Starts a context over `mode`, with `access` to the roots under `/ipfs`. There is no default access: a guest
    /// that may ask for any CID can send data out in what it asks for.
    pub fn builder(mode: impl Into<CacheMode>, access: Access) -> IpfsCtxBuilder {
        IpfsCtxBuilder {
            cache: mode.into(),
            access,
            limits: Limits::default(),
            names: Vec::new(),
            mounts: Vec::new(),
            lazy_types: false,
        }
    }

    /// The cache behind it, for its `stats` and its `close`.
    pub fn cache(&self) -> &CacheMode {
        &self.0.cache
    }

    /// The names that the guest was granted, with the CIDs that they stand for. The CIDs stay the same while the guest
    /// lives.
    pub fn names(&self) -> impl Iterator<Item = &FixedName> {
        self.0.session.names()
    }

    /// The guest's session, which has its limits and counts what it fetched.
    pub fn session(&self) -> &Session {
        &self.0.session
    }

    /// The number of entries in the guest's listings so far whose type could not be learnt: their blocks were missing or
    /// late, or a limit was reached. The guest saw them without a type. The first one is in the log.
    pub fn unknown_types(&self) -> u64 {
        self.0.types.unknown()
    }

    #[cfg(test)]
    pub(crate) fn types(&self) -> &Arc<Types> {
        &self.0.types
    }

    /// Returns a directory of this guest's [`session`](Self::session) as a node, with the guest's way to list types. A
    /// tree of the host's own can stand on it.
    pub fn dir_node(&self, dir: Dir) -> Arc<dyn DirNode> {
        Arc::new(IpfsDir::new(dir, &self.0.session, &self.0.types))
    }

    /// Opens the directories that the guest finds open: `/ipfs`, `/ipns` (if a name was granted) and the mounts. The
    /// first two take a handle each time.
    ///
    /// # Errors
    /// [`Error::Preopen`], which names the directory for which the session has no handle left.
    pub(crate) fn preopens(&self) -> Result<Vec<Preopen>, Error> {
        let session = self.session();
        let mut all = vec![(IPFS.to_owned(), self.preopen(IPFS, session.root())?)];
        if self.names().next().is_some() {
            all.push((IPNS.to_owned(), self.preopen(IPNS, session.names_root())?));
        }
        let mounts = self.0.mounts.iter();
        all.extend(mounts.map(|mount| (mount.guest.clone(), mount.dir.clone())));
        Ok(all)
    }

    fn preopen(
        &self,
        guest: &str,
        dir: Result<Dir, pinset::Error>,
    ) -> Result<Arc<dyn DirNode>, Error> {
        let dir = dir.map_err(|source| preopen_failed(guest, source))?;
        Ok(self.dir_node(dir))
    }

    pub(crate) fn failures(&self) -> &Arc<Failures> {
        &self.0.failures
    }

    #[cfg(feature = "p3")]
    pub(crate) fn streams(&self) -> &Arc<Streams> {
        &self.0.streams
    }
}

impl fmt::Debug for IpfsCtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mounts: Vec<_> = self.0.mounts.iter().map(|mount| &mount.guest).collect();
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
    names: Vec<IpnsName>,
    mounts: Vec<(String, Source)>,
    lazy_types: bool,
}

impl IpfsCtxBuilder {
    /// Sets the guest's limits; [`Limits::default`] unless set.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Leaves the types of entries unknown in listings where a link does not tell them. Otherwise the entries' root
    /// blocks are fetched ahead of the guest, 32 at once, within its limits and for a short time each.
    ///
    /// Listings then fetch the directory alone. But programs that were built with Rust 1.92 or older take an entry
    /// without a type for neither a file nor a directory.
    pub fn lazy_types(mut self) -> Self {
        self.lazy_types = true;
        self
    }

    /// Grants the mutable name `name`, a key or a domain with a DNSLink record.
    ///
    /// The backend resolves it once, when the context is built, and the result stays the same while the guest lives.
    /// The guest finds a link `/ipns/<name>` to `/ipfs/<CID>`, and may read the content below that CID. Every block of
    /// it is verified. **The backend chooses the CID**, and nobody can verify its choice. So grant a name only to a
    /// guest whose content may be chosen by the backend's owner and by the publisher of the name. A guest cannot ask
    /// for other names, because that would be a way to send data out.
    pub fn name(mut self, name: IpnsName) -> Self {
        self.names.push(name);
        self
    }

    /// Shows the directory `path` (`/ipfs/<CID>/sub`, `/ipns/<name>/sub`) to the guest as `guest` (`/data`), whatever
    /// its access. A name is resolved as in [`name`](Self::name), and not granted beyond this mount.
    ///
    /// The mount's name must be absolute, without `.` and `..`. It must differ from the names of other mounts, and must
    /// not be `/ipfs`, `/ipns` or below them. Mounts come after wasmtime-wasi's preopened directories. If both have the
    /// same name, the usual libraries take the mount.
    pub fn mount(mut self, guest: impl Into<String>, path: impl Into<ContentPath>) -> Self {
        self.mounts.push((guest.into(), Source::Path(path.into())));
        self
    }

    /// Shows the directory `tree`, which is the host's own and has nothing to do with IPFS, to the guest as `guest`. Its
    /// open files, directories and listings count as handles of the guest's session. Otherwise as [`mount`](Self::mount).
    pub fn mount_tree(mut self, guest: impl Into<String>, tree: Arc<dyn DirNode>) -> Self {
        self.mounts.push((guest.into(), Source::Tree(tree)));
        self
    }

    /// Resolves the names and the mounts, which fetches the directory blocks on their way, and makes the context.
    ///
    /// # Errors
    /// [`Error::Name`], which names the name; [`Error::MountName`], [`Error::Mount`], [`Error::MountNotDirectory`],
    /// [`Error::Preopen`], which name the mount; [`Error::TooFewHandles`].
    pub async fn build(self) -> Result<IpfsCtx, Error> {
        let preopens = self.mounts.len() + 1 + usize::from(!self.names.is_empty());
        if self.limits.open_handles <= preopens {
            return Err(Error::TooFewHandles {
                limit: self.limits.open_handles,
                preopens,
            });
        }
        let mut fixed = HashMap::new();
        let mut names = Vec::with_capacity(self.names.len());
        for name in &self.names {
            let granted = self.fix(name, &mut fixed).await;
            names.push(granted.map_err(|source| Error::Name {
                name: name.to_string(),
                source: Box::new(source),
            })?);
        }
        let session =
            self.cache
                .session_with_names(self.access.clone(), self.limits.clone(), names);
        let types = Arc::new(Types::new(self.lazy_types));
        let mut mounts: Vec<Mount> = Vec::with_capacity(self.mounts.len());
        for (name, source) in &self.mounts {
            let guest = guest_name(name)?;
            if mounts.iter().any(|mount| mount.guest == guest) {
                return Err(Error::MountName {
                    guest: name.clone(),
                    reason: "another mount has that name",
                });
            }
            let dir: Arc<dyn DirNode> = match source {
                Source::Path(path) => {
                    let dir = self.mounted(&guest, path, &mut fixed, &session).await?;
                    Arc::new(IpfsDir::new(dir, &session, &types))
                }
                Source::Tree(tree) => {
                    let dir = CountedDir::new(tree.clone(), &session);
                    Arc::new(dir.map_err(|source| preopen_failed(&guest, source))?)
                }
            };
            mounts.push(Mount { guest, dir });
        }
        Ok(IpfsCtx(Arc::new(Inner {
            cache: self.cache,
            session,
            mounts,
            failures: Arc::default(),
            types,
            #[cfg(feature = "p3")]
            streams: Arc::default(),
        })))
    }

    /// Opens the directory of a mount.
    async fn mounted(
        &self,
        guest: &str,
        path: &ContentPath,
        fixed: &mut HashMap<IpnsName, FixedName>,
        session: &Session,
    ) -> Result<Dir, Error> {
        let guest = || guest.to_owned();
        match self.open(path, fixed, session).await {
            Ok(Node::Dir(dir)) => Ok(dir),
            Ok(Node::File(_) | Node::Symlink(_)) => Err(Error::MountNotDirectory {
                guest: guest(),
                path: path.to_string(),
            }),
            Err(source) => Err(Error::Mount {
                guest: guest(),
                path: path.to_string(),
                source: Box::new(source),
            }),
        }
    }

    /// Opens the target of a mount. The host walks to it with its own rights, since the guest's session decides what
    /// the guest may ask for. The directory is then opened again in that session, which counts the handle and whatever
    /// is fetched below.
    async fn open(
        &self,
        path: &ContentPath,
        fixed: &mut HashMap<IpnsName, FixedName>,
        session: &Session,
    ) -> Result<Node, pinset::Error> {
        let path = match path {
            ContentPath::Ipfs(path) => path.clone(),
            ContentPath::Ipns(path) => {
                let name = self.fix(path.name(), fixed).await?;
                name.join(path.rest())?
            }
        };
        match self.cache.open(&path).await? {
            Node::Dir(dir) => session.open_at(&dir, ".", Symlinks::Follow).await,
            other => Ok(other),
        }
    }

    /// Resolves `name`, unless it was resolved before.
    async fn fix(
        &self,
        name: &IpnsName,
        fixed: &mut HashMap<IpnsName, FixedName>,
    ) -> Result<FixedName, pinset::Error> {
        if let Some(known) = fixed.get(name) {
            return Ok(known.clone());
        }
        let found = self.cache.fix(name).await?;
        fixed.insert(name.clone(), found.clone());
        Ok(found)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{path}"),
            Self::Tree(_) => f.write_str("a tree of the host's"),
        }
    }
}

impl fmt::Debug for IpfsCtxBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IpfsCtxBuilder")
            .field("access", &self.access)
            .field("limits", &self.limits)
            .field("names", &self.names)
            .field("mounts", &self.mounts)
            .field("lazy_types", &self.lazy_types)
            .finish_non_exhaustive()
    }
}

fn preopen_failed(guest: &str, source: pinset::Error) -> Error {
    Error::Preopen {
        guest: guest.to_owned(),
        source: Box::new(source),
    }
}

/// Normalizes a mount's name: absolute, with single slashes, and none at the end.
fn guest_name(name: &str) -> Result<String, Error> {
    let refused = |reason| {
        Err(Error::MountName {
            guest: name.to_owned(),
            reason,
        })
    };
    let Some(relative) = name.strip_prefix('/') else {
        return refused("the name must be absolute, like /data");
    };
    if name.contains('\0') {
        return refused("the name must not contain a NUL byte");
    }
    let segments: Vec<_> = relative
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    if segments
        .iter()
        .any(|segment| matches!(*segment, "." | ".."))
    {
        return refused("the name must not contain . or ..");
    }
    if segments.first() == IPFS.strip_prefix('/').as_ref() {
        return refused("/ipfs is reserved for all content; choose a name outside it");
    }
    if segments.first() == IPNS.strip_prefix('/').as_ref() {
        return refused("/ipns is reserved for the granted names; choose a name outside it");
    }
    Ok(format!("/{}", segments.join("/")))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use pinner_car::Profile;
    use pinner_mock::MockNode;
    use pinset::{IpfsPath, Limit, PinsetBuilder};
    use test_support::content::add;

    use super::*;
    use crate::node;

    #[tokio::test]
    async fn a_mount_is_listed_within_the_guests_limits() {
        let temporary = tempfile::tempdir().unwrap();
        let source = temporary.path().join("source");
        std::fs::create_dir(&source).unwrap();
        // So many that the directory has shards.
        for n in 0..3000 {
            std::fs::write(source.join(format!("{n:0100}")), "text").unwrap();
        }
        let node = MockNode::new();
        let root = add(&node, &source, Profile::default());
        let cache = PinsetBuilder::new(Arc::new(node), 64 << 20)
            .lock_dir(temporary.path().join("lock"))
            .shared()
            .await
            .unwrap();
        let mut limits = Limits::default();
        limits.fetched_bytes = 50_000;
        limits.open_handles = 3;
        let guest = IpfsCtx::builder(cache, Access::none())
            .limits(limits)
            .mount("/data", IpfsPath::root(root));
        let guest = guest.build().await.unwrap();
        // The mount is the first handle.
        let dir = &guest.0.mounts[0].dir;
        let mut entries = dir.list(0).unwrap();
        let another = dir.list(0).unwrap();
        let error = guest.session().root().unwrap_err();
        assert!(matches!(
            error,
            pinset::Error::LimitReached {
                limit: Limit::OpenHandles,
                ..
            }
        ));
        drop(another);
        let error = loop {
            let next = poll_fn(|context| entries.as_mut().poll_next(context));
            match next.await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
                None => panic!("it was listed whole"),
            }
        };
        assert!(
            matches!(
                error,
                node::Error::Ipfs(pinset::Error::LimitReached {
                    limit: Limit::FetchedBytes,
                    ..
                })
            ),
            "{error}"
        );
    }

    #[test]
    fn names_are_absolute_and_plain() {
        for (given, shown) in [
            ("/data", "/data"),
            ("/", "/"),
            ("//a//b/", "/a/b"),
            ("/ipfsx", "/ipfsx"),
            ("/ipnsx", "/ipnsx"),
        ] {
            assert_eq!(guest_name(given).ok().as_deref(), Some(shown));
        }
        for wrong in [
            "", "data", "./data", "/a/../b", "/.", "/a\0b", "/ipfs", "/ipfs/", "//ipfs/x", "/ipns",
            "/ipns/a",
        ] {
            let error = guest_name(wrong).expect_err(wrong).to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
