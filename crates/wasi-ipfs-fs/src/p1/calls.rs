//! Every function of preview 1. It looks its descriptor up in the table: calls on ours are answered here, all others go
//! to wasmtime-wasi with its own number (I8). The trait is wasmtime-wasi's own, so a function that is forgotten does not
//! compile.
//!
//! Where a descriptor of ours is of the wrong kind, the answer is wasmtime-wasi's to the like. The error codes are in
//! `errno.rs`.

use wasmtime_wasi::{
    I32Exit,
    p1::{
        types::{
            Advice, CiovecArray, Clockid, Dircookie, Errno, Event, Exitcode, Fdflags, Fdstat,
            Filedelta, Filesize, Filestat, Fstflags, IovecArray, Lookupflags, Oflags, Prestat,
            PrestatDir, Riflags, Rights, Roflags, Sdflags, Siflags, Signal, Size, Subscription,
            Timestamp, Whence,
        },
        wasi_snapshot_preview1::WasiSnapshotPreview1,
    },
};
use wiggle::{GuestMemory, GuestPtr};

use super::{
    Fd, Result,
    ctx::IpfsP1Ctx,
    dir::OpenDir,
    file::{OpenFile, copy_out},
    native_listing, poll,
    table::{Native, Slot},
};
use crate::{errno::Refusal, paths::Open};

/// Functions without a descriptor: they go to wasmtime-wasi as they are.
macro_rules! without_descriptor {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        fn $name(&mut self, memory: &mut GuestMemory<'_>, $($argument: $type),*) -> Result<$result> {
            self.wasi.$name(memory, $($argument),*)
        }
    )*};
}

/// Functions on one descriptor that ours refuse: the look-up in the table, and the refusal.
macro_rules! refused_on_ours {
    ($($look_up:ident or $refused:expr => $(($async:ident))? fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        $($async)? fn $name(&mut self, memory: &mut GuestMemory<'_>, fd: Fd, $($argument: $type),*) -> Result<$result> {
            let fd = self.table.$look_up(fd, $refused)?;
            let done = self.wasi.$name(memory, fd, $($argument),*);
            refused_on_ours!(@ended done $($async)?)
        }
    )*};
    (@ended $done:ident async) => { $done.await };
    (@ended $done:ident) => { $done };
}

impl WasiSnapshotPreview1 for IpfsP1Ctx {
    fn set_hostcall_fuel(&mut self, fuel: usize) {
        self.fuel = fuel;
        self.wasi.set_hostcall_fuel(fuel);
    }

    without_descriptor! {
        fn args_get(argv: GuestPtr<GuestPtr<u8>>, buffer: GuestPtr<u8>) -> ();
        fn args_sizes_get() -> (Size, Size);
        fn environ_get(environ: GuestPtr<GuestPtr<u8>>, buffer: GuestPtr<u8>) -> ();
        fn environ_sizes_get() -> (Size, Size);
        fn clock_res_get(id: Clockid) -> Timestamp;
        fn clock_time_get(id: Clockid, precision: Timestamp) -> Timestamp;
        fn proc_raise(signal: Signal) -> ();
        fn sched_yield() -> ();
        fn random_get(buffer: GuestPtr<u8>, len: Size) -> ();
    }

    refused_on_ours! {
        native_file or Refusal::NotSupported => fn fd_allocate(offset: Filesize, len: Filesize) -> ();
        native or Refusal::NotSupported => fn fd_fdstat_set_rights(base: Rights, inheriting: Rights) -> ();
        native_file or Refusal::ReadOnly => (async) fn fd_filestat_set_size(size: Filesize) -> ();
        native or Refusal::ReadOnly => (async) fn fd_filestat_set_times(atim: Timestamp, mtim: Timestamp, flags: Fstflags) -> ();
        native_dir or Refusal::ReadOnly => (async) fn path_create_directory(path: GuestPtr<str>) -> ();
        native_dir or Refusal::ReadOnly => (async) fn path_filestat_set_times(flags: Lookupflags, path: GuestPtr<str>, atim: Timestamp, mtim: Timestamp, times: Fstflags) -> ();
        native_dir or Refusal::ReadOnly => (async) fn path_remove_directory(path: GuestPtr<str>) -> ();
        native_dir or Refusal::ReadOnly => (async) fn path_unlink_file(path: GuestPtr<str>) -> ();
        native or Errno::Notsock => fn sock_accept(flags: Fdflags) -> Fd;
        native or Errno::Notsock => fn sock_recv(iovs: IovecArray, flags: Riflags) -> (Size, Roflags);
        native or Errno::Notsock => fn sock_send(iovs: CiovecArray, flags: Siflags) -> Size;
        native or Errno::Notsock => fn sock_shutdown(how: Sdflags) -> ();
    }

