//! The interactive session: `chat` without a prompt on a terminal.

mod command;
mod editor;
mod input;

use std::io::{self, IsTerminal as _};

use inferstream::{Error, Part, Role};

use crate::{
    args::Chat,
    chat::{self, Answer, Asked},
    check,
    config::{Config, Route},
    conversation::{Conversation, Popped},
    exit::Failure,
    files::Files,
    output::say,
    printer::Printer,
    request::{self, Selected, Settings},
    runtime::{self, Interrupt, Signal},
    service::{Service, route},
};

use self::{
    command::Command,
    editor::{Line, Lines},
};

/// Returns true if the arguments and the terminal start a session.
pub(crate) fn is_wanted(args: &Chat) -> bool {
    args.prompt.is_empty()
        && args.tool_result.is_empty()
        && !(args.json || args.jsonl || args.no_stdin)
        && !check::asks_by_option(args)
        && io::stdin().is_terminal()
        && io::stdout().is_terminal()
}

/// Runs a session, or sends one request if the given conversation awaits a response.
pub(crate) fn run(args: &Chat, verbose: bool) -> Result<(), Failure> {
    let Selected { config, route } = Selected::new(args)?;
    check::options(args, "")?;
    let mut conversation = Conversation::open(args)?;
    if conversation.asks() {
        return chat::run(args, verbose);
    }
    conversation.add_results(&[])?;
    if !args.tool.is_empty() {
        let message = "invalid flag `--tool`: an interactive session runs no tools; pass a prompt";
        return Err(Error::config(message).into());
    }
    let settings = Settings::read(args)?;
    let images = request::images(args)?;
    let files = Files::read(&args.service)?;
    runtime::run(async |interrupt| {
        let service = Service::new(&route, &config, &args.service, files).await?;
        let mut session = Session {
            args,
            verbose,
            interrupt,
            config,
            route,
            service,
            settings,
            conversation,
            images,
            unsent: None,
            usage: Totals::default(),
        };
        let ended = session.run().await;
        session.service.settle().await;
        ended
    })
}

/// The state of a session.
struct Session<'a> {
    args: &'a Chat,
    verbose: bool,
    interrupt: &'a Interrupt,
    config: Config,
    route: Route,
    service: Service,
    settings: Settings,
    conversation: Conversation,
    /// The images for the first message.
    images: Vec<Part>,
    /// The last message, if its request failed before any response.
    unsent: Option<Popped>,
    usage: Totals,
}

/// The usage of all responses, and of the last one as a line.
#[derive(Debug, Default)]
struct Totals {
    responses: u64,
    input_tokens: u64,
    output_tokens: u64,
    last: Option<String>,
}

/// Whether the session continues.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    Continue,
    End,
}

