//! The state of one guest of preview 1.

use std::{fmt, sync::Arc};

use pinset::Session;
use wasmtime_wasi::p1::{WasiP1Ctx, wasi_snapshot_preview1::WasiSnapshotPreview1 as _};
use wiggle::{GuestMemory, GuestPtr};

use super::{
    Fd, Result,
    dir::OpenDir,
    table::{Slot, Table},
};
use crate::{
    ctx::IpfsCtx,
    errno::{Failures, Refusal},
    error,
};

/// The state of a guest of preview 1 in its store: wasmtime-wasi's own, and the guest's IPFS.
///
/// It belongs to one guest, as a [`WasiP1Ctx`] does.
pub struct IpfsP1Ctx {
    pub(super) wasi: WasiP1Ctx,
    /// The guest's session, if it has IPFS.
    pub(super) session: Option<Session>,
    /// The guest's calls that failed.
    pub(super) failures: Arc<Failures>,
    pub(super) table: Table,
    /// How many bytes the current call may still copy out of the guest's memory.
    pub(super) fuel: usize,
    /// Whether wasmtime-wasi reads and writes native files on the current thread.
    blocking: bool,
}

/// Standard input, output and error.
const STANDARD: u32 = 3;

impl IpfsP1Ctx {
    /// Makes the state of a guest out of wasmtime-wasi's, which must be new, and the guest's IPFS.
    ///
    /// The guest finds `/ipfs`, `/ipns` (if a name was granted) and the mounts open, after wasmtime-wasi's preopened
    /// directories. Each of them is one open handle of the guest's session. With `None`, nothing is intercepted or added.
    ///
    /// # Errors
    /// [`Error::Preopen`](crate::Error::Preopen), which names the directory for which the session has no handle left.
    pub fn new(wasi: WasiP1Ctx, ipfs: Option<&IpfsCtx>) -> Result<Self, error::Error> {
        let mut ctx = Self {
            wasi,
            session: ipfs.map(|ipfs| ipfs.session().clone()),
            failures: ipfs.map_or_else(Arc::default, |ipfs| ipfs.failures().clone()),
            table: Table::default(),
            fuel: usize::MAX,
            blocking: false,
        };
        ctx.add_native();
        for (name, dir) in ipfs.map_or(Ok(Vec::new()), IpfsCtx::preopens)? {
            let open = OpenDir::preopened(&name, dir);
            ctx.table.push(Slot::Dir(Box::new(open)));
        }
        Ok(ctx)
    }

    /// Tells whether wasmtime-wasi may block the current thread, as
    /// [`WasiCtxBuilder::allow_blocking_current_thread`](wasmtime_wasi::WasiCtxBuilder::allow_blocking_current_thread) was
    /// told; it cannot be asked.
    ///
    /// If it may, it reads native files straight into the guest's memory and copies nothing. Then the store's
    /// [`hostcall_fuel`](wasmtime::Store::set_hostcall_fuel), 128 MiB unless set, does not limit the length of such a
    /// read or write. It does for wasmtime-wasi alone, so that a program that reads a longer file at once fails.
    #[must_use]
    pub fn allow_blocking_current_thread(mut self, allowed: bool) -> Self {
        self.blocking = allowed;
        self
    }

    /// The standard streams and wasmtime-wasi's preopened directories get the same numbers here as there.
    fn add_native(&mut self) {
        // That a number is open is all that is asked; nothing is written.
        let mut nothing = GuestMemory::Unshared(&mut []);
        for number in 0_u32.. {
            let fd = Fd::from(number);
            if number >= STANDARD && self.wasi.fd_prestat_get(&mut nothing, fd).is_err() {
                break;
            }
            self.table.push(Slot::native(fd));
        }
    }

    /// Takes bytes off what the current call may copy.
    pub(super) fn consume(&mut self, bytes: usize) -> Result<()> {
        let left = self.fuel.checked_sub(bytes);
        self.fuel = left.ok_or(Refusal::TooMuchCopied)?;
        Ok(())
    }

    /// Copies a path out of the guest's memory. One that is not UTF-8 is an illegal byte sequence, and the guest goes on.
    pub(super) fn path(&mut self, memory: &GuestMemory<'_>, path: GuestPtr<str>) -> Result<String> {
        self.consume(path.len() as usize)?;
        Ok(memory.as_cow_str(path)?.into_owned())
    }

    /// Lifts wasmtime-wasi's limit for the current read or write of the native number, if no bytes are copied for it.
    /// Whatever stands for the standard streams may copy them.
    pub(super) fn lift_limit(&mut self, memory: &GuestMemory<'_>, native: Fd) {
        let unshared = matches!(memory, GuestMemory::Unshared(_));
        if self.blocking && unshared && u32::from(native) >= STANDARD {
            self.wasi.set_hostcall_fuel(usize::MAX);
        }
    }

    /// Closes what was taken out of the table.
    pub(super) async fn close(&mut self, memory: &mut GuestMemory<'_>, slot: Slot) -> Result<()> {
        match slot {
            Slot::Native(native) => self.wasi.fd_close(memory, native.fd).await,
            Slot::File(_) | Slot::Dir(_) => Ok(()),
        }
    }
}

impl fmt::Debug for IpfsP1Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IpfsP1Ctx")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}
