//! `ls`, `cat` and `stat`, and the errors that every reading command shares.

use std::{fs, io::Read, process::Stdio};

use crate::harness::{LARGE, Scene, large};

#[test]
fn ls_lists_names_and_with_l_what_is_known() {
    let scene = Scene::new();
    let cid = &scene.cid;
    for path in [
        format!("/ipfs/{cid}"),
        cid.clone(),
        format!("ipfs://{cid}/"),
    ] {
        let ended = scene.on_car("ls", &[&path]);
        assert_eq!(
            ended.succeeded().text(),
            "a.txt\ndir\nlarge\nlink\n",
            "{path}"
        );
    }
    let long = scene.on_car("ls", &["-l", cid]);
    let lines: Vec<Vec<_>> = long
        .succeeded()
        .text()
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let column = |n: usize| lines.iter().map(|line| line[n]).collect::<Vec<_>>();
    assert_eq!(
        column(0),
        ["-?????????", "d?????????", "-?????????", "l?????????"]
    );
    assert_eq!(column(1), ["6", "-", &LARGE.to_string(), "5"]);
    assert_eq!(column(4), ["a.txt", "dir", "large", "link"]);
    assert_eq!(lines[3][5..], ["->", "a.txt"]);

    let file = scene.on_car("ls", &[&format!("{cid}/dir/b.txt")]);
    assert_eq!(file.succeeded().text(), "b.txt\n");
}

#[test]
fn a_listing_fetches_no_entry() {
    let scene = Scene::new();
    let ended = scene.on_car("ls", &["--stats", &scene.cid]);
    let fetched = ended.succeeded().figures("fetched");
    assert_eq!(fetched[..2], [1, 11], "one of all blocks");
}

#[test]
fn cat_gives_the_bytes() {
    let scene = Scene::new();
    let cid = &scene.cid;
    let ended = scene.on_car("cat", &[&format!("{cid}/large")]);
    assert!(ended.succeeded().stdout == large(), "the same bytes");
    let ended = scene.on_car(
        "cat",
        &[
            &format!("{cid}/a.txt"),
            &format!("{cid}/dir/empty"),
            &format!("/ipfs/{cid}/link"),
            &format!("{cid}/dir/b.txt"),
        ],
    );
    assert_eq!(ended.succeeded().text(), "hello\nhello\nbelow\n");
}

#[test]
fn cat_gives_a_part_of_the_bytes() {
    let scene = Scene::new();
    let large_path = format!("{}/large", scene.cid);
    let a = format!("{}/a.txt", scene.cid);
    let b = format!("{}/dir/b.txt", scene.cid);
    let whole = large();
    let part = scene.on_car(
        "cat",
        &["--offset", "1MiB", "--length=1500000", &large_path],
    );
    assert!(part.succeeded().stdout == whole[1 << 20..(1 << 20) + 1_500_000]);
    for (offset, length, text) in [
        ("0", "18446744073709551615", "hello\nbelow\n"),
        ("2", "2", "ll"),
        ("4", "5", "o\nbel"),
        ("6", "1", "b"),
        ("8", "100", "low\n"),
        ("0", "0", ""),
        ("12", "1", ""),
        ("1TiB", "1", ""),
    ] {
        let ended = scene.on_car("cat", &["-o", offset, "-l", length, &a, &b]);
        assert_eq!(ended.succeeded().text(), text, "{offset} {length}");
    }
    // Nothing else is fetched: the root, and one leaf.
    let ended = scene.on_car("cat", &["--stats", "-o2MiB", "-l10", &large_path]);
    let fetched = ended.succeeded().figures("fetched");
    assert!(fetched[0] <= 3, "{fetched:?}");
}

#[test]
fn cat_goes_on_behind_what_fails() {
    let scene = Scene::new();
    let cid = &scene.cid;
    let ended = scene.on_car(
        "cat",
        &[
            &format!("{cid}/missing"),
            &format!("{cid}/dir"),
            &format!("{cid}/a.txt/below"),
            &format!("{cid}/a.txt"),
        ],
    );
    ended.failed(1, &["'missing'", "is a directory", "is not a directory"]);
    assert_eq!(ended.text(), "hello\n");
}

#[test]
fn a_reader_that_goes_ends_cat_quietly() {
    let scene = Scene::new();
    let mut child = scene
        .command("cat")
        .args(["--car", "tree.car", "--staging", "staging"])
        .arg(format!("{}/large", scene.cid))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut [0; 4]).expect("the first bytes");
    drop(stdout);
    let ended = child.wait_with_output().expect("a child");
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    scene.nothing_staged();
}