    /// All of the status. wasmtime-wasi's own refuses 126 and more.
    fn proc_exit(&mut self, _: &mut GuestMemory<'_>, status: Exitcode) -> wasmtime::Error {
        I32Exit(status as i32).into()
    }

    async fn fd_advise(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        offset: Filesize,
        len: Filesize,
        advice: Advice,
    ) -> Result<()> {
        match self.table.get(fd)? {
            Slot::Native(Native { fd, .. }) => {
                let fd = *fd;
                self.wasi.fd_advise(memory, fd, offset, len, advice).await
            }
            Slot::File(file) => {
                file.advise(offset, len, advice);
                Ok(())
            }
            Slot::Dir(_) => Err(Refusal::NotFile.into()),
        }
    }

    async fn fd_close(&mut self, memory: &mut GuestMemory<'_>, fd: Fd) -> Result<()> {
        let closed = self.table.take(fd)?;
        self.close(memory, closed).await
    }

    /// The number `to` changes hands before what was behind it is closed, so a call that is dropped has done either all
    /// or nothing.
    async fn fd_renumber(&mut self, memory: &mut GuestMemory<'_>, from: Fd, to: Fd) -> Result<()> {
        match self.table.renumber(from, to)? {
            Some(replaced) => self.close(memory, replaced).await,
            None => Ok(()),
        }
    }

    async fn fd_datasync(&mut self, memory: &mut GuestMemory<'_>, fd: Fd) -> Result<()> {
        match self.table.get(fd)? {
            Slot::Native(native) => self.wasi.fd_datasync(memory, native.fd).await,
            Slot::File(_) => Ok(()),
            Slot::Dir(_) => Err(Refusal::NotFile.into()),
        }
    }

    async fn fd_sync(&mut self, memory: &mut GuestMemory<'_>, fd: Fd) -> Result<()> {
        match self.table.get(fd)? {
            Slot::Native(native) => self.wasi.fd_sync(memory, native.fd).await,
            Slot::File(_) => Ok(()),
            Slot::Dir(_) => Err(Refusal::NotFile.into()),
        }
    }

    async fn fd_fdstat_get(&mut self, memory: &mut GuestMemory<'_>, fd: Fd) -> Result<Fdstat> {
        match self.table.get(fd)? {
            Slot::Native(native) => self.wasi.fd_fdstat_get(memory, native.fd).await,
            Slot::File(file) => Ok(file.fdstat()),
            Slot::Dir(dir) => Ok(dir.fdstat()),
        }
    }

    fn fd_fdstat_set_flags(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        flags: Fdflags,
    ) -> Result<()> {
        match self.table.get(fd)? {
            Slot::Native(native) => self.wasi.fd_fdstat_set_flags(memory, native.fd, flags),
            Slot::File(file) => file.set_flags(flags),
            Slot::Dir(_) => Err(Refusal::NotFile.into()),
        }
    }

    async fn fd_filestat_get(&mut self, memory: &mut GuestMemory<'_>, fd: Fd) -> Result<Filestat> {
        match self.table.get(fd)? {
            Slot::Native(native) => self.wasi.fd_filestat_get(memory, native.fd).await,
            Slot::File(file) => Ok(file.filestat()),
            Slot::Dir(dir) => Ok(dir.filestat()),
        }
    }

