//! A fixed series of ordinary operations in a writable native directory. Its output must be the same with and without
//! the adapter (I8).
//!
//! Arguments: `DIR`, writable and empty; it is left empty. Prints `WHAT: OUTCOME` for each operation. The output does
//! not depend on the time, the host's inode numbers, or the order of a listing.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use guest::{
    arguments::Arguments,
    content::sorted_names,
    outcome::show,
    posix::{self, Directory, Follow, Mode, Open},
};

fn main() {
    let dir = Arguments::of("native_io DIR").word();
    let at = |name: &str| format!("{dir}/{name}");
    writing(&at);
    names(&dir, &at);
    links(&dir, &at);
    handles(&at);
    attributes(&at);
    removing(&dir, &at);
}

fn writing(at: &dyn Fn(&str) -> String) {
    show("write", fs::write(at("file"), b"0123456789"));
    show("read", fs::read_to_string(at("file")));
    show(
        "create_new existing",
        File::create_new(at("file")).map(drop),
    );
    show("create_new", File::create_new(at("other")).map(drop));
    let append = |bytes: &[u8]| {
        let mut file = OpenOptions::new().append(true).open(at("file"))?;
        file.write_all(bytes)
    };
    show("append", append(b"abc"));
    show("read appended", fs::read_to_string(at("file")));
    let edit = || {
        let mut file = OpenOptions::new().read(true).write(true).open(at("file"))?;
        file.seek(SeekFrom::Start(3))?;
        file.write_all(b"XYZ")?;
        let mut rest = String::new();
        file.read_to_string(&mut rest)?;
        file.set_len(8)?;
        file.sync_all()?;
        Ok((rest, file.metadata()?.len(), file.stream_position()?))
    };
    show("edit", edit());
    show("read edited", fs::read_to_string(at("file")));
    let sparse = || {
        let file = File::create(at("sparse"))?;
        posix::pwrite(&file, b"end", 100_000)?;
        file.metadata().map(|metadata| metadata.len())
    };
    show("pwrite far", sparse());
    show(
        "read of zeroes",
        fs::read(at("sparse")).map(|all| all.iter().filter(|b| **b != 0).count()),
    );
    let big: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
    show("write big", fs::write(at("big"), &big));
    show("read big", fs::read(at("big")).map(|read| read == big));
    show(
        "open truncate",
        OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(at("big"))
            .map(drop),
    );
    show(
        "metadata truncated",
        fs::metadata(at("big")).map(|metadata| metadata.len()),
    );
    show("copy", fs::copy(at("file"), at("copy")));
    show("read copy", fs::read_to_string(at("copy")));
}

fn names(dir: &str, at: &dyn Fn(&str) -> String) {
    show("create_dir", fs::create_dir(at("sub")));
    show("create_dir existing", fs::create_dir(at("sub")));
    show("create_dir_all", fs::create_dir_all(at("deep/er/still")));
    show("rename", fs::rename(at("copy"), at("sub/moved")));
    show("rename missing", fs::rename(at("copy"), at("sub/moved")));
    show("rename directory", fs::rename(at("deep/er"), at("sub/er")));
    show(
        "rename out",
        fs::rename(at("file"), format!("{dir}/../../../gone")),
    );
    for name in [".", "sub", "deep", "nope", "file"] {
        let entries = sorted_names(Path::new(&at(name)));
        show(&format!("list {name}"), entries);
    }
    show(
        "list, count with dots",
        Directory::open(dir).map(|mut stream| stream.remaining().len()),
    );
    for name in [
        "nope",
        "file/x",
        "file/",
        "sub/",
        "sub/..",
        "sub/../file",
        "..",
        "../..",
        "",
        "a\nb",
        "é",
    ] {
        show(
            &format!("metadata {name:?}"),
            fs::metadata(at(name)).map(|m| (m.is_dir(), m.is_file())),
        );
        show(&format!("open {name:?}"), File::open(at(name)).map(drop));
    }
    let long = "n".repeat(300);
    show(
        "metadata of a long name",
        fs::metadata(at(&long)).map(|m| m.len()),
    );
    show(
        "absolute, nothing preopened",
        fs::metadata("/no/such/preopen").map(|m| m.len()),
    );
}

fn links(dir: &str, at: &dyn Fn(&str) -> String) {
    show("hard_link", fs::hard_link(at("file"), at("hard")));
    show("hard_link existing", fs::hard_link(at("file"), at("hard")));
    show(
        "links",
        posix::identity_of_path(&at("hard")).map(|identity| identity.links),
    );
    let same = || {
        let (one, other) = (at("hard"), at("file"));
        Ok(posix::identity_of_path(&one)?.inode == posix::identity_of_path(&other)?.inode)
    };
    show("one file, two names", same());
    for (target, name) in [
        ("file", "link"),
        ("sub", "link-sub"),
        ("nope", "dangling"),
        ("round", "round"),
        ("../../../etc/passwd", "outside"),
        ("/etc/passwd", "absolute"),
    ] {
        show(
            &format!("symlink {name}"),
            posix::symlink(target, &at(name)),
        );
        show(&format!("read_link {name}"), fs::read_link(at(name)));
        show(&format!("open {name}"), File::open(at(name)).map(drop));
        show(
            &format!("open {name}, no follow"),
            posix::open(&at(name), Open::NoFollow).map(drop),
        );
        show(
            &format!("metadata {name}"),
            fs::metadata(at(name)).map(|m| m.is_dir()),
        );
        show(
            &format!("symlink_metadata {name}"),
            fs::symlink_metadata(at(name)).map(|m| (m.is_symlink(), m.len())),
        );
    }
    let canonical = fs::canonicalize(at("link"));
    show(
        "canonicalize",
        canonical.map(|path| path == Path::new(dir).join("file")),
    );
    show("read_link of a file", fs::read_link(at("file")));
    show("chdir", env::set_current_dir(at("sub")));
    show("relative", fs::read_to_string("../file"));
    show("relative list", sorted_names(Path::new(".")));
    show("chdir to a file", env::set_current_dir(at("file")));
    show("chdir back", env::set_current_dir("/"));
}

