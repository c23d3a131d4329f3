//! Guests that are components: programs of preview 2, and of WASI 0.3, which use preview 2 as well.

use wasi_ipfs_fs::{IpfsCtx, IpfsView};
use wasmtime::{
    Engine, Store, StoreLimits,
    component::{Accessor, Component, Linker, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView, p2, p3};

use crate::{engine, wasmtime_flags::Options};

/// A compiled component, and how it is run.
pub(crate) struct Program {
    pub(crate) code: Component,
    pub(crate) entry: Entry,
}

/// The interface by which a program is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// `wasi:cli/run` of 0.2, or `_start` of a module.
    Sequential,
    /// `wasi:cli/run` of 0.3.
    Concurrent,
}

impl Entry {
    /// Reads it out of a program's bytes, which contain the names of its exports.
    pub(crate) fn of(program: &[u8]) -> Self {
        const RUN_03: &[u8] = b"wasi:cli/run@0.3";
        match program.windows(RUN_03.len()).any(|bytes| bytes == RUN_03) {
            true => Self::Concurrent,
            false => Self::Sequential,
        }
    }

    /// Whether the engine has to support concurrent calls, which costs every other program time.
    pub(crate) fn is_concurrent(self) -> bool {
        self == Self::Concurrent
    }
}

/// The state of a component's host calls.
struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    ipfs: Option<IpfsCtx>,
    limits: StoreLimits,
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

/// Runs a component until its `run` returns, which is the result, or until it exits or traps, which is an error.
pub(crate) async fn run(
    engine: &Engine,
    program: &Program,
    wasi: WasiCtx,
    ipfs: Option<IpfsCtx>,
    options: &Options,
) -> wasmtime::Result<Result<(), ()>> {
    let state = State {
        wasi,
        table: ResourceTable::new(),
        ipfs,
        limits: engine::store_limits(&options.wasm),
    };
    let mut linker = Linker::<State>::new(engine);
    p2::add_to_linker_async(&mut linker)?;
    wasi_ipfs_fs::p2::add_to_linker_async(&mut linker)?;
    if program.entry.is_concurrent() && options.wasi.p3 {
        p3::add_to_linker(&mut linker)?;
        wasi_ipfs_fs::p3::add_to_linker(&mut linker)?;
    }
    let mut store = Store::new(engine, state);
    engine::bound(&mut store, &options.wasm, |state| &mut state.limits)?;
    let instance = linker.instantiate_async(&mut store, &program.code).await?;
    match program.entry {
        Entry::Sequential => {
            let command = p2::bindings::Command::new(&mut store, &instance)?;
            command.wasi_cli_run().call_run(&mut store).await
        }
        Entry::Concurrent => {
            let command = p3::bindings::Command::new(&mut store, &instance)?;
            let run = async |store: &Accessor<State>| command.wasi_cli_run().call_run(store).await;
            store.run_concurrent(run).await?
        }
    }
}
