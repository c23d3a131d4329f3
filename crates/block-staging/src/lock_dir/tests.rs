//! The lock directory, used by processes that race, end and are killed.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant, SystemTime},
};

use test_support::file_system::{child, place};

use super::{
    dead::lock_opened,
    directory::{hex, locked_new_file},
    held::forget_held,
    private_dir::user,
    *,
};
use crate::Staging;

/// The path of a future lock directory, in a temporary directory that is removed after the test.
fn fresh() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("locks");
    (parent, path)
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Locks the dead holders that nobody else recovers at this moment.
fn dead(dir: &LockDir) -> Vec<DeadHolder> {
    let names = dir.dead().unwrap().into_iter();
    let lock = |name| match dir.evidence(name).unwrap() {
        Evidence::Dead(dead) => Some(dead),
        Evidence::Alive | Evidence::None => None,
    };
    names.filter_map(lock).collect()
}

fn dead_names(dir: &LockDir) -> Vec<[u8; 16]> {
    dir.dead().unwrap()
}

/// Returns the dead holders, once there are any. A child that another test has just forked keeps every lock of this
/// process until it is executed.
fn dead_at_last(dir: &LockDir) -> Vec<DeadHolder> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let dead = dead(dir);
        if !dead.is_empty() || Instant::now() > until {
            return dead;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn it_is_made_for_its_owner_alone_and_keeps_its_id() {
    let (_parent, path) = fresh();
    let first = LockDir::open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    assert_eq!(LockDir::open(&path).unwrap().id(), first.id());
    assert_eq!(names(&path), ["id"]);
    let (_other_parent, other) = fresh();
    assert_ne!(LockDir::open(&other).unwrap().id(), first.id());
}

#[test]
fn what_is_not_this_users_alone_is_refused_by_name() {
    let (parent, path) = fresh();
    let refused = |path: &Path| {
        let error = LockDir::open(path).unwrap_err();
        assert!(error.to_string().contains(&path.display().to_string()));
        error
    };
    LockDir::open(&path).unwrap();

    let link = parent.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(matches!(refused(&link), LockDirError::Symlink { .. }));

    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(refused(&file), LockDirError::NotADirectory { .. }));

    let orphan = parent.path().join("missing/locks");
    assert!(matches!(refused(&orphan), LockDirError::Io { .. }));

    fs::write(path.join("id"), "short").unwrap();
    assert!(matches!(refused(&path), LockDirError::BadId { .. }));

    for mode in [0o710, 0o701, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(refused(&path), LockDirError::OpenToOthers { mode: m, .. } if m == mode));
    }

    // Root can give a directory away; for any other user, those of root are foreign.
    let foreign = match user() {
        0 => {
            std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
            path
        }
        _ => PathBuf::from("/usr"),
    };
    assert!(matches!(
        refused(&foreign),
        LockDirError::ForeignOwner { .. }
    ));
}

#[test]
fn processes_that_start_at_once_agree_on_the_id() {
    const TEST: &str = "lock_dir::tests::processes_that_start_at_once_agree_on_the_id";
    if let Some(path) = place(TEST) {
        // The parent releases all children at once.
        std::io::stdin().read_line(&mut String::new()).unwrap();
        println!("agreed={}", hex(&LockDir::open(&path).unwrap().id()));
        return;
    }
    for _ in 0..5 {
        let (_parent, path) = fresh();
        let children: Vec<Child> = (0..6)
            .map(|_| {
                let mut command = child(TEST, &path);
                command.stdin(Stdio::piped()).stdout(Stdio::piped());
                command.spawn().unwrap()
            })
            .collect();
        let mut ids = HashSet::new();
        let mut waiting = Vec::new();
        for mut child in children {
            drop(child.stdin.take());
            waiting.push(child);
        }
        for child in waiting {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            let text = String::from_utf8(output.stdout).unwrap();
            let id = text.split("agreed=").nth(1).expect("an id")[..16].to_owned();
            ids.insert(id);
        }
        assert_eq!(ids, [hex(&LockDir::open(&path).unwrap().id())].into());
        assert_eq!(names(&path), ["id"]);
    }
}

