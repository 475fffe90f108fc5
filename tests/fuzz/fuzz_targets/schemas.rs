//! A rewritten schema accepts the same values apart from what is named, and any text that is no
//! schema is refused or sent.
#![no_main]

use inferstream_core::{
    ChatRequest, Error, ErrorKind, Json, Provider, ResponseFormat, RetryPolicy, Unsupported,
};
use inferstream_openai_compat::{Compatible, SchemaRules, without_schema_uri};
use inferstream_test::{Reply, ScriptedTransport};
use serde_json::Value;

#[path = "../../it/requests/validity.rs"]
mod validity;

use validity::{Dice, check, dependent, document, value};

/// Rewrites a schema as text. Returns the schema that is sent, and what was dropped.
fn rewrite(
    schema: &str,
    strict: bool,
    keywords: &'static [&'static str],
) -> Result<(String, Vec<Unsupported>), Error> {
    let transport = ScriptedTransport::new([Reply::json(400, "{}")]);
    let rules = SchemaRules::new().keywords(keywords.iter().copied());
    let client = Compatible::new("https://engine.test/v1")
        .schema_rules(rules)
        .transport(transport.clone())
        .build()?;
    let format = ResponseFormat::json_schema("s", Json::from_text(schema)).strict(strict);
    let request = ChatRequest::new("m").user("Hi").response_format(format);
    let lost = Provider::check(&client, &request)?;
    let sent = transport.block_on(Provider::stream(
        &client,
        request.retry(RetryPolicy::never()),
    ));
    sent.expect_err("the service refuses everything");
    let requests = transport.requests();
    let body = std::str::from_utf8(requests[0].body()).expect("JSON");
    let body: Value = serde_json::from_str(body).expect("JSON");
    let schema = &body["response_format"]["json_schema"]["schema"];
    Ok((schema.to_string(), lost))
}

fn put(
    schema: &Value,
    strict: bool,
    keywords: &'static [&'static str],
) -> Result<(Value, Vec<Unsupported>), Error> {
    let (sent, lost) = rewrite(&schema.to_string(), strict, keywords)?;
    Ok((serde_json::from_str(&sent).expect("JSON"), lost))
}

/// Checks a schema of any text.
fn check_text(text: &str) {
    let schema = without_schema_uri(&Json::from_text(text));
    let Ok(parsed) = serde_json::from_str::<Value>(text) else {
        assert_eq!(schema.as_str(), text);
        return;
    };
    let again = without_schema_uri(&schema);
    assert_eq!(again, schema, "{text}");
    for strict in [true, false] {
        match rewrite(text, strict, &["pattern"]) {
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Config),
                "{error} {text}"
            ),
            Ok((sent, lost)) => {
                for Unsupported { field, .. } in &lost {
                    let pointer = field.strip_prefix("response_format#").expect("a pointer");
                    assert!(parsed.pointer(pointer).is_some(), "{field} of {text}");
                }
                let (again, more) = rewrite(&sent, strict, &["pattern"]).expect("it was sent");
                assert_eq!(again, sent, "{text}");
                assert_eq!(more, [], "{text}");
            }
        }
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    if first % 3 == 0 {
        return check_text(&String::from_utf8_lossy(rest));
    }
    let mut dice = Dice(rest.iter());
    let schema = if first % 3 == 1 {
        document(&mut dice)
    } else {
        let mut schema = dependent(&mut dice);
        schema["allOf"] = serde_json::json!([dependent(&mut dice)]);
        schema
    };
    // The values are the input's rest, and some that all inputs share.
    let rest = dice.0.as_slice();
    let own = rest.chunks(8).take(16);
    let common = (0..=u8::MAX)
        .step_by(5)
        .map(|first| [8 + first % 3, first, first / 3, first / 7]);
    let common: Vec<_> = common.collect();
    let all = own.chain(common.iter().map(|bytes| &bytes[..]));
    let values: Vec<_> = all.map(|bytes| value(&mut Dice(bytes.iter()))).collect();
    check(put, &schema, &values);
});
