//! Sources behind HTTP, against scripted servers: their order, their combination, and the errors when no server
//! answers.

use std::{collections::HashMap, net::SocketAddr, ops::ControlFlow, sync::Arc};

use cid::multibase::Base;
use multihash_codetable::{Code, MultihashDigest};
use pinner_api::{Bytes, Cid};
use pinner_car::{ImportOptions, import};
use tokio::runtime::{Builder, Runtime};
use toy_http::{Asked, Reply, ToyServer};

use crate::harness::{Ended, Scene, large, raw};

/// A server, and the threads that it runs on.
pub(crate) struct Toy {
    server: ToyServer,
    runtime: Runtime,
}

impl Toy {
    pub(crate) fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads");
        let server = runtime
            .block_on(ToyServer::start(script))
            .expect("a server");
        Self { server, runtime }
    }

    /// A gateway with the scene's tree.
    pub(crate) fn gateway(scene: &Scene) -> Self {
        let blocks = Arc::new(blocks(scene));
        Self::start(move |asked| {
            let cid: Option<Cid> = asked.last_segment().parse().ok();
            match cid.and_then(|cid| blocks.get(&cid)) {
                Some(block) => Reply::ok("application/vnd.ipld.raw", block),
                None => Reply::with(404, &[], "not found"),
            }
        })
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    pub(crate) fn asked(&self) -> usize {
        self.server.requests().len()
    }

    pub(crate) fn requests(&self) -> Vec<Asked> {
        self.server.requests()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Runs work on the server's threads, to its end.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Runs work on the server's threads, for as long as the server lives.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(work);
    }
}

fn blocks(scene: &Scene) -> HashMap<Cid, Bytes> {
    let mut blocks = HashMap::new();
    let sink = |cid, block| {
        blocks.insert(cid, block);
        Ok(())
    };
    let options = ImportOptions::default();
    let imported = import(scene.path("tree"), &options, sink, |_| {
        ControlFlow::Continue(())
    });
    assert_eq!(imported.expect("imported").root.to_string(), scene.cid);
    blocks
}

#[test]
fn gateways_are_asked_in_order_and_trusted_with_nothing() {
    let scene = Scene::new();
    let good = Toy::gateway(&scene);
    let broken = Toy::start(|_| Reply::with(500, &[], "broken"));
    let path = format!("{}/large", scene.cid);
    let by = |gateways: &[&Toy], arguments: &[&str]| {
        let urls: Vec<_> = gateways.iter().map(|toy| toy.server.url()).collect();
        let mut all: Vec<&str> = Vec::new();
        for url in &urls {
            all.extend(["--gateway", url]);
        }
        all.extend(arguments);
        all.push(&path);
        scene.call("cat", &all)
    };
    assert!(by(&[&good], &[]).succeeded().stdout == large());
    assert!(by(&[&broken, &good], &[]).succeeded().stdout == large());
    assert!(broken.asked() > 0);
    let before = broken.asked();
    by(&[&good, &broken], &[]).succeeded();
    assert_eq!(broken.asked(), before, "the first has it all");
    by(&[&broken], &["--block-timeout", "2s"]).failed(1, &[&scene.cid]);

    let lie = Toy::start(|_| Reply::ok("application/vnd.ipld.raw", "a lie"));
    by(&[&lie], &[]).failed(1, &["do not hash"]);
}

#[test]
fn what_is_local_is_not_asked_for_elsewhere() {
    let scene = Scene::new();
    let gateway = Toy::gateway(&scene);
    let url = gateway.server.url();
    let (a, large) = (
        format!("{}/a.txt", scene.cid),
        format!("{}/large", scene.cid),
    );
    let both = ["--car", "tree.car", "--gateway", &url];
    let call = |first: &[&str], path: &str| {
        let mut all = first.to_vec();
        all.push(path);
        scene.call("cat", &all)
    };
    assert_eq!(call(&both, &a).succeeded().text(), "hello\n");
    call(&both, &large).succeeded();
    assert_eq!(gateway.asked(), 0);
    // Part of the file is local: the rest comes from the gateway.
    let part = ["--add", "tree/large", "--gateway", &url];
    call(&part, &large).succeeded();
    let asked = gateway.server.requests();
    assert_eq!(asked.len(), 1, "the tree's root alone: {asked:?}");
    let ended = call(
        &part,
        "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
    );
    ended.failed(
        1,
        &["bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"],
    );
}

