//! The matrix's program in Rust, over the standard library alone, so that an old toolchain compiles it too: its
//! `file_type` of a directory's entry believes the listing and nothing else. README.md beside this file says what the
//! lines are.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

fn main() {
    let root = PathBuf::from(env::args().nth(1).expect("a path"));
    for name in [".", "bare", "links", "names"] {
        list(&root, name);
    }
    walk(&root, "");
    for name in [
        "hello.txt",
        "empty",
        "large.bin",
        "sub",
        "links/file",
        "links/dir",
    ] {
        status("stat", name, fs::metadata(root.join(name)));
    }
    for name in ["links/file", "links/nowhere"] {
        status("lstat", name, fs::symlink_metadata(root.join(name)));
    }
    for name in ["hello.txt", "empty", "large.bin"] {
        whole(&root, "whole", name, "");
    }
    reading(&root);
    many(&root);
    for name in [
        "-dash",
        "back\\slash",
        "e\u{301}",
        "with space",
        "ümlaut",
        "日本",
        "🦀",
    ] {
        whole(&root, "names", &format!("names/{name}"), "");
    }
    missing(&root);
    writing(&root);
    list(&root, ".");
}

/// Says how a call went. Errors are told by number: what the standard library says of them changes with its version.
fn outcome<T>(step: &str, name: &str, result: io::Result<T>) {
    match result {
        Ok(_) => println!("{step} {name}: done"),
        Err(error) => println!("{step} {name}: {}", failure(&error)),
    }
}

fn failure(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => format!("error {code}"),
        None => format!("error {:?}", error.kind()),
    }
}

fn adler(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1, 0);
    for byte in bytes {
        low = (low + u32::from(*byte)) % 65521;
        high = (high + low) % 65521;
    }
    high << 16 | low
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a directory's entries with the types that the listing itself gives, in order.
fn entries(dir: &Path) -> Vec<(String, char)> {
    let entry = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name of UTF-8");
        (name, letter(entry.file_type().expect("a type")))
    };
    let mut all: Vec<_> = fs::read_dir(dir).expect("a directory").map(entry).collect();
    all.sort();
    all
}

fn letter(kind: fs::FileType) -> char {
    match () {
        () if kind.is_dir() => 'd',
        () if kind.is_file() => 'f',
        () if kind.is_symlink() => 'l',
        () => '?',
    }
}

fn list(root: &Path, name: &str) {
    let all = entries(&root.join(name));
    println!("list {name}: {}", all.len());
    for (entry, kind) in all {
        println!("list {name}/{entry}: {kind}");
    }
}

fn walk(root: &Path, below: &str) {
    for (entry, kind) in entries(&root.join(below)) {
        let slash = if below.is_empty() { "" } else { "/" };
        let name = format!("{below}{slash}{entry}");
        match kind {
            'f' => whole(root, "walk", &name, "f "),
            'l' => {
                let target = fs::read_link(root.join(&name)).expect("a link");
                println!("walk {name}: l {}", target.display());
            }
            kind => {
                println!("walk {name}: {kind}");
                walk(root, &name);
            }
        }
    }
}

fn status(step: &str, name: &str, result: io::Result<fs::Metadata>) {
    match result {
        Ok(found) if found.is_file() => println!("{step} {name}: f {}", found.len()),
        Ok(found) => println!("{step} {name}: {}", letter(found.file_type())),
        Err(error) => println!("{step} {name}: {}", failure(&error)),
    }
}

fn whole(root: &Path, step: &str, name: &str, kind: &str) {
    let bytes = fs::read(root.join(name)).expect(name);
    println!("{step} {name}: {kind}{} {:08x}", bytes.len(), adler(&bytes));
}

/// Reads eight bytes, or fewer at the end.
fn eight(file: &File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.take(8).read_to_end(&mut bytes).expect("a read");
    bytes
}

fn reading(root: &Path) {
    let mut file = File::open(root.join("large.bin")).expect("large.bin");
    for (name, offset) in [
        ("set", 262_140),
        ("cur", 1000),
        ("end", -4),
        ("end", 10),
        ("set", 0),
    ] {
        let from = match name {
            "set" => SeekFrom::Start(offset as u64),
            "cur" => SeekFrom::Current(offset),
            _ => SeekFrom::End(offset),
        };
        let position = file.seek(from).expect("a seek");
        println!("seek {name} {offset}: {position} {}", hex(&eight(&file)));
    }
    outcome("seek", "set -1", file.seek(SeekFrom::Start(u64::MAX)));
    // Reads at offsets are not stable on WASI, so each is a seek and a read.
    for offset in [0, 262_140, 599_996, 600_000, 1_000_000] {
        file.seek(SeekFrom::Start(offset)).expect("a seek");
        println!("at {offset}: {}", hex(&eight(&file)));
    }
}

