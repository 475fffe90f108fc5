//! Properties of arbitrary bytes.

use bytes::Bytes;
use inferstream_core::{
    Text,
    sse::{Decoder, Item, Limits},
};
use inferstream_test::strategy::streams;
use proptest::{collection::vec, prelude::*};

use super::{Seen, bytewise, decode, decode_with, naive, take_all};
use crate::support::strategies::cut;

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(0_usize..400, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_reference_decoder_agrees(stream in streams(), cuts in cuts()) {
        let naive = naive::decode(&stream);
        let (decoder, verdict) = decode_with(Decoder::default(), cut(&stream, &cuts));
        prop_assert_eq!(verdict, (naive.items, None));
        prop_assert_eq!(decoder.last_event_id(), naive.last_event_id);
        prop_assert_eq!(decoder.retry(), naive.retry);
    }

    // A read of a few KiB is checked to be text as a whole.
    #[test]
    fn the_second_decoder_sees_the_same_in_large_reads(
        before in streams(),
        after in streams(),
        cuts in cuts(),
        large in 0_usize..3,
        place in 0_usize..4000,
    ) {
        let large = ["x".repeat(3000), "é\ndata: 漢\n\n".repeat(200), "\n".repeat(3000)][large].clone();
        let stream = [&before, large.as_bytes(), &after].concat();
        let naive = naive::decode(&stream);
        for cuts in [vec![], vec![place], cuts] {
            let (decoder, verdict) = decode_with(Decoder::default(), cut(&stream, &cuts));
            prop_assert_eq!(&verdict.0, &naive.items);
            prop_assert_eq!(verdict.1, None);
            prop_assert_eq!(decoder.last_event_id(), &naive.last_event_id);
        }
    }

    #[test]
    fn the_boundaries_of_reads_do_not_matter(
        stream in streams(),
        cuts in cuts(),
        line in 0_usize..40,
        frame in 0_usize..40,
    ) {
        let decoder = || Decoder::new(Limits::default().line(line).frame(frame)).marker("[DONE]");
        let (mut whole, expected) = decode_with(decoder(), cut(&stream, &[]));
        let (mut pieces, verdict) = decode_with(decoder(), cut(&stream, &cuts));
        prop_assert_eq!(&verdict, &expected);
        let (mut bytes, verdict) = decode_with(decoder(), bytewise(&stream));
        prop_assert_eq!(&verdict, &expected);

        let tail = whole.tail().map(|frame| Seen::from(Item::Frame(frame)));
        prop_assert_eq!(pieces.tail().map(|frame| Seen::from(Item::Frame(frame))), tail.clone());
        prop_assert_eq!(bytes.tail().map(|frame| Seen::from(Item::Frame(frame))), tail);
    }

    #[test]
    fn the_time_of_taking_frames_does_not_matter(
        steps in vec((prop::sample::select(vec![
            "data: a\n\n", "data: b\r\n\r\n", "data: c\r\r", "data", ": d", "e\n", "\n", "retry: 1\n",
        ]), 0_usize..3), 0..20),
    ) {
        let mut decoder = Decoder::default();
        let mut items = Vec::new();
        let mut stream = String::new();
        for (piece, takes) in steps {
            stream.push_str(piece);
            decoder.push(piece.into());
            for _ in 0..takes {
                items.extend(decoder.next_item().unwrap().map(Seen::from));
            }
        }
        take_all(&mut decoder, &mut items);
        prop_assert_eq!(items, decode(stream.as_bytes(), &[]).0);
    }

    #[test]
    fn a_tail_equals_the_frame_with_one_more_blank_line(stream in streams()) {
        let (mut decoder, (before, _)) = decode_with(Decoder::default(), cut(&stream, &[]));
        let tail = decoder.tail().map(|frame| Seen::from(Item::Frame(frame)));
        // After a CR, an LF would belong to the same line break; "x" is a separate line.
        let ended = [&stream, &b"\nx\n\n"[..]].concat();
        let mut after = naive::decode(&ended).items;
        after.drain(..before.len());
        after.retain(|item| matches!(item, Seen::Frame(..)));
        prop_assert_eq!(tail, after.pop());
    }

    #[test]
    fn no_bytes_panic(stream in vec(any::<u8>(), 0..300), cuts in cuts()) {
        let (mut decoder, _) = decode_with(Decoder::default().marker("a"), cut(&stream, &cuts));
        decoder.tail();
    }

    #[test]
    fn a_slice_of_text_is_its_text(text in "\\PC{0,20}", start in 0_usize..20, end in 0_usize..20) {
        let buffer = Bytes::from(text.clone());
        let whole = std::str::from_utf8(&buffer).unwrap();
        if let Some(part) = whole.get(start..end) {
            prop_assert_eq!(Text::slice_of(&buffer, part), part);
        }
    }
}
