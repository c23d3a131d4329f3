//! Tests of the suite itself: each case fails on a backend or fixture with the flaw that the case is there to find,
//! and a sound backend passes all cases.

mod broken;

use std::collections::BTreeSet;

use broken::{Broken, Flaw};
use pinner_api::MAX_BLOCK;
use pinner_conformance::{Failure, Start, all_cases};

/// For each flaw, the cases that have to find it. Every case occurs.
const FINDS: &[(Flaw, &[&str])] = &[
    (Flaw::SpoilsCodec(0x55), &["a_raw_block_comes_back"]),
    (Flaw::SpoilsCodec(0x70), &["a_dag_pb_block_comes_back"]),
    (Flaw::SpoilsLength(0), &["an_empty_block_comes_back"]),
    (Flaw::SpoilsLength(1), &["a_block_of_one_byte_comes_back"]),
    (
        Flaw::SpoilsLength(1 << 20),
        &["a_block_of_one_mib_comes_back"],
    ),
    (
        Flaw::SpoilsLength(MAX_BLOCK),
        &["the_largest_block_comes_back"],
    ),
    (Flaw::NoLimit, &["a_block_that_is_too_large_does_not"]),
    (
        Flaw::CodecMatters,
        &[
            "v0_and_v1_of_one_multihash_are_one_block",
            "another_codec_selects_the_same_block",
        ],
    ),
    (
        Flaw::AbsenceAsFailure,
        &[
            "an_absent_block_is_not_found",
            "an_absent_name_is_not_found",
            "an_absent_root_gets_no_pin",
            "an_incomplete_dag_gets_no_recursive_pin",
        ],
    ),
    (
        Flaw::MakesUp,
        &["an_absent_block_is_not_found", "an_absent_root_gets_no_pin"],
    ),
    (
        Flaw::IdentityIsHashed,
        &["an_identity_cid_gives_its_own_data_if_anything"],
    ),
    (Flaw::OriginMatters, &["a_wrong_origin_changes_nothing"]),
    (
        Flaw::MixesUp,
        &["readers_side_by_side_get_what_they_asked_for"],
    ),
    (Flaw::LosesPermits, &["an_abandoned_read_leaves_it_usable"]),
    (
        Flaw::IgnoresDeadlines,
        &[
            "a_request_that_is_late_ends_at_once",
            "a_slow_source_ends_by_the_deadline",
        ],
    ),
    (
        Flaw::DeadlineIsAbsence,
        &[
            "a_request_that_is_late_ends_at_once",
            "a_slow_source_ends_by_the_deadline",
        ],
    ),
    (
        Flaw::DripsForEver,
        &["a_source_that_drips_ends_by_the_deadline"],
    ),
    (
        Flaw::AvoidsEverything,
        &["avoiding_a_source_loses_no_block"],
    ),
    (Flaw::NamesNoLiar, &["a_wrong_answer_is_not_the_end"]),
    (Flaw::AsksTheLiarAgain, &["a_wrong_answer_is_not_the_end"]),
    (Flaw::ForgetsVerdicts, &["a_wrong_answer_is_not_the_end"]),
    (
        Flaw::VerdictPanics,
        &["a_verdict_neither_panics_nor_blocks"],
    ),
    (
        Flaw::VerdictBlocks,
        &["a_verdict_neither_panics_nor_blocks"],
    ),
    (
        Flaw::ServesNothingAtOnce,
        &["the_concurrency_is_at_least_one_and_stays"],
    ),
    (
        Flaw::FetchesNothing,
        &[
            "what_lies_elsewhere_comes_back",
            "a_recursive_pin_completes_the_dag",
        ],
    ),
    (
        Flaw::PinsDespiteDenial,
        &["what_is_denied_is_refused", "two_holders_are_counted"],
    ),
    (
        Flaw::ListsTwice,
        &["pinning_twice_is_pinning_once", "pins_lists_each_pair_once"],
    ),
    (Flaw::ListsOneHolder, &["pins_lists_each_pair_once"]),
    (Flaw::ListsOneDepth, &["a_pair_has_one_pin_of_each_depth"]),
    (Flaw::ListsForeign, &["a_foreign_pin_is_never_touched"]),
    (
        Flaw::ListingLocks,
        &["an_abandoned_listing_leaves_it_usable"],
    ),
    (
        Flaw::UnpinWantsAPin,
        &["unpinning_what_is_not_pinned_is_fine"],
    ),
    (Flaw::NormalisesRoots, &["v0_and_v1_are_two_roots"]),
    (
        Flaw::LazyIsRecursive,
        &[
            "a_lazy_pin_fetches_no_more_than_its_root",
            "a_lazy_pin_keeps_what_arrives_later",
        ],
    ),
    (
        Flaw::RecursiveIsLazy,
        &[
            "a_recursive_pin_completes_the_dag",
            "an_incomplete_dag_gets_no_recursive_pin",
            "a_failed_pin_leaves_the_pins_of_others",
        ],
    ),
    (
        Flaw::OnePinARoot,
        &[
            "two_holders_are_counted",
            "pins_lists_each_pair_once",
            "many_holders_are_counted",
            "a_failed_pin_leaves_the_pins_of_others",
        ],
    ),
    (
        Flaw::TakesOutFirst,
        &["an_abandoned_pin_leaves_the_pins_of_others"],
    ),
    (
        Flaw::ReleasesAllFirst,
        &["an_abandoned_unpin_leaves_the_pins_of_others"],
    ),
    (Flaw::ReadsThenWrites, &["pins_side_by_side_all_count"]),
    (
        Flaw::CollectsNothing,
        &[
            "what_nobody_pins_is_collected",
            "two_holders_are_counted",
            "many_holders_are_counted",
            "a_shared_block_stays_while_one_root_is_pinned",
        ],
    ),
    (
        Flaw::CollectsAll,
        &[
            "a_lazy_pin_keeps_what_is_there",
            "a_lazy_pin_keeps_what_arrives_later",
            "a_foreign_pin_is_never_touched",
            "a_shared_block_stays_while_one_root_is_pinned",
        ],
    ),
    (
        Flaw::LazyStopsCollector,
        &["a_lazy_pin_of_an_incomplete_dag_lets_the_collection_pass"],
    ),
    (Flaw::ReleasesForeign, &["a_foreign_pin_is_never_touched"]),
    (
        Flaw::ClaimsToCollect,
        &["the_fixture_agrees_with_the_capabilities"],
    ),
    (Flaw::NamesLosePath, &["a_name_resolves"]),
    (Flaw::NamesMakeUp, &["an_absent_name_is_not_found"]),
];