/// Starts a process that holds a lock and stages a block, and waits until it reports that.
///
/// Its output has to stay open, since the test harness prints its own lines at the end.
fn holder(test: &str, path: &Path) -> (Child, impl Sized) {
    let mut child = child(test, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("holding")));
    (child, lines)
}

#[test]
fn what_a_killed_process_left_is_swept_and_a_living_ones_is_not() {
    const TEST: &str =
        "lock_dir::tests::what_a_killed_process_left_is_swept_and_a_living_ones_is_not";
    if let Some(path) = place(TEST) {
        let held = LockDir::open(&path).unwrap().hold().unwrap();
        held.pins_may_remain().unwrap();
        let staging = Staging::create(held.staging_dir().unwrap(), 1 << 20).unwrap();
        let extent = staging.write(staging.reserve(5000).unwrap(), &[1; 5000]);
        println!("holding");
        std::io::stdin().read_line(&mut String::new()).unwrap();
        held.no_pins_remain();
        drop(extent);
        return;
    }
    let (_parent, path) = fresh();
    let (mut killed, _) = holder(TEST, &path);
    let (mut living, _output) = holder(TEST, &path);
    let dir = LockDir::open(&path).unwrap();
    assert_eq!(
        names(&path).len(),
        5,
        "id, two locks, two staging directories"
    );
    assert!(dead_names(&dir).is_empty(), "both live");

    killed.kill().unwrap();
    killed.wait().unwrap();
    let dead = dead(&dir);
    assert_eq!(dead.len(), 1);
    let name = dead[0].name();
    assert!(!path.join(format!("{}.staging", hex(&name))).exists());
    assert!(
        path.join(format!("{}.lock", hex(&name))).exists(),
        "the proof stays"
    );
    assert!(dead_names(&dir).is_empty(), "one recoverer at a time");
    drop(dead);
    let again = dead_at_last(&dir);
    assert_eq!(again.len(), 1, "not finished: found again");
    for dead in again {
        assert_eq!(dead.name(), name);
        dead.finish().unwrap();
    }
    assert!(dead_names(&dir).is_empty());
    let left = names(&path);
    assert_eq!(left.len(), 3, "{left:?}");
    let staging = left.iter().find(|name| name.ends_with(".staging")).unwrap();
    assert_eq!(names(&path.join(staging)), ["slots-8192"]);

    drop(living.stdin.take());
    assert!(living.wait().unwrap().success());
    assert_eq!(names(&path), ["id"], "who ends in order leaves nothing");
}

#[test]
fn nothing_is_left_of_a_killed_process_that_had_no_pins() {
    const TEST: &str = "lock_dir::tests::nothing_is_left_of_a_killed_process_that_had_no_pins";
    if let Some(path) = place(TEST) {
        let held = LockDir::open(&path).unwrap().hold().unwrap();
        let _staging = Staging::create(held.staging_dir().unwrap(), 1 << 20).unwrap();
        held.pins_may_remain().unwrap();
        held.no_pins_remain();
        println!("holding");
        std::io::stdin().read_line(&mut String::new()).unwrap();
        return;
    }
    let (_parent, path) = fresh();
    let (mut killed, _) = holder(TEST, &path);
    let dir = LockDir::open(&path).unwrap();
    assert!(dead_names(&dir).is_empty() && names(&path).len() == 3);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(dead_names(&dir).is_empty(), "nothing to recover");
    assert_eq!(names(&path), ["id"]);
}

#[test]
fn a_lock_with_pins_stays_as_the_proof_and_one_without_goes() {
    let (_parent, path) = fresh();
    let dir = LockDir::open(&path).unwrap();
    let (with, without) = (dir.hold().unwrap(), dir.hold().unwrap());
    let name = with.name();
    assert_ne!(name, without.name());
    with.pins_may_remain().unwrap();
    without.pins_may_remain().unwrap();
    without.no_pins_remain();
    let clone = with.clone();
    drop((with, without));
    assert!(dead_names(&dir).is_empty(), "a clone holds it");
    drop(clone);
    assert_eq!(dead_names(&dir), [name]);
}

