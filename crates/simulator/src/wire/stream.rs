//! Faults of the body: its events, its framing and its end.

use std::time::Duration;

use bytes::Bytes;

use crate::wire::{
    fault::Wire,
    head::{Framing, chunk, head},
    step::{PART, Sent, Step},
};

/// The time between comments, as of services that send them to keep a connection open.
const BEAT: Duration = Duration::from_millis(20);

/// The time between the bytes of a slow body.
const DRIP: Duration = Duration::from_millis(500);

/// Returns the steps of a complete response.
pub(super) fn complete(sent: &Sent) -> Vec<Step> {
    chunked(sent, &sent.events)
}

/// Returns the steps of a fault of the body, or `None` for other faults.
pub(super) fn steps(fault: Wire, sent: &Sent) -> Option<Vec<Step>> {
    changed(fault, sent)
        .map(|events| chunked(sent, &events))
        .or_else(|| endless(fault, sent))
        .or_else(|| ended(fault, sent))
}

/// Returns the events of a body that ends well below HTTP.
fn changed(fault: Wire, sent: &Sent) -> Option<Vec<Bytes>> {
    let (before, after) = halves(&sent.events);
    let with = |middle: &[&'static [u8]]| {
        let middle = middle.iter().map(|event| Bytes::from_static(event));
        let events = before.iter().cloned().chain(middle);
        events.chain(after.iter().cloned()).collect::<Vec<_>>()
    };
    let all = || sent.events.concat();
    let events = match fault {
        Wire::OneByteWrites => all().chunks(1).map(Bytes::copy_from_slice).collect(),
        Wire::CrLines => vec![replace(&all(), b"\n", b"\r").into()],
        Wire::CrLfLines => {
            let lines = replace(&all(), b"\n", b"\r\n");
            let lines = lines.split_inclusive(|byte| *byte == b'\r');
            lines.map(Bytes::copy_from_slice).collect()
        }
        Wire::ByteOrderMark => {
            let mark = [b"\xef", b"\xbb", b"\xbf"].map(|byte| Bytes::from_static(byte));
            mark.into_iter().chain(sent.events.clone()).collect()
        }
        Wire::TwoByteOrderMarks => {
            // The second is part of the first line, a field that nothing knows.
            let mark = Bytes::from_static(b"\xef\xbb\xbf\xef\xbb\xbfdata: {\n\n");
            [mark].into_iter().chain(sent.events.clone()).collect()
        }
        Wire::InvalidUtf8 => {
            let mut event = middle(sent).to_vec();
            let at = event.iter().rposition(u8::is_ascii_alphanumeric);
            event[at.unwrap_or_default()] = 0xff;
            replaced(sent, event)
        }
        Wire::InvalidUtf8Comment => with(&[b": \xff\xc3\xfe\n\n"]),
        Wire::DeepJson => replaced(sent, data(&"[".repeat(128 << 10))),
        Wire::WrongTypes => replaced(sent, data("[1,2,3]")),
        Wire::UnknownEvent => with(&[
            b"event: keepalive\ndata: {\"type\":\"keepalive\"}\n\n",
            b"event: x-unknown\ndata: 1\n\n",
        ]),
        Wire::NoSpace => {
            let body = replace(&all(), b"data: ", b"data:");
            let body = replace(&body, b"event: ", b"event:");
            vec![replace(&body, b"id: ", b"id:").into()]
        }
        Wire::TwoEnds => {
            let last = sent.events.last().cloned();
            sent.events.iter().cloned().chain(last).collect()
        }
        Wire::TextAfterEnd => {
            let again = before.iter().cloned();
            sent.events.iter().cloned().chain(again).collect()
        }
        Wire::NoBlankLine => vec![Bytes::copy_from_slice(all().trim_ascii_end())],
        Wire::ErrorEvent => {
            let error =
                b"event: error\ndata: {\"error\":{\"message\":\"A constructed error.\"}}\n\n";
            let events = before.iter().cloned();
            events.chain([Bytes::from_static(error)]).collect()
        }
        Wire::CleanCut => before.to_vec(),
        Wire::CleanCutInEvent => before.iter().cloned().chain([half(sent)]).collect(),
        _ => return None,
    };
    Some(events)
}

/// Returns the steps of a body that sends without end after the middle.
fn endless(fault: Wire, sent: &Sent) -> Option<Vec<Step>> {
    let (before, _) = halves(&sent.events);
    let (first, again, pause) = match fault {
        Wire::EndlessLine => ("data: ", vec![b'x'; PART], Duration::ZERO),
        Wire::EndlessEvent => ("", b"data: xxxxxxx\n".repeat(PART / 14), Duration::ZERO),
        Wire::EndlessComments => ("", b": comment\n\n".repeat(PART / 11), Duration::ZERO),
        Wire::Comments => ("", b": comment\n\n".to_vec(), BEAT),
        Wire::EndlessLines => ("", vec![b'\n'; PART], Duration::ZERO),
        Wire::EndlessEvents => ("", b"data:\n\n".repeat(PART / 7), Duration::ZERO),
        _ => return None,
    };
    let mut steps = opened(sent, before);
    if !first.is_empty() {
        steps.push(Step::Send(chunk(first.as_bytes())));
    }
    steps.push(Step::Repeat(chunk(&again), pause));
    Some(steps)
}

