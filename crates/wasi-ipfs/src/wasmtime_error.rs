//! wasmtime's errors as the command's own.

/// Returns the error with all that it says.
pub(crate) fn from_wasmtime(error: wasmtime::Error) -> anyhow::Error {
    anyhow::Error::from_boxed(error.into())
}
