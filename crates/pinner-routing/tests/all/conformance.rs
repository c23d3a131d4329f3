//! The conformance suite: gateways that two routers name, and records that they have.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};

use pinner_api::{Bytes, Cid, Pinner, async_trait};
use pinner_conformance::{
    Abilities, Absence, Backend, Content, FixtureResult, Oversize, conformance_tests,
};
use pinner_routing::{IpnsResolver, RoutedPinner};
use toy_http::{Asked, Reply, Step, ToyServer};

use crate::{
    loopback, naming, over,
    owner::{Owner, Record},
};

/// Two gateways with the same blocks, the routers that name them, and the pinner that finds them.
struct Found {
    pinner: Arc<RoutedPinner>,
    records: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    next_owner: AtomicU8,
    stalled: Arc<AtomicBool>,
    dripping: Arc<AtomicBool>,
    lying: Arc<AtomicBool>,
    blocks: Arc<HashMap<Vec<u8>, Bytes>>,
    _servers: Vec<ToyServer>,
}

fn block(blocks: &HashMap<Vec<u8>, Bytes>, asked: &Asked) -> Reply {
    let cid = asked.last_segment().parse::<Cid>();
    let found = cid.ok().and_then(|cid| blocks.get(&cid.hash().to_bytes()));
    match found {
        Some(block) => Reply::ok("application/vnd.ipld.raw", block),
        None => Reply::with(404, &[("X-Ipfs-Path", asked.path())], ""),
    }
}

fn dripping() -> Reply {
    let raw = [("Content-Type", "application/vnd.ipld.raw")];
    let drip = Step::Drip(vec![0; 1 << 20], Duration::from_millis(50));
    Reply::announcing(1 << 20, 200, &raw, "").then(drip)
}

impl Found {
    async fn start(content: Content) -> FixtureResult<Self> {
        let all = content.blocks.into_iter().chain(content.oversize);
        let all = all.map(|block| (block.cid.hash().to_bytes(), block.bytes));
        let blocks: Arc<HashMap<_, _>> = Arc::new(all.collect());
        let [stalled, drips, lying] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
        let mut servers = Vec::new();
        for number in 0..2 {
            let [hangs, drips, lies] = [&stalled, &drips, &lying].map(Arc::clone);
            let blocks = blocks.clone();
            let server = ToyServer::start(move |asked| match () {
                () if hangs.load(Ordering::SeqCst) => Reply::of([Step::Hang]),
                () if drips.load(Ordering::SeqCst) => dripping(),
                () if number == 0 && lies.load(Ordering::SeqCst) => {
                    Reply::ok("application/vnd.ipld.raw", "a lie")
                }
                () => block(&blocks, asked),
            });
            servers.push(server.await?);
        }
        let gateways: Vec<_> = servers.iter().map(ToyServer::address).collect();
        let records: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
        for _ in 0..2 {
            let (gateways, records) = (gateways.clone(), records.clone());
            let router = ToyServer::start(move |asked| {
                if !asked.path().starts_with("/routing/v1/ipns/") {
                    return naming(&gateways);
                }
                let records = records.lock().expect("no panic");
                match records.get(asked.last_segment()) {
                    Some(record) => Reply::ok("application/vnd.ipfs.ipns-record", record),
                    None => Reply::with(404, &[], ""),
                }
            });
            servers.push(router.await?);
        }
        let routing = over(&[&servers[2], &servers[3]]).build()?;
        let names = IpnsResolver::builder().routing(routing.clone()).build()?;
        let pinner = RoutedPinner::builder(routing)
            .addresses(loopback())
            .names(names);
        Ok(Self {
            pinner: Arc::new(pinner.build()),
            records,
            next_owner: AtomicU8::new(1),
            stalled,
            dripping: drips,
            lying,
            blocks,
            _servers: servers,
        })
    }
}

#[async_trait]
impl Backend for Found {
    fn pinner(&self) -> Arc<dyn Pinner> {
        self.pinner.clone()
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            absence: Absence::Unproven,
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
        self.lying.store(true, Ordering::SeqCst);
        Ok(Some(()))
    }

    async fn holds(&self, cid: &Cid) -> FixtureResult<Option<bool>> {
        Ok(Some(self.blocks.contains_key(&cid.hash().to_bytes())))
    }

    async fn set_name(&self, root: &Cid, path: &str) -> FixtureResult<Option<String>> {
        let owner = Owner::new(self.next_owner.fetch_add(1, Ordering::SeqCst));
        let value = match path {
            "" => format!("/ipfs/{root}"),
            path => format!("/ipfs/{root}/{path}"),
        };
        let name = owner.name().to_string();
        let record = owner.sign(&Record::to(&value, 1));
        self.records
            .lock()
            .expect("no panic")
            .insert(name.clone(), record);
        Ok(Some(name))
    }
}

conformance_tests!(Found::start);
