//! Tests of an import: which files it accepts, skips and refuses.

use std::{
    collections::BTreeMap,
    fs::Permissions,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    time::{Duration, UNIX_EPOCH},
};

use rustix::fs::{AtFlags, CWD, FileType as RustixType, Timespec, Timestamps};
use tempfile::TempDir;
use unixfs::Profile;

use super::*;
use crate::scan::parse_car;

fn go(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn cid_of(path: &Path, options: &ImportOptions) -> Result<Cid, CarError> {
    import(path, options, |_, _| Ok(()), go).map(|imported| imported.root)
}

fn v0() -> ImportOptions {
    ImportOptions {
        profile: Profile::UnixfsV0_2015,
        ..ImportOptions::default()
    }
}

fn directory() -> (TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("tree");
    fs::create_dir(&path).unwrap();
    (temporary, path)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn pipe(path: &Path) {
    rustix::fs::mknodat(CWD, path, RustixType::Fifo, Mode::from(0o600), 0).unwrap();
}

/// The CIDs that Kubo's own tests of mode and mtime expect (test/sharness/t0047-add-mode-mtime.sh).
#[test]
fn mode_and_mtime_of_files_and_symlinks_are_kubos() {
    let (_temporary, path) = directory();
    let (file, link) = (path.join("file"), path.join("link"));
    File::create(&file)
        .unwrap()
        .set_modified(UNIX_EPOCH + Duration::from_secs(1_604_320_482))
        .unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    symlink("nothing", &link).unwrap();
    let time = Timespec {
        tv_sec: 1_604_320_482,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, &link, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    for (path, preserve_mode, preserve_mtime, cid) in [
        (
            &file,
            false,
            false,
            "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
        ),
        (
            &file,
            true,
            false,
            "QmQLgxypSNGNFTuUPGCecq6dDEjb6hNB5xSyVmP3cEuNtq",
        ),
        (
            &file,
            false,
            true,
            "QmQ6kErEW8kztQFV8vbwNU8E4dmtGsYpRiboiLxUEwibvj",
        ),
        (
            &file,
            true,
            true,
            "QmYkvboLsvLFcSYmqVJRxvBdYRQLroLv9kELf3LRiCqBri",
        ),
        (
            &link,
            false,
            true,
            "QmbJwotgtr84JxcnjpwJ86uZiyMoxbZuNH4YrdJMypkYaB",
        ),
        (
            &link,
            true,
            true,
            "QmbJwotgtr84JxcnjpwJ86uZiyMoxbZuNH4YrdJMypkYaB",
        ),
    ] {
        let options = ImportOptions {
            preserve_mode,
            preserve_mtime,
            ..v0()
        };
        assert_eq!(cid_of(path, &options).unwrap().to_string(), cid);
    }
}

/// As in Kubo, a file's mode of zero counts as missing, while a directory keeps it.
#[test]
fn no_permission_is_kept_of_directories_alone() {
    let (_temporary, path) = directory();
    let file = path.join("file");
    File::create(&file).unwrap();
    let options = ImportOptions {
        preserve_mode: true,
        ..v0()
    };
    fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    let attributes = |path: &Path| options.attributes(&fs::symlink_metadata(path).unwrap());
    assert_eq!(attributes(&file).mode, None);
    fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    assert_eq!(attributes(&path).mode, Some(0));
    fs::set_permissions(&path, Permissions::from_mode(0o1750)).unwrap();
    assert_eq!(attributes(&path).mode, Some(0o1750));
}

#[test]
fn metadata_and_raw_leaves_exclude_each_other() {
    let (_temporary, path) = directory();
    let missing = path.join("missing");
    for (profile, raw_leaves, refused) in [
        (Profile::UnixfsV1_2025, None, true),
        (Profile::UnixfsV1_2025, Some(true), true),
        (Profile::UnixfsV1_2025, Some(false), false),
        (Profile::UnixfsV0_2015, None, false),
        (Profile::UnixfsV0_2015, Some(true), true),
    ] {
        for (preserve_mode, preserve_mtime) in [(true, false), (false, true)] {
            let options = ImportOptions {
                profile,
                raw_leaves,
                preserve_mode,
                preserve_mtime,
                ..ImportOptions::default()
            };
            // Refused before anything is read.
            let error = cid_of(&missing, &options).unwrap_err();
            assert_eq!(
                matches!(error, CarError::MetadataInRawLeaves),
                refused,
                "{error:?}"
            );
            if refused {
                assert!(error.to_string().contains("--raw-leaves=false"), "{error}");
            }
        }
    }
}

/// The expected CIDs are taken from `ipfs add`: a raw leaf has CIDv1 under the old profile too.
#[test]
fn the_leaves_can_be_chosen_apart_from_the_profile() {
    let (_temporary, path) = directory();
    let file = path.join("file");
    fs::write(&file, "hello world\n").unwrap();
    let with = |profile, raw_leaves| {
        let options = ImportOptions {
            profile,
            raw_leaves,
            ..ImportOptions::default()
        };
        cid_of(&file, &options).unwrap()
    };
    let raw = with(Profile::UnixfsV1_2025, None);
    assert_eq!(raw.codec(), 0x55);
    assert_eq!(with(Profile::UnixfsV0_2015, Some(true)), raw);
    let wrapped = with(Profile::UnixfsV0_2015, None);
    assert_eq!(
        wrapped.to_string(),
        "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"
    );
    assert_eq!(
        with(Profile::UnixfsV1_2025, Some(false)),
        wrapped.into_v1().unwrap()
    );
}

#[test]
fn errors_name_the_path() {
    let (_temporary, path) = directory();
    let options = ImportOptions::default();
    let missing = path.join("missing");
    let below_a_file = path.join("file/below");
    fs::write(path.join("file"), "").unwrap();
    for bad in [missing, below_a_file] {
        let error = cid_of(&bad, &options).unwrap_err();
        assert!(
            matches!(&error, CarError::Io { path, .. } if *path == bad),
            "{error:?}"
        );
        assert!(error.to_string().contains(bad.to_str().unwrap()), "{error}");
    }
}

/// The import runs as an ordinary user even if the tests run as root, which no permission stops.
#[test]
fn what_may_not_be_read_is_named_and_nothing_is_left_behind() {
    let (temporary, path) = directory();
    fs::set_permissions(temporary.path(), Permissions::from_mode(0o755)).unwrap();
    let out = temporary.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, Permissions::from_mode(0o777)).unwrap();
    fs::write(path.join("a"), "read before").unwrap();
    let (file, folder) = (path.join("file"), path.join("folder"));
    let outcomes = |bad: PathBuf| {
        fs::set_permissions(&bad, Permissions::from_mode(0o000)).unwrap();
        let (path, out) = (path.clone(), out.clone());
        let outcome = std::thread::spawn(move || {
            if rustix::process::geteuid().is_root() {
                rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65534)).unwrap();
            }
            import_to_car(path, out.join("a.car"), &ImportOptions::default(), go)
        });
        let error = outcome.join().unwrap().unwrap_err();
        let denied = |source: &io::Error| source.kind() == io::ErrorKind::PermissionDenied;
        assert!(
            matches!(&error, CarError::Io { path, source, .. } if *path == bad && denied(source)),
            "{error:?}"
        );
    };
    fs::create_dir(&folder).unwrap();
    outcomes(folder.clone());
    fs::remove_dir(folder).unwrap();
    fs::write(&file, "secret").unwrap();
    outcomes(file);
    assert_eq!(names(&out), [] as [&str; 0]);
}

