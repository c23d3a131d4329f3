//! Every call by itself, on ours and on a native, read-only directory of the same tree. Wherever the two answer
//! differently, `docs/differences.md` has a row.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, SystemTime},
};

use pinset::Limits;
use wasmtime_wasi::{
    FsPerms, I32Exit, WasiCtx,
    p1::{
        types::{
            Advice, Errno, Fdflags, Filestat, Filetype, Fstflags, Lookupflags, Oflags, Riflags,
            Rights, Sdflags, Whence,
        },
        wasi_snapshot_preview1::WasiSnapshotPreview1 as _,
    },
};
use wiggle::{GuestMemory, GuestPtr};

use super::{BUFFER, IOVS, NATIVE, OURS, PATH, Scene, errno, fd, write_iov};

/// Where a second path lies in the memory.
const OTHER: u32 = 12 << 10;

fn fill(tree: &Path) {
    fs::write(tree.join("note"), "read me").expect("a file");
    fs::hard_link(tree.join("note"), tree.join("again")).expect("a second name");
    fs::write(tree.join("copy"), "read me").expect("a file");
    fs::create_dir(tree.join("below")).expect("a folder");
    fs::write(tree.join("below/deep"), "deep").expect("a file");
    for (name, target) in [
        ("link", "note"),
        ("way", "below"),
        ("loop", "loop"),
        ("nowhere", "absent"),
        ("out", "../x"),
        ("absolute", "/etc/passwd"),
    ] {
        symlink(target, tree.join(name)).expect("a link");
    }
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 5);
    let note = File::open(tree.join("note")).expect("the file");
    note.set_modified(time).expect("a time");
}

async fn scene() -> Scene {
    Scene::beside(FsPerms::ReadOnly, fill, Limits::default()).await
}

/// The paths that each call is asked for.
fn paths() -> Vec<String> {
    let plain = [
        "note",
        "note/",
        "note/x",
        "note/..",
        "below",
        "below/",
        "below/.",
        "below//deep",
        "below/../note",
        "nope",
        "nope/x",
        "nope/..",
        "",
        ".",
        "./",
        "..",
        "../x",
        "/",
        "/note",
        "link",
        "link/",
        "way",
        "way/",
        "way/deep",
        "loop",
        "nowhere",
        "out",
        "absolute",
        "no\0te",
        "note\0",
    ];
    let mut paths: Vec<_> = plain.iter().map(ToString::to_string).collect();
    paths.push("n".repeat(255));
    paths.push("n".repeat(256));
    paths.push(format!("{}note", "./".repeat(2_500)));
    paths
}

/// The questions, each with its answer.
type Said = Vec<(String, String)>;

/// Makes one call with fresh fuel, and notes its answer.
macro_rules! ask {
    ($said:ident, $scene:ident, $what:expr, $name:ident($($argument:expr),*) $($wait:ident)?) => {{
        let mut call = $scene.call();
        let answer = call.ctx.$name(&mut call.memory, $($argument),*)$(.$wait)?;
        let answer = answer.map_err(errno);
        $said.push((format!("{} {}", stringify!($name), $what), format!("{answer:?}")));
        answer
    }};
}

/// A path in the guest's memory.
fn path(scene: &mut Scene, at: u32, text: &str) -> GuestPtr<str> {
    let from = at as usize;
    scene.memory[from..from + text.len()].copy_from_slice(text.as_bytes());
    GuestPtr::new((at, text.len() as u32))
}

/// All of a stat that content and a disk have in common: a directory's size and links are the host's own.
fn same_everywhere(stat: Result<Filestat, Errno>) -> String {
    let known = stat.map(|stat| {
        let sized = stat.filetype != Filetype::Directory;
        (stat.dev, stat.filetype, sized.then_some(stat.size))
    });
    format!("{known:?}")
}

