//! Tries every way to change a read-only tree, and expects the error of a read-only preopen.
//!
//! Arguments: `SOURCE DIR FILE SUB [NATIVE]`: `SOURCE` is `ipfs`, or `preopen` for a native directory that the
//! host opened read-only, so that the host can compare the two; `FILE` is a file and `SUB` a directory in
//! `DIR`; `NATIVE` is a writable native directory. Prints `WHAT: ERROR` for each way.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use guest::{
    arguments::Arguments,
    content::sorted_names,
    outcome::{self, fails, show, succeeds},
    posix::{self, Follow, Mode, Open},
};

/// A write through a handle that was opened for reading may also be refused by the guest's own libc, according to
/// POSIX.
const READ_ONLY_HANDLE: &[i32] = &[libc::EPERM, libc::EBADF];

struct Place {
    dir: String,
    file: String,
    sub: String,
    new: String,
}

fn main() {
    let mut arguments = Arguments::of("write_denied ipfs|preopen DIR FILE SUB [NATIVE]");
    let source = arguments.word();
    // wasmtime-wasi checks the permission before the name. On /ipfs, a program that takes a lock by an exclusive create
    // learns that the lock is taken.
    let exclusive = match source.as_str() {
        "ipfs" => outcome::EXISTS,
        "preopen" => outcome::NOT_PERMITTED,
        unknown => arguments.unknown(unknown),
    };
    let dir = arguments.word();
    let place = Place {
        file: format!("{dir}/{}", arguments.word()),
        sub: format!("{dir}/{}", arguments.word()),
        new: format!("{dir}/new"),
        dir,
    };
    let before = state(&place);

    opening(&place, exclusive);
    naming(&place);
    through_a_handle(&place);
    attributes(&place);
    if let Some(native) = arguments.next_if_any() {
        between(&place, &native);
    }

    assert!(state(&place) == before, "something was changed after all");
}

fn state(place: &Place) -> (Vec<u8>, Vec<OsString>, Vec<OsString>) {
    let names = |path: &str| succeeds(path, sorted_names(Path::new(path)));
    let content = succeeds(&place.file, fs::read(&place.file));
    (content, names(&place.dir), names(&place.sub))
}

fn opening(place: &Place, exclusive: &[i32]) {
    let Place { file, new, sub, .. } = place;
    let denied = outcome::NOT_PERMITTED;
    let options = OpenOptions::new;
    fails("open write", options().write(true).open(file), denied);
    fails(
        "open read write",
        options().read(true).write(true).open(file),
        denied,
    );
    fails("open append", options().append(true).open(file), denied);
    fails(
        "open read append",
        options().read(true).append(true).open(file),
        denied,
    );
    fails(
        "open write truncate",
        options().write(true).truncate(true).open(file),
        denied,
    );
    fails(
        "open read truncate",
        posix::open(file, Open::Truncate),
        denied,
    );
    fails(
        "open write, missing",
        options().write(true).open(new),
        &[libc::EPERM, libc::ENOENT],
    );
    fails("create", File::create(new), denied);
    fails("create existing", File::create(file), denied);
    fails(
        "create append",
        options().append(true).create(true).open(new),
        denied,
    );
    fails("create_new", File::create_new(new), denied);
    fails("create_new existing", File::create_new(file), exclusive);
    fails(
        "create_new existing directory",
        File::create_new(sub),
        exclusive,
    );
    fails(
        "create below a file",
        File::create(format!("{file}/x")),
        &[libc::EPERM, libc::ENOTDIR],
    );
    fails("write", fs::write(new, b"x"), denied);
    fails("write existing", fs::write(file, b"x"), denied);
    fails("copy onto", fs::copy(file, new), denied);
    fails("copy onto existing", fs::copy(file, file), denied);
    fails(
        "open directory write",
        options().write(true).open(sub),
        &[libc::EPERM, libc::EISDIR],
    );
}

