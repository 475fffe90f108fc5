//! Chunks that need no parser are decoded as the parser would decode them.
#![no_main]

#[path = "../../it/chat/twice.rs"]
mod twice;

use twice::{CHUNKS, EVENTS, NUMBERS};

/// A form, a text, another string, a number, and a byte that is changed.
type Made = (u8, String, String, (u8, u64), Option<(u16, u8)>);

libfuzzer_sys::fuzz_target!(|input: (u8, Vec<Made>)| {
    let (n, made) = input;
    let frames: Vec<_> = made
        .iter()
        .map(|(form, text, other, (kind, number), change)| {
            let event = EVENTS.get(usize::from(n >> 4)).unwrap_or(&EVENTS[0]);
            let form = CHUNKS[usize::from(*form) % CHUNKS.len()];
            // Three of four are integers, with fewer and fewer digits.
            let number = match NUMBERS.get(usize::from(*kind)) {
                Some(number) => (*number).to_owned(),
                None => (number >> (kind % 64)).to_string(),
            };
            let mut data = twice::fill(form, text, other, &number).into_bytes();
            if let Some((at, byte)) = change {
                if let Some(changed) = data.get_mut(usize::from(*at)) {
                    *changed = *byte;
                }
            }
            (*event, String::from_utf8_lossy(&data).into_owned())
        })
        .collect();
    twice::decode(&frames, u32::from(n % 3) + 1);
});
