//! A scripted provider, which may keep responses, and helpers for files of rows.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, HeaderValue};
use inferstream_batch::{Batch, Checked, Failure, Input, Journal, Reader, Row, Sink, Summary};
use inferstream_core::{
    BoxFuture, Capabilities, ChatEvent, ChatRequest, ChatResponse, ChatStream, Error, ErrorKind,
    FinishReason, Model, Provider, ProviderInfo, Result, Timer, Unsupported, Usage,
    protocol::EventStream,
};
use inferstream_test::Clock;
use serde_json::Value;
use tempfile::TempDir;

/// What the provider does with one request.
pub(crate) struct Reply {
    after: Duration,
    result: Result<ChatResponse>,
}

impl Reply {
    pub(crate) fn complete() -> Self {
        let mut response = ChatResponse::default();
        response.model = Some("m".to_owned());
        response.add(&ChatEvent::text(0, "Yes."));
        let mut usage = Usage::default();
        usage.input_tokens = Some(3);
        usage.output_tokens = Some(2);
        response.add(&ChatEvent::usage(usage));
        response.add(&ChatEvent::finish(0, FinishReason::Stop));
        Self::of(Ok(response))
    }

    pub(crate) fn error(kind: ErrorKind) -> Self {
        Self::of(Err(Error::new(kind, "it failed")))
    }

    pub(crate) fn of(result: Result<ChatResponse>) -> Self {
        Self {
            after: Duration::from_secs(1),
            result,
        }
    }

    pub(crate) fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        if let Ok(response) = &mut self.result {
            let headers = &mut response.meta.headers;
            headers.insert(name, HeaderValue::from_static(value));
        }
        self
    }
}

/// A request that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) prompt: String,
    /// By the clock.
    pub(crate) at: Duration,
    pub(crate) headers: HeaderMap,
    /// How often the prompt was sent before.
    pub(crate) before: usize,
}

type Script = dyn Fn(&Asked) -> Reply + Send + Sync;

/// A provider that follows a script.
#[derive(Clone)]
pub(crate) struct Scripted(Arc<Inner>);

struct Inner {
    info: ProviderInfo,
    pub(crate) clock: Clock,
    script: Box<Script>,
    asked: Mutex<Vec<Asked>>,
    /// The prompts of kept responses, by index.
    kept: Option<Mutex<Vec<String>>>,
    in_flight: AtomicUsize,
    peak: AtomicUsize,
}

impl Scripted {
    pub(crate) fn new(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::create(script, false)
    }

    /// A provider whose responses can be resumed.
    pub(crate) fn keeping(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::create(script, true)
    }

    fn create(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static, keeps: bool) -> Self {
        Self(Arc::new(Inner {
            info: ProviderInfo::new("scripted", "Scripted", ""),
            clock: Clock::new(),
            script: Box::new(script),
            asked: Mutex::default(),
            kept: keeps.then(Mutex::default),
            in_flight: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        }))
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.locked().clone()
    }

    /// Returns the most requests that were in flight at once.
    pub(crate) fn peak(&self) -> usize {
        self.0.peak.load(SeqCst)
    }

    pub(crate) fn batch(&self) -> Batch {
        Batch::new(self.clone(), self.0.clock.clone())
    }

    /// Runs a batch of rows, and returns its results.
    pub(crate) fn run(&self, batch: Batch, rows: impl IntoIterator<Item = Row>) -> (Summary, Seen) {
        let mut seen = Seen::default();
        let summary = self.0.clock.block_on(batch.run(rows, &mut seen));
        (summary, seen)
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.0.asked.lock().unwrap()
    }

    fn begin(&self, request: &ChatRequest) -> (Reply, Flight) {
        let prompt = request.messages[0].text();
        let mut all = self.locked();
        let asked = Asked {
            at: self.0.clock.elapsed(),
            headers: request.headers.clone(),
            before: all.iter().filter(|other| other.prompt == prompt).count(),
            prompt,
        };
        all.push(asked.clone());
        drop(all);
        ((self.0.script)(&asked), Flight::begin(&self.0))
    }
}

/// A request in flight.
struct Flight(Arc<Inner>);

impl Flight {
    fn begin(inner: &Arc<Inner>) -> Self {
        let now = inner.in_flight.fetch_add(1, SeqCst) + 1;
        inner.peak.fetch_max(now, SeqCst);
        Self(Arc::clone(inner))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, SeqCst);
    }
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripted").finish_non_exhaustive()
    }
}

impl Provider for Scripted {
    fn info(&self) -> &ProviderInfo {
        &self.0.info
    }

    fn capabilities(&self, _: &str) -> Capabilities {
        Capabilities::default()
    }

    fn check(&self, request: &ChatRequest) -> Result<Vec<Unsupported>> {
        if request
            .messages
            .first()
            .is_some_and(|message| message.text() == "refuse")
        {
            return Err(Error::new(ErrorKind::Unsupported, "it is not supported"));
        }
        request.validate().map(|()| Vec::new())
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        let (reply, flight) = self.begin(&request);
        let kept = self.0.kept.as_ref().unwrap();
        let mut kept = kept.lock().unwrap();
        kept.push(request.messages[0].text());
        let id = format!("p{}", kept.len() - 1);
        let half = self.0.clock.sleep(reply.after / 2);
        let rest = self.0.clock.sleep(reply.after);
        Box::pin(async move {
            half.await;
            let mut response = reply.result?;
            response.id = Some(id);
            Ok(ChatStream::new(Kept {
                rest,
                response,
                _flight: Some(flight),
            }))
        })
    }

    fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
        let (reply, flight) = self.begin(&request);
        let wait = self.0.clock.sleep(reply.after);
        Box::pin(async move {
            wait.await;
            drop(flight);
            reply.result
        })
    }

    fn resume(&self, id: &str) -> Option<BoxFuture<'static, Result<ChatStream>>> {
        let kept = self.0.kept.as_ref()?;
        let index = id
            .strip_prefix('p')
            .and_then(|index| index.parse::<usize>().ok());
        let exists = index.is_some_and(|index| index < kept.lock().unwrap().len());
        let rest = self.0.clock.sleep(Duration::from_millis(300));
        let id = id.to_owned();
        Some(Box::pin(async move {
            if !exists {
                return Err(Error::new(ErrorKind::NotFound, "there is no such response"));
            }
            let mut response = Reply::complete().result?;
            response.id = Some(id);
            Ok(ChatStream::new(Kept {
                rest,
                response,
                _flight: None,
            }))
        }))
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        unreachable!("a batch requests no models")
    }

    fn known_models(&self) -> Vec<Model> {
        Vec::new()
    }
}

/// A response that its service keeps.
struct Kept {
    rest: BoxFuture<'static, ()>,
    response: ChatResponse,
    _flight: Option<Flight>,
}

impl EventStream for Kept {
    fn poll_event(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<ChatEvent>>> {
        self.rest.as_mut().poll(cx).map(|()| None)
    }

    fn partial(&self) -> &ChatResponse {
        &self.response
    }

    fn warn(self: Pin<&mut Self>, _: String) {}
}

/// A sink that remembers what it got, and fails on demand.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) complete: Vec<String>,
    pub(crate) failed: BTreeMap<String, Failure>,
    pub(crate) released: Vec<String>,
    /// The number of responses after which writing fails.
    pub(crate) room: Option<usize>,
}

impl Sink for Seen {
    fn complete(&mut self, row: &Row, _: &ChatResponse) -> std::io::Result<()> {
        self.complete.push(row.id.clone());
        match self.room {
            Some(room) if room <= self.complete.len() => {
                Err(std::io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    fn failed(&mut self, row: &Row, failure: &Failure) -> std::io::Result<()> {
        self.failed.insert(row.id.clone(), failure.clone());
        Ok(())
    }

    fn released(&mut self, row: &Row) -> std::io::Result<()> {
        self.released.push(row.id.clone());
        Ok(())
    }
}

/// Returns rows with the ids and prompts `0`, `1` and so on.
pub(crate) fn rows(count: usize) -> Vec<Row> {
    let reader = Reader::default();
    let row = |number: usize| {
        let line = format!(r#"{{"custom_id":"{number}","prompt":"{number}"}}"#);
        reader.row(line.as_bytes(), 1)
    };
    (0..count).map(row).collect()
}

/// A folder with an input and an output.
pub(crate) struct Files {
    folder: TempDir,
}

impl Files {
    /// Creates an input with rows whose ids and prompts are `0`, `1` and so on.
    pub(crate) fn new(count: usize) -> Self {
        let mut text = String::new();
        for number in 0..count {
            writeln!(text, r#"{{"custom_id":"{number}","prompt":"{number}"}}"#).unwrap();
        }
        let files = Self {
            folder: TempDir::new().unwrap(),
        };
        files.set_input(&text);
        files
    }

    pub(crate) fn set_input(&self, text: &str) {
        fs::write(self.path("in.jsonl"), text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.path("out.jsonl")
    }

    pub(crate) fn journal(&self) -> Result<Journal> {
        Journal::open(self.output(), "scripted")
    }

    pub(crate) fn check(&self, provider: &Scripted, journal: &mut Journal) -> Result<Checked> {
        let input = Input::open(self.path("in.jsonl"), Reader::default())?;
        input.check(provider, journal)
    }

    /// Runs the batch of the files to its end.
    #[track_caller]
    pub(crate) fn run(&self, provider: &Scripted, batch: Batch) -> Summary {
        let mut journal = self.journal().unwrap();
        let checked = self.check(provider, &mut journal).unwrap();
        let rows = checked.rows(provider, &journal).unwrap();
        let summary = provider
            .clock()
            .block_on(batch.run_file(rows, &mut journal));
        journal.finish().unwrap();
        summary
    }

    /// Returns the results in the output.
    pub(crate) fn results(&self) -> Vec<Value> {
        lines(&self.output())
    }

    /// Returns the sorted ids of the output.
    pub(crate) fn ids(&self) -> Vec<usize> {
        let id = |line: Value| line["custom_id"].as_str().unwrap().parse().unwrap();
        let mut ids: Vec<usize> = self.results().into_iter().map(id).collect();
        ids.sort_unstable();
        ids
    }
}

/// Returns the lines of a file as JSON.
#[track_caller]
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    let parse = |line| serde_json::from_str(line).unwrap();
    text.lines().map(parse).collect()
}
