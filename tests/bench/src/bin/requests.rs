//! Times requests up to the head of the response: `requests` prints tables, `requests pass WORKLOAD
//! inferstream PASSES` only sends.

use std::{env, hint::black_box};

use bench::{
    requests::{CONVERSATIONS, client, conversation, head, length, too_large},
    timing::{median, thread_time},
};
use inferstream_core::ChatRequest;

/// How often a request is sent; the median counts.
const ROUNDS: usize = 31;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => print_tables(),
        ["list"] => {
            for (messages, name) in CONVERSATIONS {
                println!("{messages}\t{name}");
            }
        }
        ["pass", workload, "inferstream", passes] => {
            let workload = CONVERSATIONS.iter().find(|(_, name)| *name == workload);
            let (Some((messages, _)), Ok(passes)) = (workload, passes.parse()) else {
                panic!("no such workload: {arguments:?}");
            };
            let client = client();
            for _ in 0..passes {
                let request = conversation(*messages);
                drop(black_box(head(&client, request)).expect("the request is sent"));
            }
        }
        _ => panic!("usage: requests [list | pass WORKLOAD inferstream PASSES]"),
    }
}

fn print_tables() {
    println!("| request | text | CPU time to the head | per message |\n|---|---|---|---|");
    for (messages, name) in CONVERSATIONS {
        let text = length(&conversation(messages)) as f64 / 1e3;
        let (time, outcome) = measure(|| conversation(messages));
        assert!(outcome, "the request is sent");
        let each = time / messages as f64;
        println!(
            "| {name} | {text:.1} kB | {:.3} ms | {each:.0} ns |",
            time / 1e6
        );
    }
    let (time, outcome) = measure(too_large);
    assert!(!outcome, "the request is refused");
    println!("\nA prompt of 20 MB is refused after {:.3} ms.", time / 1e6);
}

/// Returns the median time until there is an outcome, in nanoseconds, and whether it is a success.
fn measure(request: impl Fn() -> ChatRequest) -> (f64, bool) {
    let client = client();
    let mut times = Vec::new();
    let mut is_sent = false;
    for _ in 0..ROUNDS {
        let request = request();
        let start = thread_time();
        let outcome = black_box(head(&client, request));
        times.push(thread_time() - start);
        is_sent = outcome.is_ok();
    }
    (median(times), is_sent)
}
