//! Providers that wrap providers: fallback and a concurrency limit.

mod errors;
mod fallback;
mod hostile;
mod laws;
mod limit;
mod models;
mod nested;
mod permits;
mod services;

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    stream::{self, StreamExt as _},
};
use inferstream_core::{
    BoxFuture, Capabilities, ChatEvent, ChatRequest, ChatResponse, ChatStream, End, Error,
    FinishReason, Model, Provider, ProviderInfo, Result, protocol::EventStream,
};

/// The next step of a scripted response; after the last step it ends with success.
#[derive(Clone, Debug)]
enum Step {
    Event(ChatEvent),
    Fail(Error),
    /// Pending, but woken immediately.
    Later,
    /// Nothing ever arrives.
    Hang,
}

impl From<ChatEvent> for Step {
    fn from(event: ChatEvent) -> Self {
        Self::Event(event)
    }
}

impl From<Error> for Step {
    fn from(error: Error) -> Self {
        Self::Fail(error)
    }
}

/// The reaction of a scripted provider to a request.
#[derive(Clone, Debug)]
enum Act {
    /// The `.await` fails.
    Refuse(Error),
    /// No headers arrive.
    Silence,
    Answer(Vec<Step>),
}

/// A response whose events are the steps.
fn steps<T: Into<Step>>(steps: impl IntoIterator<Item = T>) -> Act {
    Act::Answer(steps.into_iter().map(Into::into).collect())
}

/// A text and its finish.
fn says(text: &str) -> Act {
    steps([
        ChatEvent::text(0, text),
        ChatEvent::finish(0, FinishReason::Stop),
    ])
}

/// A provider that follows a script; its last act is repeated.
#[derive(Clone, Debug)]
struct Fake {
    info: ProviderInfo,
    known: Vec<&'static str>,
    capabilities: fn(&str) -> Capabilities,
    acts: Arc<Mutex<VecDeque<Act>>>,
    log: Arc<Log>,
}

#[derive(Debug, Default)]
struct Log {
    requests: Mutex<Vec<ChatRequest>>,
    /// The number of running requests, which have neither ended nor been dropped.
    running: AtomicUsize,
    /// The maximum number of requests that ran at once.
    most: AtomicUsize,
    canceled: AtomicUsize,
    /// Whether a cancellation request never completes.
    is_deaf: AtomicBool,
    /// How often the events were polled.
    polls: AtomicUsize,
}

impl Fake {
    fn new(id: &'static str, acts: impl IntoIterator<Item = Act>) -> Self {
        let mut info = ProviderInfo::new(id, id, "https://example.com");
        info.default_model = Some("default".into());
        Self {
            info,
            known: Vec::new(),
            capabilities: |_| Capabilities::default(),
            acts: Arc::new(Mutex::new(acts.into_iter().collect())),
            log: Arc::default(),
        }
    }

    fn knows(mut self, models: &[&'static str]) -> Self {
        self.known = models.into();
        self
    }

    fn requests(&self) -> Vec<ChatRequest> {
        self.log.requests.lock().unwrap().clone()
    }

    fn count(&self) -> usize {
        self.log.requests.lock().unwrap().len()
    }

    fn running(&self) -> usize {
        self.log.running.load(SeqCst)
    }

    fn act(&self) -> Act {
        let mut acts = self.acts.lock().unwrap();
        match acts.len() {
            1 => acts[0].clone(),
            _ => acts.pop_front().expect("the script has an act"),
        }
    }
}

impl Provider for Fake {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        (self.capabilities)(model)
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        let this = self.clone();
        Box::pin(async move {
            let running = Running::new(&this.log);
            this.log.requests.lock().unwrap().push(request);
            match this.act() {
                Act::Refuse(error) => Err(error),
                Act::Silence => std::future::pending().await,
                Act::Answer(steps) => Ok(ChatStream::new(FakeStream {
                    steps: steps.into(),
                    partial: ChatResponse::default(),
                    running: Some(running),
                    log: Arc::clone(&this.log),
                })),
            }
        })
    }

    fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
        let stream = self.stream(request);
        Box::pin(async { stream.await?.finish().await })
    }

    /// Keeps one response.
    fn resume(&self, id: &str) -> Option<BoxFuture<'static, Result<ChatStream>>> {
        (id == "kept").then(|| self.stream("resumed".into()))
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        Box::pin(std::future::ready(Ok(self.known_models())))
    }

    fn known_models(&self) -> Vec<Model> {
        self.known.iter().map(|id| Model::new(*id)).collect()
    }
}

