//! Times decoders of chat streams, from bytes to events: `events` prints a table, `events pass
//! WORKLOAD CANDIDATE PASSES` only runs.

use std::{env, hint::black_box};

use bench::{
    chats::{ALL, Candidate, workloads},
    timing::{median, thread_time},
    workloads::Workload,
};

/// How often all candidates take turns; the median counts.
const ROUNDS: usize = 31;

/// How many bytes a turn decodes.
const TURN: usize = 1 << 20;

/// The peer that ratios refer to.
const PEER: &str = "eventsource-stream + async-openai";

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let workloads = workloads();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => print_table(&workloads),
        ["list"] => {
            for workload in &workloads {
                println!("{}\tevents: {}", workload.frames, workload.name);
            }
        }
        ["pass", workload, candidate, passes] => {
            let name = workload.trim_start_matches("events: ");
            let workload = workloads.iter().find(|one| one.name == name);
            let candidate = ALL.iter().find(|one| one.name == candidate);
            let (Some(workload), Some(candidate), Ok(passes)) =
                (workload, candidate, passes.parse())
            else {
                panic!("no such workload or candidate: {arguments:?}");
            };
            for _ in 0..passes {
                black_box((candidate.decode)(black_box(&workload.reads)));
            }
        }
        _ => panic!("usage: events [list | pass WORKLOAD CANDIDATE PASSES]"),
    }
}

fn print_table(workloads: &[Workload]) {
    print!("| ns per text |");
    for candidate in ALL {
        print!(" `{}` |", candidate.name);
    }
    println!(" to the best peer | to `{PEER}` |");
    println!("|---|{}---|---|", "---|".repeat(ALL.len()));
    for workload in workloads {
        let times = measure(workload);
        let best = times[1..].iter().copied().fold(f64::INFINITY, f64::min);
        let peer = ALL.iter().position(|one| one.name == PEER);
        let peer = peer.map_or(f64::NAN, |at| times[at]);
        print!("| {} |", workload.name);
        for time in &times {
            print!(" {time:.1} |");
        }
        println!(" {:.1}x | {:.1}x |", best / times[0], peer / times[0]);
    }
}

/// Returns the median time per text of each candidate in nanoseconds.
fn measure(workload: &Workload) -> Vec<f64> {
    for candidate in ALL {
        let seen = (candidate.decode)(&workload.reads);
        assert_eq!(seen, (ALL[0].decode)(&workload.reads), "{}", candidate.name);
        assert_eq!(seen.0, workload.frames, "{}", candidate.name);
    }
    let passes = (TURN / workload.bytes).max(1);
    let mut times = vec![Vec::new(); ALL.len()];
    for _ in 0..ROUNDS {
        for (candidate, times) in ALL.iter().zip(&mut times) {
            times.push(turn(candidate, workload, passes));
        }
    }
    times.into_iter().map(median).collect()
}

fn turn(candidate: &Candidate, workload: &Workload, passes: usize) -> f64 {
    let start = thread_time();
    for _ in 0..passes {
        black_box((candidate.decode)(black_box(&workload.reads)));
    }
    (thread_time() - start) / (passes * workload.frames) as f64
}
