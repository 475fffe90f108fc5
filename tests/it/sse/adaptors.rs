//! Frames over a stream of bytes and over a reader, and the strategies that create event streams.

use std::{
    collections::VecDeque,
    error::Error as _,
    io::{self, Read},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::FusedStream};
use inferstream_core::sse::{
    self, Decoder, Frames, FramesError, Limits, OwnedFrame, Reader, TooLarge,
};
use inferstream_test::strategy;
use proptest::prelude::*;

use super::{Seen, decode, naive};
use crate::support::{Clock, block_on, body};

/// A reader that returns one part at each call.
#[derive(Default)]
struct Parts(VecDeque<io::Result<Bytes>>);

impl Parts {
    fn new(parts: impl IntoIterator<Item = Bytes>) -> Self {
        Self(parts.into_iter().map(Ok).collect())
    }
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(part) = self.0.pop_front() else {
            return Ok(0);
        };
        let mut part = part?;
        let length = part.len().min(buffer.len());
        buffer[..length].copy_from_slice(&part.split_to(length));
        if !part.is_empty() {
            self.0.push_front(Ok(part));
        }
        Ok(length)
    }
}

fn data(frames: &[OwnedFrame]) -> Vec<&str> {
    frames.iter().map(|frame| frame.data.as_str()).collect()
}

/// The frames of a stream of bytes, and its error.
fn frames_of<E>(
    bytes: impl IntoIterator<Item = Result<Bytes, E>>,
    decoder: Decoder,
) -> (Vec<OwnedFrame>, Option<FramesError<E>>) {
    let mut frames = Frames::new(stream::iter(bytes), decoder);
    let mut found = Vec::new();
    let error = block_on(&Clock::new(), async {
        while let Some(frame) = frames.next().await {
            match frame {
                Ok(frame) => found.push(frame),
                Err(error) => return Some(error),
            }
        }
        None
    });
    assert!(block_on(&Clock::new(), StreamExt::next(&mut frames)).is_none());
    (found, error)
}

#[test]
fn an_error_of_the_input_comes_after_its_frames_and_is_the_last() {
    let bytes = [
        Ok("data: a\n\ndata: b".into()),
        Err("lost"),
        Ok("\n\n".into()),
    ];
    let (frames, error) = frames_of(bytes, Decoder::default());
    assert_eq!(data(&frames), ["a"]);
    assert_eq!(error, Some(FramesError::Input("lost")));

    let parts = [
        Ok("data: a\n\ndata: b".into()),
        Err(io::Error::other("lost")),
    ];
    let mut reader = sse::read(Parts(parts.into()));
    assert_eq!(reader.next().unwrap().unwrap().data, "a");
    assert_eq!(reader.next().unwrap().unwrap_err().to_string(), "lost");
    assert!(reader.next().is_none());
}

#[test]
fn a_limit_is_an_error_of_both() {
    let decoder = || Decoder::new(Limits::default().line(8));
    let bytes = Bytes::from_static(b"data: a\n\ndata: abc\n\n");
    let too_large = TooLarge::new("line", 8);
    let (frames, error) = frames_of([Ok::<_, io::Error>(bytes.clone())], decoder());
    assert_eq!(data(&frames), ["a"]);
    assert!(matches!(error, Some(FramesError::TooLarge(found)) if found == too_large));

    let mut reader = Reader::new(&bytes[..], decoder());
    assert_eq!(reader.next().unwrap().unwrap().data, "a");
    let error = reader.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let inner = error.get_ref().unwrap().downcast_ref();
    assert_eq!(inner, Some(&too_large));
    assert!(reader.next().is_none());
}

#[test]
fn a_stream_of_frames_has_an_end() {
    let bytes = [Ok::<_, io::Error>("data: a\n\n".into())];
    let mut frames = sse::frames(stream::iter(bytes));
    assert!(!frames.is_terminated());
    let next = |frames: &mut _| block_on(&Clock::new(), StreamExt::next(frames));
    assert_eq!(next(&mut frames).unwrap().unwrap().data, "a");
    assert!(!frames.is_terminated());
    assert!(next(&mut frames).is_none());
    assert!(frames.is_terminated());
}

#[test]
fn the_frames_of_a_body_are_a_stream() {
    let clock = Clock::new();
    let (body, _) = body(&clock, ["data: a\n\nda".into(), "ta: b\n\n".into()]);
    let frames = sse::frames(body);
    let frames: Vec<_> = block_on(&clock, frames.map(Result::unwrap).collect());
    assert_eq!(data(&frames), ["a", "b"]);
}

