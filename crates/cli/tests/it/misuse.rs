//! Flags and options without effect are errors.

use crate::{Run, ask, command, run, serve_stream, simulated};

#[track_caller]
fn check(args: &[&str], message: &str) {
    let run = run(&[&["chat", "Hi"], args].concat());
    assert_eq!(run.code, Some(2), "{args:?}: {}", run.stderr);
    assert!(run.error().contains(message), "{}", run.error());
    assert_eq!(run.stdout, "");
}

#[test]
fn an_option_that_repeats_a_flag_or_the_prompt_is_an_error() {
    check(&["-o", "messages=[]"], "the prompt sets the same value");
    check(
        &["-p", "replicate", "-o", "prompt=x"],
        "the prompt sets the same value",
    );
    for name in ["max_tokens", "max_completion_tokens", "max_new_tokens"] {
        let option = format!("{name}=5");
        check(
            &["--max-tokens", "4", "-o", &option],
            "`--max-tokens` sets the same value",
        );
    }
    check(
        &["-s", "x", "-o", "system_prompt=x"],
        "`--system` sets the same value",
    );
    check(
        &["--temperature", "1", "-o", "temperature=0"],
        "`--temperature`",
    );
    check(
        &["--seed", "1", "-o", "seed=0"],
        "`--seed` sets the same value",
    );
    check(
        &["--stop", "x", "-o", "stop=y"],
        "`--stop` sets the same value",
    );
    check(
        &["-m", "x", "-o", "model=y"],
        "`--model` sets the same value",
    );
    for provider in ["cerebras", "cloudflare", "replicate"] {
        let option = ["-p", provider, "-o", "stream=false"];
        check(&option, "`--no-stream`");
    }
    check(
        &["-o", "a=1", "-o", "b=1", "-o", "a=1"],
        "`a`: it is repeated",
    );
}

#[test]
fn an_option_may_replace_the_prompt() {
    let messages = r#"messages=[{"role":"user","content":"Hi"}]"#;
    let whole = run(&["chat", "--simulate", "--tps", "0", "-o", messages]);
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    assert_eq!(whole.stdout, simulated(&[]).stdout);
}

#[test]
fn a_flag_of_another_provider_is_an_error() {
    for (provider, flags, owner) in [
        ("cerebras", &["--account", "x"][..], "cloudflare"),
        ("openai-compat", &["--gateway", "x"], "cloudflare"),
        ("openai-compat", &["--behind-gateway"], "cerebras"),
        (
            "cloudflare",
            &["--behind-gateway", "--gateway", "x"],
            "cerebras",
        ),
        ("replicate", &["--playground"], "cloudflare"),
        ("cablyai", &["--stream-origin", "https://x"], "replicate"),
        ("cloudflare", &["--cookies", "x"], "cerebras"),
    ] {
        let message = format!("`{}` for {provider}: it belongs to {owner}", flags[0]);
        check(&[&["-p", provider], flags].concat(), &message);
        let models = run(&[&["models", "-p", provider], flags].concat());
        assert_eq!(models.code, Some(2), "{}", models.stderr);
        assert!(models.error().contains(&message), "{}", models.error());
    }
    // The provider may be part of the model's name.
    check(&["-m", "replicate/a/b", "--account", "x"], "for replicate");
    let key = ["-p", "cloudflare", "--playground", "--key-file", "x"];
    check(&key, "`--key-file` for the playground");
}

#[test]
fn a_fault_of_another_provider_is_an_error() {
    let playground = ["-p", "cloudflare", "--playground"];
    for (service, fault) in [
        (&["-p", "cerebras"][..], "heartbeats"),
        (&["-p", "cerebras"], "stream:404"),
        (&["-p", "cerebras"], "challenge"),
        (&["-p", "cloudflare"], "coldboot"),
        (&["-p", "cloudflare"], "expire"),
        (&["-p", "replicate"], "quota"),
        (&playground, "restart"),
        (&playground, "cutall"),
    ] {
        let message = format!("`{fault}`: not available for");
        check(
            &[service, &["--simulate", "--fault", fault]].concat(),
            &message,
        );
    }
    let models = run(&["models", "--simulate", "--fault", "503"]);
    assert_eq!(models.code, Some(2), "{}", models.stderr);
}

#[test]
fn an_unknown_model_has_a_hint() {
    let hint = |run: &Run| {
        let hint = run
            .stderr
            .lines()
            .find_map(|line| line.strip_prefix("hint: "));
        hint.unwrap_or_default().to_owned()
    };
    let unknown = simulated(&["-m", "nosuch"]);
    assert_eq!(unknown.code, Some(1));
    assert_eq!(
        hint(&unknown),
        "`inferstream models -p cerebras --simulate` lists the models"
    );
    for provider in ["replicate", "cloudflare"] {
        let model = if provider == "replicate" {
            "nosuch"
        } else {
            "@cf/no/such"
        };
        let unknown = simulated(&["-p", provider, "-m", model]);
        assert!(
            hint(&unknown).contains("inferstream models -p"),
            "{}",
            unknown.stderr
        );
    }
    // A missing prediction stream does not concern the model.
    let gone = simulated(&["-p", "replicate", "--fault", "stream:404"]);
    assert_eq!(hint(&gone), "", "{}", gone.stderr);
    let url = serve_stream(&[], "stop");
    assert_eq!(hint(&ask(&url, &[])), "");
    let nowhere = Run::of(&mut command(&[
        "chat",
        "Hi",
        "--base-url",
        "http://127.0.0.1:1",
    ]));
    assert_eq!(hint(&nowhere), "");
}
