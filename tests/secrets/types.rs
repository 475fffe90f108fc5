//! `Debug` and `Display` of every public type: each type of the API snapshots is in a list here.

use std::{collections::BTreeSet, fmt::Debug, fs, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use inferstream::{Hub, transport::tower::ServiceTransport};
use inferstream_cablyai::CablyAi;
use inferstream_cerebras::Cerebras;
use inferstream_client::{
    Call, Client, DetachOnDrop, Dropped, Fixed, Missing, Mode, Protocol as _, Redact, Refusal,
    RetryBudgets, Setting, Settings,
};
use inferstream_cloudflare::{
    Cloudflare,
    playground::{
        decode::PlaygroundDecode,
        framer::PlaygroundFrames,
        session::{Session, SessionData},
    },
};
use inferstream_compose::{ConcurrencyLimit, Fallback};
use inferstream_core::{
    ApiKey, Body, Error, ErrorKind, Result, RetryPolicy, Timeouts,
    protocol::Finish,
    sse::{Decoder, Framer as _, Limits, Reader, frames},
};
use inferstream_openai_compat::{Chat, ChatDecode, Compatible, Dialect};
use inferstream_replicate::Replicate;
use inferstream_session::{CacheFile, Cookies, GivenCookie, Jar, SingleFlight};
use inferstream_simulator::{Answer, Simulator};
use inferstream_test::{Reply, ScriptedTransport};
use inferstream_transport::HttpTransport;
use tempfile::TempDir;

use crate::{
    canaries::{
        COOKIE, EMAIL, GATEWAY_TOKEN, KEY, PROMPT, PROXY_PASSWORD, PROXY_USER, conversation, debug,
        secrets_in,
    },
    proxy::SERVERS,
    watch,
};

/// Types that hold no secret: settings, numbers, names and states.
const WITHOUT_SECRETS: &[&str] = &[
    "inferstream_batch::Batch",
    "inferstream_batch::Checked",
    "inferstream_batch::Format",
    "inferstream_batch::Input",
    "inferstream_batch::Lines",
    "inferstream_batch::Part",
    "inferstream_batch::Progress",
    "inferstream_batch::Reader",
    "inferstream_batch::Rows",
    "inferstream_batch::Stop",
    "inferstream_batch::Stopped",
    "inferstream_batch::Tokens",
    "inferstream_cablyai::Preset",
    "inferstream_client::Acquire",
    "inferstream_client::Deadline",
    "inferstream_client::Mode",
    "inferstream_client::Permit",
    "inferstream_client::RetryBudgets",
    "inferstream_client::Semaphore",
    "inferstream_cloudflare::Endpoint",
    "inferstream_compose::ThinkTags",
    "inferstream_core::Capabilities",
    "inferstream_core::End",
    "inferstream_core::ErrorKind",
    "inferstream_core::Field",
    "inferstream_core::FinishReason",
    "inferstream_core::Model",
    "inferstream_core::OnUnsupported",
    "inferstream_core::Phase",
    "inferstream_core::ProviderInfo",
    "inferstream_core::RateLimit",
    "inferstream_core::RateLimits",
    "inferstream_core::RecordContent",
    "inferstream_core::Repeat",
    "inferstream_core::ReplayStale",
    "inferstream_core::Replays",
    "inferstream_core::RetryPolicy",
    "inferstream_core::Role",
    "inferstream_core::Sent",
    "inferstream_core::Timeouts",
    "inferstream_core::Timing",
    "inferstream_core::ToolChoice",
    "inferstream_core::Unsupported",
    "inferstream_core::Usage",
    "inferstream_core::protocol::Ending",
    "inferstream_core::protocol::Flow",
    "inferstream_core::protocol::RetryBudget",
    "inferstream_core::sse::FramesError",
    "inferstream_core::sse::Limits",
    "inferstream_core::sse::TooLarge",
    "inferstream_test::strategy::Cuts",
    "inferstream_test::strategy::ValidStream",
    "inferstream_test::Clock",
    "inferstream_test::Watch",
    "inferstream_gateway::Ending",
    "inferstream_gateway::KeptResponses",
    "inferstream_gateway::Record",
    "inferstream_gateway::Serve",
    "inferstream_openai_compat::Preset",
    "inferstream_openai_compat::SchemaRules",
    "inferstream_replicate::Images",
    "inferstream_replicate::Inputs",
    "inferstream_replicate::Version",
    "inferstream_session::Warning",
    "inferstream_simulator::CerebrasSession",
    "inferstream_simulator::Counts",
    "inferstream_simulator::Fault",
    "inferstream_simulator::FaultInfo",
    "inferstream_simulator::PlaygroundProtocol",
    "inferstream_simulator::ProxyFault",
    "inferstream_simulator::Resume",
    "inferstream_simulator::UnknownFault",
    "inferstream_simulator::Wire",
    "inferstream_transport::Roots",
];

/// Types whose value is text of the caller, the model or a test, which `Debug` shows on purpose.
const SHOWS_CONTENT: &[&str] = &[
    "inferstream_batch::Earlier",
    "inferstream_batch::Failure",
    "inferstream_batch::Journal",
    "inferstream_batch::Row",
    "inferstream_batch::Summary",
    "inferstream_chat_json::ApiError",
    "inferstream_chat_json::Identity",
    "inferstream_chat_json::Incoming",
    "inferstream_chat_json::Members",
    "inferstream_core::ChatEvent",
    "inferstream_core::ChatRequest",
    "inferstream_core::ChatResponse",
    "inferstream_core::Choice",
    "inferstream_core::ImageSource",
    "inferstream_core::Json",
    "inferstream_core::Message",
    "inferstream_core::Part",
    "inferstream_core::ResponseFormat",
    "inferstream_core::Text",
    "inferstream_core::Tool",
    "inferstream_core::ToolCall",
    "inferstream_core::protocol::Events",
    "inferstream_core::provider::OneLine",
    "inferstream_core::sse::Frame",
    "inferstream_core::sse::Item",
    "inferstream_core::sse::OwnedFrame",
    "inferstream_test::Piece",
    "inferstream_test::Reply",
    // The text of the model's last chunk.
    "inferstream_openai_compat::Template",
    "inferstream_simulator::Answer",
    "inferstream_simulator::Piece",
];

/// Types that tests of their own format with secrets in them: `keys::debug_output_shows_no_key` of the
/// gateway, and `proxy::debug_output_shows_no_request` in `tests/faults`.
const IN_OWN_TESTS: &[&str] = &[
    "inferstream_gateway::Config",
    "inferstream_gateway::Gateway",
    "inferstream_gateway::KeyConfig",
    "inferstream_gateway::KeySource",
    "inferstream_simulator::Proxy",
];

/// Types that the sweep of faults formats with secrets in them, before, during and after a response.
const IN_SWEEP: &[&str] = &[
    "inferstream_core::ChatStream",
    "inferstream_core::Error",
    "inferstream_core::Meta",
    "inferstream_core::TextStream",
    // Only made on a connection to a service.
    "inferstream_core::protocol::Started",
];

#[derive(Clone, Debug)]
struct Plain;

impl Dialect for Plain {
    fn info(&self) -> &inferstream_core::ProviderInfo {
        static INFO: std::sync::LazyLock<inferstream_core::ProviderInfo> =
            std::sync::LazyLock::new(|| {
                inferstream_core::ProviderInfo::new("plain", "Plain", "https://h.test")
            });
        &INFO
    }
}

fn transport() -> ScriptedTransport {
    ScriptedTransport::new([Reply::json(400, PROMPT)])
}

fn sensitive() -> (HeaderName, HeaderValue) {
    let name = HeaderName::from_static("x-gateway-token");
    (name, HeaderValue::from_static(GATEWAY_TOKEN))
}

/// Returns `Debug` of values that hold secrets, with the names of their types.
fn with_secrets() -> Vec<(&'static str, String)> {
    [providers(), building_blocks(), sessions(), transports()].concat()
}

fn shown(name: &'static str, value: &impl Debug) -> (&'static str, String) {
    (name, debug(value))
}

fn providers() -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    macro_rules! both {
        ($client:literal, $builder:literal, $made:expr) => {{
            let (name, value) = sensitive();
            let builder = $made.header(name, value).transport(transport());
            found.push(shown($builder, &builder));
            let client = builder.build().unwrap();
            found.push(shown($client, &client));
            client
        }};
    }
    let cerebras = both!(
        "inferstream_cerebras::Cerebras",
        "inferstream_cerebras::CerebrasBuilder",
        Cerebras::builder().api_key(KEY)
    );
    let cablyai = both!(
        "inferstream_cablyai::CablyAi",
        "inferstream_cablyai::CablyAiBuilder",
        CablyAi::builder().api_key(KEY)
    );
    both!(
        "inferstream_cloudflare::Cloudflare",
        "inferstream_cloudflare::CloudflareBuilder",
        Cloudflare::builder()
            .account_id("0123456789abcdef0123456789abcdef")
            .api_key(EMAIL, KEY)
            .gateway("g")
            .gateway_token(GATEWAY_TOKEN)
    );
    both!(
        "inferstream_openai_compat::Compatible",
        "inferstream_openai_compat::CompatibleBuilder",
        Compatible::new("https://h.test/v1").api_key(KEY)
    );
    both!(
        "inferstream_replicate::Replicate",
        "inferstream_replicate::ReplicateBuilder",
        Replicate::builder().api_key(KEY)
    );
    found.push(shown(
        "inferstream::Hub",
        &Hub::new().with(cerebras.clone()),
    ));
    let limited = ConcurrencyLimit::new(cablyai);
    found.push(shown("inferstream_compose::ConcurrencyLimit", &limited));
    let fallback = Fallback::new(cerebras).or(limited);
    found.push(shown("inferstream_compose::Fallback", &fallback));
    found
}

