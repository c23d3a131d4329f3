//! One run of a program: its inputs and its outcome.

use std::path::{Path, PathBuf};

use wasi_ipfs_fs::{
    IpfsCtx, IpfsView,
    p1::{self, IpfsP1Ctx},
};
use wasmtime::{
    Linker, Module, Store,
    component::{self, Accessor, Component, Instance, ResourceTable},
};
use wasmtime_wasi::{
    FsPerms, I32Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, p2,
    p2::pipe::{MemoryInputPipe, MemoryOutputPipe},
    p3,
};

use crate::{Entry, Program, guest::Code, ruby};

/// The most that a guest may print, in bytes.
const OUTPUT_BYTES: usize = 256 * 1024 * 1024;

/// The inputs of a program. It inherits nothing from the host.
#[derive(Debug)]
pub struct Run {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    preopens: Vec<(PathBuf, String, FsPerms)>,
    stdin: Vec<u8>,
    filesystem: Filesystem,
    native_calls: NativeCalls,
}

/// The thread on which wasmtime-wasi makes the system calls of native files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NativeCalls {
    /// On a thread for blocking calls, which is the default.
    #[default]
    BlockingThread,
    /// On the current thread (`allow_blocking_current_thread`).
    CurrentThread,
}

#[derive(Debug)]
enum Filesystem {
    Native,
    AdapterAlone,
    Ipfs(IpfsCtx),
}

impl Run {
    /// Makes a run with these arguments, of which the first is the program's name. The adapter is linked, and the guest
    /// has no IPFS.
    pub fn new(arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            preopens: Vec::new(),
            stdin: Vec::new(),
            filesystem: Filesystem::AdapterAlone,
            native_calls: NativeCalls::default(),
        }
    }

    /// Chooses the thread for the system calls of native files.
    pub fn native_calls(mut self, native_calls: NativeCalls) -> Self {
        self.native_calls = native_calls;
        self
    }

    /// Adds a variable to the environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the standard input, which is empty otherwise.
    pub fn stdin(mut self, bytes: Vec<u8>) -> Self {
        self.stdin = bytes;
        self
    }

    /// Preopens a host directory, natively.
    pub fn preopen(mut self, host: impl AsRef<Path>, guest: &str, permissions: FsPerms) -> Self {
        self.preopens
            .push((host.as_ref().to_owned(), guest.to_owned(), permissions));
        self
    }

    /// Grants the guest IPFS.
    pub fn ipfs(mut self, ctx: IpfsCtx) -> Self {
        self.filesystem = Filesystem::Ipfs(ctx);
        self
    }

    /// Uses wasmtime-wasi alone; the adapter is not even linked.
    pub fn native(mut self) -> Self {
        self.filesystem = Filesystem::Native;
        self
    }

    /// Runs `program` to its end.
    ///
    /// # Panics
    /// If the host's side cannot be set up, because that is not an outcome of the guest.
    pub async fn program(self, program: &Program) -> Outcome {
        let (stdout, stderr) = (
            MemoryOutputPipe::new(OUTPUT_BYTES),
            MemoryOutputPipe::new(OUTPUT_BYTES),
        );
        let wasi = self.wasi(stdout.clone(), stderr.clone());
        let ended = match program.code() {
            Code::Module(module) => self.module(wasi, module, program.entry()).await,
            Code::Component(component) => self.component(wasi, component, program.entry()).await,
        };
        let end = match ended {
            Ok(Ok(())) => End::Exit(0),
            Ok(Err(())) => End::Exit(1),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(I32Exit(status)) => End::Exit(*status),
                None => End::Trap(format!("{error:?}")),
            },
        };
        Outcome {
            program: program.name().to_owned(),
            end,
            stdout: stdout.contents().to_vec(),
            stderr: String::from_utf8_lossy(&stderr.contents()).into_owned(),
        }
    }

    /// Runs a component. Returns how its `run` ended, or the trap or exit.
    async fn component(
        self,
        mut wasi: WasiCtxBuilder,
        component: &Component,
        entry: Entry,
    ) -> wasmtime::Result<Result<(), ()>> {
        let engine = component.engine();
        let mut linker = component::Linker::<State>::new(engine);
        let adapter = !matches!(self.filesystem, Filesystem::Native);
        link(&mut linker, entry, adapter).expect("all interfaces link");
        let state = State {
            wasi: wasi.build(),
            table: ResourceTable::new(),
            ipfs: self.filesystem.ipfs(),
        };
        let mut store = Store::new(engine, state);
        let instance = linker.instantiate_async(&mut store, component).await;
        let instance = instance.unwrap_or_else(|error| panic!("it does not start: {error:?}"));
        call(&mut store, &instance, entry).await
    }

    /// Runs a module. Returns the trap or exit, if its `_start` does not return.
    async fn module(
        self,
        mut wasi: WasiCtxBuilder,
        module: &Module,
        entry: Entry,
    ) -> wasmtime::Result<Result<(), ()>> {
        let engine = module.engine();
        let blocking = self.native_calls == NativeCalls::CurrentThread;
        let arguments = self.arguments;
        let wasi = wasi.build_p1();
        if let Filesystem::Native = self.filesystem {
            let mut linker = Linker::new(engine);
            wasmtime_wasi::p1::add_to_linker_async(&mut linker, |wasi| wasi).expect("it links");
            return start(Store::new(engine, wasi), linker, module, entry, &arguments).await;
        }
        let ctx = IpfsP1Ctx::new(wasi, self.filesystem.ipfs().as_ref()).expect("a context");
        let ctx = ctx.allow_blocking_current_thread(blocking);
        let mut linker = Linker::new(engine);
        p1::add_to_linker_async(&mut linker, |ctx: &mut IpfsP1Ctx| ctx).expect("it links");
        start(Store::new(engine, ctx), linker, module, entry, &arguments).await
    }

    fn wasi(&self, stdout: MemoryOutputPipe, stderr: MemoryOutputPipe) -> WasiCtxBuilder {
        let mut wasi = WasiCtx::builder();
        wasi.args(&self.arguments).stdout(stdout).stderr(stderr);
        wasi.stdin(MemoryInputPipe::new(self.stdin.clone()));
        wasi.allow_blocking_current_thread(self.native_calls == NativeCalls::CurrentThread);
        for (name, value) in &self.environment {
            wasi.env(name, value);
        }
        for (host, guest, permissions) in &self.preopens {
            wasi.preopened_dir(host, guest, *permissions)
                .unwrap_or_else(|error| panic!("preopening {}: {error}", host.display()));
        }
        wasi
    }
}