#[test]
fn a_name_that_is_not_utf8_is_refused_unless_hidden() {
    let (_temporary, path) = directory();
    fs::write(path.join(std::ffi::OsStr::from_bytes(b".\xff")), "").unwrap();
    assert!(cid_of(&path, &ImportOptions::default()).is_ok());
    let odd = path.join(std::ffi::OsStr::from_bytes(b"\xff"));
    fs::write(&odd, "").unwrap();
    let error = cid_of(&path, &ImportOptions::default()).unwrap_err();
    assert!(
        matches!(&error, CarError::NameNotUtf8 { path } if *path == odd),
        "{error:?}"
    );
}

#[test]
fn special_files_are_refused_and_never_waited_for() {
    let (_temporary, path) = directory();
    let fifo = path.join(".pipe");
    pipe(&fifo);
    let mut options = ImportOptions::default();
    assert!(cid_of(&path, &options).is_ok());
    options.hidden = true;
    for imported in [&path, &fifo] {
        let error = cid_of(imported, &options).unwrap_err();
        assert!(
            matches!(&error, CarError::SpecialFile { path, kind: "named pipe" } if *path == fifo),
            "{error:?}"
        );
    }
    let socket = path.join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let error = cid_of(&socket, &options).unwrap_err();
    assert!(
        matches!(&error, CarError::SpecialFile { kind: "socket", .. }),
        "{error:?}"
    );
    let error = cid_of(Path::new("/dev/null"), &options).unwrap_err();
    assert!(
        matches!(&error, CarError::SpecialFile { kind: "device", .. }),
        "{error:?}"
    );
}

