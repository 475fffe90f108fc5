//! Rejects flags and options that would have no effect, before anything is sent.

use inferstream::{Error, Result};
use inferstream_simulator::Fault;

use crate::{
    args::{Chat, Service},
    config::Route,
    kind::Kind,
};

/// The members of a request that contain the conversation.
const CONVERSATION: &[&str] = &["input", "messages", "prompt"];

/// The names of the token limit in requests, by service and model.
const TOKEN_LIMIT: &[&str] = &[
    "max_completion_tokens",
    "max_length",
    "max_new_tokens",
    "max_output_tokens",
    "max_tokens",
    "max_tokens_to_sample",
    "n_predict",
    "num_predict",
];

/// Rejects options that conflict with another option, a flag or the prompt.
///
/// # Errors
///
/// Returns `Config`, which names both.
pub(crate) fn options(args: &Chat, prompt: &str) -> Result<()> {
    let set: [(&str, bool, &[&str]); 12] = [
        ("the prompt", !prompt.is_empty(), CONVERSATION),
        ("`--system`", args.system.is_some(), CONVERSATION),
        ("`--session`", args.session.is_some(), CONVERSATION),
        ("`--messages`", args.messages.is_some(), CONVERSATION),
        ("`--image`", !args.image.is_empty(), CONVERSATION),
        ("`--schema`", args.schema.is_some(), &["response_format"]),
        ("`--tool`", !args.tool.is_empty(), &["functions", "tools"]),
        (
            "`--system`",
            args.system.is_some(),
            &["instructions", "system", "system_prompt"],
        ),
        ("`--max-tokens`", args.max_tokens.is_some(), TOKEN_LIMIT),
        (
            "`--temperature`",
            args.temperature.is_some(),
            &["temperature"],
        ),
        ("`--seed`", args.seed.is_some(), &["seed"]),
        (
            "`--stop`",
            !args.stop.is_empty(),
            &["stop", "stop_sequences"],
        ),
    ];
    let model = ("`--model`", args.model.is_some(), &["model"][..]);
    for (at, (name, _)) in args.option.iter().enumerate() {
        if name == "stream" {
            return Err(Error::config(
                "invalid option `stream`: the response is streamed unless `--no-stream` is given",
            ));
        }
        let mut set = set.iter().chain([&model]);
        let other = set.find(|(_, is_set, members)| *is_set && members.contains(&name.as_str()));
        if let Some((other, ..)) = other {
            return Err(Error::config(format!(
                "invalid option `{name}`: {other} sets the same value; use only one of them"
            )));
        }
        if args.option[..at].iter().any(|(earlier, _)| earlier == name) {
            return Err(Error::config(format!(
                "invalid option `{name}`: it is repeated"
            )));
        }
    }
    Ok(())
}

/// Returns true if an option contains the conversation, so that no prompt is required.
pub(crate) fn asks_by_option(args: &Chat) -> bool {
    let names = |(name, _): &(String, _)| CONVERSATION.contains(&name.as_str());
    args.option.iter().any(names)
}

/// Returns true if the user set a token limit with the flag or an option.
pub(crate) fn limits_tokens(args: &Chat) -> bool {
    let limits = |(name, value): &(String, inferstream::Json)| {
        TOKEN_LIMIT.contains(&name.as_str()) && value.as_str().trim() != "null"
    };
    args.max_tokens.is_some() || args.option.iter().any(limits)
}

/// Rejects flags of other providers, and faults that this provider cannot have.
///
/// # Errors
///
/// Returns `Config`, which names the flag or fault and the provider that it belongs to.
pub(crate) fn flags(route: &Route, flags: &Service) -> Result<()> {
    if route.has_several() {
        let of_one = [
            ("--account", flags.account.is_some()),
            ("--base-url", flags.base_url.is_some()),
            ("--behind-gateway", flags.behind_gateway),
            ("--cookies", flags.cookies.is_some()),
            ("--gateway", flags.gateway.is_some()),
            ("--key-file", flags.key_file.is_some()),
            ("--playground", flags.playground),
            ("--stream-origin", !flags.stream_origin.is_empty()),
        ];
        if let Some((flag, _)) = of_one.iter().find(|(_, is_given)| *is_given) {
            return Err(Error::config(format!(
                "invalid flag `{flag}` for several providers: remove it, or select one with `-p`"
            )));
        }
    }
    route
        .targets()
        .try_for_each(|target| of_kind(target.kind, flags))
}

