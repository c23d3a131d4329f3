//! Failures of single ranges. They are made where the cause is known, and pass through the object store unchanged.

use std::{error::Error, ops::Range};

use object_store::Error as StoreError;
use pinner_api::PinnerError;

/// A failure that is on its way through the object store.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Failed(pub(crate) PinnerError);

/// The operation, as messages name it.
pub(crate) fn reading(name: &str, range: &Range<u64>) -> String {
    format!("read bytes {} to {} of '{name}'", range.start, range.end)
}

/// The object is not the one that was opened.
pub(crate) fn changed(operation: String) -> PinnerError {
    PinnerError::Corrupt {
        operation,
        reason: "the archive changed after it was opened; open it again".to_owned(),
    }
}

/// The error of an object store about `operation`.
pub(crate) fn from_store(error: &StoreError, operation: String) -> PinnerError {
    if let Some(Failed(error)) = cause(error) {
        return error.clone();
    }
    // The innermost cause alone: those around it may show a URL with its query.
    let reason = innermost(error).to_string();
    match error {
        StoreError::Precondition { .. } => changed(operation),
        StoreError::PermissionDenied { .. }
        | StoreError::Unauthenticated { .. }
        | StoreError::NotSupported { .. }
        | StoreError::NotImplemented { .. }
        | StoreError::InvalidPath { .. } => PinnerError::Denied { operation, reason },
        StoreError::NotFound { .. } => PinnerError::Unavailable {
            operation: format!("{operation}: it is not there"),
            source: None,
        },
        _ => PinnerError::Corrupt { operation, reason },
    }
}

/// The first error in the chain of causes that is a [`Failed`].
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Failed> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}
