//! Archives as they are: with links that lie, content in CIDs, parts that are missing or unusable, and from pipes.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use cid::{Cid, CidGeneric, multihash::Multihash};
use multihash_codetable::{Code, MultihashDigest};
use pinner_car::parse_car;

use crate::harness::{Ended, Scene};

const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;

/// A block and its CID, or only a CID.
type Block = (Vec<u8>, Vec<u8>);

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn field(key: u8, bytes: &[u8]) -> Vec<u8> {
    [&[key][..], &varint(bytes.len() as u64), bytes].concat()
}

fn block(codec: u64, bytes: &[u8]) -> Block {
    let cid = Cid::new_v1(codec, Code::Sha2_256.digest(bytes));
    (cid.to_bytes(), bytes.to_vec())
}

/// An identity CID.
fn inline(codec: u64, bytes: &[u8]) -> CidGeneric<128> {
    CidGeneric::new_v1(codec, Multihash::wrap(0, bytes).expect("it is short"))
}

/// A directory of links: name, CID, and the size that is claimed.
fn directory(links: &[(&str, &[u8], Option<u64>)]) -> Block {
    let mut bytes = Vec::new();
    for (name, cid, size) in links {
        let size = size.map(|size| [vec![0x18], varint(size)].concat());
        let link = [
            field(0x0a, cid),
            field(0x12, name.as_bytes()),
            size.unwrap_or_default(),
        ];
        bytes.extend(field(0x12, &link.concat()));
    }
    bytes.extend(field(0x0a, &[0x08, 1]));
    block(DAG_PB, &bytes)
}

/// A CAR with these roots, and the sections of these blocks.
fn archive(roots: &[&[u8]], blocks: &[&Block]) -> Vec<u8> {
    let mut header = b"\xa2\x65roots".to_vec();
    header.push(0x80 | roots.len() as u8);
    for root in roots {
        // A link: a byte string with a length of one byte, which starts with a zero.
        header.extend([0xd8, 0x2a, 0x58, root.len() as u8 + 1, 0]);
        header.extend(*root);
    }
    header.extend(b"\x67version\x01");
    let sections = blocks.iter().map(|(cid, bytes)| [&cid[..], bytes].concat());
    let parts = std::iter::once(header).chain(sections);
    parts
        .flat_map(|part| [varint(part.len() as u64), part].concat())
        .collect()
}

fn text(cid: &[u8]) -> String {
    CidGeneric::<128>::try_from(cid).expect("a CID").to_string()
}

/// The same archive without the sections that `drop` says.
fn without(car: &[u8], mut drop: impl FnMut(u64, &[u8]) -> bool) -> Vec<u8> {
    let parsed = parse_car(car).expect("a CAR");
    // The header is short, so its length is one byte.
    let mut end = 1 + usize::from(car[0]);
    let mut kept = car[..end].to_vec();
    for section in &parsed.sections {
        let data = section.offset as usize;
        let section_end = data + section.length as usize;
        if !drop(section.cid.codec(), &car[data..section_end]) {
            kept.extend(&car[end..section_end]);
        }
        end = section_end;
    }
    assert!(kept.len() < car.len(), "something is missing");
    kept
}

#[test]
fn the_size_that_a_link_claims_is_believed_nowhere() {
    let scene = Scene::new();
    let leaf = block(RAW, b"hello");
    let sizes = [
        ("right", Some(5)),
        ("zero", Some(0)),
        ("less", Some(2)),
        ("more", Some(1000)),
        ("impossible", Some(u64::MAX)),
        ("absent", None),
    ];
    let links = sizes.map(|(name, size)| (name, &leaf.0[..], size));
    let root = directory(&links);
    scene.write("x.car", &archive(&[&root.0], &[&root, &leaf]));
    let root = text(&root.0);
    let car = ["--car", "x.car"];
    let call = |subcommand, path: &str| scene.call(subcommand, &[&car[..], &[path]].concat());
    for (name, _) in sizes {
        let path = format!("{root}/{name}");
        assert_eq!(call("cat", &path).succeeded().text(), "hello", "{name}");
        let stat = call("stat", &path);
        let stat = stat.succeeded().text();
        assert!(stat.contains("Size:   5\n"), "{name}: {stat}");
    }
    let long = scene.call("ls", &["-l", "--car", "x.car", &root]);
    for line in long.succeeded().text().lines() {
        assert_eq!(line.split_whitespace().nth(1), Some("5"), "{line}");
    }
    call("get", &root).succeeded();
    for (name, _) in sizes {
        let copy = scene.path(&format!("{root}/{name}"));
        assert_eq!(fs::read(copy).expect("a copy"), b"hello", "{name}");
    }
}

