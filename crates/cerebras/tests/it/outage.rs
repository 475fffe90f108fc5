//! A total outage over real sockets: the requests are counted at the server.

use inferstream_cerebras::{Cerebras, HttpTransport};
use inferstream_simulator::Simulator;

/// The number of calls.
const CALLS: u32 = 3000;

/// The number of calls at once.
const AT_ONCE: u32 = 50;

/// The retries that a full budget allows.
const FULL: u32 = 20;

#[tokio::test]
async fn thousands_of_failing_calls_send_few_more_requests() {
    let fault = "503".parse().unwrap();
    let simulator = Simulator::builder().every_fault(fault).start().await;
    let simulator = simulator.unwrap();
    let transport = HttpTransport::builder().no_proxy().build().unwrap();
    let client = Cerebras::builder()
        .api_key("csk-own")
        .base_url(simulator.base_url())
        .transport(transport)
        .build()
        .unwrap();
    let workers = (0..AT_ONCE).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            let (mut attempts, mut exhausted) = (0, 0);
            for _ in 0..CALLS / AT_ONCE {
                let error = client.chat("Hi").await.unwrap_err();
                assert_eq!(error.status().unwrap().as_u16(), 503);
                attempts += error.attempts();
                exhausted += u32::from(error.is_retry_budget_exhausted());
            }
            (attempts, exhausted)
        })
    });
    let (mut attempts, mut exhausted) = (0, 0);
    for worker in workers.collect::<Vec<_>>() {
        let counts = worker.await.unwrap();
        attempts += counts.0;
        exhausted += counts.1;
    }
    let requests = u32::try_from(simulator.requests().len()).unwrap();
    assert_eq!(requests, attempts);
    assert!(requests <= CALLS * 12 / 10 + FULL, "{requests} requests");
    assert!(CALLS + FULL <= requests, "{requests} requests");
    assert!(CALLS * 9 / 10 <= exhausted, "{exhausted} errors");
}
