//! A Kubo node: the flags that name one, its credentials, and the connection.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use pinner_api::Pinner;
use pinner_kubo::{Auth, Endpoint, GatewayChoice, KuboError, KuboPinner};

use crate::{source::credentials, usage::Usage};

/// The environment variable with the credentials, unless they are in a file.
const AUTH_VARIABLE: &str = "WASI_IPFS_KUBO_AUTH";

/// A Kubo node.
#[derive(Args, Debug)]
pub(crate) struct KuboArgs {
    /// A Kubo node, by its RPC: a multiaddr (/ip4/127.0.0.1/tcp/5001, /unix/run/kubo.sock), a URL, or host:port.
    /// Without an address the node is found as `ipfs` finds it, by $IPFS_PATH or ~/.ipfs
    #[arg(long, value_name = "ADDR", require_equals = true)]
    kubo: Option<Option<Endpoint>>,

    /// How blocks come from the node: `auto`, through its own gateway if it proves to have one, which is twice as
    /// fast; `off`, through the RPC alone; or the address of the node's gateway
    #[arg(long, value_name = "auto|off|ADDR", value_parser = parse_gateway)]
    kubo_gateway: Option<GatewayChoice>,

    /// A file with the credentials for the node's RPC: bearer:TOKEN or basic:USER:PASSWORD. The environment variable
    /// WASI_IPFS_KUBO_AUTH can hold them too
    #[arg(long, value_name = "FILE")]
    kubo_auth_file: Option<PathBuf>,

    /// Refused: see [`Dropped`].
    #[arg(long, hide = true)]
    kubo_auth: Option<Dropped>,

    /// Trust the certificates in this file (PEM) for a node's https, beside those that the system trusts. May be given
    /// several times
    #[arg(long, value_name = "FILE")]
    kubo_ca: Vec<PathBuf>,
}

/// The value of a flag that is refused. It is dropped, since it may be a secret.
#[derive(Clone, Debug)]
struct Dropped;

impl FromStr for Dropped {
    type Err = Infallible;

    fn from_str(_: &str) -> Result<Self, Self::Err> {
        Ok(Self)
    }
}

fn parse_gateway(text: &str) -> Result<GatewayChoice, String> {
    match text {
        "auto" => Ok(GatewayChoice::Auto),
        "off" => Ok(GatewayChoice::Off),
        address => match address.parse() {
            Ok(endpoint) => Ok(GatewayChoice::At(endpoint)),
            Err(error) => Err(format!(
                "expected auto, off, or the address of a gateway: {error}"
            )),
        },
    }
}

impl KuboArgs {
    /// Its line in the list of sources.
    pub(crate) const SUMMARY: &str =
        "  --kubo[=ADDR]   a Kubo node: the one that `ipfs` talks to, or the one at an address\n";

    /// Whether the flags ask for a node.
    pub(crate) fn wanted(&self) -> bool {
        self.kubo.is_some()
    }

    /// Refuses the flags about a node if no node is asked for.
    pub(crate) fn refuse_unused(&self) -> anyhow::Result<()> {
        self.refuse_secrets()?;
        let unused = [
            (self.kubo_gateway.is_some(), "--kubo-gateway"),
            (self.kubo_auth_file.is_some(), "--kubo-auth-file"),
            (!self.kubo_ca.is_empty(), "--kubo-ca"),
        ];
        match unused.iter().find(|(is_given, _)| *is_given) {
            Some((_, flag)) if self.kubo.is_none() => Err(Usage::invalid(format!(
                "{flag} has no effect without --kubo; add --kubo"
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses credentials on the command line.
    fn refuse_secrets(&self) -> anyhow::Result<()> {
        match self.kubo_auth {
            Some(Dropped) => Err(Usage::invalid(
                "--kubo-auth is refused, since other users of this machine can read the command line; put bearer:TOKEN or basic:USER:PASSWORD in a file (--kubo-auth-file), or in WASI_IPFS_KUBO_AUTH",
            )),
            None => Ok(()),
        }
    }

    /// Connects to the named node, or else to the one that runs on `repository`, or that `ipfs` would find. Blocks are
    /// read from the files of `repository` first. `block_deadline` is the longest that a block may take.
    pub(crate) async fn connect(
        &self,
        repository: Option<&Path>,
        block_deadline: Duration,
    ) -> anyhow::Result<Arc<dyn Pinner>> {
        self.refuse_secrets()?;
        let mut builder = KuboPinner::builder()
            .auth(self.auth()?)
            .gateway(self.kubo_gateway.clone().unwrap_or_default())
            .block_deadline(block_deadline);
        if let Some(Some(address)) = &self.kubo {
            builder = builder.address(address.clone());
        }
        if let Some(repository) = repository {
            builder = builder.repo(repository).read_files(repository);
        }
        for certificate in credentials::trusted(&self.kubo_ca)? {
            builder = builder.trust(certificate);
        }
        match builder.connect().await {
            Ok(node) => Ok(Arc::new(node)),
            Err(error) => {
                let hint = hint(&error, repository);
                let error = anyhow::Error::new(error);
                Err(anyhow::anyhow!("{error:#} ({hint})"))
            }
        }
    }

    fn auth(&self) -> anyhow::Result<Auth> {
        match credentials::find(self.kubo_auth_file.as_deref(), AUTH_VARIABLE)? {
            None => Ok(Auth::None),
            Some(found) => credentials::parse(found.text.trim()).ok_or_else(|| found.invalid()),
        }
    }
}

/// Returns which flag helps.
fn hint(error: &KuboError, repository: Option<&Path>) -> &'static str {
    match error {
        KuboError::Repository(_) => "or leave --kubo-repo out",
        KuboError::NoAddress { .. } if repository.is_some() => {
            "without --kubo, --kubo-repo reads the repository alone; or pass another address with --kubo=ADDR"
        }
        KuboError::Refused { .. } => {
            "pass credentials in WASI_IPFS_KUBO_AUTH=bearer:TOKEN or with --kubo-auth-file"
        }
        _ => "pass another address with --kubo=ADDR",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_the_blocks() {
        assert_eq!(parse_gateway("auto"), Ok(GatewayChoice::Auto));
        assert_eq!(parse_gateway("off"), Ok(GatewayChoice::Off));
        assert!(matches!(
            parse_gateway("http://127.0.0.1:8080"),
            Ok(GatewayChoice::At(_))
        ));
        let error = parse_gateway("sometimes").expect_err("neither");
        assert!(error.contains("auto, off"), "{error}");
    }
}
