//! The files of a staging directory, as `docs/staging-format.md` describes them. Each module owns one file or one kind
//! of file, and none knows in which order the others are written; `commit`, `evict` and `resume` decide the order.

pub(crate) mod files;
pub(crate) mod index;
pub(crate) mod journal;
pub(crate) mod layout;
pub(crate) mod record;
pub(crate) mod shares;
pub(crate) mod slots;
pub(crate) mod sweep;
