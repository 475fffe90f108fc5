//! The files: recovery, changed input, locks, and rows that failed.

use std::fs;

use inferstream_batch::{Input, Part, Reader};
use inferstream_core::ErrorKind;

use crate::support::{Files, Reply, Scripted, lines};

fn provider() -> Scripted {
    Scripted::new(|_| Reply::complete())
}

#[test]
fn a_result_has_the_shape_of_the_batch_api() {
    let (files, provider) = (Files::new(1), provider());
    files.run(&provider, provider.batch());
    let [result] = files.results().try_into().unwrap();
    assert!(result["id"].as_str().unwrap().starts_with("batch_req_"));
    assert_eq!(result["custom_id"], "0");
    assert_eq!(result["response"]["status_code"], 200);
    assert_eq!(result["error"], serde_json::Value::Null);
    let body = &result["response"]["body"];
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "m");
    assert_eq!(body["choices"][0]["message"]["content"], "Yes.");
    assert_eq!(body["usage"]["total_tokens"], 5);
    assert!(!files.path("out.jsonl.under-way").exists());
    assert!(!files.path("out.failed.jsonl").exists());
}

#[test]
fn an_output_that_is_torn_at_any_byte_is_continued() {
    let (files, provider) = (Files::new(3), provider());
    files.run(&provider, provider.batch());
    let whole = fs::read(files.output()).unwrap();
    let end_of_first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for cut in 0..=whole.len() {
        fs::write(files.output(), &whole[..cut]).unwrap();
        let journal = files.journal().unwrap();
        let kept = journal.len();
        drop(journal);
        // A line without its end is complete, too.
        let ends = whole[..cut].split(|byte| *byte == b'\n').count() - 1;
        let lacks_end = usize::from(whole.get(cut) == Some(&b'\n'));
        assert_eq!(kept, ends + lacks_end, "cut at {cut}");
        if cut % 50 == 0 || end_of_first.abs_diff(cut) < 3 {
            let before = provider.asked().len();
            files.run(&provider, provider.batch());
            assert_eq!(files.ids(), [0, 1, 2], "cut at {cut}");
            assert_eq!(provider.asked().len() - before, 3 - kept);
        }
    }
}

#[test]
fn an_invalid_line_that_is_not_the_last_stops_the_run() {
    let (files, provider) = (Files::new(3), provider());
    files.run(&provider, provider.batch());
    let whole = fs::read_to_string(files.output()).unwrap();
    let all: Vec<&str> = whole.lines().collect();
    let failed = all[1].replace(r#""error":null"#, r#""error":{"code":"x"}"#);
    let hash = all[1].replace(r#""request_hash":""#, r#""request_hash":"x"#);
    for line in ["", "{}", "torn", &all[1][..40], &failed, &hash] {
        let text = format!("{}\n{line}\n{}\n", all[0], all[2]);
        fs::write(files.output(), &text).unwrap();
        let error = files.journal().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("invalid line 2 of"), "{error}");
        assert_eq!(fs::read_to_string(files.output()).unwrap(), text);
    }
}

#[test]
fn double_ids_are_reported_with_both_lines() {
    let line = |id: &str| format!("{{\"custom_id\":\"{id}\",\"prompt\":\"x\"}}\n");
    let (files, provider) = (Files::new(0), provider());
    files.set_input(&["a", "b", "a", "c"].map(line).concat());
    let error = files
        .check(&provider, &mut files.journal().unwrap())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid `custom_id` `a`: lines 1 and 3 both have it"
    );
    // The first one is complete from an earlier run.
    files.set_input(&["a", "b"].map(line).concat());
    files.run(&provider, provider.batch());
    files.set_input(&["c", "b", "a", "b"].map(line).concat());
    let error = files
        .check(&provider, &mut files.journal().unwrap())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid `custom_id` `b`: lines 2 and 4 both have it"
    );
    // A generated id can collide, too.
    files.set_input("{\"custom_id\":\"line-2\",\"prompt\":\"x\"}\n{\"prompt\":\"y\"}\n");
    assert!(
        files
            .check(&provider, &mut files.journal().unwrap())
            .is_err()
    );
}

#[test]
fn a_changed_request_stops_the_run_with_its_id() {
    let (files, provider) = (Files::new(2), provider());
    files.run(&provider, provider.batch());
    files.set_input(
        "{\"custom_id\":\"2\",\"prompt\":\"2\"}\n{\"custom_id\":\"1\",\"prompt\":\"other\"}\n",
    );
    let error = files
        .check(&provider, &mut files.journal().unwrap())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        error.to_string().starts_with("invalid row `1` on line 2:"),
        "{error}"
    );
    assert_eq!(provider.asked().len(), 2);
}

#[test]
fn rows_that_were_added_are_asked() {
    let (files, provider) = (Files::new(2), provider());
    files.run(&provider, provider.batch());
    let more = Files::new(5);
    files.set_input(&fs::read_to_string(more.path("in.jsonl")).unwrap());
    let summary = files.run(&provider, provider.batch());
    assert_eq!(summary.complete, 3);
    assert_eq!(files.ids(), [0, 1, 2, 3, 4]);
}

#[cfg(any(unix, windows))]
#[test]
fn a_second_run_on_one_output_is_refused() {
    let files = Files::new(1);
    let first = files.journal().unwrap();
    let error = files.journal().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    drop(first);
    files.journal().unwrap();
}

