//! Trustless HTTP gateways: the flags that name them, or servers that find them, where else they are named, and their
//! credentials.

use std::{
    env, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use pinner_api::Pinner;
use pinner_gateway::{Auth, Endpoint, GatewayPinner, ParseEndpointError};

use crate::{
    source::{
        credentials::{self, Found},
        routing::{RoutingArgs, with_names},
        unnamed::Unnamed,
    },
    usage::Usage,
};

/// The environment variable with the credentials, unless they are in a file.
const AUTH_VARIABLE: &str = "WASI_IPFS_GATEWAY_AUTH";

/// The environment variable that names a gateway to every program (IPIP-280).
const GATEWAY_VARIABLE: &str = "IPFS_GATEWAY";

/// Gateways.
#[derive(Args, Debug)]
pub(crate) struct GatewayArgs {
    /// A trustless HTTP gateway (`https://trustless-gateway.link`). It need not be trusted: every block is verified.
    /// May be given several times; each is asked if those before it fail. If no source is given at all, it is
    /// $IPFS_GATEWAY, or else the gateway named in $IPFS_PATH/gateway (~/.ipfs/gateway). With --kubo-repo, for blocks
    /// that are not in its files. Not together with --kubo, whose node finds blocks by itself
    #[arg(long, value_name = "URL", conflicts_with = "kubo", value_parser = parse_gateway)]
    gateway: Vec<Endpoint>,

    /// A file with credentials for gateways: lines `URL bearer:TOKEN` or `URL basic:USER:PASSWORD`; without the URL if
    /// there is one gateway. Each is sent to its gateway alone. The variable WASI_IPFS_GATEWAY_AUTH can hold the same
    #[arg(long, value_name = "FILE")]
    gateway_auth_file: Option<PathBuf>,

    /// Trust the certificates in this file (PEM) for https gateways, beside those that the system trusts. May be given
    /// several times
    #[arg(long, value_name = "FILE")]
    gateway_ca: Vec<PathBuf>,

    #[command(flatten)]
    routing: RoutingArgs,
}

impl GatewayArgs {
    /// Its lines in the list of sources.
    pub(crate) const SUMMARY: &str =
        "  --gateway URL   a trustless HTTP gateway; or set IPFS_GATEWAY
  --routing URL   a server of delegated routing, which finds gateways\n";

    /// Returns the gateways as one backend, if there are any: those that are named, and then those that are found.
    /// `block_deadline` is the longest that a block, or a name, may take.
    pub(crate) fn open(
        &self,
        block_deadline: Duration,
        unnamed: Unnamed,
    ) -> anyhow::Result<Option<Arc<dyn Pinner>>> {
        let gateways = match (self.gateway.is_empty(), unnamed) {
            (false, _) => self.gateway.clone(),
            (true, Unnamed::Found) if !self.routing.is_given() => found()?.into_iter().collect(),
            (true, Unnamed::Found | Unnamed::Nothing) => Vec::new(),
        };
        let named = self.named(&gateways, block_deadline)?;
        match self.routing.open(&gateways, block_deadline)? {
            None => named
                .map(|pinner| with_names(pinner, &gateways, block_deadline))
                .transpose(),
            Some(found) => Ok(Some(found.behind(named))),
        }
    }

    /// The gateways that are named, as one backend.
    fn named(
        &self,
        gateways: &[Endpoint],
        block_deadline: Duration,
    ) -> anyhow::Result<Option<Arc<dyn Pinner>>> {
        if gateways.is_empty() {
            return self.refuse_unused().map(|()| None);
        }
        let mut builder = GatewayPinner::builder().deadline(block_deadline);
        for certificate in credentials::trusted(&self.gateway_ca)? {
            builder = builder.trust(certificate);
        }
        let file = self.gateway_auth_file.as_deref();
        let secrets = match credentials::find(file, AUTH_VARIABLE)? {
            Some(found) => Secrets::parse(&found)?,
            None => Secrets::default(),
        };
        for gateway in gateways {
            let auth = secrets.of(gateway, gateways.len())?;
            builder = builder.gateway_with(gateway.clone(), auth);
        }
        let gateways = builder.build().context("--gateway cannot be used")?;
        Ok(Some(Arc::new(gateways)))
    }

    /// Refuses the flags about gateways, where there are none.
    fn refuse_unused(&self) -> anyhow::Result<()> {
        let unused = [
            (self.gateway_auth_file.is_some(), "--gateway-auth-file"),
            (!self.gateway_ca.is_empty(), "--gateway-ca"),
        ];
        match unused.iter().find(|(is_given, _)| *is_given) {
            Some((_, flag)) => Err(Usage::invalid(format!(
                "{flag} has no effect without a gateway; add --gateway URL"
            ))),
            None => Ok(()),
        }
    }
}

/// Parses a gateway's address. Many write it with the path that requests begin with, `https://example.org/ipfs/`.
fn parse_gateway(text: &str) -> Result<Endpoint, ParseEndpointError> {
    let text = text.trim();
    let bare = text.trim_end_matches('/');
    // A multiaddr that begins with a slash has no such path.
    match bare.strip_suffix("/ipfs") {
        Some(bare) if text.contains("://") => bare.parse(),
        Some(_) | None => text.parse(),
    }
}

/// The gateway that this machine names to every program.
fn found() -> anyhow::Result<Option<Endpoint>> {
    let parse = |text: &str, place: &str| {
        let gateway = parse_gateway(text);
        gateway.map_err(|error| Usage::invalid(format!("{place}: {error}")))
    };
    if let Some(text) = env::var_os(GATEWAY_VARIABLE).filter(|text| !text.is_empty()) {
        return parse(&text.to_string_lossy(), GATEWAY_VARIABLE).map(Some);
    }
    let repo = match env::var_os("IPFS_PATH").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => match env::var_os("HOME") {
            Some(home) => Path::new(&home).join(".ipfs"),
            None => return Ok(None),
        },
    };
    let file = repo.join("gateway");
    let place = format!("'{}'", file.display());
    match std::fs::read_to_string(&file) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => parse(&text, &place).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(anyhow::Error::new(error).context(format!("cannot read {place}"))),
    }
}

