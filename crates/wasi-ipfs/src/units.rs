//! Parses sizes and durations as people write them on a command line, and formats sizes for people.
//!
//! Pure. An amount that does not fit is an error, never a wrapped number.

use std::time::Duration;

/// The text is not a size or a duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnitError {
    /// A size without a number, or with an unknown unit.
    #[error(
        "invalid size '{0}': expected bytes, or a number with a unit: 64MiB, 1G (1 GiB), 1.5GB"
    )]
    NotASize(String),
    /// A duration without a number, or with an unknown unit.
    #[error(
        "invalid duration '{0}': expected seconds, or a number with a unit: 500ms, 30s, 2m, 1h"
    )]
    NotADuration(String),
    /// More bytes than fit in 64 bits, or more time than a clock can count.
    #[error("'{0}' is too large")]
    TooLarge(String),
}

/// Parses a size in bytes: `1048576`, `64MiB`, `1G`, `1.5GB`.
///
/// As in coreutils, `K`, `M`, `G`, `T` and `KiB`… are powers of 1024, `KB`… are powers of 1000. Case does not matter.
pub(crate) fn parse_size(text: &str) -> Result<u64, UnitError> {
    let wrong = || UnitError::NotASize(text.to_owned());
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let power = |base: u128, letter| {
        let exponent = 1 + "kmgt".find(letter)? as u32;
        Some(base.pow(exponent))
    };
    let mut letters = unit.chars();
    let factor = match (letters.next(), letters.as_str()) {
        (None | Some('b'), "") => 1,
        (Some(letter), "" | "i" | "ib") => power(1024, letter).ok_or_else(wrong)?,
        (Some(letter), "b") => power(1000, letter).ok_or_else(wrong)?,
        _ => return Err(wrong()),
    };
    let bytes = number
        .times(factor)
        .ok_or_else(|| UnitError::TooLarge(text.to_owned()))?;
    u64::try_from(bytes).map_err(|_| UnitError::TooLarge(text.to_owned()))
}

/// Parses a duration: `30` (seconds), `500ms`, `30s`, `2m`, `1h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let wrong = || UnitError::NotADuration(text.to_owned());
    let too_large = || UnitError::TooLarge(text.to_owned());
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let milliseconds = match unit.as_str() {
        "ms" => 1,
        "" | "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let total = number.times(milliseconds).ok_or_else(too_large)?;
    // A century is as good as for ever, and a clock can still count it.
    match u64::try_from(total) {
        Ok(total) if total <= 100 * 365 * 24 * 3_600_000 => Ok(Duration::from_millis(total)),
        _ => Err(too_large()),
    }
}

/// Formats bytes for people: `1.5 GiB`. Callers that need the exact number print that beside it.
pub(crate) fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let exponent = match bytes {
        0 => 0,
        _ => (bytes.ilog2() / 10).min(UNITS.len() as u32 - 1),
    };
    let unit = UNITS[exponent as usize];
    match exponent {
        0 => format!("{bytes} {unit}"),
        _ => format!(
            "{:.1} {unit}",
            bytes as f64 / (1u64 << (10 * exponent)) as f64
        ),
    }
}

/// A decimal number, kept exact: `digits / 10^places`.
struct Decimal {
    digits: u128,
    places: u32,
}

impl Decimal {
    /// The product, rounded down; `None` if it does not fit.
    fn times(&self, factor: u128) -> Option<u128> {
        Some(self.digits.checked_mul(factor)? / 10u128.pow(self.places))
    }
}

/// Splits the text into the number at its start and the unit after it, in lower case.
fn split(text: &str) -> Option<(Decimal, String)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (number, ""),
    };
    if whole.is_empty() || fraction.contains('.') || whole.len() + fraction.len() > 20 {
        return None;
    }
    let digits = format!("{whole}{fraction}").parse().ok()?;
    let places = u32::try_from(fraction.len()).ok()?;
    Some((
        Decimal { digits, places },
        unit.trim_start().to_ascii_lowercase(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_coreutils_reads_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("512B", 512),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("1G", 1 << 30),
            ("1GiB", 1 << 30),
            ("1gi", 1 << 30),
            ("1GB", 1_000_000_000),
            ("1.5KiB", 1536),
            ("2T", 2 << 40),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "", "G", "-1", "1X", "1GiBs", "1.", ".5G", "1.2.3", "1e9", "0x10", "1 2", "é", "1é",
        ] {
            assert_eq!(
                parse_size(text),
                Err(UnitError::NotASize(text.into())),
                "{text}"
            );
        }
        for text in ["18446744073709551616", "16777216T", "99999999999999999999T"] {
            assert_eq!(
                parse_size(text),
                Err(UnitError::TooLarge(text.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("30", 30_000),
            ("30s", 30_000),
            ("1.5s", 1500),
            ("500ms", 500),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        assert!(parse_duration("").is_err());
        assert!(parse_duration("30 parsecs").is_err());
        assert_eq!(
            parse_duration("99999999999h"),
            Err(UnitError::TooLarge("99999999999h".into()))
        );
    }

    #[test]
    fn sizes_are_shown_rounded() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(show_size(bytes), text);
        }
    }
}
