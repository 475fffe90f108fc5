//! The spans of requests.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use inferstream::{ApiKey, Timeouts};
use inferstream_gateway::{Config, Gateway, KeyConfig, KeySource};
use inferstream_simulator::{Answer, Simulator, SimulatorBuilder};
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry::{LookupSpan, Registry},
};

use crate::support::{STREAMED, Served, hub, request};

/// A span that was closed.
#[derive(Clone, Debug, Default)]
struct Span {
    name: &'static str,
    parent: Option<&'static str>,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Span {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}").trim_matches('"').to_owned();
        self.fields.insert(field.name(), value);
    }
}

/// Collects the spans that were closed.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let found = context.span(id).unwrap();
        let mut span = Span {
            name: found.name(),
            parent: found.parent().map(|parent| parent.name()),
            ..Span::default()
        };
        attributes.record(&mut span);
        found.extensions_mut().insert(span);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let found = context.span(id).unwrap();
        values.record(found.extensions_mut().get_mut::<Span>().unwrap());
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let found = context.span(&id).unwrap();
        let span = found.extensions_mut().remove::<Span>().unwrap();
        self.0.lock().unwrap().push(span);
    }
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

// One thread, whose subscriber this is.
#[tokio::test]
async fn a_request_has_a_span_above_that_of_the_call() {
    let collector = Collector::default();
    let _guard = tracing::subscriber::set_default(Registry::default().with(collector.clone()));
    let answers = ["Secret", "Secret", "Secret"].map(Answer::text);
    let builder = answers
        .into_iter()
        .fold(Simulator::builder(), SimulatorBuilder::answer);
    let simulator = builder.start().await.unwrap();
    let key = KeyConfig::new(KeySource::Value(ApiKey::new("key-of-a").unwrap()));
    let records = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&records);
    let gateway = Gateway::with_log(
        hub(&simulator, Timeouts::default()),
        Config::default().key("a", key),
        move |record| log.lock().unwrap().push(record.clone()),
    );
    let served = Served::of(gateway.unwrap()).await;
    let headers = format!("x-api-key: key-of-a\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n");
    let keyed = format!("{headers}idempotency-key: row-1\r\n");
    let body = |members| request("cerebras/gpt-oss-120b", members);
    for (headers, members) in [
        (&headers, ""),
        (&headers, STREAMED),
        (&keyed, ""),
        (&keyed, ""),
    ] {
        assert_eq!(served.chat_with(headers, &body(members)).await.status, 200);
    }
    let spans = collector.0.lock().unwrap().clone();
    let named = |name: &str| {
        spans
            .iter()
            .filter(|span| span.name == name)
            .collect::<Vec<_>>()
    };
    let requests = named("gateway.request");
    assert_eq!(requests.len(), 4, "{spans:?}");
    for (span, replayed) in requests.iter().zip(["false", "false", "false", "true"]) {
        for (field, value) in [
            ("trace_id", TRACE),
            ("parent_span_id", "00f067aa0ba902b7"),
            ("http.response.status_code", "200"),
            ("inferstream.outcome", "complete"),
            ("inferstream.replayed", replayed),
            ("gen_ai.provider.name", "cerebras"),
            ("gen_ai.request.model", "cerebras/gpt-oss-120b"),
        ] {
            assert_eq!(
                span.fields.get(field).map(String::as_str),
                Some(value),
                "{field}: {span:?}"
            );
        }
    }
    let calls = named("gen_ai.chat");
    assert_eq!(calls.len(), 3, "{spans:?}");
    assert!(
        calls
            .iter()
            .all(|call| call.parent == Some("gateway.request")),
        "{calls:?}"
    );
    let shown = format!("{spans:?}");
    for secret in ["Count!", "Secret", "key-of-a"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let records = records.lock().unwrap();
    assert_eq!(records.len(), 4);
    for record in &*records {
        assert_eq!(record.trace_id.as_deref(), Some(TRACE));
        assert_eq!(record.parent_span_id.as_deref(), Some("00f067aa0ba902b7"));
    }
}

#[tokio::test]
async fn an_invalid_parent_is_not_in_the_log() {
    let simulator = Simulator::builder().start().await.unwrap();
    let records = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&records);
    let gateway = Gateway::with_log(
        hub(&simulator, Timeouts::default()),
        Config::default(),
        move |record| log.lock().unwrap().push(record.trace_id.clone()),
    );
    let served = Served::of(gateway.unwrap()).await;
    let parent = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n");
    for headers in ["traceparent: 00-x-y-01\r\n", &parent.repeat(2), ""] {
        served.chat_with(headers, "{").await;
    }
    assert_eq!(*records.lock().unwrap(), [None, None, None]);
}
