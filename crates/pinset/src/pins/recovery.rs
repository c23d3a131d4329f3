//! Lists the pins on a backend by holder, and releases those that dead holders left: at each start for its own lock
//! directory, and by hand ([`survey`], [`reap`], [`release`]).
//!
//! Invariant (I5): only the lock directory that a holder names can prove the holder's death. Without that proof nothing
//! is released, except with [`Proof::Waived`], which is a person's word; and the pins of a holder that is seen to live
//! are not released even then. While a holder's pins are being released, its lock is held, so that two recoverers never
//! work on the same holder. The lock file is removed last, so that a release that was interrupted is found again.
//!
//! The dead are found first, and the pins are listed after that: a holder makes none once it is dead, so the listing is
//! complete for all of them. Then one holder after the other is locked and released. One that fails keeps nothing from
//! the others.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use pinner_api::{Cid, Holder, Pin, Pinner, PinnerError};

use super::keeper::change_deadline;
use crate::lock_dir::{DeadHolder, Evidence, LockDir, LockDirError};

/// How many releases run at once. After as many deadlines one after the other, the backend is taken to hang.
const RELEASES: usize = 8;

/// How long the lock of a dead holder stays as the proof of its death, although this backend has no pin of the holder.
///
/// The holder may have pins on another backend, which a lock does not name. They can be released at a start only as
/// long as the lock is there, so the lock stays for longer than a second backend is usually out of use. After that,
/// they are listed as [`Standing::Lost`], and a person can release them. Without an end, each process that was killed
/// between its mark and its first pin would make all later starts slower.
const PROOF_STAYS: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The standing of a holder, as a lock directory shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// The holder lives in this lock directory; or it died, and another process is releasing its pins now.
    Alive,
    /// The holder lived in this lock directory, and is proven dead: its lock is free.
    Dead,
    /// The holder names this lock directory, but has no lock file here: somebody removed the file. Neither its life nor
    /// its death can be shown.
    Lost,
    /// The holder lives in another lock directory: of another user, container, or host. Nothing can be shown from here.
    Elsewhere,
}

/// A pin on the backend, and the standing of its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surveyed {
    /// The pin.
    pub pin: Pin,
    /// Its holder's standing.
    pub standing: Standing,
}

/// How much was released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// The number of holders that had pins here and have none now.
    pub holders: u64,
    /// The number of `(holder, root)` pairs that were released.
    pub pins: u64,
}

/// Whether a release needs a proof of the holder's death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The lock directory must prove the death.
    Required,
    /// A person knows that the holder is dead, although no lock directory in reach can prove it.
    Waived,
}

/// Why pins could not be listed or released.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// The backend failed to list all its pins. Nothing was released.
    #[error("the backend's pins could not be listed")]
    List {
        /// The backend's error.
        source: PinnerError,
    },
    /// The backend did not release a pin, the first of perhaps several. The next start or the next call finds the pins
    /// that are left.
    #[error("the pin of {holder} on {root} could not be released; {} others were", released.pins)]
    Release {
        /// The pin's holder.
        holder: Holder,
        /// The pin's root.
        root: Cid,
        /// How much was released, before and after.
        released: Reaped,
        /// The backend's error.
        source: PinnerError,
    },
    /// The lock directory cannot be used.
    #[error(transparent)]
    LockDir(#[from] LockDirError),
    /// The holder lives: only the holder itself releases its pins.
    #[error("the holder {holder} is alive: its process releases its pins when it ends")]
    Alive {
        /// The holder.
        holder: Holder,
    },
    /// Nothing proves the holder's death.
    #[error("nothing here proves that the holder {holder} is dead ({})", why(*standing))]
    NotProven {
        /// The holder.
        holder: Holder,
        /// The holder's standing.
        standing: Standing,
    },
}

fn why(standing: Standing) -> &'static str {
    match standing {
        Standing::Elsewhere => "it lives in another lock directory",
        Standing::Lost => "its lock file is gone",
        Standing::Alive | Standing::Dead => "its lock was taken meanwhile",
    }
}

/// Returns every pin on the backend that this library made, sorted by holder and root, with the standing of its holder
/// according to `lock_dir`.
///
/// Changes nothing. A start that recovers while this looks at a dead holder may leave that holder to the next start.
///
/// # Errors
/// [`RecoveryError::List`], also if the backend cannot keep pins; [`RecoveryError::LockDir`].
pub async fn survey(
    pinner: &dyn Pinner,
    lock_dir: &LockDir,
) -> Result<Vec<Surveyed>, RecoveryError> {
    let mut pins = list(pinner, None, |_| true).await?;
    pins.sort_unstable();
    let mut standings = HashMap::new();
    for pin in &pins {
        if let Entry::Vacant(unknown) = standings.entry(pin.holder) {
            unknown.insert(match examine(lock_dir, &pin.holder)? {
                Examined::Dead(_let_go) => Standing::Dead,
                Examined::Otherwise(standing) => standing,
            });
        }
    }
    let standing = |holder: &Holder| standings.get(holder).copied().unwrap_or(Standing::Lost);
    if standings.values().any(|it| *it == Standing::Lost) {
        // A holder that ended in order after the first look no longer has pins or a lock.
        let lost = |pin: &Pin| standing(&pin.holder) == Standing::Lost;
        let still: HashSet<_> = list(pinner, None, lost).await?.into_iter().collect();
        pins.retain(|pin| !lost(pin) || still.contains(pin));
    }
    let surveyed = pins.into_iter().map(|pin| Surveyed {
        standing: standing(&pin.holder),
        pin,
    });
    Ok(surveyed.collect())
}

