//! Keys, addresses and prompts are never shown.

use inferstream_cloudflare::{ChatRequest, Cloudflare, CloudflareBuilder, Endpoint, Error};

use super::{ACCOUNT, Answer, ENDPOINTS, Wire, sse, stream_of};
use crate::support::block_on;

const TOKEN: &str = "cft-t0ken-that-is-hidden";
const EMAIL: &str = "h1dden@mail.test";
const KEY: &str = "0lder-key-that-is-hidden";
const GATEWAY: &str = "g4teway-key-that-is-hidden";
const PROMPT: &str = "the patient's name is Ann Onymous";

#[derive(Clone, Copy, Debug)]
enum Way {
    Token,
    Pair,
}

fn builder(way: Way, wire: &Wire) -> CloudflareBuilder {
    let builder = Cloudflare::builder()
        .account_id(ACCOUNT)
        .gateway("g")
        .gateway_token(GATEWAY)
        .transport(wire.clone());
    match way {
        Way::Token => builder.api_token(TOKEN),
        Way::Pair => builder.api_key(EMAIL, KEY),
    }
}

#[track_caller]
fn check_hidden(shown: &str) {
    for secret in [TOKEN, EMAIL, KEY, GATEWAY, PROMPT] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[track_caller]
fn check_error(error: &Error) {
    check_hidden(&format!("{error}\n{error:?}\n{error:#?}"));
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        check_hidden(&format!("{cause}\n{cause:?}"));
        source = cause.source();
    }
}

#[test]
fn settings_and_client_hide_them() {
    for way in [Way::Token, Way::Pair] {
        let wire = Wire::new([stream_of("")]);
        check_hidden(&format!("{:?}", builder(way, &wire)));
        let client = builder(way, &wire).build().unwrap();
        check_hidden(&format!("{client:?}\n{client:#?}"));
    }
}

#[test]
fn requests_hide_them() {
    for way in [Way::Token, Way::Pair] {
        let wire = Wire::new([stream_of("")]);
        let client = builder(way, &wire).build().unwrap();
        drop(block_on(&wire.clock, client.stream("hi")).unwrap());
        check_hidden(&format!("{:?}", wire.request().headers()));
    }
}

