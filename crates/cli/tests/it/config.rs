//! The configuration file: the default model, aliases, providers and their keys.

use std::{fs, net::TcpListener, path::Path};

use tempfile::{TempDir, tempdir};

use crate::{Run, Server, command, run, serve_stream};

const KEY: &str = "csk-Very-secret-key";

/// A folder with a configuration file.
struct Folder(TempDir);

impl Folder {
    fn new(config: &str) -> Self {
        let folder = tempdir().unwrap();
        fs::create_dir(folder.path().join("inferstream")).unwrap();
        fs::write(folder.path().join("inferstream/config.toml"), config).unwrap();
        Self(folder)
    }

    fn file(&self) -> String {
        let file = self.0.path().join("inferstream/config.toml");
        file.to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join("inferstream").join(name), text).unwrap();
    }

    /// Runs the program with this file and these variables. No output contains the key.
    #[track_caller]
    fn run(&self, args: &[&str], variables: &[(&str, &str)]) -> Run {
        let mut command = command(args);
        let run = Run::of(
            command
                .args(["--config", &self.file()])
                .envs(variables.iter().copied()),
        );
        for output in [&run.stdout, &run.stderr] {
            assert!(!output.contains(KEY), "{output}");
        }
        run
    }
}

/// Returns the table of a provider at a simulator that accepts only one key.
fn table(url: &str, key: &str) -> String {
    format!(
        "[providers.sim]\nkind = \"cerebras\"\nbase_url = \"{url}\"\nbehind_gateway = true\n\
         attempts = 1\ndefault_model = \"gpt-oss-120b\"\n{key}\n"
    )
}

/// Returns a port without a listener.
fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
#[cfg(all(unix, not(target_os = "macos")))]
fn the_file_is_in_the_configuration_folder() {
    let folder = Folder::new("defualt = 1");
    let found = Run::of(command(&["config", "path"]).env("XDG_CONFIG_HOME", folder.0.path()));
    assert_eq!(found.stdout, format!("{}\n", folder.file()));
    let read = Run::of(command(&["chat", "Hi"]).env("XDG_CONFIG_HOME", folder.0.path()));
    assert_eq!(read.code, Some(2));
    assert!(read.error().contains(&folder.file()), "{}", read.error());
    // A relative path is ignored, as the specification requires.
    let mut relative = command(&["config", "path"]);
    let relative = Run::of(
        relative
            .env("XDG_CONFIG_HOME", "here")
            .env("HOME", "/home/x"),
    );
    assert_eq!(relative.stdout, "/home/x/.config/inferstream/config.toml\n");
    let given = run(&["config", "path", "--config", "own.toml"]);
    assert_eq!(given.stdout, "own.toml\n");
}

#[test]
fn a_key_is_read_from_a_variable_or_a_file() {
    let server = Server::start(&["--api-key", KEY]);
    let folder = Folder::new(&table(&server.url, "api_key = \"env:SIM_KEY\""));
    let chat = ["chat", "Hi", "-p", "sim"];
    assert_eq!(folder.run(&chat, &[("SIM_KEY", KEY)]).code, Some(0));
    let wrong = folder.run(&chat, &[("SIM_KEY", "csk-another-key")]);
    assert_eq!(wrong.code, Some(3), "{}", wrong.stderr);
    let missing = folder.run(&chat, &[]);
    assert_eq!(missing.code, Some(3));
    let expected = "[providers.sim]: missing key: the environment variable SIM_KEY is not set";
    assert!(missing.error().contains(expected), "{}", missing.error());

    let folder = Folder::new(&table(&server.url, "api_key = \"file:keys/sim\""));
    fs::create_dir(Path::new(&folder.file()).with_file_name("keys")).unwrap();
    let missing = folder.run(&chat, &[]);
    assert_eq!(missing.code, Some(2), "{}", missing.stderr);
    folder.write("keys/sim", &format!("{KEY}\n"));
    assert_eq!(folder.run(&chat, &[]).code, Some(0));
}

