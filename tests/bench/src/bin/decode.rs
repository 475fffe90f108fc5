//! Measures the decoders: `decode` prints a table, `decode pass WORKLOAD CANDIDATE PASSES` only
//! runs one.

use std::{env, hint::black_box};

use bench::{
    decoders::{ALL, Candidate, Kind},
    timing::{median, thread_time},
    workloads::{self, Workload},
};

/// The number of rounds in which all candidates take turns; the median counts.
const ROUNDS: usize = 31;

/// The number of bytes per turn.
const TURN: usize = 1 << 20;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let workloads = workloads::all();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => print_table(&workloads),
        ["list"] => {
            for workload in &workloads {
                println!("{}\t{}", workload.frames, workload.name);
            }
        }
        ["pass", workload, candidate, passes] => {
            let workload = workloads.iter().find(|one| one.name == workload);
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
        _ => panic!("usage: decode [list | pass WORKLOAD CANDIDATE PASSES]"),
    }
}

fn print_table(workloads: &[Workload]) {
    print!("| ns per frame |");
    for candidate in ALL {
        print!(" `{}` {}|", candidate.name, candidate.version);
    }
    println!(" to the best peer | to `eventsource-stream` |");
    println!("|---|{}---|---|", "---|".repeat(ALL.len()));
    for workload in workloads {
        let times = measure(workload);
        let of = |name| {
            let at = ALL.iter().position(|one| one.name == name);
            at.map_or(f64::NAN, |at| times[at].unwrap_or(f64::NAN))
        };
        let peers = ALL
            .iter()
            .zip(&times)
            .filter(|(one, _)| one.kind == Kind::Peer);
        let best = peers
            .filter_map(|(_, time)| *time)
            .fold(f64::INFINITY, f64::min);
        print!("| {} |", workload.name);
        for time in &times {
            match time {
                Some(time) => print!(" {time:.1} |"),
                None => print!(" wrong |"),
            }
        }
        println!(
            " {:.2}x | {:.1}x |",
            best / of("inferstream"),
            of("eventsource-stream") / of("inferstream")
        );
    }
}

/// Returns each candidate's median time per frame in nanoseconds, or `None` if it returned other
/// frames than expected.
fn measure(workload: &Workload) -> Vec<Option<f64>> {
    let expected = (ALL[0].decode)(&workload.reads);
    assert_eq!(expected.0, workload.frames);
    let passes = (TURN / workload.bytes).max(1);
    let mut times = vec![Vec::new(); ALL.len()];
    for _ in 0..ROUNDS {
        for (candidate, times) in ALL.iter().zip(&mut times) {
            times.push(turn(candidate, workload, passes));
        }
    }
    let medians = ALL.iter().zip(times).map(|(candidate, times)| {
        let is_right =
            candidate.kind == Kind::Floor || (candidate.decode)(&workload.reads) == expected;
        is_right.then_some(median(times))
    });
    medians.collect()
}

fn turn(candidate: &Candidate, workload: &Workload, passes: usize) -> f64 {
    let start = thread_time();
    for _ in 0..passes {
        black_box((candidate.decode)(black_box(&workload.reads)));
    }
    (thread_time() - start) / (passes * workload.frames) as f64
}
