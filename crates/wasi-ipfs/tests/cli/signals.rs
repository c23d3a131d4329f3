//! The signals that end a command: whatever runs, the staging directory is removed and the status is 128 + n.

use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use toy_http::{Reply, Step};

use crate::{
    guests,
    harness::{Scene, interrupted},
    sources::Toy,
};

pub(crate) fn send(signal: Signal) -> impl FnOnce(&Child) {
    move |child| {
        let id = i32::try_from(child.id()).expect("a process id");
        kill_process(Pid::from_raw(id).expect("a process id"), signal).expect("sent");
    }
}

#[test]
fn a_guest_that_waits_is_ended() {
    let scene = Scene::new();
    let guest = scene.guest("wait", guests::WAIT);
    for (signal, status) in [
        (Signal::HUP, 129),
        (Signal::INT, 130),
        (Signal::QUIT, 131),
        (Signal::TERM, 143),
    ] {
        for isolated in [&[][..], &["--isolated"]] {
            // Also where the tests themselves run with the signal ignored.
            let mut command = scene.command_by(&["env", "--default-signal=HUP"], "run");
            command
                .args(["--car", "tree.car", "--add", "tree", "--staging", "staging"])
                .args(isolated)
                .arg(&guest)
                .stdin(Stdio::piped());
            let ended = interrupted(command, b"ready", |child| {
                assert!(
                    !scene.staged().is_empty(),
                    "staging is where it is asked for"
                );
                send(signal)(child);
            });
            assert_eq!(ended.status, status, "{ended:?}");
            scene.nothing_staged();
        }
    }
}

#[test]
fn a_guest_that_never_pauses_is_ended() {
    let scene = Scene::new();
    let guest = scene.guest("spin", guests::SPIN);
    let mut command = scene.command("run");
    command.args(["--car", "tree.car", "--staging", "staging", &guest]);
    let ended = interrupted(command, b"ready", send(Signal::TERM));
    assert_eq!(ended.status, 143, "{ended:?}");
    // Only the lock of a dead holder is left, which the next start removes.
    let left = scene.staged();
    assert!(left.iter().all(|name| name.ends_with(".lock")), "{left:?}");
    scene.on_car("ls", &[&scene.cid]).succeeded();
}

#[test]
fn a_full_pipe_does_not_keep_a_signal_from_being_seen() {
    let scene = Scene::new();
    let mut command = scene.command("cat");
    command
        .args(["--car", "tree.car", "--staging", "staging"])
        .arg(format!("{}/large", scene.cid));
    // Nobody reads on, so the pipe is full of the file's beginning.
    let start = crate::harness::large()[..8].to_vec();
    let ended = interrupted(command, &start, send(Signal::INT));
    assert_eq!(ended.status, 130, "{ended:?}");
    scene.nothing_staged();
}

#[test]
fn an_import_leaves_nothing_behind() {
    let scene = Scene::new();
    // Large enough that the import is still running when its temporary archive appears.
    let big = scene.path("big");
    std::fs::File::create(&big)
        .and_then(|file| file.set_len(8 << 30))
        .expect("a sparse file");
    let before = scene.names("");
    let mut child = scene
        .command("import")
        .args(["big", "-o", "big.car"])
        .spawn()
        .expect("the command starts");
    while scene.names("") == before {
        assert!(
            child.try_wait().expect("a child").is_none(),
            "still importing"
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    send(Signal::INT)(&child);
    let ended = child.wait_with_output().expect("a child");
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    assert_eq!(scene.names(""), before);
}

#[test]
fn under_nohup_a_closed_terminal_ends_nothing() {
    let scene = Scene::new();
    let guest = scene.guest("wait", guests::WAIT);
    let mut command = scene.command_by(&["env", "--ignore-signal=HUP"], "run");
    command
        .args(["--car", "tree.car", "--staging", "staging", &guest])
        .stdin(Stdio::piped());
    let ended = interrupted(command, b"ready", |child| {
        send(Signal::HUP)(child);
        std::thread::sleep(std::time::Duration::from_millis(200));
        send(Signal::TERM)(child);
    });
    assert_eq!(ended.status, 143, "{ended:?}");
    scene.nothing_staged();
}

#[test]
fn a_signal_while_a_mount_is_awaited_leaves_nothing() {
    let scene = Scene::new();
    let hangs = Toy::start(|_| Reply::of([Step::Hang]));
    let guest = scene.guest("wait", guests::WAIT);
    let mut child = scene
        .command("run")
        .args(["--gateway", &hangs.url(), "--staging", "staging"])
        .args(["--mount", &format!("/data=/ipfs/{}", scene.cid), &guest])
        .spawn()
        .expect("the command starts");
    while hangs.asked() == 0 {
        assert!(child.try_wait().expect("a child").is_none(), "it waits");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(!scene.staged().is_empty(), "staging is there");
    send(Signal::INT)(&child);
    let ended = child.wait_with_output().expect("a child");
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    scene.nothing_staged();
}
