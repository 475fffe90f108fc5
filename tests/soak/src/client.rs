//! The client: one stream of the library, read to its end and compared with its plan.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue};
use inferstream::{
    ChatEvent, ChatRequest, ChatStream, Error, Provider, RetryPolicy, Timeouts,
    cerebras::Cerebras,
    cloudflare::{Cloudflare, Endpoint},
    openai_compat::Compatible,
    replicate::Replicate,
    transport::HttpTransport,
};
use tokio::time::timeout;

use crate::{
    control::Control,
    expect::{Delivered, Expect, Success},
    options::Result,
    plan::{Fault, Plan, Protocol, Resume},
    report::Outcome,
    script::Script,
    server::{Addresses, Counts},
};

/// One client for each protocol, without and with TLS, on one transport.
pub(crate) struct Clients {
    plain: Providers,
    tls: Providers,
}

struct Providers {
    cerebras: Arc<dyn Provider>,
    compatible: Arc<dyn Provider>,
    playground: Arc<dyn Provider>,
    replicate: Arc<dyn Provider>,
    workers_ai: Arc<dyn Provider>,
}

/// The timeouts of a stream that stalls.
const SHORT: Duration = Duration::from_millis(600);

/// The limit for a stream, which no timeout of the client reaches: the waits of a Replicate stream
/// that cannot be resumed add up to about 20 s, and the machine may be busy.
const LIMIT: Duration = Duration::from_secs(90);

/// The limit for a stream that ends by a timeout.
const STALL_LIMIT: Duration = Duration::from_secs(20);

impl Clients {
    pub(crate) fn new(addresses: &Addresses, certificate: &str) -> Result<Self> {
        let transport = HttpTransport::builder()
            .no_proxy()
            .certificate_pem(certificate)
            .build()?;
        let url = |scheme, port| format!("{scheme}://127.0.0.1:{port}");
        let plain = url("http", addresses.plain);
        let tls = url("https", addresses.tls);
        Ok(Self {
            plain: Providers::new(&transport, &plain, &url("http", addresses.plain_streams))?,
            tls: Providers::new(&transport, &tls, &url("https", addresses.tls_streams))?,
        })
    }

    fn of(&self, plan: &Plan) -> &Arc<dyn Provider> {
        let providers = if plan.tls { &self.tls } else { &self.plain };
        match plan.protocol {
            Protocol::Cerebras => &providers.cerebras,
            Protocol::Compatible => &providers.compatible,
            Protocol::Lines | Protocol::Messages | Protocol::Oldest => &providers.playground,
            Protocol::Replicate => &providers.replicate,
            Protocol::WorkersAi => &providers.workers_ai,
        }
    }
}

impl Providers {
    fn new(transport: &HttpTransport, url: &str, streams: &str) -> Result<Self> {
        let cerebras = Cerebras::builder()
            .api_key("key")
            .base_url(format!("{url}/v1"))
            .transport(transport.clone());
        let compatible = Compatible::new(format!("{url}/v1"))
            .api_key("key")
            .transport(transport.clone());
        let workers_ai = Cloudflare::builder()
            .account_id("account")
            .api_token("token")
            .base_url(url)
            .endpoint(Endpoint::Native)
            .transport(transport.clone());
        let playground = Cloudflare::builder()
            .playground()
            .base_url(url)
            .transport(transport.clone());
        let replicate = Replicate::builder()
            .api_key("key")
            .base_url(format!("{url}/v1"))
            .stream_origin(streams)
            .transport(transport.clone());
        Ok(Self {
            cerebras: Arc::new(cerebras.build()?),
            compatible: Arc::new(compatible.build()?),
            playground: Arc::new(playground.build()?),
            replicate: Arc::new(replicate.build()?),
            workers_ai: Arc::new(workers_ai.build()?),
        })
    }
}

/// What was read from a stream.
#[derive(Default)]
struct Read {
    delivered: Delivered,
    events: u64,
    finishes: u32,
    /// The last event was the finish reason.
    ends_with_finish: bool,
    error: Option<Error>,
    dropped: bool,
}

/// Runs one stream. `Err` is a violation.
pub(crate) async fn run(clients: &Clients, control: &mut Control, plan: &Plan) -> Result<Outcome> {
    let script = Script::new(plan);
    let expect = Expect::new(plan, &script);
    let start = Instant::now();
    let is_silent = plan.fault.is_some_and(Fault::is_silent) && expect.success != Success::Must;
    let limit = if is_silent { STALL_LIMIT } else { LIMIT };
    let read = timeout(limit, read(clients, plan, &expect, is_silent)).await;
    let read = read.map_err(|_| format!("the stream did not end within {limit:?}"))??;

    if read.dropped {
        if !control
            .wait(plan.number, |counts| counts.closed == 1)
            .await?
        {
            return Err("the connection of a dropped stream was not closed within 10 s".into());
        }
        let is_canceled = |counts: &Counts| counts.cancels == 1;
        if plan.protocol == Protocol::Replicate && !control.wait(plan.number, is_canceled).await? {
            return Err("a dropped prediction was not canceled within 10 s".into());
        }
    } else {
        check(&expect, &read)?;
    }
    // A stream that fails is canceled in the background.
    if plan.protocol == Protocol::Replicate && read.error.is_some() && script.error.is_none() {
        control
            .wait(plan.number, |counts| counts.cancels == 1)
            .await?;
    }
    requests(plan, &control.take(plan.number).await?)?;
    Ok(Outcome {
        events: read.events,
        dropped: read.dropped,
        error: read.error.map(|error| error.kind().as_str()),
        late: plan.late,
        fault: plan.fault,
        protocol: plan.protocol,
        bytes: script.sent,
        time: start.elapsed(),
    })
}