fn building_blocks() -> Vec<(&'static str, String)> {
    let (name, value) = sensitive();
    let transport = Arc::new(transport());
    let mut settings = Settings::new(transport.clone());
    settings.key = Some(Setting::new(KEY));
    settings.set_header(name.clone(), value.clone());
    let mut call = Call::new(
        transport.clone(),
        Timeouts::default(),
        RetryPolicy::never(),
        RetryBudgets::default(),
    );
    let mut value = value;
    value.set_sensitive(true);
    call.headers.insert(name, value);
    call.key = Some(ApiKey::new(KEY).unwrap());
    call.redact = Redact::default().credential(KEY).text(PROMPT);
    let chat = Chat::new(Plain);
    let request = conversation("m", true);
    let (encoded, redact) = chat.encode(request, Mode::Stream).unwrap();
    let client = Client::new(chat.clone(), "https://h.test", settings.clone()).unwrap();
    let headers = HeaderMap::from_iter([(header::WWW_AUTHENTICATE, KEY.parse().unwrap())]);
    let body = Bytes::from(format!("{KEY} {PROMPT}"));
    let kept = (KEY, PROMPT);
    let work = DetachOnDrop::new(transport, Box::pin(async move { kept }));
    let missing = Missing(Error::new(ErrorKind::Auth, "missing key"));
    vec![
        shown("inferstream_client::Call", &call),
        shown("inferstream_client::Client", &client),
        shown("inferstream_client::DetachOnDrop", &work),
        shown("inferstream_client::Dropped", &Dropped::new("plain", None)),
        shown("inferstream_client::Fixed", &Fixed(call.key.clone())),
        shown("inferstream_client::Missing", &missing),
        shown(
            "inferstream_client::Redact",
            &redact.and(call.redact.clone()),
        ),
        refusal(&headers, &body),
        shown("inferstream_client::Setting", &settings.key),
        shown("inferstream_client::Settings", &settings),
        shown("inferstream_core::ApiKey", &call.key),
        shown("inferstream_openai_compat::Chat", &chat),
        shown(
            "inferstream_openai_compat::ChatDecode",
            &ChatDecode::new("plain"),
        ),
        shown("inferstream_openai_compat::Encoded", &encoded),
    ]
}

