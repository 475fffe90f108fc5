//! The events of a provider's stream do not depend on how it is split, and a lost connection never
//! makes a success of it.
#![no_main]

use bytes::Bytes;
use fuzz::{input::Input, outcome::Outcome, service::Service};
use inferstream_test::Piece;

/// What the end of a response is written with: without one of them there is no success.
const ENDS: &[&str] = &["[DONE]", "reason", "done"];

fn run(service: Service, pieces: Vec<Piece>) -> Outcome {
    let transport = service.stream(pieces);
    let client = service.client(&transport).expect("a client");
    let opened = transport.block_on(client.stream(service.request()));
    let outcome = Outcome::read(transport.clock(), opened);
    transport.run_detached();
    outcome
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut input = Input::new(input);
    let service = input.pick(Service::ALL);
    let place = [input.byte(), input.byte()];
    let parts = input.pieces();
    let bytes = parts.concat();
    let shown = || format!("{service:?} {}", String::from_utf8_lossy(&bytes));

    let whole = run(service, vec![Piece::from(&*bytes)]);
    if parts.len() != 1 {
        let pieces = parts.iter().map(|part| Piece::from(*part)).collect();
        let cut = run(service, pieces);
        assert_eq!(cut.told(), whole.told(), "{}", shown());
    }
    let text = String::from_utf8_lossy(&bytes);
    let is_plain = bytes.is_ascii() && !text.contains('\\');
    let has_end = |text: &str| !is_plain || ENDS.iter().any(|end| text.contains(end));
    let is_document = |text: &str| text.trim_start().starts_with(['{', '[', '<']);
    if whole.end.is_ok() {
        assert!(
            has_end(&text) || is_document(&text),
            "{whole:?} {}",
            shown()
        );
    }

    let place = usize::from(u16::from_le_bytes(place)) % (bytes.len() + 1);
    let start = Bytes::copy_from_slice(&bytes[..place]);
    let lost = run(service, vec![Piece::Bytes(start), Piece::disconnect()]);
    let told = || format!("{place} {lost:?} {whole:?} {}", shown());
    assert!(whole.text().starts_with(lost.text()), "{}", told());
    if lost.end.is_ok() {
        let begin = String::from_utf8_lossy(&bytes[..place]);
        assert!(has_end(&begin), "{}", told());
    }
});
