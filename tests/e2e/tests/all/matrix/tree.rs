//! The tree that the matrix's programs read, and what they are to say of it. `tests/guests/matrix/README.md` has the form
//! of the lines.

use std::{fmt::Write as _, fs, os::unix::fs::symlink, path::Path};

use tempfile::TempDir;

/// The names that are more than letters.
const NAMES: [&str; 7] = [
    "-dash",
    "back\\slash",
    "e\u{301}",
    "with space",
    "ümlaut",
    "日本",
    "🦀",
];

/// The length of `large.bin` in bytes.
const LARGE_BYTES: usize = 600_000;

/// How many files `many/` has.
const MANY: usize = 60;

/// Writes the tree.
pub(crate) fn make() -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    write(dir.path()).expect("writing the tree");
    dir
}

fn write(root: &Path) -> std::io::Result<()> {
    fs::write(root.join("hello.txt"), "hello\n")?;
    fs::write(root.join("empty"), "")?;
    let large: Vec<u8> = (0..LARGE_BYTES).map(|at| (at ^ (at >> 11)) as u8).collect();
    fs::write(root.join("large.bin"), large)?;
    for dir in ["bare", "links", "many", "names", "sub", "sub/deep"] {
        fs::create_dir(root.join(dir))?;
    }
    for name in ["sub/one", "sub/two", "sub/deep/three"] {
        fs::write(root.join(name), format!("{name}\n"))?;
    }
    for number in 0..MANY {
        let text = format!("{number}\n").repeat(number + 1);
        fs::write(root.join(format!("many/f{number:02}")), text)?;
    }
    for name in NAMES {
        fs::write(root.join("names").join(name), format!("{name}\n"))?;
    }
    for (name, target) in [
        ("dir", "../sub"),
        ("file", "../hello.txt"),
        ("loop", "loop"),
        ("nowhere", "absent"),
    ] {
        symlink(target, root.join("links").join(name))?;
    }
    Ok(())
}

/// The lines that say something of the content, in order.
pub(crate) fn facts(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for dir in [".", "bare", "links", "names"] {
        list(root, dir, &mut lines);
    }
    walk(root, "", &mut lines);
    for name in [
        "hello.txt",
        "empty",
        "large.bin",
        "sub",
        "links/file",
        "links/dir",
    ] {
        let found = fs::metadata(root.join(name)).expect(name);
        lines.push(match letter(found.file_type()) {
            'f' => format!("stat {name}: f {}", found.len()),
            other => format!("stat {name}: {other}"),
        });
    }
    for name in ["links/file", "links/nowhere"] {
        lines.push(format!("lstat {name}: l"));
    }
    for name in ["hello.txt", "empty", "large.bin"] {
        lines.push(format!("whole {name}: {}", sum(&read(root, name))));
    }
    let large = read(root, "large.bin");
    // The second begins where the first has read to.
    for (to, position) in [
        ("set 262140", 262_140),
        ("cur 1000", 263_148),
        ("end -4", LARGE_BYTES - 4),
        ("end 10", LARGE_BYTES + 10),
        ("set 0", 0),
    ] {
        lines.push(format!("seek {to}: {position} {}", eight(&large, position)));
    }
    for offset in [0, 262_140, 599_996, 600_000, 1_000_000] {
        lines.push(format!("at {offset}: {}", eight(&large, offset)));
    }
    let many = (0..MANY).flat_map(|number| read(root, &format!("many/f{number:02}")));
    lines.push(format!("many open: {}", sum(&many.collect::<Vec<_>>())));
    for name in NAMES {
        let name = format!("names/{name}");
        lines.push(format!("names {name}: {}", sum(&read(root, &name))));
    }
    list(root, ".", &mut lines);
    lines
}

fn read(root: &Path, name: &str) -> Vec<u8> {
    fs::read(root.join(name)).expect(name)
}

/// The entries of a directory, ordered by their names' bytes.
fn entries(dir: &Path) -> Vec<(String, char)> {
    let entry = |entry: std::io::Result<fs::DirEntry>| {
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
        () => 'l',
    }
}

fn list(root: &Path, dir: &str, lines: &mut Vec<String>) {
    let all = entries(&root.join(dir));
    lines.push(format!("list {dir}: {}", all.len()));
    lines.extend(
        all.iter()
            .map(|(name, kind)| format!("list {dir}/{name}: {kind}")),
    );
}

fn walk(root: &Path, below: &str, lines: &mut Vec<String>) {
    for (entry, kind) in entries(&root.join(below)) {
        let name = match below {
            "" => entry,
            below => format!("{below}/{entry}"),
        };
        match kind {
            'f' => lines.push(format!("walk {name}: f {}", sum(&read(root, &name)))),
            'l' => {
                let target = fs::read_link(root.join(&name)).expect("a link");
                lines.push(format!("walk {name}: l {}", target.display()));
            }
            _ => {
                lines.push(format!("walk {name}: d"));
                walk(root, &name, lines);
            }
        }
    }
}

/// The length of the bytes, and their Adler-32: every language computes it without numbers of more than 32 bits.
fn sum(bytes: &[u8]) -> String {
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    format!("{} {:08x}", bytes.len(), high << 16 | low)
}

/// Up to eight bytes from there, in hexadecimal.
fn eight(bytes: &[u8], from: usize) -> String {
    let mut text = String::new();
    for byte in bytes.iter().skip(from).take(8) {
        write!(text, "{byte:02x}").expect("a string takes everything");
    }
    text
}