#[test]
fn a_staging_directory_outlives_its_owner_only_while_it_is_used() {
    let (_parent, path) = fresh();
    let dir = LockDir::open(&path).unwrap();
    let held = dir.hold().unwrap();
    let staging = Staging::create(held.staging_dir().unwrap(), 1 << 20).unwrap();
    assert!(held.staging_dir().is_err(), "one each");
    let mode = fs::metadata(staging.dir().path()).unwrap().mode();
    assert_eq!(mode & 0o777, 0o700);
    let extent = staging
        .write(staging.reserve(9).unwrap(), b"the bytes")
        .unwrap();
    drop((staging, held));
    assert!(dead_names(&dir).is_empty());
    assert_eq!(extent.read_blocking(4, 5).unwrap(), b"bytes");
    drop(extent);
    assert_eq!(names(&path), ["id"]);
}

#[test]
fn foreign_names_are_left_alone_and_links_are_not_followed() {
    let (parent, path) = fresh();
    let dir = LockDir::open(&path).unwrap();
    let outside = parent.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "").unwrap();
    let upper = format!("{}.lock", "AB".repeat(16));
    let foreign = [
        "x.lock",
        "new-x",
        "x.staging",
        upper.as_str(),
        "ab.lock",
        "notes",
    ];
    for name in foreign {
        fs::write(path.join(name), "").unwrap();
    }
    let orphan = format!("{}.staging", "12".repeat(16));
    fs::create_dir(path.join(&orphan)).unwrap();
    fs::write(path.join(&orphan).join("slots-4096"), "").unwrap();
    symlink(&outside, path.join(format!("{}.staging", "34".repeat(16)))).unwrap();
    symlink(&outside, path.join(format!("{}.lock", "56".repeat(16)))).unwrap();
    let on_its_way = format!("new-{}", "78".repeat(16));
    fs::write(path.join(&on_its_way), "").unwrap();
    let (_locked, being_made) = locked_new_file(&dir.dir).unwrap();

    assert!(dead_names(&dir).is_empty());
    let left = names(&path);
    for name in foreign {
        assert!(left.iter().any(|left| left == name), "{name} is gone");
    }
    assert!(left.contains(&being_made), "a living one's");
    assert!(
        !left.contains(&orphan) && !left.contains(&on_its_way),
        "{left:?}"
    );
    assert!(outside.join("precious").exists());
}

#[test]
fn no_living_holder_is_ever_taken_for_dead() {
    let (_parent, path) = fresh();
    let dir = LockDir::open(&path).unwrap();
    let living = Mutex::new(HashSet::new());
    thread::scope(|scope| {
        let makers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let held = dir.hold().unwrap();
                        living.lock().unwrap().insert(held.name());
                        let staging = held.staging_dir().unwrap();
                        thread::yield_now();
                        assert!(staging.path().exists(), "swept under its owner");
                        held.pins_may_remain().unwrap();
                        living.lock().unwrap().remove(&held.name());
                        drop((staging, held));
                    }
                })
            })
            .collect();
        while !makers.iter().all(|maker| maker.is_finished()) {
            for dead in dead(&dir) {
                assert!(!living.lock().unwrap().contains(&dead.name()));
                dead.finish().unwrap();
            }
        }
    });
    while names(&path).len() > 1 {
        let dead = dead_at_last(&dir);
        assert!(!dead.is_empty(), "left: {:?}", names(&path));
        for dead in dead {
            dead.finish().unwrap();
        }
    }
    assert_eq!(names(&path), ["id"]);
}

