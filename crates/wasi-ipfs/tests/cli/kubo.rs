//! `--kubo`, `--gateway`, `prefetch`, `pins` and names, on a real Kubo node.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use kubo_daemon::{Daemon, Kubo, kubo_or_not_run};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    guests,
    harness::{Ended, Scene, large},
};

/// A node that holds the scene's tree.
struct Node {
    scene: Scene,
    daemon: Daemon,
    /// The tree's CID, as the node has it.
    cid: String,
    /// The CID of its directory `dir`, whose entries are raw blocks, so that it gets a lazy pin.
    dir: String,
}

impl Node {
    fn start(kubo: &Kubo) -> Self {
        Self::of(kubo.node().profile("unixfs-v1-2025"))
    }

    fn of(node: kubo_daemon::Node) -> Self {
        let scene = Scene::new();
        let daemon = node.start().expect("a daemon");
        let tree = scene.path("tree");
        let cid = daemon.add(&tree, &["--pin=false"]).expect("added");
        let cid = cid.to_string();
        assert_eq!(cid, scene.cid, "the node's import and ours agree");
        let dir = daemon.ipfs(&["resolve", &format!("/ipfs/{cid}/dir")]);
        let dir = String::from_utf8(dir.expect("it is there")).expect("text");
        let dir = dir.trim().trim_start_matches("/ipfs/").to_owned();
        Self {
            scene,
            daemon,
            cid,
            dir,
        }
    }

    /// The flag `--kubo=…` with the RPC's URL.
    fn flag(&self) -> String {
        format!("--kubo={}", self.daemon.api_url())
    }

    /// Runs a call on the node.
    fn call(&self, subcommand: &str, arguments: &[&str]) -> Ended {
        let flag = self.flag();
        let mut all = vec![flag.as_str()];
        all.extend(arguments);
        self.scene.call(subcommand, &all)
    }

    /// The list that `pins` prints: standing, depth, holder, root.
    fn pins(&self, arguments: &[&str]) -> Vec<[String; 4]> {
        let ended = self.call("pins", arguments);
        let lines = ended.succeeded().text().lines();
        lines
            .map(|line| {
                let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
                words.try_into().expect("four columns")
            })
            .collect()
    }