/// Asks everything about one open descriptor.
async fn through_it(scene: &mut Scene, number: u32, what: &str, said: &mut Said) {
    let it = fd(number);
    write_iov(&mut GuestMemory::Unshared(&mut scene.memory), 0, BUFFER, 4);
    let (ivs, cvs) = (GuestPtr::new((IOVS, 1)), GuestPtr::new((IOVS, 1)));
    let stat = ask!(said, scene, what, fd_filestat_get(it) await);
    said.pop();
    said.push((format!("fd_filestat_get {what}"), same_everywhere(stat)));
    let _ = ask!(said, scene, what, fd_fdstat_get(it) await);
    for (offset, len) in [(0, 4), (1 << 62, 1 << 62), (u64::MAX, 1)] {
        let asked = format!("{what} {offset}");
        let _ = ask!(said, scene, asked, fd_advise(it, offset, len, Advice::Willneed) await);
        let _ = ask!(said, scene, asked, fd_allocate(it, offset, len));
        let _ = ask!(said, scene, asked, fd_pread(it, ivs, offset) await);
        let _ = ask!(said, scene, asked, fd_pwrite(it, cvs, offset) await);
        let _ = ask!(said, scene, asked, fd_filestat_set_size(it, offset) await);
    }
    let _ = ask!(said, scene, what, fd_read(it, ivs) await);
    let _ = ask!(said, scene, what, fd_write(it, cvs) await);
    let _ = ask!(said, scene, what, fd_tell(it));
    for whence in [Whence::Set, Whence::Cur, Whence::End] {
        for offset in [0, 3, -3, i64::MAX, i64::MIN] {
            let asked = format!("{what} {whence:?} {offset}");
            let _ = ask!(said, scene, asked, fd_seek(it, offset, whence) await);
        }
    }
    let _ = ask!(said, scene, what, fd_seek(it, 0, Whence::Set) await);
    let _ = ask!(said, scene, what, fd_sync(it) await);
    let _ = ask!(said, scene, what, fd_datasync(it) await);
    for flags in [
        Fdflags::empty(),
        Fdflags::APPEND,
        Fdflags::NONBLOCK,
        Fdflags::SYNC,
        Fdflags::DSYNC,
        Fdflags::RSYNC,
    ] {
        let asked = format!("{what} {flags:?}");
        let _ = ask!(said, scene, asked, fd_fdstat_set_flags(it, flags));
        let _ = ask!(said, scene, asked, fd_fdstat_get(it) await);
    }
    let none = Rights::empty();
    let _ = ask!(said, scene, what, fd_fdstat_set_rights(it, none, none));
    for flags in [Fstflags::empty(), Fstflags::MTIM, Fstflags::MTIM_NOW] {
        let _ = ask!(said, scene, what, fd_filestat_set_times(it, 1, 1, flags) await);
    }
    if what != "preopen" {
        // Their names are different.
        let _ = ask!(said, scene, what, fd_prestat_get(it));
    }
    let _ = ask!(
        said,
        scene,
        what,
        fd_prestat_dir_name(it, GuestPtr::new(BUFFER), 4)
    );
    if what == "file" {
        let _ = ask!(said, scene, what, fd_readdir(it, GuestPtr::new(BUFFER), 4096, 0) await);
    }
    let _ = ask!(said, scene, what, sock_accept(it, Fdflags::empty()));
    let _ = ask!(said, scene, what, sock_recv(it, ivs, Riflags::empty()));
    let _ = ask!(said, scene, what, sock_send(it, cvs, 0));
    let _ = ask!(said, scene, what, sock_shutdown(it, Sdflags::RD));
}

/// Asks for everything by path below one descriptor.
async fn below_it(scene: &mut Scene, number: u32, what: &str, said: &mut Said) {
    let it = fd(number);
    for name in paths() {
        let at = path(scene, PATH, &name);
        let short: String = name.chars().take(12).collect();
        let short = format!("{what} {short:?} {}", name.len());
        for follow in [Lookupflags::empty(), Lookupflags::SYMLINK_FOLLOW] {
            let asked = format!("{short} {follow:?}");
            let stat = ask!(said, scene, asked, path_filestat_get(it, follow, at) await);
            said.pop();
            said.push((format!("path_filestat_get {asked}"), same_everywhere(stat)));
            let _ = ask!(said, scene, asked, path_filestat_set_times(it, follow, at, 1, 1, Fstflags::MTIM) await);
            let new = path(scene, OTHER, "new");
            let _ = ask!(said, scene, asked, path_link(it, follow, at, it, new) await);
        }
        for len in [0, 2, 64] {
            let asked = format!("{short} {len}");
            let _ =
                ask!(said, scene, asked, path_readlink(it, at, GuestPtr::new(BUFFER), len) await);
        }
        let new = path(scene, OTHER, "new");
        let _ = ask!(said, scene, short, path_create_directory(it, at) await);
        let _ = ask!(said, scene, short, path_remove_directory(it, at) await);
        let _ = ask!(said, scene, short, path_unlink_file(it, at) await);
        let _ = ask!(said, scene, short, path_rename(it, at, it, new) await);
        let _ = ask!(said, scene, short, path_rename(it, new, it, at) await);
        let _ = ask!(said, scene, short, path_symlink(new, it, at) await);
        opens(scene, number, &short, at, said).await;
    }
}

