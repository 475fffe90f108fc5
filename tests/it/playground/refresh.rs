//! Refreshing the session: one refresh for all requests, and its failures.

use std::{
    collections::BTreeSet,
    fmt,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderValue, Request, Response, header};
use inferstream_cloudflare::{
    Cloudflare, CloudflareBuilder, ErrorKind, Phase, Timeouts, playground::session::SessionData,
};
use inferstream_core::{Body, BoxFuture, ChatResponse, Error, Result, Timer, Transport};

use crate::support::{Clock, block_on, seconds, sse};

/// How long a response and a refresh take.
const PAUSE: Duration = seconds(1);

/// A playground that accepts one session, which is the value of its cookie `s`.
#[derive(Clone)]
struct Door {
    clock: Clock,
    state: Arc<State>,
}

struct State {
    valid: AtomicUsize,
    refreshes: AtomicUsize,
    /// The cookies of each request.
    requests: Mutex<Vec<String>>,
    /// The `Set-Cookie` headers of each response.
    sets: Vec<HeaderValue>,
}

/// The value of the cookie of a session.
fn cookie(number: usize) -> String {
    format!("canary-5b1e-{number}")
}

/// The outcome of a refresh.
#[derive(Clone, Copy)]
enum Refreshed {
    /// A session with its number.
    Session,
    Failed,
    Stalled,
}

use Refreshed::{Failed, Session, Stalled};

impl Door {
    fn new() -> Self {
        Self::setting(Vec::new())
    }

    fn setting(sets: Vec<HeaderValue>) -> Self {
        let state = State {
            valid: AtomicUsize::new(1),
            refreshes: AtomicUsize::new(0),
            requests: Mutex::default(),
            sets,
        };
        Self {
            clock: Clock::new(),
            state: Arc::new(state),
        }
    }

    /// Creates a client whose refreshes have these outcomes; the last one repeats.
    fn client(&self, outcomes: &'static [Refreshed]) -> CloudflareBuilder {
        let door = self.clone();
        let refresh = move || door.refresh(outcomes);
        let builder = Cloudflare::builder().playground().refresh(refresh);
        builder.transport(self.clone())
    }

    fn refresh(&self, outcomes: &'static [Refreshed]) -> BoxFuture<'static, Result<SessionData>> {
        let number = self.state.refreshes.fetch_add(1, Relaxed);
        let outcome = outcomes.get(number).or(outcomes.last()).copied().unwrap();
        let pause = self.clock.sleep(PAUSE);
        Box::pin(async move {
            pause.await;
            match outcome {
                Session => {
                    let mut data = SessionData::plain();
                    data.cookies.insert("s".to_owned(), cookie(number + 1));
                    Ok(data)
                }
                Failed => Err(Error::new(ErrorKind::Challenge, "no browser")),
                Stalled => std::future::pending().await,
            }
        })
    }

    fn refreshes(&self) -> usize {
        self.state.refreshes.load(Relaxed)
    }

    fn requests(&self) -> usize {
        self.state.requests.lock().unwrap().len()
    }

    /// Sends fifty requests at once, and returns their outcomes.
    fn fifty(&self, client: &Cloudflare) -> Vec<Result<ChatResponse>> {
        let asked = (0..50).map(|_| client.chat("Hi"));
        block_on(&self.clock, join_all(asked))
    }

    fn one(&self, client: &Cloudflare) -> Result<ChatResponse> {
        block_on(&self.clock, client.chat("Hi"))
    }
}

impl Transport for Door {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Body>>> {
        let cookies = request.headers().get(header::COOKIE);
        let cookies = cookies.map_or("", |cookies| cookies.to_str().unwrap());
        let mut requests = self.state.requests.lock().unwrap();
        requests.push(cookies.to_owned());
        let session = format!("s={}", cookie(self.state.valid.load(Relaxed)));
        let is_valid = cookies.split("; ").any(|pair| pair == session);
        let text = r#"{"type":"text-delta","id":"0","delta":"Hello"}"#;
        let (status, body) = if is_valid {
            (200, sse(&[text, r#"{"type":"finish"}"#, "[DONE]"]))
        } else {
            // Services may repeat what they refuse.
            (401, format!("refused: {cookies}"))
        };
        let response = Response::builder().status(status);
        let mut response = response
            .header("content-type", "text/event-stream")
            .body(Body::from(Bytes::from(body)))
            .unwrap();
        for set in &self.state.sets {
            let headers = response.headers_mut();
            headers.append(header::SET_COOKIE, set.clone());
        }
        let pause = self.clock.sleep(PAUSE);
        Box::pin(async move {
            pause.await;
            Ok(response)
        })
    }

    fn detach(&self, task: BoxFuture<'static, ()>) {
        block_on(&self.clock, task);
    }
}

impl Timer for Door {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep(duration)
    }

    fn system_time(&self) -> SystemTime {
        self.clock.system_time()
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

#[test]
fn fifty_requests_that_find_an_expired_session_refresh_once() {
    let door = Door::new();
    let client = door.client(&[Session]).build().unwrap();
    assert_eq!(door.one(&client).unwrap().text(), "Hello");
    door.state.valid.store(2, Relaxed);
    for outcome in door.fifty(&client) {
        let response = outcome.unwrap();
        assert_eq!(response.text(), "Hello");
        assert_eq!(response.meta.attempts, 2);
    }
    assert_eq!((door.refreshes(), door.requests()), (2, 1 + 50 + 50));
}

#[test]
fn a_session_that_is_refused_again_is_an_error() {
    let door = Door::new();
    door.state.valid.store(0, Relaxed);
    let client = door.client(&[Session]).build().unwrap();
    for outcome in door.fifty(&client) {
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Auth, 2));
        let shown = format!("{error} {error:?} {:?}", error.provider_message());
        assert!(!shown.contains("canary"), "{shown}");
    }
    assert_eq!((door.refreshes(), door.requests()), (2, 100));
}

#[test]
fn a_failed_refresh_ends_all_requests_for_thirty_seconds() {
    let door = Door::new();
    let client = door.client(&[Session, Failed, Session]).build().unwrap();
    door.one(&client).unwrap();
    door.state.valid.store(3, Relaxed);
    for outcome in door.fifty(&client) {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Challenge);
        assert_eq!(error.to_string(), "no browser");
    }
    assert_eq!((door.refreshes(), door.requests()), (2, 1 + 50));
    door.clock.advance(seconds(29));
    let error = door.one(&client).unwrap_err();
    assert_eq!(error.to_string(), "no browser");
    assert_eq!((door.refreshes(), door.requests()), (2, 1 + 50));
    door.clock.advance(seconds(1));
    assert_eq!(door.one(&client).unwrap().text(), "Hello");
    assert_eq!((door.refreshes(), door.requests()), (3, 1 + 50 + 1));
}

#[test]
fn a_refresh_that_stalls_ends_at_the_total_timeout() {
    let door = Door::new();
    let client = door
        .client(&[Stalled, Session])
        .timeouts(Timeouts::default().total(seconds(20)))
        .build()
        .unwrap();
    for outcome in door.fifty(&client) {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Total));
    }
    assert_eq!(door.clock.elapsed(), seconds(20));
    assert_eq!((door.refreshes(), door.requests()), (1, 0));
    door.state.valid.store(2, Relaxed);
    assert_eq!(door.one(&client).unwrap().text(), "Hello");
}