    async fn fd_read(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        iovs: IovecArray,
    ) -> Result<Size> {
        match self.table.get(fd)? {
            Slot::Native(Native { fd, .. }) => {
                let fd = *fd;
                self.lift_limit(memory, fd);
                self.wasi.fd_read(memory, fd, iovs).await
            }
            Slot::File(file) => file.read(memory, iovs, &self.failures).await,
            Slot::Dir(_) => Err(Refusal::NotFile.into()),
        }
    }

    async fn fd_pread(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        iovs: IovecArray,
        offset: Filesize,
    ) -> Result<Size> {
        match self.table.get(fd)? {
            Slot::Native(Native { fd, .. }) => {
                let fd = *fd;
                self.lift_limit(memory, fd);
                self.wasi.fd_pread(memory, fd, iovs, offset).await
            }
            Slot::File(file) => file.read_at(memory, iovs, offset, &self.failures).await,
            Slot::Dir(_) => Err(Refusal::NotFile.into()),
        }
    }

    async fn fd_write(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        iovs: CiovecArray,
    ) -> Result<Size> {
        let fd = self.table.native_file(fd, Refusal::NotWritable)?;
        self.lift_limit(memory, fd);
        self.wasi.fd_write(memory, fd, iovs).await
    }

    async fn fd_pwrite(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        iovs: CiovecArray,
        offset: Filesize,
    ) -> Result<Size> {
        let fd = self.table.native_file(fd, Refusal::NotWritable)?;
        self.lift_limit(memory, fd);
        self.wasi.fd_pwrite(memory, fd, iovs, offset).await
    }

    async fn fd_seek(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        offset: Filedelta,
        whence: Whence,
    ) -> Result<Filesize> {
        match self.table.get(fd)? {
            Slot::Native(native) => self.wasi.fd_seek(memory, native.fd, offset, whence).await,
            Slot::File(file) => file.seek(offset, whence),
            Slot::Dir(_) => Err(Refusal::NotFile.into()),
        }
    }

    fn fd_tell(&mut self, memory: &mut GuestMemory<'_>, fd: Fd) -> Result<Filesize> {
        match self.table.get(fd)? {
            Slot::Native(native) => self.wasi.fd_tell(memory, native.fd),
            Slot::File(file) => Ok(file.position()),
            Slot::Dir(_) => Err(Refusal::NotFile.into()),
        }
    }

    fn fd_prestat_get(&mut self, memory: &mut GuestMemory<'_>, fd: Fd) -> Result<Prestat> {
        match self.table.get(fd)? {
            Slot::Native(native) => self.wasi.fd_prestat_get(memory, native.fd),
            Slot::Dir(dir) => {
                let name = dir.preopen().ok_or(Refusal::NotOpen)?;
                Ok(Prestat::Dir(PrestatDir {
                    pr_name_len: name.len() as Size,
                }))
            }
            Slot::File(_) => Err(Refusal::NotOpen.into()),
        }
    }

    fn fd_prestat_dir_name(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        path: GuestPtr<u8>,
        len: Size,
    ) -> Result<()> {
        let dir = match self.table.get(fd)? {
            Slot::Native(Native { fd, .. }) => {
                let fd = *fd;
                return self.wasi.fd_prestat_dir_name(memory, fd, path, len);
            }
            Slot::Dir(dir) => dir,
            Slot::File(_) => return Err(Refusal::NotDirectory.into()),
        };
        let name = dir.preopen().ok_or(Refusal::NotDirectory)?;
        if name.len() > len as usize {
            return Err(Errno::Nametoolong.into());
        }
        copy_out(memory, name.as_bytes(), path.as_array(len))?;
        Ok(())
    }

    async fn fd_readdir(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        buffer: GuestPtr<u8>,
        len: Size,
        cookie: Dircookie,
    ) -> Result<Size> {
        let buffer = buffer.as_array(len);
        match self.table.get(fd)? {
            Slot::Native(Native { fd, listing }) => {
                let (wasi, session) = (&mut self.wasi, self.session.as_ref());
                native_listing::readdir(wasi, *fd, listing, session, memory, buffer, cookie).await
            }
            Slot::Dir(dir) => dir.readdir(memory, buffer, cookie, &self.failures).await,
            Slot::File(_) => Err(Refusal::NotOpen.into()),
        }
    }