/// The credentials of gateways.
#[derive(Default)]
struct Secrets {
    /// With the gateway that they are for, if the line names one.
    all: Vec<(Option<Endpoint>, Auth)>,
    /// Where they were found, for messages.
    place: String,
}

impl Secrets {
    fn parse(found: &Found) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        let lines = found.text.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            // A password may hold spaces.
            if let Some(auth) = credentials::parse(line) {
                all.push((None, auth));
                continue;
            }
            let (url, rest) = line
                .split_once(char::is_whitespace)
                .ok_or_else(|| found.invalid())?;
            // The error would show the text, which may be a secret in the wrong place.
            let url = parse_gateway(url).map_err(|_| found.invalid())?;
            let auth = credentials::parse(rest.trim()).ok_or_else(|| found.invalid())?;
            all.push((Some(url), auth));
        }
        Ok(Self {
            all,
            place: found.place.clone(),
        })
    }

    /// The credentials of one of `gateways`.
    fn of(&self, gateway: &Endpoint, gateways: usize) -> anyhow::Result<Auth> {
        let named = self
            .all
            .iter()
            .find(|(url, _)| url.as_ref() == Some(gateway));
        if let Some((_, auth)) = named {
            return Ok(auth.clone());
        }
        match self.all.iter().find(|(url, _)| url.is_none()) {
            Some(_) if gateways > 1 => Err(Usage::invalid(format!(
                "{} has credentials that could be for any of {gateways} gateways; put the URL of one in front of them",
                self.place
            ))),
            Some((_, auth)) => Ok(auth.clone()),
            None => Ok(Auth::None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(text: &str) -> anyhow::Result<Secrets> {
        Secrets::parse(&Found {
            text: text.to_owned(),
            place: "there".to_owned(),
        })
    }

    #[test]
    fn gateways_are_named_with_their_path_or_without() {
        let plain: Endpoint = "https://h.example".parse().expect("an address");
        for text in [
            "https://h.example",
            "https://h.example/",
            "https://h.example/ipfs",
            "https://h.example/ipfs/",
            " https://h.example/ipfs\n",
        ] {
            assert_eq!(parse_gateway(text).expect(text), plain);
        }
        let below = parse_gateway("https://h.example/ipfs/x").expect("a path");
        assert_eq!(below.to_string(), "https://h.example/ipfs/x");
        assert!(
            parse_gateway("/unix/run/ipfs")
                .expect("a socket")
                .is_local()
        );
    }

    #[test]
    fn credentials_go_to_their_own_gateway() {
        let a: Endpoint = "https://a.example".parse().expect("an address");
        let b: Endpoint = "https://b.example".parse().expect("an address");
        let both = secrets("# mine\n\nhttps://a.example/ipfs/ bearer:x\n").expect("right");
        assert!(both.of(&a, 2).expect("one") == Auth::bearer("x"));
        assert!(both.of(&b, 2).expect("none") == Auth::None);
        let one = secrets("basic:me:a b\n").expect("right");
        assert!(one.of(&a, 1).expect("one") == Auth::basic("me", "a b"));
        let error = one.of(&a, 2).expect_err("whose?").to_string();
        assert!(error.contains("there") && !error.contains("a b"), "{error}");
        for wrong in ["t0ken", "https://a.example t0ken", "t0ken bearer:x"] {
            let error = secrets(wrong).err().expect(wrong).to_string();
            assert!(
                error.contains("there") && !error.contains("t0ken"),
                "{error}"
            );
        }
    }
}
