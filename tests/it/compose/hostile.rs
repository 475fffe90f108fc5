//! Misbehaving providers and wakers, and their effect on other callers.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use inferstream_compose::{ConcurrencyLimit, Fallback, ThinkTags};
use inferstream_core::{
    BoxFuture, Capabilities, ChatEvent, ChatRequest, ChatResponse, ChatStream, Error, ErrorKind,
    Model, Phase, Provider, ProviderInfo, Result, Timeouts, protocol::EventStream,
};

use super::{Act, Fake, Step, Task, now, says, steps, together};
use crate::support::{Clock, block_on, seconds};

fn busy() -> Error {
    Error::new(ErrorKind::Overloaded, "no room")
}

// Panics.

/// Where a provider panics.
#[derive(Clone, Copy, Debug)]
enum Place {
    Call,
    Future,
    Item,
}

#[derive(Debug)]
struct Panics(ProviderInfo, Place, AtomicUsize);

impl Panics {
    fn first(place: Place) -> Self {
        Self(
            ProviderInfo::new("panics", "", ""),
            place,
            AtomicUsize::new(0),
        )
    }

    /// Returns true the first time.
    fn is_first(&self) -> bool {
        self.2.fetch_add(1, SeqCst) == 0
    }
}

struct Bad {
    panics: bool,
    partial: ChatResponse,
}

impl EventStream for Bad {
    fn poll_event(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<ChatEvent>>> {
        assert!(!self.panics, "an intended panic");
        Poll::Ready(None)
    }

    fn partial(&self) -> &ChatResponse {
        &self.partial
    }

    fn warn(self: Pin<&mut Self>, _: String) {}
}

impl Provider for Panics {
    fn info(&self) -> &ProviderInfo {
        &self.0
    }

    fn capabilities(&self, _: &str) -> Capabilities {
        Capabilities::default()
    }

    fn stream(&self, _: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        let place = self.1;
        let is_bad = self.is_first();
        assert!(
            !(is_bad && matches!(place, Place::Call)),
            "an intended panic"
        );
        Box::pin(async move {
            assert!(
                !(is_bad && matches!(place, Place::Future)),
                "an intended panic"
            );
            Ok(ChatStream::new(Bad {
                panics: is_bad,
                partial: ChatResponse::default(),
            }))
        })
    }

    fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
        let stream = self.stream(request);
        Box::pin(async { stream.await?.finish().await })
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn known_models(&self) -> Vec<Model> {
        Vec::new()
    }
}

fn survives<T: 'static>(future: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let mut task = Task::new(future);
    catch_unwind(AssertUnwindSafe(|| task.run())).ok().flatten()
}

#[test]
fn a_panic_releases_the_permit() {
    for place in [Place::Call, Place::Future, Place::Item] {
        let limit = ConcurrencyLimit::new(Panics::first(place)).max_in_flight(1);
        assert!(survives(limit.chat("hi".into())).is_none());
        assert!(survives(limit.chat("hi".into())).is_some(), "{place:?}");

        let limit = ConcurrencyLimit::new(Panics::first(place)).max_in_flight(1);
        let opened = limit.stream("hi".into());
        assert!(survives(async { opened.await.unwrap().finish().await }).is_none());
        assert!(survives(limit.chat("hi".into())).is_some(), "{place:?}");

        let two = Fake::new("two", [says("two")]);
        let limit = ConcurrencyLimit::new(Panics::first(place)).max_in_flight(1);
        let outer = ConcurrencyLimit::new(Fallback::new(limit.clone()).or(two)).max_in_flight(1);
        let all = together(outer.clone(), "hi", 5, 3);
        assert!(survives(all).is_none());
        for limit in [&limit, &outer] {
            assert!(survives(limit.chat("hi".into())).is_some(), "{place:?}");
        }
    }
}

#[test]
fn a_rule_that_panics_releases_the_permit() {
    let refuses = Fake::new("one", [Act::Refuse(busy())]);
    let fallback = Fallback::new(refuses.clone()).or(Fake::new("two", [says("two")]));
    let count = AtomicUsize::new(0);
    let fallback = fallback.when(move |_| {
        assert!(count.fetch_add(1, SeqCst) != 0, "an intended panic");
        true
    });
    let limit = ConcurrencyLimit::new(fallback).max_in_flight(1);
    assert!(survives(limit.stream("hi".into())).is_none());
    assert_eq!(refuses.running(), 0);
    assert_eq!(now(limit.chat("hi".into())).unwrap().text(), "two");
}

