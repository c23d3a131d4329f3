//! Pins are counted: by process and by holder, beside the owner's pins, on a real node with a real collection.

mod process;

use std::{path::Path, sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use kubo_daemon::{Daemon, PinKind, kubo_or_not_run};
use pinner_api::{BlockRequest, Cid, Pin, PinDepth, Pinner, PinnerError};
use pinner_conformance::{Block, Dag};
use pinner_kubo::KuboPinner;
use process::HolderProcess;
use test_support::turns::turn;

use crate::{holder, put};

const DEPTHS: [PinDepth; 2] = [PinDepth::Recursive, PinDepth::Lazy];

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn connect(repo: &Path) -> KuboPinner {
    KuboPinner::builder()
        .repo(repo)
        .block_deadline(Duration::from_secs(20))
        .pin_stall_deadline(Duration::from_secs(2))
        .connect()
        .await
        .expect("a node")
}

async fn reads_all(pinner: &KuboPinner, blocks: &[Block]) {
    for block in blocks {
        let got = pinner.block(&BlockRequest::new(block.cid)).await;
        assert_eq!(
            got.expect("it is there").bytes,
            block.bytes,
            "{}",
            block.cid
        );
    }
}

fn holds_all(daemon: &Daemon, blocks: &[Block]) -> bool {
    let held = |block: &Block| daemon.holds(&block.cid).expect("it answers");
    blocks.iter().all(held)
}

fn holds_none(daemon: &Daemon, blocks: &[Block]) -> bool {
    let held = |block: &Block| daemon.holds(&block.cid).expect("it answers");
    !blocks.iter().any(held)
}

async fn listed(pinner: &KuboPinner) -> Vec<Pin> {
    let mut pins: Vec<_> = pinner.pins().try_collect().await.expect("a listing");
    pins.sort();
    pins
}

/// Not a test, but the entry point of a [`HolderProcess`].
#[test]
fn as_a_process_of_its_own() {
    process::run_if_asked();
}

#[test]
fn two_processes_hold_one_root_and_each_counts() {
    let _turn = turn("counting");
    let kubo = kubo_or_not_run!("two processes hold one root");
    let runtime = runtime();
    for depth in DEPTHS {
        // Offline, so that only blocks that a collection left can be read.
        let daemon = kubo.node().offline().start().expect("a node");
        let dag = Dag::file(40);
        put(&daemon, dag.blocks());
        let mut released = HolderProcess::start(daemon.repo_path(), holder(1), dag.root(), depth);
        let killed = HolderProcess::start(daemon.repo_path(), holder(2), dag.root(), depth);
        let pin = |holder| Pin::new(holder, dag.root(), depth);

        let pinner = runtime.block_on(connect(daemon.repo_path()));
        let both = [pin(holder(1)), pin(holder(2))];
        assert_eq!(runtime.block_on(listed(&pinner)), both, "{depth:?}");

        released.release();
        daemon.gc().expect("a collection");
        assert_eq!(runtime.block_on(listed(&pinner)), [pin(holder(2))]);
        runtime.block_on(reads_all(&pinner, dag.blocks()));

        // A killed process releases nothing.
        killed.kill();
        daemon.gc().expect("a collection");
        runtime.block_on(reads_all(&pinner, dag.blocks()));

        // Anyone who proves its holder dead releases the pin.
        runtime.block_on(async {
            for pin in listed(&pinner).await {
                let unpinned = pinner.unpin(&pin.holder, &pin.root).await;
                unpinned.expect("the dead holder's pin is released");
            }
            assert_eq!(listed(&pinner).await, []);
        });
        daemon.gc().expect("a collection");
        assert!(holds_none(&daemon, dag.blocks()), "{depth:?}: it stays");
        let left = daemon
            .rpc()
            .value("files/stat", &[("arg", "/wasi-ipfs-pins")]);
        match depth {
            PinDepth::Recursive => assert!(left.is_err(), "an unused directory: {left:?}"),
            PinDepth::Lazy => {
                let left = left.expect("the directory of all holders");
                assert_eq!(left["Blocks"], 0, "empty directories are left: {left}");
            }
        }
    }
}

#[test]
fn one_killed_the_other_reads_on() {
    let _turn = turn("counting");
    let kubo = kubo_or_not_run!("one of two processes is killed");
    let runtime = runtime();
    for depth in DEPTHS {
        let daemon = kubo.node().offline().start().expect("a node");
        let dag = Dag::file(40);
        put(&daemon, dag.blocks());
        let killed = HolderProcess::start(daemon.repo_path(), holder(1), dag.root(), depth);
        let mut living = HolderProcess::start(daemon.repo_path(), holder(2), dag.root(), depth);
        killed.kill();
        let pinner = runtime.block_on(connect(daemon.repo_path()));
        let reaped = runtime.block_on(pinner.unpin(&holder(1), &dag.root()));
        reaped.expect("the dead holder's pin is released");
        daemon.gc().expect("a collection");
        assert!(holds_all(&daemon, dag.blocks()), "{depth:?}");
        runtime.block_on(reads_all(&pinner, dag.blocks()));
        living.release();
        daemon.gc().expect("a collection");
        assert!(holds_none(&daemon, dag.blocks()), "{depth:?}");
    }
}

/// The owner's own pins on a root, and whether they still exist.
struct Owners<'a> {
    daemon: &'a Daemon,
    root: Cid,
}

