//! The `chat` command: sends the prompt and prints the response.

use std::{
    io, panic,
    time::{Duration, Instant},
};

use inferstream::{ChatEvent, ChatRequest, ChatResponse, Meta, Usage};
use tokio::{task::spawn_blocking, time::timeout};

use crate::{
    args::Chat,
    check,
    config::{Config, Route},
    ending::Ending,
    exit::{Failure, is_unknown_model},
    files::Files,
    output::{Sink, say},
    prompt, runtime,
    runtime::Interrupt,
    service::{Service, route},
    spinner::Spinner,
};

/// Runs the `chat` command.
pub(crate) fn run(args: &Chat, verbose: bool) -> Result<(), Failure> {
    // Read files before the signal handlers start; nothing needs to be saved yet.
    let read = Selected::new(args).and_then(|selected| {
        // Check the arguments before waiting for standard input.
        check::options(args, &args.prompt.join(" "))?;
        let prompt = prompt::read(args)?;
        check::options(args, &prompt)?;
        Ok((selected, prompt, Files::read(&args.service)?))
    });
    runtime::run(async |interrupt| {
        let mut printer = Printer::new(args, interrupt);
        let mut answer = Answer::default();
        let asked = Asked {
            args,
            verbose,
            interrupt,
        };
        let mut service = None;
        let outcome = match read {
            Ok(read) => {
                asked
                    .answer(read, &mut service, &mut printer, &mut answer)
                    .await
            }
            Err(error) => Err(error.into()),
        };
        let ended = printer.end(&answer.response, outcome.as_ref().err());
        if let Some(service) = service {
            service.settle().await;
        }
        // After a hangup the terminal accepts no output; report the signal, not that failure.
        if !matches!(outcome, Err(Failure::Interrupted(_))) {
            ended?;
        }
        let ending = match outcome {
            Ok(()) => Ending::of(&answer.response, check::limits_tokens(args)),
            Err(_) => Ending::default(),
        };
        for warning in &ending.warnings {
            say(&format!("warning: {warning}"));
        }
        if args.usage
            && let Some(line) = answer.usage()
        {
            say(&line);
        }
        if ending.is_early {
            return Err(Failure::Early);
        }
        outcome
    })
}

/// The configuration, and the providers and the model that it and the flags select.
#[derive(Debug)]
struct Selected {
    config: Config,
    route: Route,
}

impl Selected {
    fn new(args: &Chat) -> inferstream::Result<Self> {
        let config = Config::load(args.service.config.as_deref())?;
        let route = route(&config, &args.service, args.model.as_deref())?;
        check::flags(&route, &args.service)?;
        Ok(Self { config, route })
    }
}

/// How long printing may continue after Ctrl-C, in case the reader has stopped reading.
const PATIENCE: Duration = Duration::from_millis(100);

/// Prints on a separate thread, so that a blocked reader does not block signals or the network.
struct Printer<'a> {
    interrupt: &'a Interrupt,
    /// `None` while the thread prints. It stays `None` if the thread was abandoned.
    sink: Option<Sink>,
}

impl<'a> Printer<'a> {
    fn new(args: &Chat, interrupt: &'a Interrupt) -> Self {
        Self {
            interrupt,
            sink: Some(Sink::new(args)),
        }
    }

    async fn event(&mut self, event: ChatEvent) -> Result<(), Failure> {
        self.print(move |sink| sink.event(&event)).await
    }

    async fn response(&mut self, response: &ChatResponse) -> Result<(), Failure> {
        let response = response.clone();
        self.print(move |sink| sink.response(&response)).await
    }

