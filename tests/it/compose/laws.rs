//! Properties of generated scripts, compared with a simple model of a fallback.

use inferstream_compose::{ConcurrencyLimit, Fallback};
use inferstream_core::{
    ChatEvent, ChatRequest, ChatResponse, Error, ErrorKind, FinishReason, Json, Phase, Provider,
    Timing, Usage,
};
use proptest::{collection::vec, prelude::*, sample::select};

use super::{Act, Fake, Step, now, seen};

fn event() -> impl Strategy<Value = ChatEvent> {
    select(vec![
        ChatEvent::text(0, "text"),
        ChatEvent::text(1, "other"),
        ChatEvent::reasoning(0, "thought"),
        ChatEvent::tool_call_start(0, 0, "id", "tool"),
        ChatEvent::tool_call_delta(0, 0, "{}"),
        ChatEvent::logprobs(0, Json::from(0.5)),
        ChatEvent::finish(0, FinishReason::Stop),
        ChatEvent::usage(Usage::default()),
        ChatEvent::timing(Timing::default()),
        ChatEvent::raw(Json::from("chunk")),
    ])
}

fn is_content(event: &ChatEvent) -> bool {
    !matches!(
        event,
        ChatEvent::Raw { .. } | ChatEvent::Timing { .. } | ChatEvent::Usage { .. }
    )
}

fn error() -> impl Strategy<Value = Error> {
    let kinds = vec![
        ErrorKind::Overloaded,
        ErrorKind::Truncated,
        ErrorKind::Timeout(Phase::Idle),
        ErrorKind::InvalidRequest,
        ErrorKind::Canceled,
    ];
    select(kinds).prop_map(|kind| Error::new(kind, format!("it is {kind}")))
}

fn act() -> impl Strategy<Value = Act> {
    let step = prop_oneof![
        6 => event().prop_map(Step::Event),
        1 => Just(Step::Later),
    ];
    // Events without content usually come first, because the edge cases are there.
    let quiet = vec(step.clone(), 0..4).prop_map(|mut steps| {
        steps.retain(|step| !matches!(step, Step::Event(event) if is_content(event)));
        steps
    });
    let end = prop_oneof![
        Just(None),
        error().prop_map(|error| Some(Step::Fail(error)))
    ];
    prop_oneof![
        1 => error().prop_map(Act::Refuse),
        3 => (quiet, vec(step, 0..4), end).prop_map(|(mut steps, more, end)| {
            steps.extend(more);
            steps.extend(end);
            Act::Answer(steps)
        }),
    ]
}

/// The expected result of a script: the index of the responding provider, the events, and the kind
/// of the error.
type Expected = (usize, Vec<ChatEvent>, Option<ErrorKind>);

/// A reference implementation of a fallback.
fn expected(acts: &[Act]) -> Expected {
    for (place, act) in acts.iter().enumerate() {
        let is_last = place + 1 == acts.len();
        let (events, failed) = match act {
            Act::Refuse(error) => (Vec::new(), Some(error)),
            Act::Silence => unreachable!(),
            Act::Answer(steps) => {
                let event = |step: &Step| match step {
                    Step::Event(event) => Some(event.clone()),
                    _ => None,
                };
                let error = steps.iter().find_map(|step| match step {
                    Step::Fail(error) => Some(error),
                    _ => None,
                });
                (steps.iter().filter_map(event).collect::<Vec<_>>(), error)
            }
        };
        let begun = events.iter().any(is_content);
        match failed {
            Some(error) if !begun && !is_last && Fallback::moves_on(error) => {}
            // An error before the content is returned by the `.await`.
            Some(error) if !begun && !is_last => return (place, Vec::new(), Some(error.kind())),
            failed => return (place, events, failed.map(Error::kind)),
        }
    }
    unreachable!("the last one answers in any case")
}

