//! Counts the memory of requests, apart from the times, which counting would change.

use bench::requests::{CONVERSATIONS, client, conversation, head, length, too_large};
use inferstream_core::ChatRequest;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

fn main() {
    let client = client();
    // What is allocated once is not the requests'.
    drop(head(&client, conversation(2)));
    println!(
        "| memory of a request | text | at the peak | held while streaming |\n|---|---|---|---|"
    );
    for (messages, name) in CONVERSATIONS {
        let (text, peak, held) = measure(
            || conversation(messages),
            |request| head(&client, request).expect("the request is sent"),
        );
        println!(
            "| {name} | {} | {} | {} |",
            size(text),
            times(peak, text),
            times(held, text)
        );
    }
    let (text, peak, _) = measure(too_large, |request| head(&client, request).is_err());
    println!(
        "| refused prompt of 20 MB | {} | {} | |",
        size(text),
        times(peak, text)
    );
}

/// Returns the bytes of a request's texts, the most bytes that were allocated at once for it, and
/// those that are left while its outcome is there; the request itself is counted too.
fn measure<T>(
    request: impl Fn() -> ChatRequest,
    outcome: impl Fn(ChatRequest) -> T,
) -> (usize, usize, usize) {
    let text = length(&request());
    let before = MEMORY.current_usage();
    let request = request();
    MEMORY.reset_peak_usage();
    let outcome = outcome(request);
    let (peak, held) = (MEMORY.peak_usage(), MEMORY.current_usage());
    drop(outcome);
    (text, peak - before, held - before)
}

fn size(bytes: usize) -> String {
    format!("{:.1} KiB", bytes as f64 / 1024.0)
}

/// Shows a number of bytes, and how many times the text that is.
fn times(bytes: usize, text: usize) -> String {
    format!("{} ({:.2}x)", size(bytes), bytes as f64 / text as f64)
}
