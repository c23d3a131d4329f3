//! CAR archives in object storage as a [`Pinner`](pinner_api::Pinner): over `https`, in S3, or in any
//! [`ObjectStore`](object_store::ObjectStore) of the host's. Blocks are read by ranges, when they are asked for.
//!
//! # Opening
//!
//! 1. `address`: the URL of an archive ([`ArchiveUrl`]); `store` makes the object store for it, over `service`, which is
//!    [`pinner_http`] with its limits and deadlines.
//! 2. `object`: the first range. It has the archive's size, its ETag and its header. From then on, each range must be of
//!    the same version.
//! 3. `index_v2`: the index at the end of a CARv2, if there is one. Without one that can be read, `kept` looks for the
//!    result of an earlier scan, and else `scan` reads the whole archive once.
//!
//! # Reading a block
//!
//! 1. `places`: multihash to offset and length. With the index of a CARv2, the length is only known not to reach beyond
//!    the next section, so the `section` is parsed, and must name the block that was asked for.
//! 2. `reader`: the ranges that are waited for. Those that lie near each other become one request, and several requests
//!    are made side by side.
//! 3. `pinner`: the bytes are **unverified**, as from every backend.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod address;
mod error;
mod failure;
mod index_v2;
mod kept;
mod little_endian;
mod near;
mod object;
mod open;
mod pinner;
mod places;
mod reader;
mod s3;
mod scan;
mod section;
mod service;
mod store;

pub use address::{ArchiveUrl, ParseArchiveUrlError};
pub use error::RemoteError;
pub use index_v2::{CarIndex, CarIndexEntry, parse_index};
pub use object_store;
pub use open::{RemoteCarBuilder, ScanCost};
pub use pinner::RemoteCarPinner;
pub use s3::{S3Keys, S3Options};
