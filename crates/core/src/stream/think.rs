//! Text with thoughts between tags in, text and thoughts apart out.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::{ChatStream, EventStream};
use crate::{
    error::{Error, Result},
    event::ChatEvent,
    response::ChatResponse,
    text::Text,
    transport::BoxFuture,
};

/// The tags between which a model writes its thoughts into its text: `<think>` and `</think>`.
///
/// Services that know their models tell thoughts apart by themselves; engines on one's own machine often
/// do not. An opening tag counts only where the answer begins, white space before it aside, and the
/// first closing one behind it: what looks like a tag later on is text. Some templates open the thoughts
/// for the model, so that the answer has a closing tag alone: [`opened`](Self::opened) says so; without
/// it such a tag is left out, but what stands before it is text.
///
/// Nothing else is left out, not even the line ends around the tags.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ThinkTags {
    open: Cow<'static, str>,
    close: Cow<'static, str>,
    opened: bool,
}

impl ThinkTags {
    /// Creates tags of other names.
    pub fn new(open: impl Into<String>, close: impl Into<String>) -> Self {
        Self {
            open: Cow::Owned(open.into()),
            close: Cow::Owned(close.into()),
            opened: false,
        }
    }

    /// Sets whether the answer begins with thoughts, without an opening tag: false.
    #[must_use]
    pub fn opened(mut self, opened: bool) -> Self {
        self.opened = opened;
        self
    }
}

impl Default for ThinkTags {
    fn default() -> Self {
        Self {
            open: Cow::Borrowed("<think>"),
            close: Cow::Borrowed("</think>"),
            opened: false,
        }
    }
}

impl ChatStream {
    /// Tells the thoughts in the text from the answer: those between `tags` become
    /// [`Reasoning`](ChatEvent::Reasoning).
    ///
    /// Of the text only what may be the beginning of a tag is held back: less than one tag.
    ///
    /// ```
    /// # use inferstream_core::{ChatStream, ThinkTags};
    /// # fn example(stream: ChatStream) {
    /// let stream = stream.split_thinking(ThinkTags::default());
    /// # }
    /// ```
    pub fn split_thinking(self, tags: ThinkTags) -> ChatStream {
        let mut splitting = Splitting {
            stream: self,
            tags,
            choices: BTreeMap::new(),
            events: VecDeque::new(),
            is_over: false,
            error: None,
            partial: ChatResponse::default(),
        };
        splitting.copy_head();
        ChatStream::new(splitting)
    }
}

impl ChatResponse {
    /// Tells the thoughts in the text of each choice from the answer, as
    /// [`ChatStream::split_thinking`] does.
    #[must_use]
    pub fn split_thinking(mut self, tags: &ThinkTags) -> Self {
        for choice in &mut self.choices {
            let whole = Text::from(std::mem::take(&mut choice.text));
            let mut splitter = Splitter::new(tags);
            let mut pieces = Vec::new();
            splitter.push(tags, &whole, &mut pieces);
            splitter.finish(&mut pieces);
            for piece in pieces {
                match piece {
                    Piece::Text(text) => choice.text.push_str(&text),
                    Piece::Thought(text) => choice.reasoning.push_str(&text),
                }
            }
        }
        self
    }
}

struct Splitting {
    stream: ChatStream,
    tags: ThinkTags,
    choices: BTreeMap<u32, Splitter>,
    events: VecDeque<ChatEvent>,
    is_over: bool,
    /// What is to come when the events that wait have been taken.
    error: Option<Error>,
    partial: ChatResponse,
}

impl Splitting {
    fn take(&mut self, event: ChatEvent) {
        match &event {
            ChatEvent::Text { choice, text } => {
                let new = || Splitter::new(&self.tags);
                let splitter = self.choices.entry(*choice).or_insert_with(new);
                let mut pieces = Vec::new();
                splitter.push(&self.tags, text, &mut pieces);
                self.push(*choice, pieces);
                return;
            }
            // What was held back comes before what came behind it.
            ChatEvent::ToolCallStart { choice, .. }
            | ChatEvent::ToolCallDelta { choice, .. }
            | ChatEvent::ToolCall { choice, .. }
            | ChatEvent::Finish { choice, .. } => self.flush(*choice),
            _ => {}
        }
        self.events.push_back(event);
    }

    fn flush(&mut self, choice: u32) {
        let mut pieces = Vec::new();
        if let Some(splitter) = self.choices.get_mut(&choice) {
            splitter.finish(&mut pieces);
        }
        self.push(choice, pieces);
    }

    fn push(&mut self, choice: u32, pieces: Vec<Piece>) {
        self.events
            .extend(pieces.into_iter().map(|piece| match piece {
                Piece::Text(text) => ChatEvent::text(choice, text),
                Piece::Thought(text) => ChatEvent::reasoning(choice, text),
            }));
    }

