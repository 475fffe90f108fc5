//! The promises that hold under every fault of a service; `wire` checks the faults of bytes.

use inferstream::{ErrorKind, Timeouts};
use inferstream_simulator::{Fault, ProxyFault};

use crate::run::{PROTOCOLS, SOON, TEXT, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_complete_only_if_all_of_it_arrived() {
    let limits = Timeouts::default()
        .tls(SOON)
        .write(SOON)
        .head(SOON)
        .first_event(SOON)
        .idle(SOON)
        .progress(2 * SOON);
    let services = Fault::all().filter(|fault| !matches!(fault, Fault::Wire(_)));
    let faults = services.chain(["503", "429:1", "stream:500"].map(|name| name.parse().unwrap()));
    let runs = faults.flat_map(|fault| {
        PROTOCOLS.map(|protocol| {
            let fault = fault.clone();
            tokio::spawn(async move {
                let name = format!("{fault} {protocol:?}");
                (name, run(fault, protocol, limits).await)
            })
        })
    });
    let runs: Vec<_> = runs.collect();
    for run in runs {
        let (name, seen) = run.await.unwrap();
        match &seen.end {
            Ok(()) => {
                assert_eq!(seen.finishes, 1, "{name}");
                assert!(seen.text == TEXT, "{name}: {seen:?}");
            }
            Err(error) => {
                assert_eq!(seen.finishes, 0, "{name}");
                assert!(TEXT.starts_with(&seen.text), "{name}: {seen:?}");
                assert_ne!(error.kind(), ErrorKind::Config, "{name}: {error}");
            }
        }
        // A chat is sent three times at most; a prediction is created once, and canceled once.
        assert!(seen.works <= 3, "{name}: {seen:?}");
    }
}

#[test]
fn every_id_of_a_fault_is_in_the_table_of_faults() {
    let table = include_str!("../../docs/faults.md");
    let faults = Fault::all().filter_map(|fault| fault.info());
    for info in faults.chain(ProxyFault::ALL.iter().map(|fault| fault.info())) {
        for id in info.ids.split(' ').filter(|id| *id != "-") {
            assert!(
                table.contains(&format!("\n| {id} |")),
                "{}: {id}",
                info.name
            );
        }
    }
}