/// A file that the walk has seen may be replaced by something else before it is opened.
#[test]
fn what_took_a_files_place_is_not_followed() {
    let (_temporary, path) = directory();
    let (fifo, link) = (path.join("pipe"), path.join("link"));
    pipe(&fifo);
    symlink("pipe", &link).unwrap();
    assert!(!open(&fifo).unwrap().metadata().unwrap().is_file());
    assert!(open(&link).is_err());
}

#[test]
fn the_argument_is_a_symlink_unless_dereferenced() {
    let (_temporary, path) = directory();
    let (file, link, dangling, looping) = (
        path.join("file"),
        path.join("link"),
        path.join("dangling"),
        path.join("loop"),
    );
    fs::write(&file, "content").unwrap();
    symlink("file", &link).unwrap();
    symlink("nowhere", &dangling).unwrap();
    symlink("loop", &looping).unwrap();
    let mut options = ImportOptions::default();
    let as_link = import(&link, &options, |_, _| Ok(()), go).unwrap();
    assert_eq!((as_link.symlinks, as_link.files), (1, 0));
    assert!(cid_of(&dangling, &options).is_ok());
    options.dereference_args = true;
    assert_eq!(
        cid_of(&link, &options).unwrap(),
        cid_of(&file, &options).unwrap()
    );
    for bad in [&dangling, &looping] {
        let error = cid_of(bad, &options).unwrap_err();
        assert!(
            matches!(&error, CarError::Io { path, .. } if path == bad),
            "{error:?}"
        );
    }
    // Links below the argument are never followed, and `link/` means the link itself.
    let directory_link = path.join("up");
    symlink(".", &directory_link).unwrap();
    let counted = import(&path, &options, |_, _| Ok(()), go).unwrap();
    assert_eq!(
        (counted.directories, counted.files, counted.symlinks),
        (1, 1, 4)
    );
    options.dereference_args = false;
    let with_slash = PathBuf::from(format!("{}/", directory_link.display()));
    assert_eq!(
        cid_of(&with_slash, &options).unwrap(),
        cid_of(&directory_link, &options).unwrap()
    );
}

#[test]
fn a_hidden_argument_is_imported() {
    let (_temporary, path) = directory();
    let hidden = path.join(".hidden");
    fs::create_dir(&hidden).unwrap();
    fs::write(hidden.join("file"), "x").unwrap();
    let imported = import(&hidden, &ImportOptions::default(), |_, _| Ok(()), go).unwrap();
    assert_eq!(imported.files, 1);
}

#[test]
fn blocks_come_once_children_first_and_in_the_same_order() {
    let (_temporary, path) = directory();
    for name in ["z", "a", "m/x", "m/y", "m2"] {
        let file = path.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, if name < "m" { "same" } else { name }).unwrap();
    }
    fs::write(path.join("again"), "same").unwrap();
    let order = || {
        let mut cids = Vec::new();
        let sink = |cid, _| {
            cids.push(cid);
            Ok(())
        };
        let imported = import(&path, &ImportOptions::default(), sink, go).unwrap();
        assert_eq!(cids.last(), Some(&imported.root));
        assert_eq!(cids.len() as u64, imported.blocks);
        cids
    };
    let cids = order();
    let mut distinct = cids.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), cids.len());
    assert_eq!(order(), cids);
}

