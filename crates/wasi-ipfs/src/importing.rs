//! Runs an import on a blocking thread, with progress. It stops when its caller stops waiting.

use std::{
    convert::Infallible,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use anyhow::Context;
use pinner_car::{CarError, ImportOptions, ImportedAll};

use crate::{progress::Line, units::show_size};

/// How long to wait for a dropped import, which checks its flag after each chunk.
const STOPS_WITHIN: Duration = Duration::from_secs(1);

/// Imports `paths` into a CAR at `car`. On failure, `car` is unchanged.
///
/// # Cancellation
/// Dropping the future stops the import and waits until its temporary file is gone.
pub(crate) async fn to_car(
    paths: Vec<PathBuf>,
    car: &Path,
    options: ImportOptions,
) -> anyhow::Result<ImportedAll> {
    let car = car.to_owned();
    run(paths, move |paths, progress| {
        pinner_car::import_all_to_car(paths, car, &options, progress)
    })
    .await
}

/// Computes the CIDs that an import of `paths` would have, and keeps nothing.
///
/// # Cancellation
/// Dropping the future stops the import.
pub(crate) async fn to_nowhere(
    paths: Vec<PathBuf>,
    options: ImportOptions,
) -> anyhow::Result<ImportedAll> {
    run(paths, move |paths, progress| {
        pinner_car::import_all(paths, &options, |_, _| Ok(()), progress)
    })
    .await
}

async fn run(
    paths: Vec<PathBuf>,
    import: impl FnOnce(
        &[PathBuf],
        &mut dyn FnMut(pinner_car::Progress) -> ControlFlow<()>,
    ) -> Result<ImportedAll, CarError>
    + Send
    + 'static,
) -> anyhow::Result<ImportedAll> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let (ended, end) = mpsc::sync_channel(1);
    let stop = StopOnDrop {
        cancelled: cancelled.clone(),
        end,
    };
    let names: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let line = Line::new(format!("importing {}", names.join(" ")));
    let imported = tokio::task::spawn_blocking(move || {
        let _ended: mpsc::SyncSender<Infallible> = ended;
        import(&paths, &mut |progress| {
            line.say(format_args!(
                "{} files, {}",
                progress.files,
                show_size(progress.bytes)
            ));
            match cancelled.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })
    })
    .await
    .context("the import panicked")?
    .map_err(|error: CarError| {
        anyhow::Error::new(error).context(format!("cannot import '{}'", names.join("', '")))
    })?;
    drop(stop);
    Ok(imported)
}

struct StopOnDrop {
    cancelled: Arc<AtomicBool>,
    /// Nothing is ever sent. The channel closes when the import has ended and its temporary file is gone.
    end: mpsc::Receiver<Infallible>,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
        let _ = self.end.recv_timeout(STOPS_WITHIN);
    }
}
