//! Separation of reasoning between tags from text.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::FusedStream as _;
use inferstream_core::{
    BoxFuture, ChatEvent, ChatResponse, ChatStream, Error, Result, Text, protocol::EventStream,
};

/// The tags between which a model writes its reasoning into its text; by default `<think>` and
/// `</think>`.
///
/// Hosted services return reasoning apart from the text; local engines often do not. An opening tag
/// counts only at the start of the response, after optional white space, and then the first closing
/// tag counts; later tags are text. Some chat templates open the reasoning for the model, so that the
/// response contains only a closing tag: set [`opened`](Self::opened) for those. Without it, a closing
/// tag without an opening one is dropped and the text before it stays text.
///
/// Nothing else is dropped, not even the line ends around the tags. Reasoning without a closing tag
/// extends to the end of the response.
///
/// ```
/// use inferstream_compose::ThinkTags;
/// use inferstream_core::{ChatEvent, ChatResponse};
///
/// let split = |text, tags: ThinkTags| {
///     let mut response = ChatResponse::default();
///     response.add(&ChatEvent::text(0, text));
///     let response = tags.split_response(response);
///     (response.reasoning().to_owned(), response.text().to_owned())
/// };
/// let expected = ("Hm.".to_owned(), "Yes.".to_owned());
/// assert_eq!(split("<think>Hm.</think>Yes.", ThinkTags::default()), expected);
/// assert_eq!(split("[Hm.]Yes.", ThinkTags::new("[", "]")), expected);
/// assert_eq!(split("Hm.</think>Yes.", ThinkTags::default().opened(true)), expected);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ThinkTags {
    open: Cow<'static, str>,
    close: Cow<'static, str>,
    opened: bool,
}

impl ThinkTags {
    /// Creates tags with other names. An empty tag never matches; white space at the start of the
    /// opening tag is ignored.
    pub fn new(open: impl Into<String>, close: impl Into<String>) -> Self {
        // White space before the tag is ignored anyway.
        let open = open.into().trim_start().to_owned();
        Self {
            open: Cow::Owned(open),
            close: Cow::Owned(close.into()),
            opened: false,
        }
    }

    /// Sets whether the response begins with reasoning, without an opening tag; false by default.
    #[must_use]
    pub fn opened(mut self, opened: bool) -> Self {
        self.opened = opened;
        self
    }

    /// Returns the stream with the text between the tags as [`Reasoning`](ChatEvent::Reasoning).
    ///
    /// Only text that may be the start of a tag is held back, which is always less than one tag. It is
    /// delivered before the tool call, the finish, the error or the end that shows it is not a tag.
    ///
    /// Text that was read before the call stays text. If it opened the reasoning, the reasoning that
    /// follows is still separated.
    ///
    /// ```
    /// # use std::{future::Future, pin::{Pin, pin}, task::{Context, Poll, Waker}};
    /// # use inferstream_core::{*, protocol::EventStream};
    /// # #[derive(Default)]
    /// # struct Words(std::collections::VecDeque<&'static str>, ChatResponse);
    /// # impl EventStream for Words {
    /// #     fn poll_event(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<ChatEvent>>> {
    /// #         Poll::Ready(self.0.pop_front().map(|text| Ok(ChatEvent::text(0, text))))
    /// #     }
    /// #     fn partial(&self) -> &ChatResponse { &self.1 }
    /// #     fn warn(self: Pin<&mut Self>, _: String) {}
    /// # }
    /// # let words = ["<thi", "nk>Hm.</", "think>Yes."];
    /// # let stream = ChatStream::new(Words(words.into(), ChatResponse::default()));
    /// # let answer = async {
    /// use inferstream_compose::ThinkTags;
    ///
    /// let response = ThinkTags::default().split_stream(stream).finish().await?;
    /// assert_eq!(response.reasoning(), "Hm.");
    /// assert_eq!(response.text(), "Yes.");
    /// # Ok::<(), Error>(())
    /// # };
    /// # assert!(pin!(answer).poll(&mut Context::from_waker(Waker::noop())).is_ready());
    /// ```
    pub fn split_stream(&self, stream: ChatStream) -> ChatStream {
        let mut partial = stream.partial().clone();
        let mut choices = BTreeMap::new();
        for choice in partial.choices.iter().filter(|read| !read.text.is_empty()) {
            let mut splitter = Splitter::new(self);
            splitter.push(self, &Text::from(choice.text.as_str()), &mut Vec::new());
            splitter.held.clear();
            choices.insert(choice.index, splitter);
        }
        if !stream.is_terminated() {
            partial.end = None;
        }
        stream.wrap(|stream| Splitting {
            stream,
            tags: self.clone(),
            choices,
            events: VecDeque::new(),
            is_over: false,
            error: None,
            partial,
        })
    }

