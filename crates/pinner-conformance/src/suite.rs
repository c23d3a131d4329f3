//! The cases as tests: the list of them, the macro that expands it, and the function that runs one.
//!
//! Knows how a case is started and stopped, not what any of them asserts.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use crate::{Backend, Content, Failure, FixtureResult, cases, failure::Outcome};

/// How long a case may take before it counts as hanging: far longer than any backend's own deadlines.
const HANGS_AFTER: Duration = Duration::from_secs(300);

type Starter = dyn Fn(Content) -> BoxFuture<'static, FixtureResult<Box<dyn Backend>>> + Send + Sync;

/// A function that starts a fixture over some content.
#[derive(Clone)]
pub struct Start(Arc<Starter>);

impl Start {
    /// Wraps an `async fn` or closure that takes the [`Content`] and returns the fixture.
    pub fn new<F, R, B>(start: F) -> Self
    where
        F: Fn(Content) -> R + Send + Sync + 'static,
        R: Future<Output = FixtureResult<B>> + Send + 'static,
        B: Backend,
    {
        Self(Arc::new(move |content| {
            let started = start(content);
            Box::pin(async move { Ok(Box::new(started.await?) as Box<dyn Backend>) })
        }))
    }

    /// Starts a backend over `content`.
    pub(crate) async fn over(&self, content: Content) -> Outcome<Box<dyn Backend>> {
        (self.0)(content).await.map_err(|source| Failure::Fixture {
            operation: "start the backend",
            source,
        })
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Start(..)")
    }
}

/// One case of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The name of the case, which is also the name of its test.
    pub name: &'static str,
    run: fn(Start) -> BoxFuture<'static, Outcome>,
}

impl Case {
    /// Runs the case against a backend that `start` starts, on the caller's runtime (tokio, with its timers).
    ///
    /// # Errors
    /// The fault of the backend or of the fixture; [`Failure::Hangs`] after five minutes.
    pub async fn check(&self, start: Start) -> Result<(), Failure> {
        match tokio::time::timeout(HANGS_AFTER, (self.run)(start)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::Hangs {
                seconds: HANGS_AFTER.as_secs(),
            }),
        }
    }
}

/// Runs the case called `name` on a runtime of its own, as the tests of [`conformance_tests!`] do.
///
/// # Panics
/// If the case fails, with the failure.
///
/// [`conformance_tests!`]: crate::conformance_tests
pub fn run<F, R, B>(name: &str, start: F)
where
    F: Fn(Content) -> R + Send + Sync + 'static,
    R: Future<Output = FixtureResult<B>> + Send + 'static,
    B: Backend,
{
    let case = all_cases()
        .find(|case| case.name == name)
        .unwrap_or_else(|| panic!("the suite has no case '{name}'"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a tokio runtime");
    // On a worker, as a host's calls are, so that tasks that the fixture spawns run beside it.
    let outcome = runtime.block_on(async {
        runtime
            .spawn(async move { case.check(Start::new(start)).await })
            .await
            .unwrap_or_else(|stopped| std::panic::resume_unwind(stopped.into_panic()))
    });
    if let Err(failure) = outcome {
        panic!("{name}: {}", with_causes(&failure));
    }
}

/// Every case, in the order of reading.
pub fn all_cases() -> impl Iterator<Item = &'static Case> {
    CASES.iter()
}

/// An error's message and those of its causes.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}

const CASES: &[Case] = crate::__each_case!(__list_cases, ());

/// Makes each case of the suite a `#[test]` of its own. The expression is an `async fn` or closure from [`Content`]
/// to a [`FixtureResult`] of a [`Backend`]; each test runs against a backend that it starts.
///
/// Each test has a runtime of its own (tokio, two workers). To test several configurations of one backend, put each
/// into a module:
///
/// ```text
/// mod recursive_only {
///     pinner_conformance::conformance_tests!(|content| super::start(Kind::RecursiveOnly, content));
/// }
/// ```
///
/// A fixture may need something that is not on every machine, such as a server. It says so with `if`: where the
/// condition is false, the tests end at once. The condition has to tell the reader of the tests' output, in a line
/// that starts with `NOT RUN: `.
///
/// ```text
/// pinner_conformance::conformance_tests!(start, if server_is_there());
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($start:expr $(,)?) => {
        $crate::__each_case!(__expand_tests, ($start, true));
    };
    ($start:expr, if $there:expr $(,)?) => {
        $crate::__each_case!(__expand_tests, ($start, $there));
    };
}

