//! What a stream keeps in memory.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use inferstream_compose::ThinkTags;
use inferstream_core::{
    Body, ChatStream, Timeouts, Timer as _,
    protocol::{Started, read_stream},
    sse::Decoder,
};

use crate::{
    clock::{Toy, frames, scripted},
    support::{Script, block_on},
};

#[test]
fn headers_do_not_keep_the_buffer_that_they_were_read_into() {
    struct Buffer(&'static [u8], Arc<AtomicBool>);

    impl AsRef<[u8]> for Buffer {
        fn as_ref(&self) -> &[u8] {
            self.0
        }
    }

    impl Drop for Buffer {
        fn drop(&mut self) {
            self.1.store(true, SeqCst);
        }
    }

    let dropped = Arc::new(AtomicBool::new(false));
    let buffer = Bytes::from_owner(Buffer(b"r-1, \xff\t x, ", Arc::clone(&dropped)));
    let mut response = Response::new(Body::from("data: fin\n\n"));
    let headers = response.headers_mut();
    for (name, range) in [("x-request-id", 0..3), ("cookie", 5..9), ("cookie", 3..3)] {
        let mut value = HeaderValue::from_maybe_shared(buffer.slice(range)).unwrap();
        value.set_sensitive(name == "cookie");
        headers.append(HeaderName::from_static(name), value);
    }
    drop(buffer);
    let expected = headers.clone();
    let text = |headers: &HeaderMap| format!("{headers:?}");
    let shown = text(&expected);
    let copied: Vec<_> = expected
        .iter()
        .map(|(_, value)| value.as_bytes().to_vec())
        .collect();
    drop(expected);

    let script = Script::new([]);
    let started = Started::new(script.clone(), script.now(), Timeouts::default(), response);
    let stream = read_stream(started, Decoder::default(), Toy);
    assert!(dropped.load(SeqCst));
    let headers = &stream.meta().headers;
    assert_eq!(text(headers), shown);
    let values: Vec<_> = headers
        .values()
        .map(|value| value.as_bytes().to_vec())
        .collect();
    assert_eq!(values, copied);
}

#[test]
fn finish_moves_the_response_out_of_the_stream() {
    let wraps: [fn(ChatStream) -> ChatStream; 2] = [
        |stream| stream,
        |stream| ThinkTags::default().split_stream(stream),
    ];
    for wrap in wraps {
        let (script, stream) = scripted(vec![frames(3), "data: fin\n\n".into()]);
        let mut stream: ChatStream = wrap(stream);
        while block_on(&script.clock, stream.next()).is_some() {}
        let text = stream.partial().text().as_ptr();
        let response = block_on(&script.clock, stream.finish()).unwrap();
        assert_eq!(response.text(), "aaa");
        assert_eq!(response.text().as_ptr(), text);
    }
}
