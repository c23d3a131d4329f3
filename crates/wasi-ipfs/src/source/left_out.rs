//! The flags of the sources that this build leaves out. They are hidden, and refused by name.
//!
//! Invariant: the value of such a flag is dropped, since it may be a secret.

use std::{convert::Infallible, str::FromStr, sync::Arc, time::Duration};

use clap::Args;
use pinner_api::Pinner;

use crate::usage::Usage;

/// A value that is dropped.
#[derive(Clone, Debug)]
struct Given;

impl FromStr for Given {
    type Err = Infallible;

    fn from_str(_: &str) -> Result<Self, Self::Err> {
        Ok(Self)
    }
}

/// The error for `what`, which needs `feature`.
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

    /// Whether the flags ask for a node.
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

    /// Always fails.
    pub(crate) async fn connect(
        &self,
        _: Option<&std::path::Path>,
        _: Duration,
    ) -> anyhow::Result<Arc<dyn Pinner>> {
        Err(left_out("a Kubo node", "kubo"))
    }
}

/// The repository of a Kubo node.
#[cfg(not(feature = "kubo"))]
#[derive(Args, Debug)]
pub(crate) struct RepositoryArgs {
    #[arg(long, hide = true)]
    kubo_repo: Option<Given>,
}

#[cfg(not(feature = "kubo"))]
impl RepositoryArgs {
    /// Its line in the list of sources.
    pub(crate) const SUMMARY: &str = "";

    /// Returns any path if the flag is given, so that it is refused.
    pub(crate) fn dir(&self) -> Option<&std::path::Path> {
        self.kubo_repo
            .as_ref()
            .map(|Given| std::path::Path::new(""))
    }

    /// Always fails.
    pub(crate) async fn open(
        &self,
        _: &std::path::Path,
        _: Duration,
    ) -> anyhow::Result<Arc<dyn Pinner>> {
        Err(left_out("--kubo-repo", "kubo"))
    }
}

/// Gateways.
#[cfg(not(feature = "gateway"))]
#[derive(Args, Debug)]
pub(crate) struct GatewayArgs {
    #[arg(long, hide = true, conflicts_with_all = ["kubo", "kubo_repo"])]
    gateway: Vec<Given>,
}

#[cfg(not(feature = "gateway"))]
impl GatewayArgs {
    /// Its line in the list of sources.
    pub(crate) const SUMMARY: &str = "";

    /// Returns no gateways, or refuses the flag.
    pub(crate) fn open(&self, _: Duration) -> anyhow::Result<Option<Arc<dyn Pinner>>> {
        match self.gateway.is_empty() {
            true => Ok(None),
            false => Err(left_out("--gateway", "gateway")),
        }
    }
}
