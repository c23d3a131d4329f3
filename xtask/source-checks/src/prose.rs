//! stub
use anyhow::Result;
use std::path::Path;
/// Flags.
#[derive(clap::Args, Debug)]
pub(crate) struct Flags {}
pub(crate) fn count(_: &Path, _: &Flags) -> Result<()> {
    Ok(())
}
