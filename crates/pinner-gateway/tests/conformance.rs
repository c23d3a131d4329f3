//! The conformance suite: over one toy gateway, over several with faults, and over the gateways of real Kubo nodes.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kubo_daemon::{Daemon, Node, kubo_or_not_run};
use pinner_api::{Bytes, Cid, Pinner, async_trait};
use pinner_conformance::{
    Abilities, Absence, Backend, Block, Content, Elsewhere, FixtureResult, Oversize, all_cases,
};
use pinner_gateway::{GatewayPinner, GatewayPinnerBuilder, RetryPolicy};
use toy_http::{Asked, Reply, Step, ToyServer};

/// A gateway's answer to a request for a block that its node may have.
fn answer(blocks: &HashMap<Vec<u8>, Bytes>, asked: &Asked) -> Reply {
    let path = asked.path();
    let cid: Option<Cid> = path.strip_prefix("/ipfs/").and_then(|cid| cid.parse().ok());
    let Some(cid) = cid else {
        return Reply::with(400, &[], "invalid path");
    };
    match blocks.get(&cid.hash().to_bytes()) {
        Some(block) => Reply::ok("application/vnd.ipld.raw", block),
        None => Reply::with(404, &[("X-Ipfs-Path", path)], "block was not found locally"),
    }
}

/// A toy gateway's answer, by its blocks, the request, and how often that request came before.
type Script = fn(&HashMap<Vec<u8>, Bytes>, &Asked, usize) -> Reply;

/// Where each block is.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    AtOne,
    Everywhere,
}

/// An answer that begins as one with a block does, and goes on a byte at a time.
fn dripping() -> Reply {
    let raw = [("Content-Type", "application/vnd.ipld.raw")];
    let drip = Step::Drip(vec![0; 1 << 20], Duration::from_millis(50));
    Reply::announcing(1 << 20, 200, &raw, "").then(drip)
}

/// Toy gateways, and the pinner over them.
struct Toys {
    pinner: Arc<GatewayPinner>,
    held: HashSet<Vec<u8>>,
    place: Place,
    stalled: Arc<AtomicBool>,
    dripping: Arc<AtomicBool>,
    lying: Arc<AtomicBool>,
    _servers: Vec<ToyServer>,
}

impl Toys {
    /// Starts one server for each script.
    async fn start(place: Place, scripts: Vec<Script>, content: Content) -> FixtureResult<Self> {
        let mut servers = Vec::new();
        let [stalled, drips, lying] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
        let all: Vec<Block> = content.blocks.into_iter().chain(content.oversize).collect();
        let count = scripts.len();
        for (number, script) in scripts.into_iter().enumerate() {
            // Each block is at one of them. A block that is too large is at all of them, so that no other can prove its
            // absence.
            let blocks: HashMap<_, _> = all
                .iter()
                .enumerate()
                .filter(|(nth, block)| {
                    let everywhere = place == Place::Everywhere;
                    everywhere || nth % count == number || block.bytes.len() > pinner_api::MAX_BLOCK
                })
                .map(|(_, block)| (block.cid.hash().to_bytes(), block.bytes.clone()))
                .collect();
            let times = Mutex::new(HashMap::<String, usize>::new());
            let [hangs, drips, lies] = [&stalled, &drips, &lying].map(Arc::clone);
            let server = ToyServer::start(move |asked| {
                if hangs.load(Ordering::SeqCst) {
                    return Reply::of([Step::Hang]);
                }
                if drips.load(Ordering::SeqCst) {
                    return dripping();
                }
                if number == 0 && lies.load(Ordering::SeqCst) {
                    return Reply::ok("application/vnd.ipld.raw", "a lie");
                }
                let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
                let time = times.entry(asked.target.clone()).or_default();
                *time += 1;
                script(&blocks, asked, *time)
            });
            servers.push(server.await?);
        }
        let builder = servers.iter().try_fold(
            GatewayPinner::builder(),
            |builder, server| -> FixtureResult<_> { Ok(builder.gateway(server.url().parse()?)) },
        )?;
        let retry = RetryPolicy::default().with_attempts(5);
        Ok(Self {
            pinner: Arc::new(builder.retry(retry).build()?),
            held: all
                .iter()
                .map(|block| block.cid.hash().to_bytes())
                .collect(),
            place,
            stalled,
            dripping: drips,
            lying,
            _servers: servers,
        })
    }
}

#[async_trait]
impl Backend for Toys {
    fn pinner(&self) -> Arc<dyn Pinner> {
        self.pinner.clone()
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            oversize: Oversize::Held,
            ..Abilities::default()
        }
    }

    async fn stall(&self) -> FixtureResult<Option<()>> {
        self.stalled.store(true, Ordering::SeqCst);
        Ok(Some(()))
    }

    async fn drip(&self) -> FixtureResult<Option<()>> {
        self.dripping.store(true, Ordering::SeqCst);
        Ok(Some(()))
    }

    async fn spoil(&self) -> FixtureResult<Option<()>> {
        if self.place == Place::AtOne {
            return Ok(None);
        }
        self.lying.store(true, Ordering::SeqCst);
        Ok(Some(()))
    }

    async fn holds(&self, cid: &Cid) -> FixtureResult<Option<bool>> {
        Ok(Some(self.held.contains(&cid.hash().to_bytes())))
    }
}

