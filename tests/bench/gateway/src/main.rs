//! Gateways under load, each a process of its own.
//!
//! `gateway run INFERSTREAM PEERS [--rounds N] [--only NAME]… [--measure NAME]…` prints tables. It starts
//! itself as the upstream and as the load generator.

use std::{env, path::PathBuf};

mod load;
mod peers;
mod process;
mod run;
mod script;
mod upstream;

use crate::{
    load::Target,
    peers::Places,
    run::{Plan, run},
};

const USAGE: &str =
    "usage: gateway run INFERSTREAM PEERS [--rounds N] [--only NAME]… [--measure NAME]…";

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["upstream"] => upstream::serve(),
        ["load", measure, ..] => {
            let target = Target::from_arguments(&arguments[2..]);
            load::run(measure, &target.expect("an address and a model"));
        }
        ["run", inferstream, peers, ref options @ ..] => {
            let places = Places {
                inferstream: absolute(inferstream),
                peers: absolute(peers),
            };
            run(&places, &plan(options));
        }
        _ => panic!("{USAGE}"),
    }
}

fn plan(options: &[&str]) -> Plan {
    let mut plan = Plan {
        rounds: 5,
        only: Vec::new(),
        measures: Vec::new(),
    };
    for pair in options.chunks(2) {
        match *pair {
            ["--rounds", rounds] => plan.rounds = rounds.parse().expect(USAGE),
            ["--only", name] => plan.only.push(name.to_owned()),
            ["--measure", name] => plan.measures.push(name.to_owned()),
            _ => panic!("{USAGE}"),
        }
    }
    plan
}

/// Returns a path for programs that run in another folder.
fn absolute(path: &str) -> PathBuf {
    std::path::absolute(path).expect("a path")
}

/// Returns the median of some figures; for an even number of them, the higher one of the two.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
