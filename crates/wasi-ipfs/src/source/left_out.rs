//! The flags of the sources that this build leaves out. They are hidden, and refused by name.
//!
//! Invariant: the value of such a flag is dropped, since it may be a secret.

#[cfg(not(all(feature = "gateway", feature = "kubo")))]
use std::sync::Arc;
use std::{convert::Infallible, str::FromStr, time::Duration};

use clap::Args;
#[cfg(not(all(feature = "gateway", feature = "kubo")))]
use pinner_api::Pinner;

#[cfg(not(feature = "gateway"))]
use crate::source::unnamed::Unnamed;
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

    #[arg(long, hide = true, alias = "kubo-auth")]
    kubo_auth_file: Option<Given>,

    #[arg(long, hide = true)]
    kubo_ca: Option<Given>,
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
        let given = [
            (self.kubo.is_some(), "--kubo"),
            (self.kubo_gateway.is_some(), "--kubo-gateway"),
            (self.kubo_auth_file.is_some(), "--kubo-auth-file"),
            (self.kubo_ca.is_some(), "--kubo-ca"),
        ];
        match given.iter().find(|(is_given, _)| *is_given) {
            Some((_, flag)) => Err(left_out(flag, "kubo")),
            None => Ok(()),
        }
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
    #[arg(long, hide = true, conflicts_with = "kubo")]
    gateway: Vec<Given>,

    #[arg(long, hide = true)]
    gateway_auth_file: Option<Given>,

    #[arg(long, hide = true)]
    gateway_ca: Option<Given>,

    #[arg(long, hide = true, conflicts_with = "kubo")]
    routing: Vec<Given>,

    #[arg(long, hide = true)]
    routing_loopback: bool,
}

#[cfg(not(feature = "gateway"))]
impl GatewayArgs {
    /// Its line in the list of sources.
    pub(crate) const SUMMARY: &str = "";

    /// Returns no gateways, or refuses the flags.
    pub(crate) fn open(&self, _: Duration, _: Unnamed) -> anyhow::Result<Option<Arc<dyn Pinner>>> {
        let given = [
            (!self.gateway.is_empty(), "--gateway"),
            (self.gateway_auth_file.is_some(), "--gateway-auth-file"),
            (self.gateway_ca.is_some(), "--gateway-ca"),
            (!self.routing.is_empty(), "--routing"),
            (self.routing_loopback, "--routing-loopback"),
        ];
        match given.iter().find(|(is_given, _)| *is_given) {
            Some((_, flag)) => Err(left_out(flag, "gateway")),
            None => Ok(None),
        }
    }
}

/// Archives in object storage.
#[cfg(not(feature = "object-store"))]
#[derive(Args, Debug)]
pub(crate) struct RemoteArchiveArgs {
    #[arg(long, hide = true)]
    car_scan_limit: Option<Given>,

    #[arg(long, hide = true)]
    car_allow_http: bool,
}

#[cfg(not(feature = "object-store"))]
impl RemoteArchiveArgs {
    /// The end of the line of `--car` in the list of sources.
    pub(crate) const SUMMARY: &str = "";

    /// Returns no archives, or refuses the flags.
    pub(crate) async fn open(
        &self,
        urls: &[&str],
        _: Duration,
    ) -> anyhow::Result<Vec<crate::archive::RemoteArchive>> {
        let given = match (urls, self.car_scan_limit.is_some(), self.car_allow_http) {
            ([], false, false) => return Ok(Vec::new()),
            ([], true, _) => "--car-scan-limit",
            ([], false, true) => "--car-allow-http",
            _ => "--car with a URL",
        };
        Err(left_out(given, "object-store"))
    }
}
