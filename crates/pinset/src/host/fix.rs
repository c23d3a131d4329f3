//! The resolution of a mutable name: the backend is asked once, and what it says is walked to.

use pinner_api::PinnerError;

use crate::{
    error::Error,
    path::{
        fixed_name::FixedName,
        ipfs_path::{IpfsPath, Symlinks, shown},
        name::IpnsName,
        root_cid::RootCid,
    },
    read::node::Node,
    session::Session,
};

/// Asks the backend what `name` stands for, and walks there with the host's rights.
pub(crate) async fn fix(session: &Session, name: &IpnsName) -> Result<FixedName, Error> {
    let engine = session.engine();
    engine.ensure_open()?;
    let no_names = || Error::NoNames {
        name: name.to_string(),
    };
    let failed = |source| Error::Name {
        name: name.to_string(),
        source,
    };
    let names = engine.pinner.names().ok_or_else(no_names)?;
    let deadline = engine.block_deadline();
    let resolved = tokio::time::timeout(deadline, names.resolve(name.as_str())).await;
    let resolved = resolved.unwrap_or_else(|_| {
        Err(PinnerError::TimedOut {
            operation: format!("resolve {name}"),
            after: deadline,
        })
    });
    let resolved = resolved.map_err(|error| match error {
        PinnerError::Unsupported { .. } => no_names(),
        other => failed(other),
    })?;
    let path = IpfsPath::below(resolved.root, &resolved.path);
    let root = session.root()?;
    let below = path.below_ipfs();
    let found = session.open_at(&root, &below, Symlinks::Follow).await?;
    let target = match found {
        Node::File(file) => Some(RootCid::of(file.target())),
        Node::Dir(dir) => dir.target().map(RootCid::of),
        // coverage: symlinks were followed.
        Node::Symlink(_) => None,
    };
    // The path climbed to /ipfs itself.
    let target = target.ok_or_else(|| {
        failed(PinnerError::Corrupt {
            operation: format!("resolve {name}"),
            reason: format!(
                "{} is neither a file nor a directory",
                shown(&path.to_string())
            ),
        })
    })?;
    Ok(FixedName::new(name.clone(), path, target))
}
