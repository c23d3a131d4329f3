//! Open directories.

use std::sync::Arc;

use crate::{
    error::Error,
    grant::allowance::HandleGuard,
    metadata::{Identity, Kind, Metadata},
    path::{place::Place, root_cid::RootCid},
    pins::lazy::PinGuard,
    session::Session,
    unixfs::Target,
};

/// An open directory. All clones are the same handle.
#[derive(Clone, Debug)]
pub struct Dir {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    session: Session,
    _handle: HandleGuard,
    place: Place,
    metadata: Metadata,
    cid: Option<RootCid>,
    _pin: Option<PinGuard>,
}

impl Dir {
    pub(crate) const NAMESPACE: Metadata = Metadata {
        kind: Kind::Dir,
        len: 0,
        mode: None,
        mtime: None,
    };

    pub(crate) fn new(
        session: &Session,
        handle: HandleGuard,
        place: Place,
        metadata: Metadata,
        pin: Option<PinGuard>,
    ) -> Self {
        let cid = match &place {
            Place::Ipfs | Place::Ipns | Place::Name(_) => None,
            Place::Link(linked) => Some(RootCid::of(&linked.link.target)),
        };
        Self {
            inner: Arc::new(Inner {
                session: session.clone(),
                _handle: handle,
                place,
                metadata,
                cid,
                _pin: pin,
            }),
        }
    }

    /// Opens `/ipfs` itself.
    pub(crate) fn namespace(session: &Session) -> Result<Self, Error> {
        let handle = session.allowance().count_handle()?;
        Ok(Self::new(
            session,
            handle,
            Place::Ipfs,
            Self::NAMESPACE,
            None,
        ))
    }

    /// Opens `/ipns` itself.
    pub(crate) fn names(session: &Session) -> Result<Self, Error> {
        let handle = session.allowance().count_handle()?;
        Ok(Self::new(
            session,
            handle,
            Place::Ipns,
            Self::NAMESPACE,
            None,
        ))
    }

    pub(crate) fn place(&self) -> &Place {
        &self.inner.place
    }

    /// The directory's metadata.
    pub fn metadata(&self) -> Metadata {
        self.inner.metadata
    }

    /// The directory's identity, which is the same for the same content on every host.
    pub fn identity(&self) -> Identity {
        self.inner.place.identity()
    }

    pub(crate) fn target(&self) -> Option<&Target> {
        match &self.inner.place {
            Place::Ipfs | Place::Ipns | Place::Name(_) => None,
            Place::Link(linked) => Some(&linked.link.target),
        }
    }

    /// The directory's CID; `None` for `/ipfs` and `/ipns` themselves.
    pub fn cid(&self) -> Option<&RootCid> {
        self.inner.cid.as_ref()
    }

    pub(super) fn session(&self) -> &Session {
        &self.inner.session
    }
}
