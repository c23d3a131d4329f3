//! Tests against real Kubo nodes, and IPFS Cluster in front of one.
//!
//! Nodes take much of a machine, and some of these tests measure how long a call takes. So the tests of one file run
//! side by side, and those of different files one after the other ([`test_support::turns`]). For the same reason
//! `answers`, which needs no node, is a binary of its own.

mod cluster;
mod conformance;
mod counting;
mod node;
mod repository;

use kubo_daemon::Daemon;
use pinner_api::Holder;
use pinner_conformance::Block;
use tokio::task::block_in_place;

fn holder(n: u8) -> Holder {
    Holder::new([0xcc; 8], [n; 16])
}

/// Puts blocks onto a node. The test's other tasks continue meanwhile.
fn put(daemon: &Daemon, blocks: &[Block]) {
    block_in_place(|| {
        for block in blocks {
            let put = daemon.put_block(&block.cid, &block.bytes);
            put.expect("the node takes a block");
        }
    });
}
