//! Faults of the headers, and responses that replace the stream.

use std::{fmt::Write as _, io::Write as _, iter, sync::LazyLock, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{StatusCode, header};

use crate::wire::{
    fault::Wire,
    step::{PART, Sent, Step},
};

/// A body's length, as the headers announce it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Framing {
    Chunked,
    Length(usize),
    UntilClose,
}

const SECOND: Duration = Duration::from_secs(1);

const PAGE: &str = "<!DOCTYPE html>\n<html><body>\n<h1>It works!</h1>\n\n</body></html>\n";

/// Returns the headers of the response, with further ones, each of which ends with CR LF.
pub(super) fn head(sent: &Sent, framing: Framing, more: &str) -> Vec<u8> {
    let mut bytes = status_line(sent.status).into_bytes();
    for (name, value) in &sent.headers {
        if *name == header::CONTENT_LENGTH {
            continue;
        }
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    match framing {
        Framing::Chunked => bytes.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::Length(length) => {
            bytes.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
        }
        Framing::UntilClose => bytes.extend_from_slice(b"connection: close\r\n"),
    }
    bytes.extend_from_slice(more.as_bytes());
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// Returns the bytes as a chunk of a chunked body.
pub(super) fn chunk(bytes: &[u8]) -> Bytes {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk.into()
}

/// Returns the steps of a fault of the headers, or `None` for other faults.
pub(super) fn steps(fault: Wire, sent: &Sent) -> Option<Vec<Step>> {
    let usual = || head(sent, Framing::Chunked, "");
    let steps = match fault {
        Wire::ResetBeforeHead => vec![Step::Reset],
        Wire::HalfHead => {
            let usual = usual();
            let half = Bytes::copy_from_slice(&usual[..usual.len() / 2]);
            vec![Step::Send(half), Step::Hang]
        }
        Wire::DripHead => {
            let bytes = usual().into_iter();
            let steps = bytes.flat_map(|byte| [Step::Send(vec![byte].into()), Step::Wait(SECOND)]);
            steps.chain([Step::Hang]).collect()
        }
        Wire::EndlessHints => {
            let hint = "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n";
            vec![Step::Repeat(
                Bytes::from_static(hint.as_bytes()),
                Duration::from_millis(20),
            )]
        }
        Wire::Garbage => {
            let bytes: Bytes = (0..4096_u32).map(|at| (at * 193 % 251) as u8).collect();
            vec![Step::Send(bytes)]
        }
        Wire::Http09 => vec![text(PAGE.to_owned())],
        Wire::Switch => vec![text(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\nhello"
                .to_owned(),
        )],
        Wire::ContinueOnly => vec![text("HTTP/1.1 100 Continue\r\n\r\n".to_owned()), Step::Hang],
        Wire::NoContent => vec![text("HTTP/1.1 204 No Content\r\n\r\n".to_owned())],
        _ => return changed(fault, sent).or_else(|| replaced(fault, sent)),
    };
    Some(steps)
}

/// Returns the complete stream below changed headers.
fn changed(fault: Wire, sent: &Sent) -> Option<Vec<Step>> {
    let mut sent = sent.clone();
    let more = match fault {
        Wire::HugeHeader => format!("x-huge: {}\r\n", "x".repeat(1 << 20)),
        Wire::ManyHeaders => (0..2000).fold(String::new(), |mut more, at| {
            let _ = write!(more, "x-header-{at}: {at}\r\n");
            more
        }),
        Wire::TwoLengths => "content-length: 5\r\ncontent-length: 7\r\n".to_owned(),
        Wire::LengthAndChunks => "content-length: 5\r\n".to_owned(),
        Wire::NulInHeader => "x-value: a\0b\r\n".to_owned(),
        Wire::CrInHeader => "x-value: a\rb\r\n".to_owned(),
        Wire::FoldedHeader => "x-value: a\r\n  b\r\n".to_owned(),
        Wire::StackedEncodings => {
            iter::repeat_n("content-encoding: gzip\r\n", 5).collect::<String>()
        }
        Wire::ManyCookies => cookies(),
        Wire::ResetContent => {
            sent.status = StatusCode::RESET_CONTENT;
            String::new()
        }
        Wire::NoContentType => {
            sent.headers.remove(header::CONTENT_TYPE);
            String::new()
        }
        Wire::Utf16 => {
            let value = header::HeaderValue::from_static("text/event-stream; charset=utf-16");
            sent.headers.insert(header::CONTENT_TYPE, value);
            String::new()
        }
        _ => return None,
    };
    let framing = match fault {
        Wire::TwoLengths => Framing::UntilClose,
        _ => Framing::Chunked,
    };
    let mut steps = vec![Step::Send(head(&sent, framing, &more).into())];
    steps.extend(sent.events.iter().map(|event| Step::Send(chunk(event))));
    steps.push(Step::Send(chunk(b"")));
    Some(steps)
}

/// Returns a response that is not the stream.
fn replaced(fault: Wire, sent: &Sent) -> Option<Vec<Step>> {
    let refused = |status: u16, more: &str| {
        let body = r#"{"error":{"message":"A constructed error.","type":"constructed"}}"#;
        vec![document(status, "application/json", more, body.as_bytes())]
    };
    let redirect = |status: u16, location: Option<String>| {
        let location = location.map(|url| format!("location: {url}\r\n"));
        refused(status, &location.unwrap_or_default())
    };
    let elsewhere = || Some(format!("{}{}", sent.elsewhere, sent.path));
    let steps = match fault {
        Wire::EmptyStream => vec![document(200, "text/event-stream", "", b"")],
        Wire::HtmlPage => vec![document(200, "text/html", "", PAGE.as_bytes())],
        Wire::JsonError => refused(200, ""),
        Wire::HtmlAsStream => vec![document(200, "text/event-stream", "", PAGE.as_bytes())],
        Wire::Gzip => vec![document(
            200,
            "text/event-stream",
            "content-encoding: gzip\r\n",
            &gzip(&sent.events, 1),
        )],
        Wire::GzipBomb => vec![document(
            200,
            "text/event-stream",
            "content-encoding: gzip\r\n",
            &BOMB,
        )],
        Wire::EndlessErrorBody => endless(500, Duration::from_millis(20)),
        Wire::HugeErrorBody => endless(400, Duration::ZERO),
        Wire::RetryMs => refused(429, "retry-after-ms: 700\r\n"),
        Wire::RetryDate => refused(
            429,
            "date: Wed, 21 Oct 2015 07:28:00 GMT\r\nretry-after: Wed, 21 Oct 2015 07:28:02 GMT\r\n",
        ),
        Wire::RetryTwice => refused(429, "retry-after: 1\r\nretry-after: 2\r\n"),
        Wire::RetryHuge => refused(429, &format!("retry-after: {}\r\n", "9".repeat(10 << 10))),
        Wire::ShouldNotRetry => refused(429, "x-should-retry: false\r\n"),
        Wire::ShouldRetry => refused(400, "x-should-retry: true\r\n"),
        Wire::Redirect301 => redirect(301, elsewhere()),
        Wire::Redirect302 => redirect(302, elsewhere()),
        Wire::Redirect303 => redirect(303, elsewhere()),
        Wire::Redirect307 => redirect(307, elsewhere()),
        Wire::Redirect308 => redirect(308, elsewhere()),
        Wire::RedirectLoop => redirect(307, Some(sent.path.clone())),
        Wire::RedirectNowhere => redirect(302, None),
        Wire::RedirectFile => redirect(301, Some("file:///etc/passwd".to_owned())),
        Wire::RedirectHuge => redirect(
            301,
            Some(format!("{}/{}", sent.elsewhere, "x".repeat(48 << 10))),
        ),
        _ => return None,
    };
    Some(steps)
}

/// Returns an error whose body never ends.
fn endless(status: u16, pause: Duration) -> Vec<Step> {
    let status = StatusCode::from_u16(status).unwrap_or_default();
    let head = format!(
        "{}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        status_line(status)
    );
    let size = if pause.is_zero() { PART } else { 16 };
    vec![text(head), Step::Repeat(chunk(&vec![b' '; size]), pause)]
}

/// Returns a response with a content length.
fn document(status: u16, content_type: &str, more: &str, body: &[u8]) -> Step {
    let status = StatusCode::from_u16(status).unwrap_or_default();
    let mut bytes = format!(
        "{}content-type: {content_type}\r\ncontent-length: {}\r\n{more}\r\n",
        status_line(status),
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    Step::Send(bytes.into())
}

fn status_line(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or("Unknown");
    format!("HTTP/1.1 {} {reason}\r\n", status.as_u16())
}

fn text(text: String) -> Step {
    Step::Send(text.into())
}

/// 1 GiB, compressed once for all responses, because that takes seconds.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| gzip(&[Bytes::from(vec![b':'; 1 << 20])], 1024));

fn gzip(parts: &[Bytes], times: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for part in iter::repeat_n(parts, times).flatten() {
        // Writing to a `Vec` does not fail.
        let _ = encoder.write_all(part);
    }
    encoder.finish().unwrap_or_default()
}

/// Returns cookies that a browser keeps, and cookies that it refuses.
fn cookies() -> String {
    let mut more = (0..80).fold(String::new(), |mut more, at| {
        let _ = write!(more, "set-cookie: c{at}=v{at}; Path=/\r\n");
        more
    });
    let _ = write!(more, "set-cookie: huge={}\r\n", "x".repeat(20_000));
    for cookie in [
        "other=1; Domain=example.com",
        "top=1; Domain=com",
        "dot=1; Domain=.",
        "control=a\tb",
        "=nameless",
        "nothing",
        "old=1; Max-Age=-1",
        "far=1; Max-Age=100000000000000000000",
        "__Host-a=1; Domain=127.0.0.1",
    ] {
        let _ = write!(more, "set-cookie: {cookie}\r\n");
    }
    more
}
