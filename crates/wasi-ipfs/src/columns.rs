//! Formats the kind, mode and time of a node for `ls -l` and `stat`. The text is the same on every host.

use pinset::{Kind, Mtime};

/// The ten characters at the start of a line of `ls -l`. If UnixFS records no mode, they are the kind and nine question
/// marks, since dashes would mean a mode without permissions.
pub(crate) fn mode(kind: Kind, mode: Option<u32>) -> String {
    let letter = match kind {
        Kind::File => '-',
        Kind::Dir => 'd',
        Kind::Symlink => 'l',
    };
    let Some(mode) = mode else {
        return format!("{letter}?????????");
    };
    let special = [(0o4000, 's', 'S'), (0o2000, 's', 'S'), (0o1000, 't', 'T')];
    let mut text = String::from(letter);
    for (class, (bit, with_x, without_x)) in special.into_iter().enumerate() {
        let bits = mode >> (6 - 3 * class);
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & bit != 0, bits & 1 != 0) {
            (true, true) => with_x,
            (true, false) => without_x,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// The kind as a word.
pub(crate) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Dir => "directory",
        Kind::Symlink => "symlink",
    }
}

/// The time as `2024-02-29T12:00:00Z`, in UTC, so that it is the same everywhere.
pub(crate) fn time(mtime: Mtime) -> String {
    let days = mtime.seconds.div_euclid(86_400);
    let second = mtime.seconds.rem_euclid(86_400);
    let (year, month, day) = civil_date(days);
    let fraction = match mtime.nanos {
        0 => String::new(),
        nanos => format!(".{nanos:09}"),
    };
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}{fraction}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// The Gregorian date of a day counted from 1970-01-01. It counts from 0000-03-01, so that all cycles of 400 years
/// (146,097 days) are alike and a leap day is the last day of its year. It works for any `i64` of seconds.
fn civil_date(days_since_epoch: i64) -> (i64, i64, i64) {
    let days = days_since_epoch + 719_468;
    let cycle = days.div_euclid(146_097);
    let day_of_cycle = days.rem_euclid(146_097);
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = cycle * 400 + year_of_cycle + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_agree_with_the_calendar() {
        // `date -u -d @N +%FT%TZ`
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_208_000, "2024-02-29T12:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-62_135_596_800, "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(time(Mtime { seconds, nanos: 0 }), text);
        }
        let odd = Mtime {
            seconds: 1,
            nanos: 5,
        };
        assert_eq!(time(odd), "1970-01-01T00:00:01.000000005Z");
        for seconds in [i64::MIN, i64::MAX] {
            assert!(time(Mtime { seconds, nanos: 0 }).ends_with('Z'));
        }
    }

    #[test]
    fn modes_look_as_ls_shows_them() {
        assert_eq!(mode(Kind::File, Some(0o644)), "-rw-r--r--");
        assert_eq!(mode(Kind::Dir, Some(0o1777)), "drwxrwxrwt");
        assert_eq!(mode(Kind::File, Some(0o4750)), "-rwsr-x---");
        assert_eq!(mode(Kind::File, Some(0o2640)), "-rw-r-S---");
        assert_eq!(mode(Kind::Symlink, None), "l?????????");
    }
}
