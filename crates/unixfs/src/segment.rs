//! Which link names can be path segments.
//!
//! The author of a DAG chooses its names. A name that could be read as a way out of its directory, or that no path can
//! contain, does not exist for a guest (I4). A name longer than 255 bytes is legal in UnixFS and is kept.

/// Returns the name as a path segment; `None` if no path can contain it as one.
pub(crate) fn segment(name: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(name).ok()?;
    let usable = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
    usable.then_some(name)
}
