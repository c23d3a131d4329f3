//! A bad node. Whatever stands between a guest and a real node, and whatever happens to the node, the guest gets
//! correct bytes or an I/O error, within a time that the block's deadline bounds (I1, I7). Nothing wrong is staged
//! (I3). Once the node is back, the next read works. Calls share connections.

use std::{fs, thread, time::Duration};

use cid::Cid;
use e2e::{End, guests};
use kubo_daemon::{
    Daemon, kubo_or_not_run,
    proxy::{Fault, Proxy, Times},
};
use tempfile::TempDir;
use test_support::turns::turn;
use tokio::{runtime::Runtime, task::JoinSet};
use wasi_ipfs_fs::IpfsCtx;

use crate::guest::{PREVIEW, Subject, cache, ctx, natively, node, run, runtime, series};

/// A block's deadline.
const DEADLINE: Duration = Duration::from_secs(3);

/// Blocks that are requested at once.
const IN_FLIGHT: usize = 8;

/// The requests for blocks.
const BY_RPC: &str = "POST /api/v0/block/get";
const BY_GATEWAY: &str = "GET /ipfs/";

/// When a client can detect that an answer is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    /// Never, because the answer is correct.
    Never,
    /// At once, from HTTP.
    AtOnce,
    /// When the deadline has passed.
    Late,
    /// When the block is verified.
    InTheBytes,
}

fn faults() -> Vec<(Fault, Shows)> {
    let after_bytes = 10;
    vec![
        (Fault::Delay(Duration::from_millis(50)), Shows::Never),
        (Fault::Delay(Duration::from_secs(3600)), Shows::Late),
        (Fault::Close, Shows::AtOnce),
        (Fault::Silence, Shows::Late),
        (Fault::Cut { after_bytes }, Shows::AtOnce),
        (Fault::Stall { after_bytes }, Shows::Late),
        (Fault::Truncate { after_bytes: 0 }, Shows::AtOnce),
        (Fault::Truncate { after_bytes }, Shows::InTheBytes),
        (Fault::Change { at_byte: 5 }, Shows::InTheBytes),
        (
            Fault::Drip {
                every: DEADLINE / 8,
            },
            Shows::Late,
        ),
        (Fault::status(403, "no"), Shows::AtOnce),
        (Fault::status(500, "an error of its own"), Shows::AtOnce),
        (
            Fault::too_many_requests(Duration::from_secs(1)),
            Shows::AtOnce,
        ),
        (Fault::Garbage, Shows::AtOnce),
    ]
}

/// Which ways to a block are bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bad {
    /// The RPC, without a gateway.
    Rpc,
    /// The gateway, which is tried first; the RPC is good.
    Gateway,
    /// Both ways.
    Both,
}

/// One run: which way is bad, how, and from which request on.
#[derive(Clone, Debug)]
struct Case {
    bad: Bad,
    fault: Fault,
    shows: Shows,
    times: Times,
}

/// A node behind two proxies, and a guest's context that reaches it through them.
struct Behind {
    rpc: Proxy,
    gateway: Proxy,
    ctx: IpfsCtx,
}

impl Behind {
    async fn proxies(daemon: &Daemon, root: Cid, bad: Bad) -> Self {
        let rpc = Proxy::before(&daemon.api_url()).expect("a proxy");
        let gateway = daemon.gateway_url().expect("it has one");
        let gateway = Proxy::before(&gateway).expect("a proxy");
        let by_gateway = (bad != Bad::Rpc).then(|| gateway.url());
        let node = node(&rpc.url(), by_gateway.as_deref()).in_flight(IN_FLIGHT);
        let ctx = ctx(&cache(node, DEADLINE).await, root).await;
        Self { rpc, gateway, ctx }
    }

    /// Applies `fault` to requests for blocks, on each bad way.
    fn bad(&self, bad: Bad, times: Times, fault: &Fault) -> Vec<kubo_daemon::proxy::Rule> {
        let rpc = || self.rpc.fault(BY_RPC, times, fault.clone());
        let gateway = || self.gateway.fault(BY_GATEWAY, times, fault.clone());
        match bad {
            Bad::Rpc => vec![rpc()],
            Bad::Gateway => vec![gateway()],
            Bad::Both => vec![rpc(), gateway()],
        }
    }

    fn good(&self) {
        self.rpc.clear();
        self.gateway.clear();
    }
}