/// Takes the `Debug` of a refusal from a client that judges one.
fn refusal(headers: &HeaderMap, body: &Bytes) -> (&'static str, String) {
    let said = std::sync::Mutex::new(String::new());
    let mut call = Call::new(
        Arc::new(ScriptedTransport::by({
            let (headers, body) = (headers.clone(), body.clone());
            move |_, _| {
                let text = String::from_utf8(body.to_vec()).unwrap();
                let reply = Reply::json(400, &text);
                headers.iter().fold(reply, |reply, (name, value)| {
                    reply.header(name.as_str(), value.to_str().unwrap())
                })
            }
        })),
        Timeouts::default(),
        RetryPolicy::never(),
        RetryBudgets::default(),
    );
    call.base = "https://h.test".into();
    let request = call.request(http::Method::GET, "/", Bytes::new()).unwrap();
    let judge = |refusal: Refusal<'_>| {
        assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
        *said.lock().unwrap() = debug(&refusal);
        Error::config("refused")
    };
    let scripted = ScriptedTransport::new([]);
    let sent: Result<_> = scripted.block_on(call.send(request, &judge));
    sent.unwrap_err();
    let said = said.lock().unwrap().clone();
    assert!(said.contains("Refusal"), "{said}");
    ("inferstream_client::Refusal", said)
}

