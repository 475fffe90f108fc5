//! A transport of your own: it prints each request and each retry, and leaves the rest to another one.
//!
//! `cargo run -p inferstream --example own_transport --features cerebras`
//!
//! It uses the simulator in this process, whose first response is 429. `cookbook::write_a_transport` of
//! the documentation has a transport on another HTTP client.

#![allow(clippy::print_stdout, reason = "the program prints what it does")]

use std::{
    error::Error as StdError,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use inferstream::{
    Body, BoxFuture, Error, Result, Timer, Transport, cerebras::Cerebras, transport::HttpTransport,
};
use inferstream_simulator::Simulator;

/// A transport that prints.
#[derive(Debug)]
struct Printing<T> {
    inner: T,
    requests: Arc<AtomicUsize>,
}

impl<T: Transport> Transport for Printing<T> {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Body>>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        println!("{} {}", request.method(), request.uri().path());
        let response = self.inner.send(request);
        Box::pin(async {
            let response = response.await?;
            println!("{}", response.status());
            Ok(response)
        })
    }

    fn detach(&self, task: BoxFuture<'static, ()>) {
        self.inner.detach(task);
    }

    fn on_retry(&self, error: &Error, wait: Duration) {
        println!("{error}; the next attempt is in {wait:?}");
        self.inner.on_retry(error, wait);
    }
}

impl<T: Timer> Timer for Printing<T> {
    fn now(&self) -> Duration {
        self.inner.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.inner.sleep(duration)
    }

    fn system_time(&self) -> SystemTime {
        self.inner.system_time()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn StdError + Send + Sync>> {
    let simulator = Simulator::builder().fault("429:0".parse()?).start().await?;
    let transport = Printing {
        inner: HttpTransport::builder().no_proxy().build()?,
        requests: Arc::default(),
    };
    let requests = Arc::clone(&transport.requests);
    let cerebras = Cerebras::builder()
        .base_url(simulator.base_url())
        .api_key("any")
        .transport(transport)
        .build()?;
    println!("{}", cerebras.chat("Why is the sky blue?").await?.text());
    assert_eq!(requests.load(Ordering::Relaxed), 2);
    Ok(())
}

#[test]
fn it_runs() {
    main().unwrap();
}
