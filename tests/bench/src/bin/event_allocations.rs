//! Counts allocations per text of a chat stream, apart from the times, which counting would change.

use std::{alloc::System, hint::black_box};

use bench::chats::{ALL, workloads};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    print!("| allocations per text |");
    for candidate in ALL {
        print!(" `{}` |", candidate.name);
    }
    println!("\n|---|{}", "---|".repeat(ALL.len()));
    for workload in workloads() {
        print!("| {} |", workload.name);
        for candidate in ALL {
            // What `Bytes` allocates once, the first time that a read is cloned, is not theirs.
            black_box((candidate.decode)(&workload.reads));
            let region = Region::new(COUNTED);
            black_box((candidate.decode)(&workload.reads));
            let change = region.change();
            let count = change.allocations + change.reallocations;
            print!(" {:.3} |", count as f64 / workload.frames as f64);
        }
        println!();
    }
}
