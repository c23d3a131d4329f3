//! The mock node: under the conformance suite, its collector, its scripted faults.

mod collection;
mod conformance;
mod faults;

use pinner_api::Holder;

fn holder() -> Holder {
    Holder::new([1; 8], [2; 16])
}
