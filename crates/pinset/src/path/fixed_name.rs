//! A mutable name with what it stood for when it was asked for: held fixed from then on.

use pinner_api::Origin;

use crate::{
    error::Error,
    metadata::{Identity, Kind, Metadata},
    path::{ipfs_path::IpfsPath, name::IpnsName, place, root_cid::RootCid},
};

/// A name, and what it stood for when it was asked for.
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

    /// The immutable path that it stood for, as the backend says.
    pub fn path(&self) -> &IpfsPath {
        &self.path
    }

    /// The CID of what is at the end of that path: found through verified blocks from the path's first CID on.
    pub fn target(&self) -> &RootCid {
        &self.target
    }

    /// The immutable path of `relative` below the name.
    ///
    /// # Errors
    /// As [`IpfsPath::join`].
    pub fn join(&self, relative: &str) -> Result<IpfsPath, Error> {
        self.path.join(relative)
    }

    /// Where the link `/ipns/<name>` points. Absolute, so that a guest's `realpath` comes out at the right place: it
    /// would look at the `..` of a relative one, which leaves the preopened directory.
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

    /// Where the target's blocks are asked for: as what the backend itself said, whose providers it knows.
    pub(crate) fn origin(&self) -> Origin {
        place::origin(self.path.root_cid(), self.path.rest())
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