async fn opens(scene: &mut Scene, base: u32, short: &str, at: GuestPtr<str>, said: &mut Said) {
    let flags = |one: Fdflags| [Fdflags::empty(), one];
    for follow in [Lookupflags::empty(), Lookupflags::SYMLINK_FOLLOW] {
        for bits in 0..16_u16 {
            let oflags = Oflags::from_bits_truncate(bits);
            for rights in [Rights::empty(), Rights::FD_READ, Rights::FD_WRITE] {
                for fdflags in flags(Fdflags::DSYNC)
                    .into_iter()
                    .chain(flags(Fdflags::APPEND))
                {
                    let asked = format!("{short} {follow:?} {oflags:?} {rights:?} {fdflags:?}");
                    let inherited = Rights::empty();
                    let opened = ask!(said, scene, asked, path_open(fd(base), follow, at, oflags, rights, inherited, fdflags) await);
                    said.pop();
                    let shown = match opened {
                        Ok(opened) => {
                            let shown = ask!(said, scene, asked, fd_fdstat_get(opened) await);
                            said.pop();
                            scene.call().close(opened.into()).await.expect("it closes");
                            format!("{shown:?}")
                        }
                        Err(errno) => format!("{errno:?}"),
                    };
                    said.push((format!("path_open {asked}"), shown));
                }
            }
        }
    }
}

/// The differences, by what is said of them in the table.
const KNOWN: [&str; 6] = [
    "exclusive creation of what exists",
    "a slash behind a name",
    "a zero byte in a path",
    "a name of more than 255 bytes",
    "a path of more than 4,096 bytes",
    "a write out of range",
];

/// Tells which difference this is.
fn known(what: &str, native: &str, ours: &str) -> Option<&'static str> {
    let are = |one: &str, other: &str| native.contains(one) && ours.contains(other);
    let opened = what.starts_with("path_open ");
    let unfollowed = what.starts_with("path_filestat_get ") && !what.contains("FOLLOW");
    let slash = unfollowed && what.contains("/\" ");
    match () {
        () if opened && what.contains("CREAT | EXCL") && are("Perm", "Exist") => Some(KNOWN[0]),
        () if slash && (are("Ok", "Notdir") || are("SymbolicLink", "Directory")) => Some(KNOWN[1]),
        () if what.contains("\\0") && are("Inval", "Noent") => Some(KNOWN[2]),
        () if what.contains(" 256") && are("Nametoolong", "Noent") => Some(KNOWN[3]),
        () if what.contains(" 5004 ") && are("Inval", "Nametoolong") => Some(KNOWN[4]),
        () if what.starts_with("fd_pwrite file 1844") && are("Inval", "Badf") => Some(KNOWN[5]),
        () => None,
    }
}

#[tokio::test]
async fn every_call_answers_as_natively() {
    let mut all: [Said; 2] = Default::default();
    let mut scene = scene().await;
    for (base, said) in [NATIVE, OURS].into_iter().zip(&mut all) {
        let file = scene.call().open(base, b"note").await.expect("a file");
        let dir = scene
            .call()
            .open(base, b"below")
            .await
            .expect("a directory");
        for (number, what) in [(file, "file"), (dir, "directory"), (base, "preopen")] {
            through_it(&mut scene, number, what, said).await;
        }
        for (number, what) in [(file, "file"), (base, "preopen")] {
            below_it(&mut scene, number, what, said).await;
        }
        for number in [file, dir] {
            scene.call().close(number).await.expect("it closes");
        }
    }
    let [native, ours] = all;
    assert_eq!(native.len(), ours.len());
    assert!(native.len() > 10_000, "{} calls", native.len());
    let mut found = BTreeSet::new();
    for ((what, native), (_, ours)) in native.iter().zip(&ours) {
        if native != ours {
            let known = known(what, native, ours);
            found.insert(known.unwrap_or_else(|| panic!("{what}: {ours}, natively {native}")));
        }
    }
    assert_eq!(found, BTreeSet::from(KNOWN));
}

