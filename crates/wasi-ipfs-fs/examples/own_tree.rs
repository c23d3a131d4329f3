//! A guest with a tree that has nothing to do with IPFS: the files of a tar archive, below `/tar`.
//!
//! `own_tree GUEST ARCHIVE [ARGUMENT…]`: the guest is a component of WASI 0.2 or a module of preview 1. The tree is
//! written once, as `wasi_ipfs_fs::node` wants it, and every preview shows it. The archive is read into memory, and must
//! be a plain `ustar` without extensions.

use std::{collections::BTreeMap, env, fs, io, iter, path::PathBuf, sync::Arc};

use bytes::Bytes;
use pinner_car::CarPinner;
use pinset::{Access, PinsetBuilder};
use wasi_ipfs_fs::{
    IpfsCtx, IpfsView,
    node::{
        self, DirNode, Entries, Entry, Error, FileNode, Identity, Kind, Metadata, Node, Symlink,
        async_trait,
    },
    p1::IpfsP1Ctx,
};
use wasmtime::{
    Engine, Linker, Module, Store,
    component::{self, Component, ResourceTable},
};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView, p2::bindings::Command};

/// A directory. Everything is in memory, so each call answers at once.
struct Folder {
    identity: Identity,
    nodes: BTreeMap<String, Node>,
    /// The same nodes as entries of a listing.
    listing: Arc<[Entry]>,
}

