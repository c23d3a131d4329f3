//! A mutable name with the path that it stood for when it was resolved. The path stays the same from then on.

use pinner_api::Origin;

use crate::{
    error::Error,
    metadata::{Identity, Kind, Metadata},
    path::{ipfs_path::IpfsPath, name::IpnsName, root_cid::RootCid},
};

/// A name, and the path and CID that it stood for when it was resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedName {
    name: IpnsName,
    path: IpfsPath,
    target: RootCid,
}

impl FixedName {
    pub(crate) fn new(name: IpnsName, path: IpfsPath, target: RootCid) -> Self {
        Self { name, path, target }
    }

    /// The name.
    pub fn name(&self) -> &IpnsName {
        &self.name
    }

    /// The immutable path that it stood for, according to the backend.
    pub fn path(&self) -> &IpfsPath {
        &self.path
    }

    /// The CID of the node at the end of that path, which was found by a walk through verified blocks.
    pub fn target(&self) -> &RootCid {
        &self.target
    }

    /// Returns the immutable path of `relative` below the name.
    ///
    /// # Errors
    /// As [`IpfsPath::join`].
    pub fn join(&self, relative: &str) -> Result<IpfsPath, Error> {
        self.path.join(relative)
    }

    /// The target of the link `/ipns/<name>`. It is absolute so that a guest's `realpath` works: with a relative target
    /// it would look up a `..` that leaves the preopened directory.
    pub(crate) fn link_target(&self) -> String {
        format!("/ipfs/{}", self.target)
    }

    pub(crate) fn metadata(&self) -> Metadata {
        Metadata {
            kind: Kind::Symlink,
            len: self.link_target().len() as u64,
            mode: None,
            mtime: None,
        }
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity::of_bytes(format!("/ipns/{} {}", self.name, self.target).as_bytes())
    }

    /// The origin that requests for the target's blocks name: the path that the backend itself returned, since the
    /// backend knows its providers.
    pub(crate) fn origin(&self) -> Origin {
        self.path.origin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CID: &str = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";

    #[test]
    fn what_is_below_a_name_is_below_its_path() {
        let fixed = |path: &str| FixedName {
            name: "example.org".parse().unwrap(),
            path: path.parse().unwrap(),
            target: CID.parse().unwrap(),
        };
        for (path, rest, below) in [
            (format!("/ipfs/{CID}"), "", format!("/ipfs/{CID}")),
            (format!("/ipfs/{CID}"), "a/b", format!("/ipfs/{CID}/a/b")),
            (format!("/ipfs/{CID}/x"), "", format!("/ipfs/{CID}/x")),
            (format!("/ipfs/{CID}/x"), "a", format!("/ipfs/{CID}/x/a")),
        ] {
            assert_eq!(fixed(&path).join(rest).unwrap().to_string(), below);
        }
    }
}