fn of_kind(provider: Kind, flags: &Service) -> Result<()> {
    use Kind::{Cerebras, Cloudflare, Replicate};

    let given = [
        ("--account", flags.account.is_some(), Cloudflare),
        ("--behind-gateway", flags.behind_gateway, Cerebras),
        ("--cookies", flags.cookies.is_some(), Cerebras),
        ("--gateway", flags.gateway.is_some(), Cloudflare),
        ("--playground", flags.playground, Cloudflare),
        (
            "--stream-origin",
            !flags.stream_origin.is_empty(),
            Replicate,
        ),
    ];
    for (flag, is_given, owner) in given {
        if is_given && owner != provider {
            let (owner, provider) = (owner.name(), provider.name());
            return Err(Error::config(format!(
                "invalid flag `{flag}` for {provider}: it belongs to {owner}; remove it, or use \
                 `-p {owner}`"
            )));
        }
    }
    if flags.playground && flags.key_file.is_some() {
        return Err(Error::config(
            "invalid flag `--key-file` for the playground: the playground takes no key; remove it",
        ));
    }
    let at = Place::of(provider, flags);
    match flags.fault.iter().find(|fault| !happens(fault, at)) {
        None => Ok(()),
        Some(fault) => Err(Error::config(format!(
            "invalid fault `{fault}`: not available for {}; `inferstream simulate \
             --list-faults` lists the faults of each provider",
            at.name(provider)
        ))),
    }
}

/// The protocol in use, which decides the available faults.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Agent,
    Chat,
    Playground,
    Predictions,
    WorkersAi,
}

impl Place {
    fn of(provider: Kind, flags: &Service) -> Self {
        match provider {
            Kind::Cloudflare if flags.agent => Self::Agent,
            Kind::Cloudflare if flags.playground => Self::Playground,
            Kind::Cloudflare => Self::WorkersAi,
            Kind::Replicate => Self::Predictions,
            Kind::Cablyai | Kind::Cerebras | Kind::OpenaiCompat | Kind::Preset(_) => Self::Chat,
        }
    }

    fn name(self, provider: Kind) -> String {
        match self {
            Self::Agent => "the playground's agent".to_owned(),
            Self::Playground => "the playground".to_owned(),
            Self::Chat | Self::Predictions | Self::WorkersAi => provider.name().to_owned(),
        }
    }
}

/// Returns whether the simulator supports the fault for this protocol, as documented at [`Fault`].
fn happens(fault: &Fault, at: Place) -> bool {
    match fault {
        Fault::Aborted
        | Fault::Canceled
        | Fault::ColdBoot
        | Fault::Create(_)
        | Fault::DoneFail
        | Fault::Early
        | Fault::EvilCancel
        | Fault::EvilHost
        | Fault::Failed
        | Fault::Lost
        | Fault::NoId
        | Fault::NoUrl
        | Fault::StreamStatus { .. } => at == Place::Predictions,
        Fault::CutAll => matches!(at, Place::Agent | Place::Predictions),
        Fault::BareDone
        | Fault::Context
        | Fault::Heartbeats
        | Fault::JsonStream
        | Fault::MidFinish
        | Fault::NoFinish
        | Fault::NotSuccess
        | Fault::Plan
        | Fault::Quota
        | Fault::QuotaRest => at == Place::WorkersAi,
        Fault::Challenge | Fault::Empty | Fault::Html => {
            matches!(at, Place::Agent | Place::Playground | Place::WorkersAi)
        }
        Fault::Expire => matches!(at, Place::Agent | Place::Playground),
        Fault::Binary
        | Fault::Coalesced
        | Fault::Evicted
        | Fault::Fragments
        | Fault::Pings
        | Fault::Restart
        | Fault::Unfinished => at == Place::Agent,
        Fault::Wire(fault) => match at {
            // An agent's response is sent in a WebSocket.
            Place::Agent => fault.is_before_http(),
            Place::Predictions => !fault.needs_json(),
            Place::Chat | Place::Playground | Place::WorkersAi => true,
        },
        _ => true,
    }
}