async fn read(clients: &Clients, plan: &Plan, expect: &Expect, is_silent: bool) -> Result<Read> {
    let mut read = Read::default();
    let request = request(plan, is_silent)?;
    let mut stream = match clients.of(plan).stream(request).await {
        Ok(stream) => stream,
        Err(error) if plan.fault == Some(Fault::Reset) => {
            read.error = Some(error);
            return Ok(read);
        }
        Err(error) => return Err(format!("no stream: {}", full(&error)).into()),
    };
    while let Some(event) = stream.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                read.error = Some(error);
                break;
            }
        };
        read.events += 1;
        read.ends_with_finish = matches!(event, ChatEvent::Finish { .. });
        match event {
            ChatEvent::Text { text, .. } => read.delivered.text.push_str(&text),
            ChatEvent::Reasoning { text, .. } => read.delivered.reasoning.push_str(&text),
            ChatEvent::Finish { .. } => read.finishes += 1,
            ChatEvent::Usage { .. } | ChatEvent::Timing { .. } => {}
            other => return Err(format!("an unexpected event: {other:?}").into()),
        }
        if plan.fault == Some(Fault::Dropped) && expect.least.is_in(&read.delivered) {
            read.dropped = true;
            return Ok(read);
        }
    }
    ended(&mut stream, &read).await?;
    if plan.fault == Some(Fault::BadUtf8) && read.error.is_none() {
        let warnings = &stream.partial().meta.warnings;
        if warnings.iter().all(|warning| !warning.contains("UTF-8")) {
            return Err("no warning of invalid UTF-8".into());
        }
    }
    Ok(read)
}

/// Checks that nothing follows the end, and that what was delivered is kept.
async fn ended(stream: &mut ChatStream, read: &Read) -> Result<()> {
    for _ in 0..2 {
        if stream.next().await.is_some() {
            return Err("an event after the end".into());
        }
    }
    let kept = match &read.error {
        Some(error) => error
            .partial()
            .ok_or("an error without the partial response")?,
        None => stream.partial(),
    };
    if kept.text() != read.delivered.text || kept.reasoning() != read.delivered.reasoning {
        return Err("the partial response differs from what was delivered".into());
    }
    if kept.end.is_some() != read.error.is_none() {
        return Err("the partial response states a wrong end".into());
    }
    Ok(())
}

fn check(expect: &Expect, read: &Read) -> Result<()> {
    let is_whole = read.error.is_none();
    let checked = expect.check(is_whole, &read.delivered);
    checked.map_err(|violation| match &read.error {
        Some(error) => format!("{violation}; the error is: {}", full(error)),
        None => violation,
    })?;
    match (is_whole, read.finishes) {
        (true, 1) if read.ends_with_finish => Ok(()),
        (false, 0) => Ok(()),
        (_, finishes) => Err(format!("{finishes} finish events, complete: {is_whole}").into()),
    }
}

/// Checks the number of requests.
fn requests(plan: &Plan, counts: &Counts) -> Result<()> {
    // A stream is opened again at most three times, and then the prediction is polled: each failed
    // poll is retried twice, and the third failed poll is an error.
    let (streams, gets, cancels) = match (plan.protocol, plan.resume) {
        (Protocol::Replicate, Resume::Unreadable) => (4, 9, 1),
        (Protocol::Replicate, _) => (4, 3, 1),
        _ => (0, 0, 0),
    };
    let is_within = counts.posts == 1
        && counts.streams <= streams
        && counts.gets <= gets
        && counts.cancels <= cancels
        && counts.others == 0;
    if is_within {
        Ok(())
    } else {
        Err(format!("too many requests: {counts:?}").into())
    }
}

fn request(plan: &Plan, is_silent: bool) -> Result<ChatRequest> {
    let model = match plan.protocol {
        Protocol::Replicate => "a/b",
        Protocol::WorkersAi => "@cf/meta/llama-2-7b-chat-int8",
        _ => "m",
    };
    let number = HeaderValue::try_from(plan.number.to_string())?;
    let timeouts = Timeouts::default();
    let timeouts = if is_silent {
        timeouts.first_event(SHORT).idle(SHORT).progress(SHORT)
    } else {
        timeouts
    };
    Ok(ChatRequest::new(model)
        .user("Hello")
        .header(HeaderName::from_static("x-soak"), number)
        .timeouts(timeouts)
        .retry(RetryPolicy::default().base_delay(Duration::from_millis(100))))
}

/// Returns an error with its causes.
fn full(error: &Error) -> String {
    let mut lines = vec![format!("{error} ({})", error.kind())];
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        lines.push(error.to_string());
        cause = error.source();
    }
    lines.join(": ")
}
