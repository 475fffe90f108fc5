//! The memory of open streams that wait for their next event.
//!
//! `memory` prints a table, `memory hold CANDIDATE http|https COUNT` the bytes per stream of one
//! candidate, in a process that nothing else has used.

use std::{
    env, fs,
    process::Command,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bench::{
    clients::{ALL, Client, Seen},
    server::{self, IDLE, Scheme, Server},
};

const STREAMS: usize = 10_000;

/// How many streams are opened before the count begins, so that what a process needs once is not
/// counted.
const EARLIER: usize = 200;

/// How many are opened at a time.
const AT_A_TIME: usize = 50;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    server::run(&arguments);
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => print_table(),
        ["hold", candidate, scheme, count] => {
            let candidate = ALL.iter().find(|one| one.name == candidate);
            let (Some(candidate), Ok(count)) = (candidate, count.parse()) else {
                panic!("no such candidate: {arguments:?}");
            };
            let scheme = match scheme {
                "https" => Scheme::Https,
                _ => Scheme::Http,
            };
            let server = Server::start(scheme);
            let base = format!("{}/{}", server.base, IDLE.name);
            println!(
                "{}",
                hold(&(candidate.client)(&base, &server.certificate), count)
            );
        }
        _ => panic!("usage: memory [hold CANDIDATE http|https COUNT]"),
    }
}

fn print_table() {
    println!("| KiB per stream | plain | TLS |\n|---|---|---|");
    for candidate in ALL {
        print!("| `{}` |", candidate.name);
        for scheme in ["http", "https"] {
            let output = Command::new(env::current_exe().expect("the program has a path"))
                .args(["hold", candidate.name, scheme, &STREAMS.to_string()])
                .output()
                .expect("the program can be started");
            let told = String::from_utf8_lossy(&output.stdout);
            let bytes: f64 = told.trim().parse().unwrap_or_else(|_| {
                panic!("{}", String::from_utf8_lossy(&output.stderr));
            });
            print!(" {:.1} |", bytes / 1024.0);
        }
        println!();
    }
}

/// Opens streams, and returns the bytes per stream once all of them wait.
fn hold(client: &Client, count: usize) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async {
        let seen = Arc::new(Seen::default());
        open(client, &seen, EARLIER).await;
        let before = resident();
        open(client, &seen, count).await;
        (resident() - before) / count
    })
}

/// Opens streams, each in a task, until each has had its events.
async fn open(client: &Client, seen: &Arc<Seen>, count: usize) {
    for first in (0..count).step_by(AT_A_TIME) {
        let before = seen.events.load(Relaxed);
        let more = AT_A_TIME.min(count - first);
        for _ in 0..more {
            tokio::spawn(client(Arc::clone(seen)));
        }
        while seen.events.load(Relaxed) < before + more * IDLE.events {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Returns the resident memory of this process in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("a system with `/proc`");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kibibytes
        .expect("VmRSS")
        .trim()
        .parse::<usize>()
        .expect("a number")
        * 1024
}
