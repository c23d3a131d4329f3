//! Reads and positions.

use std::{cell::UnsafeCell, fs};

use wasmtime_wasi::p1::{
    types::{Errno, Whence},
    wasi_snapshot_preview1::WasiSnapshotPreview1 as _,
};
use wiggle::{GuestMemory, GuestPtr};

use super::{BUFFER, FUEL, IOVS, NATIVE, OURS, PATH, Scene, errno, fd, write_iov};

/// More than one block.
fn bytes() -> Vec<u8> {
    (0..(5_u32 << 19) + 13)
        .map(|at| (at ^ (at >> 9)) as u8)
        .collect()
}

async fn scene() -> Scene {
    Scene::new(|tree| fs::write(tree.join("large"), bytes()).expect("a file")).await
}

/// All buffers are filled, over the boundaries of blocks, up to the file's end.
#[tokio::test]
async fn a_read_fills_all_buffers() {
    let mut scene = scene().await;
    let wanted = bytes();
    let file = scene.call().open(OURS, b"large").await.expect("a file");
    let lens = [1, 0, 7000, 30_000];
    let start = (1 << 20) - 100;
    for (start, from_end) in [(start, false), (wanted.len() - 20_000, true)] {
        let call = scene.call();
        let (ctx, mut memory) = (call.ctx, call.memory);
        let mut at = BUFFER;
        for (index, len) in (0..).zip(lens) {
            write_iov(&mut memory, index, at, len);
            at += len;
        }
        let moved = ctx
            .fd_seek(&mut memory, fd(file), start as i64, Whence::Set)
            .await;
        assert_eq!(moved.map_err(errno), Ok(start as u64));
        let iovs = GuestPtr::new((IOVS, lens.len() as u32));
        let read = ctx
            .fd_read(&mut memory, fd(file), iovs)
            .await
            .map_err(errno);
        let len = if from_end { 20_000 } else { 37_001 };
        assert_eq!(read, Ok(len));
        assert_eq!(
            ctx.fd_tell(&mut memory, fd(file)).map_err(errno),
            Ok(start as u64 + u64::from(len))
        );
        let got = memory
            .to_vec(GuestPtr::<[u8]>::new((BUFFER, len)))
            .expect("in bounds");
        assert!(got == wanted[start..start + len as usize], "other bytes");
    }
}

/// A shared memory cannot be lent out, so the bytes are copied into it.
#[tokio::test]
async fn a_shared_memory_is_read_into_as_well() {
    let mut scene = scene().await;
    let file = scene.call().open(OURS, b"large").await.expect("a file");
    let cells: Vec<UnsafeCell<u8>> = (0..1 << 20).map(|_| UnsafeCell::new(0)).collect();
    let mut memory = GuestMemory::Shared(&cells);
    write_iov(&mut memory, 0, BUFFER, 900_000);
    let iovs = GuestPtr::new((IOVS, 1));
    let read = scene
        .ctx
        .fd_pread(&mut memory, fd(file), iovs, 5)
        .await
        .map_err(errno);
    assert_eq!(read, Ok(900_000));
    let got = memory
        .to_vec(GuestPtr::<[u8]>::new((BUFFER, 900_000)))
        .expect("in bounds");
    assert!(got == bytes()[5..900_005], "other bytes");
}

#[tokio::test]
async fn offsets_out_of_range_are_invalid() {
    let mut scene = scene().await;
    for base in [NATIVE, OURS] {
        let file = scene.call().open(base, b"large").await.expect("a file");
        assert_eq!(
            scene.call().pread(file, 1, 1 << 63).await,
            Err(Errno::Inval)
        );
        assert_eq!(
            scene.call().pread(file, 1, u64::MAX).await,
            Err(Errno::Inval)
        );
        assert_eq!(scene.call().pread(file, 1, 1 << 62).await, Ok(vec![]));
        let call = scene.call();
        let (ctx, mut memory) = (call.ctx, call.memory);
        for (offset, whence, wanted) in [
            (-1, Whence::Set, Err(Errno::Inval)),
            (-1, Whence::Cur, Err(Errno::Inval)),
            (i64::MIN, Whence::End, Err(Errno::Inval)),
            (-13, Whence::End, Ok(5 << 19)),
            (i64::MAX, Whence::Set, Ok(i64::MAX as u64)),
            (1, Whence::Cur, Ok(1 << 63)),
            (i64::MAX, Whence::Cur, Ok(u64::MAX)),
            (1, Whence::Cur, Err(Errno::Inval)),
        ] {
            let moved = ctx.fd_seek(&mut memory, fd(file), offset, whence).await;
            assert_eq!(moved.map_err(errno), wanted, "{base}: {offset} {whence:?}");
        }
    }
}

/// Fuel limits what wasmtime-wasi copies. Where nothing is copied, a read may be as long as it likes.
#[tokio::test]
async fn fuel_does_not_limit_reads_that_copy_nothing() {
    let mut scene = scene().await;
    let native = scene.call().open(NATIVE, b"large").await.expect("a file");
    let ours = scene.call().open(OURS, b"large").await.expect("a file");
    for (file, blocking, wanted) in [
        (ours, false, Ok(50_000)),
        (native, false, Err(Errno::Nomem)),
        (native, true, Ok(50_000)),
    ] {
        scene.ctx = scene.ctx.allow_blocking_current_thread(blocking);
        let call = scene.call();
        let (ctx, mut memory) = (call.ctx, call.memory);
        write_iov(&mut memory, 0, BUFFER, 50_000);
        ctx.set_hostcall_fuel(10_000);
        let read = ctx.fd_read(&mut memory, fd(file), GuestPtr::new((IOVS, 1)));
        assert_eq!(read.await.map_err(errno), wanted);
    }
    // A path is copied.
    let mut call = scene.call();
    call.ctx.set_hostcall_fuel(3);
    let flags = wasmtime_wasi::p1::types::Lookupflags::empty();
    let path = GuestPtr::new((PATH, 4));
    let seen = call
        .ctx
        .path_filestat_get(&mut call.memory, fd(OURS), flags, path);
    assert_eq!(seen.await.map(|_| ()).map_err(errno), Err(Errno::Nomem));
    call.ctx.set_hostcall_fuel(FUEL);
}
