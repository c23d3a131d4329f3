//! Tests over a mock node that one process can run side by side.
//!
//! None of them starts a process: until a child runs its program, it has copies of its parent's descriptors, and thus
//! also holds the locks that another test expects to be free. Tests that start processes are in the binary `processes`,
//! whose root is beside this one, so that both have `pinsets`.

mod arc_figures;
mod bounds;
mod copying;
mod embedding;
mod ensured;
mod fair;
mod faults;
mod hanging;
mod host;
mod hostile;
mod inline;
mod isolated;
mod names;
mod observed;
mod persistent;
mod pinning;
mod pinsets;
mod power_loss;
mod readahead;
mod reader;
mod reading;
mod reaping;
mod recovery;
mod rot;
mod sharing;
mod stored;
mod whole;