fn sessions() -> Vec<(&'static str, String)> {
    let folder = TempDir::new().unwrap();
    let mut data = SessionData::plain();
    data.cookies.insert("ticket".to_owned(), COOKIE.to_owned());
    data.headers.insert("x-key".to_owned(), KEY.to_owned());
    data.proxy = Some(format!("http://{PROXY_USER}:{PROXY_PASSWORD}@h.test"));
    let open = || CacheFile::new(folder.path().join("sessions").join("s.json")).unwrap();
    let file = open();
    let bytes = data.to_json();
    file.update(|_| None::<()>, |_| Some(bytes), &mut Vec::new());
    let url = Uri::from_static("https://h.test/api");
    let session = Session::new(&url, Jar::new(["h.test"])).file(open());
    session.load(&mut Vec::new());
    let now = std::time::SystemTime::now();
    let lease = session.lease("/api", now);
    assert!(session.secrets(now).contains(&COOKIE.to_owned()));
    let cookies = Cookies::from_header(&format!("ticket={COOKIE}")).unwrap();
    let mut jar = Jar::new(["h.test"]);
    jar.restore("h.test", [("ticket", COOKIE)]);
    assert!(!jar.is_empty());
    let given = GivenCookie {
        host: Some("h.test".to_owned()),
        below: true,
        path: "/".to_owned(),
        secure: true,
        expires: None,
        name: "ticket".to_owned(),
        value: COOKIE.to_owned(),
    };
    let flight = SingleFlight::new(|_| Duration::ZERO);
    let redact = Redact::default().credential(KEY).text(PROMPT);
    let decode = PlaygroundDecode::new(redact, false);
    let mut frames = PlaygroundFrames::new(Limits::default());
    frames.push(Bytes::from(format!("0:\"{PROMPT}")));
    vec![
        shown(
            "inferstream_cloudflare::playground::session::SessionData",
            &data,
        ),
        shown(
            "inferstream_cloudflare::playground::session::Session",
            &session,
        ),
        shown("inferstream_cloudflare::playground::session::Lease", &lease),
        shown(
            "inferstream_cloudflare::playground::decode::PlaygroundDecode",
            &decode,
        ),
        shown(
            "inferstream_cloudflare::playground::framer::PlaygroundFrames",
            &frames,
        ),
        shown("inferstream_session::CacheFile", &file),
        shown("inferstream_session::Cookies", &cookies),
        shown("inferstream_session::GivenCookie", &given),
        shown("inferstream_session::Jar", &jar),
        shown("inferstream_session::SingleFlight", &flight),
        #[cfg(unix)]
        browser(folder.path()),
    ]
}

#[cfg(unix)]
fn browser(profile: &Path) -> (&'static str, String) {
    use inferstream_cloudflare::playground::browser::Browser;

    let browser = Browser::new(format!("https://h.test/?key={KEY}")).profile(profile);
    shown(
        "inferstream_cloudflare::playground::browser::Browser",
        &browser,
    )
}

fn transports() -> Vec<(&'static str, String)> {
    let builder =
        HttpTransport::builder().proxy(format!("http://{PROXY_USER}:{PROXY_PASSWORD}@127.0.0.1:1"));
    let http = builder.clone().build().unwrap();
    let service = ServiceTransport::new(http.clone());
    let scripted = transport();
    let (name, value) = sensitive();
    let client = Compatible::new("https://h.test/v1")
        .api_key(KEY)
        .header(name, value)
        .transport(scripted.clone());
    let client = client.build().unwrap();
    let asked = client.stream(conversation("m", true));
    scripted.block_on(asked).unwrap_err();
    assert_eq!(scripted.requests().len(), 1);

    let text = format!("data: {PROMPT}\n\ndata: {KEY}");
    let mut decoder = Decoder::new(Limits::default());
    decoder.push(Bytes::from(text.clone()));
    let reader = Reader::new(std::io::Cursor::new(text.clone()), Decoder::default());
    let chunks = futures_util::stream::iter([Ok::<_, Error>(Bytes::from(text.clone()))]);
    let (kept, kept_key) = (Bytes::from(text.clone()), KEY.to_owned());
    let more = Finish::More(
        Duration::ZERO,
        Box::pin(async move {
            drop(kept_key);
            Ok(Body::from(kept))
        }),
    );
    let simulator = Simulator::builder()
        .api_key(KEY)
        .answer(Answer::text(PROMPT));
    let simulator_builder = shown("inferstream_simulator::SimulatorBuilder", &simulator);
    let simulator = SERVERS.block_on(simulator.start()).unwrap();
    let url = simulator.base_url();
    let real = Cerebras::builder()
        .api_key(KEY)
        .base_url(url)
        .build()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(real.chat(PROMPT)).unwrap();
    let requests = simulator.requests();
    vec![
        shown("inferstream_core::Body", &Body::from(Bytes::from(text))),
        shown("inferstream_core::protocol::Finish", &more),
        shown("inferstream_core::sse::Decoder", &decoder),
        shown("inferstream_core::sse::Frames", &frames(chunks)),
        shown("inferstream_core::sse::Reader", &reader),
        shown("inferstream_test::ScriptedTransport", &scripted),
        shown("inferstream_transport::HttpTransport", &http),
        shown("inferstream_transport::HttpTransportBuilder", &builder),
        shown("inferstream_transport::tower::ServiceTransport", &service),
        shown("inferstream_simulator::Recorded", &requests),
        shown("inferstream_simulator::Simulator", &simulator),
        simulator_builder,
    ]
}