/// Releases the pins that proven dead holders of `lock_dir` left on the backend, as each start does, and sweeps their
/// staging.
///
/// # Errors
/// [`RecoveryError::List`], [`RecoveryError::Release`], [`RecoveryError::LockDir`].
pub async fn reap(pinner: &dyn Pinner, lock_dir: &LockDir) -> Result<Reaped, RecoveryError> {
    release_of(pinner, lock_dir, lock_dir.dead()?, None).await
}

/// Releases all pins of one holder on the backend. With [`Proof::Waived`] the holder may be of another lock directory,
/// or its lock file may be gone. The pins of a holder that is seen to live are never released.
///
/// # Errors
/// As [`reap`]; [`RecoveryError::Alive`], [`RecoveryError::NotProven`].
pub async fn release(
    pinner: &dyn Pinner,
    lock_dir: &LockDir,
    holder: &Holder,
    proof: Proof,
) -> Result<Reaped, RecoveryError> {
    let holder = *holder;
    let mut release = Release::new(pinner, None);
    match (examine(lock_dir, &holder)?, proof) {
        (Examined::Dead(dead), _) => {
            let pins = list(pinner, None, |pin| pin.holder == holder).await?;
            release.holder(dead, holder, pins).await;
            release.end()
        }
        (Examined::Otherwise(Standing::Alive), _) => Err(RecoveryError::Alive { holder }),
        (Examined::Otherwise(_), Proof::Waived) => {
            let pins = list(pinner, None, |pin| pin.holder == holder).await?;
            release.all(holder, pins).await;
            release.end()
        }
        (Examined::Otherwise(standing), Proof::Required) => {
            Err(RecoveryError::NotProven { holder, standing })
        }
    }
}

/// Sweeps at once, and releases pins in a task of its own. The next start finds what a failure left.
pub(crate) fn start(pinner: &Arc<dyn Pinner>, lock_dir: &LockDir, block_deadline: Duration) {
    let dead = match lock_dir.dead() {
        Ok(dead) => dead,
        Err(error) => {
            tracing::warn!(%error, "the leftovers of dead processes were not swept");
            return;
        }
    };
    if dead.is_empty() || !pinner.capabilities().any_pins() {
        // Their pins are on another backend, so their locks stay for a pinset that can release them.
        return;
    }
    let (pinner, lock_dir) = (pinner.clone(), lock_dir.clone());
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move {
            let deadline = Some(change_deadline(block_deadline));
            match release_of(&*pinner, &lock_dir, dead, deadline).await {
                Ok(Reaped { holders: 0, .. }) => {}
                Ok(Reaped { holders, pins }) => {
                    tracing::info!(holders, pins, "pins of dead processes were released");
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "pins of dead processes were not released");
                }
            }
        });
    }
}

/// The standing of a holder; for a dead one with its lock.
enum Examined {
    Dead(DeadHolder),
    Otherwise(Standing),
}

fn examine(lock_dir: &LockDir, holder: &Holder) -> Result<Examined, LockDirError> {
    if holder.lock_dir() != lock_dir.id() {
        return Ok(Examined::Otherwise(Standing::Elsewhere));
    }
    Ok(match lock_dir.evidence(name(holder))? {
        Evidence::Dead(dead) => Examined::Dead(dead),
        Evidence::Alive => Examined::Otherwise(Standing::Alive),
        Evidence::None => Examined::Otherwise(Standing::Lost),
    })
}

/// The part of a holder that distinguishes it from the others in its lock directory.
fn name(holder: &Holder) -> [u8; 16] {
    let mut name = [0; 16];
    name.copy_from_slice(&holder.as_bytes()[8..]);
    name
}

/// Lists the pins that are wanted. With a deadline, each pin of the listing has to come within it.
async fn list(
    pinner: &dyn Pinner,
    deadline: Option<Duration>,
    wanted: impl Fn(&Pin) -> bool,
) -> Result<Vec<Pin>, RecoveryError> {
    let mut pins = pinner.pins();
    let mut found = Vec::new();
    while let Some(pin) = within(deadline, "list pins", pins.next())
        .await
        .unwrap_or_else(|late| Some(Err(late)))
    {
        let pin = pin.map_err(|source| RecoveryError::List { source })?;
        if wanted(&pin) {
            found.push(pin);
        }
    }
    Ok(found)
}

