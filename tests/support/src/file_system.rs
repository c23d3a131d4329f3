//! A file system and a process of a test's own, for tests that fill a disk, are killed, or run out of descriptors,
//! without affecting other tests.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

/// The variables that tell the child which test to run, and where.
const CHILD: &str = "PINSET_TEST_CHILD";
const PLACE: &str = "PINSET_TEST_PLACE";

/// Whether this process is the child that `test` started.
fn is_child(test: &str) -> bool {
    env::var_os(CHILD).is_some_and(|name| name == test)
}

/// A command that runs `test` (its full path) of this binary again, with `place` as its working place.
///
/// # Panics
/// If the test that calls this has another name: the child would run no test at all, and succeed.
pub fn child(test: &str, place: &Path) -> Command {
    // With one thread, the test runs on the main thread, whose name does not tell the test's.
    if let Some(name) = thread::current().name().filter(|name| *name != "main") {
        assert_eq!(name, test, "the child would run nothing");
    }
    let mut command = Command::new(env::current_exe().expect("the test's own binary"));
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, test)
        .env(PLACE, place);
    command
}

/// The place in which this process works, if it is the child of `test`.
pub fn place(test: &str) -> Option<PathBuf> {
    is_child(test).then(|| env::var_os(PLACE).expect("a child has a place").into())
}

/// Runs `run` on a file system of type `kind` with mount options `options` that no other process sees: in a child, in a
/// mount namespace of its own, as root or as root of a user namespace. The file system disappears with the child.
///
/// `test` is the full path of the test that calls this, which must do nothing else.
///
/// # Panics
/// If the child fails, or cannot be started.
pub fn on_own(test: &str, kind: &str, options: &str, run: impl FnOnce(&Path)) {
    if let Some(place) = place(test) {
        return run(&place);
    }
    let place = tempfile::tempdir().expect("a directory to mount on");
    let inner = child(test, place.path());
    let namespace = match rustix::process::geteuid().is_root() {
        true => "-m",
        false => "-rm",
    };
    let script = r#"mount -t "$1" -o "$2" own "$3" || { echo "NOT RUN: cannot mount $1"; exit 77; }; shift 3; exec "$@""#;
    let status = Command::new("unshare")
        .args([namespace, "--", "sh", "-c", script, "sh", kind, options])
        .arg(place.path())
        .arg(inner.get_program())
        .args(inner.get_args())
        .envs(inner.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .stdin(Stdio::null())
        .status()
        .expect("NOT RUN: `unshare` of util-linux is needed");
    assert!(status.success(), "{test} on a {kind} of its own: {status}");
}

/// The space in use on the file system at `dir`, in bytes.
///
/// # Panics
/// If the system does not report it.
pub fn used_bytes(dir: &Path) -> u64 {
    let stat = rustix::fs::statvfs(dir).expect("the state of a file system");
    (stat.f_blocks - stat.f_bfree) * stat.f_frsize
}
