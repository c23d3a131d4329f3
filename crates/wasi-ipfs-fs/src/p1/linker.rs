//! The linker functions.
//!
//! wasmtime-wasi generates the async one for any implementation of its trait, but the sync one for its own state alone.
//! So the sync one is here, over the same generated functions: each decodes the guest's arguments and calls the trait.

use wasmtime::{AsContextMut as _, Caller, Extern, Linker};
use wasmtime_wasi::{
    p1::wasi_snapshot_preview1::{self as generated, WasiSnapshotPreview1 as _},
    runtime::in_tokio,
};
use wiggle::GuestMemory;

use super::ctx::IpfsP1Ctx;

/// The name of preview 1, as modules import it.
const PREVIEW_1: &str = "wasi_snapshot_preview1";

/// Adds `wasi_snapshot_preview1` with IPFS to a linker, in the place of [`wasmtime_wasi::p1::add_to_linker_async`].
///
/// `get` finds a guest's state in the store's data. As in wasmtime-wasi, the module must export its memory as `memory`. A
/// shared memory will do. A module's other imports are the embedder's to define, and so are the exports that it calls:
/// `_start`, or `_initialize` and the exports of a reactor.
///
/// # Errors
/// When the linker has one of the names already. Those of wasmtime-wasi's `p1` are the same.
pub fn add_to_linker_async<T: Send + 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut IpfsP1Ctx + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    generated::add_to_linker(linker, get)
}

/// Like [`add_to_linker_async`], for an embedder whose stores are not async. A call that waits blocks its thread.
///
/// It waits in tokio's runtime if the thread has entered one, else in one of wasmtime-wasi's. As there, this panics within
/// an async task.
///
/// # Errors
/// As [`add_to_linker_async`].
pub fn add_to_linker_sync<T: Send + 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut IpfsP1Ctx + Copy + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    macro_rules! add {
        ($($name:ident($($argument:ident: $type:ty),*) $(-> $errno:tt)? $(, $async:ident)?;)*) => {$(
            linker.func_wrap(
                PREVIEW_1,
                stringify!($name),
                move |mut caller: Caller<'_, T>, $($argument: $type),*| -> wasmtime::Result<add!(@result $($errno)?)> {
                    let export = caller.get_export("memory");
                    let (mut memory, ctx) = parts(export.as_ref(), &mut caller, get)?;
                    let called = generated::$name(ctx, &mut memory, $($argument),*);
                    add!(@ended called $($async)?)
                },
            )?;
        )*};
        (@result i32) => { i32 };
        (@result) => { () };
        (@ended $called:ident waits) => { in_tokio($called) };
        (@ended $called:ident) => { $called };
    }
    // The types are those of WebAssembly. Another number of them, or others, would not compile.
    add! {
        args_get(a: i32, b: i32) -> i32;
        args_sizes_get(a: i32, b: i32) -> i32;
        environ_get(a: i32, b: i32) -> i32;
        environ_sizes_get(a: i32, b: i32) -> i32;
        clock_res_get(a: i32, b: i32) -> i32;
        clock_time_get(a: i32, b: i64, c: i32) -> i32;
        fd_advise(a: i32, b: i64, c: i64, d: i32) -> i32, waits;
        fd_allocate(a: i32, b: i64, c: i64) -> i32;
        fd_close(a: i32) -> i32, waits;
        fd_datasync(a: i32) -> i32, waits;
        fd_fdstat_get(a: i32, b: i32) -> i32, waits;
        fd_fdstat_set_flags(a: i32, b: i32) -> i32;
        fd_fdstat_set_rights(a: i32, b: i64, c: i64) -> i32;
        fd_filestat_get(a: i32, b: i32) -> i32, waits;
        fd_filestat_set_size(a: i32, b: i64) -> i32, waits;
        fd_filestat_set_times(a: i32, b: i64, c: i64, d: i32) -> i32, waits;
        fd_pread(a: i32, b: i32, c: i32, d: i64, e: i32) -> i32, waits;
        fd_prestat_get(a: i32, b: i32) -> i32;
        fd_prestat_dir_name(a: i32, b: i32, c: i32) -> i32;
        fd_pwrite(a: i32, b: i32, c: i32, d: i64, e: i32) -> i32, waits;
        fd_read(a: i32, b: i32, c: i32, d: i32) -> i32, waits;
        fd_readdir(a: i32, b: i32, c: i32, d: i64, e: i32) -> i32, waits;
        fd_renumber(a: i32, b: i32) -> i32, waits;
        fd_seek(a: i32, b: i64, c: i32, d: i32) -> i32, waits;
        fd_sync(a: i32) -> i32, waits;
        fd_tell(a: i32, b: i32) -> i32;
        fd_write(a: i32, b: i32, c: i32, d: i32) -> i32, waits;
        path_create_directory(a: i32, b: i32, c: i32) -> i32, waits;
        path_filestat_get(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32, waits;
        path_filestat_set_times(a: i32, b: i32, c: i32, d: i32, e: i64, f: i64, g: i32) -> i32, waits;
        path_link(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32) -> i32, waits;
        path_open(a: i32, b: i32, c: i32, d: i32, e: i32, f: i64, g: i64, h: i32, i: i32) -> i32, waits;
        path_readlink(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32, waits;
        path_remove_directory(a: i32, b: i32, c: i32) -> i32, waits;
        path_rename(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32, waits;
        path_symlink(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32, waits;
        path_unlink_file(a: i32, b: i32, c: i32) -> i32, waits;
        poll_oneoff(a: i32, b: i32, c: i32, d: i32) -> i32, waits;
        proc_exit(a: i32);
        proc_raise(a: i32) -> i32;
        sched_yield() -> i32;
        random_get(a: i32, b: i32) -> i32;
        sock_accept(a: i32, b: i32, c: i32) -> i32;
        sock_recv(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32;
        sock_send(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32;
        sock_shutdown(a: i32, b: i32) -> i32;
    }
    Ok(())
}

/// Returns a caller's memory, and its state with the fuel for one call.
fn parts<'c, T: 'static>(
    export: Option<&'c Extern>,
    caller: &'c mut Caller<'_, T>,
    get: impl Fn(&mut T) -> &mut IpfsP1Ctx,
) -> wasmtime::Result<(GuestMemory<'c>, &'c mut IpfsP1Ctx)> {
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (memory, ctx) = match export {
        Some(Extern::Memory(memory)) => {
            let (memory, data) = memory.data_and_store_mut(caller);
            (GuestMemory::Unshared(memory), get(data))
        }
        Some(Extern::SharedMemory(memory)) => {
            (GuestMemory::Shared(memory.data()), get(caller.data_mut()))
        }
        _ => wasmtime::bail!("missing required memory export"),
    };
    ctx.set_hostcall_fuel(fuel);
    Ok((memory, ctx))
}
