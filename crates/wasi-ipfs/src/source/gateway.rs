//! Trustless HTTP gateways: the flag that names them.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use clap::Args;
use pinner_api::Pinner;
use pinner_gateway::{Endpoint, GatewayPinner};

/// Gateways.
#[derive(Args, Debug)]
pub(crate) struct GatewayArgs {
    /// A trustless HTTP gateway (`https://trustless-gateway.link`). It need not be trusted: every block is verified.
    /// May be given several times; each is asked if those before it fail. Not together with --kubo, whose node finds
    /// blocks by itself, or with --kubo-repo
    #[arg(long, value_name = "URL", conflicts_with_all = ["kubo", "kubo_repo"])]
    gateway: Vec<Endpoint>,
}

impl GatewayArgs {
    /// Its line in the list of sources.
    pub(crate) const SUMMARY: &str = "  --gateway URL   a trustless HTTP gateway\n";

    /// Returns the gateways as one backend, if there are any. `block_deadline` is the longest that a block may take.
    pub(crate) fn open(&self, block_deadline: Duration) -> anyhow::Result<Option<Arc<dyn Pinner>>> {
        if self.gateway.is_empty() {
            return Ok(None);
        }
        let mut builder = GatewayPinner::builder().deadline(block_deadline);
        for gateway in &self.gateway {
            builder = builder.gateway(gateway.clone());
        }
        let gateways = builder.build().context("--gateway cannot be used")?;
        Ok(Some(Arc::new(gateways)))
    }
}