impl Case {
    async fn check(self, behind: Behind, root: Cid, blocks: u32, right: String) {
        let path = format!("/ipfs/{root}");
        let arguments = [&*path];
        let walk = || run(&behind.ctx, PREVIEW, guests::WALK_HASH, &arguments);
        let rules = behind.bad(self.bad, self.times, &self.fault);
        let bound = DEADLINE * 2 * blocks;
        let seen = tokio::time::timeout(bound, walk()).await;
        let seen = seen.unwrap_or_else(|_| panic!("{self:?}: no end"));
        assert_eq!(seen.end, End::Exit(0), "{self:?}: {}", seen.stderr);
        assert!(
            rules.iter().any(|rule| rule.hits() > 0),
            "{self:?}: nobody met it"
        );
        let (errors, others): (Vec<_>, Vec<_>) =
            seen.text().lines().partition(|line| line.starts_with("e "));
        for line in &errors {
            assert!(line.starts_with("e EIO "), "{self:?}: {line}");
        }
        for line in others {
            assert!(right.lines().any(|other| other == line), "{self:?}: {line}");
        }
        let stats = behind.ctx.cache().stats();
        match self.shows {
            Shows::Never => assert_eq!(seen.text(), right, "{self:?}"),
            Shows::InTheBytes => {
                assert!(stats.corrupt_blocks > 0, "{self:?}");
                match self.bad {
                    // The node's RPC is asked for what the gateway had wrong.
                    Bad::Gateway => assert_eq!(seen.text(), right, "{self:?}"),
                    Bad::Rpc | Bad::Both => assert!(!errors.is_empty(), "{self:?}"),
                }
            }
            Shows::AtOnce | Shows::Late => match self.bad {
                Bad::Gateway => assert_eq!(seen.text(), right, "{self:?}"),
                Bad::Rpc | Bad::Both => {
                    assert!(!errors.is_empty() && stats.corrupt_blocks == 0, "{self:?}");
                }
            },
        }
        behind.good();
        let seen = tokio::time::timeout(bound, walk()).await;
        let seen = seen.unwrap_or_else(|_| panic!("{self:?}: no end, once the node is good again"));
        assert_eq!(
            seen.success(),
            right,
            "{self:?}: once the node is good again"
        );
    }
}

