//! Runs an import on a blocking thread, with progress. It stops when its caller stops waiting.

use std::{
    ops::ControlFlow,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use anyhow::Context;
use pinner_car::{CarError, ImportOptions, Imported};

use crate::{progress::Line, units::show_size};

/// How long to wait for a dropped import, which checks its flag after each chunk.
const STOPS_WITHIN: Duration = Duration::from_secs(1);

/// Imports `path` into a CAR at `car`. On failure, `car` is unchanged.
///
/// # Cancellation
/// Dropping the future stops the import and waits until its temporary file is gone.
pub(crate) async fn to_car(
    path: &Path,
    car: &Path,
    options: ImportOptions,
) -> anyhow::Result<Imported> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let (ended, end) = mpsc::sync_channel(1);
    let stop = StopOnDrop {
        cancelled: cancelled.clone(),
        end,
    };
    let line = Line::new(format!("importing {}", path.display()));
    let (from, to) = (path.to_owned(), car.to_owned());
    let imported = tokio::task::spawn_blocking(move || {
        let _ended: mpsc::SyncSender<()> = ended;
        pinner_car::import_to_car(from, to, &options, |progress| {
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
        anyhow::Error::new(error).context(format!("cannot import '{}'", path.display()))
    })?;
    drop(stop);
    Ok(imported)
}

struct StopOnDrop {
    cancelled: Arc<AtomicBool>,
    /// Nothing is ever sent. The channel closes when the import has ended and its temporary file is gone.
    end: mpsc::Receiver<()>,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
        let _ = self.end.recv_timeout(STOPS_WITHIN);
    }
}
