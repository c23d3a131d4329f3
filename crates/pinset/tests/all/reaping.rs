//! A start, `reap` and `release` take from a backend the pins that the proven dead of their own lock directory left,
//! and nothing else (I5).

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use cid::Cid;
use pinner_api::{Capabilities, Holder, Pin, PinDepth, Pinner, PinnerError};
use pinner_mock::{Fault, Gate, MockNode, When};
use pinset::{
    CacheMode, PinsetBuilder,
    lock_dir::{Evidence, HeldLock, LockDir},
    recovery::{Proof, Reaped, RecoveryError, Standing, reap, release, survey},
};
use test_support::until;

/// Two lock directories, as on two hosts that share one node.
struct Hosts {
    _folder: tempfile::TempDir,
    here: LockDir,
    there: LockDir,
    node: MockNode,
}

impl Hosts {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let open = |name| LockDir::open(&folder.path().join(name)).unwrap();
        Self {
            here: open("here"),
            there: open("there"),
            node: MockNode::new(),
            _folder: folder,
        }
    }

    /// Starts a pinset on the lock directory here. It recovers pins in a task of its own.
    async fn start(&self) -> CacheMode {
        let pinset =
            PinsetBuilder::new(Arc::new(self.node.clone()), 8 << 20).lock_dir(self.here.path());
        pinset.shared().await.unwrap()
    }

    fn root(&self, content: &str) -> Cid {
        self.node.put(0x55, content.to_owned())
    }

    async fn pin(&self, holder: &Holder, root: Cid, depth: PinDepth) -> Pin {
        self.node.pin(holder, &root, depth).await.unwrap();
        let holder = *holder;
        Pin::new(holder, root, depth)
    }
}

/// Creates a holder whose process lives as long as the lock is kept.
fn alive(dir: &LockDir) -> (Holder, HeldLock) {
    let held = dir.hold().unwrap();
    held.pins_may_remain().unwrap();
    (Holder::new(dir.id(), held.name()), held)
}

/// Creates a holder whose process ended without releasing anything.
fn dead(dir: &LockDir) -> Holder {
    let (holder, held) = alive(dir);
    drop(held);
    assert!(lock_of(dir, &holder).exists());
    holder
}

fn lock_of(dir: &LockDir, holder: &Holder) -> PathBuf {
    dir.path()
        .join(format!("{}.lock", &holder.to_string()[16..]))
}

/// Four holders, one of each standing, with a pin each; and a foreign pin on the same content.
struct Four {
    alive: Pin,
    dead: Pin,
    lost: Pin,
    elsewhere: Pin,
    _held: HeldLock,
}

async fn four(hosts: &Hosts) -> Four {
    let root = hosts.root("shared");
    hosts.node.foreign_pin(&root).unwrap();
    let (living, held) = alive(&hosts.here);
    let lost = dead(&hosts.here);
    fs::remove_file(lock_of(&hosts.here, &lost)).unwrap();
    Four {
        alive: hosts.pin(&living, root, PinDepth::Lazy).await,
        dead: hosts
            .pin(&dead(&hosts.here), root, PinDepth::Recursive)
            .await,
        lost: hosts.pin(&lost, root, PinDepth::Lazy).await,
        elsewhere: hosts.pin(&dead(&hosts.there), root, PinDepth::Lazy).await,
        _held: held,
    }
}

fn sorted(mut pins: Vec<Pin>) -> Vec<Pin> {
    pins.sort_unstable();
    pins
}

#[tokio::test]
async fn a_survey_tells_the_standing_of_each_holder_and_changes_nothing() {
    let hosts = Hosts::new();
    let four = four(&hosts).await;
    for _ in 0..2 {
        let surveyed = survey(&hosts.node, &hosts.here).await.unwrap();
        let standing = |pin: Pin| {
            let found = surveyed.iter().find(|it| it.pin == pin);
            found.map(|it| it.standing)
        };
        assert_eq!(surveyed.len(), 4);
        assert_eq!(standing(four.alive), Some(Standing::Alive));
        assert_eq!(standing(four.dead), Some(Standing::Dead));
        assert_eq!(standing(four.lost), Some(Standing::Lost));
        assert_eq!(standing(four.elsewhere), Some(Standing::Elsewhere));
    }
    assert_eq!(hosts.node.pinned().len(), 4);
    assert_eq!(hosts.node.stats().unpins, 0);
    // A holder is examined once, however many pins it has.
    let more = hosts.root("more");
    let second = hosts.pin(&four.dead.holder, more, PinDepth::Lazy).await;
    let surveyed = survey(&hosts.node, &hosts.here).await.unwrap();
    let of_dead = surveyed.iter().filter(|it| it.pin.holder == second.holder);
    let standings: Vec<_> = of_dead.map(|it| it.standing).collect();
    assert_eq!(standings, [Standing::Dead; 2]);
    // The other host knows its own holders.
    let surveyed = survey(&hosts.node, &hosts.there).await.unwrap();
    let dead = surveyed
        .iter()
        .filter(|it| it.standing == Standing::Dead)
        .map(|it| it.pin);
    assert_eq!(dead.collect::<Vec<_>>(), [four.elsewhere]);
}

