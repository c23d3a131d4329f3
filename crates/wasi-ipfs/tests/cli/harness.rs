//! Calls of the command, and the content that they work on.
//!
//! All output goes to pipes, so every call also asserts that it prints no escape code there.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use multihash_codetable::{Code, MultihashDigest};
use pinner_api::Cid;
use tempfile::TempDir;

/// How long a child may take before the test declares it hung.
const HUNG: Duration = Duration::from_secs(120);

/// The subcommands of the command.
pub(crate) const SUBCOMMANDS: [&str; 11] = [
    "run",
    "ls",
    "cat",
    "get",
    "stat",
    "prefetch",
    "pins",
    "cache",
    "import",
    "completions",
    "man",
];

/// A folder with a tree and its CAR; tests add more files.
pub(crate) struct Scene {
    folder: TempDir,
    /// The user's directory for caches, as the command sees it.
    cache: TempDir,
    /// The tree's CID.
    pub(crate) cid: String,
}

/// The outcome of a call.
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// The length of the tree's file with several blocks.
pub(crate) const LARGE: usize = 3 * 1024 * 1024 + 17;

impl Scene {
    /// `tree/` with `a.txt`, `dir/b.txt`, `dir/empty`, `large` (of four leaves), `link` -> `a.txt`, imported to
    /// `tree.car`.
    pub(crate) fn new() -> Self {
        let mut scene = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            cache: tempfile::tempdir().expect("a temporary folder"),
            cid: String::new(),
        };
        fs::create_dir_all(scene.path("tree/dir")).expect("a folder");
        fs::create_dir(scene.path("staging")).expect("a folder");
        scene.write("tree/a.txt", b"hello\n");
        scene.write("tree/dir/b.txt", b"below\n");
        scene.write("tree/dir/empty", b"");
        scene.write("tree/large", &large());
        std::os::unix::fs::symlink("a.txt", scene.path("tree/link")).expect("a symlink");
        scene.cid = scene.import(&["tree", "-o", "tree.car"]);
        scene
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path in the user's directory for caches.
    pub(crate) fn cache_path(&self, name: &str) -> PathBuf {
        self.cache.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).expect("a file written");
    }

    /// The names in a folder, sorted.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        names(&self.path(folder))
    }

    /// Imports, and returns the CID that the command prints.
    pub(crate) fn import(&self, arguments: &[&str]) -> String {
        let ended = self.call("import", arguments);
        ended.succeeded();
        let text = ended.text();
        let cid = text.strip_suffix('\n').expect("a line");
        assert!(
            cid.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "the CID alone is on standard output: {text:?}"
        );
        cid.to_owned()
    }

    /// A call in the folder, not yet started.
    pub(crate) fn command(&self, subcommand: &str) -> Command {
        self.command_by(&[], subcommand)
    }

    /// The same, started by another command.
    pub(crate) fn command_by(&self, by: &[&str], subcommand: &str) -> Command {
        let binary = env!("CARGO_BIN_EXE_wasi-ipfs");
        let all = [by, &[binary, subcommand]].concat();
        let mut command = Command::new(all[0]);
        command
            .args(&all[1..])
            .current_dir(self.folder.path())
            // Without --staging, a command must never use the real cache of the user who runs the tests. The cache of
            // compilations follows from the same variable, so it belongs to the scene as well.
            .env("XDG_CACHE_HOME", self.cache.path())
            // Neither must it use a real node, or the user's credentials for it.
            .env("IPFS_PATH", self.path("no-repository"))
            .env_remove("IPFS_GATEWAY")
            .env_remove("WASI_IPFS_GATEWAY_AUTH")
            .env_remove("WASI_IPFS_KUBO_AUTH")
            .env_remove("WASI_IPFS_LOG")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Writes an archive of these blocks.
    pub(crate) fn car(&self, name: &str, blocks: &[(Cid, Vec<u8>)]) {
        let roots: Vec<_> = blocks.iter().map(|(cid, _)| *cid).collect();
        let mut car = pinner_car::CarWriter::create(self.path(name), &roots).expect("a file");
        for (cid, block) in blocks {
            car.put(cid, block).expect("written");
        }
        car.finish(&roots).expect("finished");
    }

    /// Runs a call to its end.
    pub(crate) fn call(&self, subcommand: &str, arguments: &[impl AsRef<OsStr>]) -> Ended {
        let mut command = self.command(subcommand);
        Ended::of(
            command
                .args(arguments)
                .output()
                .expect("the command starts"),
        )
    }

    /// Runs a call on `tree.car` to its end.
    pub(crate) fn on_car(&self, subcommand: &str, arguments: &[&str]) -> Ended {
        let mut all = vec!["--car", "tree.car", "--staging", "staging"];
        all.extend(arguments);
        let ended = self.call(subcommand, &all);
        self.nothing_staged();
        ended
    }

    /// The names in the staging directory, at any depth. The name of the lock directory itself is left out; by it, a
    /// later run recognises what a crash left.
    pub(crate) fn staged(&self) -> Vec<String> {
        let mut found = self.names("staging");
        for name in found.clone() {
            if name.starts_with("wasi-ipfs-") && !name.contains("add") {
                found.retain(|other| *other != name);
                let inside = self.names(&format!("staging/{name}"));
                found.extend(inside.into_iter().filter(|name| name != "id"));
            }
        }
        found
    }

    #[track_caller]
    pub(crate) fn nothing_staged(&self) {
        assert!(self.staged().is_empty(), "left: {:?}", self.staged());
    }

    /// Writes a guest's text as `name`.wasm.
    pub(crate) fn guest(&self, name: &str, text: &str) -> String {
        let wasm = wat::parse_str(text).expect("valid text");
        let file = format!("{name}.wasm");
        self.write(&file, &wasm);
        file
    }
}

