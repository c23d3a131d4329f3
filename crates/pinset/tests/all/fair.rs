//! Readers side by side: a reader that is not polled, or whose blocks never come, takes nothing from the others (I11).

use std::{pin::Pin, sync::Arc, time::Duration};

use cid::Cid;
use futures_util::{StreamExt, future::join_all, poll};
use pinner_api::PinnerError;
use pinner_car::Profile;
use pinner_mock::{Fault, Gate, MockNode, When};
use pinset::{Access, Advice, Budget, Error, File, Limits, Node, PinsetBuilder, Session};
use test_support::{
    balanced,
    content::{MIB, add_file, stream},
    staged::Place,
    until,
};

use crate::{
    host::Host,
    pinsets::{isolated, open, read, read_all},
};

/// The time for everything else on a busy machine: far less than the deadline for a block.
const PATIENCE: Duration = Duration::from_secs(60);

const HOUR: Duration = Duration::from_secs(3600);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(done) = tokio::time::timeout(PATIENCE, future).await else {
        panic!("{what}: it waits for somebody else");
    };
    done
}

type Reading<'a> = Pin<Box<dyn Future<Output = Result<bytes::Bytes, Error>> + Send + 'a>>;

/// Begins to read each file, and polls each read once.
async fn paused(files: &[File]) -> Vec<Reading<'_>> {
    let mut paused: Vec<Reading<'_>> = Vec::new();
    for file in files {
        let mut read: Reading<'_> = Box::pin(file.read_at(0, 10));
        assert!(poll!(read.as_mut()).is_pending());
        paused.push(read);
    }
    paused
}

/// Adds files of several leaves, so that opening one fetches no leaf.
fn add_files(node: &MockNode, count: usize, seed: usize) -> Vec<Cid> {
    let bytes = stream(3 * MIB);
    (0..count)
        .map(|n| {
            let from = 1 + seed * 1000 + n;
            add_file(node, &bytes[from..from + 2 * MIB + n], Profile::default())
        })
        .collect()
}

async fn open_file(session: &Session, cid: &Cid) -> File {
    match session.open(&(*cid).into()).await.unwrap() {
        Node::File(file) => file,
        other => panic!("{other:?}"),
    }
}

async fn open_files(session: &Session, cids: &[Cid]) -> Vec<File> {
    let mut files = Vec::new();
    for cid in cids {
        files.push(open_file(session, cid).await);
    }
    files
}

fn session(host: &Host, limits: Limits) -> Session {
    host.mode.session(Access::Any, limits)
}

fn few_fetches(fetches: usize) -> Limits {
    let mut limits = Limits::default();
    limits.fetches_in_flight = fetches;
    limits
}

#[tokio::test]
async fn a_reader_that_is_not_polled_holds_up_nobody_else() {
    let node = MockNode::new();
    let cids = add_files(&node, 40, 0);
    let good = add_file(&node, &stream(3 * MIB), Profile::default());
    let deadline = |pinset: PinsetBuilder| pinset.block_deadline(HOUR);
    let host = Host::with(&node, deadline, 256 << 20).await;
    let files = open_files(&session(&host, Limits::default()), &cids).await;
    node.script(
        When::any_block().first(40),
        Fault::Delay(Duration::from_millis(10)),
    );
    // They are alive, and never polled again.
    let paused = paused(&files).await;
    let path = format!("/ipfs/{good}");
    let read = host.read(&path);
    assert_eq!(soon("another read", read).await.len(), 3 * MIB);
    drop(paused);
}

#[tokio::test]
async fn isolated_guests_that_are_not_polled_hold_up_no_other_guest() {
    let node = MockNode::new();
    let budget = Budget::new(256 << 20);
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for guest in 0..3 {
        let mode = isolated(&node, &budget, dir.path()).await;
        let session = mode.session(Access::Any, Limits::default());
        let cids = add_files(&node, 32, guest);
        all.push(open_files(&session, &cids).await);
    }
    node.script(When::any_block(), Fault::Delay(Duration::from_millis(5)));
    let mut held = Vec::new();
    for files in &all {
        held.extend(paused(files).await);
    }
    let good = add_file(&node, &stream(3 * MIB), Profile::default());
    let mode = isolated(&node, &budget, dir.path()).await;
    assert!(soon("another guest", read(&mode, &good)).await.is_ok());
    drop(held);
}