#[tokio::test]
async fn a_start_releases_what_the_dead_of_its_own_directory_left_and_nothing_else() {
    let hosts = Hosts::new();
    let four = four(&hosts).await;
    let started = hosts.start().await;
    until("the release", || hosts.node.stats().unpins == 1).await;
    until("the end of the lock", || {
        !lock_of(&hosts.here, &four.dead.holder).exists()
    })
    .await;
    let left = sorted(vec![four.alive, four.lost, four.elsewhere]);
    assert_eq!(sorted(hosts.node.pinned()), left);
    assert_eq!(hosts.node.foreign_pins(), [four.dead.root]);
    started.close().await.unwrap();
    assert_eq!(sorted(hosts.node.pinned()), left);
    assert!(lock_of(&hosts.here, &four.alive.holder).exists());
    assert!(lock_of(&hosts.there, &four.elsewhere.holder).exists());
}

#[tokio::test]
async fn a_reaping_by_hand_does_as_a_start_and_says_what_it_did() {
    let hosts = Hosts::new();
    let four = four(&hosts).await;
    let (holders, pins) = (1, 1);
    let reaped = reap(&hosts.node, &hosts.here).await.unwrap();
    assert_eq!(reaped, Reaped { holders, pins });
    let left = sorted(vec![four.alive, four.lost, four.elsewhere]);
    assert_eq!(sorted(hosts.node.pinned()), left);
    let again = reap(&hosts.node, &hosts.here).await.unwrap();
    assert_eq!(again, Reaped::default());
    assert_eq!(hosts.node.foreign_pins(), [four.dead.root]);
}

#[tokio::test]
async fn a_release_by_hand_needs_a_proof_or_a_persons_word_and_never_touches_the_living() {
    let hosts = Hosts::new();
    let four = four(&hosts).await;
    let by_hand =
        async |pin: Pin, proof| release(&hosts.node, &hosts.here, &pin.holder, proof).await;
    let one = Reaped {
        holders: 1,
        pins: 1,
    };
    for proof in [Proof::Required, Proof::Waived] {
        let refused = by_hand(four.alive, proof).await;
        assert!(
            matches!(refused, Err(RecoveryError::Alive { holder }) if holder == four.alive.holder)
        );
    }
    for (pin, known) in [
        (four.lost, Standing::Lost),
        (four.elsewhere, Standing::Elsewhere),
    ] {
        let refused = by_hand(pin, Proof::Required).await;
        let because = match known {
            Standing::Lost => "its lock file is gone",
            _ => "another lock directory",
        };
        let text = refused.as_ref().unwrap_err().to_string();
        assert!(text.contains(because), "{text}");
        assert!(matches!(
            refused,
            Err(RecoveryError::NotProven { holder, standing })
                if holder == pin.holder && standing == known
        ));
        assert!(hosts.node.pinned().contains(&pin), "{known:?}");
        assert_eq!(by_hand(pin, Proof::Waived).await.unwrap(), one);
        assert!(!hosts.node.pinned().contains(&pin), "{known:?}");
        // No pin is left.
        assert_eq!(
            by_hand(pin, Proof::Waived).await.unwrap(),
            Reaped::default()
        );
    }
    // The lock in another directory stays.
    assert!(lock_of(&hosts.there, &four.elsewhere.holder).exists());
    assert_eq!(by_hand(four.dead, Proof::Required).await.unwrap(), one);
    assert!(!lock_of(&hosts.here, &four.dead.holder).exists());
    assert_eq!(hosts.node.pinned(), [four.alive]);
}

#[tokio::test]
async fn thousands_of_pins_are_released_from_one_listing() {
    const PINS: u64 = 5000;
    let hosts = Hosts::new();
    let holder = dead(&hosts.here);
    let (living, _held) = alive(&hosts.here);
    for n in 0..PINS {
        let root = hosts.root(&n.to_string());
        hosts.pin(&holder, root, PinDepth::Lazy).await;
        // Every second root is pinned at both depths, which takes one release.
        if n % 2 == 0 {
            hosts.pin(&holder, root, PinDepth::Recursive).await;
        }
        if n % 10 == 0 {
            hosts.pin(&living, root, PinDepth::Lazy).await;
        }
    }
    hosts.node.clear_log();
    let reaped = reap(&hosts.node, &hosts.here).await.unwrap();
    let (holders, pins) = (1, PINS);
    assert_eq!(reaped, Reaped { holders, pins });
    assert_eq!(hosts.node.pinned().len() as u64, PINS / 10);
    let stats = hosts.node.stats();
    assert_eq!((stats.listings, stats.unpins), (1, PINS));
    assert!(!lock_of(&hosts.here, &holder).exists());
}

