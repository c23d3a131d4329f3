//! The examples, run as the programs that an embedder copies, with guests that `cargo xtask guests` built.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    ops::ControlFlow,
    path::PathBuf,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use pinner_car::ImportOptions;
use tempfile::TempDir;
use test_support::{examples, examples::Example};

examples! { embed http_server mount_root own_filesystem own_tree preview1 }

/// How long a server may take before the test declares it hung.
const HUNG: Duration = Duration::from_secs(60);

/// A file of one block.
const NOTE: &[u8] = b"A guest reads this.\n";

/// The CID of [`NOTE`]. Its block is in the CAR, but it is not a root there.
const NOTE_CID: &str = "bafkreig2sdmqtf7wgza5f4r7hmhw6r7gcsizrmmo6ebemmlejr3evyuxia";

/// A CAR file with one root, a directory of `note.txt` and of `large`, which has several blocks.
struct Site {
    folder: TempDir,
    root: String,
    large: Vec<u8>,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let site = folder.path().join("site");
        let large: Vec<u8> = (0..3 << 20_u32).map(|at| (at >> 8) as u8).collect();
        fs::create_dir(&site).expect("a folder");
        fs::write(site.join("note.txt"), NOTE).expect("a file");
        fs::write(site.join("large"), &large).expect("a file");
        let car = folder.path().join("site.car");
        let go_on = |_| ControlFlow::Continue(());
        let imported = pinner_car::import_to_car(&site, car, &ImportOptions::default(), go_on);
        let root = imported.expect("an import").root.to_string();
        Self {
            folder,
            root,
            large,
        }
    }

    fn car(&self) -> String {
        let car = self.folder.path().join("site.car");
        car.into_os_string().into_string().expect("a path in UTF-8")
    }
}

/// The file of a guest, or `None` if nobody says where guests are.
fn guest(file: &str) -> Option<String> {
    let Some(folder) = env::var_os("WASI_IPFS_GUESTS") else {
        println!("NOT RUN: {file}: WASI_IPFS_GUESTS does not name the folder of guests");
        return None;
    };
    let file = PathBuf::from(folder).join(file);
    assert!(
        file.is_file(),
        "{} is not there; `cargo xtask guests` builds it",
        file.display()
    );
    Some(
        file.into_os_string()
            .into_string()
            .expect("a path in UTF-8"),
    )
}

fn embed(example: &Example) {
    if let Some(cat) = guest("p2/cat.wasm") {
        reads_below_its_root(example, &cat);
    }
}

fn preview1(example: &Example) {
    if let Some(cat) = guest("p1/cat.wasm") {
        reads_below_its_root(example, &cat);
    }
}

/// Runs `cat` in the example: it reads below the CAR's root, and nothing else.
fn reads_below_its_root(example: &Example, cat: &str) {
    let site = Site::new();
    let car = site.car();
    let file = |name| format!("/ipfs/{}/{name}", site.root);
    let read = example.printed(&[cat, &car, &file("note.txt"), &file("large")]);
    assert!(read == [NOTE, &site.large].concat(), "other bytes");
    let refused = example.refused(&[cat, &car, &format!("/ipfs/{NOTE_CID}")]);
    assert!(refused.contains(NOTE_CID), "{refused}");
    let usage = example.refused(&[cat]);
    assert!(usage.contains("usage: "), "{usage}");
}

fn mount_root(example: &Example) {
    let Some(cat) = guest("p2/cat.wasm") else {
        return;
    };
    let site = Site::new();
    let car = site.car();
    let read = example.printed(&[&cat, &car, "/note.txt", "/large"]);
    assert!(read == [NOTE, &site.large].concat(), "other bytes");
    // The mount does not grant the root under its own name.
    let path = format!("/ipfs/{}/note.txt", site.root);
    let refused = example.refused(&[&cat, &car, &path]);
    assert!(refused.contains(&path), "{refused}");
}

/// Each way to run it shows the same: the host's filesystem sees the native paths, and no other.
fn own_filesystem(example: &Example) {
    let Some(cat) = guest("p2/cat.wasm") else {
        return;
    };
    let site = Site::new();
    let (car, folder) = (site.car(), site.folder.path().join("site"));
    let folder = folder.to_str().expect("a path in UTF-8");
    let path = format!("/ipfs/{}/large", site.root);
    for how in ["async", "sync"] {
        let mut command = example.command();
        command.args([how, &cat, &car, folder, &path, "/native/note.txt"]);
        let ended = command.output().expect("it starts");
        let told = String::from_utf8(ended.stderr).expect("text");
        assert!(ended.status.success(), "{how}: {told}");
        let wanted = [&site.large, NOTE].concat();
        assert!(ended.stdout == wanted, "{how}: other bytes");
        assert_eq!(told, "1: note.txt\n", "{how}");

        let missing = format!("/ipfs/{}/missing", site.root);
        let refused = example.refused(&[how, &cat, &car, folder, &missing]);
        assert!(refused.contains(&missing), "{how}: {refused}");
        let missing = "/native/missing";
        let refused = example.refused(&[how, &cat, &car, folder, missing]);
        assert!(refused.contains("1: missing\n"), "{how}: {refused}");
    }
    let usage = example.refused(&["async", &cat, &car]);
    assert!(usage.contains("usage: "), "{usage}");
}

