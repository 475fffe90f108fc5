//! Tests of the configuration's parser and of the selection of providers.

use super::{Config, Route, Target};
use crate::kind::Kind;

const SECRET: &str = "sk-Very-secret";

#[track_caller]
fn config(text: &str) -> Config {
    Config::parse(text).unwrap()
}

/// Checks the message of an invalid file, which never contains the secret.
#[track_caller]
fn check(text: &str, message: &str) {
    let error = Config::parse(text).unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(error.to_string().starts_with(message), "{error}");
    assert!(!text.contains(SECRET), "{text}");
    assert!(!error.to_string().contains('\n'), "{error}");
}

fn target(name: &str, kind: Kind, model: &str) -> Target {
    Target {
        name: name.to_owned(),
        kind,
        model: Some(model.to_owned()),
    }
}

#[test]
fn a_complete_file_is_read() {
    let config = config(
        r#"
        default = "fast"
        [models]
        fast = ["cerebras/gpt-oss-120b", "local/gpt-oss:20b"]
        big = "groq/openai/gpt-oss-120b"
        [providers.local]
        kind = "ollama"
        base_url = "http://127.0.0.1:11434/v1"
        headers = { x-title = "notes", x-api-key = "env:LOCAL_KEY" }
        connect_timeout = 0.5
        timeout = 0
        attempts = 1
        max_in_flight = 4
        [providers.work]
        kind = "cloudflare"
        account = "00000000000000000000000000000000"
        api_key = "file:work.key"
        gateway = "team"
        gateway_token = "env:TEAM"
        [providers.replicate]
        stream_origins = ["https://stream.example.com"]
        "#,
    );
    let local = Kind::Preset("ollama");
    let cerebras = target("cerebras", Kind::Cerebras, "gpt-oss-120b");
    let fast = vec![cerebras, target("local", local, "gpt-oss:20b")];
    assert_eq!(config.default.as_ref(), Some(&fast));
    assert_eq!(config.models["fast"], fast);
    let big = target("groq", Kind::Preset("groq"), "openai/gpt-oss-120b");
    assert_eq!(config.models["big"], [big]);
    assert_eq!(config.providers.len(), 3);
    assert_eq!(config.providers["local"].headers.0.len(), 2);
}

#[test]
fn an_unknown_member_is_an_error_with_its_place() {
    check(
        "defualt = \"groq\"\n",
        "line 1, column 1: unknown field `defualt`",
    );
    check(
        "\n[providers.groq]\n  base = \"x\"\n",
        "line 3, column 3: unknown field `base`",
    );
    check(
        "[provider.groq]\n",
        "line 1, column 2: unknown field `provider`",
    );
}

#[test]
fn an_error_shows_no_value() {
    let values = [
        ("default", "line 1, column 11: invalid model"),
        ("models", "line 1, column 10: invalid type"),
        ("models.a", "line 1, column 12: invalid model"),
        ("providers", "line 1, column 13: invalid type"),
        ("providers.a", "line 1, column 15: invalid type"),
        (
            "providers.groq.api_key",
            "line 1, column 26: invalid key: expected `env:NAME` or `file:PATH`",
        ),
        (
            "providers.groq.kind",
            "line 1, column 23: invalid kind: expected one of cablyai, cerebras",
        ),
        ("providers.groq.attempts", "line 1, column 27: invalid type"),
        ("providers.groq.timeout", "line 1, column 26: invalid type"),
        ("providers.groq.headers", "line 1, column 26: invalid type"),
        (
            "providers.groq.headers.x-api-key",
            "line 1, column 36: invalid value of the header `x-api-key`",
        ),
        (
            "providers.groq.asks_for_usage",
            "line 1, column 33: invalid type",
        ),
        (
            "providers.cloudflare.gateway_token",
            "line 1, column 38: invalid key",
        ),
        (
            "providers.replicate.stream_origins",
            "line 1, column 38: invalid type",
        ),
    ];
    for (member, message) in values {
        check(&format!("{member} = \"{SECRET}\"\n"), message);
    }
    check(
        &format!("providers.groq.api_key = \"{SECRET}\n"),
        "line 1, column ",
    );
    check(
        &format!("providers.groq.api_key = {SECRET}\n"),
        "line 1, column ",
    );
    check(
        &format!("providers.groq.api_key = \"env:{SECRET}\"\n"),
        "line 1, column 26: invalid key",
    );
}

