//! When a fallback uses the next provider; a failed response is never visible.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use inferstream_compose::Fallback;
use inferstream_core::{
    ChatEvent, ChatRequest, ChatStream, Error, ErrorKind, FinishReason, Json, Phase, Provider,
    Result, Timeouts, Timer, Timing, ToolCall, Transport, Usage,
};

use super::{Act, Fake, Step, Task, now, says, steps};
use crate::support::{Wire, block_on, seconds};

fn busy() -> Error {
    Error::new(ErrorKind::Overloaded, "the service has no room")
}

fn quiet() -> [ChatEvent; 3] {
    [
        ChatEvent::raw(Json::from("chunk")),
        ChatEvent::usage(Usage::default()),
        ChatEvent::timing(Timing::default()),
    ]
}

/// Content of each kind.
fn content() -> Vec<ChatEvent> {
    vec![
        ChatEvent::text(0, "a"),
        ChatEvent::text(1, "a"),
        ChatEvent::reasoning(0, "a"),
        ChatEvent::tool_call_start(0, 0, "id", "tool"),
        ChatEvent::tool_call_delta(0, 0, "{"),
        ChatEvent::tool_call(0, 0, ToolCall::new("id", "tool", "{}")),
        ChatEvent::logprobs(0, Json::from(0.5)),
        ChatEvent::finish(0, FinishReason::Stop),
    ]
}

fn then_fails(events: impl IntoIterator<Item = ChatEvent>) -> Act {
    let mut steps: Vec<_> = events.into_iter().map(Step::Event).collect();
    steps.push(Step::Fail(busy()));
    Act::Answer(steps)
}

/// Two providers, of which the second responds with `two`.
fn pair(first: Act) -> (Fallback, [Fake; 2]) {
    let fakes = [Fake::new("one", [first]), Fake::new("two", [says("two")])];
    let [one, two] = fakes.clone();
    (Fallback::new(one).or(two), fakes)
}

fn open(fallback: &Fallback) -> Result<ChatStream> {
    now(fallback.stream("hi".into()))
}

/// Reads a stream to its end: the events, then the error if there is one.
fn read(mut stream: ChatStream) -> (Vec<ChatEvent>, Option<Error>, ChatStream) {
    now(async {
        let mut events = Vec::new();
        let mut error = None;
        while let Some(event) = stream.next().await {
            match event {
                Ok(event) => events.push(event),
                Err(failed) => error = Some(failed),
            }
        }
        (events, error, stream)
    })
}

#[track_caller]
fn check_answer(fallback: &Fallback, text: &str) {
    let (events, error, stream) = read(open(fallback).unwrap());
    assert!(error.is_none(), "{error:?}");
    assert_eq!(stream.partial().text(), text);
    assert_eq!(events.first(), Some(&ChatEvent::text(0, text)));
}

// Before content.

#[test]
fn the_next_provider_is_called_if_the_first_refuses() {
    let (fallback, [one, two]) = pair(Act::Refuse(busy()));
    check_answer(&fallback, "two");
    assert_eq!([one.count(), two.count()], [1, 1]);
    let answer = now(fallback.chat("hi".into())).unwrap();
    assert_eq!(answer.text(), "two");
}

#[test]
fn the_next_provider_is_called_if_the_first_item_is_an_error() {
    let (fallback, [one, two]) = pair(then_fails([]));
    check_answer(&fallback, "two");
    assert_eq!([one.count(), two.count()], [1, 1]);
}

#[test]
fn events_without_content_of_a_failed_response_are_not_delivered() {
    let (fallback, [one, two]) = pair(then_fails(quiet()));
    check_answer(&fallback, "two");
    assert_eq!([one.count(), two.count()], [1, 1]);
}

#[test]
fn events_without_content_are_delivered_before_the_content() {
    let mut events = quiet().to_vec();
    events.push(ChatEvent::text(0, "one"));
    events.extend(quiet());
    let (fallback, [_, two]) = pair(steps(events.clone()));
    let (read, error, stream) = read(open(&fallback).unwrap());
    assert_eq!(read, events);
    assert!(error.is_none());
    assert_eq!(stream.meta().warnings, [""; 0]);
    assert_eq!(two.count(), 0);
}

