//! A file used as a directory, and a directory used as a file.
//!
//! Arguments: `FILE DIR`. Prints `WHAT: ERROR` for each attempt.

use std::{
    env,
    fs::{self, File},
    io::{ErrorKind, Read, Seek, SeekFrom},
};

use guest::{
    arguments::Arguments,
    outcome::{self, fails, succeeds},
    posix::{self, Directory, Open},
};

/// The errors for reading a directory. wasmtime says "is a directory" in preview 2, and that the descriptor cannot be read
/// in preview 1.
const NOT_READABLE: &[i32] = &[libc::EISDIR, libc::EBADF];

fn main() {
    let mut arguments = Arguments::of("file_as_dir_and_reverse FILE DIR");
    let (file, dir) = (arguments.word(), arguments.word());
    file_as_directory(&file);
    directory_as_file(&dir);
}

fn file_as_directory(file: &str) {
    let wanted = outcome::NOT_A_DIRECTORY;
    for behind in ["/x", "/x/y", "/", "/.", "/..", "/../x"] {
        let path = format!("{file}{behind}");
        fails(&format!("open FILE{behind}"), File::open(&path), wanted);
        fails(
            &format!("metadata FILE{behind}"),
            fs::metadata(&path),
            wanted,
        );
        fails(
            &format!("symlink_metadata FILE{behind}"),
            fs::symlink_metadata(&path),
            wanted,
        );
    }
    fails(
        "read_link FILE/x",
        fs::read_link(format!("{file}/x")),
        wanted,
    );
    fails(
        "canonicalize FILE/x",
        fs::canonicalize(format!("{file}/x")),
        wanted,
    );
    fails("read_dir FILE", fs::read_dir(file), wanted);
    fails("opendir FILE", Directory::open(file), wanted);
    fails(
        "open FILE as directory",
        posix::open(file, Open::Directory),
        wanted,
    );
    fails("chdir FILE", env::set_current_dir(file), wanted);
    let open = succeeds("open FILE", File::open(file));
    fails(
        "open FILE, x",
        posix::open_at(&open, "x", Open::Read),
        wanted,
    );
}

fn directory_as_file(dir: &str) {
    fails("read DIR", fs::read(dir), NOT_READABLE);
    let mut open = succeeds("open DIR", File::open(dir));
    fails("read on DIR's handle", open.read(&mut [0; 8]), NOT_READABLE);
    fails(
        "pread on DIR's handle",
        posix::pread(&open, &mut [0; 8], 0),
        NOT_READABLE,
    );
    // std itself refuses to copy anything but a file.
    let copied = fs::copy(dir, format!("{dir}/copy")).expect_err("a directory was copied");
    assert_eq!(copied.kind(), ErrorKind::InvalidInput, "copy DIR");
    // A seek may succeed or fail, but must not make the directory readable.
    let _ = open.seek(SeekFrom::Start(1));
    fails(
        "read on DIR's handle, after a seek",
        open.read(&mut [0; 8]),
        NOT_READABLE,
    );
    for behind in ["/", "/.", "//", "/./"] {
        let path = format!("{dir}{behind}");
        assert!(succeeds(&path, fs::metadata(&path)).is_dir(), "{path}");
    }
}