#[test]
fn numbers_have_ranges() {
    check(
        "providers.groq.attempts = 0",
        "line 1, column 27: invalid number of attempts",
    );
    check(
        "providers.groq.timeout = -1",
        "line 1, column 26: invalid timeout",
    );
    check(
        "providers.groq.max_in_flight = 0",
        "line 1, column 32: invalid value",
    );
}

#[test]
fn members_of_other_kinds_are_errors() {
    check(
        "\n[providers.groq]\naccount = \"x\"\n",
        "line 2, column 1: invalid member `account` of the provider `groq`: it belongs to the kind \
         cloudflare, and the kind is groq",
    );
    check(
        "[providers.cloudflare]\nagent = true",
        "line 1, column 1: invalid member `agent`",
    );
    check(
        "[providers.cerebras]\nreasoning_field = \"x\"",
        "line 1, column 1: invalid member",
    );
}

#[test]
fn names_are_checked() {
    check(
        "[providers.local]\n",
        "line 1, column 1: missing `kind` of the provider `local`",
    );
    check(
        "[providers.\"a/b\"]\nkind = \"groq\"\n",
        "line 1, column 1: invalid name",
    );
    check(
        "models.groq = \"groq/x\"",
        "line 1, column 15: invalid alias `groq`",
    );
    check("models.a = []", "line 1, column 12: invalid list of models");
    check(
        "models.a = [\"x/y\"]",
        "line 1, column 12: invalid model: expected `provider/model`",
    );
}

#[track_caller]
fn check_route(flags: (Option<&str>, Option<&str>), variable: Option<&str>, expected: &[&str]) {
    let config = config(
        r#"
        default = "work/big"
        models.fast = ["groq/a", "cerebras"]
        providers.work = { kind = "openai-compat", base_url = "http://localhost/v1", default_model = "own" }
        "#,
    );
    let route = Route::new(&config, flags.0, flags.1, variable).unwrap();
    let route: Vec<String> = route
        .targets()
        .map(|target| format!("{}/{}", target.name, target.model.as_deref().unwrap_or("-")))
        .collect();
    assert_eq!(route, expected);
}

#[test]
fn flags_come_before_the_variable_and_the_file() {
    check_route((None, None), None, &["work/big"]);
    check_route((None, None), Some("groq/x"), &["groq/x"]);
    check_route((None, Some("ollama/y")), Some("groq/x"), &["ollama/y"]);
    check_route((None, Some("fast")), None, &["groq/a", "cerebras/-"]);
    check_route((None, None), Some("fast"), &["groq/a", "cerebras/-"]);
}

#[test]
fn a_model_without_a_provider_belongs_to_the_default_provider() {
    check_route((None, Some("small")), None, &["work/small"]);
    check_route((None, Some("meta/llama")), None, &["work/meta/llama"]);
    check_route((None, Some("groq")), None, &["work/groq"]);
}

#[test]
fn a_provider_takes_only_models_that_name_it() {
    check_route((Some("work"), None), None, &["work/big"]);
    check_route((Some("work"), None), Some("groq/x"), &["work/big"]);
    check_route((Some("groq"), None), Some("groq/x"), &["groq/x"]);
    check_route((Some("groq"), None), None, &["groq/-"]);
    check_route((Some("groq"), Some("groq/x")), None, &["groq/x"]);
    check_route(
        (Some("groq"), Some("cerebras/x")),
        None,
        &["groq/cerebras/x"],
    );
    check_route((Some("groq"), Some("fast")), None, &["groq/fast"]);
}

#[test]
fn without_a_file_the_default_is_cerebras() {
    let route = Route::new(&Config::default(), None, None, None).unwrap();
    assert_eq!(
        (route.first().name.as_str(), route.first().kind),
        ("cerebras", Kind::Cerebras)
    );
    let error = Route::new(&Config::default(), Some("gorq"), None, None).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("unknown provider `gorq`: expected one of cablyai")
    );
}

#[test]
fn the_example_of_the_readme_is_valid() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```toml\n").unwrap();
    let config = config(rest.split_once("```").unwrap().0);
    assert_eq!(config.default.unwrap().len(), 2);
    assert_eq!(config.providers.len(), 2);
}
