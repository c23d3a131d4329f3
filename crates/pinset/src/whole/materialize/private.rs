//! The private name under which a copy is made, and the step that gives the copy its own name.
//!
//! Invariant: only what was made under the private name is ever removed. The final name is given by a step that fails
//! if something has that name, so no other file is replaced either.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cap_std::fs::{Dir as HostDir, Permissions, PermissionsExt};
use rustix::fs::AtFlags;
use tokio::{runtime::Handle, sync::oneshot};

/// The most bytes of the final name that are in the private one, so that this is not too long where the other is not.
const STEM: usize = 64;

/// A private name in the destination. Dropping the last reference removes whatever was made under it, on a blocking
/// thread. Every step of the copy holds a reference, so nothing is added after the removal.
pub(super) struct Private {
    dest: Arc<HostDir>,
    name: String,
    /// Whether there is something under the name.
    is_made: AtomicBool,
    gone: Option<oneshot::Sender<()>>,
}

/// Resolves once a [`Private`] was dropped and nothing is left under its name.
pub(super) type Gone = oneshot::Receiver<()>;

impl Private {
    /// Chooses a name for a copy that will be called `name`. Nothing is made yet.
    pub(super) fn new(dest: Arc<HostDir>, name: &str) -> (Arc<Self>, Gone) {
        let (sender, gone) = oneshot::channel();
        let stem = &name[..name.floor_char_boundary(STEM)];
        // A new state hashes nothing to a random number.
        let random = RandomState::new().hash_one(());
        let private = Self {
            dest,
            name: format!(".{stem}.{random:016x}"),
            is_made: AtomicBool::new(false),
            gone: Some(sender),
        };
        (Arc::new(private), gone)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Notes that the copy was begun under this name, by a step that fails if there is something.
    pub(super) fn is_made(&self) {
        self.is_made.store(true, Ordering::Release);
    }

    /// Renames the copy to `name`.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if something has that name.
    pub(super) fn publish(&self, name: &str) -> io::Result<()> {
        if rename_new(&self.dest, &self.name, name)? == Renamed::Moved {
            self.is_made.store(false, Ordering::Release);
        }
        Ok(())
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if !*self.is_made.get_mut() {
            return;
        }
        let removal = Removal {
            dest: self.dest.clone(),
            name: std::mem::take(&mut self.name),
            _gone: self.gone.take(),
        };
        match Handle::try_current() {
            // A runtime that is ending drops the removal, which runs it.
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(removal))),
            Err(_) => drop(removal),
        }
    }
}

/// Removes what is under a private name when it is dropped.
struct Removal {
    dest: Arc<HostDir>,
    name: String,
    /// Dropped after the removal.
    _gone: Option<oneshot::Sender<()>>,
}

impl Drop for Removal {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.dest, &self.name) {
            tracing::warn!(
                name = self.name,
                error = &error as &dyn std::error::Error,
                "what an unfinished copy left could not be removed"
            );
        }
    }
}

fn remove(dest: &HostDir, name: &str) -> io::Result<()> {
    if !dest.symlink_metadata(name)?.is_dir() {
        return dest.remove_file(name);
    }
    match dest.remove_dir_all(name) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(dest, name.as_ref())?;
            dest.remove_dir_all(name)
        }
        removed => removed,
    }
}

/// Lets the owner of a tree empty its directories, which the copied modes can forbid. The tree is as deep as a copy at
/// most.
fn open_up(above: &HostDir, name: &Path) -> io::Result<()> {
    above.set_permissions(name, Permissions::from_mode(0o700))?;
    let dir = above.open_dir(name)?;
    for entry in dir.entries()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&dir, entry.file_name().as_ref())?;
        }
    }
    Ok(())
}

/// How something got its new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Renamed {
    /// It has the new name alone.
    Moved,
    /// It has both names.
    Linked,
}

/// Renames `from` to `to`, unless there is something called `to`.
fn rename_new(dir: &HostDir, from: &str, to: &str) -> io::Result<Renamed> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        use rustix::{
            fs::{RenameFlags, renameat_with},
            io::Errno,
        };
        match renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
            // The file system or the system does not have the flag.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            renamed => return Ok(renamed.map(|()| Renamed::Moved)?),
        }
    }
    rename_without_flag(dir, from, to)
}

