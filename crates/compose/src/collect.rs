//! Many requests in, their whole answers out, in order and so many at once.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    iter::Enumerate,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    vec,
};

use inferstream_core::{
    BoxFuture, ChatRequest, ChatResponse, Provider, Result, provider::in_current_span,
};

/// Asks for a whole answer to each request, `at_once` of them at a time, and returns the answers in
/// the order of the requests; an `at_once` of 0 means 1.
///
/// Requests begin in order. One that fails stops none of the others: its error is in its place.
/// It is one future, which runs on the task that polls it: nothing is spawned. It asks for whole
/// answers, [`Provider::chat`]. The requests are taken from the iterator at the call and asked from
/// the first poll on, and all answers are kept until the last one is there.
///
/// # Cancel safety
///
/// Dropping the future drops the requests that are under way, and the answers that it has.
///
/// # Examples
///
/// ```
/// # use std::{future::ready, pin::pin, sync::Arc, task::{Context, Waker}};
/// # use inferstream_core::*;
/// # #[derive(Clone, Debug)]
/// # struct Echo(ProviderInfo);
/// # impl Provider for Echo {
/// #     fn info(&self) -> &ProviderInfo { &self.0 }
/// #     fn capabilities(&self, _: &str) -> Capabilities { Capabilities::default() }
/// #     fn stream(&self, _: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> { unreachable!() }
/// #     fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
/// #         let mut answer = ChatResponse::default();
/// #         answer.add(&ChatEvent::text(0, request.messages[0].text()));
/// #         Box::pin(ready(Ok(answer)))
/// #     }
/// #     fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> { unreachable!() }
/// #     fn known_models(&self) -> Vec<Model> { Vec::new() }
/// # }
/// # let echo = Echo(ProviderInfo::new("echo", "Echo", ""));
/// use inferstream_compose::collect_all;
///
/// # let answer = async {
/// let answers = collect_all(echo.clone(), ["one", "two", "three"], 2).await;
/// for (answer, number) in answers.iter().zip(["one", "two", "three"]) {
///     match answer {
///         Ok(answer) => assert_eq!(answer.text(), number),
///         Err(error) => eprintln!("{number}: {error}"),
///     }
/// }
/// # };
/// # assert!(pin!(answer).poll(&mut Context::from_waker(Waker::noop())).is_ready());
/// ```
pub fn collect_all<R: Into<ChatRequest>>(
    provider: impl Provider,
    requests: impl IntoIterator<Item = R>,
    at_once: usize,
) -> BoxFuture<'static, Vec<Result<ChatResponse>>> {
    let requests: Vec<_> = requests.into_iter().map(Into::into).collect();
    in_current_span(Collect {
        answers: requests.iter().map(|_| None).collect(),
        requests: requests.into_iter().enumerate(),
        at_once: at_once.max(1),
        running: BTreeMap::new(),
        woken: Arc::default(),
        provider,
    })
}

/// How many children are polled in one poll, so that children which are always ready leave the
/// thread to others.
const POLLS: usize = 32;

struct Collect<P> {
    provider: P,
    /// Those that have not begun.
    requests: Enumerate<vec::IntoIter<ChatRequest>>,
    at_once: usize,
    /// Those under way, by place.
    running: BTreeMap<usize, Child>,
    woken: Arc<Woken>,
    answers: Vec<Option<Result<ChatResponse>>>,
}

struct Child {
    future: BoxFuture<'static, Result<ChatResponse>>,
    alarm: Arc<Alarm>,
}

/// Which children want to be polled.
#[derive(Default)]
struct Woken {
    state: Mutex<WokenState>,
}

#[derive(Default)]
struct WokenState {
    /// Each once, first come, first served.
    places: VecDeque<usize>,
    /// Whom to wake, while all wait.
    task: Option<Waker>,
}

impl Woken {
    fn state(&self) -> MutexGuard<'_, WokenState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the first child that wants to be polled; where none does, the next to want it wakes
    /// the task.
    fn next(&self, task: &Waker) -> Option<usize> {
        let mut state = self.state();
        let place = state.places.pop_front();
        let task = place.is_none().then(|| task.clone());
        let before = std::mem::replace(&mut state.task, task);
        drop(state);
        // Not under the lock: a waker that is dropped may drop what holds children of ours.
        drop(before);
        place
    }
}

/// A child's waker.
struct Alarm {
    place: usize,
    /// Whether the child stands in the queue.
    is_queued: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut state = self.woken.state();
        state.places.push_back(self.place);
        let task = state.task.take();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
    }
}

// Nothing in it is pinned in place.
impl<P> Unpin for Collect<P> {}

impl<P: Provider> Collect<P> {
    /// Begins as many requests as may run.
    fn begin(&mut self) {
        while self.running.len() < self.at_once {
            let Some((place, request)) = self.requests.next() else {
                return;
            };
            let alarm = Arc::new(Alarm {
                place,
                is_queued: AtomicBool::new(true),
                woken: Arc::clone(&self.woken),
            });
            let future = self.provider.chat(request);
            self.running.insert(place, Child { future, alarm });
            self.woken.state().places.push_back(place);
        }
    }

    /// Polls a child; one that has an answer is none any longer.
    fn poll_child(&mut self, place: usize) {
        // It may have its answer and be woken all the same.
        let Some(child) = self.running.get_mut(&place) else {
            return;
        };
        // Before the poll: what wakes it from here on is news.
        child.alarm.is_queued.swap(false, Ordering::AcqRel);
        let waker = Waker::from(Arc::clone(&child.alarm));
        let mut cx = Context::from_waker(&waker);
        if let Poll::Ready(answer) = child.future.as_mut().poll(&mut cx) {
            self.answers[place] = Some(answer);
            self.running.remove(&place);
        }
    }
}

impl<P: Provider> Future for Collect<P> {
    type Output = Vec<Result<ChatResponse>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        for _ in 0..POLLS {
            this.begin();
            if this.running.is_empty() {
                let answers = std::mem::take(&mut this.answers);
                return Poll::Ready(answers.into_iter().flatten().collect());
            }
            match this.woken.next(cx.waker()) {
                Some(place) => this.poll_child(place),
                None => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
