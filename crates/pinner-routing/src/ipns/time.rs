//! The date in a record: RFC 3339, with up to nanoseconds.

use std::time::{Duration, SystemTime};

const DAY: i64 = 24 * 60 * 60;

/// Reads `2123-08-14T12:17:03.694052Z`, with any number of digits behind the point, or with an offset (`+01:00`) in
/// place of `Z`. `None` if it is not a date. Digits beyond nanoseconds are dropped.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let (date, rest) = text.split_at_checked(10)?;
    let (time, rest) = rest.split_at_checked(9)?;
    let date = fields(date, [(0, 4), (5, 7), (8, 10)], &[(4, b'-'), (7, b'-')])?;
    let time = fields(
        time,
        [(1, 3), (4, 6), (7, 9)],
        &[(0, b'T'), (3, b':'), (6, b':')],
    )?;
    let ([year, month, day], [hour, minute, second]) = (date, time);
    // RFC 3339 allows a leap second.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, zone) = fraction(rest)?;
    let seconds =
        days(year, month, day)? * DAY + hour * 3600 + minute * 60 + second - offset(zone)?;
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let moment = match seconds < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(whole),
        false => SystemTime::UNIX_EPOCH.checked_add(whole),
    };
    moment?.checked_add(Duration::from_nanos(nanos))
}

/// The numbers at these places of `text`, which has these bytes in between.
fn fields(text: &str, places: [(usize, usize); 3], between: &[(usize, u8)]) -> Option<[i64; 3]> {
    let bytes = text.as_bytes();
    let sound = between
        .iter()
        .all(|(at, byte)| bytes.get(*at) == Some(byte));
    let [one, two, three] = places.map(|(from, to)| number(bytes.get(from..to)?));
    sound.then_some([one?, two?, three?])
}

/// The number that these digits stand for.
fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0_i64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        Some(number * 10 + digit)
    })
}

/// The nanoseconds of a fraction, if there is one, and the rest.
fn fraction(text: &str) -> Option<(u64, &str)> {
    let Some(rest) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let (digits, zone) = rest.split_at_checked(end)?;
    let mut nanos = 0;
    for place in 0..9 {
        let digit = digits.as_bytes().get(place).map_or(0, |digit| digit - b'0');
        nanos = nanos * 10 + u64::from(digit);
    }
    (!digits.is_empty()).then_some((nanos, zone))
}

/// The seconds by which the zone is ahead.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let bytes = zone.as_bytes();
    let (hours, minutes) = (number(bytes.get(1..3)?)?, number(bytes.get(4..6)?)?);
    let sound = bytes.len() == 6 && bytes[3] == b':' && hours < 24 && minutes < 60;
    sound.then_some(sign * (hours * 3600 + minutes * 60))
}

/// The days from 1970-01-01 to a day of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > length {
        return None;
    }
    // A year of this count begins in March, so that its leap day is its last.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let before_month = (153 * month + 2) / 5;
    // 1970-01-01 is day 719,468 of it.
    Some(year * 365 + leap_days + before_month + day - 1 - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_moments() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("1970-01-01T00:00:00.000000001Z", 0, 1),
            ("2000-02-29T12:00:00Z", 951_825_600, 0),
            ("2001-09-09T01:46:40Z", 1_000_000_000, 0),
            ("2038-01-19T03:14:08.5Z", 2_147_483_648, 500_000_000),
            ("2123-08-14T12:17:03.694052Z", 4_847_689_023, 694_052_000),
            ("2001-09-09T03:46:40+02:00", 1_000_000_000, 0),
            ("2001-09-08T18:16:40-07:30", 1_000_000_000, 0),
            (
                "9999-12-31T23:59:59.9999999999Z",
                253_402_300_799,
                999_999_999,
            ),
        ] {
            let wanted = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
            assert_eq!(parse(text), Some(wanted), "{text}");
        }
        let before = parse("1969-12-31T23:59:59.25Z");
        let wanted = SystemTime::UNIX_EPOCH - Duration::from_millis(750);
        assert_eq!(before, Some(wanted));
    }

    #[test]
    fn what_is_not_a_date_is_not_read() {
        for text in [
            "",
            "2123-08-14",
            "2123-08-14T12:17:03",
            "2123-08-14T12:17:03.Z",
            "2123-08-14T12:17:03.5",
            "2123-08-14 12:17:03Z",
            "2123-08-14T12:17Z",
            "2123-13-14T12:17:03Z",
            "2123-00-14T12:17:03Z",
            "2123-02-29T12:17:03Z",
            "2100-02-29T12:17:03Z",
            "2123-04-31T12:17:03Z",
            "2123-08-00T12:17:03Z",
            "2123-08-14T24:00:00Z",
            "2123-08-14T12:60:03Z",
            "2123-08-14T12:17:61Z",
            "2123-08-14T12:17:03z",
            "2123-08-14T12:17:03Zz",
            "2123-08-14T12:17:03+1:00",
            "2123-08-14T12:17:03+01:60",
            "2123-08-14T12:17:03+01000",
            "+123-08-14T12:17:03Z",
            "2123-é8-14T12:17:03Z",
            "２１23-08-14T12:17:03Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