impl Session<'_> {
    /// Reads and handles lines until the user ends the session.
    async fn run(&mut self) -> Result<(), Failure> {
        self.interrupt.keep_program();
        say(&format!(
            "{}; `/help` lists the commands",
            self.model_line()
        ));
        let history = (!self.args.no_history).then(editor::history_file).flatten();
        let models = self.service.provider.known_models().into_iter();
        let mut lines = Lines::start(history, models.map(|model| model.id).collect());
        loop {
            match lines.next(self.interrupt).await? {
                Line::End => return Ok(()),
                Line::Failed(why) => {
                    return Err(Failure::Io(
                        "standard input".to_owned(),
                        io::Error::other(why),
                    ));
                }
                Line::Interrupted => say("hint: Ctrl-D or `/quit` ends the session"),
                Line::Text(text) => {
                    if self.handle(&text).await? == Next::End {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Handles a line. Only failures that end the session are returned.
    async fn handle(&mut self, line: &str) -> Result<Next, Failure> {
        let text = input::message(line);
        let outcome = match Command::parse(&text) {
            Err(what) => Err(Error::config(what).into()),
            Ok(Some(Command::Quit)) => return Ok(Next::End),
            Ok(Some(command)) => self.obey(command).await,
            Ok(None) if text.trim().is_empty() && self.images.is_empty() => Ok(()),
            Ok(None) => {
                self.unsent = None;
                let images = std::mem::take(&mut self.images);
                self.conversation.push(request::user(text, images));
                self.respond().await
            }
        };
        match outcome {
            Ok(()) | Err(Failure::Early) => Ok(Next::Continue),
            Err(Failure::Interrupted(Signal::Interrupt)) => {
                say("stopped; `/retry` requests the response again");
                Ok(Next::Continue)
            }
            Err(failure) if ends_session(&failure) => Err(failure),
            Err(failure) => {
                failure.report(self.verbose);
                Ok(Next::Continue)
            }
        }
    }

    async fn obey(&mut self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Help => say(command::HELP),
            Command::Model(None) => say(&self.model_line()),
            Command::Model(Some(model)) => self.use_model(&model).await?,
            Command::Quit => {}
            Command::Retry => self.retry().await?,
            Command::Save(path) => {
                self.conversation.save_to(&path)?;
                say(&format!("saved to {}", path.display()));
            }
            Command::System(None) => match self.conversation.system() {
                Some(text) => say(&text),
                None => say("no system message"),
            },
            Command::System(Some(text)) => self.conversation.set_system(&text),
            Command::Usage => {
                let usage = &self.usage;
                say(usage.last.as_deref().unwrap_or("usage: no response yet"));
                say(&format!(
                    "session: responses: {}, {} input tokens, {} output tokens",
                    usage.responses, usage.input_tokens, usage.output_tokens
                ));
            }
        }
        Ok(())
    }

    fn model_line(&self) -> String {
        let default = self.service.provider.info().default_model();
        let target = self.route.first();
        let model = target.model.as_deref().or(default);
        format!("{}/{}", target.name, model.unwrap_or("no model"))
    }

    /// Uses another model, and its provider.
    async fn use_model(&mut self, model: &str) -> Result<(), Failure> {
        let flags = &self.args.service;
        let route = route(&self.config, flags, Some(model))?;
        let names = |route: &Route| -> Vec<String> {
            route.targets().map(|target| target.name.clone()).collect()
        };
        // A provider alone is for all its models.
        if route.has_several() || names(&route) != names(&self.route) {
            check::flags(&route, flags)?;
            let files = Files::read(flags)?;
            let service = Service::new(&route, &self.config, flags, files).await?;
            std::mem::replace(&mut self.service, service).settle().await;
        }
        self.route = route;
        say(&self.model_line());
        Ok(())
    }

    /// Requests the last response again. The old one is kept until a new one arrives.
    async fn retry(&mut self) -> Result<(), Failure> {
        let old = match self.unsent.take() {
            Some(unsent) => {
                self.conversation.restore(unsent);
                None
            }
            None => self.conversation.pop(Role::Assistant),
        };
        if !self.conversation.asks() {
            if let Some(old) = old {
                self.conversation.restore(old);
            }
            return Err(Error::config("no message to send again").into());
        }
        let outcome = self.respond().await;
        if let (Some(old), Some(unsent)) = (old, self.unsent.take()) {
            self.conversation.restore(unsent);
            self.conversation.restore(old);
        }
        outcome
    }

    /// Requests the response to the last message. If nothing of it arrives, the message is removed
    /// from the conversation and kept for `/retry`.
    async fn respond(&mut self) -> Result<(), Failure> {
        self.interrupt.forget();
        let target = self.route.first();
        let asked = Asked {
            args: self.args,
            verbose: self.verbose,
            interrupt: self.interrupt,
        };
        let mut printer = Printer::new(self.args, self.interrupt);
        let mut answer = Answer::default();
        let request = self.settings.request(self.args, target, &self.conversation);
        let outcome = asked
            .answer(&self.service, target, request, &mut printer, &mut answer)
            .await;
        let outcome = asked.end(&mut printer, &answer, outcome, &mut self.conversation);
        self.usage.add(&answer);
        if self.conversation.asks() {
            self.unsent = self.conversation.pop(Role::User);
        }
        outcome
    }
}

fn ends_session(failure: &Failure) -> bool {
    matches!(failure, Failure::Closed | Failure::Interrupted(_))
}

impl Totals {
    fn add(&mut self, answer: &Answer) {
        let Some(line) = answer.usage() else {
            return;
        };
        let usage = answer.response.usage.unwrap_or_default();
        self.responses += 1;
        self.input_tokens += usage.input_tokens.unwrap_or_default();
        self.output_tokens += usage.output_tokens.unwrap_or_default();
        self.last = Some(line);
    }
}
