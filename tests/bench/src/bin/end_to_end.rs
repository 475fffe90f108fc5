//! The CPU time of a response from the socket to its events, over loopback.
//!
//! `end_to_end` prints tables, `end_to_end pass WORKLOAD CANDIDATE PASSES` only runs.

use std::{env, sync::Arc};

use bench::{
    clients::{ALL, Candidate, Client, Seen},
    server::{self, EACH, FIFTY, PACED, Scheme, Script, Server},
    timing::{median, time_of},
};
use rustix::time::ClockId;
use tokio::runtime::{Builder, Runtime};

/// How often all candidates take turns; the median counts.
const ROUNDS: usize = 21;

struct Workload {
    name: &'static str,
    script: Script,
}

const WORKLOADS: [Workload; 3] = [
    workload("end to end, an event per HTTP chunk", EACH),
    workload("end to end, 50 events per HTTP chunk", FIFTY),
    workload("end to end, an event at a time", PACED),
];

const fn workload(name: &'static str, script: Script) -> Workload {
    Workload { name, script }
}

/// What drives a client.
struct Driver {
    name: &'static str,
    runtime: Runtime,
    clock: ClockId,
}

impl Driver {
    /// The client runs in this thread.
    fn current_thread() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        Self {
            name: "current-thread",
            runtime: runtime.expect("a runtime can be built"),
            clock: ClockId::ThreadCPUTime,
        }
    }

    /// The client runs in two other threads.
    fn multi_thread() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        Self {
            name: "multi-thread",
            runtime: runtime.expect("a runtime can be built"),
            clock: ClockId::ProcessCPUTime,
        }
    }

    /// Reads a response, and checks that it was the whole.
    fn read(&self, client: &Client, candidate: &Candidate, script: &Script) {
        let seen = Arc::new(Seen::default());
        let reading = client(Arc::clone(&seen));
        self.runtime.block_on(async {
            match self.clock {
                ClockId::ThreadCPUTime => reading.await,
                _ => tokio::spawn(reading).await.expect("no panic"),
            }
        });
        let events = seen.events.load(std::sync::atomic::Ordering::Relaxed);
        assert!(events == script.events || !candidate.decodes, "{events}");
    }

    /// Returns the CPU time in nanoseconds.
    fn time(&self) -> f64 {
        time_of(self.clock)
    }
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    server::run(&arguments);
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            let server = Server::start(Scheme::Http);
            for driver in [Driver::current_thread(), Driver::multi_thread()] {
                print_table(&driver, &server);
            }
        }
        // How many events a read has depends on the moment, unless it has one, or many at a time.
        ["list"] => {
            for workload in &WORKLOADS[1..] {
                println!("{}\t{}", workload.script.events, workload.name);
            }
        }
        ["candidates"] => ALL.iter().for_each(|one| println!("{}", one.name)),
        ["pass", workload, candidate, passes] => {
            let workload = WORKLOADS.iter().find(|one| one.name == workload);
            let candidate = ALL.iter().find(|one| one.name == candidate);
            let (Some(workload), Some(candidate), Ok(passes)) =
                (workload, candidate, passes.parse::<usize>())
            else {
                panic!("no such workload or candidate: {arguments:?}");
            };
            let server = Server::start(Scheme::Http);
            let base = format!("{}/{}", server.base, workload.script.name);
            let client = (candidate.client)(&base, "");
            let driver = Driver::current_thread();
            for _ in 0..passes {
                driver.read(&client, candidate, &workload.script);
            }
        }
        _ => panic!("usage: end_to_end [list | candidates | pass WORKLOAD CANDIDATE PASSES]"),
    }
}

fn print_table(driver: &Driver, server: &Server) {
    print!("| ns per event, {} |", driver.name);
    for candidate in ALL {
        print!(" `{}` |", candidate.name);
    }
    println!(" ours to `reqwest` + `sse-stream` | to `async-openai` |");
    println!("|---|{}---|---|", "---|".repeat(ALL.len()));
    for workload in &WORKLOADS {
        let base = format!("{}/{}", server.base, workload.script.name);
        let times = measure(driver, &base, &workload.script);
        print!("| {} |", workload.name.trim_start_matches("end to end, "));
        for time in &times {
            print!(" {time:.0} |");
        }
        println!(" {:.2} | {:.2} |", times[0] / times[1], times[0] / times[3]);
    }
    println!();
}

/// Returns each candidate's median CPU time per event in nanoseconds.
fn measure(driver: &Driver, base: &str, script: &Script) -> Vec<f64> {
    let clients: Vec<_> = ALL.iter().map(|one| (one.client)(base, "")).collect();
    let mut times = vec![Vec::new(); ALL.len()];
    for round in 0..=ROUNDS {
        for ((candidate, client), times) in ALL.iter().zip(&clients).zip(&mut times) {
            let start = driver.time();
            driver.read(client, candidate, script);
            // The first one connects.
            if 0 < round {
                times.push((driver.time() - start) / script.events as f64);
            }
        }
    }
    times.into_iter().map(median).collect()
}
