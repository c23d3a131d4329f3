//! wasmtime's engine and store, as the options say: how a guest is compiled, how much it may use, and how long it may
//! run.

use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use wasmtime::{Cache, Config, Engine, ResourceLimiter, Store, StoreLimits, StoreLimitsBuilder};

use crate::{
    compiled,
    wasmtime_error::from_wasmtime,
    wasmtime_flags::{Options, Wasm},
};

/// How long a guest that computes has to trap, and to show where it was, when its time is over.
const TRAPS_WITHIN: Duration = Duration::from_millis(200);

/// How long a guest that waits in a host call has to close what it has open.
const DROPPED_WITHIN: Duration = Duration::from_secs(2);

/// Sets up the engine, with support for concurrent calls if the guest makes any, and the cache of its compilations if
/// there is one. It waits for the disk.
pub(crate) fn engine(
    options: &Options,
    concurrent: bool,
) -> anyhow::Result<(Engine, Option<Cache>)> {
    let mut config = Config::new();
    let cache = match options.codegen.cache {
        None | Some(true) => compiled::cache()?,
        Some(false) => None,
    };
    config.cache(cache.clone());
    if let Some(parallel) = options.codegen.parallel_compilation {
        config.parallel_compilation(parallel);
    }
    if let Some(level) = options.optimize.level {
        config.cranelift_opt_level(level);
    }
    config.concurrency_support(concurrent);
    config.cranelift_nan_canonicalization(options.wasm.nan_canonicalization);
    // Both cost time at every turn of a loop, so they are off unless they are needed.
    config.consume_fuel(options.wasm.fuel.is_some());
    config.epoch_interruption(options.wasm.timeout.is_some());
    let engine = Engine::new(&config).map_err(from_wasmtime)?;
    Ok((engine, cache))
}

/// Logs whether anything was compiled.
pub(crate) fn log_compilation(name: &str, cache: Option<&Cache>) {
    if let Some(cache) = cache {
        let (found, compiled) = (cache.cache_hits(), cache.cache_misses());
        tracing::info!(found, compiled, "'{name}' is ready");
    }
}

/// The most that a guest's memories and tables may grow to.
pub(crate) fn store_limits(wasm: &Wasm) -> StoreLimits {
    let mut limits = StoreLimitsBuilder::new().trap_on_grow_failure(wasm.trap_on_grow_failure);
    if let Some(bytes) = wasm.max_memory_size {
        limits = limits.memory_size(bytes);
    }
    if let Some(most) = wasm.max_table_elements {
        limits = limits.table_elements(most);
    }
    if let Some(most) = wasm.max_instances {
        limits = limits.instances(most);
    }
    if let Some(most) = wasm.max_tables {
        limits = limits.tables(most);
    }
    if let Some(most) = wasm.max_memories {
        limits = limits.memories(most);
    }
    limits.build()
}

/// Sets a store's fuel, its limits, which `limits` finds in its state, and the epoch in which [`within`] stops it.
pub(crate) fn bound<T: 'static>(
    store: &mut Store<T>,
    wasm: &Wasm,
    limits: impl (FnMut(&mut T) -> &mut dyn ResourceLimiter) + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    store.limiter(limits);
    if let Some(fuel) = wasm.fuel {
        store.set_fuel(fuel)?;
    }
    if wasm.timeout.is_some() {
        store.set_epoch_deadline(1);
        store.epoch_deadline_trap();
    }
    Ok(())
}

/// Waits for a guest's task, for `timeout` at most. When the time is over, a guest that computes traps, and one that
/// waits in a host call is dropped, with everything that it has open. For the latter this returns `None`.
pub(crate) async fn within<T>(
    timeout: Option<Duration>,
    engine: &Engine,
    mut run: JoinHandle<T>,
) -> Option<Result<T, JoinError>> {
    let Some(timeout) = timeout else {
        return Some(run.await);
    };
    if let Ok(ended) = tokio::time::timeout(timeout, &mut run).await {
        return Some(ended);
    }
    engine.increment_epoch();
    if let Ok(ended) = tokio::time::timeout(TRAPS_WITHIN, &mut run).await {
        return Some(ended);
    }
    run.abort();
    // It is dropped at once, unless it blocks its thread.
    let _dropped = tokio::time::timeout(DROPPED_WITHIN, run).await;
    None
}