#[test]
fn a_credential_in_a_header_is_a_secret_in_each_place() {
    let (name, value) = sensitive();
    let request = conversation("m", false).header(name.clone(), value.clone());
    let found = secrets_in(&debug(&request.headers));
    assert!(found.is_empty(), "{found:?} in {:?}", request.headers);

    let mut inserted = conversation("m", false);
    inserted.headers.insert(name, value);
    for request in [request, inserted] {
        let reply = Reply::json(400, &format!("{{\"message\":\"bad {GATEWAY_TOKEN}\"}}"));
        let scripted = ScriptedTransport::new([reply]);
        let client = Compatible::new("https://h.test/v1").transport(scripted.clone());
        let client = client.build().unwrap();
        let error = scripted.block_on(client.stream(request)).unwrap_err();
        assert_eq!(error.provider_message(), Some("bad …"));
    }
}

/// Returns the public types of all crates, from the snapshots of their APIs.
fn public_types() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api");
    let mut types = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        types.extend(text.lines().filter_map(type_of).map(str::to_owned));
    }
    types
}

/// Returns the name of the type that a line of a snapshot declares.
fn type_of(line: &str) -> Option<&str> {
    let line = line.strip_prefix("#[non_exhaustive] ").unwrap_or(line);
    let name = ["pub struct ", "pub enum ", "pub union "]
        .iter()
        .find_map(|keyword| line.strip_prefix(keyword))?;
    name.split(['<', '(', ' ']).next()
}

#[test]
fn a_line_declares_a_type() {
    for (line, name) in [
        ("pub struct a::B", Some("a::B")),
        ("pub struct a::B(_)", Some("a::B")),
        ("#[non_exhaustive] pub enum a::b::C<'a, T>", Some("a::b::C")),
        ("pub fn a::B::c(&self)", None),
        ("impl core::fmt::Debug for a::B", None),
    ] {
        assert_eq!(type_of(line), name);
    }
}

#[test]
fn every_public_type_is_listed_once() {
    let formatted = with_secrets();
    let mut listed: Vec<&str> = formatted.iter().map(|(name, _)| *name).collect();
    listed.extend(WITHOUT_SECRETS);
    listed.extend(SHOWS_CONTENT);
    listed.extend(IN_SWEEP);
    listed.extend(IN_OWN_TESTS);
    if cfg!(not(unix)) {
        // The snapshots are those of Unix.
        listed.push("inferstream_cloudflare::playground::browser::Browser");
    }
    let types = public_types();
    assert!(100 < types.len(), "only {} types were found", types.len());
    let missing: Vec<_> = types
        .iter()
        .filter(|name| !listed.contains(&name.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "public types without an entry in tests/secrets/types.rs: {missing:?}. Format a value that \
         holds secrets in `with_secrets`, or add the name to `WITHOUT_SECRETS` if it cannot hold \
         any, or to `SHOWS_CONTENT` if it shows text of the caller or the model on purpose"
    );
    for (at, name) in listed.iter().enumerate() {
        assert!(types.contains(*name), "{name} is listed, but not public");
        assert!(!listed[..at].contains(name), "{name} is listed twice");
    }
}

#[test]
fn no_type_shows_a_secret() {
    watch::start();
    for (name, shown) in with_secrets() {
        let found = secrets_in(&shown);
        assert!(
            found.is_empty(),
            "{name} shows {}: {shown}",
            found.join(", ")
        );
        let short = name.rsplit("::").next().unwrap();
        let has_name = shown.contains(short) || short == "Finish";
        assert!(has_name, "{name} was not formatted: {shown}");
    }
}