impl std::fmt::Debug for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = &self.stdout[..self.stdout.len().min(1000)];
        f.debug_struct("Ended")
            .field("status", &self.status)
            .field("stdout_bytes", &self.stdout.len())
            .field("stdout", &String::from_utf8_lossy(start))
            .field("stderr", &self.stderr)
            .finish()
    }
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        let ended = Self {
            status: status(output.status),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        for printed in [&ended.stdout[..], ended.stderr.as_bytes()] {
            assert!(
                !printed.contains(&0x1b),
                "no escape codes in a pipe: {ended:?}"
            );
        }
        ended
    }

    /// Standard output as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("text")
    }

    #[track_caller]
    pub(crate) fn succeeded(&self) -> &Self {
        assert_eq!(self.status, 0, "{self:?}");
        self
    }

    /// Asserts that it ended with `status`, and that standard error contains all of `words`.
    #[track_caller]
    pub(crate) fn failed(&self, status: i32, words: &[&str]) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is in {self:?}");
        }
        assert!(
            !self.stderr.contains("panicked"),
            "an error is not a panic: {self:?}"
        );
        self
    }

    /// Returns the numbers of a `--stats` line: `fetched: 3 of 7 blocks, …`.
    #[track_caller]
    pub(crate) fn figures(&self, line: &str) -> Vec<u64> {
        let line = self
            .stderr
            .lines()
            .find_map(|text| text.strip_prefix(line)?.strip_prefix(": "))
            .unwrap_or_else(|| panic!("a line {line:?} in {self:?}"));
        line.split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect()
    }
}

/// A raw block.
pub(crate) fn raw(bytes: &[u8]) -> (Cid, Vec<u8>) {
    (
        Cid::new_v1(0x55, Code::Sha2_256.digest(bytes)),
        bytes.to_vec(),
    )
}

/// A directory whose links have any names.
pub(crate) fn directory(links: &[(&[u8], Cid)]) -> (Cid, Vec<u8>) {
    let field = |key: u8, bytes: &[u8]| {
        let length = u8::try_from(bytes.len())
            .ok()
            .filter(|length| *length < 128);
        [&[key, length.expect("a short field")][..], bytes].concat()
    };
    let mut block = Vec::new();
    for (name, cid) in links {
        let link = [field(0x0a, &cid.to_bytes()), field(0x12, name)].concat();
        block.extend(field(0x12, &link));
    }
    block.extend(field(0x0a, &[8, 1]));
    (Cid::new_v1(0x70, Code::Sha2_256.digest(&block)), block)
}

/// A symlink.
pub(crate) fn symlink(target: &str) -> (Cid, Vec<u8>) {
    let length = u8::try_from(target.len()).expect("a short target");
    let data = [&[8, 4, 0x12, length][..], target.as_bytes()].concat();
    let length = u8::try_from(data.len()).expect("a short target");
    let block = [&[0x0a, length][..], &data].concat();
    (Cid::new_v1(0x70, Code::Sha2_256.digest(&block)), block)
}

/// Starts a call, waits until it has printed `ready` on standard output, does `then`, and waits for its end.
pub(crate) fn interrupted(mut command: Command, ready: &[u8], then: impl FnOnce(&Child)) -> Ended {
    use std::io::Read;
    let mut child = command.spawn().expect("the command starts");
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut seen = vec![0; ready.len()];
    stdout.read_exact(&mut seen).expect("the guest is ready");
    assert_eq!(seen, ready);
    then(&child);
    let started = Instant::now();
    let status_code = loop {
        match child.try_wait().expect("a child") {
            Some(ended) => break status(ended),
            None if started.elapsed() > HUNG => {
                let _ = child.kill();
                panic!("hung");
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    eprintln!("ended after {:?}", started.elapsed());
    stdout.read_to_end(&mut seen).expect("a pipe");
    let mut stderr = String::new();
    let mut pipe = child.stderr.take().expect("a pipe");
    pipe.read_to_string(&mut stderr).expect("text");
    Ended {
        status: status_code,
        stdout: seen,
        stderr,
    }
}

/// The status that a shell shows as `$?`.
fn status(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .or_else(|| status.signal().map(|signal| -signal))
        .expect("ended")
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

/// The bytes of `large`: no two leaves are equal, and none contains an escape code.
pub(crate) fn large() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LARGE + 8);
    for n in 0u64.. {
        if bytes.len() >= LARGE {
            break;
        }
        bytes
            .write_all(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
            .expect("memory");
    }
    bytes.truncate(LARGE);
    for byte in &mut bytes {
        *byte |= 0x80;
    }
    bytes
}
