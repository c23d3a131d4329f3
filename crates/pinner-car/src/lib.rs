//! CAR files as a [`Pinner`](pinner_api::Pinner), and local files as CAR files: a source of blocks embedded in the
//! program, with no daemon and no network.
//!
//! # Reading
//!
//! [`CarPinner`] opens one or several CARv1 or CARv2 files. These are the steps of reading a block:
//!
//! 1. `scan`: one pass over the section headers of a file when it is opened. No block's bytes are read.
//! 2. `index`: multihash to (file, offset, length). Memory grows with the number of blocks, not with their size.
//! 3. `pinner`: a look-up and one positioned read. The bytes are **unverified**, as from every backend.
//!
//! A recursive pin walks the DAG (`walk`, along the links that `links` decodes) and is refused unless the DAG is
//! whole. Pins live in the value and protect nothing beyond it: a CAR file loses no block.
//!
//! # Writing
//!
//! 1. [`import`] walks a file or a directory, lets the crate [`unixfs`] cut files into balanced trees and make plain
//!    or sharded directories, and hands every distinct block to a sink, children first. The CID is the one that
//!    `ipfs add` gives with the same options.
//! 2. [`CarWriter`] is such a sink: a CARv1 beside its destination, moved there when it is complete.
//! 3. [`import_to_car`] is the two together. [`import_all`] and [`import_all_to_car`] take several paths.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod defect;
mod error;
mod header;
mod import;
mod index;
mod links;
mod pinner;
mod scan;
mod walk;
mod writer;

pub use defect::{Defect, Defects};
pub use error::CarError;
pub use header::SectionCid;
pub use import::{
    Chunker, ImportOptions, Imported, ImportedAll, ParseChunkerError, Progress, import, import_all,
    import_all_to_car, import_to_car,
};
pub use pinner::{BlockInfo, CarPinner};
pub use scan::{ReadAt, Scanned, Section, Sections, parse_car, scan as scan_car};
pub use unixfs::{ParseProfileError, Profile};
pub use writer::CarWriter;