#[test]
fn a_local_source_alone_proves_that_it_is_whole_or_says_what_is_missing() {
    let scene = Scene::new();
    let whole = scene.on_car("prefetch", &[&scene.cid]);
    let text = whole.succeeded().text();
    assert!(
        text.starts_with(&format!("/ipfs/{}: ", scene.cid)),
        "{text}"
    );
    let stat = scene.on_car("stat", &["--blocks", &scene.cid]);
    let counted = stat.succeeded().text().lines().last().expect("a line");
    let blocks = counted.split_whitespace().nth(1).expect("a number");
    assert!(
        text.contains(&format!(": {blocks} blocks, ")),
        "{text} {counted}"
    );
    // A missing CID does not hide the others.
    let absent = Cid::new_v1(0x55, Code::Sha2_256.digest(b"nowhere")).to_string();
    let both = scene.on_car("prefetch", &[&absent, &scene.cid]);
    both.failed(1, &[&absent]);
    assert_eq!(both.text(), text);
}

#[test]
fn what_says_how_to_speak_to_a_node_needs_one() {
    let scene = Scene::new();
    scene.write("auth", b"s3cret\n");
    let cid = scene.cid.as_str();
    for (arguments, said) in [
        (
            &["--kubo-gateway", "off", "--car", "tree.car"][..],
            "--kubo",
        ),
        (
            &["--kubo-auth-file", "auth", "--car", "tree.car"][..],
            "--kubo",
        ),
        // Other users can read a command line.
        (&["--kubo", "--kubo-auth", "s3cret"][..], "bearer:TOKEN"),
        (&["--kubo", "--kubo-auth-file", "auth"][..], "bearer:TOKEN"),
        (&["--kubo", "--kubo-gateway", "maybe"][..], "auto, off"),
        (
            &["--kubo", "--gateway", "http://127.0.0.1:1"][..],
            "--gateway",
        ),
        (&["--kubo=http://me:s3cret@127.0.0.1:1"][..], "credentials"),
        (
            &["--kubo-repo", ".", "--kubo-auth-file", "auth"][..],
            "--kubo",
        ),
        (
            &["--car", "tree.car", "--gateway-ca", "auth"][..],
            "--gateway-ca",
        ),
        (
            &["--kubo", "--gateway-auth-file", "auth"][..],
            "--gateway-auth-file",
        ),
        (&["--gateway", "no url"][..], "no url"),
    ] {
        let mut all = arguments.to_vec();
        all.push(cid);
        let ended = scene.call("ls", &all);
        ended.failed(2, &[said]);
        assert!(!ended.stderr.contains("s3cret"), "{ended:?}");
    }
    // The error is about the address alone, which is not a path.
    scene
        .call("ls", &["--kubo", "/ip4/127.0.0.1/tcp/5001"])
        .failed(2, &["--kubo=ADDR"]);
    for arguments in [
        &["--holder", "00"][..],
        &["--force"][..],
        &["--reap", "--holder", "00"][..],
    ] {
        scene.call("pins", arguments).failed(2, &["--"]);
    }
    scene
        .call("pins", &["--timeout", "0"])
        .failed(2, &["--timeout"]);
}