#[test]
fn content_of_128_bytes_in_a_cid_is_shown_and_read_whole() {
    let scene = Scene::new();
    let content = [b'x'; 128];
    let long = inline(RAW, &content);
    let root = directory(&[("long", &long.to_bytes(), Some(128))]);
    let leaf = block(RAW, b"hello");
    let roots = [&leaf.0[..], &long.to_bytes(), &root.0];
    scene.write("x.car", &archive(&roots, &[&root, &leaf]));
    let car = ["--car", "x.car"];
    let call = |arguments: &[&str]| scene.call(arguments[0], &[&car[..], &arguments[1..]].concat());

    let mut listed: Vec<_> = (call(&["ls"]).succeeded().text().lines())
        .map(str::to_owned)
        .collect();
    let mut wanted = roots.map(text).to_vec();
    listed.sort();
    wanted.sort();
    assert_eq!(listed, wanted);

    let root = text(&root.0);
    let (above, below) = (call(&["ls", "-l"]), call(&["ls", "-l", &root]));
    let stat = call(&["stat", &format!("{root}/long")]);
    let long = long.to_string();
    for shown in [&above, &below, &stat] {
        let shown = shown.succeeded().text();
        assert!(shown.split_whitespace().any(|word| word == long), "{shown}");
    }
    assert_eq!(call(&["cat", &long]).succeeded().stdout, content);
    assert_eq!(call(&["ls", &long]).succeeded().text(), format!("{long}\n"));
    let guest = scene.guest("return", crate::guests::RETURN);
    call(&["run", &guest]).succeeded();
}

#[test]
fn roots_are_listed_without_a_path() {
    let scene = Scene::new();
    scene.write("other", b"other");
    let other = scene.import(&["other", "-o", "other.car"]);
    let both = format!("{}\n{other}\n", scene.cid);
    let cars = ["--car", "tree.car", "--car", "other.car"];
    assert_eq!(scene.call("ls", &cars).succeeded().text(), both);
    let long = scene.call("ls", &[&["-l"][..], &cars].concat());
    let lines: Vec<_> = long.succeeded().text().lines().collect();
    assert!(lines[0].starts_with('d') && lines[0].contains(&scene.cid));
    assert!(lines[1].starts_with('-') && lines[1].contains(&other));
    let added = scene.call("ls", &["--add", "other"]);
    assert_eq!(added.succeeded().text(), format!("{other}\n"));

    // A root may be missing, or there may be none.
    let leaf = block(RAW, b"hello");
    let absent = block(RAW, b"absent");
    scene.write("absent.car", &archive(&[&absent.0, &leaf.0], &[&leaf]));
    let listed = scene.call("ls", &["--car", "absent.car"]);
    let names = [&absent, &leaf].map(|root| text(&root.0));
    assert_eq!(
        listed.succeeded().text(),
        format!("{}\n{}\n", names[0], names[1])
    );
    let long = scene.call("ls", &["-l", "--car", "absent.car"]);
    long.failed(1, &[&names[0]]);
    assert_eq!(long.text().lines().count(), 2);
    scene.write("none.car", &archive(&[], &[&leaf]));
    scene
        .call("ls", &["--car", "none.car"])
        .failed(2, &["no roots", "PATH"]);
}

#[test]
fn an_unusable_part_of_an_archive_costs_itself_alone() {
    let scene = Scene::new();
    let leaf = block(RAW, b"hello");
    let large = block(RAW, &vec![1; 3 << 20]);
    let root = directory(&[
        ("small.txt", &leaf.0, Some(5)),
        ("large", &large.0, Some(3 << 20)),
    ]);
    let no_cid = (vec![9; 10], vec![9; 300]);
    let whole = archive(&[&root.0], &[&root, &large, &no_cid, &leaf, &leaf]);
    // The last block is cut.
    scene.write("x.car", &whole[..whole.len() - 2]);
    let root = text(&root.0);
    let call = |subcommand, path: &str| scene.call(subcommand, &["--car", "x.car", path]);
    let small = call("cat", &format!("{root}/small.txt"));
    assert_eq!(small.succeeded().text(), "hello");
    for said in ["3145764 bytes", "does not start with a CID", "cut short"] {
        assert!(small.stderr.contains(said), "{said}: {small:?}");
    }
    call("cat", &format!("{root}/large")).failed(1, &[&text(&large.0)]);
    let copied = call("get", &root);
    copied.failed(1, &[&format!("'{root}/large'"), &text(&large.0)]);
    assert_eq!(scene.names(&root), ["small.txt"]);
}

