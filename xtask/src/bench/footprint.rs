//! The cost of a dependency: the crates, the build and the size of a small program, beside its peers.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::Path,
    process::Command,
};

use crate::{
    footprint::crates,
    run::{Outcome, Result, cargo, read, root, run, stdout, target, words},
};

/// The programs, each of which sends one chat and prints the text as it comes; the floor is written
/// on hyper, rustls and `serde_json` alone.
const PROGRAMS: [&str; 5] = ["floor", "inferstream", "async-openai", "genai", "rig-core"];

/// The folder of the programs, a workspace of its own.
const FOLDER: &str = "tests/bench/footprint";

/// What a program costs.
struct Cost {
    crates: usize,
    /// CPU time of the build, in seconds; `None` if the program was not built.
    build: Option<f64>,
    /// The bytes of the stripped program.
    size: Option<u32>,
}

/// Prints a table. Each program is built from nothing, by one job at a time.
pub(super) fn job() -> Result<Outcome> {
    if cpu_time().is_err() {
        return Ok(Outcome::Skipped("no `/proc/self/stat` here".to_owned()));
    }
    let costs = PROGRAMS.iter().map(|name| measure(name));
    let costs = costs.collect::<Result<Vec<_>>>()?;
    let floor = &costs[0];
    let mut table =
        "| program | crates | build, CPU time | to the floor | stripped | to the floor |\n\
        |---|---|---|---|---|---|\n"
            .to_owned();
    for (name, cost) in PROGRAMS.iter().zip(&costs) {
        write!(table, "| `{name}` | {} |", cost.crates)?;
        match (cost.build, floor.build) {
            (Some(build), Some(floor)) => {
                write!(table, " {build:.1} s | {:.2}x |", build / floor)?;
            }
            _ => table.push_str(" not built | |"),
        }
        match (cost.size, floor.size) {
            (Some(size), Some(floor)) => {
                let (size, floor) = (f64::from(size), f64::from(floor));
                let megabytes = size / f64::from(1 << 20);
                writeln!(table, " {megabytes:.2} MiB | {:.2}x |", size / floor)?;
            }
            _ => table.push_str(" | |\n"),
        }
    }
    io::stdout().write_all(table.as_bytes())?;
    Ok(Outcome::Done)
}

fn measure(name: &str) -> Result<Cost> {
    let folder = root().join(FOLDER);
    let tree = format!("tree --locked -e normal --prefix none -p footprint-{name}");
    let crates = crates(&stdout(cargo(words(&tree)).current_dir(&folder))?).len() - 1;
    let output = target().join("footprint").join(name);
    if output.exists() {
        fs::remove_dir_all(&output)?;
    }
    let before = cpu_time()?;
    let build = format!("build --release --locked --jobs 1 -p footprint-{name} --target-dir");
    let outcome = run(cargo(words(&build)).arg(&output).current_dir(&folder));
    if let Err(error) = outcome {
        eprintln!("{name} was not built: {error}");
        let (build, size) = (None, None);
        return Ok(Cost {
            crates,
            build,
            size,
        });
    }
    let build = Some(cpu_time()? - before);
    let program = format!("footprint-{name}{}", env::consts::EXE_SUFFIX);
    let size = fs::metadata(output.join("release").join(program))?.len();
    let size = Some(u32::try_from(size)?);
    // A build is some hundred MB.
    fs::remove_dir_all(&output)?;
    Ok(Cost {
        crates,
        build,
        size,
    })
}

/// Returns the CPU time that ended child processes have used, in seconds.
fn cpu_time() -> Result<f64> {
    let stat = read(Path::new("/proc/self/stat"))?;
    let ticks = waited_ticks(&stat).ok_or("`/proc/self/stat` has no times of child processes")?;
    let per_second = stdout(Command::new("getconf").arg("CLK_TCK"))?;
    Ok(f64::from(ticks) / per_second.trim().parse::<f64>()?)
}

/// Returns the clock ticks of ended child processes, in user mode and in the kernel: fields 16 and 17
/// of `proc_pid_stat(5)`.
fn waited_ticks(stat: &str) -> Option<u32> {
    // The name in field 2 may have spaces and brackets.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = words(fields).skip(13);
    Some(fields.next()?.parse::<u32>().ok()? + fields.next()?.parse::<u32>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::waited_ticks;

    #[test]
    fn the_ticks_of_children_are_fields_16_and_17() {
        let stat = "7 (a) b) S 4 5 6 7 8 9 10 11 12 13 14 15 160 17 18 19";
        assert_eq!(waited_ticks(stat), Some(177));
        assert_eq!(waited_ticks("7 (a) S 4"), None);
    }
}