/// Waits for an answer, until the deadline if there is one.
async fn within<T>(
    deadline: Option<Duration>,
    operation: &str,
    answer: impl Future<Output = T>,
) -> Result<T, PinnerError> {
    let Some(deadline) = deadline else {
        return Ok(answer.await);
    };
    let answer = tokio::time::timeout(deadline, answer).await;
    answer.map_err(|_| PinnerError::TimedOut {
        operation: operation.to_owned(),
        after: deadline,
    })
}

/// Releases the pins of these holders on the backend, one holder after the other.
async fn release_of(
    pinner: &dyn Pinner,
    lock_dir: &LockDir,
    dead: Vec<[u8; 16]>,
    deadline: Option<Duration>,
) -> Result<Reaped, RecoveryError> {
    let mut pins: HashMap<Holder, Vec<Pin>> = dead
        .into_iter()
        .map(|name| (Holder::new(lock_dir.id(), name), Vec::new()))
        .collect();
    if pins.is_empty() {
        return Ok(Reaped::default());
    }
    for pin in list(pinner, deadline, |pin| pins.contains_key(&pin.holder)).await? {
        pins.entry(pin.holder).or_default().push(pin);
    }
    let mut release = Release::new(pinner, deadline);
    for (holder, pins) in pins {
        match lock_dir.evidence(name(&holder)) {
            Ok(Evidence::Dead(dead)) => release.holder(dead, holder, pins).await,
            // Another process has found it too.
            Ok(Evidence::Alive | Evidence::None) => {}
            Err(error) => release.fail(error.into()),
        }
        if release.hangs() {
            break;
        }
    }
    release.end()
}

/// The release of what one or several holders left. It goes on past a failure.
struct Release<'a> {
    pinner: &'a dyn Pinner,
    /// The deadline of each release.
    deadline: Option<Duration>,
    released: Reaped,
    failed: Option<RecoveryError>,
    /// The number of releases since the last success that missed their deadline.
    late: usize,
}

impl<'a> Release<'a> {
    fn new(pinner: &'a dyn Pinner, deadline: Option<Duration>) -> Self {
        Self {
            pinner,
            deadline,
            released: Reaped::default(),
            failed: None,
            late: 0,
        }
    }

    /// Releases the pins of a dead holder, and then removes its lock.
    async fn holder(&mut self, dead: DeadHolder, holder: Holder, pins: Vec<Pin>) {
        if pins.is_empty() && dead.unchanged_for() < PROOF_STAYS {
            // It may have pins on another backend, so its lock stays as the proof for whoever finds them.
            return;
        }
        if self.all(holder, pins).await
            && let Err(error) = dead.finish()
        {
            tracing::warn!(%error, "a dead process's lock stays");
        }
    }

    /// Releases these pins of one holder. Returns whether none is left.
    async fn all(&mut self, holder: Holder, pins: Vec<Pin>) -> bool {
        // A root may be listed at each depth. One release removes it at both.
        let mut roots: Vec<_> = pins.iter().map(|pin| pin.root).collect();
        roots.sort_unstable();
        roots.dedup();
        let (count, before) = (roots.len() as u64, self.released.pins);
        let (pinner, deadline) = (self.pinner, self.deadline);
        let mut done = stream::iter(roots)
            .map(|root| async move {
                let unpinned = within(deadline, "unpin", pinner.unpin(&holder, &root)).await;
                (root, unpinned.and_then(|unpinned| unpinned))
            })
            .buffer_unordered(RELEASES);
        while let Some((root, unpinned)) = done.next().await {
            match unpinned {
                Ok(()) => {
                    self.released.pins += 1;
                    self.late = 0;
                }
                Err(source) => {
                    if let PinnerError::TimedOut { .. } = source {
                        self.late += 1;
                    }
                    self.fail(RecoveryError::Release {
                        holder,
                        root,
                        released: Reaped::default(),
                        source,
                    });
                    if self.hangs() {
                        break;
                    }
                }
            }
        }
        let all = self.released.pins - before == count;
        if all && count > 0 {
            self.released.holders += 1;
        }
        all
    }

    /// Notes a failure. The first is the one that is reported.
    fn fail(&mut self, error: RecoveryError) {
        tracing::debug!(%error, "a release failed");
        self.failed.get_or_insert(error);
    }

    /// Returns whether the backend does not answer, so that each of the other releases would take as long.
    fn hangs(&self) -> bool {
        self.late >= RELEASES
    }

    fn end(self) -> Result<Reaped, RecoveryError> {
        let all = self.released;
        match self.failed {
            None => Ok(all),
            Some(RecoveryError::Release {
                holder,
                root,
                source,
                ..
            }) => Err(RecoveryError::Release {
                holder,
                root,
                released: all,
                source,
            }),
            Some(error) => Err(error),
        }
    }
}