    /// Waits until `pins` prints the expected list.
    fn pins_until(
        &self,
        arguments: &[&str],
        wanted: impl Fn(&[[String; 4]]) -> bool,
    ) -> Vec<[String; 4]> {
        let started = Instant::now();
        loop {
            let pins = self.pins(arguments);
            if wanted(&pins) {
                return pins;
            }
            assert!(started.elapsed() < HUNG, "it stays at {pins:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts a guest that waits, with `dir` mounted and therefore pinned.
    fn waiting(&self, arguments: &[&str]) -> Waiting {
        let guest = self.scene.guest("wait", guests::WAIT);
        let mut command = self.scene.command("run");
        command
            .args([
                &self.flag(),
                "--mount",
                &format!("/data=/ipfs/{}/dir", self.cid),
            ])
            .args(arguments)
            .arg(guest)
            .stdin(Stdio::piped());
        Waiting::start(command)
    }
}

const HUNG: Duration = Duration::from_secs(120);

/// A guest that waits until it is ended. Dropping it kills it.
struct Waiting(Child);

impl Waiting {
    fn start(mut command: Command) -> Self {
        use std::io::Read;
        let mut child = command.spawn().expect("the command starts");
        let mut ready = [0; 5];
        let stdout = child.stdout.as_mut().expect("a pipe");
        stdout.read_exact(&mut ready).expect("the guest is ready");
        Self(child)
    }

    fn send(&mut self, signal: Signal) {
        let id = i32::try_from(self.0.id()).expect("a process id");
        kill_process(Pid::from_raw(id).expect("a process id"), signal).expect("sent");
        self.0.wait().expect("a child");
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_node_is_read_by_each_of_its_addresses() {
    let kubo = kubo_or_not_run!("the command on a node");
    let node = Node::start(&kubo);
    let Node {
        scene, daemon, cid, ..
    } = &node;
    let url = node.flag();
    let multiaddr = format!("--kubo={}", daemon.api_tcp());
    let gateway = daemon.gateway_url().expect("a gateway");
    let by_hand = format!("--kubo-gateway={gateway}");
    let guest = scene.guest("cat", guests::CAT);
    let ways: [&[&str]; 6] = [
        &[&url],
        &[&multiaddr],
        &["--kubo"],
        &[&url, "--kubo-gateway=off"],
        &[&url, &by_hand],
        &["--gateway", &gateway],
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let call = |subcommand: &str, arguments: &[&str]| {
            let mut command = scene.command(subcommand);
            command.env("IPFS_PATH", daemon.repo_path());
            Ended::of(
                command
                    .args(way)
                    .args(arguments)
                    .output()
                    .expect("it starts"),
            )
        };
        let listed = call("ls", &[cid]);
        assert_eq!(
            listed.succeeded().text(),
            "a.txt\ndir\nlarge\nlink\n",
            "{way:?}"
        );
        let printed = call("cat", &[&format!("/ipfs/{cid}/large")]);
        assert!(printed.succeeded().stdout == large(), "{way:?}");
        let copy = format!("copy{number}");
        call("get", &[cid, "-o", &copy]).succeeded();
        assert_eq!(scene.names(&copy), ["a.txt", "dir", "large", "link"]);
        let shown = call("stat", &[&format!("{cid}/a.txt")]);
        assert!(
            shown.succeeded().text().contains("Size:   6\n"),
            "{shown:?}"
        );
        let fetched = call("prefetch", &[cid, &format!("{cid}/large")]);
        let fetched = fetched.succeeded().text();
        assert!(
            fetched.contains(&format!("/ipfs/{cid}/large: 5 blocks, 3145")),
            "{fetched}"
        );
        let ran = call("run", &["--any-cid", &guest, &format!("{cid}/dir/b.txt")]);
        assert_eq!(ran.succeeded().text(), "below\n");
        // Without --any-cid, an argument grants only a CID below /ipfs/, and this one is not: no entry.
        call("run", &[&guest, &format!("{cid}/dir/b.txt")]).failed(44, &[]);
    }
    // The pins of a command that ended are released.
    assert_eq!(node.pins(&[]), [[""; 4]; 0]);
}

#[test]
fn a_repository_is_read_with_and_without_its_daemon() {
    let kubo = kubo_or_not_run!("the command on a repository");
    let mut node = Node::start(&kubo);
    let repository = node.daemon.repo_path().to_owned();
    let repository = repository.to_str().expect("text");
    let large_path = format!("/ipfs/{}/large", node.cid);
    let call = |node: &Node, subcommand: &str, words: &[&str]| {
        let all = [&["--kubo-repo", repository], words].concat();
        node.scene.call(subcommand, &all)
    };
    // The node is found by its repository, and keeps the pins.
    let both = call(&node, "cat", &["--kubo", &large_path]);
    assert!(both.succeeded().stdout == large());
    // A block without a file comes from the node.
    let other = kubo.node().without_gateway().start().expect("a daemon");
    other.connect(&node.daemon).expect("connected");
    node.scene.write("elsewhere", b"on another node\n");
    let elsewhere = other.add(&node.scene.path("elsewhere"), &["--cid-version=1"]);
    let elsewhere = elsewhere.expect("added").to_string();
    call(&node, "cat", &[&elsewhere]).failed(1, &[&elsewhere]);
    let fetched = call(&node, "cat", &["--kubo", &elsewhere]);
    assert_eq!(fetched.succeeded().text(), "on another node\n");

    node.daemon.stop();
    for subcommand in ["ls", "stat", "prefetch"] {
        call(&node, subcommand, &[&node.cid]).succeeded();
    }
    let alone = call(&node, "cat", &[&large_path]);
    assert!(alone.succeeded().stdout == large());
    let guest = node.scene.guest("cat", guests::CAT);
    let file = format!("{}/dir/b.txt", node.cid);
    let ran = call(&node, "run", &["--any-cid", &guest, &file]);
    assert_eq!(ran.succeeded().text(), "below\n");
    // It is one more source beside archives.
    let car = ["--car", "tree.car", &large_path];
    assert!(call(&node, "cat", &car).succeeded().stdout == large());
    let absent = "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    call(&node, "cat", &[absent]).failed(1, &[absent]);
    call(&node, "cat", &["--kubo", &large_path]).failed(1, &["no Kubo daemon"]);
}

#[test]
fn prefetch_brings_all_of_it_to_the_node() {
    let kubo = kubo_or_not_run!("prefetch from another node");
    let node = Node::start(&kubo);
    let near = kubo.node().without_gateway().start().expect("a daemon");
    near.connect(&node.daemon).expect("connected");
    let flag = format!("--kubo={}", near.api_url());
    let path = format!("{}/large", node.cid);
    let stat = node.scene.call("stat", &[&flag, &path]);
    stat.succeeded();
    let had = near.repo_stat().expect("stat").num_objects;
    // The tree's empty file is not fetched, because nodes do not send each other empty blocks.
    let fetched = node.scene.call("prefetch", &[&flag, &path]);
    fetched.succeeded();
    assert!(near.repo_stat().expect("stat").num_objects > had);
    // The whole content is there: the other node is not needed any more.
    drop(node.daemon);
    let printed = node.scene.call("cat", &[&flag, &path]);
    assert!(printed.succeeded().stdout == large());
}

#[test]
fn what_a_kill_leaves_is_seen_and_reaped() {
    let kubo = kubo_or_not_run!("pins after a kill");
    let node = Node::start(&kubo);
    node.daemon
        .ipfs(&["pin", "add", &node.dir])
        .expect("the owner's own pin");
    let one = |standing: &'static str| move |pins: &[[String; 4]]| matches!(pins, [[its, depth, _, _]] if its == standing && depth == "lazy");
    let mut waiting = node.waiting(&[]);
    let pins = node.pins_until(&[], one("ours"));
    let [_, _, holder, root] = &pins[0];
    assert_eq!(*root, node.dir);
    // While the guest lives, nothing releases its pins.
    let reaped = node.call("pins", &["--reap"]);
    assert_eq!(reaped.succeeded().text(), "released 0 pins of 0 holders\n");
    let forced = ["--reap", "--holder", holder, "--force"];
    node.call("pins", &forced).failed(1, &["alive", holder]);
    assert!(one("ours")(&node.pins(&[])));

    waiting.send(Signal::KILL);
    let dead = node.pins(&[]);
    assert!(one("dead")(&dead), "{dead:?}");
    let reaped = node.call("pins", &["--reap"]);
    assert_eq!(reaped.succeeded().text(), "released 1 pins of 1 holders\n");
    assert_eq!(node.pins(&[]), [[""; 4]; 0]);

    // A start also releases them by itself.
    let mut killed = node.waiting(&[]);
    node.pins_until(&[], one("ours"));
    killed.send(Signal::KILL);
    assert!(one("dead")(&node.pins(&[])));
    let mut next = node.waiting(&[]);
    let pins = node.pins_until(&[], one("ours"));
    assert_ne!(pins[0][2], *holder);
    next.send(Signal::TERM);
    assert_eq!(
        node.pins(&[]),
        [[""; 4]; 0],
        "what ends in order leaves nothing"
    );
    let owners = node.daemon.ipfs(&["pin", "ls", "--type=recursive", "-q"]);
    let owners = String::from_utf8(owners.expect("listed")).expect("text");
    assert!(owners.contains(&node.dir), "the owner's pin is the owner's");
}

#[test]
fn a_holder_of_another_lock_directory_is_released_on_a_persons_word_alone() {
    let kubo = kubo_or_not_run!("pins of another lock directory");
    let node = Node::start(&kubo);
    let mut waiting = node.waiting(&["--staging", "staging"]);
    let there = ["--staging", "staging"];
    let ours = node.pins_until(&there, |pins| pins.len() == 1);
    assert_eq!(ours[0][0], "ours");
    let pins = node.pins(&[]);
    assert_eq!(pins[0][0], "elsewhere");
    let holder = pins[0][2].as_str();
    waiting.send(Signal::KILL);
    assert_eq!(node.pins(&[])[0][0], "elsewhere", "nothing here can tell");
    assert_eq!(node.pins(&there)[0][0], "dead");
    let reaped = node.call("pins", &["--reap"]);
    assert_eq!(reaped.succeeded().text(), "released 0 pins of 0 holders\n");
    let refused = node.call("pins", &["--reap", "--holder", holder]);
    refused.failed(1, &[holder, "another lock directory", "--force"]);
    assert_eq!(node.pins(&[]).len(), 1);
    let forced = node.call("pins", &["--reap", "--holder", holder, "--force"]);
    assert_eq!(forced.succeeded().text(), "released 1 pins of 1 holders\n");
    assert_eq!(node.pins(&[]), [[""; 4]; 0]);
}

#[test]
fn a_published_name_leads_to_its_cid() {
    let kubo = kubo_or_not_run!("a name published on the node");
    // Offline, because a node with a network looks for names only there.
    let node = Node::of(kubo.node().profile("unixfs-v1-2025").offline());
    let Node {
        scene, daemon, cid, ..
    } = &node;
    let publish = |path: &str| {
        let arguments = ["name", "publish", "--allow-offline", "-Q", path];
        let name = daemon.ipfs(&arguments).expect("published");
        String::from_utf8(name).expect("text").trim().to_owned()
    };
    let name = publish(&format!("/ipfs/{cid}"));
    let path = format!("/ipns/{name}");
    let listed = node.call("ls", &[&path]);
    assert_eq!(listed.succeeded().text(), "a.txt\ndir\nlarge\nlink\n");
    let below = format!("ipns://{name}/dir/b.txt");
    assert_eq!(node.call("cat", &[&below]).succeeded().text(), "below\n");
    let shown = node.call("stat", &[&path]);
    let wanted = format!("Path:   {path}\nIs:     /ipfs/{cid}\nCID:    {cid}\n");
    assert!(shown.succeeded().text().starts_with(&wanted), "{shown:?}");
    node.call("get", &[&path, "-o", "named"]).succeeded();
    assert_eq!(scene.names("named"), ["a.txt", "dir", "large", "link"]);

    // /ipfs is the first preopened directory, and /ipns the second.
    let first = "(i32.const 3) (i32.const 1)";
    assert!(guests::CAT.contains(first));
    let second = guests::CAT.replace(first, "(i32.const 4) (i32.const 1)");
    let guest = scene.guest("cat_named", &second);
    let file = format!("{name}/dir/b.txt");
    let ran = node.call("run", &["--ipns", &name, &guest, &file]);
    assert_eq!(ran.succeeded().text(), "below\n");
    assert!(
        ran.stderr.contains(&format!("resolved {cid} {path}\n")),
        "{ran:?}"
    );
    let mounted = format!("/data={path}/dir");
    let ran = node.call("run", &["--mount", &mounted, &guest, "b.txt"]);
    assert_eq!(ran.succeeded().text(), "below\n");
    // A name that was not granted does not exist, even if the node knows it. Without a granted name there is no /ipns.
    let other = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8";
    let file = format!("{other}/dir/b.txt");
    node.call("run", &["--ipns", &name, &guest, &file])
        .failed(44, &[]);
    let file = format!("{name}/dir/b.txt");
    node.call("run", &[&guest, &file]).failed(8, &[]);

    // Each call resolves the name anew.
    publish(&format!("/ipfs/{cid}/dir"));
    assert_eq!(
        node.call("ls", &[&path]).succeeded().text(),
        "b.txt\nempty\n"
    );
    let gateway = daemon.gateway_url().expect("a gateway");
    // The gateway has the signed record of the name, which is verified here.
    let listed = scene.call("ls", &["--gateway", &gateway, &path]);
    assert_eq!(listed.succeeded().text(), "b.txt\nempty\n");
}

#[test]
fn credentials_come_from_the_environment_or_a_file_and_are_not_shown() {
    let kubo = kubo_or_not_run!("a node that wants credentials");
    let secret = "bearer:s3cret-token";
    let node = kubo.node().api_authorization("test", secret, &["/api/v0"]);
    let node = Node::of(node.profile("unixfs-v1-2025"));
    let arguments = [node.flag(), node.cid.clone()];
    let refused = node.scene.call("ls", &arguments);
    refused.failed(1, &["refuses these credentials", "WASI_IPFS_KUBO_AUTH"]);
    node.scene.write("right", secret.as_bytes());
    node.scene.write("wrong", b"bearer:wr0ng-token");
    let by_file = node.call("ls", &["--kubo-auth-file", "right", &node.cid]);
    by_file.succeeded();
    let mut command = node.scene.command("ls");
    command.env("WASI_IPFS_KUBO_AUTH", secret).args(&arguments);
    Ended::of(command.output().expect("it starts")).succeeded();
    let wrong = node.call("ls", &["--kubo-auth-file", "wrong", &node.cid]);
    wrong.failed(1, &["refuses these credentials"]);
    assert!(!wrong.stderr.contains("wr0ng"), "{wrong:?}");
}