#[test]
fn stat_tells_what_is_known() {
    let scene = Scene::new();
    scene.import(&["tree/a.txt", "-o", "file.car"]);
    let path = format!("/ipfs/{}/large", scene.cid);
    let ended = scene.on_car("stat", &["--blocks", &path]);
    let text = ended.succeeded().text();
    for line in [
        format!("Path:   {path}"),
        "Kind:   file".into(),
        format!("Size:   {LARGE}"),
        "Mode:   not recorded".into(),
        "Mtime:  not recorded".into(),
    ] {
        assert!(
            text.lines().any(|other| other == line),
            "{line:?} in {text}"
        );
    }
    // Four leaves and the root above them.
    assert!(text.contains("Blocks: 5 ("), "{text}");

    let link = scene.on_car("stat", &[&format!("{}/link", scene.cid)]);
    let text = link.succeeded().text();
    assert!(text.contains("Kind:   symlink\nTarget: a.txt\n"), "{text}");
    let own = text.lines().find_map(|line| line.strip_prefix("CID:    "));
    let own = own.expect("a CID").to_owned();
    let listed = scene.on_car("ls", &["-l", &scene.cid]);
    let line = listed.succeeded().text().lines().last().expect("a line");
    assert!(line.contains(&own), "{own} in {line}");
    // Its own block, and not those of what it leads to.
    let link = scene.on_car("stat", &["--blocks", &format!("{}/link", scene.cid)]);
    let text = link.succeeded().text();
    assert!(text.contains("Blocks: 1 (11 bytes, 11 B)"), "{text}");
}

#[test]
fn mode_and_time_are_shown_where_they_are_kept() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new();
    let file = fs::File::open(scene.path("tree/a.txt")).expect("a file");
    file.set_permissions(fs::Permissions::from_mode(0o640))
        .expect("permissions");
    let leap_day = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_709_208_000);
    file.set_modified(leap_day).expect("a time");
    let cid = scene.import(&[
        "--raw-leaves=false",
        "--preserve-mode",
        "--preserve-mtime",
        "tree",
        "-o",
        "kept.car",
    ]);
    let stat = scene.call("stat", &["--car", "kept.car", &format!("{cid}/a.txt")]);
    let text = stat.succeeded().text();
    assert!(text.contains("Mode:   0640 -rw-r-----\n"), "{text}");
    assert!(text.contains("Mtime:  2024-02-29T12:00:00Z\n"), "{text}");
    let list = scene.call("ls", &["-l", "--car", "kept.car", &cid]);
    let line = list.succeeded().text().lines().next().expect("a line");
    assert!(
        line.starts_with("-rw-r-----") && line.contains(" 2024-02-29T12:00:00Z "),
        "{line}"
    );
}

#[test]
fn several_sources_are_one() {
    let scene = Scene::new();
    scene.write("other", b"other content\n");
    let other = scene.import(&["other", "-o", "other.car"]);
    let ended = scene.on_car(
        "cat",
        &[
            "--car",
            "other.car",
            &other,
            &format!("{}/a.txt", scene.cid),
        ],
    );
    assert_eq!(ended.succeeded().text(), "other content\nhello\n");
    let ended = scene.call(
        "cat",
        &[
            "--add",
            "other",
            "--add",
            "tree",
            "--staging",
            "staging",
            &other,
        ],
    );
    assert_eq!(ended.succeeded().text(), "other content\n");
    let added: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(
        added,
        [
            format!("added {other} other"),
            format!("added {} tree", scene.cid)
        ]
    );
    scene.nothing_staged();
}

#[test]
fn what_is_not_there_is_an_error() {
    let scene = Scene::new();
    let absent = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4";
    for command in ["ls", "cat", "stat", "get"] {
        scene.on_car(command, &[absent]).failed(1, &[absent]);
        scene
            .on_car(command, &[&format!("{}/dir/missing", scene.cid)])
            .failed(1, &["'missing'"]);
    }
}

#[test]
fn an_archive_cut_short_is_named() {
    let scene = Scene::new();
    let whole = fs::read(scene.path("tree.car")).expect("the archive");
    scene.write("cut.car", &whole[..whole.len() - 1]);
    scene.write("tiny.car", &whole[..5]);
    scene.write("none.car", b"no archive at all");
    for (car, word) in [
        ("cut.car", "cut short"),
        ("tiny.car", "tiny.car"),
        ("none.car", "is not a CAR file"),
    ] {
        scene
            .call("ls", &["--car", car, &scene.cid])
            .failed(1, &[car, word]);
    }
    scene
        .call("ls", &["--car", "missing.car", &scene.cid])
        .failed(1, &["missing.car"]);
    scene
        .call("ls", &["--car", "tree", &scene.cid])
        .failed(1, &["tree"]);
}

#[test]
fn a_block_that_is_not_what_its_cid_says_reaches_nobody() {
    let scene = Scene::new();
    let mut car = fs::read(scene.path("tree.car")).expect("the archive");
    let at = car
        .windows(6)
        .position(|bytes| bytes == b"hello\n")
        .expect("the block");
    car[at] = b'j';
    scene.write("wrong.car", &car);
    let ended = scene.call(
        "cat",
        &[
            "--car",
            "wrong.car",
            "--stats",
            &format!("{}/a.txt", scene.cid),
        ],
    );
    ended.failed(1, &["do not hash"]);
    assert_eq!(ended.text(), "");
    assert_eq!(ended.figures("failures")[1], 1, "one corrupt block");
    let other = scene.call(
        "cat",
        &["--car", "wrong.car", &format!("{}/dir/b.txt", scene.cid)],
    );
    assert_eq!(other.succeeded().text(), "below\n");
}
