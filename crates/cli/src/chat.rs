//! The `chat` command: sends the prompt and prints the response.

use std::time::{Duration, Instant};

use inferstream::{ChatEvent, ChatRequest, ChatResponse, Meta, Usage};

use crate::{
    args::Chat,
    check,
    config::Target,
    conversation::Conversation,
    ending::Ending,
    exit::{Failure, is_unknown_model},
    images,
    output::say,
    printer::Printer,
    request::{Input, Selected},
    runtime,
    runtime::Interrupt,
    service::Service,
    spinner::Spinner,
};

/// Runs the `chat` command with a prompt.
pub(crate) fn run(args: &Chat, verbose: bool) -> Result<(), Failure> {
    // Read files before the signal handlers start; nothing needs to be saved yet.
    let read = Input::read(args);
    runtime::run(async |interrupt| {
        let asked = Asked {
            args,
            verbose,
            interrupt,
        };
        let mut printer = Printer::new(args, interrupt);
        let mut answer = Answer::default();
        let mut conversation = Conversation::default();
        let mut service = None;
        let outcome = match read {
            Ok(read) => {
                conversation = read.conversation;
                let Selected { config, route } = &read.selected;
                match Service::new(route, config, &args.service, read.files).await {
                    Ok(created) => {
                        let service = service.insert(created);
                        let target = route.first();
                        let request = read.settings.request(args, target, &conversation);
                        asked
                            .answer(service, target, request, &mut printer, &mut answer)
                            .await
                    }
                    Err(failure) => Err(failure),
                }
            }
            Err(error) => Err(error.into()),
        };
        let ended = asked.end(&mut printer, &answer, outcome, &mut conversation);
        if let Some(service) = service {
            service.settle().await;
        }
        ended
    })
}

/// What the user asked for, and how to report it.
pub(crate) struct Asked<'a> {
    pub(crate) args: &'a Chat,
    pub(crate) verbose: bool,
    pub(crate) interrupt: &'a Interrupt,
}

impl Asked<'_> {
    /// Sends a request and prints the response.
    pub(crate) async fn answer(
        &self,
        service: &Service,
        target: &Target,
        request: ChatRequest,
        printer: &mut Printer<'_>,
        answer: &mut Answer,
    ) -> Result<(), Failure> {
        let model = target.model.as_deref();
        images::check(&*service.provider, model, &request.messages)?;
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

    /// Prints what follows a response, and adds the response to the conversation, which is saved.
    pub(crate) fn end(
        &self,
        printer: &mut Printer<'_>,
        answer: &Answer,
        outcome: Result<(), Failure>,
        conversation: &mut Conversation,
    ) -> Result<(), Failure> {
        let ended = printer.end(&answer.response, outcome.as_ref().err());
        let ending = match outcome {
            Ok(()) => Ending::of(&answer.response, check::limits_tokens(self.args)),
            Err(_) => Ending::default(),
        };
        let truncated = outcome.is_err() || !ending.warnings.is_empty();
        let saved = record(&answer.response, truncated, conversation);
        // After a hangup the terminal accepts no output; report the signal, not that failure.
        if !matches!(outcome, Err(Failure::Interrupted(_))) {
            ended?;
        }
        for warning in &ending.warnings {
            say(&format!("warning: {warning}"));
        }
        if self.args.usage
            && let Some(line) = answer.usage()
        {
            say(&line);
        }
        let outcome = if ending.is_early {
            Err(Failure::Early)
        } else {
            outcome
        };
        match (outcome, saved) {
            (Err(failure), Err(unsaved)) => {
                unsaved.report(self.verbose);
                Err(failure)
            }
            (outcome, saved) => outcome.and(saved),
        }
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
pub(crate) struct Answer {
    pub(crate) response: ChatResponse,
    /// Time from the request to the first token of a streamed response.
    first: Option<Duration>,
}

impl Answer {
    /// Returns the line that `--usage` prints, if anything was received.
    pub(crate) fn usage(&self) -> Option<String> {
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

/// Adds a response to the conversation and saves it, unless the request failed before any response.
fn record(
    response: &ChatResponse,
    truncated: bool,
    conversation: &mut Conversation,
) -> Result<(), Failure> {
    let message = response.message();
    let is_empty =
        message.content.is_empty() && message.tool_calls.is_empty() && message.reasoning.is_none();
    if truncated && is_empty {
        return Ok(());
    }
    conversation.push_response(message, truncated);
    conversation.save()
}