#[test]
fn a_response_without_content_is_a_response() {
    for events in [Vec::new(), quiet().to_vec()] {
        let (fallback, [_, two]) = pair(steps(events.clone()));
        let mut stream = open(&fallback).unwrap();
        assert_eq!(stream.partial().end, None, "the end was not delivered yet");
        for event in &events {
            assert_eq!(now(next(&mut stream)), Some(event.clone()));
            assert_eq!(stream.partial().end, None);
            assert_eq!(stream.meta().time_to_end, None);
        }
        assert_eq!(now(next(&mut stream)), None);
        assert!(stream.partial().end.is_some());
        assert!(stream.meta().time_to_end.is_some());
        assert_eq!(two.count(), 0);
    }
}

/// Returns the next event, which must exist.
fn next(stream: &mut ChatStream) -> impl Future<Output = Option<ChatEvent>> + Send + use<> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let event = futures_core::Stream::poll_next(std::pin::Pin::new(stream), &mut cx);
    async move {
        match event {
            std::task::Poll::Pending => panic!("it is there"),
            std::task::Poll::Ready(event) => event.map(Result::unwrap),
        }
    }
}

#[test]
fn all_providers_are_called_in_order_until_one_responds() {
    let refuse = |id| Fake::new(id, [Act::Refuse(busy())]);
    let [one, two, four] = [refuse("one"), refuse("two"), refuse("four")];
    let three = Fake::new("three", [says("three")]);
    let fallback = Fallback::new(one.clone())
        .or(two.clone())
        .or(three.clone())
        .or(four.clone());
    check_answer(&fallback, "three");
    let counts = [&one, &two, &three, &four].map(Fake::count);
    assert_eq!(counts, [1, 1, 1, 0]);
}

#[test]
fn events_of_the_last_provider_are_not_held_back() {
    let one = Fake::new("one", [Act::Refuse(busy())]);
    let two = Fake::new("two", [steps([Step::Hang])]);
    let stream = now(Fallback::new(one).or(two).stream("hi".into()));
    let stream = stream.expect("its headers have arrived");
    assert_eq!(stream.meta().warnings.len(), 1);
}

#[test]
fn nothing_is_read_beyond_the_first_content() {
    let texts = ["a", "b", "c"].map(|text| ChatEvent::text(0, text));
    let (fallback, [one, _]) = pair(steps(texts));
    let stream = open(&fallback).unwrap();
    assert_eq!(one.log.polls.load(SeqCst), 1);
    assert_eq!(stream.partial().text(), "", "nothing was delivered");
}

// After content.

#[test]
fn no_provider_is_called_after_content_whatever_the_rule() {
    for event in content() {
        for before in [Vec::new(), quiet().to_vec()] {
            let events = [before, vec![event.clone()]].concat();
            let (fallback, [one, two]) = pair(then_fails(events.clone()));
            let fallback = fallback.when(|_| true);
            let (read, error, stream) = read(open(&fallback).unwrap());
            assert_eq!(read, events);
            let error = error.expect("its error is returned to the caller");
            assert_eq!(error.to_string(), busy().to_string());
            assert_eq!(error.partial(), Some(stream.partial()));
            assert_eq!([one.count(), two.count()], [1, 0], "{event:?}");
        }
    }
}

#[test]
fn a_chat_that_failed_after_content_does_not_fall_back() {
    let (fallback, [_, two]) = pair(then_fails([ChatEvent::text(0, "a")]));
    let error = now(fallback.when(|_| true).chat("hi".into())).unwrap_err();
    assert_eq!(error.partial().unwrap().text(), "a");
    assert_eq!(two.count(), 0);
}

