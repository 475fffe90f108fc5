//! Counts allocations per frame, separately from the timing, which counting would affect.

use std::{alloc::System, hint::black_box};

use bench::{
    decoders::{ALL, Kind},
    workloads,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let decoders = || ALL.iter().filter(|one| one.kind != Kind::Floor);
    print!("| allocations per frame |");
    for candidate in decoders() {
        print!(" `{}` |", candidate.name);
    }
    println!("\n|---|{}", "---|".repeat(decoders().count()));
    for workload in workloads::all() {
        print!("| {} |", workload.name);
        for candidate in decoders() {
            // `Bytes` allocates once when a read is cloned for the first time; that does not count.
            black_box((candidate.decode)(&workload.reads));
            let region = Region::new(COUNTED);
            black_box((candidate.decode)(&workload.reads));
            let change = region.change();
            let count = change.allocations + change.reallocations;
            print!(" {:.2} |", count as f64 / workload.frames as f64);
        }
        println!();
    }
}