fn many(root: &Path) {
    let open = |number: usize| File::open(root.join(format!("many/f{number:02}"))).expect("a file");
    let files: Vec<_> = (0..60).map(open).collect();
    let mut bytes = Vec::new();
    for mut file in &files {
        file.read_to_end(&mut bytes).expect("a read");
    }
    println!("many open: {} {:08x}", bytes.len(), adler(&bytes));
}

fn absent(shown: &str, path: &Path) {
    outcome("missing open", shown, File::open(path));
    status("missing stat", shown, fs::metadata(path));
    outcome("missing list", shown, fs::read_dir(path));
}

fn missing(root: &Path) {
    for name in [
        "absent",
        "sub/absent",
        "absent/below",
        "sub/../absent",
        "links/nowhere",
        "links/loop",
        "hello.txt/below",
    ] {
        absent(name, &root.join(name));
    }
    absent("300 letters", &root.join("n".repeat(300)));
    // A component's paths are UTF-8 by their type.
    #[cfg(not(target_env = "p2"))]
    {
        use std::{ffi::OsStr, os::wasi::ffi::OsStrExt};
        absent("not UTF-8", &root.join(OsStr::from_bytes(b"\xff\xfe")));
    }
    outcome(
        "missing list",
        "hello.txt",
        fs::read_dir(root.join("hello.txt")),
    );
    let read = || File::open(root.join("sub"))?.read(&mut [0; 8]);
    outcome("missing read", "sub", read());
    outcome(
        "missing readlink",
        "hello.txt",
        fs::read_link(root.join("hello.txt")),
    );
}

fn writing(root: &Path) {
    let (hello, made) = (&root.join("hello.txt"), &root.join("made"));
    let options = |set: fn(&mut OpenOptions) -> &mut OpenOptions, path: &Path| {
        set(&mut OpenOptions::new()).open(path)
    };
    outcome(
        "write",
        "open for writing",
        options(|o| o.write(true), hello),
    );
    outcome(
        "write",
        "open for both",
        options(|o| o.read(true).write(true), hello),
    );
    outcome(
        "write",
        "open to append",
        options(|o| o.append(true), hello),
    );
    outcome(
        "write",
        "open and truncate",
        options(|o| o.write(true).truncate(true), hello),
    );
    outcome(
        "write",
        "create",
        options(|o| o.write(true).create(true), made),
    );
    outcome("write", "create what is there", File::create(hello));
    outcome(
        "write",
        "create new",
        options(|o| o.write(true).create_new(true), made),
    );
    outcome(
        "write",
        "create new what is there",
        options(|o| o.write(true).create_new(true), hello),
    );
    outcome(
        "write",
        "create below what is missing",
        File::create(root.join("absent/made")),
    );
    outcome("write", "copy", fs::copy(hello, made));
    outcome("write", "mkdir", fs::create_dir(made));
    outcome(
        "write",
        "mkdir what is there",
        fs::create_dir(root.join("sub")),
    );
    outcome("write", "rmdir", fs::remove_dir(root.join("bare")));
    outcome(
        "write",
        "rmdir what is not empty",
        fs::remove_dir(root.join("sub")),
    );
    outcome(
        "write",
        "rmdir what is missing",
        fs::remove_dir(root.join("absent")),
    );
    outcome(
        "write",
        "remove a tree",
        fs::remove_dir_all(root.join("sub")),
    );
    outcome("write", "unlink", fs::remove_file(hello));
    outcome(
        "write",
        "unlink what is missing",
        fs::remove_file(root.join("absent")),
    );
    outcome("write", "rename", fs::rename(hello, made));
    outcome(
        "write",
        "rename a directory",
        fs::rename(root.join("sub"), made),
    );
    outcome(
        "write",
        "rename what is missing",
        fs::rename(root.join("absent"), made),
    );
    outcome("write", "link", fs::hard_link(hello, made));
    let mut file = File::open(hello).expect("hello.txt");
    outcome(
        "write",
        "write to what is open for reading",
        file.write(b"x"),
    );
    outcome(
        "write",
        "ftruncate what is open for reading",
        file.set_len(1),
    );
    outcome(
        "write",
        "set times of what is open for reading",
        file.set_modified(SystemTime::now()),
    );
    outcome("write", "sync what is open for reading", file.sync_all());
}