/// A stat of `path`, followed.
async fn stat(scene: &mut Scene, base: u32, name: &str) -> Filestat {
    let at = path(scene, PATH, name);
    let mut call = scene.call();
    let follow = Lookupflags::SYMLINK_FOLLOW;
    let found = call
        .ctx
        .path_filestat_get(&mut call.memory, fd(base), follow, at);
    found.await.map_err(errno).expect(name)
}

/// Nobody can count the parents of a node in a DAG.
#[tokio::test]
async fn a_node_has_one_link() {
    let mut scene = scene().await;
    for name in ["note", "again", "copy", "below"] {
        assert_eq!(stat(&mut scene, OURS, name).await.nlink, 1, "{name}");
    }
    assert_eq!(stat(&mut scene, NATIVE, "note").await.nlink, 2);
}

/// All three times are the one that content can have.
#[tokio::test]
async fn all_times_are_one() {
    let mut scene = scene().await;
    let ours = stat(&mut scene, OURS, "note").await;
    assert_eq!([ours.atim, ours.mtim, ours.ctim], [0; 3]);
    let native = stat(&mut scene, NATIVE, "note").await;
    assert_eq!(native.mtim, 1_234_567_890_000_000_005);
    assert!(native.ctim > native.mtim);
}

/// The lowest number that is free is given out, as POSIX wants it. wasmtime-wasi gives out the highest one.
#[tokio::test]
async fn the_lowest_number_is_given_out() {
    let mut scene = scene().await;
    let mut wasi = WasiCtx::builder();
    wasi.preopened_dir(scene.tree.path(), "/native", FsPerms::ReadOnly)
        .expect("a directory");
    let mut alone = wasi.build_p1();
    let mut given = Vec::new();
    for base in [NATIVE, OURS] {
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(scene.call().open(base, b"note").await.expect("a file"));
        }
        for number in &open {
            scene.call().close(*number).await.expect("it closes");
        }
        given.push(scene.call().open(base, b"note").await.expect("a file") == open[0]);
        scene.call().close(open[0]).await.expect("it closes");
    }
    assert_eq!(given, [true, true]);

    let at = path(&mut scene, PATH, "note");
    let mut memory = GuestMemory::Unshared(&mut scene.memory);
    let mut open = Vec::new();
    for round in 0..4 {
        alone.set_hostcall_fuel(super::FUEL);
        if round == 3 {
            for number in &open {
                alone
                    .fd_close(&mut memory, fd(*number))
                    .await
                    .expect("it closes");
            }
        }
        let (follow, none) = (Lookupflags::empty(), Rights::empty());
        let (oflags, fdflags) = (Oflags::empty(), Fdflags::empty());
        let opened = alone.path_open(
            &mut memory,
            fd(NATIVE),
            follow,
            at,
            oflags,
            Rights::FD_READ,
            none,
            fdflags,
        );
        open.push(u32::from(opened.await.expect("a file")));
    }
    assert_eq!(open[3], open[2]);
}

/// wasmtime-wasi refuses a status of 126 and more, by a trap.
#[tokio::test]
async fn every_status_is_kept() {
    let mut scene = scene().await;
    let mut wasi = WasiCtx::builder().build_p1();
    for status in [0, 125, 126, 255, u32::MAX] {
        let call = scene.call();
        let mut memory = call.memory;
        let ours = call.ctx.proc_exit(&mut memory, status);
        let exit = ours.downcast_ref::<I32Exit>().expect("an exit");
        assert_eq!(exit.0, status as i32);
        let alone = wasi.proc_exit(&mut memory, status);
        assert_eq!(alone.downcast_ref::<I32Exit>().is_some(), status < 126);
    }
}