/// A guard that is counted while it lives.
struct Running(Arc<Log>);

impl Running {
    fn new(log: &Arc<Log>) -> Self {
        let running = log.running.fetch_add(1, SeqCst) + 1;
        log.most.fetch_max(running, SeqCst);
        Self(Arc::clone(log))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

struct FakeStream {
    steps: VecDeque<Step>,
    partial: ChatResponse,
    running: Option<Running>,
    log: Arc<Log>,
}

impl EventStream for FakeStream {
    fn poll_event(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<ChatEvent>>> {
        assert!(self.running.is_some(), "polled after its end");
        self.log.polls.fetch_add(1, SeqCst);
        match self.steps.pop_front() {
            None => {
                self.running = None;
                self.partial.end = Some(End::FinishReason);
                self.partial.meta.time_to_end = Some(Duration::ZERO);
                Poll::Ready(None)
            }
            Some(Step::Event(event)) => {
                self.partial.add(&event);
                Poll::Ready(Some(Ok(event)))
            }
            Some(Step::Fail(error)) => {
                self.running = None;
                let error = error.with_partial(self.partial.clone());
                Poll::Ready(Some(Err(error)))
            }
            Some(Step::Later) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Step::Hang) => {
                self.steps.push_front(Step::Hang);
                Poll::Pending
            }
        }
    }

    fn partial(&self) -> &ChatResponse {
        &self.partial
    }

    fn warn(mut self: Pin<&mut Self>, warning: String) {
        self.partial.meta.warnings.push(warning);
    }

    fn cancel(self: Pin<&mut Self>) -> BoxFuture<'static, Result<()>> {
        self.log.canceled.fetch_add(1, SeqCst);
        if self.log.is_deaf.load(SeqCst) {
            return Box::pin(std::future::pending());
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A future that is polled manually.
struct Task<T> {
    /// `None` once it has completed.
    future: Option<BoxFuture<'static, T>>,
    alarm: Arc<Alarm>,
}

#[derive(Default)]
struct Alarm {
    is_set: AtomicBool,
    count: AtomicUsize,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.is_set.store(true, SeqCst);
        self.count.fetch_add(1, SeqCst);
    }
}

impl<T> Task<T> {
    fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self {
            future: Some(Box::pin(future)),
            alarm: Arc::default(),
        }
    }

    /// Polls once.
    fn poll(&mut self) -> Option<T> {
        self.alarm.is_set.store(false, SeqCst);
        let waker = Waker::from(Arc::clone(&self.alarm));
        let mut cx = Context::from_waker(&waker);
        match self.future.as_mut()?.as_mut().poll(&mut cx) {
            Poll::Pending => None,
            Poll::Ready(value) => {
                self.future = None;
                Some(value)
            }
        }
    }

    /// Polls as long as it is woken.
    fn run(&mut self) -> Option<T> {
        loop {
            let value = self.poll();
            if value.is_some() || !self.is_woken() {
                return value;
            }
        }
    }

    fn is_woken(&self) -> bool {
        self.alarm.is_set.load(SeqCst)
    }
}

/// Runs a future that wakes itself.
#[track_caller]
fn now<T: 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    Task::new(future)
        .run()
        .expect("the future does not wait for others")
}

/// Sends this many requests for complete responses, at most so many at a time, as in compose's
/// README.
fn together(
    provider: impl Provider,
    request: impl Into<ChatRequest>,
    count: usize,
    in_flight: usize,
) -> BoxFuture<'static, Vec<Result<ChatResponse>>> {
    let requests = std::iter::repeat_n(request.into(), count);
    stream::iter(requests)
        .map(move |request| provider.chat(request))
        .buffered(in_flight)
        .collect()
        .boxed()
}

/// Everything that a caller sees of a streamed response, as lines.
fn seen(provider: &dyn Provider, request: ChatRequest) -> Vec<String> {
    let opened = provider.stream(request);
    now(async {
        let mut lines = Vec::new();
        let mut stream = match opened.await {
            Ok(stream) => stream,
            Err(error) => {
                lines.push(format!("refused: {error:?} {:?}", error.partial()));
                return lines;
            }
        };
        lines.push(format!("{:?}", stream.partial()));
        while let Some(event) = stream.next().await {
            let event = event.map_err(|error| (format!("{error:?}"), error.partial().cloned()));
            lines.push(format!("{event:?} {:?}", stream.partial()));
        }
        assert!(stream.next().await.is_none(), "nothing follows the end");
        lines.push(format!("{:?} {:?}", stream.partial(), stream.meta()));
        lines
    })
}
