//! The gateway that is used if none is named.

/// Where a gateway that no flag names comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unnamed {
    /// From nowhere: there are other sources.
    Nothing,
    /// From what names one to every program on this machine.
    Found,
}