#[test]
fn each_dead_holder_is_recovered_once_however_many_recover() {
    let (_parent, path) = fresh();
    let dir = LockDir::open(&path).unwrap();
    let made: HashSet<_> = (0..400)
        .map(|_| {
            let held = dir.hold().unwrap();
            held.pins_may_remain().unwrap();
            held.name()
        })
        .collect();
    let recovered = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    for dead in dead(&dir) {
                        recovered.lock().unwrap().push(dead.name());
                        dead.finish().unwrap();
                    }
                }
            });
        }
    });
    let recovered = recovered.into_inner().unwrap();
    assert_eq!(recovered.len(), made.len(), "none twice");
    assert_eq!(recovered.into_iter().collect::<HashSet<_>>(), made);
    assert_eq!(names(&path), ["id"]);
}

#[test]
fn a_lock_that_went_or_was_replaced_before_it_was_taken_proves_nothing() {
    let (_parent, path) = fresh();
    let dir = LockDir::open(&path).unwrap();
    let open = || {
        fs::write(path.join("some.lock"), "").unwrap();
        dir.dir.open("some.lock").unwrap()
    };
    let still_there = open();
    assert!(lock_opened(&dir, "some.lock", still_there).is_some());
    let gone = open();
    fs::remove_file(path.join("some.lock")).unwrap();
    assert!(lock_opened(&dir, "some.lock", gone).is_none());
    let replaced = open();
    fs::rename(path.join("some.lock"), path.join("moved.lock")).unwrap();
    let _other = open();
    assert!(lock_opened(&dir, "some.lock", replaced).is_none());
}