    async fn print(
        &mut self,
        print: impl FnOnce(&mut Sink) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Failure> {
        let Some(mut sink) = self.sink.take() else {
            return Ok(());
        };
        let mut printed = spawn_blocking(move || {
            let outcome = print(&mut sink);
            (sink, outcome)
        });
        let (printed, interrupted) = match self.interrupt.or(&mut printed).await {
            Ok(printed) => (Ok(printed), None),
            Err(interrupted) => (timeout(PATIENCE, printed).await, Some(interrupted)),
        };
        let outcome = match printed {
            Ok(Ok((sink, outcome))) => {
                self.sink = Some(sink);
                outcome
            }
            Ok(Err(panicked)) => panic::resume_unwind(panicked.into_panic()),
            Err(_) => Ok(()),
        };
        match interrupted {
            None => Ok(outcome?),
            Some(interrupted) => Err(interrupted),
        }
    }

    /// Prints what follows the last event, unless the reader has stopped reading.
    fn end(&mut self, response: &ChatResponse, failure: Option<&Failure>) -> io::Result<()> {
        match &mut self.sink {
            None => Ok(()),
            Some(sink) => sink.end(response, failure),
        }
    }
}

/// The request of the user.
struct Asked<'a> {
    args: &'a Chat,
    verbose: bool,
    interrupt: &'a Interrupt,
}

impl Asked<'_> {
    async fn answer(
        &self,
        (selected, prompt, files): (Selected, String, Files),
        service: &mut Option<Service>,
        printer: &mut Printer<'_>,
        answer: &mut Answer,
    ) -> Result<(), Failure> {
        let Selected { config, route } = &selected;
        let new = Service::new(route, config, &self.args.service, files).await?;
        let service = service.insert(new);
        let target = route.first();
        let request = request(self.args, target.model.as_deref(), prompt);
        let outcome = if self.args.no_stream {
            self.whole(service, request, printer, answer).await
        } else {
            self.stream(service, request, printer, answer).await
        };
        outcome.map_err(|failure| match failure {
            Failure::Request(error) if is_unknown_model(&error) => {
                Failure::UnknownModel(error, models_command(&target.name, self.args))
            }
            failure => failure,
        })
    }

    async fn whole(
        &self,
        service: &Service,
        request: ChatRequest,
        printer: &mut Printer<'_>,
        answer: &mut Answer,
    ) -> Result<(), Failure> {
        let mut spinner = Spinner::new();
        let response = spinner.during(service.provider.chat(request));
        let response = self.interrupt.or(response).await;
        spinner.stop();
        match response? {
            Ok(response) => {
                self.report(&response, &mut spinner);
                answer.response = response;
                printer.response(&answer.response).await
            }
            Err(error) => {
                if let Some(partial) = error.partial() {
                    self.report(partial, &mut spinner);
                    answer.response = partial.clone();
                }
                printer.response(&answer.response).await?;
                Err(error.into())
            }
        }
    }

    async fn stream(
        &self,
        service: &Service,
        request: ChatRequest,
        printer: &mut Printer<'_>,
        answer: &mut Answer,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        let mut spinner = Spinner::new();
        let head = spinner.during(service.provider.stream(request));
        let mut stream = match self.interrupt.or(head).await? {
            Ok(stream) => stream,
            Err(error) => {
                if let Some(partial) = error.partial() {
                    self.report(partial, &mut spinner);
                }
                return Err(error.into());
            }
        };
        self.report_meta(stream.partial(), stream.meta(), &mut spinner);
        let told = stream.meta().warnings.len();
        let outcome = loop {
            let event = match self.interrupt.or(spinner.during(stream.next())).await {
                Ok(Some(Ok(event))) => event,
                Ok(None) => break Ok(()),
                Ok(Some(Err(error))) => break Err(error.into()),
                Err(interrupted) => break Err(interrupted),
            };
            spinner.stop();
            if is_content(&event) {
                answer.first.get_or_insert_with(|| started.elapsed());
            }
            if let Err(failure) = printer.event(event).await {
                break Err(failure);
            }
        };
        for warning in &stream.meta().warnings[told..] {
            say(&format!("warning: {warning}"));
        }
        answer.response = stream.partial().clone();
        outcome
    }

    fn report(&self, response: &ChatResponse, spinner: &mut Spinner) {
        self.report_meta(response, &response.meta, spinner);
    }

    /// Prints warnings, and with `--verbose` the status, rate limits and the prediction.
    fn report_meta(&self, response: &ChatResponse, meta: &Meta, spinner: &mut Spinner) {
        let mut lines = Vec::new();
        for warning in &meta.warnings {
            lines.push(format!("warning: {warning}"));
        }
        if self.verbose {
            let id = meta.request_id().unwrap_or("none");
            lines.push(format!(
                "status {} after {:.2} s, attempts: {}, request id: {id}",
                meta.status.as_u16(),
                meta.time_to_head.as_secs_f64(),
                meta.attempts,
            ));
            // Only predictions have a page.
            if let (Some(url), Some(id)) = (&meta.web_url, &response.id) {
                lines.push(format!("prediction: {id}, at {url}"));
            }
            for (name, limit) in meta.rate_limits().limits {
                if let (Some(remaining), Some(limit)) = (limit.remaining, limit.limit) {
                    lines.push(format!(
                        "rate limit {name}: {remaining} of {limit} remaining"
                    ));
                }
            }
        }
        if lines.is_empty() {
            return;
        }
        spinner.clear();
        for line in lines {
            say(&line);
        }
    }
}

