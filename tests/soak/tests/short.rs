//! The short form of the soak test, with a fixed seed.

// The checks of sockets and memory need Linux, and so does the way in which resets arrive.
#![cfg(target_os = "linux")]

use std::process::Command;

#[test]
fn a_few_hundred_streams_with_faults_lose_nothing() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soak"));
    let output = command.args(["--seed", "1", "--streams", "300"]).output();
    let output = output.expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}
