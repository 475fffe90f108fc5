//! A test of our program on a network that loses packets, in private network namespaces.

use std::{
    env,
    io::{self, Write as _},
    path::Path,
    process::Command,
    thread,
};

use crate::run::{Outcome, Result, build_program, output, stdout, succeeds, words};

mod scenarios;
mod world;

use self::{scenarios::SCENARIOS, world::World};

/// A scenario: its name, and the function that returns what was observed.
type Scenario = (&'static str, fn(&mut World) -> Result<String>);

/// The first argument of the job when it runs itself inside a namespace.
const INSIDE: &str = "--inside";

/// Runs all scenarios, or those whose name contains the argument.
///
/// Each has a network namespace of its own, in which only loopback exists, and a mount namespace for
/// its `/etc/hosts` and `/etc/resolv.conf`. Both disappear with the process.
pub(crate) fn job(arguments: &[String]) -> Result<Outcome> {
    match arguments {
        [first, name, program] if first == INSIDE => return inside(name, Path::new(program)),
        _ => {}
    }
    if let Some(missing) = missing() {
        return Ok(Outcome::Skipped(missing));
    }
    let filter = arguments.first().map_or("", String::as_str);
    let chosen: Vec<_> = SCENARIOS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| name.contains(filter))
        .collect();
    if chosen.is_empty() {
        return Err(format!("no scenario whose name contains `{filter}`").into());
    }
    let (program, this) = (build_program()?, env::current_exe()?);
    let run = |name: &str| {
        let mut command = Command::new("unshare");
        command.args(words("--net --mount")).arg(&this);
        command.args(["netns", INSIDE, name]).arg(&program);
        let output = output(&mut command).map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        // The simulator prints how to use it before the failure.
        let errors = String::from_utf8_lossy(&output.stderr);
        let reason = errors.split("FAILED: ").last().unwrap_or_default();
        Err(reason.trim().to_owned())
    };
    // They mostly wait, each in its own network.
    let results: Vec<_> = thread::scope(|scope| {
        let started = chosen.iter().map(|name| scope.spawn(|| run(name)));
        let started: Vec<_> = started.collect();
        started
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect()
    });
    let mut failed = 0;
    for (name, result) in chosen.iter().zip(results) {
        match result.unwrap_or_else(|_| Err("the job panicked".to_owned())) {
            Ok(seen) => eprintln!("ok   {name}: {seen}"),
            Err(why) => {
                failed += 1;
                eprintln!("FAIL {name}: {why}");
            }
        }
    }
    match failed {
        0 => Ok(Outcome::Done),
        _ => Err(format!("{failed} of {} scenarios failed", chosen.len()).into()),
    }
}

/// Returns what this machine lacks for the job.
fn missing() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("network namespaces need Linux".to_owned());
    }
    let user = stdout(Command::new("id").arg("-u")).unwrap_or_default();
    if user.trim() != "0" {
        return Some("network namespaces need root: run the job with sudo".to_owned());
    }
    for (tool, version, package) in [
        ("unshare", "--version", "util-linux"),
        ("mount", "--version", "util-linux"),
        ("ip", "-V", "iproute2"),
        ("nft", "--version", "nftables"),
    ] {
        if !succeeds(Command::new(tool).arg(version)) {
            return Some(format!("no `{tool}` here (package {package})"));
        }
    }
    let unshared = |line: &str| {
        let mut command = Command::new("unshare");
        command.args(words("--net --mount")).args(words(line));
        succeeds(&mut command)
    };
    if !unshared("ip link set lo up") {
        return Some("this system does not permit new network namespaces".to_owned());
    }
    if !unshared("nft add table inet t") {
        return Some("this kernel has no nftables".to_owned());
    }
    None
}

/// Runs one scenario in this namespace, and prints what was observed.
fn inside(name: &str, program: &Path) -> Result<Outcome> {
    let scenario = SCENARIOS.iter().find(|(known, _)| *known == name);
    let (_, run) = scenario.ok_or_else(|| format!("no scenario named `{name}`"))?;
    let mut world = World::new(program)?;
    writeln!(io::stdout(), "{}", run(&mut world)?)?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::SCENARIOS;

    #[test]
    fn no_two_scenarios_have_one_name() {
        for (at, (name, _)) in SCENARIOS.iter().enumerate() {
            let mut others = SCENARIOS[at + 1..].iter();
            assert!(others.all(|(other, _)| other != name), "{name}");
        }
    }
}