fn handles(at: &dyn Fn(&str) -> String) {
    let opened = |file: std::io::Result<File>, then: fn(&mut File) -> std::io::Result<u64>| {
        file.and_then(|mut file| then(&mut file))
    };
    let read = || File::open(at("file"));
    let write = || OpenOptions::new().write(true).open(at("file"));
    show(
        "write on a read handle",
        opened(read(), |f| f.write(b"x").map(|n| n as u64)),
    );
    show(
        "read on a write handle",
        opened(write(), |f| f.read(&mut [0; 4]).map(|n| n as u64)),
    );
    show(
        "set_len on a read handle",
        opened(read(), |f| f.set_len(1).map(|()| 0)),
    );
    show(
        "seek before the start",
        opened(read(), |f| f.seek(SeekFrom::Current(-1))),
    );
    show(
        "seek past the end",
        opened(read(), |f| f.seek(SeekFrom::End(100))),
    );
    show(
        "read past the end",
        opened(read(), |f| {
            f.seek(SeekFrom::End(100))?;
            f.read(&mut [0; 4]).map(|n| n as u64)
        }),
    );
    show(
        "pread",
        opened(read(), |f| {
            posix::pread(f, &mut [0; 4], 6).map(|n| n as u64)
        }),
    );
    show(
        "advise",
        opened(read(), |f| posix::advise_sequential(f).map(|()| 0)),
    );
    show(
        "allocate",
        opened(write(), |f| posix::allocate(f, 16).map(|()| 0)),
    );
    show("sync_data", opened(write(), |f| f.sync_data().map(|()| 0)));
    show(
        "read a directory",
        opened(File::open(at("sub")), |f| {
            f.read(&mut [0; 4]).map(|n| n as u64)
        }),
    );
    let by_descriptor = |name: &str| {
        let dir = posix::open(&at("sub"), Open::Directory)?;
        posix::open_at_verbatim(&dir, name, Open::Read).map(drop)
    };
    for name in ["moved", "nope", "../file", "/etc/passwd", "."] {
        show(&format!("openat {name}"), by_descriptor(name));
    }
}

fn attributes(at: &dyn Fn(&str) -> String) {
    let time = UNIX_EPOCH + Duration::new(1_234_567_890, 5_000_000);
    let modified = |name: &str| {
        let time = fs::symlink_metadata(at(name))?.modified()?;
        Ok(time
            .duration_since(UNIX_EPOCH)
            .map(|since| since.as_secs())
            .ok())
    };
    show(
        "set_modified",
        OpenOptions::new()
            .write(true)
            .open(at("file"))
            .and_then(|f| f.set_modified(time)),
    );
    show("modified", modified("file"));
    show(
        "set times",
        posix::set_modified_at(&at("other"), time, Follow::Target),
    );
    show("modified other", modified("other"));
    show(
        "set times of a link",
        posix::set_modified_at(&at("link"), time, Follow::Link),
    );
    show("modified link", modified("link"));
    show(
        "set times of what is missing",
        posix::set_modified_at(&at("nope"), time, Follow::Target),
    );
    for (what, mode) in [
        ("exists", Mode::Exists),
        ("read", Mode::Read),
        ("write", Mode::Write),
    ] {
        show(&format!("access, {what}"), posix::access(&at("file"), mode));
        show(
            &format!("access, {what}, missing"),
            posix::access(&at("nope"), mode),
        );
    }
    let permissions = |name: &str| {
        let mut permissions = fs::metadata(at(name))?.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(at(name), permissions)
    };
    show("set_permissions", permissions("other"));
}

fn removing(dir: &str, at: &dyn Fn(&str) -> String) {
    show("remove_dir, not empty", fs::remove_dir(at("sub")));
    show("remove_dir of a file", fs::remove_dir(at("file")));
    show("remove_file of a directory", fs::remove_file(at("sub")));
    show("remove_file missing", fs::remove_file(at("nope")));
    let unlinked = || {
        fs::write(at("short-lived"), b"still here")?;
        let mut file = File::open(at("short-lived"))?;
        fs::remove_file(at("short-lived"))?;
        let mut content = String::new();
        file.read_to_string(&mut content)?;
        Ok(content)
    };
    show("read of what was removed", unlinked());
    show("remove_dir_all", fs::remove_dir_all(at("sub")));
    show("remove_dir_all of the rest", fs::remove_dir_all(at("deep")));
    for name in sorted_names(Path::new(dir)).unwrap_or_default() {
        show(
            &format!("remove {}", name.display()),
            fs::remove_file(Path::new(dir).join(&name)),
        );
    }
    show("what is left", sorted_names(Path::new(dir)));
}