/// Runs all cases at once, since they mostly wait.
fn check_all(runtime: &Runtime, subject: &Subject, cases: impl IntoIterator<Item = Case>) {
    runtime.block_on(async {
        let mut checks = JoinSet::new();
        for case in cases {
            let Subject {
                daemon,
                root,
                blocks,
                right,
            } = subject;
            let behind = Behind::proxies(daemon, *root, case.bad).await;
            checks.spawn(case.check(behind, *root, *blocks, right.clone()));
        }
        while let Some(checked) = checks.join_next().await {
            if let Err(error) = checked {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    });
}

#[test]
fn a_guest_gets_right_bytes_or_an_error_of_a_node_that_answers_badly() {
    let _turn = turn("bad_node");
    let kubo = kubo_or_not_run!("a node that answers badly");
    let runtime = runtime();
    let subject = Subject::start(&kubo, &runtime);
    assert_eq!(subject.right.lines().count(), 6);
    let mut cases = Vec::new();
    for bad in [Bad::Rpc, Bad::Gateway, Bad::Both] {
        for times in [Times::From(1), Times::From(4)] {
            let of_fault = |(fault, shows)| Case {
                bad,
                fault,
                shows,
                times,
            };
            cases.extend(faults().into_iter().map(of_fault));
        }
    }
    check_all(&runtime, &subject, cases);
}

/// A request that may succeed later is repeated within the deadline, so the guest notices nothing.
#[test]
fn a_guest_does_not_notice_one_answer_that_fails() {
    let _turn = turn("bad_node");
    let kubo = kubo_or_not_run!("a node that fails once");
    let runtime = runtime();
    let subject = Subject::start(&kubo, &runtime);
    runtime.block_on(async {
        for fault in [
            Fault::Close,
            Fault::Cut { after_bytes: 10 },
            Fault::too_many_requests(Duration::from_secs(1)),
            Fault::status(503, "restarting"),
        ] {
            for nth in [1, 4] {
                let behind = Behind::proxies(&subject.daemon, subject.root, Bad::Rpc).await;
                let rules = behind.bad(Bad::Rpc, Times::Nth(nth), &fault);
                let path = format!("/ipfs/{}", subject.root);
                let seen = run(&behind.ctx, PREVIEW, guests::WALK_HASH, &[&path]).await;
                assert_eq!(seen.success(), subject.right, "{fault:?} {nth}");
                assert_eq!(rules[0].hits(), 1, "{fault:?} {nth}");
            }
        }
    });
}

/// A file of many blocks, and its bytes as a guest reads them natively.
struct Long {
    root: Cid,
    whole: String,
}

impl Long {
    const LEAVES: usize = 320;
    const LEAF_BYTES: usize = 32 << 10;

    fn add(daemon: &Daemon, runtime: &Runtime) -> Self {
        let local = TempDir::new().expect("a directory");
        let bytes = series(Self::LEAVES * Self::LEAF_BYTES);
        fs::write(local.path().join("f"), bytes).expect("written");
        let chunker = format!("--chunker=size-{}", Self::LEAF_BYTES);
        let flags = ["--cid-version=1", &chunker];
        let root = daemon.add(&local.path().join("f"), &flags).expect("added");
        let native = natively(
            runtime,
            local.path(),
            guests::IO_ERROR,
            &["/native/f", "whole-good"],
        );
        Self {
            root,
            whole: native.success().to_owned(),
        }
    }

    fn path(&self) -> String {
        format!("/ipfs/{}", self.root)
    }
}

/// How the daemon is disturbed in the middle of a read, and how it recovers.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// SIGSTOP, then SIGCONT.
    Frozen,
    /// SIGKILL, then a new daemon on the same ports and repository.
    Killed,
}

#[test]
fn a_node_that_stops_in_the_middle_of_a_read_and_comes_back() {
    let _turn = turn("bad_node");
    let kubo = kubo_or_not_run!("a node that stops and comes back");
    let runtime = runtime();
    let mut daemon = kubo.node().offline().start().expect("a node");
    let long = Long::add(&daemon, &runtime);
    for bad in [Bad::Rpc, Bad::Both] {
        for trouble in [Trouble::Frozen, Trouble::Killed] {
            let behind = runtime.block_on(Behind::proxies(&daemon, long.root, bad));
            // All later requests are slow, so that the guest cannot finish before the daemon is stopped.
            let slow = Fault::Delay(Duration::from_millis(200));
            let rules = behind.bad(bad, Times::From(40), &slow);
            let reading = runtime.spawn({
                let (ctx, path) = (behind.ctx.clone(), long.path());
                async move {
                    // The guest asserts that the error is EIO, and not the end of the file.
                    run(&ctx, PREVIEW, guests::IO_ERROR, &[&path, "whole-bad"]).await
                }
            });
            while rules.iter().all(|rule| rule.hits() == 0) {
                assert!(
                    !reading.is_finished(),
                    "{bad:?} {trouble:?}: nothing is slow"
                );
                thread::sleep(Duration::from_millis(1));
            }
            match trouble {
                Trouble::Frozen => daemon.stop_signal().expect("frozen"),
                Trouble::Killed => daemon.kill(),
            }
            let failed =
                runtime.block_on(async { tokio::time::timeout(10 * DEADLINE, reading).await });
            let failed = failed.unwrap_or_else(|_| panic!("{bad:?} {trouble:?}: no end"));
            let failed = failed.expect("a run");
            assert_eq!(failed.success(), "whole-bad EIO\n", "{bad:?} {trouble:?}");
            let stats = behind.ctx.cache().stats();
            assert!(stats.bytes_served > 0, "it was in the middle: {stats:?}");

            match trouble {
                Trouble::Frozen => daemon.cont_signal().expect("awake"),
                Trouble::Killed => daemon.restart().expect("it starts again"),
            }
            behind.good();
            let path = long.path();
            let arguments = [&*path, "whole-good"];
            let read = runtime.block_on(run(&behind.ctx, PREVIEW, guests::IO_ERROR, &arguments));
            assert_eq!(read.success(), long.whole, "{bad:?} {trouble:?}");
        }
    }
}

#[test]
fn calls_share_connections() {
    let _turn = turn("bad_node");
    let kubo = kubo_or_not_run!("calls share connections");
    let runtime = runtime();
    let daemon = kubo.node().offline().start().expect("a node");
    let long = Long::add(&daemon, &runtime);
    for bad in [Bad::Rpc, Bad::Gateway] {
        let behind = runtime.block_on(Behind::proxies(&daemon, long.root, bad));
        let path = long.path();
        let arguments = [&*path, "whole-good"];
        let read = runtime.block_on(run(&behind.ctx, PREVIEW, guests::IO_ERROR, &arguments));
        assert_eq!(read.success(), long.whole, "{bad:?}");
        let (proxy, pattern) = match bad {
            Bad::Rpc => (&behind.rpc, BY_RPC),
            Bad::Gateway | Bad::Both => (&behind.gateway, BY_GATEWAY),
        };
        let (connections, calls) = (proxy.connections(), proxy.requests(pattern));
        println!("{bad:?}: {calls} calls for blocks over {connections} connections");
        assert!(calls >= Long::LEAVES, "{bad:?}: {calls}");
        // A call that is dropped, as read-ahead's are, closes its connection, and its block takes another call.
        let dropped = calls - Long::LEAVES;
        assert!(
            connections <= 2 * IN_FLIGHT + dropped,
            "{bad:?}: {connections} connections, {dropped} calls dropped"
        );
    }
}
