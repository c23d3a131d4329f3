//! Which of the ranges that are waited for become one request. Pure.

use std::ops::Range;

/// The largest gap between two ranges of one request, in bytes. Less than what a line carries while a request is on its
/// way.
const GAP: u64 = 64 * 1024;

/// The largest request for several ranges, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;

/// The places in `ranges` of those that lie near the first of them, itself included, and the range from the start of
/// the earliest to the end of the latest. `None` if there are no ranges.
pub(crate) fn near_the_first(ranges: &[Range<u64>]) -> Option<(Vec<usize>, Range<u64>)> {
    let mut all = ranges.first()?.clone();
    let mut order: Vec<usize> = (0..ranges.len()).collect();
    order.sort_by_key(|place| ranges[*place].start);
    let first = order.iter().position(|place| *place == 0)?;
    let mut taken = vec![0];
    // Forwards first: readers go forwards.
    for place in &order[first + 1..] {
        let next = &ranges[*place];
        let end = all.end.max(next.end);
        if next.start > all.end.saturating_add(GAP) || end - all.start > LARGEST {
            break;
        }
        all.end = end;
        taken.push(*place);
    }
    for place in order[..first].iter().rev() {
        let next = &ranges[*place];
        let end = all.end.max(next.end);
        if next.end.saturating_add(GAP) < all.start || end - next.start > LARGEST {
            break;
        }
        all = next.start..end;
        taken.push(*place);
    }
    Some((taken, all))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_become_one() {
        let kib = |from: u64, to: u64| from * 1024..to * 1024;
        let ranges = [
            kib(300, 400),
            kib(0, 100),
            kib(464, 500),
            kib(236, 299),
            kib(565, 600),
        ];
        let (mut taken, all) = near_the_first(&ranges).expect("there are some");
        taken.sort_unstable();
        assert_eq!((taken, all), (vec![0, 2, 3], kib(236, 500)));
        assert!(near_the_first(&[]).is_none());
    }

    #[test]
    fn a_request_has_a_largest_size() {
        let mib = 1024 * 1024;
        let ranges: Vec<_> = (0..8).map(|n| n * mib..(n + 1) * mib).collect();
        let (taken, all) = near_the_first(&ranges).expect("there are some");
        assert_eq!((taken.len(), all), (4, 0..4 * mib));
        // One alone may be larger.
        let one = 0..9 * mib;
        let (_, all) = near_the_first(std::slice::from_ref(&one)).expect("one");
        assert_eq!(all, one);
    }

    proptest! {
        #[test]
        fn what_is_taken_lies_inside(starts in prop::collection::vec((0..1u64 << 23, 1..1u64 << 21), 1..40)) {
            let ranges: Vec<_> = starts.iter().map(|(start, length)| *start..start + length).collect();
            let (mut taken, all) = near_the_first(&ranges).expect("there are some");
            for place in &taken {
                prop_assert!(all.start <= ranges[*place].start && ranges[*place].end <= all.end);
            }
            prop_assert!(taken.contains(&0));
            prop_assert!(all.end - all.start <= LARGEST);
            taken.sort_unstable();
            let count = taken.len();
            taken.dedup();
            prop_assert_eq!(taken.len(), count);
        }
    }
}
