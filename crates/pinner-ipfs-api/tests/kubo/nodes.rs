//! Daemons that are lent to one case after another, because a start takes longer than most cases.
//!
//! Invariants: a daemon has one borrower at a time, since a collection removes whatever a case has left unpinned. The
//! daemons end with the last borrower: a value in a static is never dropped, so their repositories would stay.

use std::sync::{Mutex, MutexGuard, PoisonError};

use kubo_daemon::{Daemon, Kubo};
use pinner_conformance::FixtureResult;

/// Whether a node can fetch blocks that it does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// `ipfs daemon --offline`.
    None,
    /// One other node, to which it is connected.
    OneNeighbour,
}

/// A daemon, and the daemon that it is connected to.
#[derive(Debug)]
pub(crate) struct Nodes {
    pub(crate) node: Daemon,
    pub(crate) neighbour: Option<Daemon>,
}

/// Borrowed nodes. Dropping them returns them.
#[derive(Debug)]
pub(crate) struct Lent {
    network: Network,
    nodes: Option<Nodes>,
}

/// The nodes that wait for a borrower, and the number of current borrowers.
#[derive(Debug)]
struct Pool {
    waiting: Vec<Nodes>,
    lent: usize,
}

impl Pool {
    const fn new() -> Mutex<Self> {
        Mutex::new(Self {
            waiting: Vec::new(),
            lent: 0,
        })
    }
}

static OFFLINE: Mutex<Pool> = Pool::new();
static ONLINE: Mutex<Pool> = Pool::new();

fn pool(network: Network) -> MutexGuard<'static, Pool> {
    let pool = match network {
        Network::None => &OFFLINE,
        Network::OneNeighbour => &ONLINE,
    };
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns nodes that no other case uses now. Blocks.
pub(crate) fn lend(kubo: &Kubo, network: Network) -> FixtureResult<Lent> {
    let waiting = {
        let mut pool = pool(network);
        pool.lent += 1;
        pool.waiting.pop()
    };
    // Counted before it is started, and returned whether or not it starts.
    let mut lent = Lent {
        network,
        nodes: waiting,
    };
    if lent.nodes.is_none() {
        lent.nodes = Some(start(kubo, network)?);
    }
    Ok(lent)
}

fn start(kubo: &Kubo, network: Network) -> FixtureResult<Nodes> {
    let node = kubo.node().without_gateway();
    Ok(match network {
        Network::None => Nodes {
            node: node.offline().start()?,
            neighbour: None,
        },
        Network::OneNeighbour => {
            // Other nodes store the record of a name, and a look-up asks them. So the two nodes have a routing of their
            // own.
            let routed = |node: kubo_daemon::Node| {
                node.config("Routing.Type", "dhtserver")
                    .config("Routing.LoopbackAddressesOnLanDHT", true)
            };
            let neighbour = kubo.node().without_gateway();
            let (node, neighbour) = (routed(node).start()?, routed(neighbour).start()?);
            node.connect(&neighbour)?;
            Nodes {
                node,
                neighbour: Some(neighbour),
            }
        }
    })
}

impl Lent {
    pub(crate) fn nodes(&self) -> FixtureResult<&Nodes> {
        self.nodes
            .as_ref()
            .ok_or_else(|| "the nodes were given back".into())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut pool = pool(self.network);
        pool.lent -= 1;
        // Anything that a failed case left behind could disturb the next case.
        if !std::thread::panicking() {
            pool.waiting.extend(self.nodes.take());
        }
        let last = match pool.lent {
            0 => std::mem::take(&mut pool.waiting),
            _ => Vec::new(),
        };
        // Stopped without holding the pool's lock, since other cases may borrow meanwhile.
        drop(pool);
        drop(last);
    }
}