/// Guests of both previews find the same tree, though none of it is in IPFS.
fn own_tree(example: &Example) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = folder.path().join("tree.tar");
    let large: Vec<u8> = (0..300_000_u32).map(|at| (at >> 3) as u8).collect();
    let members = [
        ("a/", b'5', "", &[][..]),
        ("a/note.txt", b'0', "", NOTE),
        ("a/up", b'2', "../large", &[]),
        ("a/out", b'2', "../../etc", &[]),
        ("b/c/empty", b'0', "", &[]),
        ("large", b'0', "", &large),
    ];
    fs::write(&archive, tar(&members)).expect("a file");
    let archive = archive.to_str().expect("a path in UTF-8");
    for preview in ["p1", "p2"] {
        let Some(cat) = guest(&format!("{preview}/cat.wasm")) else {
            return;
        };
        let files = ["/tar/a/note.txt", "/tar/b/../a/up", "/tar/b/c/empty"];
        let read = example.printed(&[&[&cat, archive][..], &files].concat());
        assert!(read == [NOTE, &large].concat(), "{preview}: other bytes");
        for missing in ["/tar/a/missing", "/tar/a/out", "/tar/large/x", "/tar/a"] {
            let refused = example.refused(&[&cat, archive, missing]);
            assert!(refused.contains(missing), "{preview}: {refused}");
        }
        let list = guest(&format!("{preview}/list_dir.wasm")).expect("a guest");
        let listed = example.printed(&[&list, archive, "/tar"]);
        let listed = String::from_utf8(listed).expect("text");
        assert_eq!(
            listed, "count 3\nd \"a\"\nd \"b\"\nf \"large\"\n",
            "{preview}"
        );
        let listed = example.printed(&[&list, archive, "/tar/a"]);
        let listed = String::from_utf8(listed).expect("text");
        assert_eq!(
            listed, "count 3\nf \"note.txt\"\nl \"out\"\nl \"up\"\n",
            "{preview}"
        );
    }
}

/// Makes an archive of members, each with a name, a type, the target of a link, and content.
fn tar(members: &[(&str, u8, &str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, kind, target, content) in members {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = *kind;
        header[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header[257..263].copy_from_slice(b"ustar\0");
        archive.extend(header);
        archive.extend(*content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

fn http_server(example: &Example) {
    let Some(guest) = guest("p2/serve_file.wasm") else {
        return;
    };
    let site = Site::new();
    let mut command = example.command();
    command.args([&guest, &site.car(), "4"]);
    let child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let mut server = Server(child);
    let address = server.address();

    let below = |name| format!("/ipfs/{}/{name}", site.root);
    let (status, body) = get(&address, &below("note.txt"));
    assert_eq!((status, body.as_slice()), (200, NOTE));
    let (status, body) = get(&address, &below("large"));
    assert!(status == 200 && body == site.large, "{status}, other bytes");
    let (status, body) = get(&address, &below("missing"));
    assert_eq!(status, 404, "{}", body.escape_ascii());
    // The block is in the CAR, but a request is only granted the CAR's roots.
    let (status, body) = get(&address, &format!("/ipfs/{NOTE_CID}"));
    assert_eq!(status, 404, "{}", body.escape_ascii());
    server.ends();
}

/// A running server. It is killed if the test fails before it ends by itself.
struct Server(Child);

impl Server {
    /// The address that it prints.
    fn address(&mut self) -> String {
        let stdout = self.0.stdout.take().expect("a pipe");
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        read.expect("a pipe");
        let address = line.trim_end().strip_prefix("http://");
        address.unwrap_or_else(|| panic!("{line:?}")).to_owned()
    }

    /// Waits until it has ended by itself.
    fn ends(mut self) {
        let started = Instant::now();
        while started.elapsed() < HUNG {
            if let Some(status) = self.0.try_wait().expect("a child") {
                assert!(status.success(), "{status}");
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the server goes on after its last request");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Requests a path, and returns the status and the body.
fn get(address: &str, path: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(HUNG)).expect("a timeout");
    // In HTTP/1.0 the end of the connection is the end of the body.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut response = Vec::new();
    stream.read_to_end(&mut response).expect("a response");
    let head = response.windows(4).position(|end| end == b"\r\n\r\n");
    let body = response.split_off(head.expect("a head") + 4);
    let head = String::from_utf8(response).expect("a head in UTF-8");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or_else(|| panic!("{head}")), body)
}
