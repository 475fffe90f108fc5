//! Responses that `serve` keeps in a file, which survive SIGKILL.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use inferstream_simulator::Simulator;

use crate::serve::{Gateway, post};

/// Starts a gateway before a service, which keeps responses in a file.
fn keeping(folder: &Path, url: &str) -> Gateway {
    let text = format!(
        "[serve]\nlisten = \"127.0.0.1:0\"\n[serve.kept_responses]\nfile = \"kept.jsonl\"\n\
         [providers.local]\nkind = \"openai-compat\"\nbase_url = \"{url}\"\n"
    );
    let path = folder.join("config.toml");
    std::fs::write(&path, text).unwrap();
    Gateway::run(&["serve", "--config", path.to_str().unwrap()])
}

/// Returns whether a complete response is a replay, and its body; `None` if it is not complete.
fn complete(reply: &str) -> Option<(bool, String)> {
    let (head, body) = reply.split_once("\r\n\r\n")?;
    let head = head.to_lowercase();
    let length = head.split("content-length: ").nth(1)?.lines().next()?;
    let is_complete = length.parse() == Ok(body.len());
    is_complete.then(|| {
        assert!(head.starts_with("http/1.1 200 "), "{reply}");
        let is_replay = head.contains("x-inferstream-replayed: true");
        (is_replay, body.to_owned())
    })
}

#[test]
fn a_killed_gateway_has_every_response_that_a_client_got() {
    const ROWS: usize = 60;
    const ROUNDS: usize = 6;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let simulator = runtime.block_on(Simulator::builder().start()).unwrap();
    let url = simulator.compatible_url();
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = keeping(folder.path(), url);
    let mut answers = vec![None::<String>; ROWS];
    let mut replays = 0;
    // Each round asks all rows and kills the gateway meanwhile; the last one does not.
    for round in 0..=ROUNDS {
        let child = gateway.0.take().unwrap();
        let (address, next) = (&gateway.1, AtomicUsize::new(0));
        let (child, collected) = thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut got = Vec::new();
                        loop {
                            let row = next.fetch_add(1, Ordering::Relaxed);
                            if ROWS <= row {
                                return got;
                            }
                            let key = format!("idempotency-key: row-{row}\r\n");
                            let body = format!(
                                r#"{{"model":"local/any","messages":[{{"role":"user","content":"Row {row}"}}]}}"#
                            );
                            // Not complete if the gateway was killed.
                            if let Some(reply) = post(address, &key, &body).ok().as_deref().and_then(complete) {
                                got.push((row, reply));
                            }
                        }
                    })
                })
                .collect();
            let killer = scope.spawn(|| {
                let mut child = child;
                if round < ROUNDS {
                    // At another row in each round.
                    while next.load(Ordering::Relaxed) < 5 + 9 * round {
                        thread::yield_now();
                    }
                    child.kill().unwrap();
                    child.wait().unwrap();
                }
                child
            });
            let collected: Vec<_> = workers
                .into_iter()
                .flat_map(|worker| worker.join().unwrap())
                .collect();
            (killer.join().unwrap(), collected)
        });
        for (row, (is_replay, body)) in collected {
            replays += usize::from(is_replay);
            match &answers[row] {
                // What a client got once stays the response.
                Some(first) => {
                    assert!(is_replay, "row {row} was sent again");
                    assert_eq!(*first, body, "row {row}");
                }
                None => answers[row] = Some(body),
            }
        }
        gateway.0 = Some(child);
        if round < ROUNDS {
            gateway = keeping(folder.path(), url);
        }
    }
    assert!(answers.iter().all(Option::is_some));
    assert!(0 < replays);
    let sent = simulator.requests().len();
    // Those that were in progress at a kill are sent again, at most one for each worker.
    assert!((ROWS..=ROWS + 4 * ROUNDS).contains(&sent), "{sent}");
    let text = std::fs::read_to_string(folder.path().join("kept.jsonl")).unwrap();
    assert!(!text.contains("\"user\""), "{text}");
}