#[async_trait]
impl DirNode for Folder {
    fn metadata(&self) -> Metadata {
        Metadata::new(Kind::Dir, 0)
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    async fn look_up(&self, name: &str) -> Result<Node, Error> {
        let found = self.nodes.get(name).cloned();
        found.ok_or_else(|| Error::NotFound { name: name.into() })
    }

    fn list(&self, skipped: u64) -> Result<Entries, Error> {
        let listing = self.listing.clone();
        let first = usize::try_from(skipped).unwrap_or(usize::MAX);
        let rest = (first..listing.len()).map(move |at| listing[at].clone());
        Ok(node::listed(rest))
    }
}

/// A file.
struct Slice {
    identity: Identity,
    bytes: Bytes,
}

impl Slice {
    fn part(&self, offset: u64, len: usize) -> Bytes {
        let whole = self.bytes.len();
        let from = usize::try_from(offset).map_or(whole, |offset| offset.min(whole));
        self.bytes.slice(from..from.saturating_add(len).min(whole))
    }
}

#[async_trait]
impl FileNode for Slice {
    fn metadata(&self) -> Metadata {
        Metadata::new(Kind::File, self.bytes.len() as u64)
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    async fn read(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        Ok(self.part(offset, len))
    }

    fn try_read_into(&self, offset: u64, into: &mut [u8]) -> Option<Result<usize, Error>> {
        let part = self.part(offset, into.len());
        into[..part.len()].copy_from_slice(&part);
        Some(Ok(part.len()))
    }
}

/// A member of an archive.
enum Member {
    Folder(BTreeMap<String, Member>),
    File(Bytes),
    Link(String),
}

/// The length of a record: a header, or a piece of a file.
const RECORD: usize = 512;

/// Reads the members of an archive.
fn members(archive: &Bytes) -> io::Result<BTreeMap<String, Member>> {
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut root = BTreeMap::new();
    let mut at = 0;
    while let Some(header) = archive.get(at..at + RECORD) {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        if &header[257..262] != b"ustar" {
            return Err(wrong(format!("no ustar header at {at}")));
        }
        let name = match text(&header[345..500]) {
            prefix if prefix.is_empty() => text(&header[..100]),
            prefix => format!("{prefix}/{}", text(&header[..100])),
        };
        let len = usize::from_str_radix(text(&header[124..136]).trim(), 8);
        let len = len.map_err(|_| wrong(format!("{name}: no length")))?;
        let start = at + RECORD;
        if archive.len() - start < len {
            return Err(wrong(format!("{name} is cut short")));
        }
        let member = match header[156] {
            b'0' | 0 => Member::File(archive.slice(start..start + len)),
            b'2' => Member::Link(text(&header[157..257])),
            b'5' => Member::Folder(BTreeMap::new()),
            other => return Err(wrong(format!("{name} is of type {other}"))),
        };
        place(&mut root, &name, member).ok_or_else(|| wrong(format!("{name} has no place")))?;
        at = start + len.next_multiple_of(RECORD);
    }
    Ok(root)
}

/// A field of a header, up to its end or the first NUL.
fn text(field: &[u8]) -> String {
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// Puts a member under its path, in folders that are made on the way.
fn place(root: &mut BTreeMap<String, Member>, path: &str, member: Member) -> Option<()> {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let name = segments.next_back()?;
    let mut folder = root;
    for segment in segments {
        let below = folder
            .entry(segment.to_owned())
            .or_insert_with(|| Member::Folder(BTreeMap::new()));
        let Member::Folder(below) = below else {
            return None;
        };
        folder = below;
    }
    folder.entry(name.to_owned()).or_insert(member);
    Some(())
}

/// Makes the node of a folder. `serial` counts the nodes.
fn folder(members: BTreeMap<String, Member>, serial: &mut u64) -> Folder {
    let nodes: BTreeMap<_, _> = members
        .into_iter()
        .map(|(name, member)| {
            let node = match member {
                Member::Folder(members) => Node::Dir(Arc::new(folder(members, serial))),
                Member::File(bytes) => Node::File(Arc::new(Slice {
                    identity: next(serial),
                    bytes,
                })),
                Member::Link(target) => Node::Symlink(Symlink::new(target, next(serial))),
            };
            (name, node)
        })
        .collect();
    let listing = nodes.iter().map(|(name, node)| {
        let kind = node.metadata().kind;
        Entry::new(name.clone(), Some(kind), Some(node.identity()))
    });
    Folder {
        identity: next(serial),
        listing: listing.collect(),
        nodes,
    }
}

fn next(serial: &mut u64) -> Identity {
    *serial += 1;
    Identity(u128::from(*serial).to_le_bytes())
}

#[tokio::main]
async fn main() -> wasmtime::Result<()> {
    let mut arguments = env::args().skip(1);
    let (Some(guest), Some(archive)) = (arguments.next(), arguments.next()) else {
        wasmtime::bail!("usage: own_tree GUEST ARCHIVE [ARGUMENT…]");
    };
    let tree = folder(members(&fs::read(archive)?.into())?, &mut 0);

    // A context stands on a cache. This one has no backend, and the guest is granted no root.
    let pinner = Arc::new(CarPinner::open(iter::empty::<PathBuf>()).await?);
    let cache = PinsetBuilder::new(pinner, 4 << 20).shared().await?;
    let ipfs = IpfsCtx::builder(cache.clone(), Access::none())
        .mount_tree("/tar", Arc::new(tree))
        .build()
        .await?;

    let mut wasi = WasiCtx::builder();
    wasi.inherit_stdio().arg("guest");
    wasi.args(&arguments.collect::<Vec<_>>());
    let guest = fs::read(guest)?;
    // A module has version 1, and a component has not.
    let ended = match guest.get(4..8) {
        Some([1, 0, 0, 0]) => run_module(&guest, wasi.build_p1(), &ipfs).await,
        _ => run_component(&guest, wasi.build(), ipfs).await,
    };
    cache.close().await?;
    ended
}

async fn run_module(
    guest: &[u8],
    wasi: wasmtime_wasi::p1::WasiP1Ctx,
    ipfs: &IpfsCtx,
) -> wasmtime::Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, guest)?;
    let mut linker = Linker::<IpfsP1Ctx>::new(&engine);
    wasi_ipfs_fs::p1::add_to_linker_async(&mut linker, |ctx| ctx)?;
    let mut store = Store::new(&engine, IpfsP1Ctx::new(wasi, Some(ipfs))?);
    let instance = linker.instantiate_async(&mut store, &module).await?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    match start.call_async(&mut store, ()).await {
        Err(error) if matches!(error.downcast_ref(), Some(I32Exit(0))) => Ok(()),
        ended => ended,
    }
}

async fn run_component(guest: &[u8], wasi: WasiCtx, ipfs: IpfsCtx) -> wasmtime::Result<()> {
    let engine = Engine::default();
    let component = Component::new(&engine, guest)?;
    let mut linker = component::Linker::<State>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasi_ipfs_fs::p2::add_to_linker_async(&mut linker)?;
    let state = State {
        wasi,
        table: ResourceTable::new(),
        ipfs,
    };
    let mut store = Store::new(&engine, state);
    let command = Command::instantiate_async(&mut store, &component, &linker).await?;
    let outcome = command.wasi_cli_run().call_run(&mut store).await?;
    outcome.map_err(|()| wasmtime::format_err!("the guest failed"))
}

/// The state that the host keeps for a component.
struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    ipfs: IpfsCtx,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl IpfsView for State {
    fn ipfs(&self) -> Option<&IpfsCtx> {
        Some(&self.ipfs)
    }
}