fn fakes(acts: &[Act]) -> Vec<Fake> {
    let fake = |(id, act): (&&'static str, &Act)| Fake::new(id, [act.clone()]);
    ["one", "two", "three", "four"]
        .iter()
        .zip(acts)
        .map(fake)
        .collect()
}

proptest! {
    #[test]
    fn a_fallback_of_one_provider_behaves_like_that_provider(act in act()) {
        let alone = Fake::new("alone", [act]);
        let request = || ChatRequest::new("model").user("hi");
        let fallback = Fallback::new(alone.clone());
        prop_assert_eq!(seen(&fallback, request()), seen(&alone, request()));
        let chats = [now(fallback.chat(request())), now(alone.chat(request()))];
        let [ours, own] = chats.map(|chat| format!("{chat:?}"));
        prop_assert_eq!(ours, own);
        prop_assert_eq!(fallback.info(), alone.info());
        let polls = alone.requests();
        prop_assert!(polls.iter().all(|asked| *asked == request()));
    }

    #[test]
    fn a_fallback_behaves_like_its_first_provider_if_that_responds(steps in vec(event().prop_map(Step::Event), 0..6)) {
        let alone = Fake::new("alone", [Act::Answer(steps)]);
        let other = Fake::new("other", [super::says("other")]);
        let fallback = Fallback::new(alone.clone()).or(other.clone());
        prop_assert_eq!(seen(&fallback, "hi".into()), seen(&alone, "hi".into()));
        prop_assert_eq!(other.count(), 0);
    }

    #[test]
    fn a_limit_that_is_not_reached_changes_nothing(act in act()) {
        let alone = Fake::new("alone", [act]);
        let limit = ConcurrencyLimit::new(alone.clone()).max_in_flight(1);
        for _ in 0..3 {
            prop_assert_eq!(seen(&limit, "hi".into()), seen(&alone, "hi".into()));
        }
        let chats = [now(limit.chat("hi".into())), now(alone.chat("hi".into()))];
        let [ours, own] = chats.map(|chat| format!("{chat:?}"));
        prop_assert_eq!(ours, own);
    }

    #[test]
    fn a_fallback_does_what_the_model_does(acts in vec(act(), 1..5)) {
        let fakes = fakes(&acts);
        let fallback = Fallback::from_providers(fakes.clone()).unwrap();
        let (place, events, kind) = expected(&acts);
        let opened = fallback.stream("hi".into());
        let (got, error, warnings) = now(async {
            let mut got = Vec::new();
            let mut sum = ChatResponse::default();
            let mut stream = match opened.await {
                Ok(stream) => stream,
                Err(error) => return (got, Some(error), None),
            };
            let mut failed = None;
            while let Some(event) = stream.next().await {
                match event {
                    Ok(event) => {
                        sum.add(&event);
                        assert_eq!(*stream.partial(), sum, "exactly what was delivered");
                        got.push(event);
                    }
                    Err(error) => failed = Some(error),
                }
            }
            (got, failed, Some(stream.meta().warnings.len()))
        });
        prop_assert_eq!(got, events);
        prop_assert_eq!(error.as_ref().map(Error::kind), kind);
        if let Some(warnings) = warnings {
            prop_assert_eq!(warnings, place, "a warning for each failed provider");
        }
        if let Some(error) = &error {
            prop_assert_eq!(super::errors::earlier(error).len(), place, "each earlier error");
        }
        for (nth, fake) in fakes.iter().enumerate() {
            prop_assert_eq!(fake.count(), usize::from(nth <= place), "each provider is called once, in order");
            prop_assert_eq!(fake.running(), 0, "and dropped");
            prop_assert!(fake.log.most.load(std::sync::atomic::Ordering::SeqCst) <= 1);
        }
    }

    #[test]
    fn nested_fallbacks_behave_like_one(acts in vec(act(), 4), cut in 1..4_usize) {
        let fakes = fakes(&acts);
        let flat = Fallback::from_providers(fakes.clone()).unwrap();
        let head = Fallback::from_providers(fakes[..cut].to_vec()).unwrap();
        let tail = Fallback::from_providers(fakes[cut..].to_vec()).unwrap();
        let nested = Fallback::new(head).or(tail);
        let kinds = |provider: &dyn Provider| {
            let lines = now(provider.chat("hi".into()));
            lines.map(|answer| answer.choices).map_err(|error| error.kind())
        };
        prop_assert_eq!(kinds(&nested), kinds(&flat));
    }
}
