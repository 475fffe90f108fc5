//! Public types: serde formats, keys, errors, rate limits and JSON.

use std::{error::Error as _, fmt::Debug, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use inferstream_client::error_of_head;
use inferstream_core::{
    ApiKey, ChatEvent, ChatRequest, ChatResponse, End, Error, ErrorKind, FinishReason, ImageSource,
    Json, Message, Meta, Model, Part, Phase, ProviderInfo, RateLimit, RateLimits, RecordContent,
    ResponseFormat, Role, Sent, Text, Timeouts, Timing, Tool, ToolCall, ToolChoice, Usage,
    protocol::check_headers,
};
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};

use crate::support::seconds;

/// Checks a value's serde form, and that it deserializes to the same value.
#[track_caller]
fn check<T: Debug + DeserializeOwned + PartialEq + Serialize>(value: &T, json: &str) {
    assert_eq!(serde_json::to_string(value).unwrap(), json);
    assert_eq!(
        serde_json::from_str::<T>(json).unwrap(),
        *value,
        "from text"
    );
    let tree: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_value(value).unwrap(), tree, "to a tree");
    assert_eq!(
        serde_json::from_value::<T>(tree).unwrap(),
        *value,
        "from a tree"
    );
}

/// Checks that a request is refused with an error that names the setting.
#[track_caller]
fn check_invalid(request: &ChatRequest, name: &str) {
    let error = request.validate().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains(name), "{error}");
}

/// Checks a rate limit, read from headers.
#[track_caller]
fn check_limit(headers: &[(&'static str, &'static str)], name: &str, expected: RateLimit) {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect();
    assert_eq!(
        RateLimits::from_headers(&headers).get(name),
        Some(&expected)
    );
}

fn rate(limit: Option<u64>, remaining: Option<u64>, reset: Option<Duration>) -> RateLimit {
    let mut rate = RateLimit::default();
    rate.limit = limit;
    rate.remaining = remaining;
    rate.reset = reset;
    rate
}

// Events.

#[test]
fn text_events_have_their_json_format() {
    check(
        &ChatEvent::text(0, "a\n\"b\""),
        r#"{"type":"text","text":"a\n\"b\""}"#,
    );
    check(
        &ChatEvent::text(2, "a"),
        r#"{"type":"text","choice":2,"text":"a"}"#,
    );
    check(
        &ChatEvent::reasoning(0, "hm"),
        r#"{"type":"reasoning","text":"hm"}"#,
    );
}

#[test]
fn tool_events_have_their_json_format() {
    check(
        &ChatEvent::tool_call_start(0, 1, "c1", "add"),
        r#"{"type":"tool_call_start","index":1,"id":"c1","name":"add"}"#,
    );
    check(
        &ChatEvent::tool_call_delta(1, 0, "{\"a\""),
        r#"{"type":"tool_call_delta","choice":1,"index":0,"arguments":"{\"a\""}"#,
    );
    check(
        &ChatEvent::tool_call(0, 1, ToolCall::new("c1", "add", "{\"a\":1}")),
        r#"{"type":"tool_call","index":1,"id":"c1","name":"add","arguments":"{\"a\":1}"}"#,
    );
    let mut cut = ToolCall::new("c1", "add", "{\"a\"");
    cut.malformed = true;
    check(
        &ChatEvent::tool_call(3, 0, cut),
        r#"{"type":"tool_call","choice":3,"index":0,"id":"c1","name":"add","arguments":"{\"a\"","malformed":true}"#,
    );
}

