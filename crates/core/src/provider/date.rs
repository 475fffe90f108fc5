//! A lenient parser for the dates of cookies and of rate-limit headers.

/// Parses a date as browsers do (RFC 6265, section 5.1.1) into seconds since 1970, 0 if it is earlier.
pub fn read_cookie_date(text: &str) -> Option<u64> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    let tokens = text.split(|char: char| char != ':' && !char.is_ascii_alphanumeric());
    for token in tokens.filter(|token| !token.is_empty()) {
        if time.is_none() && token.contains(':') {
            time = clock(token);
        } else if day.is_none() && number(token, 1..=2).is_some() {
            day = number(token, 1..=2);
        } else if month.is_none() && month_of(token).is_some() {
            month = month_of(token);
        } else if year.is_none() {
            year = number(token, 2..=4);
        }
    }
    let (time, day, month) = (time?, day?, month?);
    let year = match year? {
        year @ 0..=69 => year + 2000,
        year @ 70..=99 => year + 1900,
        year => year,
    };
    if year < 1601 || !exists(year, month, day) {
        return None;
    }
    Some(since_1970(year, month, day, time))
}

/// Parses a time by RFC 3339 (UTC if it has no zone), else as browsers parse the dates of cookies.
/// Returns seconds since 1970, 0 for an earlier time, and `None` if it is invalid.
pub fn read_time(text: &str) -> Option<u64> {
    timestamp(text.trim()).or_else(|| read_cookie_date(text))
}

fn timestamp(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-').map(digits);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (time, zone) = time.split_at_checked(8)?;
    let zone = match zone.strip_prefix('.') {
        None => zone,
        Some(zone) => zone.trim_start_matches(|char: char| char.is_ascii_digit()),
    };
    let zone: i64 = match zone.as_bytes() {
        [] | [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), ..] => {
            let seconds = i64::try_from(clock(&format!("{}:00", &zone[1..]))?).ok()?;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let month = month.checked_sub(1)?;
    if !(1601..=9999).contains(&year) || !exists(year, month, day) {
        return None;
    }
    let seconds = since_1970(year, month, day, clock(time)?);
    Some(seconds.saturating_add_signed(-zone))
}

/// Reads digits and nothing else.
fn digits(text: &str) -> Option<u64> {
    number(text, 1..=4).filter(|_| text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit()))
}

/// Returns true if the calendar has the day. January is 0.
fn exists(year: u64, month: u64, day: u64) -> bool {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 if is_leap => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        0..=11 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// Counts the seconds since 1970, 0 for a time before. January is 0.
fn since_1970(year: u64, month: u64, day: u64, time: u64) -> u64 {
    // Years begin in March here, so that a leap day is the last of its year.
    let (year, month) = match month {
        0 | 1 => (year - 1, month + 10),
        _ => (year, month - 2),
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(DAYS_BEFORE_1970);
    days.map_or(0, |days| days * 86400 + time)
}

/// The days from March of the year 0 to 1970.
const DAYS_BEFORE_1970: u64 = 719_468;

/// Reads a time of day in seconds.
fn clock(token: &str) -> Option<u64> {
    let mut parts = token.splitn(3, ':');
    let (hour, minute) = (parts.next()?, parts.next()?);
    let second = number(parts.next()?, 1..=2)?;
    let whole = |text: &str| number(text, 1..=2).filter(|_| text.len() <= 2);
    let (hour, minute) = (whole(hour)?, whole(minute)?);
    (hour < 24 && minute < 60 && second < 60).then_some((hour * 60 + minute) * 60 + second)
}

/// Reads the digits that a token begins with, if there are so many.
fn number(token: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u64> {
    let end = token.find(|char: char| !char.is_ascii_digit());
    let start = &token[..end.unwrap_or(token.len())];
    start.parse().ok().filter(|_| digits.contains(&start.len()))
}

/// Reads a month's name, 0 for January.
fn month_of(token: &str) -> Option<u64> {
    const MONTHS: &str = "janfebmaraprmayjunjulaugsepoctnovdec";
    let name = token.get(..3)?.to_ascii_lowercase();
    let at = MONTHS.find(&name)?;
    (at % 3 == 0).then_some(at as u64 / 3)
}
