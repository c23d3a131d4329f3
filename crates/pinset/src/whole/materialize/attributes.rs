//! Modes and times of a copy, as UnixFS 1.5 records them.
//!
//! They are set once nothing more is written: a directory's after those of all that is in it. Symlinks have times only,
//! since Linux knows no modes of symlinks.

use std::{fs::File, io};

use cap_std::fs::Dir as HostDir;
use rustix::fs::{
    AtFlags, Mode, RawMode, Timespec, Timestamps, chmodat, fchmod, futimens, utimensat,
};

use crate::metadata::{Metadata, Mtime};

/// The bits of a mode that are kept: permissions and the sticky bit. So no DAG makes a file that runs as another user.
const KEPT: u32 = 0o1777;

pub(super) fn set_on_file(file: &File, metadata: &Metadata) -> io::Result<()> {
    if let Some(mode) = mode(metadata) {
        fchmod(file, mode)?;
    }
    if let Some(times) = times(metadata) {
        futimens(file, &times)?;
    }
    Ok(())
}

/// The mode comes last: it may take the right to do anything else.
pub(super) fn set_on_dir(dir: &HostDir, metadata: &Metadata) -> io::Result<()> {
    if let Some(times) = times(metadata) {
        utimensat(dir, ".", &times, AtFlags::empty())?;
    }
    if let Some(mode) = mode(metadata) {
        chmodat(dir, ".", mode, AtFlags::empty())?;
    }
    Ok(())
}

pub(super) fn set_on_symlink(dir: &HostDir, name: &str, metadata: &Metadata) -> io::Result<()> {
    match times(metadata) {
        Some(times) => Ok(utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW)?),
        None => Ok(()),
    }
}

fn mode(metadata: &Metadata) -> Option<Mode> {
    let mode = metadata.mode? & KEPT;
    Some(Mode::from_bits_truncate(mode as RawMode))
}

fn times(metadata: &Metadata) -> Option<Timestamps> {
    let Mtime { seconds, nanos } = metadata.mtime?;
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanos.into(),
    };
    Some(Timestamps {
        last_access: time,
        last_modification: time,
    })
}