fn unavailable() -> Fault {
    Fault::Error(PinnerError::Unavailable {
        operation: "unpin".into(),
        source: None,
    })
}

#[tokio::test]
async fn a_backend_that_fails_half_way_leaves_the_lock_for_the_next_time() {
    let hosts = Hosts::new();
    let holder = dead(&hosts.here);
    for n in 0..20 {
        hosts
            .pin(&holder, hosts.root(&n.to_string()), PinDepth::Lazy)
            .await;
    }
    hosts
        .node
        .script(When::any_unpin().from_nth(10), unavailable());
    let error = reap(&hosts.node, &hosts.here).await.unwrap_err();
    let RecoveryError::Release { released, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(released.pins >= 1 && released.pins < 20, "{released:?}");
    assert!(error.to_string().contains(&holder.to_string()), "{error}");
    assert!(lock_of(&hosts.here, &holder).exists(), "the proof is gone");
    let left = hosts.node.pinned().len();
    assert!(left > 0 && left < 20, "{left}");

    // A listing that fails proves nothing, so nothing is released.
    hosts.node.clear_script();
    let lost = Fault::Error(PinnerError::Unavailable {
        operation: "pins".into(),
        source: None,
    });
    hosts.node.script(When::pins().first(1), lost);
    let error = reap(&hosts.node, &hosts.here).await.unwrap_err();
    assert!(matches!(error, RecoveryError::List { .. }), "{error:?}");
    assert_eq!(hosts.node.pinned().len(), left);
    assert!(lock_of(&hosts.here, &holder).exists(), "the proof is gone");

    let _started = hosts.start().await;
    until("the rest", || hosts.node.pinned().is_empty()).await;
    until("the end of the lock", || {
        !lock_of(&hosts.here, &holder).exists()
    })
    .await;
}

#[tokio::test]
async fn a_holder_that_cannot_be_released_keeps_nothing_from_the_others() {
    let hosts = Hosts::new();
    let stuck = hosts.root("stuck");
    let mut holders = Vec::new();
    for n in 0..9 {
        let holder = dead(&hosts.here);
        // Each third has the pin that cannot be released, and another one.
        if n % 3 == 0 {
            hosts.pin(&holder, stuck, PinDepth::Lazy).await;
        }
        let own = hosts.root(&n.to_string());
        hosts.pin(&holder, own, PinDepth::Lazy).await;
        holders.push(holder);
    }
    hosts.node.script(When::unpin(&stuck), unavailable());
    let error = reap(&hosts.node, &hosts.here).await.unwrap_err();
    let RecoveryError::Release { released, root, .. } = &error else {
        panic!("{error:?}");
    };
    let (holders_done, pins) = (6, 9);
    assert_eq!(*root, stuck);
    assert_eq!(
        *released,
        Reaped {
            holders: holders_done,
            pins
        }
    );
    assert!(hosts.node.pinned().iter().all(|pin| pin.root == stuck));
    for (n, holder) in holders.iter().enumerate() {
        assert_eq!(lock_of(&hosts.here, holder).exists(), n % 3 == 0);
    }
    hosts.node.clear_script();
    let rest = reap(&hosts.node, &hosts.here).await.unwrap();
    let (holders, pins) = (3, 3);
    assert_eq!(rest, Reaped { holders, pins });
}

#[tokio::test]
async fn a_backend_that_hangs_ends_the_recovery_of_a_start_but_not_of_all_holders() {
    let hosts = Hosts::new();
    let (hanging, others) = (dead(&hosts.here), [dead(&hosts.here), dead(&hosts.here)]);
    let root = hosts.root("hangs");
    hosts.pin(&hanging, root, PinDepth::Lazy).await;
    for holder in &others {
        hosts.pin(holder, hosts.root("ends"), PinDepth::Lazy).await;
    }
    let start = async || {
        let pinset = PinsetBuilder::new(Arc::new(hosts.node.clone()), 8 << 20)
            .block_deadline(Duration::from_millis(20))
            .lock_dir(hosts.here.path());
        pinset.shared().await.unwrap()
    };
    // A listing that hangs proves nothing.
    hosts.node.script(When::pins(), Fault::Hang);
    let first = start().await;
    until("the listing", || hosts.node.stats().listings == 1).await;
    until("its end", || hosts.node.stats().in_flight == 0).await;
    assert_eq!(hosts.node.pinned().len(), 3);
    first.close().await.unwrap();
    hosts.node.clear_script();
    hosts.node.script(When::unpin(&root), Fault::Hang);
    let _second = start().await;
    until("the others", || hosts.node.pinned().len() == 1).await;
    let gone = || others.iter().all(|it| !lock_of(&hosts.here, it).exists());
    until("the others' locks", gone).await;
    // The lock of the one that hangs is free again after the deadline.
    hosts.node.clear_script();
    until("the deadline", || {
        hosts.here.dead().is_ok_and(|dead| dead.len() == 1)
    })
    .await;
    assert!(lock_of(&hosts.here, &hanging).exists());
}

#[tokio::test]
async fn a_recovery_of_hundreds_holds_few_descriptors() {
    let hosts = Hosts::new();
    for n in 0..300 {
        let holder = dead(&hosts.here);
        let root = hosts.root(&n.to_string());
        hosts.pin(&holder, root, PinDepth::Lazy).await;
    }
    let locks_open = || {
        let open = fs::read_dir("/proc/self/fd").unwrap();
        let path = |entry: std::io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok();
        open.filter_map(path)
            .filter(|path| path.starts_with(hosts.here.path()))
            .filter(|path| path.extension().is_some_and(|it| it == "lock"))
            .count()
    };
    let gate = Gate::new();
    hosts
        .node
        .script(When::any_unpin(), Fault::HangUntil(gate.clone()));
    let started = hosts.start().await;
    gate.reached(1).await;
    // One is its own.
    let open = locks_open();
    gate.open();
    assert!((2..=17).contains(&open), "{open}");
    until("the release", || hosts.node.pinned().is_empty()).await;
    started.close().await.unwrap();
}

/// A holder that was killed before its first pin left a mark for which there is no pin. The proof stays for another
/// backend, and not for ever.
#[tokio::test]
async fn a_mark_without_pins_ends_after_a_month() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let hosts = Hosts::new();
    let holder = dead(&hosts.here);
    let aged = |age| {
        let lock = lock_of(&hosts.here, &holder);
        let lock = fs::File::options().write(true).open(lock).unwrap();
        lock.set_modified(SystemTime::now() - age).unwrap();
    };
    let none = Reaped::default();
    for age in [0, 29] {
        aged(age * DAY);
        assert_eq!(reap(&hosts.node, &hosts.here).await.unwrap(), none);
        assert!(lock_of(&hosts.here, &holder).exists(), "{age} days");
    }
    // As long as there are pins, the proof stays, however old it is.
    let pin = hosts
        .pin(&holder, hosts.root("content"), PinDepth::Lazy)
        .await;
    hosts.node.script(When::any_unpin(), unavailable());
    aged(31 * DAY);
    reap(&hosts.node, &hosts.here).await.unwrap_err();
    assert!(lock_of(&hosts.here, &holder).exists());
    hosts.node.clear_script();
    hosts.node.unpin(&holder, &pin.root).await.unwrap();
    assert_eq!(reap(&hosts.node, &hosts.here).await.unwrap(), none);
    assert!(!lock_of(&hosts.here, &holder).exists());
}

