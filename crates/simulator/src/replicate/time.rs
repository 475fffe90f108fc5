//! Replicate's formats of timestamps and durations.

use std::time::Duration;

const DAY: u64 = 24 * 60 * 60;

/// Formats the time `after` past `seconds` of the Unix epoch: `2023-07-24T15:24:52.000Z`.
pub(super) fn stamp(seconds: u64, after: Duration) -> String {
    let seconds = seconds.saturating_add(after.as_secs());
    let (year, month, day) = date(seconds / DAY);
    let (hour, minute) = (seconds % DAY / 3600, seconds % 3600 / 60);
    let (second, millis) = (seconds % 60, after.subsec_millis());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Returns the date this many days after 1 January 1970.
fn date(days: u64) -> (u64, u64, u64) {
    // Counted from 1 March of year 0, so that a leap day is the last day of a year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    match month {
        0..10 => (era * 400 + year, month + 3, day),
        _ => (era * 400 + year + 1, month - 9, day),
    }
}

/// Parses a duration such as `30s`, `5m` or `1h30m`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut whole = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let at = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(at);
        let (unit, tail) = tail.split_at_checked(1)?;
        let unit = match unit {
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            _ => return None,
        };
        let seconds = number.parse::<u64>().ok()?.checked_mul(unit)?;
        whole = whole.checked_add(Duration::from_secs(seconds))?;
        rest = tail;
    }
    Some(whole).filter(|whole| !whole.is_zero())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{duration, stamp};

    #[test]
    fn a_stamp_is_the_date_and_time() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.250Z"),
            (951_782_400, "2000-02-29T00:00:00.250Z"),
            (1_690_212_292, "2023-07-24T15:24:52.250Z"),
            (1_704_067_199, "2023-12-31T23:59:59.250Z"),
        ] {
            assert_eq!(stamp(seconds, Duration::from_millis(250)), expected);
        }
    }

    #[test]
    fn a_duration_has_units() {
        for (text, expected) in [
            ("5s", Some(5)),
            ("1m", Some(60)),
            ("1h30m45s", Some(5445)),
            ("", None),
            ("0s", None),
            ("5", None),
            ("s", None),
            ("1d", None),
            ("-1s", None),
            ("1\u{e9}", None),
        ] {
            assert_eq!(duration(text), expected.map(Duration::from_secs), "{text}");
        }
    }
}