#[test]
fn usage_and_timing_have_their_json_format() {
    let mut usage = Usage::default();
    check(&ChatEvent::usage(usage), r#"{"type":"usage"}"#);
    usage.input_tokens = Some(3);
    usage.output_tokens = Some(u64::MAX);
    usage.cached_tokens = Some(0);
    check(
        &ChatEvent::usage(usage),
        r#"{"type":"usage","input_tokens":3,"output_tokens":18446744073709551615,"cached_tokens":0}"#,
    );
    let mut timing = Timing::default();
    timing.queue_time = Some(0.25);
    timing.created = Some(1_700_000_000.5);
    check(
        &ChatEvent::timing(timing),
        r#"{"type":"timing","queue_time":0.25,"created":1700000000.5}"#,
    );
}

#[test]
fn finish_events_have_their_json_format() {
    for (reason, word) in [
        (FinishReason::ContentFilter, "content_filter"),
        (FinishReason::Length, "length"),
        (FinishReason::Stop, "stop"),
        (FinishReason::ToolCalls, "tool_calls"),
        (FinishReason::Unknown, "unknown"),
        (FinishReason::Other("eos".into()), "eos"),
    ] {
        let json = format!(r#"{{"type":"finish","reason":"{word}"}}"#);
        assert_eq!(reason.to_string(), word);
        check(&ChatEvent::finish(0, reason), &json);
    }
}

#[test]
fn carried_json_is_itself_in_an_event() {
    let json = Json::parse(r#"{"b":[1,null],"c":"d"}"#).unwrap();
    check(
        &ChatEvent::raw(json.clone()),
        r#"{"type":"raw","chunk":{"b":[1,null],"c":"d"}}"#,
    );
    check(
        &ChatEvent::logprobs(0, json),
        r#"{"type":"logprobs","logprobs":{"b":[1,null],"c":"d"}}"#,
    );
}

#[test]
fn an_event_of_an_unknown_type_is_refused() {
    assert!(serde_json::from_str::<ChatEvent>(r#"{"type":"smell"}"#).is_err());
    assert!(serde_json::from_str::<ChatEvent>(r#"{"text":"a"}"#).is_err());
}

// Messages and requests.

#[test]
fn messages_have_their_json_format() {
    check(
        &Message::user("hi"),
        r#"{"role":"user","content":[{"type":"text","text":"hi"}]}"#,
    );
    check(
        &Message::empty(Role::Assistant)
            .reasoning("hm")
            .tool_call(ToolCall::new("c", "f", "{}")),
        r#"{"role":"assistant","content":[],"reasoning":"hm","tool_calls":[{"id":"c","name":"f","arguments":"{}"}]}"#,
    );
    check(
        &Message::tool("c", "4"),
        r#"{"role":"tool","content":[{"type":"text","text":"4"}],"tool_call_id":"c"}"#,
    );
}

#[test]
fn images_have_their_json_format() {
    check(
        &Part::image_url("https://example.org/a.png"),
        r#"{"type":"image","url":"https://example.org/a.png"}"#,
    );
    check(
        &Part::image("image/png", [1, 2]),
        r#"{"type":"image","bytes":{"media_type":"image/png","data":[1,2]}}"#,
    );
    check(
        &Part::Image {
            source: ImageSource::Url("u".to_owned()),
            detail: Some("low".to_owned()),
        },
        r#"{"type":"image","url":"u","detail":"low"}"#,
    );
}

#[test]
fn tool_choices_and_formats_have_their_json_format() {
    check(&ToolChoice::Auto, r#""auto""#);
    check(&ToolChoice::Tool("f".to_owned()), r#"{"tool":"f"}"#);
    check(&ResponseFormat::JsonObject, r#"{"type":"json_object"}"#);
    check(
        &Tool::new("f", Json::from_text("{}")),
        r#"{"name":"f","parameters":{}}"#,
    );
    check(&Model::new("m"), r#"{"id":"m"}"#);
    check(&Text::from("a"), r#""a""#);
    check(&End::FinishReason, r#""finish_reason""#);
}

#[test]
fn a_request_survives_serialization() {
    let request = ChatRequest::new("m")
        .system("s")
        .user("u")
        .temperature(0.5)
        .max_tokens(9)
        .seed(-1)
        .stop(["a", "b"])
        .tool(Tool::new("f", Json::from_text(r#"{"type":"object"}"#)).strict(true))
        .tool_choice(ToolChoice::Required)
        .response_format(ResponseFormat::Text)
        .extra("key", "sky")
        .raw(true);
    let json = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<ChatRequest>(&json).unwrap(), request);
}

#[test]
fn all_members_of_a_request_are_optional() {
    let request: ChatRequest = serde_json::from_str("{}").unwrap();
    assert_eq!(request, ChatRequest::default());
}

#[test]
fn headers_of_a_request_are_not_serialized() {
    let request = ChatRequest::from("u")
        .header(header::COOKIE, HeaderValue::from_static("canary"))
        .timeouts(Timeouts::none());
    let json = serde_json::to_string(&request).unwrap();
    assert!(!json.contains("canary"), "{json}");
}

#[test]
fn a_request_from_json_is_not_recorded() {
    let request = ChatRequest::from("u").record_content(RecordContent::Always);
    let json = serde_json::to_string(&request).unwrap();
    assert!(!json.contains("record"), "{json}");
    for value in ["\"always\"", "\"Always\"", "true"] {
        let json = format!("{{\"record_content\":{value}}}");
        let request: ChatRequest = serde_json::from_str(&json).unwrap();
        assert_eq!(request.record_content, RecordContent::Never);
    }
}

#[test]
fn a_plain_text_request_is_valid() {
    ChatRequest::from("Why?").validate().unwrap();
    ChatRequest::from(String::from("Why?")).validate().unwrap();
    ChatRequest::from(vec![Message::user("Why?")])
        .validate()
        .unwrap();
    ChatRequest::from("").validate().unwrap();
}

#[test]
fn a_request_without_messages_is_refused() {
    check_invalid(&ChatRequest::new("m"), "messages");
    let own = ChatRequest::new("m").extra("messages", Json::from_text("[]"));
    own.validate().unwrap();
}

#[test]
fn numbers_that_json_cannot_represent_are_refused() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let request = || ChatRequest::from("Why?");
        check_invalid(&request().temperature(number), "`temperature`");
        check_invalid(&request().top_p(number), "`top_p`");
        check_invalid(&request().frequency_penalty(number), "`frequency_penalty`");
        check_invalid(&request().presence_penalty(number), "`presence_penalty`");
    }
    let wide = ChatRequest::from("Why?").temperature(-1e300).top_p(7.0);
    wide.validate().unwrap();
}

#[test]
fn limits_of_zero_are_refused() {
    check_invalid(&ChatRequest::from("Why?").max_tokens(0), "`max_tokens`");
    check_invalid(&ChatRequest::from("Why?").n(0), "`n`");
    let least = ChatRequest::from("Why?").max_tokens(1).n(1);
    least.validate().unwrap();
}

#[test]
fn headers_of_the_transport_are_refused() {
    for name in [
        header::AUTHORIZATION,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::HOST,
        header::PROXY_AUTHORIZATION,
        header::TRANSFER_ENCODING,
    ] {
        let value = HeaderValue::from_static("canary");
        let request = ChatRequest::from("Why?").header(name.clone(), value);
        check_invalid(&request, name.as_str());
        let error = check_headers(&request.headers).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
    let own = HeaderName::from_static("x-own");
    let request = ChatRequest::from("Why?").header(own, HeaderValue::from_static("1"));
    request.validate().unwrap();
}

#[test]
fn an_alias_is_resolved_and_other_names_are_kept() {
    let mut info = ProviderInfo::new("p", "P", "https://example.org");
    info.model_aliases = &[("fast", "m-fast-1")];
    info.retired_models = &[("m-0", "m-1")];
    assert_eq!(
        (info.resolve("fast"), info.resolve("Fast")),
        ("m-fast-1", "Fast")
    );
    assert_eq!(
        (info.successor("m-0"), info.successor("m-1")),
        (Some("m-1"), None)
    );
}

// Answers.

#[test]
fn the_choices_of_a_response_are_separate_and_in_order() {
    let mut response = ChatResponse::default();
    for event in [
        ChatEvent::text(1_000_000_000, "z"),
        ChatEvent::text(1, "b"),
        ChatEvent::text(0, "a"),
        ChatEvent::text(1, "c"),
        ChatEvent::reasoning(0, "hm"),
        ChatEvent::tool_call_start(2, 0, "c", "f"),
        ChatEvent::tool_call_delta(2, 0, "{}"),
        ChatEvent::raw(Json::from("x")),
        ChatEvent::finish(1, FinishReason::Length),
    ] {
        response.add(&event);
    }
    let texts: Vec<_> = response
        .choices
        .iter()
        .map(|choice| (choice.index, choice.text.as_str()))
        .collect();
    // The third choice has started, with an incomplete call.
    let expected = [(0, "a"), (1, "bc"), (2, ""), (1_000_000_000, "z")];
    assert_eq!(texts, expected);
    assert!(response.choices[2].tool_calls.is_empty());
    assert_eq!((response.text(), response.reasoning()), ("a", "hm"));
    assert_eq!(response.finish_reason(), None);
    assert_eq!(
        response.choices[1].finish_reason,
        Some(FinishReason::Length)
    );
}

#[test]
fn a_response_survives_serialization() {
    let mut response = ChatResponse::default();
    let empty = serde_json::to_string(&response).unwrap();
    assert_eq!(
        serde_json::from_str::<ChatResponse>(&empty).unwrap(),
        response
    );
    for event in [
        ChatEvent::text(0, "a"),
        ChatEvent::reasoning(1, "hm"),
        ChatEvent::tool_call(0, 0, ToolCall::new("c", "f", "{}")),
        ChatEvent::logprobs(0, Json::from("x")),
        ChatEvent::usage(Usage::default()),
        ChatEvent::timing(Timing::default()),
        ChatEvent::finish(0, FinishReason::Other("eos".into())),
    ] {
        response.add(&event);
    }
    response.end = Some(End::Marker);
    let json = serde_json::to_string(&response).unwrap();
    assert_eq!(
        serde_json::from_str::<ChatResponse>(&json).unwrap(),
        response
    );
}

#[test]
fn the_metadata_of_a_response_is_not_serialized() {
    let mut response = ChatResponse::default();
    response.meta.attempts = 2;
    let json = serde_json::to_string(&response).unwrap();
    assert_eq!(
        json,
        serde_json::to_string(&ChatResponse::default()).unwrap()
    );
    let read = serde_json::from_str::<ChatResponse>(&json).unwrap();
    assert_eq!(read.meta, Meta::default());
}

#[test]
fn responses_with_the_same_content_are_equal() {
    let answer = || {
        let mut answer = ChatResponse::default();
        answer.add(&ChatEvent::text(0, "a"));
        answer
    };
    let mut late = answer();
    late.meta.time_to_head = seconds(1);
    late.meta.warnings.push("it is retired".to_owned());
    assert_eq!(answer(), late);
    assert_ne!(answer().meta, late.meta);

    let changes: [fn(&mut ChatResponse); 6] = [
        |answer| answer.id = Some("r-1".to_owned()),
        |answer| answer.model = Some("model".to_owned()),
        |answer| answer.add(&ChatEvent::text(0, "b")),
        |answer| answer.usage = Some(Usage::default()),
        |answer| answer.timing = Some(Timing::default()),
        |answer| answer.end = Some(End::Marker),
    ];
    for change in changes {
        let mut other = answer();
        change(&mut other);
        assert_ne!(answer(), other);
    }
}

#[test]
fn debug_output_of_the_metadata_shows_no_headers() {
    let mut response = ChatResponse::default();
    let headers = &mut response.meta.headers;
    headers.insert(header::SET_COOKIE, HeaderValue::from_static("canary=1"));
    headers.insert("x-request-id", HeaderValue::from_static("r-1"));
    let shown = format!("{response:?}");
    assert!(
        !shown.contains("canary") && shown.contains("r-1"),
        "{shown}"
    );
}

#[test]
fn a_response_without_choice_0_has_no_text() {
    let mut response = ChatResponse::default();
    response.add(&ChatEvent::text(1, "b"));
    assert_eq!((response.text(), response.tool_calls().len()), ("", 0));
    assert_eq!(response.message().content, []);
}

#[test]
fn a_response_is_the_next_message() {
    let mut response = ChatResponse::default();
    response.add(&ChatEvent::reasoning(0, "hm"));
    response.add(&ChatEvent::text(0, "a"));
    response.add(&ChatEvent::text(0, "b"));
    let call = ToolCall::new("c", "f", "{}");
    response.add(&ChatEvent::tool_call(0, 0, call.clone()));
    let message = Message::assistant("ab").reasoning("hm").tool_call(call);
    assert_eq!(response.message(), message);
}

#[test]
fn each_choice_is_found_by_its_index() {
    let mut response = ChatResponse::default();
    for (choice, text) in [(2, "c"), (0, "a"), (2, "cc"), (u32::MAX, "z")] {
        response.add(&ChatEvent::text(choice, text));
    }
    response.add(&ChatEvent::reasoning(2, "hm"));
    let call = ToolCall::new("c", "f", "{}");
    response.add(&ChatEvent::tool_call(2, 0, call.clone()));

    let text = |index| response.choice(index).map(|choice| &*choice.text);
    assert_eq!(text(0), Some("a"));
    assert_eq!((text(1), text(2)), (None, Some("ccc")));
    assert_eq!(text(u32::MAX), Some("z"));
    let message = Message::assistant("ccc").reasoning("hm").tool_call(call);
    assert_eq!(response.choice(2).unwrap().message(), message);
    assert_eq!(response.message(), response.choice(0).unwrap().message());
}

#[test]
fn the_last_usage_counts() {
    let mut response = ChatResponse::default();
    let mut usage = Usage::default();
    for tokens in [1, 2] {
        usage.output_tokens = Some(tokens);
        response.add(&ChatEvent::usage(usage));
    }
    assert_eq!(response.usage.unwrap().output_tokens, Some(2));
}

// Keys.

#[test]
fn debug_output_does_not_show_a_key() {
    let key = ApiKey::new(" csk-canary\n").unwrap();
    assert_eq!(key.expose(), "csk-canary");
    assert_eq!(format!("{key:?} {key:#?}"), "ApiKey(..) ApiKey(..)");
    let header = key.bearer();
    assert!(header.is_sensitive());
    assert_eq!(header.as_bytes(), b"Bearer csk-canary");
    assert!(!format!("{header:?}").contains("canary"));
}

#[test]
fn a_key_that_cannot_be_sent_is_refused_and_not_shown() {
    for key in [
        "",
        " \n\t",
        "canary\nx",
        "canary\rx",
        "canary x",
        "canary\0",
        "canary\u{7F}",
        "canary\u{E9}",
        "\u{FEFF}canary",
        "“canary”",
    ] {
        let error = ApiKey::new(key).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

// Errors.

#[test]
fn an_error_is_one_line() {
    let phases = [
        Phase::Dns,
        Phase::Connect,
        Phase::Tls,
        Phase::Write,
        Phase::Head,
        Phase::FirstEvent,
        Phase::Idle,
        Phase::Progress,
        Phase::Total,
    ];
    let timeouts = phases.map(|phase| {
        let error = Error::timeout(phase, seconds(5));
        assert!(error.to_string().contains(phase.as_str()), "{error}");
        assert!(error.is_timeout() && error.is_retryable());
        error
    });
    let statuses = [200, 301, 400, 404, 429, 500, 599].map(|status| {
        let status = StatusCode::from_u16(status).unwrap();
        error_of_head(status, &HeaderMap::new(), std::time::SystemTime::UNIX_EPOCH)
    });
    let others = [
        ChatRequest::default().validate().unwrap_err(),
        ApiKey::new("a b").unwrap_err(),
        Json::parse("{").unwrap_err(),
        Error::config("the cause").context("the place"),
    ];
    for error in timeouts.iter().chain(&statuses).chain(&others) {
        let line = error.to_string();
        assert!(
            !line.is_empty() && !line.contains('\n') && !line.ends_with('.'),
            "{line}"
        );
    }
}

#[test]
fn an_error_describes_its_level_and_its_source_the_rest() {
    let error = Error::config("the cache file cannot be used")
        .with_source(std::io::Error::other("not found"));
    assert_eq!(error.to_string(), "the cache file cannot be used");
    assert_eq!(error.source().unwrap().to_string(), "not found");
    assert_eq!(
        error.context("at the start").to_string(),
        "at the start: the cache file cannot be used"
    );
}

#[test]
fn an_error_shows_neither_headers_nor_body_nor_response() {
    let mut headers = HeaderMap::new();
    headers.insert(header::SET_COOKIE, HeaderValue::from_static("canary=1"));
    let mut partial = ChatResponse::default();
    partial.add(&ChatEvent::text(0, "canary"));
    let error = Error::new(ErrorKind::Server, "the service failed")
        .with_head(StatusCode::BAD_GATEWAY, headers)
        .with_body(&Bytes::from_static(b"canary"))
        .with_partial(partial);
    assert!(!format!("{error} {error:?} {error:#?}").contains("canary"));
    assert_eq!(error.partial().unwrap().text(), "canary");
    assert_eq!(error.body().unwrap(), "canary");
}

#[test]
fn an_error_keeps_64_kib_of_a_body() {
    for (length, kept) in [(0, 0), (65_536, 65_536), (65_537, 65_536)] {
        let error = Error::protocol("no").with_body(&Bytes::from(vec![b'x'; length]));
        assert_eq!(error.body().unwrap().len(), kept);
    }
}

#[test]
fn a_changed_clone_leaves_the_error_as_it_was() {
    let error = Error::protocol("no");
    let other = error.clone().with_attempts(3).with_sent(Sent::Yes);
    assert_eq!((error.attempts(), other.attempts()), (0, 3));
    assert_eq!((error.sent(), other.sent()), (None, Some(Sent::Yes)));
    assert_eq!(size_of::<Error>(), size_of::<usize>());
}

#[test]
fn an_error_has_the_request_id() {
    for name in ["x-request-id", "request-id", "cf-ray"] {
        let mut headers = HeaderMap::new();
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static("r-1"),
        );
        let error = Error::protocol("no").with_head(StatusCode::OK, headers);
        assert_eq!(error.request_id(), Some("r-1"));
    }
    assert_eq!(Error::protocol("no").request_id(), None);
}

// Rate limits.

#[test]
fn rate_limits_are_read_by_their_pattern() {
    let headers = [
        ("x-ratelimit-limit-tokens-minute", "60000"),
        ("x-ratelimit-remaining-tokens-minute", "59000"),
        ("x-ratelimit-reset-tokens-minute", "12.5"),
    ];
    let reset = Duration::from_millis(12_500);
    check_limit(
        &headers,
        "tokens-minute",
        rate(Some(60_000), Some(59_000), Some(reset)),
    );
    check_limit(
        &[("x-ratelimit-remaining-smiles", "3")],
        "smiles",
        rate(None, Some(3), None),
    );
    check_limit(
        &[("x-ratelimit-reset-requests", "2s")],
        "requests",
        rate(None, None, Some(seconds(2))),
    );
}

#[test]
fn a_reset_is_a_duration_in_any_form() {
    for (value, milliseconds) in [
        ("6m0s", 360_000),
        ("9ms", 9),
        ("2m59.56s", 179_560),
        ("1h2m3s", 3_723_000),
        ("1d", 86_400_000),
        (" 12.5 ", 12_500),
        ("30 seconds", 30_000),
    ] {
        let reset = Some(Duration::from_millis(milliseconds));
        check_limit(
            &[("x-ratelimit-reset-a", value)],
            "a",
            rate(None, None, reset),
        );
    }
    for value in ["6x", "m", "1s2", "-1s", "s", "1e400s"] {
        check_limit(&[("x-ratelimit-reset-a", value)], "a", RateLimit::default());
    }
    // A point in time is compared with the date; without a date it is ignored.
    for value in ["1792195260", "1792195260000", "2026-10-17T00:01:00Z"] {
        let reset = ("x-ratelimit-reset", value);
        let date = ("date", "Sat, 17 Oct 2026 00:00:00 GMT");
        check_limit(
            &[reset, date],
            "requests",
            rate(None, None, Some(seconds(60))),
        );
        check_limit(&[reset], "requests", RateLimit::default());
    }
}

#[test]
fn a_limit_without_a_resource_counts_requests() {
    let headers = [
        ("x-ratelimit-limit", "50"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "9"),
    ];
    check_limit(
        &headers,
        "requests",
        rate(Some(50), Some(0), Some(seconds(9))),
    );
    let headers = [
        ("x-ratelimit-limit-requests", "7"),
        ("x-ratelimit-limit", "50"),
        ("x-ratelimit-remaining", "3"),
    ];
    check_limit(&headers, "requests", rate(Some(7), Some(3), None));
}

#[test]
fn the_drafts_of_the_ietf_are_read() {
    check_limit(
        &[
            ("ratelimit-limit", "100, 100;w=60"),
            ("ratelimit-remaining", "50"),
            ("ratelimit-reset", "30"),
        ],
        "requests",
        rate(Some(100), Some(50), Some(seconds(30))),
    );
    check_limit(
        &[
            ("ratelimit", "limit=100, remaining=50, reset=30"),
            ("ratelimit-policy", "100;w=60"),
        ],
        "requests",
        rate(Some(100), Some(50), Some(seconds(30))),
    );
    let headers = [
        ("ratelimit", "\"default\";r=1199;t=1, \"day\";r=0;t=33011"),
        ("ratelimit-policy", "\"default\";q=1200;w=300"),
    ];
    check_limit(
        &headers,
        "default",
        rate(Some(1200), Some(1199), Some(seconds(1))),
    );
    check_limit(&headers, "day", rate(None, Some(0), Some(seconds(33_011))));
}

#[test]
fn invalid_rate_limits_are_ignored() {
    for value in ["", "many", "-1", "nan"] {
        check_limit(&[("x-ratelimit-limit-a", value)], "a", RateLimit::default());
        check_limit(&[("x-ratelimit-reset-a", value)], "a", RateLimit::default());
    }
    check_limit(
        &[("x-ratelimit-reset-a", "1e400")],
        "a",
        RateLimit::default(),
    );
}

#[test]
fn other_headers_are_not_rate_limits() {
    let mut headers = HeaderMap::new();
    for name in [
        "x-ratelimit-policy",
        "x-ratelimit-policy-a",
        "ratelimit-limit-a",
        "x-request-id",
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
    }
    assert!(RateLimits::from_headers(&headers).is_empty());
}

// JSON.

#[test]
fn json_keeps_its_text() {
    let text = r#"{"z":1,"a":{"y":1.50,"b":123456789012345678901234567890}}"#;
    let json = Json::parse(text).unwrap();
    assert_eq!(json.as_str(), text);
    assert_eq!(json.to_string(), text);
    assert_eq!(serde_json::to_string(&json).unwrap(), text);
    let tool = serde_json::to_string(&Tool::new("f", json)).unwrap();
    assert!(tool.contains(text), "{tool}");
}

#[test]
fn json_keeps_its_order_when_serialized() {
    let text = r#"{"z":1,"a":[{"y":1.5,"b":18446744073709551615,"A":null}]}"#;
    let json: Json = serde_json::from_str(text).unwrap();
    assert_eq!(json.as_str(), text);
}

#[test]
fn a_tool_keeps_the_order_of_its_schema_when_serialized() {
    let text = r#"{"name":"f","parameters":{"type":"object","properties":{"z":{},"a":{}}}}"#;
    let tool: Tool = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&tool).unwrap(), text);
}

#[test]
fn only_one_value_is_json() {
    for text in [
        "", " ", "{", "a", "1 2", "{}x", "'a'", "[1,]", "nan", "\"\n\"", "01",
    ] {
        assert_eq!(
            Json::parse(text).unwrap_err().kind(),
            ErrorKind::Config,
            "{text}"
        );
    }
    for text in ["null", "1", "\"a\"", "[]", "{}", "-1.5e3"] {
        assert_eq!(Json::parse(text).unwrap().as_str(), text);
    }
}

#[test]
fn numbers_and_booleans_become_json() {
    assert_eq!(Json::from(true).as_str(), "true");
    assert_eq!(Json::from(i64::MIN).as_str(), i64::MIN.to_string());
    assert_eq!(Json::from(u64::MAX).as_str(), u64::MAX.to_string());
}

#[test]
fn values_without_a_json_form_are_refused() {
    let map = std::collections::BTreeMap::from([((1, 2), 3)]);
    assert_eq!(Json::new(&map).unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(Json::new(&[1, 2]).unwrap().as_str(), "[1,2]");
}

#[test]
fn invalid_json_cannot_be_serialized() {
    let tool = Tool::new("f", Json::from_text("{"));
    assert!(serde_json::to_string(&tool).is_err());
}

proptest! {
    #[test]
    fn a_json_string_is_the_text(text in any::<String>()) {
        let json = Json::from(text.as_str());
        prop_assert_eq!(serde_json::from_str::<String>(json.as_str()).unwrap(), text);
    }

    #[test]
    fn events_survive_serialization(choice: u32, index: u32, text: String, word: String) {
        for event in [
            ChatEvent::text(choice, text.as_str()),
            ChatEvent::reasoning(choice, text.as_str()),
            ChatEvent::tool_call_start(choice, index, text.as_str(), word.as_str()),
            ChatEvent::tool_call_delta(choice, index, text.as_str()),
            ChatEvent::tool_call(choice, index, ToolCall::new(word.as_str(), text.as_str(), "{}")),
            ChatEvent::finish(choice, FinishReason::from(word.as_str())),
            ChatEvent::raw(Json::from(text.as_str())),
            ChatEvent::logprobs(choice, Json::from(text.as_str())),
        ] {
            let json = serde_json::to_string(&event).unwrap();
            prop_assert!(!json.contains('\n'), "an event is one line");
            prop_assert_eq!(serde_json::from_str::<ChatEvent>(&json).unwrap(), event);
        }
    }

    #[test]
    fn no_key_panics_or_shows(key: String) {
        match ApiKey::new(key.as_str()) {
            Ok(valid) => {
                prop_assert_eq!(valid.expose(), key.trim());
                prop_assert_eq!(valid.bearer(), format!("Bearer {}", key.trim()));
            }
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Config),
        }
    }
}