#[tokio::test]
async fn one_that_is_being_recovered_is_left_to_its_recoverer() {
    let hosts = Hosts::new();
    let holder = dead(&hosts.here);
    let pin = hosts
        .pin(&holder, hosts.root("content"), PinDepth::Lazy)
        .await;
    let mut name = [0; 16];
    name.copy_from_slice(&holder.as_bytes()[8..]);
    let Evidence::Dead(recovering) = hosts.here.evidence(name).unwrap() else {
        panic!("it lives");
    };
    let surveyed = survey(&hosts.node, &hosts.here).await.unwrap();
    assert_eq!(surveyed[0].standing, Standing::Alive);
    let reaped = reap(&hosts.node, &hosts.here).await.unwrap();
    assert_eq!(reaped, Reaped::default());
    let refused = release(&hosts.node, &hosts.here, &holder, Proof::Waived).await;
    assert!(matches!(refused, Err(RecoveryError::Alive { .. })));
    assert_eq!(hosts.node.pinned(), [pin]);
    drop(recovering);
    let mut pins = 0;
    // A child that another test forks at this moment holds the lock until it runs its program.
    for _ in 0..1000 {
        pins += reap(&hosts.node, &hosts.here).await.unwrap().pins;
        if pins > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(pins, 1);
}

#[tokio::test]
async fn a_backend_without_pins_says_so() {
    let hosts = Hosts::new();
    let plain = MockNode::builder()
        .capabilities(Capabilities::blocks_only())
        .build();
    let _dead = dead(&hosts.here);
    for error in [
        survey(&plain, &hosts.here).await.unwrap_err(),
        reap(&plain, &hosts.here).await.unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                RecoveryError::List {
                    source: PinnerError::Unsupported { .. }
                }
            ),
            "{error:?}"
        );
    }
}