#[test]
fn an_error_after_content_reports_the_earlier_errors() {
    let one = Fake::new("one", [Act::Refuse(busy())]);
    let cut = Error::new(ErrorKind::Truncated, "the response was cut off");
    let lost = [Step::Event(ChatEvent::text(0, "a")), Step::Fail(cut)];
    for others in [1, 2] {
        let mut fallback = Fallback::new(one.clone());
        for _ in 0..others {
            // The events of the first provider are held back, and those of the last are not.
            fallback = fallback.or(Fake::new("two", [steps(lost.clone())]));
        }
        let error = now(open(&fallback).unwrap().finish()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
        assert_eq!(error.to_string(), "two: the response was cut off");
        assert_eq!(error.partial().unwrap().text(), "a");
        let earlier = super::errors::earlier(&error);
        assert_eq!(earlier[0].to_string(), "one: the service has no room");
    }
}

// Effects of a service on a caller whose events are held back.

#[test]
fn many_events_without_content_count_as_begun() {
    let usage = std::iter::repeat_n(ChatEvent::usage(Usage::default()), 1000);
    let (fallback, [_, two]) = pair(then_fails(usage));
    let (events, error, _) = read(open(&fallback).unwrap());
    assert_eq!(events.len(), 1000);
    assert_eq!(error.unwrap().kind(), ErrorKind::Overloaded);
    assert_eq!(two.count(), 0);

    let usage = std::iter::repeat_n(ChatEvent::usage(Usage::default()), 999);
    let (fallback, _) = pair(then_fails(usage));
    check_answer(&fallback, "two");
}

#[test]
fn much_data_without_content_counts_as_begun() {
    let chunk = Json::from("x".repeat(600 << 10).as_str());
    let chunks = |count| then_fails(std::iter::repeat_n(ChatEvent::raw(chunk.clone()), count));
    let (fallback, _) = pair(chunks(1));
    check_answer(&fallback, "two");
    let (fallback, [one, two]) = pair(chunks(5));
    let stream = open(&fallback).unwrap();
    assert_eq!(one.log.polls.load(SeqCst), 2, "no more is read");
    let (events, error, _) = read(stream);
    assert_eq!(events.len(), 5);
    assert!(error.is_some());
    assert_eq!(two.count(), 0);
}

// The caller drops the stream.

#[test]
fn a_failed_response_is_dropped_before_the_next_provider_is_called() {
    let one = Fake::new("one", [then_fails(quiet())]);
    let two = Fake {
        log: std::sync::Arc::clone(&one.log),
        ..Fake::new("two", [says("two")])
    };
    check_answer(&Fallback::new(one.clone()).or(two), "two");
    assert_eq!(one.log.most.load(SeqCst), 1);
}

#[test]
fn dropping_the_future_drops_the_pending_request() {
    for first in [Act::Silence, steps([Step::Hang])] {
        let (fallback, [one, two]) = pair(first.clone());
        let mut task = Task::new(fallback.stream("hi".into()));
        assert!(task.run().is_none(), "it waits for content");
        assert_eq!([one.running(), two.running()], [1, 0]);
        drop(task);
        assert_eq!([one.running(), two.count()], [0, 0]);

        let refuse = Fake::new("zero", [Act::Refuse(busy())]);
        let both = [Fake::new("one", [first]), Fake::new("two", [says("two")])];
        let [one, two] = both.clone();
        let mut task = Task::new(Fallback::new(refuse).or(one).or(two).stream("hi".into()));
        assert!(task.run().is_none());
        assert_eq!(both[0].running(), 1);
        drop(task);
        assert_eq!([both[0].running(), both[1].count()], [0, 0]);
    }
}

#[test]
fn no_provider_is_called_before_the_first_poll() {
    let (fallback, [one, _]) = pair(says("one"));
    drop(fallback.stream("hi".into()));
    drop(fallback.chat("hi".into()));
    assert_eq!(one.count(), 0);
}

#[test]
fn a_cancellation_goes_to_the_provider_that_responded() {
    let (fallback, [one, two]) = pair(says("one"));
    let partial = now(open(&fallback).unwrap().cancel()).unwrap();
    assert_eq!(partial.text(), "", "what was held back was not delivered");
    assert_eq!(
        [&one, &two].map(|fake| fake.log.canceled.load(SeqCst)),
        [1, 0]
    );
    assert_eq!(one.running(), 0);

    let (fallback, [one, two]) = pair(Act::Refuse(busy()));
    drop(now(open(&fallback).unwrap().cancel()).unwrap());
    assert_eq!(
        [&one, &two].map(|fake| fake.log.canceled.load(SeqCst)),
        [0, 1]
    );
}

// Time.

fn within(total: u64) -> ChatRequest {
    ChatRequest::from("hi").timeouts(Timeouts::default().total(seconds(total)))
}

/// A provider that takes this long to refuse.
#[derive(Clone, Debug)]
struct Slow(Fake, Wire, u64);

impl Provider for Slow {
    fn info(&self) -> &inferstream_core::ProviderInfo {
        self.0.info()
    }

    fn capabilities(&self, model: &str) -> inferstream_core::Capabilities {
        self.0.capabilities(model)
    }

    fn stream(
        &self,
        request: ChatRequest,
    ) -> inferstream_core::BoxFuture<'static, Result<ChatStream>> {
        let Self(fake, wire, time) = self.clone();
        Box::pin(async move {
            wire.clock.sleep(seconds(time)).await;
            fake.stream(request).await
        })
    }

    fn chat(
        &self,
        request: ChatRequest,
    ) -> inferstream_core::BoxFuture<'static, Result<inferstream_core::ChatResponse>> {
        let stream = self.stream(request);
        Box::pin(async { stream.await?.finish().await })
    }

    fn models(&self) -> inferstream_core::BoxFuture<'static, Result<Vec<inferstream_core::Model>>> {
        self.0.models()
    }

    fn known_models(&self) -> Vec<inferstream_core::Model> {
        Vec::new()
    }
}

