//! [`Kept`]: the newest record of each name, in files, so that an older one is refused after a restart too.
//!
//! A file holds the record as it was sent, under the name in base 36. Whatever is read is verified again, so a file that
//! rots or that somebody else wrote is as good as none.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::ipns::{IpnsRecord, KeyName, MAX_RECORD};

/// The file whose lock a process holds while it compares and writes.
const LOCK: &str = "lock";

/// A directory with the newest records.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    dir: PathBuf,
    /// The largest number of records. The one that was written the longest ago goes.
    most: usize,
}

/// The newer of two records.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Newest {
    /// The one that was given.
    Given,
    /// The one that was kept.
    Kept(Box<IpnsRecord>),
}

impl Kept {
    /// Keeps records in `dir`, which is created if it is not there.
    pub(crate) fn in_dir(dir: impl Into<PathBuf>, most: usize) -> Self {
        Self {
            dir: dir.into(),
            most: most.max(1),
        }
    }

    /// Keeps `record` if none that is newer is kept, and says which one is. Blocks.
    pub(crate) fn newest(&self, name: &KeyName, record: &IpnsRecord) -> io::Result<Newest> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.dir.join(LOCK))?;
        // Released when the file is closed, however this process ends.
        lock.lock()?;
        let path = self.dir.join(name.as_str());
        let kept = read(&path)?.and_then(|bytes| IpnsRecord::signed(name, &bytes).ok());
        match kept {
            Some(kept) if kept.supersedes(record) => Ok(Newest::Kept(Box::new(kept))),
            Some(kept) if kept.as_bytes() == record.as_bytes() => Ok(Newest::Given),
            Some(_) | None => {
                self.write(&path, record.as_bytes())?;
                Ok(Newest::Given)
            }
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if !path.exists() {
            self.make_room()?;
        }
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Removes the oldest records, so that there is room for one more.
    fn make_room(&self) -> io::Result<()> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let written = entry
                .metadata()?
                .modified()
                .unwrap_or(SystemTime::UNIX_EPOCH);
            if entry.file_name() != LOCK {
                records.push((written, entry.path()));
            }
        }
        records.sort();
        let too_many = (records.len() + 1).saturating_sub(self.most);
        for (_, path) in records.iter().take(too_many) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// Returns the bytes of a file, at most one more than a record can have; `None` if there is no file.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_RECORD as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