async fn failing_cases(flaw: Flaw) -> Vec<(&'static str, Failure)> {
    let mut failing = Vec::new();
    for case in all_cases() {
        if let Err(failure) = case
            .check(Start::new(move |content| Broken::over(flaw, content)))
            .await
        {
            failing.push((case.name, failure));
        }
    }
    failing
}

#[tokio::test]
async fn a_sound_backend_passes() {
    let failing = failing_cases(Flaw::None).await;
    assert!(failing.is_empty(), "{failing:?}");
}

#[tokio::test]
async fn each_flaw_is_found_by_the_cases_that_are_there_for_it() {
    let mut missed = Vec::new();
    for (flaw, cases) in FINDS {
        let failing = failing_cases(*flaw).await;
        println!("{flaw:?}:");
        for (name, failure) in &failing {
            println!("    {name}: {failure}");
        }
        for case in *cases {
            let found = failing.iter().any(|(name, _)| name == case);
            if !found {
                missed.push((flaw, case));
            }
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn every_case_is_known_to_find_something() {
    let named: BTreeSet<_> = FINDS
        .iter()
        .flat_map(|(_, cases)| *cases)
        .copied()
        .collect();
    let all: BTreeSet<_> = all_cases().map(|case| case.name).collect();
    assert_eq!(named, all);
}

#[tokio::test]
async fn a_flaw_of_the_fixture_is_told_from_one_of_the_backend() {
    let failing = failing_cases(Flaw::LazyStopsCollector).await;
    assert!(
        failing
            .iter()
            .any(|(_, f)| matches!(f, Failure::Fixture { .. }))
    );
    let failing = failing_cases(Flaw::ClaimsToCollect).await;
    assert!(
        failing
            .iter()
            .all(|(_, f)| matches!(f, Failure::Disagrees(_)))
    );
}

#[test]
#[should_panic(expected = "an_absent_block_is_not_found: the backend breaks its contract")]
fn a_test_of_the_macro_panics_with_what_is_wrong() {
    pinner_conformance::run("an_absent_block_is_not_found", |content| {
        Broken::over(Flaw::MakesUp, content)
    });
}