impl Filesystem {
    fn ipfs(self) -> Option<IpfsCtx> {
        match self {
            Self::Native | Self::AdapterAlone => None,
            Self::Ipfs(ctx) => Some(ctx),
        }
    }
}

/// Starts a program that is a module.
async fn start<T: Send + 'static>(
    mut store: Store<T>,
    mut linker: Linker<T>,
    module: &Module,
    entry: Entry,
    arguments: &[String],
) -> wasmtime::Result<Result<(), ()>> {
    if entry == Entry::Ruby {
        ruby::link(&mut linker, module).expect("it links");
    }
    let instance = linker.instantiate_async(&mut store, module).await;
    let instance = instance.unwrap_or_else(|error| panic!("it does not start: {error:?}"));
    if entry == Entry::Ruby {
        return ruby::run(&mut store, &instance, arguments).await;
    }
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    start.call_async(&mut store, ()).await.map(Ok)
}

/// Links wasmtime-wasi, and the adapter if it is wanted. A program of WASI 0.3 gets 0.2 as well, for its standard
/// library.
fn link(
    linker: &mut component::Linker<State>,
    entry: Entry,
    adapter: bool,
) -> wasmtime::Result<()> {
    p2::add_to_linker_async(linker)?;
    if adapter {
        wasi_ipfs_fs::p2::add_to_linker_async(linker)?;
    }
    if entry == Entry::Run03 {
        p3::add_to_linker(linker)?;
        if adapter {
            wasi_ipfs_fs::p3::add_to_linker(linker)?;
        }
    }
    Ok(())
}

/// Calls the program's entry.
async fn call(
    store: &mut Store<State>,
    instance: &Instance,
    entry: Entry,
) -> wasmtime::Result<Result<(), ()>> {
    match entry {
        Entry::Start | Entry::Ruby | Entry::Run02 => {
            let command = p2::bindings::Command::new(&mut *store, instance)?;
            command.wasi_cli_run().call_run(store).await
        }
        Entry::Run03 => {
            let command = p3::bindings::Command::new(&mut *store, instance)?;
            let run = async |store: &Accessor<State>| command.wasi_cli_run().call_run(store).await;
            store.run_concurrent(run).await?
        }
    }
}

/// A component's state in its store.
pub struct State {
    /// The state of wasmtime-wasi.
    pub wasi: WasiCtx,
    /// The resources of wasmtime-wasi and of the adapter.
    pub table: ResourceTable,
    /// The guest's IPFS, if it has any.
    pub ipfs: Option<IpfsCtx>,
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
        self.ipfs.as_ref()
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("ipfs", &self.ipfs)
            .finish_non_exhaustive()
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With this exit status.
    Exit(i32),
    /// By a trap. A guest never causes one itself: it asserts, and exits with 1.
    Trap(String),
}

/// The outcome of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    program: String,
    /// How it ended.
    pub end: End,
    /// The standard output.
    pub stdout: Vec<u8>,
    /// The standard error.
    pub stderr: String,
}

impl Outcome {
    /// Returns the standard output of a successful run, which must be text.
    #[track_caller]
    pub fn success(&self) -> &str {
        assert_eq!(self.end, End::Exit(0), "{}: {}", self.program, self.stderr);
        self.text()
    }

    /// Returns the standard output, however the run ended.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout)
            .unwrap_or_else(|error| panic!("{} printed no text: {error}", self.program))
    }
}
