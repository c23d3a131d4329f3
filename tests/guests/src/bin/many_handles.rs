//! Many files open at once: reads from each in turn, closes in an odd order, and reads on from the rest.
//!
//! Arguments: `N DIR`: the first `N` files of `DIR` by name. Prints `N handles, BYTES bytes, fnv=DIGEST`, where the
//! digest covers the files' whole contents, one after the other.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use guest::{
    arguments::Arguments,
    content::{Fnv, sorted_names},
    outcome::succeeds,
    posix,
};

fn main() {
    let mut arguments = Arguments::of("many_handles N DIR");
    let (count, dir): (usize, _) = (arguments.number(), arguments.word());
    let dir = Path::new(&dir);
    let names = succeeds("list", sorted_names(dir));
    let paths = names.iter().map(|name| dir.join(name));
    let paths: Vec<PathBuf> = paths.filter(|path| path.is_file()).take(count).collect();
    assert_eq!(paths.len(), count, "{} holds too few files", dir.display());

    let open = |path: &PathBuf| succeeds(&path.display().to_string(), File::open(path));
    let mut files: Vec<_> = paths.iter().map(open).collect();

    // Reads a little from each in turn, so that every handle must keep a position of its own.
    let mut contents = vec![Vec::new(); count];
    for turn in [1, 10, 1000] {
        for (file, content) in files.iter_mut().zip(&mut contents) {
            succeeds("read", file.take(turn).read_to_end(content));
        }
    }
    for (file, content) in files.iter_mut().zip(&mut contents).rev() {
        succeeds("read to the end", file.read_to_end(content));
    }
    for (path, content) in paths.iter().zip(&contents) {
        let alone = succeeds("read alone", fs::read(path));
        assert!(
            alone == *content,
            "{}: read in turns, it differs",
            path.display()
        );
    }

    // Every third is closed first, the others from the back. Open handles must keep working.
    let mut left: Vec<_> = files.into_iter().enumerate().collect();
    left.retain(|(at, _)| at % 3 != 0);
    while let Some((_, last)) = left.pop() {
        drop(last);
        if let Some((at, file)) = left.last() {
            let mut buffer = vec![0; contents[*at].len()];
            let read = succeeds("pread", posix::pread_full(file, &mut buffer, 0));
            assert_eq!(read, buffer.len(), "{}", paths[*at].display());
            assert!(
                buffer == contents[*at],
                "{}: it differs now",
                paths[*at].display()
            );
        }
    }
    // Closed files can be opened again.
    drop(paths.iter().map(open).collect::<Vec<_>>());

    let mut digest = Fnv::default();
    contents.iter().for_each(|content| digest.update(content));
    let bytes: usize = contents.iter().map(Vec::len).sum();
    println!("{count} handles, {bytes} bytes, fnv={digest}");
}