mod one_toy {
    use super::*;

    pinner_conformance::conformance_tests!(|content| {
        Toys::start(
            Place::AtOne,
            vec![|blocks, asked, _| answer(blocks, asked)],
            content,
        )
    });
}

mod blocks_spread_over_three {
    use super::*;

    pinner_conformance::conformance_tests!(|content| {
        let scripts: Vec<Script> = vec![|blocks, asked, _| answer(blocks, asked); 3];
        Toys::start(Place::AtOne, scripts, content)
    });
}

mod three_with_the_same_blocks {
    use super::*;

    pinner_conformance::conformance_tests!(|content| {
        let scripts: Vec<Script> = vec![|blocks, asked, _| answer(blocks, asked); 3];
        Toys::start(Place::Everywhere, scripts, content)
    });
}

mod one_that_fails_at_first {
    use super::*;

    /// Each block arrives at the third attempt: the first is an error, the second a part of the block.
    fn failing(blocks: &HashMap<Vec<u8>, Bytes>, asked: &Asked, time: usize) -> Reply {
        match time {
            1 => Reply::with(503, &[], "not now"),
            2 => Reply::announcing(
                100,
                200,
                &[("Content-Type", "application/vnd.ipld.raw")],
                "x",
            )
            .then(Step::Close),
            _ => answer(blocks, asked),
        }
    }

    pinner_conformance::conformance_tests!(|content| Toys::start(
        Place::AtOne,
        vec![failing],
        content
    ));
}

/// The gateway of a Kubo node, and the node that it can fetch from, if any.
struct Kubo {
    pinner: Arc<GatewayPinner>,
    node: Arc<Nodes>,
}

/// The nodes of one configuration. They serve all its cases, and end with the test's process.
struct Nodes {
    asked: Daemon,
    behind: Option<Daemon>,
    absence: Absence,
}

impl Kubo {
    async fn start(nodes: Arc<Nodes>, content: Content) -> FixtureResult<Self> {
        let url = nodes.asked.gateway_url().ok_or("the node has no gateway")?;
        let mut builder: GatewayPinnerBuilder = GatewayPinner::builder().gateway(url.parse()?);
        if nodes.absence == Absence::Unproven {
            // The node searches for a missing block until the deadline.
            builder = builder.deadline(Duration::from_secs(3));
        }
        let pinner = Arc::new(builder.build()?);
        let node = nodes.clone();
        tokio::task::spawn_blocking(move || -> FixtureResult<()> {
            for block in content.blocks.iter().chain(&content.oversize) {
                nodes.asked.put_block(&block.cid, &block.bytes)?;
            }
            if let Some(behind) = &nodes.behind {
                for block in &content.elsewhere {
                    behind.put_block(&block.cid, &block.bytes)?;
                }
            }
            Ok(())
        })
        .await??;
        Ok(Self { pinner, node })
    }
}

#[async_trait]
impl Backend for Kubo {
    fn pinner(&self) -> Arc<dyn Pinner> {
        self.pinner.clone()
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            absence: self.node.absence,
            elsewhere: match self.node.behind {
                Some(_) => Elsewhere::Reachable,
                None => Elsewhere::Unreachable,
            },
            oversize: Oversize::Held,
        }
    }

    async fn holds(&self, cid: &Cid) -> FixtureResult<Option<bool>> {
        let (node, cid) = (self.node.clone(), *cid);
        let held = tokio::task::spawn_blocking(move || node.asked.holds(&cid)).await??;
        Ok(Some(held))
    }
}

/// Runs every case against the gateway of such nodes.
fn against(nodes: Nodes) {
    let nodes = Arc::new(nodes);
    let mut run = 0;
    for case in all_cases() {
        let nodes = nodes.clone();
        println!("{}", case.name);
        pinner_conformance::run(case.name, move |content| {
            Kubo::start(nodes.clone(), content)
        });
        run += 1;
    }
    println!("{run} cases");
}

fn alone(node: Node, absence: Absence) -> Nodes {
    Nodes {
        asked: node.start().expect("a node"),
        behind: None,
        absence,
    }
}

#[test]
fn the_gateway_of_an_offline_kubo() {
    let kubo = kubo_or_not_run!("the suite on an offline node's gateway");
    against(alone(kubo.node().offline(), Absence::Proven));
}

#[test]
fn the_gateway_of_a_kubo_that_fetches_nothing_for_it() {
    let kubo = kubo_or_not_run!("the suite on a gateway with NoFetch");
    against(alone(
        kubo.node().config("Gateway.NoFetch", true),
        Absence::Proven,
    ));
}

#[test]
fn the_gateway_of_a_kubo_with_a_network_behind_it() {
    let kubo = kubo_or_not_run!("the suite on the gateway of a node that knows another");
    let behind = kubo.node().start().expect("a node");
    let mut nodes = alone(kubo.node(), Absence::Unproven);
    nodes.asked.connect(&behind).expect("they reach each other");
    nodes.behind = Some(behind);
    against(nodes);
}