    /// Moves the reasoning in the text of each choice to its `reasoning`, as
    /// [`split_stream`](Self::split_stream) does, after what the service returned there.
    ///
    /// ```
    /// use inferstream_compose::ThinkTags;
    /// use inferstream_core::{ChatEvent, ChatResponse};
    ///
    /// let mut response = ChatResponse::default();
    /// response.add(&ChatEvent::text(0, "<think>Hm.</think>Yes."));
    /// let response = ThinkTags::default().split_response(response);
    /// assert_eq!((response.reasoning(), response.text()), ("Hm.", "Yes."));
    /// ```
    #[must_use]
    pub fn split_response(&self, mut response: ChatResponse) -> ChatResponse {
        for choice in &mut response.choices {
            let whole = Text::from(std::mem::take(&mut choice.text));
            let mut splitter = Splitter::new(self);
            let mut fragments = Vec::new();
            splitter.push(self, &whole, &mut fragments);
            splitter.finish(self, &mut fragments);
            for fragment in fragments {
                match fragment {
                    Fragment::Text(text) => choice.text.push_str(&text),
                    Fragment::Reasoning(text) => choice.reasoning.push_str(&text),
                }
            }
        }
        response
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

struct Splitting {
    stream: ChatStream,
    tags: ThinkTags,
    choices: BTreeMap<u32, Splitter>,
    events: VecDeque<ChatEvent>,
    is_over: bool,
    /// The error to yield once the queued events have been taken.
    error: Option<Error>,
    partial: ChatResponse,
}

impl Splitting {
    fn take(&mut self, event: ChatEvent) {
        match &event {
            ChatEvent::Text { choice, text, .. } => {
                let new = || Splitter::new(&self.tags);
                let splitter = self.choices.entry(*choice).or_insert_with(new);
                let mut fragments = Vec::new();
                splitter.push(&self.tags, text, &mut fragments);
                self.push(*choice, fragments);
                return;
            }
            // Held-back text was received before this event, so it is yielded before it.
            ChatEvent::ToolCallStart { choice, .. }
            | ChatEvent::ToolCallDelta { choice, .. }
            | ChatEvent::ToolCall { choice, .. }
            | ChatEvent::Finish { choice, .. } => self.flush(*choice),
            _ => {}
        }
        self.events.push_back(event);
    }

    fn flush(&mut self, choice: u32) {
        let mut fragments = Vec::new();
        if let Some(splitter) = self.choices.get_mut(&choice) {
            splitter.finish(&self.tags, &mut fragments);
        }
        self.push(choice, fragments);
    }

    fn push(&mut self, choice: u32, fragments: Vec<Fragment>) {
        self.events
            .extend(fragments.into_iter().map(|fragment| match fragment {
                Fragment::Text(text) => ChatEvent::text(choice, text),
                Fragment::Reasoning(text) => ChatEvent::reasoning(choice, text),
            }));
    }

    /// Copies what the inner stream knows besides the text.
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
                this.partial.end = this.stream.partial().end;
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

    fn take_partial(mut self: Pin<&mut Self>) -> ChatResponse {
        std::mem::take(&mut self.partial)
    }

    fn warn(mut self: Pin<&mut Self>, warning: String) {
        Pin::new(&mut self.stream).warn(warning);
        self.copy_head();
    }

    fn cancel(mut self: Pin<&mut Self>) -> BoxFuture<'static, Result<()>> {
        EventStream::cancel(Pin::new(&mut self.stream))
    }
}

/// A fragment of a model's output.
#[derive(Debug)]
enum Fragment {
    Text(Text),
    Reasoning(Text),
}

/// An incremental splitter for the text of one choice. Tags may be split between fragments.
#[derive(Debug)]
struct Splitter {
    at: At,
    /// Text that may be the start of a tag.
    held: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum At {
    /// Only white space so far.
    Start,
    Reasoning,
    /// In the text, without a tag so far: a closing tag is still dropped.
    Bare,
    /// After the first closing tag: everything that follows is text.
    Answer,
}

impl Splitter {
    fn new(tags: &ThinkTags) -> Self {
        Self {
            at: if tags.opened {
                At::Reasoning
            } else {
                At::Start
            },
            held: String::new(),
        }
    }

