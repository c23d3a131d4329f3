//! The flags of the sources that this build leaves out: hidden, and refused by name.
//!
//! Invariant: nothing that is given with such a flag is kept, since it may be a secret.

use std::{convert::Infallible, str::FromStr, sync::Arc, time::Duration};

use clap::Args;
use pinner_api::Pinner;

use crate::usage::Usage;

/// Some value.
#[derive(Clone, Debug)]
struct Given;

impl FromStr for Given {
    type Err = Infallible;

    fn from_str(_: &str) -> Result<Self, Self::Err> {
        Ok(Self)
    }
}

/// `what` is asked for, which takes `feature`.
fn left_out(what: &str, feature: &str) -> anyhow::Error {
    Usage::invalid(format!(
        "{what}: this wasi-ipfs was built without the feature `{feature}`"
    ))
}

/// A Kubo node.
#[cfg(not(feature = "kubo"))]
#[derive(Args, Debug)]
pub(crate) struct KuboArgs {
    #[arg(long, hide = true, require_equals = true)]
    kubo: Option<Option<Given>>,

    #[arg(long, hide = true)]
    kubo_gateway: Option<Given>,

    #[arg(long, hide = true)]
    kubo_auth: Option<Given>,
}

#[cfg(not(feature = "kubo"))]
impl KuboArgs {
    /// Its line in the list of sources.
    pub(crate) const SUMMARY: &str = "";

    /// Whether a node is asked for.
    pub(crate) fn wanted(&self) -> bool {
        self.kubo.is_some()
    }

    /// Refuses every flag.
    pub(crate) fn refuse_unused(&self) -> anyhow::Result<()> {
        let given = match (&self.kubo, &self.kubo_gateway, &self.kubo_auth) {
            (Some(_), _, _) => "--kubo",
            (None, Some(_), _) => "--kubo-gateway",
            (None, None, Some(_)) => "--kubo-auth",
            (None, None, None) => return Ok(()),
        };
        Err(left_out(given, "kubo"))
    }

    /// Refuses.
    pub(crate) async fn connect(&self, _: Duration) -> anyhow::Result<Arc<dyn Pinner>> {
        Err(left_out("a Kubo node", "kubo"))
    }
}

/// Gateways.
#[cfg(not(feature = "gateway"))]
#[derive(Args, Debug)]
pub(crate) struct GatewayArgs {
    #[arg(long, hide = true, conflicts_with = "kubo")]
    gateway: Vec<Given>,
}

#[cfg(not(feature = "gateway"))]
impl GatewayArgs {
    /// Its line in the list of sources.
    pub(crate) const SUMMARY: &str = "";

    /// No gateways, or a refusal.
    pub(crate) fn open(&self, _: Duration) -> anyhow::Result<Option<Arc<dyn Pinner>>> {
        match self.gateway.is_empty() {
            true => Ok(None),
            false => Err(left_out("--gateway", "gateway")),
        }
    }
}