#[cfg(unix)]
#[test]
fn an_output_that_is_not_a_file_is_refused() {
    let error = inferstream_batch::Journal::open("/dev/null", "scripted").unwrap_err();
    assert!(
        error.to_string().contains("expected a regular file"),
        "{error}"
    );
}

#[test]
fn rows_that_failed_are_an_input_again() {
    let provider = Scripted::new(|asked| match asked.prompt.as_str() {
        "1" | "2" if asked.before == 0 => Reply::error(ErrorKind::InvalidRequest),
        _ => Reply::complete(),
    });
    let files = Files::new(4);
    let summary = files.run(&provider, provider.batch());
    assert_eq!((summary.complete, summary.failed), (2, 2));
    let failed_path = files.path("out.failed.jsonl");
    let failed = lines(&failed_path);
    assert_eq!(failed.len(), 2);
    for line in &failed {
        assert_eq!(line["error"]["code"], "invalid_request");
        assert_eq!(line["error"]["message"], "it failed");
        assert_eq!(line["url"], "/v1/chat/completions");
        assert_eq!(line["body"]["messages"][0]["role"], "user");
        assert_eq!(line["response"], serde_json::Value::Null);
    }
    // Without `retry_failed`, they are kept and not asked.
    let summary = files.run(&provider, provider.batch());
    assert_eq!((summary.complete, summary.failed), (0, 0));
    assert_eq!(lines(&failed_path), failed);
    assert_eq!(provider.asked().len(), 4);
    // Their file as the input.
    let mut journal = files.journal().unwrap();
    journal.retry_failed(true);
    let input = Input::open(&failed_path, Reader::default()).unwrap();
    let checked = input.check(&provider, &mut journal).unwrap();
    assert_eq!((checked.total, checked.failed, checked.invalid), (2, 0, 0));
    let rows = checked.rows(&provider, &journal).unwrap();
    let batch = provider.batch().run_file(rows, &mut journal);
    assert_eq!(provider.clock().block_on(batch).complete, 2);
    journal.finish().unwrap();
    assert_eq!(files.ids(), [0, 1, 2, 3]);
    assert!(!failed_path.exists());
}

#[test]
fn a_failed_row_whose_request_has_changed_is_asked_again() {
    let provider = Scripted::new(|asked| match asked.prompt.as_str() {
        "1" => Reply::error(ErrorKind::InvalidRequest),
        _ => Reply::complete(),
    });
    let files = Files::new(2);
    files.run(&provider, provider.batch());
    files.set_input(
        "{\"custom_id\":\"0\",\"prompt\":\"0\"}\n{\"custom_id\":\"1\",\"prompt\":\"better\"}\n",
    );
    files.run(&provider, provider.batch());
    assert_eq!(files.ids(), [0, 1]);
    assert!(!files.path("out.failed.jsonl").exists());
}

#[test]
fn invalid_rows_are_counted_before_anything_is_sent_and_fail() {
    let (files, provider) = (Files::new(0), provider());
    files
        .set_input("{\"prompt\":\"x\"}\n\nnot JSON\n{\"prompt\":\"refuse\"}\r\n{\"prompt\":\"y\"}");
    let checked = files
        .check(&provider, &mut files.journal().unwrap())
        .unwrap();
    assert_eq!((checked.total, checked.invalid), (4, 2));
    assert_eq!(provider.asked().len(), 0);
    let summary = files.run(&provider, provider.batch());
    assert_eq!(
        (summary.complete, summary.failed, summary.requests),
        (2, 2, 2)
    );
    let failed = lines(&files.path("out.failed.jsonl"));
    assert_eq!(failed[0]["custom_id"], "line-3");
    assert_eq!(failed[0]["line"], "not JSON");
    assert_eq!(failed[1]["custom_id"], "line-4");
    assert_eq!(failed[1]["error"]["message"], "it is not supported");
}

#[test]
fn parts_are_separate() {
    let (files, provider) = (Files::new(10), provider());
    let mut all = Vec::new();
    for index in 1..=3 {
        let output = files.path(&format!("part{index}.jsonl"));
        let mut journal = inferstream_batch::Journal::open(&output, "scripted").unwrap();
        let input = Input::open(files.path("in.jsonl"), Reader::default()).unwrap();
        let input = input.part(Some(Part::new(index, 3).unwrap()));
        let checked = input.check(&provider, &mut journal).unwrap();
        let rows = checked.rows(&provider, &journal).unwrap();
        provider
            .clock()
            .block_on(provider.batch().run_file(rows, &mut journal));
        journal.finish().unwrap();
        all.extend(lines(&output));
    }
    assert_eq!(all.len(), 10);
    assert_eq!(provider.asked().len(), 10);
}

#[test]
fn many_rows_keep_the_file_of_rows_under_way_short() {
    let (files, provider) = (Files::new(10_000), provider());
    let mut journal = files.journal().unwrap();
    let checked = files.check(&provider, &mut journal).unwrap();
    let rows = checked.rows(&provider, &journal).unwrap();
    let path = journal.under_way_path().to_owned();
    let longest = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let own = std::sync::Arc::clone(&longest);
    let batch = provider.batch().on_progress(move |_| {
        let length = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        own.fetch_max(length, std::sync::atomic::Ordering::SeqCst);
    });
    provider
        .clock()
        .block_on(batch.run_file(rows, &mut journal));
    journal.finish().unwrap();
    assert_eq!(files.ids().len(), 10_000);
    // About 4,096 lines of 22 bytes, where all rows would have 220,000 bytes.
    assert!(longest.load(std::sync::atomic::Ordering::SeqCst) < 110_000);
}
