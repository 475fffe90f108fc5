//! Output of events as text, as lines of JSON, or as one JSON object.

use std::{
    borrow::Cow,
    io,
    io::{IsTerminal as _, Stdout, Write as _},
};

use inferstream::{ChatEvent, ChatResponse, FinishReason, Timing, ToolCall, Usage};
use serde::Serialize;

use crate::{
    args::Chat,
    exit::{ErrorObject, Failure},
    screen::{self, Screen},
};

/// Prints lines to standard error, with control characters from services escaped.
pub(crate) fn say(lines: &str) {
    // If standard error is closed, there is nowhere to report it.
    let _ = writeln!(anstream::stderr().lock(), "{}", screen::lines(lines));
}

/// The output format of a response.
#[derive(Debug)]
pub(crate) enum Sink {
    Json,
    Jsonl(Stdout),
    Plain(Plain),
}

impl Sink {
    /// Creates the sink that the flags select.
    pub(crate) fn new(args: &Chat) -> Self {
        if args.json {
            return Self::Json;
        }
        if args.jsonl {
            return Self::Jsonl(io::stdout());
        }
        Self::Plain(Plain {
            stdout: io::stdout(),
            text: Line::Fresh,
            text_screen: io::stdout().is_terminal().then(Screen::default),
            shows_reasoning: args.reasoning || (!args.no_reasoning && io::stderr().is_terminal()),
            reasoning: Line::Fresh,
            reasoning_screen: io::stderr().is_terminal().then(Screen::default),
            prints_calls: !args.tool.is_empty(),
        })
    }

    /// Prints an event. Sinks that print one object at the end ignore it.
    pub(crate) fn event(&mut self, event: &ChatEvent) -> io::Result<()> {
        match self {
            Self::Json => Ok(()),
            Self::Jsonl(stdout) => match event {
                // Print a tool call once, when it is complete.
                ChatEvent::ToolCallStart { .. } | ChatEvent::ToolCallDelta { .. } => Ok(()),
                event => print_json(stdout, event),
            },
            Self::Plain(plain) => plain.event(event),
        }
    }

    /// Prints a response that arrived all at once, instead of its events.
    pub(crate) fn response(&mut self, response: &ChatResponse) -> io::Result<()> {
        for event in events(response) {
            self.event(&event)?;
        }
        Ok(())
    }

    /// Prints what follows the last event. The response may be incomplete.
    pub(crate) fn end(
        &mut self,
        response: &ChatResponse,
        failure: Option<&Failure>,
    ) -> io::Result<()> {
        match (self, failure) {
            (_, Some(Failure::Closed)) | (Self::Jsonl(_), None) => Ok(()),
            (Self::Json, failure) => {
                let object = Object::new(response, failure.map(Failure::to_json));
                print_json(&mut io::stdout(), &object)
            }
            (Self::Jsonl(stdout), Some(failure)) => print_json(stdout, &failure.to_json()),
            (Self::Plain(plain), _) => plain.end(),
        }
    }
}

/// The state of the last printed line.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Line {
    /// Nothing was printed yet, or the line has ended.
    Fresh,
    /// The line needs a line break.
    Open,
}

impl Line {
    fn after(text: &str) -> Self {
        if text.ends_with('\n') {
            Self::Fresh
        } else {
            Self::Open
        }
    }
}

/// Prints text to standard output and reasoning to standard error.
#[derive(Debug)]
pub(crate) struct Plain {
    stdout: Stdout,
    text: Line,
    /// `None` unless standard output is a terminal: a pipe gets the text unchanged.
    text_screen: Option<Screen>,
    shows_reasoning: bool,
    reasoning: Line,
    /// The same for standard error.
    reasoning_screen: Option<Screen>,
    /// Whether tool calls are printed to standard output, as JSON.
    prints_calls: bool,
}

fn shown<'t>(screen: &mut Option<Screen>, text: &'t str) -> Cow<'t, str> {
    match screen {
        None => Cow::Borrowed(text),
        Some(screen) => Cow::Owned(screen.show(text)),
    }
}

