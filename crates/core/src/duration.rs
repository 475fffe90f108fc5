//! A parser for durations in headers and error messages.

use std::time::Duration;

/// Reads a duration as services write it: seconds as a plain number, or amounts with units, such as
/// `6m0s`, `2m59.56s`, `9ms` and `30 seconds`.
///
/// Returns `None` for text of another form, and for a duration that is negative or too long.
pub fn read_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let mut sum = None::<Duration>;
    while !rest.is_empty() {
        let unit = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let (number, unit) = rest.split_at(unit);
        let end = unit.find(|char: char| char.is_ascii_digit());
        let (unit, next) = unit.split_at(end.unwrap_or(unit.len()));
        let scale = match unit.trim() {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" | "sec" | "second" | "seconds" => 1.0,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86_400.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * scale).ok()?;
        sum = Some(sum.unwrap_or_default().checked_add(part)?);
        rest = next;
    }
    sum
}