/// Returns the steps of a body with an end of its own.
fn ended(fault: Wire, sent: &Sent) -> Option<Vec<Step>> {
    let (before, _) = halves(&sent.events);
    let middle = |steps: Vec<Step>| {
        let opened = opened(sent, before);
        opened.into_iter().chain(steps).collect::<Vec<_>>()
    };
    let until_close = |events: &[Bytes]| plain(sent, Framing::UntilClose, events);
    let half = half(sent);
    let half_chunk = || {
        let chunk = chunk(&self::middle(sent));
        Step::Send(chunk.slice(..chunk.len() / 2))
    };
    let raw = |bytes: &'static [u8]| Step::Send(Bytes::from_static(bytes));
    let steps = match fault {
        Wire::CutUntilClose => until_close(before),
        Wire::CutUntilCloseInEvent => {
            let mut steps = until_close(before);
            steps.push(Step::Send(half));
            steps
        }
        Wire::UntilClose => until_close(&sent.events),
        Wire::KnownLength => {
            let length = sent.events.iter().map(Bytes::len).sum();
            plain(sent, Framing::Length(length), &sent.events)
        }
        Wire::ShortLength => {
            let length = sent.events.iter().map(Bytes::len).sum();
            plain(sent, Framing::Length(length), before)
        }
        Wire::CutBetweenChunks => opened(sent, before),
        Wire::CutInChunk => middle(vec![half_chunk()]),
        Wire::ResetInEvent => middle(vec![half_chunk(), Step::Wait(BEAT), Step::Reset]),
        Wire::StallInEvent => middle(vec![half_chunk(), Step::Hang]),
        Wire::OpenAtEnd => {
            let mut steps = opened(sent, &sent.events);
            steps.push(Step::Hang);
            steps
        }
        Wire::ResetAtEnd => {
            let mut steps = opened(sent, &sent.events);
            steps.extend([Step::Wait(BEAT), Step::Reset]);
            steps
        }
        Wire::ChunkSize => middle(vec![raw(b"xyz\r\n")]),
        Wire::ChunkSizeOverflow => middle(vec![raw(b"10000000000000001\r\nx\r\n")]),
        Wire::ChunkExtensions => middle(vec![
            raw(b"5;"),
            Step::Repeat(vec![b'x'; PART].into(), Duration::ZERO),
        ]),
        Wire::Trailers => {
            let mut steps = opened(sent, &sent.events);
            steps.push(raw(b"0\r\nx-trailer: 1\r\ncontent-length: 5\r\n\r\n"));
            steps
        }
        Wire::NoCloseNotify => {
            let mut steps = until_close(&sent.events);
            steps.push(Step::CloseBelowTls);
            steps
        }
        Wire::NoCloseNotifyInMiddle => {
            let mut steps = until_close(before);
            steps.push(Step::CloseBelowTls);
            steps
        }
        Wire::CorruptRecord => middle(vec![
            // TLS of the client may discard what it reads together with an invalid record.
            Step::Wait(10 * BEAT),
            // Application data of 32 bytes that no key decrypts.
            Step::Corrupt(
                b"\x17\x03\x03\x00\x20"
                    .iter()
                    .copied()
                    .chain([7; 32])
                    .collect(),
            ),
            Step::Wait(BEAT),
        ]),
        Wire::HeadThenSilence => {
            let mut steps = opened(sent, &[]);
            steps.push(Step::Hang);
            steps
        }
        Wire::Drip => {
            let mut steps = opened(sent, &[]);
            for byte in sent.events.concat() {
                steps.extend([Step::Send(chunk(&[byte])), Step::Wait(DRIP)]);
            }
            steps
        }
        _ => return None,
    };
    Some(steps)
}

/// Returns the steps of a chunked body with these events.
fn chunked(sent: &Sent, events: &[Bytes]) -> Vec<Step> {
    let mut steps = opened(sent, events);
    steps.push(Step::Send(chunk(b"")));
    steps
}

/// Returns the steps of a chunked body with these events that has not ended.
fn opened(sent: &Sent, events: &[Bytes]) -> Vec<Step> {
    let first = Step::Send(head(sent, Framing::Chunked, "").into());
    let events = events.iter().filter(|event| !event.is_empty());
    let events = events.map(|event| Step::Send(chunk(event)));
    [first].into_iter().chain(events).collect()
}

/// Returns the steps of a body that is not chunked.
fn plain(sent: &Sent, framing: Framing, events: &[Bytes]) -> Vec<Step> {
    let first = Step::Send(head(sent, framing, "").into());
    let events = events.iter().cloned().map(Step::Send);
    [first].into_iter().chain(events).collect()
}

/// Splits the events in the middle.
fn halves(events: &[Bytes]) -> (&[Bytes], &[Bytes]) {
    events.split_at(events.len() / 2)
}

/// Returns the event after the middle.
fn middle(sent: &Sent) -> Bytes {
    let (_, after) = halves(&sent.events);
    after.first().cloned().unwrap_or_default()
}

/// Returns the events with another one in place of the event after the middle.
fn replaced(sent: &Sent, event: Vec<u8>) -> Vec<Bytes> {
    let (before, after) = halves(&sent.events);
    let after = after.iter().skip(1).cloned();
    let events = before.iter().cloned().chain([event.into()]);
    events.chain(after).collect()
}

fn half(sent: &Sent) -> Bytes {
    let event = middle(sent);
    event.slice(..event.len() / 2)
}

fn data(json: &str) -> Vec<u8> {
    format!("data: {json}\n\n").into_bytes()
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(byte) = rest.first() {
        if let Some(after) = rest.strip_prefix(from) {
            replaced.extend_from_slice(to);
            rest = after;
        } else {
            replaced.push(*byte);
            rest = &rest[1..];
        }
    }
    replaced
}