impl Plain {
    fn event(&mut self, event: &ChatEvent) -> io::Result<()> {
        match event {
            ChatEvent::Text {
                choice: 0, text, ..
            } => {
                self.end_reasoning();
                let shown = shown(&mut self.text_screen, text);
                self.stdout.write_all(shown.as_bytes())?;
                self.text = Line::after(text);
                self.stdout.flush()
            }
            ChatEvent::Reasoning {
                choice: 0, text, ..
            } if self.shows_reasoning => {
                self.end_text()?;
                let shown = shown(&mut self.reasoning_screen, text);
                // If standard error is closed, there is nowhere to report it.
                let _ = if self.reasoning_screen.is_some() {
                    let mut stderr = anstream::stderr().lock();
                    write!(stderr, "\x1b[2m{shown}\x1b[0m").and_then(|()| stderr.flush())
                } else {
                    // `anstream` would remove escape sequences in the text.
                    io::stderr().write_all(shown.as_bytes())
                };
                self.reasoning = Line::after(text);
                Ok(())
            }
            ChatEvent::ToolCall {
                choice: 0, call, ..
            } => {
                self.end()?;
                if self.prints_calls {
                    return print_json(&mut self.stdout, event);
                }
                say(&format!("tool call: {}({})", call.name, call.arguments));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end_reasoning(&mut self) {
        if self.reasoning == Line::Open {
            self.reasoning = Line::Fresh;
            say(self.reasoning_screen.as_mut().map_or("", Screen::end));
        }
    }

    fn end_text(&mut self) -> io::Result<()> {
        if self.text == Line::Open {
            self.text = Line::Fresh;
            let rest = self.text_screen.as_mut().map_or("", Screen::end);
            self.stdout.write_all(rest.as_bytes())?;
            self.stdout.write_all(b"\n")?;
        }
        self.stdout.flush()
    }

    fn end(&mut self) -> io::Result<()> {
        self.end_reasoning();
        self.end_text()
    }
}

/// The complete response as one object.
#[derive(Serialize)]
struct Object<'a> {
    text: &'a str,
    reasoning: &'a str,
    tool_calls: &'a [ToolCall],
    finish_reason: Option<&'a str>,
    usage: Option<Usage>,
    timing: Option<Timing>,
    model: Option<&'a str>,
    id: Option<&'a str>,
    error: Option<ErrorObject<'a>>,
}

impl<'a> Object<'a> {
    fn new(response: &'a ChatResponse, error: Option<ErrorObject<'a>>) -> Self {
        Self {
            text: response.text(),
            reasoning: response.reasoning(),
            tool_calls: response.tool_calls(),
            finish_reason: response.finish_reason().map(FinishReason::as_str),
            usage: response.usage,
            timing: response.timing,
            model: response.model.as_deref(),
            id: response.id.as_deref(),
            error,
        }
    }
}

/// Splits a response into the events of an equivalent stream.
fn events(response: &ChatResponse) -> Vec<ChatEvent> {
    let mut events = Vec::new();
    for choice in &response.choices {
        if !choice.reasoning.is_empty() {
            events.push(ChatEvent::reasoning(
                choice.index,
                choice.reasoning.as_str(),
            ));
        }
        if !choice.text.is_empty() {
            events.push(ChatEvent::text(choice.index, choice.text.as_str()));
        }
        for logprobs in &choice.logprobs {
            events.push(ChatEvent::logprobs(choice.index, logprobs.clone()));
        }
        for logprobs in &choice.reasoning_logprobs {
            let logprobs = logprobs.clone();
            events.push(ChatEvent::reasoning_logprobs(choice.index, logprobs));
        }
        for (index, call) in (0..).zip(&choice.tool_calls) {
            events.push(ChatEvent::tool_call(choice.index, index, call.clone()));
        }
    }
    events.extend(response.usage.map(ChatEvent::usage));
    events.extend(response.timing.map(ChatEvent::timing));
    for choice in &response.choices {
        if let Some(reason) = &choice.finish_reason {
            events.push(ChatEvent::finish(choice.index, reason.clone()));
        }
    }
    events
}

/// Prints a value as one line and flushes.
pub(crate) fn print_json(stdout: &mut impl io::Write, value: &impl Serialize) -> io::Result<()> {
    stdout.write_all(json_line(value)?.as_bytes())?;
    stdout.flush()
}

/// Serializes a value as JSON on one line that is safe for terminals and line readers.
///
/// JSON strings may contain DEL, C1 controls, U+2028, U+2029 and bidirectional controls unescaped.
/// They occur only within strings, so replacing them by escapes does not change the value.
pub(crate) fn json_line(value: &impl Serialize) -> io::Result<String> {
    let json = serde_json::to_string(value)?;
    let special = |char| screen::controls(char) || matches!(char, '\u{2028}' | '\u{2029}');
    let mut line = String::with_capacity(json.len() + 1);
    for part in json.split_inclusive(special) {
        match part.chars().next_back().filter(|last| special(*last)) {
            None => line.push_str(part),
            Some(last) => {
                line.push_str(&part[..part.len() - last.len_utf8()]);
                // All of these characters have at most four hexadecimal digits.
                let escape = format!("\\u{:04x}", u32::from(last));
                line.push_str(&escape);
            }
        }
    }
    line.push('\n');
    Ok(line)
}
