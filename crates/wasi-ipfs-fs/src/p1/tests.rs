//! The calls of preview 1 by themselves, on both kinds of descriptors, without a guest. The workspace's end-to-end tests
//! run guests.

mod differences;
mod listings;
mod model;
mod reads;

use std::{fs, ops::ControlFlow, path::Path, sync::Arc};

use cid::Cid;
use pinner_car::ImportOptions;
use pinner_mock::MockNode;
use pinset::{Access, Limits, PinsetBuilder};
use tempfile::TempDir;
use wasmtime_wasi::{
    FsPerms, WasiCtx,
    p1::{
        types::{Errno, Fdflags, Lookupflags, Oflags, Rights},
        wasi_snapshot_preview1::WasiSnapshotPreview1 as _,
    },
};
use wiggle::{GuestMemory, GuestPtr};

use super::{Error, Fd, IpfsP1Ctx};
use crate::{IpfsCtx, IpfsCtxBuilder};

/// The fuel of each call, in bytes: wasmtime's default.
const FUEL: usize = 128 << 20;

/// The numbers that a guest finds open.
const NATIVE: u32 = 3;
const OURS: u32 = 4;

/// A guest with one tree twice: as a native directory, [`NATIVE`], and below `/ipfs`, as the mount [`OURS`].
struct Scene {
    ctx: IpfsP1Ctx,
    memory: Vec<u8>,
    tree: TempDir,
    /// The backend of what is below `/ipfs`, and the blocks that were put there.
    node: MockNode,
    blocks: Vec<Cid>,
}

impl Scene {
    async fn new(fill: impl FnOnce(&Path)) -> Self {
        Self::with(fill, Limits::default()).await
    }

    async fn with(fill: impl FnOnce(&Path), limits: Limits) -> Self {
        Self::beside(FsPerms::ReadWrite, fill, limits).await
    }

    /// A guest whose native directory has these permissions.
    async fn beside(native: FsPerms, fill: impl FnOnce(&Path), limits: Limits) -> Self {
        let tree = TempDir::new().expect("a folder");
        fill(tree.path());
        let (node, mut blocks) = (MockNode::new(), Vec::new());
        let put = |cid, bytes| {
            node.put_unchecked(cid, bytes);
            blocks.push(cid);
            Ok(())
        };
        let go_on = |_| ControlFlow::Continue(());
        let imported = pinner_car::import(tree.path(), &ImportOptions::default(), put, go_on);
        let root = imported.expect("an import").root;
        let cache = PinsetBuilder::new(Arc::new(node.clone()), 64 << 20)
            .lock_dir(std::env::temp_dir().join("p1-calls"))
            .shared()
            .await
            .expect("a pinset");
        let path = format!("/ipfs/{root}")
            .parse::<pinset::IpfsPath>()
            .expect("a path");
        let ipfs: IpfsCtxBuilder = IpfsCtx::builder(cache, Access::roots([root]));
        let ipfs = ipfs.mount("/ours", path).limits(limits).build().await;
        let mut wasi = WasiCtx::builder();
        wasi.preopened_dir(tree.path(), "/native", native)
            .expect("a directory");
        let ctx = IpfsP1Ctx::new(wasi.build_p1(), Some(&ipfs.expect("a guest's IPFS")));
        let mut scene = Self {
            ctx: ctx.expect("a context"),
            memory: vec![0; 1 << 17],
            tree,
            node,
            blocks,
        };
        // The mount comes after `/ipfs`: it takes that one's place.
        scene
            .call()
            .renumber(OURS + 1, OURS)
            .await
            .expect("it moves");
        scene
    }

    /// The state and the memory of a call, with new fuel.
    fn call(&mut self) -> Call<'_> {
        self.ctx.set_hostcall_fuel(FUEL);
        Call {
            ctx: &mut self.ctx,
            memory: GuestMemory::Unshared(&mut self.memory),
        }
    }
}

/// One call.
struct Call<'a> {
    ctx: &'a mut IpfsP1Ctx,
    memory: GuestMemory<'a>,
}

/// Where calls have their arguments in the memory.
const PATH: u32 = 0;
const IOVS: u32 = 4096;
const BUFFER: u32 = 1 << 16;

/// An error of the guest's. None of the calls here traps.
fn errno(error: Error) -> Errno {
    error.downcast().expect("no trap")
}

