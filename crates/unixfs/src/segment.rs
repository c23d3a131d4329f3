//! Which link names can be path segments.
//!
//! A name comes from whoever wrote the DAG: one that could be read as a way out of its directory, or that no
//! path can spell, is not there for a guest (I4). A name longer than 255 bytes is legal in UnixFS and is kept.

/// The name as a path segment; `None` if no path can have it as one.
pub(crate) fn segment(name: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(name).ok()?;
    let usable = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
    usable.then_some(name)
}