#[test]
fn the_default_is_in_the_users_cache_directory() {
    const TEST: &str = "lock_dir::tests::the_default_is_in_the_users_cache_directory";
    if let Some(expected) = place(TEST) {
        assert_eq!(LockDir::default_path(), expected);
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let home = home.path().to_str().unwrap();
    let below_home = format!("{home}/.cache/wasi-ipfs");
    let own = format!("/var/tmp/wasi-ipfs-{}", user());
    for (cache, home, expected) in [
        ("/a/cache", home, "/a/cache/wasi-ipfs"),
        ("", home, &below_home),
        ("relative", home, &below_home),
        ("relative", "", &own),
        ("relative", "/nonexistent", &own),
    ] {
        let status = child(TEST, Path::new(expected))
            .env("XDG_CACHE_HOME", cache)
            .env("HOME", home)
            .env("TMPDIR", "/var/tmp")
            .env_remove("CACHE_DIRECTORY")
            .env_remove("STATE_DIRECTORY")
            .status();
        assert!(status.unwrap().success(), "{cache:?} {home:?}");
    }
    // A service has the directories that systemd made for it.
    for (variables, expected) in [
        (&["CACHE_DIRECTORY"] as &[_], "/var/cache/service/wasi-ipfs"),
        (&["STATE_DIRECTORY"], "/var/lib/service/wasi-ipfs"),
        (
            &["STATE_DIRECTORY", "CACHE_DIRECTORY"],
            "/var/cache/service/wasi-ipfs",
        ),
        (&["XDG_CACHE_HOME", "CACHE_DIRECTORY"], "/a/cache/wasi-ipfs"),
    ] {
        let mut command = child(TEST, Path::new(expected));
        command.env("HOME", home);
        for variable in ["XDG_CACHE_HOME", "CACHE_DIRECTORY", "STATE_DIRECTORY"] {
            command.env_remove(variable);
        }
        for variable in variables {
            let value = match *variable {
                "CACHE_DIRECTORY" => "/var/cache/service:/var/cache/other",
                "STATE_DIRECTORY" => "/var/lib/service",
                _ => "/a/cache",
            };
            command.env(variable, value);
        }
        assert!(command.status().unwrap().success(), "{variables:?}");
    }
}

/// A program that removes old files takes an exclusive lock on each directory that it goes into, and goes past those
/// that are locked.
#[test]
fn a_program_that_removes_old_files_leaves_what_is_in_use_alone() {
    let (_parent, path) = fresh();
    let locked = |path: &Path| {
        let dir = fs::File::open(path).unwrap();
        let lock = rustix::fs::FlockOperation::NonBlockingLockExclusive;
        rustix::fs::flock(dir, lock).is_err()
    };
    let dir = LockDir::open(&path).unwrap();
    let held = dir.hold().unwrap();
    let staging = held.staging_dir().unwrap();
    assert!(locked(&path) && locked(staging.path()));
    // Two processes use it at once.
    let other = LockDir::open(&path).unwrap();
    drop((dir, other));
    assert!(locked(&path), "the held lock is still in it");
    drop((staging, held));
    let until = Instant::now() + Duration::from_secs(20);
    while locked(&path) {
        // A child that another test has just forked keeps the lock until it is executed.
        assert!(Instant::now() < until, "it is not in use");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_staging_directory_of_a_living_holder_stays_even_if_its_lock_file_was_removed() {
    let (_parent, path) = fresh();
    let dir = LockDir::open(&path).unwrap();
    let held = dir.hold().unwrap();
    let staging = held.staging_dir().unwrap();
    fs::remove_file(path.join(format!("{}.lock", hex(&held.name())))).unwrap();
    // The holder's own process knows that it lives; another one has only the files.
    forget_held(&held.name());
    assert!(dead_names(&dir).is_empty());
    assert!(staging.path().exists(), "it was taken for a dead one's");
}

#[test]
fn a_dead_holder_is_as_old_as_its_lock_file() {
    let (_parent, path) = fresh();
    let dir = LockDir::open(&path).unwrap();
    let held = dir.hold().unwrap();
    held.pins_may_remain().unwrap();
    let lock = path.join(format!("{}.lock", hex(&held.name())));
    drop(held);
    let age = |modified| {
        let file = fs::File::options().write(true).open(&lock).unwrap();
        file.set_modified(modified).unwrap();
        dead_at_last(&dir)[0].unchanged_for()
    };
    let (now, day) = (SystemTime::now(), Duration::from_secs(24 * 60 * 60));
    assert!(age(now) < day);
    assert!(age(now - 3 * day) >= 3 * day);
    assert_eq!(age(now + day), Duration::ZERO, "the clock was set back");
}

#[test]
fn what_is_missing_on_the_way_to_the_default_is_made_for_its_owner_alone() {
    const TEST: &str =
        "lock_dir::tests::what_is_missing_on_the_way_to_the_default_is_made_for_its_owner_alone";
    if let Some(home) = place(TEST) {
        let first = LockDir::open_default().unwrap();
        assert_eq!(LockDir::open_default().unwrap().id(), first.id());
        for made in ["new", "new/cache", "new/cache/wasi-ipfs"] {
            let mode = fs::metadata(home.join(made)).unwrap().mode();
            assert_eq!(mode & 0o777, 0o700, "{made}");
        }
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let status = child(TEST, home.path())
        .env("XDG_CACHE_HOME", home.path().join("new/cache"))
        .status();
    assert!(status.unwrap().success());
    // The file that is in the way is named.
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let mut refused = child(TEST, home.path());
    refused.env("XDG_CACHE_HOME", file.join("cache"));
    let output = refused.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("wasi-ipfs"),
        "{said}"
    );
}

#[test]
fn whose_a_lock_is_can_be_shown() {
    let (_parent, path) = fresh();
    let dir = LockDir::open(&path).unwrap();
    let held = dir.hold().unwrap();
    let name = hex(&held.name());
    assert!(format!("{held:?}").contains(&name), "{held:?}");
    assert!(!held.says_that_pins_may_remain());
    for _ in 0..2 {
        held.pins_may_remain().unwrap();
        assert!(held.says_that_pins_may_remain());
    }
    let alive = dir.evidence(held.name()).unwrap();
    assert!(matches!(alive, Evidence::Alive), "{alive:?}");
    drop(held);
    let shown = format!("{:?}", dead_at_last(&dir));
    assert!(shown.contains(&name), "{shown}");
}