#[tokio::test]
async fn one_reader_of_two_goes_on_where_memory_has_room_for_one_block() {
    let node = MockNode::new();
    let cids = add_files(&node, 2, 0);
    let one_block = |pinset: PinsetBuilder| pinset.in_flight_bytes(2 << 20).block_deadline(HOUR);
    let host = Host::with(&node, one_block, 64 << 20).await;
    let files = open_files(&session(&host, Limits::default()), &cids).await;
    node.script(When::any_block(), Fault::Delay(Duration::from_millis(5)));
    let mut reads = paused(&files).await;
    let (second, first) = (reads.pop().unwrap(), reads.pop().unwrap());
    // Only the first one is polled from here on, then it is read on.
    soon("the first", first).await.unwrap();
    soon("its next block", files[0].read_at(MIB as u64 + 5, 10))
        .await
        .unwrap();
    soon("the second", second).await.unwrap();
}

#[tokio::test]
async fn paused_content_streams_hold_up_nobody_else() {
    let node = MockNode::new();
    let cids = add_files(&node, 20, 0);
    let good = add_file(&node, &stream(3 * MIB), Profile::default());
    let host = Host::new(&node, 256 << 20).await;
    node.script(When::any_block(), Fault::Delay(Duration::from_millis(5)));
    let mut streams: Vec<_> = cids.iter().map(|cid| host.mode.fetch(cid)).collect();
    for stream in &mut streams {
        assert!(poll!(stream.next()).is_pending());
    }
    soon("another read", host.read(&format!("/ipfs/{good}"))).await;
    drop(streams);
}

#[tokio::test]
async fn a_sessions_own_paused_reads_leave_it_its_turns() {
    let node = MockNode::new();
    let cids = add_files(&node, 3, 0);
    let host = Host::new(&node, 64 << 20).await;
    let files = open_files(&session(&host, few_fetches(2)), &cids).await;
    node.script(When::any_block(), Fault::Delay(Duration::from_millis(5)));
    let paused = paused(&files[..2]).await;
    soon("the third", files[2].read_at(0, 10)).await.unwrap();
    drop(paused);
}

#[tokio::test]
async fn read_ahead_of_what_never_comes_leaves_turns_to_the_sessions_own_reads() {
    let node = MockNode::new();
    let cids = add_files(&node, 2, 0);
    let host = Host::with(&node, |it| it.block_deadline(HOUR), 64 << 20).await;
    let files = open_files(&session(&host, few_fetches(4)), &cids).await;
    let gate = Gate::new();
    node.script(When::any_block().first(2), Fault::HangUntil(gate.clone()));
    files[0].advise(0, 0, Advice::WillNeed);
    gate.reached(2).await;
    soon("a demand", read_all(&files[1])).await.unwrap();
}

#[tokio::test]
async fn sessions_whose_blocks_never_come_leave_turns_to_others() {
    let node = MockNode::new();
    let gate = Gate::new();
    let host = Host::with(&node, |it| it.block_deadline(HOUR), 256 << 20).await;
    let mut hostile = Vec::new();
    for guest in 0..4 {
        let cids = add_files(&node, 32, guest);
        hostile.push(open_files(&session(&host, Limits::default()), &cids).await);
    }
    let good = add_file(&node, &stream(3 * MIB), Profile::default());
    let good = open_file(&session(&host, Limits::default()), &good).await;
    node.script(When::any_block().first(64), Fault::HangUntil(gate.clone()));
    let mut held = Vec::new();
    for files in &hostile {
        held.extend(paused(files).await);
    }
    // They have all that they can have, and wait for more.
    gate.reached(20).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let waiting = gate.waiting();
    assert!((20..64).contains(&waiting), "{waiting}");
    // The rest of the faults is for those who are waiting now.
    node.clear_script();
    soon("a well-behaved session", read_all(&good))
        .await
        .unwrap();
    drop(held);
}

