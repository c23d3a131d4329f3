//! Archives as they are given: files, pipes, standard input; and which of them are URLs.
//!
//! An archive is read at any offset, so what cannot be is copied into a temporary file without a name first, which goes
//! with this process however it ends.

use std::{
    fs::File,
    io::{self, IsTerminal},
    os::{fd::AsFd, unix::fs::FileTypeExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use pinner_api::Pinner;
use pinner_car::CarPinner;
use pinset::RootCid;

use crate::{messages, scratch, usage::Usage};

/// An archive at a URL, open.
#[derive(Debug)]
pub(crate) struct RemoteArchive {
    pub(crate) pinner: Arc<dyn Pinner>,
    /// The roots in its header.
    pub(crate) roots: Vec<RootCid>,
}

/// Divides archives into URLs and paths. A file whose path looks like a URL is `./…`.
pub(crate) fn divided(all: &[PathBuf]) -> (Vec<&str>, Vec<PathBuf>) {
    let url = |path: &Path| path.to_str().is_some_and(is_url);
    let (urls, paths): (Vec<_>, Vec<_>) = all.iter().partition(|path| url(path));
    let urls = urls.into_iter().filter_map(|url| url.to_str());
    (urls.collect(), paths.into_iter().cloned().collect())
}

/// Whether the text is a URL of any scheme.
fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        let mut letters = scheme.chars();
        letters
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

/// How standard input is written in `--car`.
const STDIN: &str = "-";

/// Opens the archives. Those that are not files are copied, beside what is staged: into the directory `staging` if there
/// is one.
///
/// # Cancellation
/// Nothing is left on the disk.
pub(crate) async fn open(paths: &[PathBuf], staging: Option<&Path>) -> anyhow::Result<CarPinner> {
    if paths.iter().filter(|path| is_stdin(path)).count() > 1 {
        return Err(Usage::invalid(
            "--car - is given twice, and standard input can be read once",
        ));
    }
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let name: PathBuf = match is_stdin(path) {
            true => "standard input".into(),
            false => path.clone(),
        };
        let (path, staging) = (path.clone(), staging.map(Path::to_owned));
        let opened = on_own_thread(move || opened(&path, staging.as_deref())).await?;
        let file = opened.with_context(|| format!("cannot open '{}'", name.display()))?;
        files.push((name, file));
    }
    let cars = CarPinner::open_files(files).await?;
    for (path, defects) in cars.defects() {
        for defect in defects.first() {
            messages::warning(format_args!("'{}': {defect}", path.display()));
        }
        let more = defects.count() - defects.first().len() as u64;
        if more > 0 {
            messages::warning(format_args!("'{}': {more} more defects", path.display()));
        }
    }
    Ok(cars)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}

/// Runs `work` on a thread that nobody waits for when this process ends: the writer of a pipe may never come.
async fn on_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("archive".to_owned())
        .spawn(move || {
            let _ = done.send(work());
        })
        .context("cannot start a thread")?;
    result.await.context("opening an archive panicked")
}

/// Opens one archive. `CarPinner` refuses what is not a file.
fn opened(path: &Path, staging: Option<&Path>) -> anyhow::Result<File> {
    if !is_stdin(path) {
        // A pipe that has a name is opened when somebody has come to write into it.
        let file = File::open(path)?;
        return match file.metadata()?.file_type().is_fifo() {
            true => copied(file, staging),
            false => Ok(file),
        };
    }
    anyhow::ensure!(
        !io::stdin().is_terminal(),
        "it is a terminal; send an archive into it"
    );
    let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    match stdin.metadata()?.is_file() {
        true => Ok(stdin),
        false => copied(stdin, staging),
    }
}

fn copied(mut pipe: File, staging: Option<&Path>) -> anyhow::Result<File> {
    let directory = scratch::parent(staging)?;
    let copy = tempfile::tempfile_in(&directory)
        .and_then(|mut file| io::copy(&mut pipe, &mut file).map(|_| file));
    copy.with_context(|| {
        format!(
            "it cannot be copied into '{}'; {}",
            directory.display(),
            scratch::ELSEWHERE
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_no_url() {
        let paths = [
            "x.car",
            "./https://x",
            "/a://b",
            "://x",
            "1a://x",
            "C:/x",
            "-",
        ];
        let urls = ["s3://b/k", "HTTPS://x", "gs://x", "foo+bar://"];
        let all: Vec<PathBuf> = paths.iter().chain(&urls).map(PathBuf::from).collect();
        let divided = divided(&all);
        assert_eq!(divided, (urls.to_vec(), paths.map(PathBuf::from).to_vec()));
    }
}
