//! The types of JSON, and which keywords are about which.

/// The schema of `null`.
pub(super) const NULL: &str = r#"{"type":"null"}"#;

/// The schema of objects.
pub(super) const OBJECT: &str = r#"{"type":"object"}"#;

/// Each type, as the schema that says it.
const TYPES: [(&str, &str); 7] = [
    ("array", r#"{"type":"array"}"#),
    ("boolean", r#"{"type":"boolean"}"#),
    ("integer", r#"{"type":"integer"}"#),
    ("null", NULL),
    ("number", r#"{"type":"number"}"#),
    ("object", OBJECT),
    ("string", r#"{"type":"string"}"#),
];

/// The types that keywords are about; others are about all.
const ABOUT: [(&[&str], &[&str]); 4] = [
    (
        &["array"],
        &[
            "contains",
            "items",
            "maxContains",
            "maxItems",
            "minContains",
            "minItems",
            "prefixItems",
            "unevaluatedItems",
            "uniqueItems",
        ],
    ),
    (
        &["integer", "number"],
        &[
            "exclusiveMaximum",
            "exclusiveMinimum",
            "format",
            "maximum",
            "minimum",
            "multipleOf",
        ],
    ),
    (
        &["object"],
        &[
            "additionalProperties",
            "dependencies",
            "dependentRequired",
            "dependentSchemas",
            "maxProperties",
            "minProperties",
            "patternProperties",
            "properties",
            "propertyNames",
            "required",
            "unevaluatedProperties",
        ],
    ),
    (
        &["string"],
        &["format", "maxLength", "minLength", "pattern"],
    ),
];

/// Returns the schema of a type.
pub(super) fn schema(kind: &str) -> Option<&'static str> {
    let found = TYPES.iter().find(|(known, _)| *known == kind);
    found.map(|(_, schema)| *schema)
}

/// Returns true if a keyword says something about values of a type.
pub(super) fn is_about(keyword: &str, kind: &str) -> bool {
    let about = ABOUT.iter().filter(|(_, names)| names.contains(&keyword));
    let (mut is_known, mut is_about) = (false, false);
    for (kinds, _) in about {
        is_known = true;
        is_about |= kinds.contains(&kind);
    }
    is_about || !is_known
}