    async fn path_open(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        flags: Lookupflags,
        path: GuestPtr<str>,
        oflags: Oflags,
        rights: Rights,
        inheriting: Rights,
        fdflags: Fdflags,
    ) -> Result<Fd> {
        if let Slot::Native(Native { fd, .. }) = self.table.get(fd)? {
            let fd = *fd;
            let opened = self
                .wasi
                .path_open(memory, fd, flags, path, oflags, rights, inheriting, fdflags);
            // wasmtime-wasi gives the number out at the very end of its call, so none is lost if this one is dropped.
            let native = opened.await?;
            return Ok(self.table.push(Slot::native(native)));
        }
        let path = self.path(memory, path)?;
        let Slot::Dir(dir) = self.table.get(fd)? else {
            return Err(Refusal::NotDirectory.into());
        };
        let opened = dir.open_at(flags, &path, oflags, rights, fdflags, &self.failures);
        let opened = match opened.await? {
            Open::File(file) => Slot::File(OpenFile::new(file, fdflags)),
            Open::Dir(below) => Slot::Dir(Box::new(OpenDir::new(below))),
        };
        Ok(self.table.push(opened))
    }

    async fn path_filestat_get(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        flags: Lookupflags,
        path: GuestPtr<str>,
    ) -> Result<Filestat> {
        if let Slot::Native(Native { fd, .. }) = self.table.get(fd)? {
            let fd = *fd;
            return self.wasi.path_filestat_get(memory, fd, flags, path).await;
        }
        let path = self.path(memory, path)?;
        match self.table.get(fd)? {
            Slot::Dir(dir) => dir.filestat_at(flags, &path, &self.failures).await,
            Slot::File(_) | Slot::Native(_) => Err(Refusal::NotOpen.into()),
        }
    }

    async fn path_readlink(
        &mut self,
        memory: &mut GuestMemory<'_>,
        fd: Fd,
        path: GuestPtr<str>,
        buffer: GuestPtr<u8>,
        len: Size,
    ) -> Result<Size> {
        if let Slot::Native(Native { fd, .. }) = self.table.get(fd)? {
            let fd = *fd;
            return self.wasi.path_readlink(memory, fd, path, buffer, len).await;
        }
        let path = self.path(memory, path)?;
        let target = match self.table.get(fd)? {
            Slot::Dir(dir) => dir.readlink_at(&path, &self.failures).await?,
            Slot::File(_) | Slot::Native(_) => return Err(Refusal::NotOpen.into()),
        };
        copy_out(memory, target.as_bytes(), buffer.as_array(len))
    }

    async fn path_symlink(
        &mut self,
        memory: &mut GuestMemory<'_>,
        target: GuestPtr<str>,
        fd: Fd,
        path: GuestPtr<str>,
    ) -> Result<()> {
        let fd = self.table.native_dir(fd, Refusal::ReadOnly)?;
        self.wasi.path_symlink(memory, target, fd, path).await
    }

    async fn path_link(
        &mut self,
        memory: &mut GuestMemory<'_>,
        from: Fd,
        flags: Lookupflags,
        old: GuestPtr<str>,
        to: Fd,
        new: GuestPtr<str>,
    ) -> Result<()> {
        let (from, to) = self.table.two_native_dirs(from, to)?;
        self.wasi.path_link(memory, from, flags, old, to, new).await
    }

    async fn path_rename(
        &mut self,
        memory: &mut GuestMemory<'_>,
        from: Fd,
        old: GuestPtr<str>,
        to: Fd,
        new: GuestPtr<str>,
    ) -> Result<()> {
        let (from, to) = self.table.two_native_dirs(from, to)?;
        self.wasi.path_rename(memory, from, old, to, new).await
    }

    async fn poll_oneoff(
        &mut self,
        memory: &mut GuestMemory<'_>,
        subscriptions: GuestPtr<Subscription>,
        events: GuestPtr<Event>,
        count: Size,
    ) -> Result<Size> {
        let subscriptions = subscriptions.as_array(count);
        poll::poll(self, memory, subscriptions, events.as_array(count)).await
    }
}
