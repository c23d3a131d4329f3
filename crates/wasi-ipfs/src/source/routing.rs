//! Servers of delegated routing, which find gateways; and the records of IPNS names, from them and from gateways.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use clap::Args;
use pinner_api::Pinner;
use pinner_gateway::Endpoint;
use pinner_layered::Layered;
use pinner_routing::{Addresses, IpnsResolver, RoutedPinner, Routing, RoutingError, WithNames};
use pinset::lock_dir::LockDir;

use crate::usage::Usage;

/// Routers.
#[derive(Args, Debug)]
pub(crate) struct RoutingArgs {
    /// A server of delegated routing (`https://delegated-ipfs.dev`), which finds trustless gateways. Neither it nor they
    /// need be trusted. They are asked over https, and only at addresses of the public internet. May be given several
    /// times; all are asked at once. With --gateway, those are asked first
    #[arg(long, value_name = "URL", conflicts_with = "kubo")]
    routing: Vec<Endpoint>,

    /// With --routing: also ask routers and the gateways that they name on this machine, over http too
    #[arg(long)]
    routing_loopback: bool,
}

/// The gateways that routers find.
pub(crate) struct Found(RoutedPinner);

impl Found {
    /// All gateways as one backend: the named ones before those that are found. Names are resolved by records.
    pub(crate) fn behind(self, named: Option<Arc<dyn Pinner>>) -> Arc<dyn Pinner> {
        let found = Arc::new(self.0);
        match named {
            None => found,
            Some(named) => Arc::new(Layered::builder().source(named).keeper(found).build()),
        }
    }
}

impl RoutingArgs {
    /// Whether routers are named.
    pub(crate) fn is_given(&self) -> bool {
        !self.routing.is_empty()
    }

    /// Returns what routers find, if any are named. Records of names come from `gateways` too.
    pub(crate) fn open(
        &self,
        gateways: &[Endpoint],
        block_deadline: Duration,
    ) -> anyhow::Result<Option<Found>> {
        if self.routing.is_empty() {
            return match self.routing_loopback {
                true => Err(Usage::invalid(
                    "--routing-loopback has no effect without --routing; add --routing URL",
                )),
                false => Ok(None),
            };
        }
        let mut routing = Routing::builder();
        if self.routing_loopback {
            routing = routing.allow_loopback();
        }
        for router in &self.routing {
            routing = routing.router(router.clone());
        }
        let routing = routing.build().map_err(|error| match error {
            RoutingError::NotEncrypted { .. } => Usage::invalid(format!("--routing: {error}")),
            error => anyhow::Error::new(error).context("--routing cannot be used"),
        })?;
        let names = resolver(gateways, block_deadline).routing(routing.clone());
        let names = names.build().context("--routing cannot be used")?;
        let mut found = RoutedPinner::builder(routing)
            .names(names)
            .deadline(block_deadline);
        if self.routing_loopback {
            let loopback = Addresses::InternetAnd(|address| address.is_loopback());
            found = found.addresses(loopback);
        }
        Ok(Some(Found(found.build())))
    }
}

/// Lets the records that `gateways` have resolve names of keys.
pub(crate) fn with_names(
    pinner: Arc<dyn Pinner>,
    gateways: &[Endpoint],
    block_deadline: Duration,
) -> anyhow::Result<Arc<dyn Pinner>> {
    match resolver(gateways, block_deadline).build() {
        Ok(names) => Ok(Arc::new(WithNames::new(pinner, names))),
        // None of them is asked for records.
        Err(RoutingError::Nobody) => Ok(pinner),
        Err(error) => Err(anyhow::Error::new(error).context("--gateway cannot be used")),
    }
}

/// A resolver over those of the gateways that are asked for records: by https, or on this machine.
fn resolver(
    gateways: &[Endpoint],
    block_deadline: Duration,
) -> pinner_routing::IpnsResolverBuilder {
    let builder = IpnsResolver::builder()
        .allow_loopback()
        // Beside the kept blocks, in the directory that is closed to others.
        .keep_in(LockDir::default_path().join("ipns"))
        .deadline(block_deadline);
    let asked = gateways
        .iter()
        .filter(|gateway| gateway.is_https() || (gateway.is_local() && gateway.socket().is_none()));
    asked.fold(builder, |builder, gateway| builder.gateway(gateway.clone()))
}
