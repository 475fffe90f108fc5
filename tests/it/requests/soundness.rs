//! The values that a schema accepts before and after it is rewritten for a service.

use inferstream_core::{Error, Json, ResponseFormat, Unsupported};
use inferstream_openai_compat::SchemaRules;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};

use super::{
    Service, body, compatible,
    validity::{Dice, check, dependent, document, value},
    wire,
};

/// Rewrites a schema for a service that supports these keywords in addition to the smallest set.
#[track_caller]
fn put(
    schema: &Value,
    strict: bool,
    keywords: &'static [&'static str],
) -> Result<(Value, Vec<Unsupported>), Error> {
    let format = ResponseFormat::json_schema("s", Json::from_text(schema.to_string()));
    let request = Service::Compatible.hi();
    let request = request.response_format(format.strict(strict));
    let wire = wire();
    let rules = SchemaRules::new().keywords(keywords.iter().copied());
    let provider = compatible(&wire, |builder| builder.schema_rules(rules));
    let lost = provider.check(&request)?;
    let sent = body(&*provider, &wire, request);
    let schema = &sent["response_format"]["json_schema"]["schema"];
    Ok((schema.clone(), lost))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_rewritten_schema_accepts_the_same_values_apart_from_what_is_named(
        schema in prop::collection::vec(any::<u8>(), 0..160),
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..24), 60),
    ) {
        let schema = document(&mut Dice(schema.iter()));
        let values = values.iter().map(|bytes| value(&mut Dice(bytes.iter())));
        check(put, &schema, &values.collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn merged_objects_and_arrays_accept_the_same_values(
        schema in prop::collection::vec(any::<u8>(), 40),
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..24), 60),
    ) {
        let mut dice = Dice(schema.iter());
        let mut schema = dependent(&mut dice);
        let [one, other] = [dependent(&mut dice), dependent(&mut dice)];
        match dice.roll(3) {
            0 => schema["allOf"] = json!([one]),
            1 => schema["anyOf"] = json!([one, other]),
            _ => {
                schema["$defs"] = json!({ "D": one });
                schema["$ref"] = json!("#/$defs/D");
            }
        }
        let values = values.iter().map(|bytes| value(&mut Dice(bytes.iter())));
        check(put, &schema, &values.collect::<Vec<_>>());
    }
}

/// A property of rewritten schemas would prove nothing if all schemas were refused.
#[test]
fn most_generated_schemas_are_rewritten() {
    let mut runner = TestRunner::deterministic();
    let bytes = prop::collection::vec(any::<u8>(), 0..160);
    let mut count = 0;
    for _ in 0..300 {
        let tree = bytes.new_tree(&mut runner).unwrap();
        count += check(put, &document(&mut Dice(tree.current().iter())), &[]);
    }
    assert!(600 < count, "{count} of 900");
}