#[tokio::test]
async fn what_is_staged_is_read_while_the_backend_hangs_also_after_a_restart() {
    let node = MockNode::new();
    let dir = tempfile::tempdir().unwrap();
    let place = Place(dir.path().to_owned());
    let staged = add_files(&node, 2, 0);
    let absent = add_files(&node, 32, 1);
    let mode = open(&place, &node, 64 << 20).await;
    for cid in &staged {
        read(&mode, cid).await.unwrap();
    }
    mode.close().await.unwrap();
    let roots = open(&place, &node, 64 << 20).await;
    for cid in &absent {
        roots.open(&(*cid).into()).await.unwrap();
    }
    roots.close().await.unwrap();

    let writer = open(&place, &node, 64 << 20).await;
    let follower = open(&place, &node, 64 << 20).await;
    assert!(follower.stats().reads_along);
    node.script(When::any_block(), Fault::Hang);
    for mode in [writer, follower] {
        let waiting: Vec<_> = absent
            .iter()
            .map(|cid| {
                let (mode, cid) = (mode.clone(), *cid);
                tokio::spawn(async move { read(&mode, &cid).await })
            })
            .collect();
        for cid in &staged {
            soon("a staged file", read(&mode, cid)).await.unwrap();
        }
        for read in waiting {
            read.abort();
        }
    }
}

#[tokio::test]
async fn a_fetch_counts_once_for_a_session_however_many_wait_for_it() {
    let node = MockNode::new();
    let bytes = stream(MIB);
    let cid = add_file(&node, &bytes, Profile::default());
    let host = Host::new(&node, 64 << 20).await;
    let sessions = [(); 2].map(|()| session(&host, Limits::default()));
    node.script(When::any_block(), Fault::Delay(Duration::from_millis(20)));
    let reads = sessions.iter().flat_map(|session| {
        (0..16).map(move |_| async move { open_file(session, &cid).await.read_at(0, 10).await })
    });
    for read in join_all(reads).await {
        read.unwrap();
    }
    for session in &sessions {
        assert_eq!(session.fetched_bytes(), MIB as u64);
    }
    assert_eq!(node.stats().blocks, 1);
}

#[tokio::test]
async fn a_fetch_that_gets_no_turn_blames_no_backend() {
    let node = MockNode::new();
    let cids = add_files(&node, 3, 0);
    let one_block = |pinset: PinsetBuilder| {
        pinset
            .in_flight_bytes(2 << 20)
            .block_deadline(Duration::from_millis(300))
    };
    let host = Host::with(&node, one_block, 64 << 20).await;
    let files = open_files(&session(&host, Limits::default()), &cids).await;
    node.script(When::any_block(), Fault::Hang);
    let reads = join_all(files.iter().map(|file| file.read_at(0, 10))).await;
    let (mut busy, mut late) = (0, 0);
    for read in reads {
        match read.unwrap_err() {
            Error::Busy { waited, .. } => {
                assert!(waited >= Duration::from_millis(150));
                busy += 1;
            }
            Error::Fetch {
                source: PinnerError::TimedOut { .. },
                ..
            } => late += 1,
            other => panic!("{other}"),
        }
    }
    assert!(busy >= 1 && busy + late == 3, "{busy} and {late}");
    let stats = host.mode.stats();
    assert_eq!(stats.queue_timeouts, busy);
    assert_eq!(stats.fetch_failures, late);
    assert!(stats.queue_time >= Duration::from_millis(0));
}