#[test]
fn what_is_there_is_copied_and_what_is_missing_is_named() {
    let scene = Scene::new();
    let cid = &scene.cid;
    let car = fs::read(scene.path("tree.car")).expect("the archive");
    let mut leaves = 0;
    // `large` lacks its last leaf, and `dir` lacks `b.txt`.
    let part = without(&car, |codec, block| {
        leaves += usize::from(codec == RAW && block.len() >= 17);
        block == b"below\n" || (codec == RAW && block.len() == 17)
    });
    assert_eq!(leaves, 4);
    scene.write("part.car", &part);
    let on = |subcommand, arguments: &[&str]| {
        scene.call(
            subcommand,
            &[&["--car", "part.car"][..], arguments].concat(),
        )
    };
    let ended = on("get", &[cid, "-o", "copy"]);
    ended.failed(
        1,
        &["'copy/dir/b.txt'", "'copy/large'", "not on the backend"],
    );
    assert_eq!(ended.stderr.lines().count(), 2, "{ended:?}");
    assert_eq!(scene.names("copy"), ["a.txt", "dir", "link"]);
    assert_eq!(scene.names("copy/dir"), ["empty"]);
    let copied = fs::read(scene.path("copy/a.txt")).expect("the copy");
    assert_eq!(copied, b"hello\n");
    // Nothing is left of a copy that has nothing.
    let before = scene.names("");
    on("get", &[&format!("{cid}/large"), "-o", "large"]).failed(1, &["cannot copy"]);
    on("get", &[&format!("{cid}/dir/b.txt"), "-o", "b"]).failed(1, &["'"]);
    assert_eq!(scene.names(""), before);
    // A block that is there and wrong is a failure of the source, not of the content.
    let mut wrong = car.clone();
    let at = car
        .windows(6)
        .position(|at| at == b"below\n")
        .expect("it is there");
    wrong[at] ^= 1;
    scene.write("wrong.car", &wrong);
    let ended = scene.call("get", &["--car", "wrong.car", cid, "-o", "another"]);
    ended.failed(1, &["do not hash"]);
    assert!(!scene.path("another").exists());
}

#[test]
fn a_sharded_directory_is_listed_and_copied_without_the_shard_that_is_missing() {
    let scene = Scene::new();
    fs::create_dir(scene.path("many")).expect("a folder");
    for number in 0..1100 {
        scene.write(&format!("many/{number:0240}"), b"x");
    }
    let cid = scene.import(&["many", "-o", "many.car"]);
    let car = fs::read(scene.path("many.car")).expect("the archive");
    let mut gone = None;
    let part = without(&car, |codec, bytes| {
        // Children come first, so this is not the root.
        let drops = codec == DAG_PB && gone.is_none();
        if drops {
            gone = Some(text(&block(DAG_PB, bytes).0));
        }
        drops
    });
    let gone = gone.expect("a shard");
    assert_ne!(gone, cid);
    scene.write("part.car", &part);
    let listed = scene.call("ls", &["--car", "part.car", &cid]);
    listed.failed(1, &[&gone, "cannot list all"]);
    let names = listed.text().lines().count();
    assert!((1000..1100).contains(&names), "{names}");
    let copied = scene.call("get", &["--car", "part.car", &cid, "-o", "copy"]);
    copied.failed(1, &[&gone, "all of 'copy/'"]);
    let mut there: Vec<_> = listed.text().lines().map(str::to_owned).collect();
    there.sort();
    assert_eq!(scene.names("copy"), there);
}