/// The one list of cases, handed to `$callback` with `$arguments`.
#[doc(hidden)]
#[macro_export]
macro_rules! __each_case {
    ($callback:ident, $arguments:tt) => {
        $crate::$callback! {
            $arguments;
            fixture::the_fixture_agrees_with_the_capabilities,
            reading::a_raw_block_comes_back,
            reading::a_dag_pb_block_comes_back,
            reading::an_empty_block_comes_back,
            reading::a_block_of_one_byte_comes_back,
            reading::a_block_of_one_mib_comes_back,
            reading::the_largest_block_comes_back,
            reading::a_block_that_is_too_large_does_not,
            reading::v0_and_v1_of_one_multihash_are_one_block,
            reading::another_codec_selects_the_same_block,
            reading::an_absent_block_is_not_found,
            reading::an_identity_cid_gives_its_own_data_if_anything,
            reading::a_wrong_origin_changes_nothing,
            reading::what_lies_elsewhere_comes_back,
            reading::readers_side_by_side_get_what_they_asked_for,
            reading::an_abandoned_read_leaves_it_usable,
            requests::a_request_that_is_late_ends_at_once,
            requests::a_slow_source_ends_by_the_deadline,
            requests::a_source_that_drips_ends_by_the_deadline,
            requests::avoiding_a_source_loses_no_block,
            requests::a_wrong_answer_is_not_the_end,
            requests::a_verdict_neither_panics_nor_blocks,
            requests::the_concurrency_is_at_least_one_and_stays,
            pinning::what_is_denied_is_refused,
            pinning::pinning_twice_is_pinning_once,
            pinning::unpinning_what_is_not_pinned_is_fine,
            pinning::pins_lists_each_pair_once,
            pinning::a_pair_has_one_pin_of_each_depth,
            pinning::v0_and_v1_are_two_roots,
            pinning::a_lazy_pin_fetches_no_more_than_its_root,
            pinning::a_recursive_pin_completes_the_dag,
            pinning::an_incomplete_dag_gets_no_recursive_pin,
            pinning::an_absent_root_gets_no_pin,
            pinning::a_failed_pin_leaves_the_pins_of_others,
            pinning::an_abandoned_pin_leaves_the_pins_of_others,
            pinning::an_abandoned_unpin_leaves_the_pins_of_others,
            pinning::pins_side_by_side_all_count,
            pinning::an_abandoned_listing_leaves_it_usable,
            keeping::what_nobody_pins_is_collected,
            keeping::two_holders_are_counted,
            keeping::many_holders_are_counted,
            keeping::a_shared_block_stays_while_one_root_is_pinned,
            keeping::a_lazy_pin_keeps_what_is_there,
            keeping::a_lazy_pin_keeps_what_arrives_later,
            keeping::a_lazy_pin_of_an_incomplete_dag_lets_the_collection_pass,
            keeping::a_foreign_pin_is_never_touched,
            names::a_name_resolves,
            names::an_absent_name_is_not_found,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __expand_tests {
    (($start:expr, $there:expr); $($group:ident::$name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                if $there {
                    $crate::run(stringify!($name), $start);
                }
            }
        )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __list_cases {
    ((); $($group:ident::$name:ident),* $(,)?) => {
        &[$(Case {
            name: stringify!($name),
            run: |start| Box::pin(cases::$group::$name(start)),
        }),*]
    };
}
