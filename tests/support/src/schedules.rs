//! Models of concurrency: many schedules, and a directory for the files of each.
//!
//! A failure prints the schedule that led to it; `shuttle::replay` runs that again.

use std::{
    env, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
};
use tempfile::TempDir;

/// What a thread of a model has, in bytes: the code that runs there makes system calls with paths.
const STACK: usize = 256 << 10;

/// A file system in memory, where a model writes as fast as it computes.
const IN_MEMORY: &str = "/dev/shm";

/// Runs `model` under many schedules, each with an empty directory: under random ones, and under ones that change
/// priorities at a few points only, which find what takes a thread that is held up for long.
///
/// # Panics
/// If a schedule leads to a panic or a deadlock.
pub fn under_many_schedules(model: impl Fn(&Path) + Send + Sync + 'static) {
    let schedules = match env::var_os("WASI_IPFS_QUICK") {
        Some(_) => 500,
        None => 5000,
    };
    let place = match Path::new(IN_MEMORY) {
        shm if shm.is_dir() => shm.to_owned(),
        _ => env::temp_dir(),
    };
    let place = tempfile::Builder::new().prefix("model-").tempdir_in(place);
    let place = place.expect("a directory for the model");
    let model = Arc::new(model);
    run(RandomScheduler::new(schedules), &place, &model);
    run(PctScheduler::new(3, schedules), &place, &model);
}

fn run<M>(scheduler: impl Scheduler + 'static, place: &TempDir, model: &Arc<M>)
where
    M: Fn(&Path) + Send + Sync + 'static,
{
    let (place, model) = (place.path().to_owned(), model.clone());
    let mut config = Config::new();
    config.stack_size = STACK;
    Runner::new(scheduler, config).run(move || {
        let own = TempDir::new_in(&place).expect("a directory for the schedule");
        model(own.path());
    });
}

/// What the file system has allocated for the files in these directories, in bytes.
///
/// # Panics
/// If one cannot be listed.
pub fn allocated(dirs: &[PathBuf]) -> u64 {
    let files = dirs
        .iter()
        .flat_map(|dir| fs::read_dir(dir).expect("a directory"));
    files
        .map(|file| file.expect("an entry").metadata().expect("a file").blocks() * 512)
        .sum()
}
