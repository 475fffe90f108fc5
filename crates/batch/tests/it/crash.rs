//! A process that ends while requests are under way.

use std::{fs, future::poll_fn, pin::pin, task::Poll, time::Duration};

use inferstream_batch::{Batch, Failure, Summary};
use inferstream_core::{ErrorKind, Timer as _};
use proptest::prelude::{ProptestConfig, proptest};

use crate::support::{Files, Reply, Scripted, lines};

/// Runs a batch for a time, and drops all of it as if the process had ended. Returns the summary if
/// the batch ended earlier.
fn run_for(files: &Files, provider: &Scripted, batch: Batch, time: Duration) -> Option<Summary> {
    let mut journal = files.journal().unwrap();
    let checked = files.check(provider, &mut journal).unwrap();
    let rows = checked.rows(provider, &journal).unwrap();
    let running = batch.run_file(rows, &mut journal);
    let mut end = provider.clock().sleep(time);
    let mut running = Box::pin(running);
    let both = poll_fn(|cx| {
        if let Poll::Ready(summary) = running.as_mut().poll(cx) {
            return Poll::Ready(Some(summary));
        }
        pin!(&mut end).poll(cx).map(|()| None)
    });
    let summary = provider.clock().block_on(both);
    drop(running);
    if summary.is_some() {
        journal.finish().unwrap();
    }
    summary
}

#[test]
fn rows_under_way_are_sent_again_and_counted() {
    let provider = Scripted::new(|_| Reply::complete());
    let files = Files::new(20);
    // After 1.5 s, eight are complete and nine are under way.
    assert!(
        run_for(
            &files,
            &provider,
            provider.batch(),
            Duration::from_millis(1_500)
        )
        .is_none()
    );
    let under_way = provider.asked().len() - files.ids().len();
    assert_eq!(under_way, 9);
    let summary = files.run(&provider, provider.batch());
    assert_eq!(summary.maybe_paid_twice, 9);
    assert_eq!(files.ids(), (0..20).collect::<Vec<_>>());
    assert_eq!(provider.asked().len(), 20 + 9);
    assert!(!files.path("out.jsonl.under-way").exists());
}

#[test]
fn rows_under_way_are_not_sent_again_with_at_most_once() {
    let provider = Scripted::new(|_| Reply::complete());
    let files = Files::new(20);
    run_for(
        &files,
        &provider,
        provider.batch(),
        Duration::from_millis(1_500),
    );
    let summary = files.run(&provider, provider.batch().at_most_once(true));
    assert_eq!((summary.failed, summary.maybe_paid_twice), (9, 0));
    assert_eq!(provider.asked().len(), 20);
    let failed = lines(&files.path("out.failed.jsonl"));
    assert!(
        failed
            .iter()
            .all(|line| line["error"]["code"] == Failure::MAYBE_PAID)
    );
}

#[test]
fn responses_that_the_service_keeps_are_resumed() {
    let provider = Scripted::keeping(|_| Reply::complete());
    let files = Files::new(20);
    // After 0.7 s, the first eight are named and not complete.
    run_for(
        &files,
        &provider,
        provider.batch(),
        Duration::from_millis(700),
    );
    assert_eq!(provider.asked().len(), 8);
    assert_eq!(files.ids(), [0_usize; 0]);
    let summary = files.run(&provider, provider.batch().at_most_once(true));
    assert_eq!(
        (summary.resumed, summary.maybe_paid_twice, summary.failed),
        (8, 0, 0)
    );
    assert_eq!(files.ids(), (0..20).collect::<Vec<_>>());
    assert_eq!(provider.asked().len(), 20);
}

#[test]
fn a_response_without_a_name_is_reported() {
    let provider = Scripted::keeping(|_| Reply::complete());
    let files = Files::new(20);
    // After 0.2 s, no response is named: this is the window that cannot be closed.
    run_for(
        &files,
        &provider,
        provider.batch(),
        Duration::from_millis(200),
    );
    let summary = files.run(&provider, provider.batch());
    assert_eq!((summary.resumed, summary.maybe_paid_twice), (0, 8));
    assert_eq!(provider.asked().len(), 28);
}

#[test]
fn a_kept_response_that_is_gone_is_asked_again() {
    let provider = Scripted::keeping(|_| Reply::complete());
    let files = Files::new(3);
    run_for(
        &files,
        &provider,
        provider.batch(),
        Duration::from_millis(700),
    );
    // The same ids at a service that does not know them.
    let other = Scripted::keeping(|_| Reply::complete());
    let summary = files.run(&other, other.batch());
    assert_eq!((summary.resumed, summary.maybe_paid_twice), (0, 3));
    assert_eq!(files.ids(), [0, 1, 2]);
}

#[test]
fn a_refused_row_is_not_under_way_any_more() {
    let provider = Scripted::new(|asked| match asked.prompt.as_str() {
        "0" => Reply::error(ErrorKind::InvalidRequest),
        _ => Reply::complete().after(Duration::from_secs(9)),
    });
    let files = Files::new(2);
    run_for(&files, &provider, provider.batch(), Duration::from_secs(2));
    let summary = files.run(&provider, provider.batch());
    assert_eq!(summary.maybe_paid_twice, 1);
}

#[test]
fn a_torn_file_of_rows_under_way_is_read() {
    let provider = Scripted::new(|_| Reply::complete());
    let files = Files::new(8);
    run_for(
        &files,
        &provider,
        provider.batch(),
        Duration::from_millis(500),
    );
    let path = files.path("out.jsonl.under-way");
    let whole = fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        drop(files.journal().unwrap());
    }
    fs::write(&path, "foreign\n{}\n").unwrap();
    assert!(files.journal().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn crashes_lose_nothing_and_repeat_only_what_was_under_way(
        crashes in proptest::collection::vec(0_u64..4_000, 0..6),
        keeps: bool,
        max in 1_usize..12,
        tears in proptest::collection::vec(0_usize..200, 6),
    ) {
        let script = |asked: &crate::support::Asked| {
            let number: u64 = asked.prompt.parse().unwrap();
            Reply::complete().after(Duration::from_millis(100 + number * 37 % 900))
        };
        let provider = if keeps { Scripted::keeping(script) } else { Scripted::new(script) };
        let files = Files::new(40);
        let mut reported = 0;
        for (crash, tear) in crashes.iter().zip(&tears) {
            let batch = provider.batch().max_in_flight(max);
            let ended = run_for(&files, &provider, batch, Duration::from_millis(*crash));
            reported += ended.map_or(0, |summary| summary.maybe_paid_twice);
            // A power failure tears the last line.
            if !keeps && *tear < 100 {
                let file = fs::OpenOptions::new().write(true).open(files.output()).unwrap();
                let length = file.metadata().unwrap().len();
                file.set_len(length.saturating_sub(u64::try_from(*tear).unwrap())).unwrap();
            }
        }
        files.run(&provider, provider.batch().max_in_flight(max));
        assert_eq!(files.ids(), (0..40).collect::<Vec<_>>());
        let most = 40 + crashes.len() * (max + 1);
        assert!(provider.asked().len() <= most, "{} > {most}", provider.asked().len());
        let _ = reported;
        assert!(!files.path("out.jsonl.under-way").exists());
    }
}