/// Responses that repeat the request.
fn echoes() -> Vec<Answer> {
    let said = format!("bad {TOKEN} {EMAIL} {KEY} {GATEWAY} for {PROMPT}");
    let mut answers = Vec::new();
    for status in [400, 401, 403, 404, 413, 500] {
        for body in [
            format!(
                r#"{{"errors":[{{"code":5006,"message":"AiError: AiError: {said}"}}],"success":false}}"#
            ),
            format!(
                r#"{{"name":"AiError","internalCode":5006,"httpCode":400,"message":"{said}","description":"{said}"}}"#
            ),
            format!(
                r#"{{"success":false,"error":[{{"code":2009,"message":"{said}"}}],"name":"AiGatewayError","message":"{said}"}}"#
            ),
            format!(r#"{{"error":{{"message":"{said}","code":"{TOKEN}"}}}}"#),
            format!(r#"{{"error":{{"message":"{said}","code":"{KEY}"}}}}"#),
            format!(r#"{{"errors":[{{"code":"{EMAIL}","message":"x"}}]}}"#),
            format!("<html>{said}</html>"),
            said.clone(),
        ] {
            answers.push(Answer::json(status, &body).header("x-echo", TOKEN));
        }
    }
    answers
}

#[test]
fn errors_do_not_show_secrets_that_the_service_repeats() {
    for way in [Way::Token, Way::Pair] {
        for answer in echoes() {
            for endpoint in ENDPOINTS {
                let wire = Wire::new([answer.clone()]);
                let client = builder(way, &wire).endpoint(endpoint).build().unwrap();
                let request = || ChatRequest::from(PROMPT);
                let error = block_on(&wire.clock, client.stream(request())).unwrap_err();
                hidden_of(way, &error);
                let error = block_on(&wire.clock, client.chat(request())).unwrap_err();
                hidden_of(way, &error);
            }
        }
    }
}

/// Checks that known secrets are hidden; values that the client was not given cannot be.
#[track_caller]
fn hidden_of(way: Way, error: &Error) {
    let shown = format!(
        "{error}\n{error:?}\n{:?}\n{:?}",
        error.provider_message(),
        error.code()
    );
    let own = match way {
        Way::Token => &[TOKEN, GATEWAY, PROMPT][..],
        Way::Pair => &[EMAIL, KEY, GATEWAY, PROMPT],
    };
    for secret in own {
        assert!(!shown.contains(secret), "{way:?}: {secret} in {shown}");
    }
}

#[test]
fn errors_in_streams_do_not_show_repeated_secrets() {
    for way in [Way::Token, Way::Pair] {
        for error in [
            format!(r#"{{"error":{{"message":"bad {TOKEN} {EMAIL} {KEY} {GATEWAY} {PROMPT}"}}}}"#),
            format!(
                r#"{{"errors":[{{"code":3040,"message":"bad {TOKEN} {EMAIL} {KEY} {GATEWAY} {PROMPT}"}}]}}"#
            ),
            format!(
                r#"{{"success":false,"errors":[{{"code":3040,"message":"AiError: bad {TOKEN} {EMAIL} {KEY} {GATEWAY} {PROMPT}"}}]}}"#
            ),
            format!("no JSON {TOKEN} {EMAIL} {KEY} {GATEWAY} {PROMPT}"),
        ] {
            let wire = Wire::new([stream_of(sse(&[r#"{"response":"a"}"#, &error]))]);
            let client = builder(way, &wire)
                .endpoint(Endpoint::Native)
                .build()
                .unwrap();
            let stream = block_on(&wire.clock, client.stream(PROMPT)).unwrap();
            let error = block_on(&wire.clock, stream.finish()).unwrap_err();
            hidden_of(way, &error);
        }
    }
}

#[test]
fn errors_do_not_show_secrets_in_nested_json() {
    // The apostrophe is escaped, and only the inner JSON decodes it.
    let prompt = PROMPT.replace('\'', "\\u0027");
    let inner = format!(r#"{{"message":"bad {TOKEN} for {prompt}, at last"}}"#);
    for words in [inner.clone(), format!("AiError: {inner}")] {
        let words = serde_json::to_string(&words).unwrap();
        let error = format!(r#"{{"success":false,"errors":[{{"code":5006,"message":{words}}}]}}"#);
        for answer in [
            Answer::json(400, &error),
            Answer::json(200, &error),
            stream_of(sse(&[r#"{"response":"a"}"#, &error])),
        ] {
            for endpoint in ENDPOINTS {
                let wire = Wire::new([answer.clone()]);
                let client = builder(Way::Token, &wire)
                    .endpoint(endpoint)
                    .build()
                    .unwrap();
                let found = block_on(&wire.clock, async {
                    client.stream(PROMPT).await?.finish().await
                });
                let found = found.unwrap_err();
                hidden_of(Way::Token, &found);
                let message = found.provider_message().unwrap();
                assert!(message.ends_with(", at last"), "{message}");
            }
        }
    }
}

#[test]
fn errors_of_lists_do_not_show_repeated_secrets() {
    for (name, value) in [("token", TOKEN), ("key", KEY), ("email", EMAIL)] {
        let body =
            format!(r#"{{"errors":[{{"code":10000,"message":"bad {value}"}}],"success":false}}"#);
        let wire = Wire::new([Answer::json(401, &body)]);
        let plain = Cloudflare::builder()
            .account_id(ACCOUNT)
            .transport(wire.clone());
        let plain = match name {
            "token" => plain.api_token(TOKEN),
            _ => plain.api_key(EMAIL, KEY),
        };
        let client = plain.build().unwrap();
        check_error(&block_on(&wire.clock, client.models()).unwrap_err());
        check_error(&block_on(&wire.clock, client.search("x")).unwrap_err());
        check_error(&block_on(&wire.clock, client.schema("x")).unwrap_err());
    }
}
