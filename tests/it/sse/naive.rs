//! A simple reference decoder that follows the text of the standard.

use std::time::Duration;

use super::Seen;

/// The result for a stream.
pub(super) struct Outcome {
    pub(super) items: Vec<Seen>,
    pub(super) last_event_id: String,
    pub(super) retry: Option<Duration>,
}

/// Decodes a complete stream.
pub(super) fn decode(stream: &[u8]) -> Outcome {
    // "Streams must be decoded using the UTF-8 decode algorithm", which replaces what is malformed
    // and drops one byte-order mark.
    let text = String::from_utf8_lossy(stream).into_owned();
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);

    let mut items = Vec::new();
    let mut reconnection_time = None;
    let mut last_event_id = String::new();
    let mut data_buffer = String::new();
    let mut event_type_buffer = String::new();
    let mut last_event_id_buffer = String::new();

    for line in lines(text) {
        if line.is_empty() {
            last_event_id.clone_from(&last_event_id_buffer);
            if data_buffer.is_empty() {
                event_type_buffer.clear();
                continue;
            }
            if data_buffer.ends_with('\n') {
                data_buffer.pop();
            }
            let mut event = String::from("message");
            if !event_type_buffer.is_empty() {
                event.clone_from(&event_type_buffer);
            }
            items.push(Seen::Frame(event, data_buffer, last_event_id.clone()));
            data_buffer = String::new();
            event_type_buffer = String::new();
            continue;
        }
        if line.starts_with(':') {
            continue;
        }
        let (field, value) = match line.split_once(':') {
            Some((field, value)) => (field, value.strip_prefix(' ').unwrap_or(value)),
            None => (line.as_str(), ""),
        };
        match field {
            "event" => value.clone_into(&mut event_type_buffer),
            "data" => {
                data_buffer.push_str(value);
                data_buffer.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut last_event_id_buffer),
            "retry" if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) => {
                // The standard's integers are unbounded; ours are not.
                let milliseconds = value.parse::<u64>().unwrap_or(u64::MAX);
                let time = Duration::from_millis(milliseconds);
                reconnection_time = Some(time);
                items.push(Seen::Retry(time));
            }
            _ => {}
        }
    }
    Outcome {
        items,
        last_event_id,
        retry: reconnection_time,
    }
}

/// Returns true if more than comments and spaces follow the last blank line of a stream.
pub(super) fn is_cut(stream: &[u8]) -> bool {
    // A part of a byte-order mark may be the beginning of one.
    if b"\xEF\xBB".starts_with(stream) {
        return false;
    }
    let text = String::from_utf8_lossy(stream).into_owned();
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    let lines = lines(text);
    let open = lines.rsplit(String::is_empty).next().unwrap_or_default();
    let unfinished = text.rsplit(['\n', '\r']).next();
    let mut open = open.iter().map(String::as_str).chain(unfinished);
    open.any(|line| !line.starts_with(':') && !line.trim_ascii().is_empty())
}

/// Splits a text into its lines; text after the last line break is not a line yet.
fn lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest
            .strip_prefix("\r\n")
            .or_else(|| rest.strip_prefix('\n'))
            .or_else(|| rest.strip_prefix('\r'))
        {
            lines.push(std::mem::take(&mut line));
            rest = after;
        } else {
            line.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    lines
}