#[test]
fn the_refresh_after_a_refusal_counts_towards_the_total_timeout() {
    let door = Door::new();
    let client = door
        .client(&[Session, Stalled])
        .timeouts(Timeouts::default().total(seconds(20)))
        .build()
        .unwrap();
    door.state.valid.store(0, Relaxed);
    for outcome in door.fifty(&client) {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Total));
    }
    assert_eq!(door.clock.elapsed(), seconds(20));
    assert_eq!((door.refreshes(), door.requests()), (2, 50));
}

#[test]
fn a_request_that_is_not_polled_blocks_the_others_for_ten_minutes() {
    let door = Door::new();
    door.state.valid.store(2, Relaxed);
    let client = door.client(&[Session]).build().unwrap();
    let mut forgotten = pin!(client.chat("Hi"));
    let poll = poll_fn(|cx| Poll::Ready(forgotten.as_mut().poll(cx).is_pending()));
    assert!(block_on(&door.clock, poll));
    for outcome in door.fifty(&client) {
        assert_eq!(outcome.unwrap().text(), "Hello");
    }
    assert_eq!(door.refreshes(), 2);
    assert_eq!(door.clock.elapsed(), seconds(600) + 2 * PAUSE);
}

#[test]
fn a_request_dropped_at_any_point_leaves_the_session_usable() {
    for polls in 0.. {
        let door = Door::new();
        let client = door.client(&[Session]).build().unwrap();
        // The first session is refused.
        door.state.valid.store(2, Relaxed);
        let is_whole = {
            let mut asked = pin!(client.chat("Hi"));
            let mut left = polls;
            let poll = poll_fn(|cx| {
                if left == 0 {
                    return Poll::Ready(false);
                }
                left -= 1;
                asked.as_mut().poll(cx).map(|response| response.is_ok())
            });
            block_on(&door.clock, poll)
        };
        // The next request gets whichever session is next.
        let next = door.refreshes() + 1;
        door.state.valid.store(next, Relaxed);
        assert_eq!(door.one(&client).unwrap().text(), "Hello", "{polls} polls");
        assert!(door.refreshes() <= 3, "{polls} polls");
        if is_whole {
            assert!(4 < polls, "two refreshes and two requests were waited for");
            return;
        }
    }
}

#[test]
fn hostile_cookies_are_refused_and_the_header_is_limited() {
    let mut lines = vec![
        "big=".to_owned() + &"x".repeat(60_000),
        "evil=1; Domain=evil.example".to_owned(),
        "tld=1; Domain=com".to_owned(),
        "parent=1; Domain=cloudflare.com".to_owned(),
        "gone=1; Max-Age=0".to_owned(),
        "tab=a\tb".to_owned(),
    ];
    lines.extend((0..1000).map(|n| format!("c{n}={}", "y".repeat(250))));
    let sets = lines
        .iter()
        .map(|line| HeaderValue::try_from(line).unwrap());
    let sets = sets.chain([HeaderValue::from_bytes(b"c0=\xFF").unwrap()]);
    let door = Door::setting(sets.collect());
    let client = door.client(&[Session]).build().unwrap();
    for _ in 0..3 {
        assert_eq!(door.one(&client).unwrap().text(), "Hello");
    }
    let requests = door.state.requests.lock().unwrap();
    let (last, first) = (&requests[2], &requests[0]);
    assert_eq!(*first, format!("s={}", cookie(1)));
    assert!("cookie: ".len() + last.len() <= 8190, "{}", last.len());
    let names = last.split("; ").filter_map(|pair| pair.split('=').next());
    let names: BTreeSet<_> = names.collect();
    assert!(names.contains("s") && names.contains("parent") && names.contains("c0"));
    for name in ["big", "evil", "tld", "gone", "tab"] {
        assert!(!names.contains(name), "{name}");
    }
    assert!(names.len() <= 51, "{}", names.len());
}
