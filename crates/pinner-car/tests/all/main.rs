//! The backend and the import, over files of their own. `memory` is a binary of its own: it measures the process.

mod conformance;
mod fixtures;
mod golden;
mod round_trip;