/// A response and its timing.
#[derive(Debug, Default)]
struct Answer {
    response: ChatResponse,
    /// Time from the request to the first token of a streamed response.
    first: Option<Duration>,
}

impl Answer {
    /// Returns the line that `--usage` prints, if anything was received.
    fn usage(&self) -> Option<String> {
        let Usage {
            input_tokens,
            output_tokens,
            ..
        } = self.response.usage.unwrap_or_default();
        let count = |tokens: Option<u64>| match tokens {
            None => "?".to_owned(),
            Some(tokens) => tokens.to_string(),
        };
        let tokens = match (self.response.usage, self.first) {
            (None, None) => return None,
            (None, Some(_)) => "token counts not reported".to_owned(),
            (Some(_), _) => format!(
                "{} input tokens, {} output tokens",
                count(input_tokens),
                count(output_tokens),
            ),
        };
        let first = match self.first {
            None => String::new(),
            Some(first) => format!(", first token after {:.2} s", first.as_secs_f64()),
        };
        let rate = match self.response.tokens_per_second() {
            None => String::new(),
            Some(rate) => format!(", {rate:.1} tokens/s"),
        };
        Some(format!("usage: {tokens}{first}{rate}"))
    }
}

/// Returns the command that lists the models of this service.
fn models_command(name: &str, args: &Chat) -> String {
    let mut command = format!("inferstream models -p {name}");
    if args.service.playground {
        command.push_str(" --playground");
    }
    if args.service.simulate {
        command.push_str(" --simulate");
    }
    let url = args.service.base_url.as_ref();
    command.extend(url.map(|url| format!(" --base-url {url}")));
    command
}

fn is_content(event: &ChatEvent) -> bool {
    matches!(
        event,
        ChatEvent::Text { .. } | ChatEvent::Reasoning { .. } | ChatEvent::ToolCallStart { .. }
    )
}

fn request(args: &Chat, model: Option<&str>, prompt: String) -> ChatRequest {
    let mut request = ChatRequest::default();
    if let Some(system) = &args.system {
        request = request.system(system.as_str());
    }
    if !prompt.is_empty() {
        request = request.user(prompt);
    }
    request = request.stop(args.stop.iter().cloned());
    request.model = model.map(str::to_owned);
    request.max_tokens = args.max_tokens;
    request.temperature = args.temperature;
    request.seed = args.seed;
    request.on_unsupported = args.on_unsupported.map(Into::into);
    request.extra.clone_from(&args.option);
    request
}
