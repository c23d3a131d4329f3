//! A temporary repository and its settings: `ipfs init` makes it, and the settings are written to its `config`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    Error, Kubo, Node, Result,
    settings::{self, Setting},
};

/// A node's repository. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Repo {
    kubo: Kubo,
    folder: TempDir,
    secret: Option<String>,
}

/// The settings that make a node private and quiet, whatever its profile.
fn private() -> [Setting; 15] {
    let setting = |path: &'static str, value| (path.to_owned(), value);
    [
        setting("AutoConf.Enabled", json!(false)),
        setting("AutoTLS.Enabled", json!(false)),
        setting("Bootstrap", json!([])),
        setting("DNS.Resolvers", json!({})),
        setting("Discovery.MDNS.Enabled", json!(false)),
        setting("Gateway.NoFetch", json!(false)),
        setting("HTTPRetrieval.Enabled", json!(false)),
        setting("Ipns.DelegatedPublishers", json!([])),
        setting("Plugins.Plugins.telemetry.Config.Mode", json!("off")),
        setting("Routing.DelegatedRouters", json!([])),
        setting("Routing.Type", json!("none")),
        setting("Swarm.DisableNatPortMap", json!(true)),
        setting("Swarm.RelayClient.Enabled", json!(false)),
        setting("Swarm.RelayService.Enabled", json!(false)),
        setting("Version.SwarmCheckEnabled", json!(false)),
    ]
}

impl Repo {
    /// Initialises a repository with the settings of `node`.
    pub(crate) fn init(node: &Node) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("kubo-")
            .tempdir()
            .map_err(Error::io("make a folder for a repository"))?;
        let repo = Self {
            kubo: node.kubo.clone(),
            folder,
            secret: node.authorization.as_ref().map(|it| it.secret.clone()),
        };
        let mut profiles = vec!["test"];
        profiles.extend(node.profiles.iter().map(String::as_str));
        let profiles = format!("--profile={}", profiles.join(","));
        repo.run(&["init", &profiles], None)?;

        let mut settings: Vec<Setting> = private().into();
        if let Some(authorization) = &node.authorization {
            let path = format!("API.Authorizations.{}", authorization.name);
            let value = json!({
                "AuthSecret": authorization.secret,
                "AllowedPaths": authorization.paths,
            });
            settings.push((path, value));
        }
        settings.extend(node.settings.iter().cloned());
        repo.set(&settings)?;
        Ok(repo)
    }

    /// The path of the repository.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The socket of the RPC, if it has one.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join("rpc.sock")
    }

    /// Sets the values at dotted paths. A running daemon sees them when it starts again.
    pub(crate) fn set(&self, settings: &[Setting]) -> Result<()> {
        settings::change(&self.path().join("config"), settings)
    }

    /// Returns this node's peer ID.
    pub(crate) fn peer_id(&self) -> Result<String> {
        let path = self.path().join("config");
        let config = settings::read(&path)?;
        let id = config["Identity"]["PeerID"].as_str().map(ToOwned::to_owned);
        id.ok_or_else(|| Error::unreadable(path.display().to_string(), "it has no Identity.PeerID"))
    }

    /// Sets this repository in a command's environment, and removes the user's own settings.
    pub(crate) fn environment(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("IPFS_") {
                command.env_remove(name);
            }
        }
        command
            .env("IPFS_PATH", self.path())
            .env("HOME", self.path())
            .env("DO_NOT_TRACK", "1")
            .env("IPFS_TELEMETRY", "off");
    }

    /// Runs the program on this repository, through its daemon if that runs. Returns its output, whatever its status.
    pub(crate) fn output(&self, arguments: &[&str], input: Option<&Path>) -> Result<Output> {
        let mut command = self.command(arguments);
        if let Some(input) = input {
            let file = fs::File::open(input);
            command.stdin(file.map_err(Error::io(format!("open {}", input.display())))?);
        }
        let output = command.output();
        output.map_err(Error::io(format!(
            "start {}",
            self.kubo.program().display()
        )))
    }

    /// Does the same, but any status other than success is an error.
    pub(crate) fn run(&self, arguments: &[&str], input: Option<&Path>) -> Result<Vec<u8>> {
        let output = self.output(arguments, input)?;
        if !output.status.success() {
            return Err(Error::Command {
                command: format!("ipfs {}", arguments.join(" ")),
                status: output.status,
                stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        Ok(output.stdout)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.kubo.program());
        command.stdin(std::process::Stdio::null());
        self.environment(&mut command);
        if let Some(secret) = &self.secret {
            command.arg(format!("--api-auth={secret}"));
        }
        command.args(arguments);
        command
    }
}
