//! The timeouts of a connection that waits for a request: idle, or within the headers.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt;
use tokio::time::{Sleep, sleep_until};

/// The time at which the first byte of a request arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct FirstByte(Arc<Mutex<Option<Instant>>>);

impl FirstByte {
    /// Notes that a byte has arrived.
    pub(crate) fn arrived(&self) {
        self.with(|first| *first.get_or_insert_with(Instant::now));
    }

    fn clear(&self) {
        self.with(|first| *first = None);
    }

    fn get(&self) -> Option<Instant> {
        self.with(|first| *first)
    }

    fn with<T>(&self, change: impl FnOnce(&mut Option<Instant>) -> T) -> T {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut first)
    }
}

/// A timer for hyper's one timeout, which it starts when it begins to wait for a request and polls
/// after each read. It runs for the idle time, and from the first byte on for the time of the headers.
///
/// A part of a request that arrived during the response before it has the idle time.
#[derive(Debug)]
pub(crate) struct HeadTimer {
    head_timeout: Duration,
    first_byte: FirstByte,
}

impl HeadTimer {
    pub(crate) fn new(head_timeout: Duration, first_byte: FirstByte) -> Self {
        Self {
            head_timeout,
            first_byte,
        }
    }
}

impl rt::Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        self.first_byte.clear();
        Box::pin(Waiting {
            sleep: Box::pin(sleep_until(deadline.into())),
            head_timeout: self.head_timeout,
            first_byte: self.first_byte.clone(),
            has_begun: false,
        })
    }
}

/// The wait for the end of a request's headers.
struct Waiting {
    sleep: Pin<Box<Sleep>>,
    head_timeout: Duration,
    first_byte: FirstByte,
    has_begun: bool,
}

impl Future for Waiting {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.has_begun {
            let deadline = self.first_byte.get();
            let deadline = deadline.and_then(|first| first.checked_add(self.head_timeout));
            if let Some(deadline) = deadline {
                self.has_begun = true;
                self.sleep.as_mut().reset(deadline.into());
            }
        }
        self.sleep.as_mut().poll(cx)
    }
}

impl rt::Sleep for Waiting {}