// A request is closed before another one starts.

/// A waker that records how many requests are running when it is called.
struct Looks(Fake, Mutex<Vec<usize>>);

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0.running());
    }
}

/// Checks how many requests run when a waiting caller is woken by the end of the running one.
#[track_caller]
fn check_end(act: Act, ends: fn(&ConcurrencyLimit) -> Box<dyn FnOnce()>) {
    let fake = Fake::new("one", [act]);
    let limit = ConcurrencyLimit::new(fake.clone()).max_in_flight(1);
    let end = ends(&limit);
    assert_eq!(fake.running(), 1);
    let looks = Arc::new(Looks(fake, Mutex::default()));
    let waker = Waker::from(Arc::clone(&looks));
    let mut waits = limit.stream("hi".into());
    let poll = waits.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(poll.is_pending());
    end();
    assert_eq!(*looks.1.lock().unwrap(), [0]);
}

fn begin<T: Send + 'static>(task: BoxFuture<'static, T>) -> Task<T> {
    let mut task = Task::new(task);
    assert!(task.run().is_none());
    task
}

#[test]
fn a_response_has_stopped_before_the_next_one_starts() {
    let hangs = || steps([Step::Hang]);
    check_end(hangs(), |limit| {
        let stream = now(limit.stream("hi".into())).unwrap();
        Box::new(|| drop(stream))
    });
    check_end(hangs(), |limit| {
        let stream = now(limit.stream("hi".into())).unwrap();
        Box::new(|| drop(stream.cancel()))
    });
    check_end(hangs(), |limit| {
        let stream = now(limit.stream("hi".into())).unwrap();
        Box::new(|| drop(now(stream.cancel())))
    });
    check_end(hangs(), |limit| {
        let stream = now(limit.stream("hi".into())).unwrap();
        let stream = ThinkTags::default().split_stream(stream);
        Box::new(|| drop(now(stream.cancel())))
    });
    check_end(hangs(), |limit| {
        let chat = begin(limit.chat("hi".into()));
        Box::new(|| drop(chat))
    });
    check_end(Act::Silence, |limit| {
        let chat = begin(limit.chat("hi".into()));
        Box::new(|| drop(chat))
    });
    check_end(Act::Silence, |limit| {
        let stream = begin(limit.stream("hi".into()));
        Box::new(|| drop(stream))
    });
    for end in [Step::Event(ChatEvent::text(0, "a")), Step::Fail(busy())] {
        let act = steps([Step::Later, end]);
        check_end(act.clone(), |limit| {
            let mut chat = Task::new(limit.chat("hi".into()));
            assert!(chat.poll().is_none());
            Box::new(move || drop(chat.run().expect("it ends")))
        });
        check_end(act, |limit| {
            let mut stream = now(limit.stream("hi".into())).unwrap();
            Box::new(move || now(async move { while stream.next().await.is_some() {} }))
        });
    }
}

// Messages.

#[test]
fn the_start_of_a_tool_call_is_content_of_a_chat_too() {
    for event in [
        ChatEvent::tool_call_start(0, 0, "id", "tool"),
        ChatEvent::tool_call_delta(0, 0, "{"),
    ] {
        let act = steps([Step::Event(event), Step::Fail(busy())]);
        let two = Fake::new("two", [says("two")]);
        let fallback = Fallback::new(Fake::new("one", [act])).or(two.clone());
        now(fallback.chat("hi".into())).unwrap_err();
        assert_eq!(two.count(), 0, "no provider is called after content");
    }
}

#[derive(Debug)]
struct Lines;

impl std::fmt::Display for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("one\r\ntwo\n")
    }
}

impl std::error::Error for Lines {}

#[test]
fn warnings_are_one_line_whatever_the_cause() {
    let failed = busy().with_source(Lines);
    let refuses = || Fake::new("one", [Act::Refuse(failed.clone())]);
    let fallback = Fallback::new(refuses()).or(refuses());
    let error = now(fallback.chat("hi".into())).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "one\\r\\ntwo\\n");
    let odd = Error::new(ErrorKind::Overloaded, "no\nroom");
    let fallback = Fallback::new(Fake::new("one", [Act::Refuse(odd)]));
    let stream = now(fallback
        .or(Fake::new("two", [says("two")]))
        .stream("hi".into()));
    let told = stream.unwrap().meta().warnings.join("|");
    assert_eq!(told, "`one` failed (no\\nroom); asked `two`");
}

