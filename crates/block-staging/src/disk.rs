//! The files of a staging directory, as `docs/staging-format.md` describes them. Each owns one file or one kind of
//! file, and none knows in which order the others are written: that is in `commit`, `evict` and `resume`.

pub(crate) mod files;
pub(crate) mod index;
pub(crate) mod journal;
pub(crate) mod layout;
pub(crate) mod record;
pub(crate) mod slots;
pub(crate) mod sweep;
