//! The result of a scan, kept in a file, so that an archive without an index is read once. `docs/archive-index.md` has the
//! format.
//!
//! Invariant: a file is used only if it is whole and of this archive, of this version. Any other is as if it were not
//! there, and is replaced. Its content is a hint all the same: each block is verified by its CID.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};

use crate::{
    little_endian::LittleEndian,
    object::Object,
    places::{Key, Place, Places},
    scan::Found,
};

/// The first bytes of a file, with the version of the format at their end.
const MAGIC: &[u8; 8] = b"CARPLAC\x01";

/// The length of the checksum at the end, in bytes.
const SUM: usize = 32;

/// The archive, of which a file holds one version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Of<'a> {
    pub(crate) name: &'a str,
    pub(crate) etag: &'a str,
    pub(crate) size: u64,
}

impl<'a> Of<'a> {
    pub(crate) fn object(object: &'a Object) -> Self {
        Self {
            name: object.name(),
            etag: object.etag(),
            size: object.size(),
        }
    }

    /// There is one file for each archive, whatever its version.
    fn path(&self, folder: &Path) -> PathBuf {
        let name = hex(&Sha256::digest(self.name));
        folder.join(format!("{name}.places"))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The places that were kept for this version of the archive. `None` if there are none that can be used; the reason is
/// in the log. A file of more than `most` bytes is not read.
pub(crate) fn load(folder: &Path, of: Of<'_>, most: u64) -> Option<Found> {
    let path = of.path(folder);
    let reason = match read(&path, most) {
        Ok(bytes) => match decode(&bytes, of) {
            Ok(found) => return Some(found),
            Err(reason) => reason.to_owned(),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => error.to_string(),
    };
    tracing::info!(path = %path.display(), reason, "a kept index is not used");
    None
}

/// Keeps the places. The file is there as a whole or not at all.
pub(crate) fn save(folder: &Path, of: Of<'_>, found: &Found) -> io::Result<()> {
    // Others need not know which archives are read.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let mut file = tempfile::Builder::new()
        .prefix(".places-")
        .tempfile_in(folder)?;
    file.write_all(&encode(of, found))?;
    file.persist(of.path(folder)).map_err(|error| error.error)?;
    Ok(())
}

fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it is not a file of this user"));
    }
    if metadata.len() > most {
        return Err(io::Error::other("it is too large"));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn encode(of: Of<'_>, found: &Found) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for text in [of.name, of.etag] {
        put_long(&mut bytes, text.as_bytes());
    }
    bytes.extend(of.size.to_le_bytes());
    bytes.extend(found.defect_count.to_le_bytes());
    bytes.extend((found.defects.len() as u32).to_le_bytes());
    for defect in &found.defects {
        put_long(&mut bytes, defect.as_bytes());
    }
    let entries = found.places.entries();
    bytes.extend((entries.len() as u64).to_le_bytes());
    for (key, place) in entries {
        let (code, digest) = key.parts();
        bytes.extend(code.to_le_bytes());
        // At most 64.
        bytes.push(digest.len() as u8);
        bytes.extend(digest);
        bytes.extend(place.offset.to_le_bytes());
        bytes.extend(place.length.to_le_bytes());
    }
    let sum = Sha256::digest(&bytes);
    bytes.extend(sum);
    bytes
}

fn put_long(bytes: &mut Vec<u8>, long: &[u8]) {
    // Names, ETags and defects are far shorter.
    bytes.extend((long.len() as u32).to_le_bytes());
    bytes.extend(long);
}

fn decode(bytes: &[u8], of: Of<'_>) -> Result<Found, &'static str> {
    let body = bytes.len().checked_sub(SUM).ok_or("it is cut short")?;
    let (body, sum) = bytes.split_at(body);
    if Sha256::digest(body)[..] != *sum {
        return Err("its checksum is wrong");
    }
    let mut rest = LittleEndian(body);
    if rest.take(MAGIC.len())? != MAGIC {
        return Err("it has another format");
    }
    if rest.long()? != of.name.as_bytes() {
        return Err("it is of another archive");
    }
    if rest.long()? != of.etag.as_bytes() || rest.u64()? != of.size {
        return Err("it is of another version of the archive");
    }
    let defect_count = rest.u64()?;
    let mut defects = Vec::new();
    for _ in 0..rest.u32()? {
        defects.push(String::from_utf8_lossy(rest.long()?).into_owned());
    }
    let mut entries = Vec::new();
    for _ in 0..rest.u64()? {
        let code = rest.u64()?;
        let length = usize::from(rest.take(1)?[0]);
        let key = Key::new(code, rest.take(length)?);
        let place = Place {
            offset: rest.u64()?,
            length: rest.u32()?,
        };
        if place.range().end > of.size || place.length as usize > pinner_api::MAX_BLOCK {
            return Err("it has a place outside of the archive");
        }
        entries.push((key, place));
    }
    match rest.0 {
        [] => Ok(Found {
            places: Places::of_data(entries),
            defects,
            defect_count,
        }),
        _ => Err("more follows than it says"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: Of<'static> = Of {
        name: "s3://bucket/x.car",
        etag: "\"1\"",
        size: 1000,
    };

    fn found() -> Found {
        let place = |offset, length| Place { offset, length };
        Found {
            places: Places::of_data(vec![
                (Key::new(0x12, &[1; 32]), place(900, 100)),
                (Key::new(0x12, &[1; 32]), place(100, 10)),
                (Key::new(0x1b, &[2; 20]), place(0, 0)),
            ]),
            defects: vec!["it is cut short".to_owned()],
            defect_count: 3,
        }
    }

    #[test]
    fn what_was_kept_comes_back_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("new");
        assert!(load(&folder, OF, 1 << 20).is_none());
        save(&folder, OF, &found()).expect("kept");
        save(&folder, OF, &found()).expect("kept again");
        let loaded = load(&folder, OF, 1 << 20).expect("it was kept");
        assert_eq!(loaded.places.entries(), found().places.entries());
        assert_eq!((loaded.defects, loaded.defect_count), (found().defects, 3));
        assert_eq!(fs::read_dir(&folder).expect("listed").count(), 1);

        let path = OF.path(&folder);
        let good = fs::read(&path).expect("read");
        assert!(load(&folder, OF, good.len() as u64 - 1).is_none());
        for other in [
            Of {
                etag: "\"2\"",
                ..OF
            },
            Of { size: 1001, ..OF },
            Of {
                name: "s3://bucket/y.car",
                ..OF
            },
        ] {
            // Under the name of the other, so that only the content tells.
            fs::write(other.path(&folder), &good).expect("written");
            assert!(load(&folder, other, 1 << 20).is_none(), "{other:?}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).expect("written");
            assert!(load(&folder, OF, 1 << 20).is_none(), "{at}");
            fs::write(&path, &good[..at]).expect("written");
            assert!(load(&folder, OF, 1 << 20).is_none(), "{at}");
        }
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        let resealed = |at: usize, byte: u8| {
            let mut bytes = encode(OF, &found());
            bytes.truncate(bytes.len() - SUM);
            bytes[at] = byte;
            let sum = Sha256::digest(&bytes);
            bytes.extend(sum);
            decode(&bytes, OF).err()
        };
        let length = encode(OF, &found()).len() - SUM;
        assert_eq!(resealed(0, b'C'), None);
        assert_eq!(resealed(7, 2), Some("it has another format"));
        // The last entry's offset, which would end after the archive.
        assert_eq!(
            resealed(length - 5, 1),
            Some("it has a place outside of the archive")
        );
        let count = length - 2 * 53 - 41 - 8;
        assert_eq!(resealed(count, 2), Some("more follows than it says"));
        assert_eq!(resealed(count, 4), Some("it is cut short"));
        assert_eq!(resealed(count + 7, 255), Some("it is cut short"));
    }

    #[test]
    fn only_files_of_this_user_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        save(folder.path(), OF, &found()).expect("kept");
        let path = OF.path(folder.path());
        let aside = folder.path().join("aside");
        fs::rename(&path, &aside).expect("moved");
        std::os::unix::fs::symlink(&aside, &path).expect("linked");
        assert!(load(folder.path(), OF, 1 << 20).is_none());
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("a folder in its place");
        assert!(load(folder.path(), OF, 1 << 20).is_none());
    }
}