#[test]
fn where_there_is_no_node_it_is_said_what_to_do() {
    let scene = Scene::new();
    let cid = scene.cid.as_str();
    // The harness sets a repository that does not exist.
    for ended in [
        scene.call("ls", &["--kubo", cid]),
        scene.call("pins", &[""; 0]),
        scene.call("run", &["--kubo", "guest.wasm"]),
    ] {
        ended.failed(
            1,
            &["no Kubo daemon is running", "`ipfs daemon`", "--kubo=ADDR"],
        );
    }
    scene
        .call("ls", &["--kubo=/ip4/127.0.0.1/tcp/1", cid])
        .failed(1, &["127.0.0.1:1", "--kubo=ADDR"]);
    let other = Toy::start(|_| Reply::ok("text/html", "<p>hello"));
    scene
        .call("ls", &[&format!("--kubo={}", other.server.url()), cid])
        .failed(1, &["is not the RPC of a Kubo node"]);
    let old = Toy::start(|_| Reply::ok("application/json", r#"{"Version":"0.4.23"}"#));
    scene
        .call("ls", &[&format!("--kubo={}", old.server.url()), cid])
        .failed(1, &["0.4.23", "update it"]);
}

#[test]
fn a_repository_that_cannot_be_read_is_refused_by_name() {
    let scene = Scene::new();
    let cid = scene.cid.as_str();
    let ls = |words: &[&str]| scene.call("ls", &[&["--kubo-repo", "repo"], words].concat());
    ls(&[cid]).failed(1, &["--kubo-repo", "repo", "No such file"]);
    std::fs::create_dir(scene.path("repo")).expect("a directory");
    ls(&[cid]).failed(1, &["no Kubo repository", "'version'", "IPFS_PATH"]);
    scene.write("repo/version", b"18\n");
    scene.write(
        "repo/datastore_spec",
        br#"{"path":"pebbleds","type":"pebbleds"}"#,
    );
    ls(&[cid]).failed(1, &["pebbleds", "flatfs", "pass --kubo instead"]);
    // With --kubo the node is the one that runs on the repository.
    let both = ls(&["--kubo", cid]);
    both.failed(
        1,
        &["no Kubo daemon is running", "repo/api", "without --kubo"],
    );
    scene
        .call("pins", &["--kubo-repo", "repo"])
        .failed(2, &["--kubo-repo"]);
}

#[test]
fn a_gateway_is_asked_for_what_a_repository_lacks() {
    let scene = Scene::new();
    let (cid, block) = raw(b"in the files\n");
    let key = Base::Base32Upper.encode(cid.hash().to_bytes());
    let shard = &key[key.len() - 3..key.len() - 1];
    std::fs::create_dir_all(scene.path("repo/blocks").join(shard)).expect("a directory");
    scene.write("repo/version", b"18\n");
    let mount = r#"{"mountpoint":"/blocks","path":"blocks","type":"flatfs"}"#;
    let spec = format!(r#"{{"type":"mount","mounts":[{mount}]}}"#);
    scene.write("repo/datastore_spec", spec.as_bytes());
    let function = b"/repo/flatfs/shard/v1/next-to-last/2\n";
    scene.write("repo/blocks/SHARDING", function);
    scene.write(&format!("repo/blocks/{shard}/{key}.data"), &block);
    let server = Toy::gateway(&scene);
    let cat = |path: &str| {
        let sources = ["--kubo-repo", "repo", "--gateway", &server.url(), path];
        scene.call("cat", &sources)
    };
    let ended = cat(&cid.to_string());
    assert_eq!(ended.succeeded().text(), "in the files\n");
    assert_eq!(server.asked(), 0);
    let ended = cat(&format!("{}/a.txt", scene.cid));
    assert_eq!(ended.succeeded().text(), "hello\n");
    assert!(server.asked() > 0);
}

#[test]
fn the_environment_holds_credentials_until_a_flag_names_others() {
    let scene = Scene::new();
    scene.write("auth", b"bearer:t0ken-2\n");
    let node = Toy::start(|_| Reply::with(403, &[("Content-Type", "text/plain")], "forbidden"));
    let flag = format!("--kubo={}", node.server.url());
    let call = |environment: &str, arguments: &[&str]| {
        let mut command = scene.command("ls");
        command.env("WASI_IPFS_KUBO_AUTH", environment);
        command.arg(&flag).args(arguments).arg(&scene.cid);
        let ended = Ended::of(command.output().expect("it starts"));
        assert!(!ended.stderr.contains("t0ken"), "{ended:?}");
        ended
    };
    call("bearer:t0ken-1", &[]).failed(1, &["refuses these credentials"]);
    call("bearer:t0ken-1", &["--kubo-auth-file", "auth"]).failed(1, &["refuses"]);
    call("", &[]).failed(1, &["refuses"]);
    call("t0ken", &[]).failed(2, &["WASI_IPFS_KUBO_AUTH", "bearer:TOKEN"]);
    let shown: Vec<_> = node
        .server
        .requests()
        .iter()
        .map(|asked| asked.header("authorization").map(str::to_owned))
        .collect();
    let wanted = [Some("Bearer t0ken-1"), Some("Bearer t0ken-2"), None];
    assert_eq!(shown, wanted.map(|it| it.map(str::to_owned)));
}

#[test]
fn names_need_a_source_that_has_them() {
    let scene = Scene::new();
    for subcommand in ["ls", "cat", "get", "stat", "prefetch"] {
        let ended = scene.on_car(subcommand, &["/ipns/site.example/a"]);
        ended.failed(1, &["/ipns/site.example/a", "resolves no names"]);
    }
    let guest = scene.guest("return", crate::guests::RETURN);
    scene
        .on_car("run", &["--ipns", "site.example", &guest])
        .failed(1, &["'site.example'", "resolves no names"]);
    scene
        .on_car("run", &["--mount", "/data=/ipns/site.example", &guest])
        .failed(1, &["/data", "resolves no names"]);
    scene
        .on_car("run", &["--ipns", "a/b", &guest])
        .failed(2, &["without slashes"]);
}