    /// Takes over what the stream knows beside the text.
    fn copy_head(&mut self) {
        let theirs = self.stream.partial();
        if self.partial.id != theirs.id {
            self.partial.id.clone_from(&theirs.id);
        }
        if self.partial.model != theirs.model {
            self.partial.model.clone_from(&theirs.model);
        }
        if self.partial.meta != theirs.meta {
            self.partial.meta.clone_from(&theirs.meta);
        }
        self.partial.end = theirs.end;
    }
}

impl EventStream for Splitting {
    fn poll_event(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<ChatEvent>>> {
        let this = &mut *self;
        loop {
            if let Some(event) = this.events.pop_front() {
                this.partial.add(&event);
                return Poll::Ready(Some(Ok(event)));
            }
            if this.is_over {
                let error = this.error.take();
                let error = error.map(|error| error.with_partial(this.partial.clone()));
                return Poll::Ready(error.map(Err));
            }
            let polled = ready!(Pin::new(&mut this.stream).poll_event(cx));
            this.copy_head();
            match polled {
                Some(Ok(event)) => this.take(event),
                ended => {
                    let choices: Vec<_> = this.choices.keys().copied().collect();
                    for choice in choices {
                        this.flush(choice);
                    }
                    this.is_over = true;
                    this.error = ended.and_then(Result::err);
                }
            }
        }
    }

    fn partial(&self) -> &ChatResponse {
        &self.partial
    }

    fn warn(mut self: Pin<&mut Self>, warning: String) {
        Pin::new(&mut self.stream).warn(warning);
        self.copy_head();
    }

    fn cancel(mut self: Pin<&mut Self>) -> BoxFuture<'static, Result<()>> {
        self.stream.inner.as_mut().cancel()
    }
}

/// A piece of what a model wrote.
#[derive(Debug)]
enum Piece {
    Text(Text),
    Thought(Text),
}

/// Splits one text, however it is cut.
#[derive(Debug)]
struct Splitter {
    at: At,
    /// The beginning of what may be a tag.
    held: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum At {
    /// Nothing came but white space.
    Start,
    Thoughts,
    /// In the answer, before which no tag came.
    Bare,
    Answer,
}

impl Splitter {
    fn new(tags: &ThinkTags) -> Self {
        Self {
            at: if tags.opened { At::Thoughts } else { At::Start },
            held: String::new(),
        }
    }

    /// Takes the next piece of the text.
    fn push(&mut self, tags: &ThinkTags, text: &Text, pieces: &mut Vec<Piece>) {
        if self.held.is_empty() {
            self.scan(tags, text, text, pieces);
            return;
        }
        let mut joined = std::mem::take(&mut self.held);
        joined.push_str(text);
        let joined = Text::from(joined);
        self.scan(tags, &joined, &joined, pieces);
    }

    fn scan(&mut self, tags: &ThinkTags, whole: &Text, mut rest: &str, pieces: &mut Vec<Piece>) {
        let mut give = |at, part: &str| {
            if !part.is_empty() {
                let text = Text::slice_of(whole.buffer(), part);
                pieces.push(match at {
                    At::Thoughts => Piece::Thought(text),
                    _ => Piece::Text(text),
                });
            }
        };
        loop {
            if self.at == At::Start {
                let begin = rest.trim_start();
                if let Some(behind) = begin.strip_prefix(&*tags.open) {
                    give(self.at, &rest[..rest.len() - begin.len()]);
                    (self.at, rest) = (At::Thoughts, behind);
                    continue;
                }
                let may_be = |tag: &str| begin.len() < tag.len() && tag.starts_with(begin);
                if may_be(&tags.open) || may_be(&tags.close) {
                    give(self.at, &rest[..rest.len() - begin.len()]);
                    begin.clone_into(&mut self.held);
                    return;
                }
                self.at = At::Bare;
            }
            if self.at == At::Answer {
                give(self.at, rest);
                return;
            }
            if let Some(place) = rest.find(&*tags.close) {
                give(self.at, &rest[..place]);
                rest = &rest[place + tags.close.len()..];
                self.at = At::Answer;
                continue;
            }
            let held = longest_beginning(rest, &tags.close);
            let (now, later) = rest.split_at(rest.len() - held);
            give(self.at, now);
            later.clone_into(&mut self.held);
            return;
        }
    }

    /// Gives what was held back: no tag comes of it any more.
    fn finish(&mut self, pieces: &mut Vec<Piece>) {
        if self.held.is_empty() {
            return;
        }
        let text = Text::from(std::mem::take(&mut self.held));
        pieces.push(match self.at {
            At::Thoughts => Piece::Thought(text),
            _ => Piece::Text(text),
        });
        if self.at == At::Start {
            self.at = At::Bare;
        }
    }
}

/// Returns how many bytes at the end of a text may be the beginning of a tag.
fn longest_beginning(text: &str, tag: &str) -> usize {
    let longest = tag.len().saturating_sub(1).min(text.len());
    let lengths = (1..=longest).rev();
    let mut lengths = lengths.filter(|length| tag.is_char_boundary(*length));
    lengths
        .find(|length| text.ends_with(&tag[..*length]))
        .unwrap_or(0)
}