fn totals(fake: &Fake) -> Vec<Option<std::time::Duration>> {
    let requests = fake.requests();
    requests
        .iter()
        .map(|request| request.timeouts.and_then(|limits| limits.total))
        .collect()
}

#[test]
fn without_a_timer_each_provider_has_the_full_timeout() {
    let wire = Wire::new([]);
    let one = Fake::new("one", [Act::Refuse(busy())]);
    let two = Fake::new("two", [says("two")]);
    let fallback = Fallback::new(Slow(one.clone(), wire.clone(), 20)).or(two.clone());
    block_on(&wire.clock, fallback.chat(within(30))).unwrap();
    assert_eq!(totals(&one), [Some(seconds(30))]);
    assert_eq!(totals(&two), [Some(seconds(30))]);
}

#[test]
fn with_a_timer_all_providers_share_the_timeout() {
    let wire = Wire::new([]);
    let one = Fake::new("one", [Act::Refuse(busy())]);
    let two = Fake::new("two", [says("two")]);
    let first = Slow(one.clone(), wire.clone(), 20);
    let timer: Arc<dyn Transport> = Arc::new(wire.clone());
    let fallback = Fallback::new(first).or(two.clone()).timer(timer);
    block_on(&wire.clock, fallback.chat(within(30))).unwrap();
    assert_eq!(totals(&one), [Some(seconds(30))]);
    assert_eq!(totals(&two), [Some(seconds(10))]);
    block_on(&wire.clock, fallback.chat("hi".into())).unwrap();
    assert_eq!(totals(&two)[1], None, "a request without a limit gets none");
    let error = block_on(&wire.clock, fallback.chat(within(20))).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Overloaded,
        "the provider failed in time"
    );
    assert_eq!(two.count(), 2, "no time is left for another provider");
}

#[test]
fn an_elapsed_total_timeout_does_not_fall_back() {
    let late = Error::timeout(Phase::Total, seconds(30));
    let (fallback, [_, two]) = pair(Act::Refuse(late));
    assert!(open(&fallback).unwrap_err().is_timeout());
    assert_eq!(two.count(), 0);
}

// Construction.

#[test]
fn a_fallback_without_providers_is_an_error() {
    let error = Fallback::from_providers(Vec::<Fake>::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn providers_may_be_chosen_at_run_time() {
    let one = Fake::new("one", [Act::Refuse(busy())]);
    let two = Fake::new("two", [says("two")]);
    let chosen: Vec<std::sync::Arc<dyn Provider>> =
        vec![std::sync::Arc::new(one), std::sync::Arc::new(two)];
    check_answer(&Fallback::from_providers(chosen).unwrap(), "two");
}

#[test]
fn a_changed_clone_leaves_the_original_unchanged() {
    let one = Fallback::new(Fake::new("one", [Act::Refuse(busy())]));
    let both = one.clone().or(Fake::new("two", [says("two")]));
    assert!(open(&one).is_err());
    check_answer(&both, "two");
    let never = both.clone().when(|_| false);
    assert!(open(&never).is_err());
    check_answer(&both, "two");
}

#[test]
fn its_futures_are_send_and_do_not_borrow() {
    fn check<T: Send + 'static>(_: T) {}
    let (fallback, _) = pair(says("one"));
    check(fallback.stream("hi".into()));
    check(fallback.chat("hi".into()));
}