#[test]
fn a_key_of_the_environment_is_not_sent_to_the_url_of_a_table() {
    let server = Server::start(&["--api-key", KEY]);
    let folder = Folder::new(&table(&server.url, "").replace("sim", "cerebras"));
    let run = folder.run(&["chat", "Hi"], &[("CEREBRAS_API_KEY", KEY)]);
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    // A flag is more than the file.
    folder.write("key", KEY);
    let file = Path::new(&folder.file()).with_file_name("key");
    let run = folder.run(&["chat", "Hi", "--key-file", file.to_str().unwrap()], &[]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[test]
fn headers_are_sent() {
    let server = Server::start(&["--api-key", KEY]);
    let header = "headers = { authorization = \"env:SIM_KEY\" }";
    let folder = Folder::new(&table(&server.url, header));
    let run = folder.run(&["chat", "Hi", "-p", "sim"], &[("SIM_KEY", KEY)]);
    // The key has its own setting.
    assert_eq!(run.code, Some(2));
    assert!(
        run.error().contains("invalid header `authorization`"),
        "{}",
        run.error()
    );
}

#[test]
fn the_default_model_is_replaced_by_the_variable_and_the_flag() {
    let url = serve_stream(&[serde_json::json!({"content": "from the file"})], "stop");
    let other = serve_stream(&[serde_json::json!({"content": "from another"})], "stop");
    let folder = Folder::new(&format!(
        "default = \"one\"\nmodels.one = \"local/m\"\nmodels.two = [\"other/m\"]\n\
         [providers.local]\nkind = \"openai-compat\"\nbase_url = \"{url}\"\n\
         [providers.other]\nkind = \"ollama\"\nbase_url = \"{other}\"\n"
    ));
    let model = |args: &[&str], variable: &[(&str, &str)]| {
        let run = folder.run(&[&["chat", "Hi"], args].concat(), variable);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        run.stdout
    };
    assert_eq!(model(&[], &[]), "from the file\n");
    assert_eq!(
        model(&[], &[("INFERSTREAM_MODEL", "two")]),
        "from another\n"
    );
    assert_eq!(
        model(&["-m", "one"], &[("INFERSTREAM_MODEL", "two")]),
        "from the file\n"
    );
    assert_eq!(model(&["-m", "other/x"], &[]), "from another\n");
    assert_eq!(model(&["-p", "other", "-m", "x"], &[]), "from another\n");
}

#[test]
fn an_alias_falls_back_to_its_next_model() {
    let url = serve_stream(&[serde_json::json!({"content": "second"})], "stop");
    let port = closed_port();
    let folder = Folder::new(&format!(
        "models.fast = [\"dead/a\", \"live/b\"]\n\
         [providers.dead]\nkind = \"vllm\"\nbase_url = \"http://127.0.0.1:{port}/v1\"\nattempts = 1\n\
         [providers.live]\nkind = \"openai-compat\"\nbase_url = \"{url}\"\n"
    ));
    let run = folder.run(&["chat", "Hi", "-m", "fast"], &[]);
    assert_eq!(
        (run.code, &*run.stdout),
        (Some(0), "second\n"),
        "{}",
        run.stderr
    );
    let refused = folder.run(&["chat", "Hi", "-m", "fast", "--base-url", "http://x"], &[]);
    assert_eq!(refused.code, Some(2));
    let message = "invalid flag `--base-url` for several providers";
    assert!(refused.error().contains(message), "{}", refused.error());
}

#[test]
fn an_invalid_file_has_its_place_and_shows_no_value() {
    let texts = [
        (
            format!("\n[providers.groq]\napi_key = \"{KEY}\""),
            "line 3, column 11: invalid key",
        ),
        (
            format!("default = \"{KEY}\""),
            "line 1, column 11: invalid model",
        ),
        (
            format!("key = \"{KEY}\""),
            "line 1, column 1: unknown field `key`",
        ),
        (
            format!("[providers.groq]\napi_key = \"{KEY}"),
            "line 2, column ",
        ),
    ];
    for (text, message) in texts {
        let folder = Folder::new(&text);
        for args in [
            &["chat", "Hi", "-v", "--json"][..],
            &["models"],
            &["config", "check"],
            &["doctor"],
        ] {
            let run = folder.run(args, &[]);
            assert_eq!(run.code, Some(2), "{}", run.stderr);
            let expected = format!("{}: {message}", folder.file());
            assert!(run.error().contains(&expected), "{}", run.error());
        }
    }
    let run = run(&["chat", "Hi", "--config", "/nowhere/config.toml"]);
    assert_eq!(run.code, Some(2));
    assert!(
        run.error()
            .starts_with("error: cannot read /nowhere/config.toml")
    );
}

#[test]
fn check_prints_what_is_in_force() {
    let folder = Folder::new(
        "default = \"fast\"\nmodels.fast = [\"groq/a\", \"local\"]\n\
         [providers.groq]\napi_key = \"env:MY_KEY\"\nheaders = { x-api-key = \"env:MY_KEY\" }\n\
         [providers.local]\nkind = \"ollama\"\nbase_url = \"http://127.0.0.1:11434\"\n",
    );
    let checked = folder.run(&["config", "check"], &[("MY_KEY", KEY)]);
    assert_eq!(checked.code, Some(0), "{}", checked.stdout);
    let expected = format!(
        "ok    configuration: {}\n\
         ok    default model: groq/a, then local\n\
         ok    model fast: groq/a, then local\n\
         ok    groq key: from the environment variable MY_KEY\n\
         ok    groq settings: groq\n\
         ok    local key: none, and none is required\n\
         ok    local settings: ollama at http://127.0.0.1:11434\n",
        folder.file()
    );
    assert_eq!(checked.stdout, expected);

    let checked = folder.run(&["config", "check"], &[]);
    assert_eq!(checked.code, Some(1));
    let expected = "FAIL  groq key: [providers.groq]: missing key: the environment variable MY_KEY \
                    is not set or is empty\n      remedy: put the key into the environment variable \
                    MY_KEY\n";
    assert!(checked.stdout.contains(expected), "{}", checked.stdout);
    assert!(
        checked.stdout.contains("ok    local settings"),
        "{}",
        checked.stdout
    );
}

#[test]
fn check_refuses_a_password_in_a_url_and_does_not_show_it() {
    let url = format!("https://me:{KEY}@example.com/v1");
    let text = format!("[providers.local]\nkind = \"vllm\"\nbase_url = \"{url}\"\n");
    let checked = Folder::new(&text).run(&["config", "check"], &[]);
    assert_eq!(checked.code, Some(1));
    let message = "FAIL  local settings: invalid base URL: expected no user name or password";
    assert!(checked.stdout.contains(message), "{}", checked.stdout);
}

#[test]
fn a_required_key_is_asked_for_where_it_is_read() {
    let text = "[providers.replicate]\nbase_url = \"https://api.replicate.com/v1\"\n";
    let run = Folder::new(text).run(
        &["chat", "Hi", "-p", "replicate"],
        &[("REPLICATE_API_TOKEN", KEY)],
    );
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(
        run.error().contains("set `api_key` beside `base_url`"),
        "{}",
        run.error()
    );
}

#[test]
fn presets_are_providers() {
    let missing = run(&["chat", "Hi", "-p", "groq", "-m", "x"]);
    assert_eq!(missing.code, Some(3));
    assert!(
        missing
            .error()
            .contains("missing key for groq: set GROQ_API_KEY"),
        "{}",
        missing.error()
    );
    let missing = run(&["models", "-p", "mistral"]);
    assert!(
        missing.error().contains("set MISTRAL_API_KEY"),
        "{}",
        missing.error()
    );
    let models = run(&["models", "-p", "openrouter", "--simulate"]);
    assert_eq!(models.code, Some(0), "{}", models.stderr);
    let chat = run(&["chat", "Hi", "-m", "ollama/any", "--simulate", "--tps", "0"]);
    assert_eq!(chat.code, Some(0), "{}", chat.stderr);
    let unknown = run(&["chat", "Hi", "-p", "gorq"]);
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown
            .error()
            .contains("unknown provider `gorq`: expected one of"),
        "{}",
        unknown.error()
    );
}
