//! A Kubo node: the flags that name one, its credentials, and the connection.
//!
//! Invariant: credentials are never shown, wherever they came from. A message about invalid credentials does not
//! repeat them.

use std::{fmt, path::Path, str::FromStr, sync::Arc, time::Duration};

use clap::Args;
use pinner_api::Pinner;
use pinner_kubo::{Auth, Endpoint, GatewayChoice, KuboError, KuboPinner};

use crate::usage::Usage;

/// The environment variable with the credentials, unless they are on the command line.
const AUTH_VARIABLE: &str = "WASI_IPFS_KUBO_AUTH";

/// The form of credentials, for messages.
const AUTH_FORMS: &str = "expected bearer:TOKEN or basic:USER:PASSWORD";

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

    /// Credentials for the node's RPC: bearer:TOKEN or basic:USER:PASSWORD. Other users of this machine can read the
    /// command line, so prefer the environment variable WASI_IPFS_KUBO_AUTH
    #[arg(long, value_name = "CREDENTIALS")]
    kubo_auth: Option<Secret>,
}

/// A text that is never shown.
#[derive(Clone)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    /// Accepts anything: clap would repeat an invalid value in its message.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
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
        let unused = match (&self.kubo, &self.kubo_gateway, &self.kubo_auth) {
            (None, Some(_), _) => "--kubo-gateway",
            (None, None, Some(_)) => "--kubo-auth",
            (Some(_), _, _) | (None, None, None) => return Ok(()),
        };
        Err(Usage::invalid(format!(
            "{unused} has no effect without --kubo; add --kubo"
        )))
    }

    /// Connects to the named node, or else to the one that runs on `repository`, or that `ipfs` would find. Blocks are
    /// read from the files of `repository` first. `block_deadline` is the longest that a block may take.
    pub(crate) async fn connect(
        &self,
        repository: Option<&Path>,
        block_deadline: Duration,
    ) -> anyhow::Result<Arc<dyn Pinner>> {
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
        if let Some(Secret(text)) = &self.kubo_auth {
            return parse_auth(text).ok_or_else(|| {
                Usage::invalid(format!("invalid credentials in --kubo-auth: {AUTH_FORMS}"))
            });
        }
        match std::env::var(AUTH_VARIABLE) {
            Ok(text) if text.is_empty() => Ok(Auth::None),
            Ok(text) => parse_auth(&text).ok_or_else(|| {
                Usage::invalid(format!(
                    "invalid credentials in {AUTH_VARIABLE}: {AUTH_FORMS}"
                ))
            }),
            Err(std::env::VarError::NotPresent) => Ok(Auth::None),
            Err(std::env::VarError::NotUnicode(_)) => Err(Usage::invalid(format!(
                "{AUTH_VARIABLE} is not UTF-8: {AUTH_FORMS}"
            ))),
        }
    }
}

fn parse_auth(text: &str) -> Option<Auth> {
    match text.split_once(':')? {
        ("bearer", token) if !token.is_empty() => Some(Auth::bearer(token)),
        ("basic", pair) => match pair.split_once(':')? {
            ("", _) => None,
            (user, password) => Some(Auth::basic(user, password)),
        },
        _ => None,
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
            "pass credentials in WASI_IPFS_KUBO_AUTH=bearer:TOKEN or with --kubo-auth"
        }
        _ => "pass another address with --kubo=ADDR",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_and_never_shown() {
        let read = |text| parse_auth(text);
        assert!(read("bearer:a:b") == Some(Auth::bearer("a:b")));
        assert!(read("basic:me:p:w") == Some(Auth::basic("me", "p:w")));
        assert!(read("basic:me:") == Some(Auth::basic("me", "")));
        for wrong in [
            "",
            "token",
            "bearer:",
            "basic:me",
            "basic::pw",
            "digest:a:b",
        ] {
            assert!(read(wrong).is_none(), "{wrong:?}");
        }
        let secret: Secret = "bearer:s3cret".parse().expect("anything");
        assert!(!format!("{secret:?}").contains("s3cret"));
    }

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
