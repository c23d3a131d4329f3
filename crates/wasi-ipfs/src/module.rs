//! Guests that are core modules, which are programs of preview 1. Components are preview 2's.

use anyhow::{Context, bail};
use wasi_ipfs_fs::{
    IpfsCtx,
    p1::{self, IpfsP1Ctx},
};
use wasmtime::{Engine, Linker, Module, Store, StoreLimits};
use wasmtime_wasi::p1::WasiP1Ctx;

use crate::{engine, wasmtime_error::from_wasmtime, wasmtime_flags::Wasm};

/// The two kinds of WebAssembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A core module.
    Module,
    /// A component.
    Component,
}

impl Kind {
    /// Reads the header of `wasm`, which is the guest `name`.
    pub(crate) fn of(name: &str, wasm: &[u8]) -> anyhow::Result<Self> {
        let reason = match wasm {
            [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => return Ok(Self::Module),
            [b'\0', b'a', b's', b'm', _, _, 1, 0, ..] => return Ok(Self::Component),
            [] => "it is empty",
            [b'\0', b'a', b's', b'm', ..] => "its version is unknown",
            _ => "it does not start with \\0asm",
        };
        bail!("'{name}' is not a WebAssembly program: {reason}")
    }
}

/// Compiles a module, and checks that it is a program of preview 1.
pub(crate) fn compile(engine: &Engine, name: &str, wasm: &[u8]) -> anyhow::Result<Module> {
    let module = Module::new(engine, wasm)
        .map_err(from_wasmtime)
        .with_context(|| format!("cannot compile '{name}'"))?;
    check(name, &module)?;
    Ok(module)
}

/// Checks that a module is a program of preview 1.
pub(crate) fn check(name: &str, module: &Module) -> anyhow::Result<()> {
    for import in module.imports() {
        match import.module() {
            "wasi_snapshot_preview1" => {}
            "wasi_unstable" => bail!(
                "'{name}' cannot be run: it is a program of WASI preview 0 ('wasi_unstable'), which was replaced in \
                 2020; build it for wasm32-wasip1 or wasm32-wasip2"
            ),
            from => bail!(
                "'{name}' cannot be run: it imports '{}' from '{from}', but a module may import from \
                 wasi_snapshot_preview1 only; build it for wasm32-wasip1 or wasm32-wasip2",
                import.name()
            ),
        }
    }
    if module.get_export("_start").is_none() {
        bail!("'{name}' cannot be run: it exports no _start; expected a program, not a library");
    }
    Ok(())
}

/// The state of a module's host calls.
struct State {
    ctx: IpfsP1Ctx,
    limits: StoreLimits,
}

/// Runs a module within `bounds` until its `_start` returns, or until it exits or traps, which is an error.
pub(crate) async fn run(
    engine: &Engine,
    module: &Module,
    wasi: WasiP1Ctx,
    ipfs: Option<&IpfsCtx>,
    bounds: &Wasm,
) -> wasmtime::Result<()> {
    // The guest's native files are read and written on its own thread: see `guest::wasi`.
    let state = State {
        ctx: IpfsP1Ctx::new(wasi, ipfs)?.allow_blocking_current_thread(true),
        limits: engine::store_limits(bounds),
    };
    let mut linker = Linker::<State>::new(engine);
    p1::add_to_linker_async(&mut linker, |state| &mut state.ctx)?;
    let mut store = Store::new(engine, state);
    engine::bound(&mut store, bounds, |state| &mut state.limits)?;
    let instance = linker.instantiate_async(&mut store, module).await?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    start.call_async(&mut store, ()).await
}
