//! The private nodes themselves, with a real Kubo: they start, reach only each other, and end.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use kubo_daemon::{
    ApiListeners, Daemon, Error, Kubo, Networking, PinKind, Result, kubo_or_not_run,
};

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), bytes).expect("writing it");
    file
}

fn runs(pid: u32) -> bool {
    // A process that has ended, but was not waited for, has no command line.
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[track_caller]
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < until, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_node_adds_reads_collects_and_restarts() -> Result<()> {
    let kubo = kubo_or_not_run!("a node by itself", Ok(()));
    let mut node = kubo.node().start()?;
    let (kept, gone) = (file(b"kept"), file(b"gone"));
    let kept = node.add(kept.path(), &["--cid-version=1"])?;
    let gone = node.add(gone.path(), &["--cid-version=1", "--pin=false"])?;
    assert_eq!(node.ipfs(&["cat", &gone.to_string()])?, b"gone");
    let before = node.repo_stat()?;

    // Adding leaves a directory or two of Kubo's own.
    let removed = node.gc()?;
    assert!(removed.contains(&gone) && !removed.contains(&kept));
    let left = before.num_objects - removed.len() as u64;
    assert_eq!(node.repo_stat()?.num_objects, left);
    assert!(node.holds(&kept)? && !node.holds(&gone)?);
    let pins = node.pin_ls(PinKind::Recursive)?;
    assert!(pins.iter().any(|(cid, _)| *cid == kept.to_string()));

    let addresses = |node: &Daemon| (node.api_url(), node.gateway_url(), node.swarm_address());
    let (at, pid) = (addresses(&node), node.pid());
    node.restart()?;
    assert_eq!(addresses(&node), at);
    assert_ne!(node.pid(), pid);
    assert_eq!(node.ipfs(&["cat", &kept.to_string()])?, b"kept");
    node.kill();
    assert_eq!(node.pid(), None);
    node.restart()?;
    assert_eq!(node.ipfs(&["cat", &kept.to_string()])?, b"kept");

    let failed = node.ipfs(&["cat", "no-cid"]);
    assert!(matches!(failed, Err(Error::Command { .. })), "{failed:?}");
    let refused = node.rpc().call("pin/rm", &[("arg", &gone.to_string())]);
    match refused {
        Err(Error::Refused {
            status: 500,
            message,
            ..
        }) => {
            assert!(message.contains("not pinned"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    Ok(())
}

#[test]
fn two_nodes_reach_each_other_once_they_are_connected() -> Result<()> {
    let kubo = kubo_or_not_run!("two nodes", Ok(()));
    let (first, mut second) = (kubo.node().start()?, kubo.node().start()?);
    let text = file(b"on the second alone");
    let cid = second.add(text.path(), &[])?.to_string();
    let alone = first
        .rpc()
        .call("cat", &[("arg", &cid), ("timeout", "500ms")]);
    assert!(alone.is_err(), "{alone:?}");
    let peers = || first.rpc().value("swarm/peers", &[]);
    assert_eq!(peers()?["Peers"].as_array().map_or(0, Vec::len), 0);

    first.connect(&second)?;
    assert_eq!(first.ipfs(&["cat", &cid])?, b"on the second alone");
    assert_eq!(first.bitswap_stat()?.blocks_received, 1);
    assert_eq!(second.bitswap_stat()?.blocks_sent, 1);

    second.restart_as(Networking::Offline)?;
    assert!(first.connect(&second).is_err());
    assert_eq!(second.ipfs(&["cat", &cid])?, b"on the second alone");
    Ok(())
}

#[test]
fn a_frozen_node_says_nothing_and_goes_on() -> Result<()> {
    let kubo = kubo_or_not_run!("a frozen node", Ok(()));
    let mut node = kubo.node().offline().without_gateway().start()?;
    assert_eq!(node.gateway_url(), None);
    let rpc = node.rpc().clone();
    node.stop_signal()?;
    let asked = thread::spawn(move || rpc.call("version", &[]));
    let stat = format!("/proc/{}/stat", node.pid().expect("it runs"));
    wait_until("it is frozen", || {
        let stat = fs::read_to_string(&stat).expect("its state");
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('T'))
    });
    assert!(!asked.is_finished());
    node.cont_signal()?;
    assert!(asked.join().expect("the call")?.starts_with(b"{"));
    Ok(())
}

#[test]
fn a_node_listens_where_it_is_told_and_asks_for_the_secret() -> Result<()> {
    let kubo = kubo_or_not_run!("the RPC's addresses", Ok(()));
    let node = kubo
        .node()
        .api_listeners(ApiListeners::UnixThenTcp)
        .api_authorization("tests", "basic:user:secret", &["/api/v0"])
        .profile("unixfs-v1-2025")
        .config("Datastore.StorageMax", "123MB")
        .start()?;
    let written = fs::read_to_string(node.repo_path().join("api")).expect("the file api");
    assert_eq!(written.trim(), node.api());
    assert!(node.api().starts_with("/unix/") && node.api_unix() == Some(node.api()));
    let gateway = fs::read_to_string(node.repo_path().join("gateway")).expect("the file gateway");
    assert_eq!(Some(gateway.trim().to_owned()), node.gateway_url());
    // The program sends the secret, and so do this crate's own calls.
    let text = file(b"text");
    assert_eq!(node.add(text.path(), &[])?.codec(), 0x55);
    let stat = node.rpc().value("repo/stat", &[])?;
    assert_eq!(stat["StorageMax"], 123_000_000);
    let mut stranger = Command::new(kubo.program());
    stranger
        .args(["--api", &node.api(), "id"])
        .env("IPFS_PATH", "/nonexistent");
    let output = stranger.output().expect("it runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("Access Denied"), "{complaint}");
    Ok(())
}

#[test]
fn what_is_dropped_or_does_not_come_up_leaves_nothing() -> Result<()> {
    let kubo = kubo_or_not_run!("a node's end", Ok(()));
    let mut node = kubo.node().offline().start()?;
    let (pid, repo) = (node.pid().expect("it runs"), node.repo_path().to_owned());
    assert!(runs(pid) && repo.exists());
    // The same holds for a frozen node.
    node.stop_signal()?;
    drop(node);
    assert!(!runs(pid) && !repo.exists());

    let wrong = kubo.node().daemon_argument("--no-such-flag").start();
    match wrong {
        Err(Error::NotReady { log, .. }) => assert!(log.contains("no-such-flag"), "{log}"),
        other => panic!("{other:?}"),
    }
    let missing = Kubo::at("/no/such/ipfs").node().start();
    assert!(matches!(missing, Err(Error::Io { .. })), "{missing:?}");
    Ok(())
}

/// Runs in the process that is to be killed: starts a node, prints its process id and folder, and waits.
#[test]
fn child_of_a_killed_parent() -> Result<()> {
    if std::env::var_os("KUBO_DAEMON_TO_BE_KILLED").is_none() {
        return Ok(());
    }
    let kubo = Kubo::find().expect("the parent has it");
    let node = kubo.node().offline().start()?;
    println!(
        "\nNODE {} {}",
        node.pid().expect("it runs"),
        node.repo_path().display()
    );
    loop {
        thread::park();
    }
}

#[test]
fn a_killed_parent_leaves_nothing() {
    let _ = kubo_or_not_run!("a killed parent");
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .args(["--exact", "daemon::child_of_a_killed_parent", "--nocapture"])
        .env("KUBO_DAEMON_TO_BE_KILLED", "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("starting this program again");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    let said = output
        .lines()
        .map_while(std::io::Result::ok)
        .find_map(|line| {
            let (pid, repo) = line.strip_prefix("NODE ")?.split_once(' ')?;
            Some((pid.parse::<u32>().ok()?, repo.to_owned()))
        });
    let said = said.expect("it starts a node");
    assert!(runs(said.0));
    child.kill().expect("killing it");
    child.wait().expect("its end");
    wait_until("its daemon is gone", || !runs(said.0));
    wait_until("its repository too", || !Path::new(&said.1).exists());
}
