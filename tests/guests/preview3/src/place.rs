//! Preopened directories, and absolute paths below them.

use wasip3::filesystem::{
    preopens::get_directories,
    types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags},
};

use crate::errno;

/// The preopened directories.
pub(crate) struct Place(Vec<(Descriptor, String)>);

impl Place {
    pub(crate) fn find() -> Self {
        Self(get_directories())
    }

    pub(crate) fn show(&self) {
        for (_, name) in &self.0 {
            println!("{name}");
        }
    }

    /// Returns the directory that holds an absolute path, and the path below it.
    pub(crate) fn of<'p>(&self, path: &'p str) -> (&Descriptor, &'p str) {
        for (dir, name) in &self.0 {
            match path.strip_prefix(name.as_str()) {
                Some("") => return (dir, "."),
                Some(below) if below.starts_with('/') => return (dir, &below[1..]),
                _ => {}
            }
        }
        panic!("{path} is below no preopened directory");
    }

    /// Opens what is there for reading.
    pub(crate) async fn open(&self, path: &str) -> Result<Descriptor, ErrorCode> {
        let (dir, below) = self.of(path);
        open(dir, below).await
    }

    /// As [`open`](Self::open), for what must be there.
    pub(crate) async fn opened(&self, path: &str) -> Descriptor {
        let opened = self.open(path).await;
        opened.unwrap_or_else(|code| panic!("{path}: {}", errno::name(&code)))
    }
}

/// Opens `path` below `dir` for reading, following links.
pub(crate) async fn open(dir: &Descriptor, path: &str) -> Result<Descriptor, ErrorCode> {
    let (follow, read) = (PathFlags::SYMLINK_FOLLOW, DescriptorFlags::READ);
    dir.open_at(follow, path.to_owned(), OpenFlags::empty(), read)
        .await
}