fn naming(place: &Place) {
    let Place {
        dir,
        file,
        new,
        sub,
    } = place;
    let denied = outcome::NOT_PERMITTED;
    fails("create_dir", fs::create_dir(new), denied);
    fails(
        "create_dir existing",
        fs::create_dir(sub),
        &[libc::EPERM, libc::EEXIST],
    );
    fails(
        "create_dir_all",
        fs::create_dir_all(format!("{new}/a/b")),
        &[libc::EPERM, libc::ENOENT],
    );
    // std takes "it exists" for success, and a host that checks the permission first does not say so.
    show("create_dir_all existing", fs::create_dir_all(sub));
    fails("hard_link", fs::hard_link(file, new), denied);
    fails(
        "hard_link existing",
        fs::hard_link(file, file),
        &[libc::EPERM, libc::EEXIST],
    );
    fails("symlink", posix::symlink("x", new), denied);
    fails("rename", fs::rename(file, new), denied);
    fails("rename directory", fs::rename(sub, new), denied);
    fails("rename onto itself", fs::rename(file, file), denied);
    fails(
        "rename missing",
        fs::rename(new, format!("{dir}/newer")),
        &[libc::EPERM, libc::ENOENT],
    );
    fails("remove_file", fs::remove_file(file), denied);
    fails(
        "remove_file missing",
        fs::remove_file(new),
        &[libc::EPERM, libc::ENOENT],
    );
    fails(
        "remove_file of a directory",
        fs::remove_file(sub),
        &[libc::EPERM, libc::EISDIR],
    );
    fails("remove_dir", fs::remove_dir(sub), denied);
    fails(
        "remove_dir of a file",
        fs::remove_dir(file),
        &[libc::EPERM, libc::ENOTDIR],
    );
    fails("remove_dir_all", fs::remove_dir_all(sub), denied);
}

fn through_a_handle(place: &Place) {
    let mut handle = succeeds("open", File::open(&place.file));
    fails(
        "write on a read handle",
        handle.write(b"x"),
        READ_ONLY_HANDLE,
    );
    fails(
        "write_all on a read handle",
        handle.write_all(b"xyz"),
        READ_ONLY_HANDLE,
    );
    fails(
        "pwrite on a read handle",
        posix::pwrite(&handle, b"x", 0),
        READ_ONLY_HANDLE,
    );
    // POSIX has EINVAL for a handle that was not opened for writing; libc may detect that itself.
    let shrunk = &[libc::EPERM, libc::EBADF, libc::EINVAL];
    fails("set_len", handle.set_len(1), shrunk);
    fails("set_len 0", handle.set_len(0), shrunk);
    let reserved = posix::allocate(&handle, 1 << 20);
    assert!(reserved.is_err(), "room was reserved in a read-only file");
    fails(
        "set_modified",
        handle.set_modified(UNIX_EPOCH),
        outcome::NOT_PERMITTED,
    );
    // Nothing was written, so everything is on the disk.
    succeeds("sync_all", handle.sync_all());
    succeeds("sync_data", handle.sync_data());
}

fn attributes(place: &Place) {
    let Place { file, sub, .. } = place;
    let denied = outcome::NOT_PERMITTED;
    let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fails(
        "set times",
        posix::set_modified_at(file, time, Follow::Target),
        denied,
    );
    fails(
        "set times, no follow",
        posix::set_modified_at(file, time, Follow::Link),
        denied,
    );
    fails(
        "set times of a directory",
        posix::set_modified_at(sub, time, Follow::Target),
        denied,
    );
    // WASI has no permissions. Whatever libc answers, it must not pretend to have set them.
    let permissions = fs::metadata(file).and_then(|metadata| {
        let mut permissions = metadata.permissions();
        permissions.set_readonly(!permissions.readonly());
        fs::set_permissions(file, permissions)
    });
    assert!(permissions.is_err(), "the permissions were changed");
    show("access, exists", posix::access(file, Mode::Exists));
    show("access, read", posix::access(file, Mode::Read));
    show("access, write", posix::access(file, Mode::Write));
}

/// Renaming and linking between /ipfs and a native directory fail, in both directions.
fn between(place: &Place, native: &str) {
    let Place { file, sub, new, .. } = place;
    let (own, taken) = (format!("{native}/own"), format!("{native}/taken"));
    succeeds("native write", fs::write(&own, b"native"));
    let cross = outcome::CROSS_DEVICE;
    fails("rename out", fs::rename(file, &taken), cross);
    fails("rename directory out", fs::rename(sub, &taken), cross);
    fails("rename in", fs::rename(&own, new), cross);
    fails("rename in onto existing", fs::rename(&own, file), cross);
    fails("hard_link out", fs::hard_link(file, &taken), cross);
    fails("hard_link in", fs::hard_link(&own, new), cross);
    assert!(
        !fs::exists(&taken).unwrap_or(true),
        "something was taken out"
    );
    let kept: io::Result<_> = fs::read(&own);
    assert_eq!(succeeds("native read", kept), b"native");
    succeeds("native remove", fs::remove_file(&own));
}
