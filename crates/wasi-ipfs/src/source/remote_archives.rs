//! Archives in object storage: `--car https://…` and `--car s3://…`.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use clap::Args;
use pinner_api::Pinner;
use pinner_car_remote::{
    ArchiveUrl, ParseArchiveUrlError, RemoteCarBuilder, RemoteCarPinner, RemoteError, S3Options,
    ScanCost,
};
use pinset::{RootCid, lock_dir::LockDir};

use crate::{
    archive::RemoteArchive,
    messages,
    record::Record,
    units::{parse_size, show_size},
    usage::Usage,
};

/// The bounds of archives in object storage.
#[derive(Args, Debug)]
pub(crate) struct RemoteArchiveArgs {
    /// The most that is read of an archive at a URL that has no index: it is read once as a whole, and what was found is
    /// kept. The cost is said before
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = parse_size)]
    car_scan_limit: u64,

    /// Also reads archives at plain http URLs of other machines, where anybody on the way sees what is read
    #[arg(long)]
    car_allow_http: bool,
}

impl RemoteArchiveArgs {
    /// The end of the line of `--car` in the list of sources.
    pub(crate) const SUMMARY: &str = ", or the https:// or s3:// URL of one";

    /// Opens the archives at these URLs, one after the other. `block_deadline` is the longest that a block may take.
    pub(crate) async fn open(
        &self,
        urls: &[&str],
        block_deadline: Duration,
    ) -> anyhow::Result<Vec<RemoteArchive>> {
        let urls = urls.iter().map(|url| url.parse());
        let urls: Result<Vec<ArchiveUrl>, ParseArchiveUrlError> = urls.collect();
        let urls = urls.map_err(|error| Usage::invalid(format!("--car: {error}")))?;
        if urls.is_empty() {
            return Ok(Vec::new());
        }
        let s3 = S3Options::from_variables(|name| std::env::var(name).ok())
            .context("the settings of S3 in the environment cannot be used")?;
        let mut archives = Vec::new();
        for url in urls {
            let builder = RemoteCarBuilder::new(url)
                .s3(s3.clone())
                .allow_http(self.car_allow_http)
                .deadline(block_deadline)
                .index_dir(LockDir::default_path().join("archives"))
                .scan_limit(self.car_scan_limit)
                .before_scan(tell);
            let pinner = builder.open().await.map_err(explained)?;
            warn(&pinner);
            archives.push(RemoteArchive {
                roots: roots_of(&pinner),
                pinner: Arc::new(pinner) as Arc<dyn Pinner>,
            });
        }
        Ok(archives)
    }
}

/// Says what a scan costs.
fn tell(cost: &ScanCost) {
    let requests = match cost.requests {
        1 => "1 request".to_owned(),
        many => format!("{many} requests"),
    };
    let words = format!(
        "note: '{}' has no index: {} are read once, in {requests}",
        cost.archive,
        show_size(cost.bytes)
    );
    let record = Record::Scan {
        archive: &cost.archive,
        bytes: cost.bytes,
        requests: cost.requests,
    };
    messages::note(&record, words);
}

fn warn(pinner: &RemoteCarPinner) {
    let name = pinner.name();
    let (count, first) = pinner.defects();
    for defect in first {
        messages::warning(format_args!("'{name}': {defect}"));
    }
    let more = count - first.len() as u64;
    if more > 0 {
        messages::warning(format_args!("'{name}': {more} more defects"));
    }
}

/// Names the flag that helps.
fn explained(error: RemoteError) -> anyhow::Error {
    let flag = match error {
        RemoteError::ScanTooLarge { .. } => Some("--car-scan-limit"),
        _ => None,
    };
    let error = anyhow::Error::new(error);
    match flag {
        Some(flag) => error.context(flag),
        None => error,
    }
}

fn roots_of(pinner: &RemoteCarPinner) -> Vec<RootCid> {
    let short = pinner.roots().iter().map(RootCid::from);
    let long = pinner.long_roots().iter();
    let long = long.filter_map(|root| root.to_string().parse().ok());
    short.chain(long).collect()
}