/// Does the same by steps that every file system has. A directory's name is claimed by an empty directory, which a
/// rename may replace; the rename fails if somebody has put something into it. Anything else gets a second name.
fn rename_without_flag(dir: &HostDir, from: &str, to: &str) -> io::Result<Renamed> {
    if dir.symlink_metadata(from)?.is_dir() {
        dir.create_dir(to)?;
        if let Err(error) = dir.rename(from, dir, to) {
            // This fails if it is not empty, so it removes no other files.
            _ = dir.remove_dir(to);
            return Err(error);
        }
        return Ok(Renamed::Moved);
    }
    rustix::fs::linkat(dir, from, dir, to, AtFlags::empty())?;
    Ok(Renamed::Linked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary() -> (tempfile::TempDir, Arc<HostDir>) {
        let dir = tempfile::tempdir().unwrap();
        let handle = HostDir::open_ambient_dir(dir.path(), cap_std::ambient_authority()).unwrap();
        (dir, Arc::new(handle))
    }

    /// Makes a file, a symlink or a directory with something in it.
    fn make(dir: &HostDir, kind: usize, name: &str) {
        match kind {
            0 => dir.write(name, "text").unwrap(),
            1 => dir.symlink_contents("nowhere", name).unwrap(),
            _ => {
                dir.create_dir(name).unwrap();
                dir.write(Path::new(name).join("inside"), "text").unwrap();
            }
        }
    }

    #[test]
    fn every_way_to_rename_replaces_nothing() {
        for rename in [rename_new, rename_without_flag] {
            for kind in 0..3 {
                let (_kept, dir) = temporary();
                make(&dir, kind, "from");
                let is_dir = dir.symlink_metadata("from").unwrap().is_dir();
                for there in 0..4 {
                    match there {
                        3 => dir.create_dir("to").unwrap(),
                        kind => make(&dir, kind, "to"),
                    }
                    let before = dir.symlink_metadata("to").unwrap();
                    let error = rename(&dir, "from", "to").unwrap_err();
                    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{kind} {there}");
                    let after = dir.symlink_metadata("to").unwrap();
                    use cap_std::fs::MetadataExt;
                    assert_eq!(before.ino(), after.ino(), "{kind} {there}");
                    assert!(dir.symlink_metadata("from").is_ok());
                    match there {
                        0 | 1 => dir.remove_file("to").unwrap(),
                        _ => dir.remove_dir_all("to").unwrap(),
                    }
                }
                let renamed = rename(&dir, "from", "to").unwrap();
                let made = dir.symlink_metadata("to").unwrap();
                assert_eq!(made.is_dir(), is_dir);
                assert_eq!(dir.exists("to/inside"), is_dir);
                let both = dir.symlink_metadata("from").is_ok();
                assert_eq!(both, renamed == Renamed::Linked);
            }
        }
    }

    #[test]
    fn only_what_was_made_is_removed_and_that_whatever_its_modes() {
        for made in [false, true] {
            let (_kept, dir) = temporary();
            let (private, mut gone) = Private::new(dir.clone(), "tree");
            let name = private.name().to_owned();
            assert!(name.starts_with(".tree."), "{name}");
            make(&dir, 2, &name);
            let below = Path::new(&name).join("below");
            dir.create_dir(&below).unwrap();
            make(&dir, 0, &format!("{name}/below/file"));
            dir.set_permissions(&below, Permissions::from_mode(0))
                .unwrap();
            dir.set_permissions(&name, Permissions::from_mode(0o500))
                .unwrap();
            if made {
                private.is_made();
            }
            drop(private);
            // There is no runtime, so it is gone by now.
            assert_eq!(gone.try_recv(), Err(oneshot::error::TryRecvError::Closed));
            assert_eq!(dir.exists(&name), !made);
            if !made {
                open_up(&dir, name.as_ref()).unwrap();
            }
        }
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let (_kept, dir) = temporary();
        let (private, _) = Private::new(dir.clone(), &"é".repeat(127));
        assert!(private.name().len() <= STEM + 18);
        assert_ne!(private.name(), Private::new(dir, &"é".repeat(127)).0.name());
    }
}