#[test]
fn an_archive_comes_out_of_a_pipe() {
    let scene = Scene::new();
    let path = format!("{}/a.txt", scene.cid);
    let bytes = fs::read(scene.path("tree.car")).expect("the archive");
    let from_stdin = |stdin: Stdio, cars: &[&str], bytes: &[u8]| {
        let mut command = scene.command("cat");
        command.args(["--staging", "staging"]).args(cars).arg(&path);
        let mut child = command.stdin(stdin).spawn().expect("it starts");
        if let Some(mut pipe) = child.stdin.take() {
            // It may have been refused already.
            let _ = pipe.write_all(bytes);
        }
        let ended = Ended::of(child.wait_with_output().expect("a child"));
        scene.nothing_staged();
        ended
    };
    let piped = from_stdin(Stdio::piped(), &["--car", "-"], &bytes);
    assert_eq!(piped.succeeded().text(), "hello\n");
    let file = fs::File::open(scene.path("tree.car")).expect("the archive");
    let read = from_stdin(file.into(), &["--car", "-"], b"");
    assert_eq!(read.succeeded().text(), "hello\n");
    from_stdin(Stdio::null(), &["--car", "-"], b"").failed(1, &["'standard input'", "is empty"]);
    from_stdin(Stdio::piped(), &["--car", "-", "--car", "-"], b"").failed(2, &["twice"]);
    // Beside a file, and cut short.
    let part = without(&bytes, |_, block| block == b"hello\n");
    scene.write("part.car", &part);
    let both = ["--car", "-", "--car", "part.car"];
    let cut = from_stdin(Stdio::piped(), &both, &bytes[..bytes.len() - 1]);
    cut.succeeded();
    assert!(
        cut.stderr.contains("'standard input': it is cut short"),
        "{cut:?}"
    );

    let pipe = scene.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    let writer = std::thread::spawn(move || fs::write(pipe, bytes).expect("a reader"));
    let named = scene.call("cat", &["--car", "pipe", &path]);
    assert_eq!(named.succeeded().text(), "hello\n");
    writer.join().expect("it was read");
}

#[test]
fn a_block_that_was_made_for_a_collision_is_refused() {
    let scene = Scene::new();
    let digit = |text: &str, at| u8::from_str_radix(&text[at..at + 2], 16).expect("digits");
    let bytes = |text: &str| -> Vec<u8> {
        let digits = (0..text.len()).step_by(2);
        digits.map(|at| digit(text, at)).collect()
    };
    // CIDv1, raw, SHA-1.
    let both = bytes("01551114f92d74e3874587aaf443d1db961d4e26dde13e9c");
    for made in include_str!("../../../block-hash/tests/shattered.hex").lines() {
        scene.write("x.car", &archive(&[], &[&(both.clone(), bytes(made))]));
        let ended = scene.call("cat", &["--car", "x.car", &text(&both)]);
        ended.failed(1, &["do not hash"]);
        assert!(ended.stdout.is_empty());
    }
    let harmless = bytes("01551114aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d");
    scene.write(
        "x.car",
        &archive(&[], &[&(harmless.clone(), b"hello".to_vec())]),
    );
    let ended = scene.call("cat", &["--car", "x.car", &text(&harmless)]);
    assert_eq!(ended.succeeded().text(), "hello");
}

#[test]
fn the_hash_functions_of_other_nodes_are_read() {
    let Some(folder) = std::env::var_os("WASI_IPFS_FIXTURES") else {
        println!("NOT RUN: WASI_IPFS_FIXTURES does not name the folder of fixtures");
        return;
    };
    let folder = std::path::PathBuf::from(folder).join("cases/hash-functions");
    let scene = Scene::new();
    let mut read = 0;
    for car in fs::read_dir(folder).expect("fixtures") {
        let car = car.expect("a fixture").path();
        let car = car.to_str().expect("a path");
        let root = scene.call("ls", &["--car", car]);
        let root = root.succeeded().text().trim().to_owned();
        let name = scene.call("ls", &["--car", car, &root]);
        if car.ends_with("/blake2s-160.car") {
            name.failed(1, &["0xb254", "not supported"]);
            continue;
        }
        let path = format!("{root}/{}", name.succeeded().text().trim());
        let content = [[b'a'; 1000].to_vec(), [b'b'; 500].to_vec()].concat();
        let printed = scene.call("cat", &["--car", car, &path]);
        assert_eq!(printed.succeeded().stdout, content, "{car}");
        read += 1;
    }
    assert_eq!(read, 12);
}
