//! Chunks that need no parser are decoded as the parser would decode them.
#![no_main]

#[path = "../../it/chat/twice.rs"]
mod twice;

use twice::{CHUNKS, EVENTS};

/// A form, a text, another string, and a byte that is changed.
type Made = (u8, String, String, Option<(u16, u8)>);

libfuzzer_sys::fuzz_target!(|input: (u8, Vec<Made>)| {
    let (n, made) = input;
    let frames: Vec<_> = made
        .iter()
        .map(|(form, text, other, change)| {
            let event = EVENTS.get(usize::from(n >> 4)).unwrap_or(&EVENTS[0]);
            let form = CHUNKS[usize::from(*form) % CHUNKS.len()];
            let mut data = form.replace('%', other).replace('@', text).into_bytes();
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