    /// Processes the next fragment of the text.
    ///
    /// A tag may be split between fragments, so the end of a fragment that may be the start of a tag
    /// is held back, and the next fragment is scanned together with it.
    fn push(&mut self, tags: &ThinkTags, text: &Text, fragments: &mut Vec<Fragment>) {
        if self.held.is_empty() {
            self.scan(tags, text, After::More, fragments);
            return;
        }
        let mut joined = std::mem::take(&mut self.held);
        joined.push_str(text);
        self.scan(tags, &Text::from(joined), After::More, fragments);
    }

    /// Yields the held-back text: no more follows.
    fn finish(&mut self, tags: &ThinkTags, fragments: &mut Vec<Fragment>) {
        let held = Text::from(std::mem::take(&mut self.held));
        if !held.is_empty() {
            self.scan(tags, &held, After::Nothing, fragments);
        }
    }

    fn scan(
        &mut self,
        tags: &ThinkTags,
        whole: &Text,
        after: After,
        fragments: &mut Vec<Fragment>,
    ) {
        let mut give = |at, part: &str| {
            if !part.is_empty() {
                let text = Text::slice_of(whole.buffer(), part);
                fragments.push(match at {
                    At::Reasoning => Fragment::Reasoning(text),
                    _ => Fragment::Text(text),
                });
            }
        };
        let mut rest: &str = whole;
        loop {
            if self.at == At::Answer {
                give(self.at, rest);
                return;
            }
            let close = find(rest, &tags.close);
            // What follows `perhaps` may be the start of a closing tag, and is held back.
            let perhaps = rest.len() - after.held(rest, &tags.close);
            // At the start either tag may come first: an opening one, or a closing one if the chat template
            // has opened the reasoning.
            if self.at == At::Start {
                let begin = rest.trim_start();
                let space = rest.len() - begin.len();
                let opens = !tags.open.is_empty() && begin.starts_with(&*tags.open);
                // The first tag counts, and a closing tag may start with white space.
                if close.is_none_or(|place| space <= place) {
                    // Either the white space may belong to a closing tag, or what follows it is only the
                    // beginning of an opening tag so far: the next fragment decides.
                    if perhaps < space || after.held(begin, &tags.open) == begin.len() && !opens {
                        let (now, later) = rest.split_at(perhaps.min(space));
                        give(self.at, now);
                        later.clone_into(&mut self.held);
                        return;
                    }
                    if opens {
                        give(self.at, &rest[..space]);
                        (self.at, rest) = (At::Reasoning, &begin[tags.open.len()..]);
                        continue;
                    }
                }
                self.at = At::Bare;
            }
            if let Some(place) = close {
                give(self.at, &rest[..place]);
                rest = &rest[place + tags.close.len()..];
                self.at = At::Answer;
                continue;
            }
            let (now, later) = rest.split_at(perhaps);
            give(self.at, now);
            later.clone_into(&mut self.held);
            return;
        }
    }
}

/// What follows a fragment of text.
#[derive(Clone, Copy, Debug)]
enum After {
    More,
    Nothing,
}

impl After {
    /// Returns how many bytes at the end of a text may be the start of a tag.
    fn held(self, text: &str, tag: &str) -> usize {
        let longest = match self {
            Self::More => tag.len().saturating_sub(1).min(text.len()),
            Self::Nothing => 0,
        };
        let lengths = (1..=longest).rev();
        let mut lengths = lengths.filter(|length| tag.is_char_boundary(*length));
        lengths
            .find(|length| text.ends_with(&tag[..*length]))
            .unwrap_or(0)
    }
}

fn find(text: &str, tag: &str) -> Option<usize> {
    text.find(tag).filter(|_| !tag.is_empty())
}
