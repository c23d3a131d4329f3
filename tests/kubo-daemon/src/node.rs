//! The settings of a node, chosen before it starts.

use serde_json::Value;

use crate::{Daemon, Kubo, Networking, Result, settings::Setting};

/// A node to be started. By default it has an RPC and a gateway on free ports of loopback, an empty repository with
/// Kubo's own import defaults, a swarm on loopback without peers, no routing, and no garbage collection except on
/// request.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) kubo: Kubo,
    pub(crate) networking: Networking,
    pub(crate) api: ApiListeners,
    pub(crate) gateway: Gateway,
    pub(crate) authorization: Option<Authorization>,
    pub(crate) profiles: Vec<String>,
    pub(crate) settings: Vec<Setting>,
    pub(crate) arguments: Vec<String>,
}

/// Where the RPC listens. Kubo writes the first address into the repository's file `api`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApiListeners {
    /// On a TCP port.
    #[default]
    Tcp,
    /// On a TCP port, and on a unix socket.
    TcpThenUnix,
    /// On a unix socket, and on a TCP port.
    UnixThenTcp,
}

/// Whether a node has a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Gateway {
    /// It has one.
    #[default]
    Listening,
    /// It has none.
    Absent,
}

/// Who may call the RPC.
#[derive(Clone, Debug)]
pub(crate) struct Authorization {
    pub(crate) name: String,
    pub(crate) secret: String,
    pub(crate) paths: Vec<String>,
}

impl Authorization {
    /// Returns the value of the field `Authorization`.
    pub(crate) fn field(&self) -> String {
        match self.secret.split_once(':') {
            Some(("bearer", token)) => format!("Bearer {token}"),
            Some(("basic", pair)) => format!("Basic {}", base64(pair.as_bytes())),
            Some(_) | None => format!("Bearer {}", self.secret),
        }
    }
}

impl Node {
    pub(crate) fn new(kubo: Kubo) -> Self {
        Self {
            kubo,
            networking: Networking::default(),
            api: ApiListeners::default(),
            gateway: Gateway::default(),
            authorization: None,
            profiles: Vec::new(),
            settings: Vec::new(),
            arguments: Vec::new(),
        }
    }

    /// Removes the swarm: `ipfs daemon --offline`, which cannot fetch anything.
    pub fn offline(mut self) -> Self {
        self.networking = Networking::Offline;
        self
    }

    /// Removes the gateway.
    pub fn without_gateway(mut self) -> Self {
        self.gateway = Gateway::Absent;
        self
    }

    /// Chooses where the RPC listens. [`Daemon::api_url`] is always the TCP address.
    pub fn api_listeners(mut self, listeners: ApiListeners) -> Self {
        self.api = listeners;
        self
    }

    /// Restricts the RPC to callers that send `secret` (`bearer:TOKEN` or `basic:USER:PASSWORD`), and to calls below
    /// `paths` (`/api/v0` covers everything). This crate's own calls send it.
    pub fn api_authorization(mut self, name: &str, secret: &str, paths: &[&str]) -> Self {
        self.authorization = Some(Authorization {
            name: name.to_owned(),
            secret: secret.to_owned(),
            paths: paths.iter().map(ToString::to_string).collect(),
        });
        self
    }

    /// Applies one more profile when the repository is made: `unixfs-v1-2025`, `pebbleds`.
    pub fn profile(mut self, profile: &str) -> Self {
        self.profiles.push(profile.to_owned());
        self
    }

    /// Sets the value at a dotted path of Kubo's configuration: `("Datastore.StorageMax", json!("1GB"))`. It overrides
    /// the settings of this crate, except for the addresses.
    pub fn config(mut self, path: &str, value: impl Into<Value>) -> Self {
        self.settings.push((path.to_owned(), value.into()));
        self
    }

    /// Adds an argument to `ipfs daemon`.
    pub fn daemon_argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Makes the repository, starts the daemon, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not come up; the error holds what it printed.
    pub fn start(self) -> Result<Daemon> {
        Daemon::start(self)
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = (0..3).fold(0, |n, i| n << 8 | u32::from(*three.get(i).unwrap_or(&0)));
        for digit in 0..4 {
            match digit <= three.len() {
                true => text.push(char::from(
                    DIGITS[(number >> (18 - 6 * digit)) as usize % 64],
                )),
                false => text.push('='),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authorization_is_a_field() {
        let field = |secret: &str| {
            let node = Kubo::at("ipfs").node();
            let node = node.api_authorization("me", secret, &["/api/v0"]);
            node.authorization.map(|it| it.field()).unwrap_or_default()
        };
        assert_eq!(field("bearer:abc"), "Bearer abc");
        assert_eq!(field("basic:user:pass"), "Basic dXNlcjpwYXNz");
        assert_eq!(base64(b"a"), "YQ==");
        assert_eq!(base64(b"ab"), "YWI=");
    }
}
