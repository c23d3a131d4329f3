//! A host's own rules about roots: a callback that decides, and content that is withheld.
//!
//! Invariants (I10): nothing is looked up below a root before the callback has granted it, and no grant outlives its
//! answer. A callback that fails, panics or is late refuses. No lock is held while it runs.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    pin::Pin,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cid::{Cid, multihash::Multihash};
use pinset::{Access, RootCid, RootRequest, Roots, Rules};
use tokio::{task::JoinHandle, time::Instant};

/// The most grants that are remembered. Beyond, the callback is asked more often.
const MOST_GRANTS: usize = 1024;

/// A callback's answer about a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The root is refused: to the guest it does not exist.
    Refused,
    /// The root is granted to the call that led to it. Nodes that are opened below it stay open.
    Once,
    /// The root is granted to this guest's calls for so long, without being asked for again.
    For(Duration),
}

type Answer = Result<Grant, Box<dyn std::error::Error + Send + Sync>>;
type Callback = dyn Fn(RootRequest) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync;

/// Builds an [`Access`] out of roots, a callback, and content that is withheld. Make one for each guest, since it
/// remembers what the callback granted.
///
/// ```
/// # use cid::Cid;
/// use wasi_ipfs_fs::{AccessRules, Grant};
///
/// # fn access(taken_down: Vec<Cid>) -> pinset::Access {
/// AccessRules::asking(|request| async move {
///     println!("{} by {}", request.root, request.path);
///     Ok(Grant::Once)
/// })
/// .without(taken_down)
/// .into()
/// # }
/// ```
#[must_use]
pub struct AccessRules {
    roots: Roots,
    any: bool,
    callback: Option<Arc<Callback>>,
    withheld: HashSet<Multihash<64>>,
    granted: Arc<Mutex<HashMap<RootCid, Instant>>>,
}

impl AccessRules {
    /// Starts with an access of which content is withheld.
    pub fn of(access: &Access) -> Self {
        Self {
            roots: match access {
                Access::Roots(roots) => roots.clone(),
                _ => Roots::default(),
            },
            any: matches!(access, Access::Any),
            callback: None,
            withheld: HashSet::new(),
            granted: Arc::default(),
        }
    }

    /// Starts with a callback that decides about each root that the guest names.
    ///
    /// It is asked before anything of the root is looked up, in a task of its own, and has the time that a block has
    /// ([`PinsetBuilder::block_deadline`](pinset::PinsetBuilder::block_deadline)). A guest may ask as often as it likes.
    /// `/ipfs` lists nothing. An identity CID is never asked for: it holds its content itself, so a guest could name any.
    pub fn asking<F, A>(callback: F) -> Self
    where
        F: Fn(RootRequest) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        Self {
            callback: Some(Arc::new(move |request| Box::pin(callback(request)))),
            ..Self::of(&Access::none())
        }
    }

    /// Adds roots that are granted without a question. Identity CIDs are granted beside a callback only by this.
    pub fn roots(mut self, roots: impl IntoIterator<Item = impl Into<RootCid>>) -> Self {
        let all = self.roots.iter().copied();
        self.roots = all.chain(roots.into_iter().map(Into::into)).collect();
        self
    }

    /// Withholds the blocks of these CIDs, by their multihashes: as roots, and as files, directories and symlinks below
    /// granted roots. To the guest they do not exist, though listings show their names. The parts of a file, and the
    /// shards of a directory, are found with the whole: withhold that.
    pub fn without(mut self, cids: impl IntoIterator<Item = Cid>) -> Self {
        let hashes = cids.into_iter().map(|cid| *cid.hash());
        self.withheld.extend(hashes);
        self
    }
}

impl From<AccessRules> for Access {
    fn from(rules: AccessRules) -> Self {
        Self::Ruled(Arc::new(rules), Roots::default())
    }
}

impl Rules for AccessRules {
    fn listed(&self) -> &Roots {
        static NONE: LazyLock<Roots> = LazyLock::new(Roots::default);
        match self.callback {
            Some(_) => &NONE,
            None => &self.roots,
        }
    }

    fn allows(&self, root: &RootCid) -> Option<bool> {
        if self.denies(root) {
            return Some(false);
        }
        if self.any || self.roots.contains(root) {
            return Some(true);
        }
        if self.callback.is_none() || root.is_inline() {
            return Some(false);
        }
        let until = lock(&self.granted).get(&root.canonical()).copied();
        until
            .is_some_and(|until| Instant::now() < until)
            .then_some(true)
    }

    fn ask(&self, request: RootRequest) -> Pin<Box<dyn Future<Output = bool> + Send>> {
        let Some(callback) = self.callback.clone() else {
            return Box::pin(async { false });
        };
        let granted = self.granted.clone();
        Box::pin(async move {
            let root = request.root;
            // A panic ends the task alone.
            let asked = Asked(tokio::spawn(async move { callback(request).await }));
            match asked.answer(&root).await {
                Grant::Refused => false,
                Grant::Once => true,
                Grant::For(time) => {
                    remember(&mut lock(&granted), root, time);
                    true
                }
            }
        })
    }

    fn denies(&self, target: &RootCid) -> bool {
        let hash = target.cid().map(|cid| *cid.hash());
        hash.is_some_and(|hash| self.withheld.contains(&hash))
    }
}

impl fmt::Debug for AccessRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessRules")
            .field("roots", &self.roots)
            .field("any", &self.any)
            .field("callback", &self.callback.is_some())
            .field("withheld", &self.withheld.len())
            .finish_non_exhaustive()
    }
}

/// A question under way, which ends with the call that asked it.
struct Asked(JoinHandle<Answer>);

impl Asked {
    async fn answer(mut self, root: &RootCid) -> Grant {
        match (&mut self.0).await {
            Ok(Ok(grant)) => grant,
            Ok(Err(error)) => {
                tracing::debug!(%root, error = &*error as &dyn std::error::Error, "a root is refused");
                Grant::Refused
            }
            Err(error) => {
                tracing::debug!(%root, %error, "a root is refused");
                Grant::Refused
            }
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn remember(granted: &mut HashMap<RootCid, Instant>, root: RootCid, time: Duration) {
    let now = Instant::now();
    if granted.len() >= MOST_GRANTS {
        granted.retain(|_, until| now < *until);
    }
    if granted.len() >= MOST_GRANTS {
        granted.clear();
    }
    // A time beyond the clock's end is not remembered.
    if let Some(until) = now.checked_add(time) {
        granted.insert(root, until);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
