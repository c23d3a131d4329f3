//! Open directories.

use std::sync::Arc;

use cid::Cid;

use crate::{
    block::cid_of,
    error::Error,
    grant::allowance::HandleGuard,
    metadata::{Identity, Kind, Metadata},
    path::place::Place,
    pins::lazy::PinGuard,
    session::Session,
    unixfs::Target,
};

/// An open directory. All clones are one handle.
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
    cid: Option<Cid>,
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
            Place::Link(linked) => Some(cid_of(&linked.link.target)),
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

    /// `/ipfs` itself.
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

    /// `/ipns` itself.
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

    /// What is known of it.
    pub fn metadata(&self) -> Metadata {
        self.inner.metadata
    }

    /// Equal for equal content, and on every host.
    pub fn identity(&self) -> Identity {
        self.inner.place.identity()
    }

    pub(crate) fn target(&self) -> Option<&Target> {
        match &self.inner.place {
            Place::Ipfs | Place::Ipns | Place::Name(_) => None,
            Place::Link(linked) => Some(&linked.link.target),
        }
    }

    /// Its CID, of which an identity CID has at most its first 64 bytes here; none for `/ipfs` and `/ipns` themselves.
    pub fn cid(&self) -> Option<&Cid> {
        self.inner.cid.as_ref()
    }

    pub(super) fn session(&self) -> &Session {
        &self.inner.session
    }
}