#[test]
fn warnings_and_partial_responses_pass_through_all_combinators() {
    let thinks = says("<think>Hm.</think>Yes.");
    let limit = |fake| ConcurrencyLimit::new(fake).max_in_flight(1);
    let inner = Fallback::new(Fake::new("two", [Act::Refuse(busy())]))
        .or(limit(Fake::new("three", [thinks.clone()])));
    let outer = Fallback::new(limit(Fake::new("one", [Act::Refuse(busy())])))
        .or(limit(Fake::new("four", [Act::Refuse(busy())])))
        .or(limit(Fake::new("five", [thinks])));
    let outer = Fallback::new(outer).or(inner);
    let opened = now(limit_of(outer).stream("hi".into())).unwrap();
    let mut stream = ThinkTags::default().split_stream(opened);
    let told = [
        "`one` failed (no room); asked `four`",
        "`four` failed (no room); asked `five`",
    ];
    assert_eq!(stream.meta().warnings, told);
    Pin::new(&mut stream).warn("mine".to_owned());
    assert_eq!(stream.meta().warnings.len(), 3);
    assert_eq!(stream.partial().text(), "");
    let answer = now(stream.finish()).unwrap();
    assert_eq!((answer.reasoning(), answer.text()), ("Hm.", "Yes."));
}

fn limit_of(provider: impl Provider) -> ConcurrencyLimit {
    ConcurrencyLimit::new(provider).max_in_flight(1)
}

// Time.

#[test]
fn a_total_timeout_applies_through_nested_providers() {
    let clock = Clock::new();
    let request = || ChatRequest::from("hi").timeouts(Timeouts::default().total(seconds(30)));
    let two = Fake::new("two", [says("two")]);
    let inner = limit_of(two.clone()).timer(clock.clone());
    let held = now(inner.stream("hi".into())).unwrap();
    let fallback = Fallback::new(Fake::new("one", [Act::Refuse(busy())]))
        .or(inner)
        .timer(clock.clone());
    let outer = limit_of(fallback).timer(clock.clone());
    let mut first = Task::new(outer.stream(request()));
    assert!(first.poll().is_none(), "it waits within");
    let mut second = Task::new(outer.chat(request()));
    assert!(second.poll().is_none(), "it waits without");
    clock.advance(seconds(10));
    drop(held);
    let stream = first.poll().unwrap().unwrap();
    let left = |fake: &Fake| fake.requests().last()?.timeouts?.total;
    assert_eq!(left(&two), Some(seconds(20)));
    clock.advance(seconds(5));
    drop(stream);
    assert!(second.run().unwrap().is_ok());
    assert_eq!(left(&two), Some(seconds(15)));

    // No time is left for further providers.
    let none = ChatRequest::from("hi").timeouts(Timeouts::default().total(seconds(0)));
    let count = two.count();
    let error = block_on(&clock, outer.chat(none)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Total));
    assert_eq!(two.count(), count);
}

#[test]
fn limits_and_numbers_may_have_any_size() {
    let clock = Clock::new();
    let limit = ConcurrencyLimit::new(Fake::new("one", [says("a")]));
    let limit = limit.max_in_flight(usize::MAX).timer(clock.clone());
    let longest = Timeouts::default().total(std::time::Duration::MAX);
    let request = ChatRequest::from("hi").timeouts(longest);
    let streams: Vec<_> = (0..100)
        .map(|_| now(limit.stream(request.clone())).unwrap())
        .collect();
    drop(streams);
    let limit = limit.max_in_flight(1);
    let held = now(limit.stream(request.clone())).unwrap();
    let mut waits = Task::new(limit.stream(request.clone()));
    assert!(waits.poll().is_none());
    drop(held);
    assert!(waits.poll().unwrap().is_ok());

    // Many providers that fail, and many callers that wait and are dropped.
    let many = (0..5000).map(|_| Fake::new("one", [Act::Refuse(busy())]));
    let many = Fallback::from_providers(many).unwrap();
    let error = now(many.chat("hi".into())).unwrap_err();
    assert_eq!(super::errors::earlier(&error).len(), 4999);
    let held = now(limit.stream("hi".into())).unwrap();
    let waits: Vec<_> = (0..20_000)
        .map(|_| {
            let mut task = Task::new(limit.stream("hi".into()));
            assert!(task.poll().is_none());
            task
        })
        .collect();
    drop(waits);
    drop(held);
    assert!(now(limit.chat("hi".into())).is_ok());
}
