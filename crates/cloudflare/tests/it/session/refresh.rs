//! Refreshing a session: which caller runs it, and what the other callers wait for.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use inferstream_cloudflare::playground::session::{Lease, Session, SessionData};
use inferstream_core::{Error, ErrorKind, Result};
use serde_json::json;

use super::{PATH, Place, cookies, data, forget, memory, now, save};

/// A waker that counts its calls.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll<F: Future>(future: Pin<&mut F>, woken: &Arc<Woken>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(woken))))
}

/// A refresh that waits until a test opens it.
#[derive(Default)]
struct Gate {
    answer: Mutex<Option<Result<SessionData>>>,
    begun: AtomicUsize,
}

impl Gate {
    fn open(&self, answer: Result<SessionData>) {
        *self.answer.lock().unwrap() = Some(answer);
    }

    async fn refresh(&self) -> Result<SessionData> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        poll_fn(|_| match &*self.answer.lock().unwrap() {
            Some(answer) => Poll::Ready(answer.clone()),
            None => Poll::Pending,
        })
        .await
    }

    fn ask<'a>(
        &'a self,
        session: &'a Session,
        at: Duration,
    ) -> impl Future<Output = Result<Lease>> + Send + 'a {
        session.get_or_refresh(PATH, now(), move || at, || self.refresh())
    }
}

#[test]
fn one_of_fifty_callers_refreshes() {
    let (session, gate, at) = (memory(), Gate::default(), Duration::ZERO);
    let woken = Arc::<Woken>::default();
    let mut calls: Vec<_> = (0..50).map(|_| Box::pin(gate.ask(&session, at))).collect();
    for call in &mut calls {
        assert!(poll(call.as_mut(), &woken).is_pending());
        assert!(poll(call.as_mut(), &woken).is_pending());
    }
    // A caller that is dropped is not waited for.
    drop(calls.remove(20));
    gate.open(Ok(data(&[("a", "1")])));
    for call in &mut calls {
        let Poll::Ready(Ok(lease)) = poll(call.as_mut(), &woken) else {
            panic!("no lease");
        };
        assert_eq!(cookies(&lease), "a=1");
    }
    assert_eq!(gate.begun.load(Ordering::Relaxed), 1);
    assert_eq!(woken.0.load(Ordering::Relaxed), 48);
    // Fifty late failures discard the session once; they do not affect the lease of the next
    // session.
    let lease = session.lease(PATH, now());
    forget(&session, &lease);
    let next = poll(pin!(gate.ask(&session, at)), &woken);
    assert!(matches!(next, Poll::Ready(Ok(_))));
    forget(&session, &lease);
    assert_eq!(cookies(&session.lease(PATH, now())), "a=1");
    assert_eq!(gate.begun.load(Ordering::Relaxed), 2);
}

#[test]
fn a_failure_is_shared_for_thirty_seconds() {
    let (session, gate, at) = (memory(), Gate::default(), Duration::ZERO);
    let woken = Arc::<Woken>::default();
    let mut calls: Vec<_> = (0..9).map(|_| Box::pin(gate.ask(&session, at))).collect();
    for call in &mut calls {
        assert!(poll(call.as_mut(), &woken).is_pending());
    }
    gate.open(Err(Error::new(ErrorKind::Challenge, "no browser")));
    for call in &mut calls {
        let Poll::Ready(Err(error)) = poll(call.as_mut(), &woken) else {
            panic!("no error");
        };
        assert_eq!(error.kind(), ErrorKind::Challenge);
    }
    gate.open(Ok(data(&[("a", "1")])));
    let ask = |after| {
        poll(
            pin!(gate.ask(&session, at + Duration::from_secs(after))),
            &woken,
        )
    };
    assert!(matches!(ask(29), Poll::Ready(Err(_))));
    assert_eq!(gate.begun.load(Ordering::Relaxed), 1);
    assert!(matches!(ask(30), Poll::Ready(Ok(_))));
    assert!(
        matches!(ask(0), Poll::Ready(Ok(_))),
        "an existing session needs no refresh"
    );
    assert_eq!(gate.begun.load(Ordering::Relaxed), 2);
}

#[test]
fn another_caller_refreshes_if_the_first_is_dropped() {
    let (session, gate, at) = (memory(), Gate::default(), Duration::ZERO);
    let woken = Arc::<Woken>::default();
    let mut calls: Vec<_> = (0..3).map(|_| Box::pin(gate.ask(&session, at))).collect();
    for call in &mut calls {
        assert!(poll(call.as_mut(), &woken).is_pending());
    }
    drop(calls.remove(0));
    assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    for call in &mut calls {
        assert!(poll(call.as_mut(), &woken).is_pending());
    }
    assert_eq!(gate.begun.load(Ordering::Relaxed), 2);
    gate.open(Ok(data(&[])));
    for call in &mut calls {
        assert!(poll(call.as_mut(), &woken).is_ready());
    }
}

#[test]
fn concurrent_threads_refresh_once() {
    let session = memory();
    let begun = AtomicUsize::new(0);
    let refresh = async || {
        begun.fetch_add(1, Ordering::Relaxed);
        thread::yield_now();
        Ok(data(&[("a", "1")]))
    };
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let call = session.get_or_refresh(PATH, now(), || Duration::ZERO, refresh);
                assert_eq!(cookies(&block_on(call).unwrap()), "a=1");
            });
        }
    });
    assert_eq!(begun.load(Ordering::Relaxed), 1);
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn a_refreshed_session_keeps_the_files_unknown_members() {
    let place = Place::with(
        &json!({"cookies": {"old": "1"}, "headers": {"user-agent": "old"}, "later": [1]}),
    );
    let session = place.session();
    let fresh = async || Ok(data(&[("new", "2")]));
    let lease = block_on(session.get_or_refresh(PATH, now(), || Duration::ZERO, fresh)).unwrap();
    assert_eq!(save(&session, &lease), []);
    let content = place.content();
    assert_eq!(content["cookies"], json!({"new": "2"}));
    assert_eq!(content["later"], json!([1]));
    assert_ne!(content["headers"]["user-agent"], "old");
}