impl Call<'_> {
    async fn open(mut self, base: u32, path: &[u8]) -> Result<u32, Errno> {
        let to = GuestPtr::<[u8]>::new((PATH, path.len() as u32));
        self.memory.copy_from_slice(path, to).expect("it fits");
        let opened = self.ctx.path_open(
            &mut self.memory,
            base.into(),
            Lookupflags::SYMLINK_FOLLOW,
            GuestPtr::new((PATH, path.len() as u32)),
            Oflags::empty(),
            Rights::FD_READ,
            Rights::empty(),
            Fdflags::empty(),
        );
        opened.await.map(u32::from).map_err(errno)
    }

    async fn close(mut self, fd: u32) -> Result<(), Errno> {
        let closed = self.ctx.fd_close(&mut self.memory, fd.into());
        closed.await.map_err(errno)
    }

    async fn renumber(mut self, from: u32, to: u32) -> Result<(), Errno> {
        let moved = self
            .ctx
            .fd_renumber(&mut self.memory, from.into(), to.into());
        moved.await.map_err(errno)
    }

    /// Reads up to `len` bytes at `offset`.
    async fn pread(mut self, fd: u32, len: u32, offset: u64) -> Result<Vec<u8>, Errno> {
        write_iov(&mut self.memory, 0, BUFFER, len);
        let read = self
            .ctx
            .fd_pread(
                &mut self.memory,
                fd.into(),
                GuestPtr::new((IOVS, 1)),
                offset,
            )
            .await
            .map_err(errno)?;
        Ok(self.bytes(BUFFER, read))
    }

    /// Lists from a cookie on, into a buffer of this length.
    async fn readdir(mut self, fd: u32, len: u32, cookie: u64) -> Result<Vec<u8>, Errno> {
        let listed = self.ctx.fd_readdir(
            &mut self.memory,
            fd.into(),
            GuestPtr::new(BUFFER),
            len,
            cookie,
        );
        let listed = listed.await.map_err(errno)?;
        Ok(self.bytes(BUFFER, listed))
    }

    fn bytes(&self, at: u32, len: u32) -> Vec<u8> {
        self.memory
            .to_vec(GuestPtr::new((at, len)))
            .expect("in bounds")
    }
}

/// Writes one buffer into the array of them.
fn write_iov(memory: &mut GuestMemory<'_>, index: u32, buffer: u32, len: u32) {
    let at = IOVS + 8 * index;
    memory.write(GuestPtr::new(at), buffer).expect("in bounds");
    memory.write(GuestPtr::new(at + 4), len).expect("in bounds");
}

#[tokio::test]
async fn a_path_that_is_not_utf_8_is_an_illegal_byte_sequence_and_the_guest_goes_on() {
    let mut scene = Scene::new(|tree| fs::write(tree.join("plain"), "here").expect("a file")).await;
    for base in [NATIVE, OURS] {
        assert_eq!(scene.call().open(base, b"f\xfcr").await, Err(Errno::Ilseq));
        let opened = scene.call().open(base, b"plain").await.expect("a file");
        assert_eq!(
            scene.call().pread(opened, 9, 0).await.expect("it is read"),
            b"here"
        );
    }
}

/// A number of the guest's makes the host hold nothing: not one to close or to rename to, nor a count.
#[tokio::test]
async fn numbers_that_are_not_open_are_bad_descriptors() {
    let mut scene = Scene::new(|_| ()).await;
    let open = scene.ctx.table.len();
    for number in [open as u32, 1 << 16, i32::MAX as u32, u32::MAX] {
        assert_eq!(scene.call().close(number).await, Err(Errno::Badf));
        assert_eq!(
            scene.call().renumber(NATIVE, number).await,
            Err(Errno::Badf)
        );
        assert_eq!(
            scene.call().renumber(number, NATIVE).await,
            Err(Errno::Badf)
        );
        assert_eq!(scene.call().pread(number, 1, 0).await, Err(Errno::Badf));
        assert_eq!(scene.call().open(number, b"x").await, Err(Errno::Badf));
        assert_eq!(scene.ctx.table.len(), open);
    }
    let mut call = scene.call();
    for count in [0, 1 << 26, u32::MAX] {
        let (subscriptions, events) = (GuestPtr::new(0), GuestPtr::new(0));
        let polled = call
            .ctx
            .poll_oneoff(&mut call.memory, subscriptions, events, count);
        let wanted = if count == 0 {
            Errno::Inval
        } else {
            Errno::Nomem
        };
        assert_eq!(polled.await.map_err(errno), Err(wanted));
    }
}

