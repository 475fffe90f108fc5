//! The trace that a request belongs to, and its span; without the feature `tracing` there is no span.

#[cfg(not(feature = "tracing"))]
mod off;
#[cfg(feature = "tracing")]
mod on;

use http::{HeaderMap, HeaderName};

#[cfg(not(feature = "tracing"))]
pub(crate) use self::off::Span;
#[cfg(feature = "tracing")]
pub(crate) use self::on::Span;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The span of the client, from the header `traceparent` of W3C Trace Context.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Parent {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
}

impl Parent {
    /// Reads the header; one that is invalid is ignored, as the standard says.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next()?.to_str().ok()?;
        if values.next().is_some() {
            return None;
        }
        Self::parse(value)
    }

    /// "version-format = trace-id "-" parent-id "-" trace-flags", section 3.2.2.
    fn parse(value: &str) -> Option<Self> {
        let mut parts = value.splitn(5, '-');
        let version = hex(parts.next()?, 2)?;
        let trace_id = hex(parts.next()?, 32)?;
        let span_id = hex(parts.next()?, 16)?;
        hex(parts.next()?, 2)?;
        // Later versions may have more parts; this one may not, and `ff` is no version.
        let has_more = parts.next().is_some();
        if version == "ff" || (version == "00" && has_more) {
            return None;
        }
        let is_zero = |id: &str| id.bytes().all(|byte| byte == b'0');
        if is_zero(trace_id) || is_zero(span_id) {
            return None;
        }
        Some(Self {
            trace_id: trace_id.to_owned(),
            span_id: span_id.to_owned(),
        })
    }
}

/// Returns a text of lower-case hexadecimal digits.
fn hex(text: &str, length: usize) -> Option<&str> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == length && text.bytes().all(is_digit)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::Parent;

    #[test]
    fn a_valid_parent_has_its_ids() {
        // The example of the standard, section 3.2.4.
        let ids = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
        for value in [
            format!("00-{ids}-01"),
            format!("00-{ids}-ff"),
            format!("cc-{ids}-01"),
            format!("cc-{ids}-01-what-the-future-brings"),
        ] {
            let parent = Parent::parse(&value).unwrap();
            assert_eq!(format!("{}-{}", parent.trace_id, parent.span_id), ids);
        }
    }

    #[test]
    fn an_invalid_parent_is_ignored() {
        let ids = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
        for value in [
            String::new(),
            format!("00-{ids}"),
            format!("00-{ids}-1"),
            format!("00-{ids}-01-more"),
            format!("00-{ids}-01-"),
            format!("ff-{ids}-01"),
            format!("cc-{ids}-01.more"),
            format!("0-{ids}-01"),
            format!("00-{}-01", ids.to_uppercase()),
            format!("00-{}-01", ids.replace('4', "g")),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16)),
        ] {
            assert_eq!(Parent::parse(&value), None, "{value}");
        }
    }
}