impl<'a> Owners<'a> {
    const NAME: &'static str = "wasi-ipfs, as the owner calls it";
    const ENTRY: &'static str = "/the owner's";

    fn pin(daemon: &'a Daemon, root: Cid) -> Self {
        let text = root.to_string();
        let rpc = daemon.rpc();
        rpc.call("pin/add", &[("arg", &text), ("name", Self::NAME)])
            .expect("the owner pins");
        let source = format!("/ipfs/{root}");
        rpc.call("files/cp", &[("arg", &source), ("arg", Self::ENTRY)])
            .expect("the owner copies into MFS");
        Self { daemon, root }
    }

    fn are_there(&self) {
        let pins = self.daemon.pin_ls(PinKind::Recursive).expect("a listing");
        let wanted = (self.root.to_string(), Self::NAME.to_owned());
        assert!(pins.contains(&wanted), "the owner's pin is gone: {pins:?}");
        let entry = [("arg", Self::ENTRY)];
        let stat = self.daemon.rpc().value("files/stat", &entry);
        let stat = stat.expect("the owner's entry");
        assert_eq!(stat["Hash"], self.root.to_string());
    }
}

#[test]
fn the_owners_pins_stay_whatever_is_done_to_ours() {
    let _turn = turn("counting");
    let kubo = kubo_or_not_run!("the owner's pins stay");
    // Online without peers: the node waits for a missing block, like any other.
    let daemon = kubo.node().start().expect("a node");
    let dag = Dag::file(40);
    put(&daemon, dag.blocks());
    let root = dag.root();
    let owners = Owners::pin(&daemon, root);
    let runtime = runtime();
    let pinner = Arc::new(runtime.block_on(connect(daemon.repo_path())));
    assert_eq!(runtime.block_on(listed(&pinner)), []);

    // One holder pins and releases, two holders do, and a pin that was never made is released.
    for depth in DEPTHS {
        runtime.block_on(async {
            pinner.unpin(&holder(1), &root).await.expect("absent");
            for n in [1, 2] {
                let pinned = pinner.pin(&holder(n), &root, depth).await;
                pinned.expect("all of it is there");
            }
            pinner.unpin(&holder(1), &root).await.expect("released");
        });
        owners.are_there();
        runtime
            .block_on(pinner.unpin(&holder(2), &root))
            .expect("released");
        owners.are_there();
        daemon.gc().expect("a collection");
        assert!(holds_all(&daemon, dag.blocks()));
    }

    // A pin fails half-way, and another is abandoned half-way: the last block is lost, which the owner's pin does not
    // notice.
    let lost = dag.blocks().last().expect("a leaf").clone();
    lose(&daemon, &lost.cid);
    runtime.block_on(async {
        let three = holder(3);
        let failed = pinner.pin(&three, &root, PinDepth::Recursive).await;
        let failed = failed.expect_err("a block is missing");
        assert!(matches!(failed, PinnerError::TimedOut { .. }), "{failed:?}");
        let pin = pinner.pin(&three, &root, PinDepth::Recursive);
        let given_up = tokio::time::timeout(Duration::from_millis(500), pin).await;
        assert!(given_up.is_err(), "it waits for the missing block");
        assert_eq!(listed(&pinner).await, []);
    });
    owners.are_there();

    put(&daemon, &[lost]);
    daemon.gc().expect("a collection");
    assert!(holds_all(&daemon, dag.blocks()));
    owners.are_there();
}

/// Removes a block's file from a node's repository, as a failing disk would.
fn lose(daemon: &Daemon, cid: &Cid) {
    let mut name = String::new();
    let (mut bits, mut held) = (0_u32, 0);
    // flatfs names a file by the multihash in upper-case base32, without padding.
    for byte in cid.hash().to_bytes() {
        (bits, held) = (bits << 8 | u32::from(byte), held + 8);
        while held >= 5 {
            held -= 5;
            name.push(base32_digit(bits >> held));
        }
    }
    if held > 0 {
        name.push(base32_digit(bits << (5 - held)));
    }
    let shard = &name[name.len() - 3..name.len() - 1];
    let file = daemon
        .repo_path()
        .join(format!("blocks/{shard}/{name}.data"));
    std::fs::remove_file(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

fn base32_digit(value: u32) -> char {
    char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[(value & 31) as usize])
}