#[tokio::test]
async fn a_handle_keeps_the_block_that_it_reads_where_staging_takes_none() {
    let node = MockNode::new();
    let bytes = stream(64 * MIB);
    let cids = [
        add_file(&node, &bytes[..32 * MIB], Profile::default()),
        add_file(&node, &bytes[32 * MIB..], Profile::default()),
    ];
    let dir = tempfile::tempdir().unwrap();
    let place = Place(dir.path().to_owned());
    let writer = open(&place, &node, 64 << 20).await;
    // The budget of the second one has no room for a leaf.
    let host = open(&place, &node, PinsetBuilder::MIN_BUDGET).await;
    drop(writer);
    let reads = cids.iter().map(|cid| read(&host, cid));
    let before = node.stats().blocks;
    for read in join_all(reads).await {
        assert_eq!(read.unwrap().len(), 32 * MIB);
    }
    let asked = node.stats().blocks - before;
    // 32 leaves and a root each.
    assert!(asked <= 2 * 33, "{asked}");
}

#[tokio::test]
async fn a_read_of_all_that_a_file_claims_takes_no_more_memory_than_it_has() {
    let node = MockNode::new();
    let leaf = node.put(0x55, b"ten bytes.".as_slice());
    let (cid, ..) = balanced::inner(&node, &[(leaf, 1 << 50, 1 << 50)]);
    let host = Host::new(&node, 64 << 20).await;
    let file = host.file(&format!("/ipfs/{cid}")).await;
    assert_eq!(file.len(), 1 << 50);
    let read = file.read_at(0, usize::MAX).await;
    assert!(matches!(read, Err(Error::Malformed { .. })), "{read:?}");
}

#[tokio::test]
async fn readiness_means_that_there_is_something_to_read() {
    let node = MockNode::new();
    // Leaves in dag-pb, which staging has no room for.
    let bytes = stream(3 * MIB);
    let cid = add_file(&node, &bytes, Profile::UnixfsV0_2015);
    let host = Host::new(&node, PinsetBuilder::MIN_BUDGET).await;
    let file = host.file(&format!("/ipfs/{cid}")).await;
    for at in (0..3 * MIB).step_by(100_000) {
        file.ready(at as u64).await.unwrap();
        let read = file.try_read_at(at as u64, 10).unwrap().unwrap();
        assert!(!read.is_empty() && bytes[at..].starts_with(&read));
    }
}

#[tokio::test]
async fn what_is_kept_for_a_session_is_bounded() {
    let node = MockNode::new();
    let cids = add_files(&node, 4, 0);
    let host = Host::new(&node, 64 << 20).await;
    let mut limits = Limits::default();
    limits.memory_bytes = 16 << 10;
    let files = open_files(&session(&host, limits), &cids).await;
    let mut kept = Vec::new();
    let refused = loop {
        match files[0].begin_read(0, 4096) {
            Ok(read) => kept.push(Box::pin(read)),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::LimitReached { .. }), "{refused}");
    assert!((2..=4).contains(&kept.len()), "{}", kept.len());
    kept.pop();
    let mut read = files[1].begin_read(0, 4096).unwrap().await.unwrap();
    assert_eq!(read.split_to(10).len(), 10);
    // Ordinary reads need none of it.
    assert_eq!(files[2].read_at(0, MIB).await.unwrap().len(), MIB);
}

#[tokio::test]
async fn a_pending_read_goes_on_by_itself_and_keeps_no_block() {
    let node = MockNode::new();
    let cids = add_files(&node, 8, 0);
    let host = Arc::new(Host::new(&node, 8 << 20).await);
    let files = open_files(&session(&host, Limits::default()), &cids).await;
    let mut reads = Vec::new();
    for file in &files {
        let mut read = Box::pin(file.begin_read(0, 4096).unwrap());
        assert!(poll!(read.as_mut()).is_pending());
        reads.push(read);
    }
    // Nobody polls them, and each has fetched its block in the end.
    until("the blocks", || node.stats().blocks == 16).await;
    until("their end", || host.mode.stats().bytes_reserved == 0).await;
    // All of staging can be replaced.
    let other = add_file(&node, &stream(20 * MIB), Profile::default());
    assert!(read(&host.mode, &other).await.is_ok());
    let evicted = host.mode.stats().evictions;
    assert!(evicted >= 16, "{evicted}");
    for read in reads {
        assert_eq!(read.await.unwrap().len(), 4096);
    }
}