/// Either linker has every function, of the same type.
#[tokio::test]
async fn both_linkers_have_the_same_functions() {
    let engine = wasmtime::Engine::default();
    let mut store = wasmtime::Store::new(&engine, None::<IpfsP1Ctx>);
    fn get(ctx: &mut Option<IpfsP1Ctx>) -> &mut IpfsP1Ctx {
        ctx.as_mut().expect("no call is made")
    }
    let mut linkers = [
        wasmtime::Linker::new(&engine),
        wasmtime::Linker::new(&engine),
    ];
    super::add_to_linker_async(&mut linkers[0], get).expect("it links");
    super::add_to_linker_sync(&mut linkers[1], get).expect("it links");
    let [of_async, of_sync] = linkers.map(|linker| {
        let all = linker.iter(&mut store).map(|(module, name, item)| {
            let function = item.into_func().expect("a function");
            (module.to_owned(), name.to_owned(), function)
        });
        let all: Vec<_> = all.collect();
        let mut all: Vec<_> = all
            .into_iter()
            .map(|(module, name, function)| format!("{module} {name} {}", function.ty(&store)))
            .collect();
        all.sort();
        all
    });
    assert_eq!(of_async.len(), 46);
    assert_eq!(of_async, of_sync);
}

#[test]
fn a_sync_host_runs_a_guest() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let scene = runtime.block_on(Scene::new(|tree| {
        fs::write(tree.join("note"), "read me").expect("a file")
    }));
    let engine = wasmtime::Engine::default();
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "path_open"
                (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read"
                (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 64) "note")
            (func (export "_start")
                (if (call $open (i32.const {OURS}) (i32.const 0) (i32.const 64) (i32.const 4)
                    (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 32))
                    (then unreachable))
                (i32.store (i32.const 0) (i32.const 128))
                (i32.store (i32.const 4) (i32.const 100))
                (if (call $read (i32.load (i32.const 32)) (i32.const 0) (i32.const 1) (i32.const 36))
                    (then unreachable))
                (call $exit (i32.add (i32.load (i32.const 36)) (i32.load8_u (i32.const 128))))))"#
    );
    let module = wat::parse_str(text).expect("the test's own text");
    let module = wasmtime::Module::new(&engine, module).expect("it compiles");
    let mut linker = wasmtime::Linker::<IpfsP1Ctx>::new(&engine);
    super::add_to_linker_sync(&mut linker, |ctx| ctx).expect("it links");
    let mut store = wasmtime::Store::new(&engine, scene.ctx);
    let instance = linker.instantiate(&mut store, &module).expect("it starts");
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start");
    let ended = start.expect("a start function").call(&mut store, ());
    let exit = ended
        .expect_err("it exits")
        .downcast::<wasmtime_wasi::I32Exit>();
    // Seven bytes, the first of which is an r. A status beyond 125 is kept.
    assert_eq!(exit.expect("no trap").0, 7 + i32::from(b'r'));
}

/// A library that is called more than once keeps what it has open, and its position.
#[tokio::test]
async fn a_reactor_is_called_by_its_exports() {
    let scene = Scene::new(|tree| fs::write(tree.join("note"), "abc").expect("a file")).await;
    let engine = wasmtime::Engine::default();
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "path_open"
                (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read"
                (func $read (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 64) "note")
            (func (export "_initialize")
                (if (call $open (i32.const {OURS}) (i32.const 0) (i32.const 64) (i32.const 4)
                    (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 32))
                    (then unreachable)))
            (func (export "next") (result i32)
                (i32.store (i32.const 0) (i32.const 128))
                (i32.store (i32.const 4) (i32.const 1))
                (i32.store (i32.const 128) (i32.const 0))
                (if (call $read (i32.load (i32.const 32)) (i32.const 0) (i32.const 1) (i32.const 36))
                    (then unreachable))
                (i32.load (i32.const 128))))"#
    );
    let module = wat::parse_str(text).expect("the test's own text");
    let module = wasmtime::Module::new(&engine, module).expect("it compiles");
    let mut linker = wasmtime::Linker::<IpfsP1Ctx>::new(&engine);
    super::add_to_linker_async(&mut linker, |ctx| ctx).expect("it links");
    let mut store = wasmtime::Store::new(&engine, scene.ctx);
    let instance = linker.instantiate_async(&mut store, &module).await;
    let instance = instance.expect("it starts");
    let begin = instance.get_typed_func::<(), ()>(&mut store, "_initialize");
    let begun = begin.expect("a function").call_async(&mut store, ()).await;
    begun.expect("it is ready");
    let next = instance.get_typed_func::<(), u32>(&mut store, "next");
    let next = next.expect("a function");
    for wanted in [*b"a", *b"b", *b"c", [0]] {
        let read = next.call_async(&mut store, ()).await;
        assert_eq!(read.expect("it is read"), u32::from(wanted[0]));
    }
}

fn fd(number: u32) -> Fd {
    number.into()
}