#[test]
fn progress_adds_up_and_can_stop_the_import() {
    let (temporary, path) = directory();
    fs::write(path.join("a"), vec![1; 2_500_000]).unwrap();
    fs::write(path.join("b"), "b").unwrap();
    let mut seen = Vec::new();
    let progress = |progress| {
        seen.push(progress);
        ControlFlow::Continue(())
    };
    let imported = import(&path, &ImportOptions::default(), |_, _| Ok(()), progress).unwrap();
    assert!(seen.is_sorted_by_key(|progress| (progress.bytes, progress.files)));
    let last = *seen.last().unwrap();
    assert_eq!((last.bytes, last.files), (2_500_001, 2));
    assert_eq!((imported.bytes, imported.files), (2_500_001, 2));

    let destination = temporary.path().join("out/a.car");
    fs::create_dir(temporary.path().join("out")).unwrap();
    let mut calls = 0;
    let stop = |_| {
        calls += 1;
        if calls == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let error = import_to_car(&path, &destination, &ImportOptions::default(), stop).unwrap_err();
    assert!(matches!(error, CarError::Cancelled), "{error:?}");
    assert_eq!(names(&temporary.path().join("out")), [] as [&str; 0]);
}

#[test]
fn an_import_that_fails_leaves_the_destination_as_it_was() {
    let (temporary, path) = directory();
    fs::write(path.join("a"), "a").unwrap();
    pipe(&path.join("pipe"));
    let out = temporary.path().join("out");
    fs::create_dir(&out).unwrap();
    let destination = out.join("a.car");
    let error = import_to_car(&path, &destination, &v0(), go).unwrap_err();
    assert!(matches!(error, CarError::SpecialFile { .. }), "{error:?}");
    assert_eq!(names(&out), [] as [&str; 0]);
    fs::write(&destination, "before").unwrap();
    import_to_car(&path, &destination, &v0(), go).unwrap_err();
    assert_eq!(names(&out), ["a.car"]);
    assert_eq!(fs::read(&destination).unwrap(), b"before");
}

#[test]
fn a_sink_that_fails_ends_the_import() {
    let (_temporary, path) = directory();
    let sink = |cid, _| {
        Err(CarError::Sink {
            cid,
            source: "the node is gone".into(),
        })
    };
    let error = import(&path, &ImportOptions::default(), sink, go).unwrap_err();
    assert!(matches!(error, CarError::Sink { .. }), "{error:?}");
}

#[test]
fn a_car_inside_the_imported_tree_does_not_hold_itself() {
    let (_temporary, path) = directory();
    fs::write(path.join("file"), vec![7; 3_000_000]).unwrap();
    let options = ImportOptions {
        hidden: true,
        ..ImportOptions::default()
    };
    let without = cid_of(&path, &options).unwrap();
    let imported = import_to_car(&path, path.join("self.car"), &options, go).unwrap();
    assert_eq!(imported.root, without);
}

#[test]
fn the_car_has_the_root_and_every_block() {
    let (temporary, path) = directory();
    for name in ["a", "b"] {
        fs::write(path.join(name), name).unwrap();
    }
    let destination = temporary.path().join("a.car");
    // Under the old profile with raw leaves, the CID of a file's root is longer than the one the header has room for.
    let raw_v0 = ImportOptions {
        raw_leaves: Some(true),
        ..v0()
    };
    for (path, options) in [
        (path.clone(), ImportOptions::default()),
        (path.clone(), v0()),
        (path.join("a"), raw_v0),
    ] {
        let imported = import_to_car(&path, &destination, &options, go).unwrap();
        let bytes = fs::read(&destination).unwrap();
        let found = parse_car(&bytes).unwrap();
        assert_eq!(found.roots, [imported.root]);
        let blocks: BTreeMap<_, _> = found
            .sections
            .iter()
            .map(|section| (section.cid.to_bytes(), section.length))
            .collect();
        assert_eq!(blocks.len() as u64, imported.blocks);
        assert_eq!(found.sections.len() as u64, imported.blocks);
        assert!(blocks.contains_key(&imported.root.to_bytes()));
        let length: u64 = blocks.values().map(|length| u64::from(*length)).sum();
        assert_eq!(length, imported.block_bytes);
    }
}

#[test]
fn a_deep_tree_costs_no_stack() {
    let (_temporary, path) = directory();
    let mut deep = path.clone();
    for _ in 0..300 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    let on_a_small_stack = std::thread::Builder::new()
        .stack_size(128 * 1024)
        .spawn(move || import(&path, &ImportOptions::default(), |_, _| Ok(()), go))
        .unwrap();
    let imported = on_a_small_stack.join().unwrap().unwrap();
    assert_eq!(imported.directories, 301);
}

#[test]
fn profiles_are_spelt_as_kubo_spells_them() {
    for profile in Profile::ALL {
        assert_eq!(profile.to_string().parse(), Ok(profile));
    }
    let error = "unixfs-v2".parse::<Profile>().unwrap_err();
    assert!(error.to_string().contains("unixfs-v1-2025"), "{error}");
}
