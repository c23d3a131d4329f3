//! A file system of a test's own, and a process of its own: what a test needs to fill a disk, to be killed, or to
//! run out of descriptors without harming its neighbours.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

/// Which test the child is to run, and where.
const CHILD: &str = "PINSET_TEST_CHILD";
const PLACE: &str = "PINSET_TEST_PLACE";

/// Whether this is the child that `test` made for itself.
fn is_child(test: &str) -> bool {
    env::var_os(CHILD).is_some_and(|name| name == test)
}

/// A command that runs `test` (its full path) of this binary again, with `place` to work in.
pub(crate) fn child(test: &str, place: &Path) -> Command {
    let mut command = Command::new(env::current_exe().expect("the test's own binary"));
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, test)
        .env(PLACE, place);
    command
}

/// The place this process is to work in, if it is the child of `test`.
pub(crate) fn place(test: &str) -> Option<std::path::PathBuf> {
    is_child(test).then(|| env::var_os(PLACE).expect("a child has a place").into())
}

/// Runs `run` on a file system of type `kind` with mount options `options` that nobody else sees: in a child, in
/// a mount namespace of its own, as root or as root of a user namespace. It goes with the child.
///
/// `test` is the full path of the test that calls this, which must do nothing else.
pub(crate) fn on_own(test: &str, kind: &str, options: &str, run: impl FnOnce(&Path)) {
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