#[test]
fn an_error_of_the_input_is_the_source() {
    let error = FramesError::Input(io::Error::other("lost"));
    assert_eq!(error.to_string(), "reading the event stream failed");
    assert_eq!(error.source().unwrap().to_string(), "lost");
    let error = FramesError::<io::Error>::TooLarge(TooLarge::new("line", 8));
    let message = "line too large: expected at most 8 bytes";
    assert_eq!(error.to_string(), message);
    assert!(error.source().is_none());
}

#[test]
fn an_interrupted_read_is_repeated() {
    let interrupted = io::Error::from(io::ErrorKind::Interrupted);
    let parts = [Err(interrupted), Ok("data: a\n\n".into())];
    let mut reader = sse::read(Parts(parts.into()));
    assert_eq!(reader.next().unwrap().unwrap().data, "a");
    assert!(reader.next().is_none());
}

#[test]
fn an_incomplete_frame_is_reported_by_the_decoder() {
    for (stream, is_cut) in [("data: a\n\n", false), ("data: a\n\ndata: b\n", true)] {
        let mut reader = sse::read(stream.as_bytes());
        assert_eq!(reader.by_ref().count(), 1);
        assert_eq!(reader.decoder().is_cut(), is_cut);
        let mut frames = sse::frames(stream::iter([Ok::<_, io::Error>(stream.into())]));
        assert_eq!(block_on(&Clock::new(), frames.by_ref().count()), 1);
        assert_eq!(frames.decoder().is_cut(), is_cut);
    }
}

#[test]
fn a_frame_is_returned_before_the_next_read() {
    let mut reader = sse::read(Parts::new(["data: a\n\nda".into(), "ta: b\n\n".into()]));
    assert_eq!(reader.next().unwrap().unwrap().data, "a");
    assert_eq!(reader.next().unwrap().unwrap().data, "b");
}

fn owned(seen: Vec<Seen>) -> Vec<(String, String, String)> {
    let frames = seen.into_iter().filter_map(|item| match item {
        Seen::Frame(event, data, id) => Some((event, data, id)),
        Seen::Retry(_) => None,
    });
    frames.collect()
}

fn parts(frames: &[OwnedFrame]) -> Vec<(String, String, String)> {
    let parts = |frame: &OwnedFrame| {
        let data = frame.data.to_string();
        (frame.event.clone(), data, frame.id.clone())
    };
    frames.iter().map(parts).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_adaptors_see_what_the_decoder_sees(
        stream in strategy::streams(),
        cuts in strategy::cuts(),
    ) {
        let expected = owned(decode(&stream, &[]).0);
        // An empty read would end a reader.
        let mut reads = cuts.split(&stream);
        reads.retain(|read| !read.is_empty());
        let (frames, error) = frames_of(reads.iter().cloned().map(Ok::<_, io::Error>), Decoder::default());
        prop_assert!(error.is_none());
        prop_assert_eq!(&parts(&frames), &expected);
        let frames: Vec<_> = sse::read(Parts::new(reads)).map(Result::unwrap).collect();
        prop_assert_eq!(&parts(&frames), &expected);
    }

    #[test]
    fn the_frames_of_a_valid_stream_are_those_of_the_standard(stream in strategy::valid_streams()) {
        let expected = owned(naive::decode(&stream.bytes).items);
        prop_assert_eq!(parts(&stream.frames), expected);
    }

    #[test]
    fn reads_make_the_same_bytes_together(
        stream in strategy::streams(),
        cuts in strategy::cuts(),
    ) {
        prop_assert_eq!(cuts.split(&stream).concat(), stream);
    }
}

#[test]
fn valid_streams_are_not_trivial() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let streams: Vec<_> = (0..200)
        .map(|_| {
            strategy::valid_streams()
                .new_tree(&mut runner)
                .unwrap()
                .current()
        })
        .collect();
    let frames = || streams.iter().flat_map(|stream| &stream.frames);
    assert!(frames().count() > 200);
    assert!(frames().any(|frame| frame.data.contains('\n')));
    assert!(frames().any(|frame| frame.event != "message" && !frame.id.is_empty()));
    let has = |part: &[u8]| {
        streams
            .iter()
            .any(|stream| stream.bytes.windows(part.len()).any(|found| found == part))
    };
    for part in [
        &b"\r\r"[..],
        b"\r\n\r\n",
        b"\n\n",
        b"\xEF\xBB\xBF",
        b"data\n",
        b"data:  ",
    ] {
        assert!(has(part), "{part:?}");
    }
}
