//! The conformance suite for [`Pinner`](pinner_api::Pinner) backends, written once and run against any of them.
//!
//! The author of a backend writes a fixture, a [`Backend`], and names the function that starts it. Each case then is
//! a test:
//!
//! ```
//! use std::sync::Arc;
//! use pinner_api::Pinner;
//! use pinner_conformance::{Abilities, Backend, Content, FixtureResult};
//! # use pinner_api::{Answer, BlockRequest, PinnerError};
//! # #[derive(Debug)]
//! # struct MyPinner;
//! # impl MyPinner {
//! #     async fn over(_: Content) -> FixtureResult<Self> { Ok(Self) }
//! # }
//! # #[pinner_api::async_trait]
//! # impl Pinner for MyPinner {
//! #     async fn block(&self, request: &BlockRequest) -> Result<Answer, PinnerError> {
//! #         Err(PinnerError::NotFound { cid: *request.cid() })
//! #     }
//! # }
//!
//! struct MyFixture {
//!     pinner: Arc<MyPinner>,
//! }
//!
//! impl MyFixture {
//!     /// A fresh backend over `content`.
//!     async fn start(content: Content) -> FixtureResult<Self> {
//!         let pinner = Arc::new(MyPinner::over(content).await?);
//!         Ok(Self { pinner })
//!     }
//! }
//!
//! #[async_trait::async_trait]
//! impl Backend for MyFixture {
//!     fn pinner(&self) -> Arc<dyn Pinner> {
//!         self.pinner.clone()
//!     }
//! }
//!
//! // In tests/conformance.rs. Several configurations: one module each.
//! pinner_conformance::conformance_tests!(MyFixture::start);
//! # fn main() {}
//! ```
//!
//! Nothing is ever skipped. The suite asserts that the backend refuses what
//! [`Pinner::capabilities`](pinner_api::Pinner::capabilities) denies, with
//! [`Unsupported`](pinner_api::PinnerError::Unsupported), and that what the fixture cannot do agrees with the
//! capabilities.
//!
//! * [`Backend`], [`Content`], [`Abilities`]: the fixture, and the content it is given.
//! * [`Block`], [`Dag`]: the sample content, which no two cases and no two runs share.
//! * [`conformance_tests!`], [`run`], [`all_cases`]: the cases as tests, one case by name, and all of them.
//! * [`Failure`]: the reason why a case failed.

mod backend;
mod cases;
mod dag;
mod failure;
mod suite;

pub use backend::{Abilities, Absence, Backend, Content, Elsewhere, FixtureResult, Oversize};
pub use dag::{Block, Dag};
pub use failure::Failure;
pub use suite::{Case, Start, all_cases, run};
