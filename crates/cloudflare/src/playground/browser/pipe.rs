//! A browser's two pipes in, the answers to what it is asked out.
//!
//! The Chrome `DevTools` Protocol over `--remote-debugging-pipe`: JSON that ends with a NUL.

use inferstream_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::unix::pipe::{Receiver, Sender},
};

/// The most bytes that a message may hold.
///
/// A page's cookies are some hundred KiB at most.
const MAX_MESSAGE: usize = 16 << 20;

/// How much is read at once.
const CHUNK: usize = 16 << 10;

/// A browser's ends of two pipes: to it, and from it.
pub(super) struct Pipe<W = Sender, R = Receiver> {
    to: W,
    from: R,
    /// What was read and not yet taken.
    bytes: Vec<u8>,
    /// How many of those hold no end.
    looked_at: usize,
    asked: u64,
    /// True once the browser has said anything.
    has_spoken: bool,
}

/// What the browser did not do, without its words for it.
pub(super) struct Refusal;

#[derive(Deserialize)]
struct Message {
    id: Option<u64>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    result: Value,
    error: Option<Value>,
    #[serde(rename = "sessionId")]
    tab: Option<String>,
}

impl<W: AsyncWrite + Unpin, R: AsyncRead + Unpin> Pipe<W, R> {
    pub(super) fn new(to: W, from: R) -> Self {
        Self {
            to,
            from,
            bytes: Vec::new(),
            looked_at: 0,
            asked: 0,
            has_spoken: false,
        }
    }

    /// Asks for what the browser cannot refuse.
    pub(super) async fn call(
        &mut self,
        method: &str,
        params: Value,
        tab: Option<&str>,
    ) -> Result<Value> {
        let answer = self.ask(method, params, tab).await?;
        answer.map_err(|Refusal| refused(method))
    }

    /// Asks the browser, or one of its pages, and waits for the answer.
    ///
    /// A future that is dropped leaves half a message: then nothing more may be asked but the end.
    pub(super) async fn ask(
        &mut self,
        method: &str,
        params: Value,
        tab: Option<&str>,
    ) -> Result<Result<Value, Refusal>> {
        self.asked += 1;
        let mut message = json!({"id": self.asked, "method": method, "params": params});
        if let Some(tab) = tab {
            message["sessionId"] = json!(tab);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        let written = self.to.write_all(&bytes).await;
        written.map_err(|_| self.ended())?;
        loop {
            let message = self.read().await?;
            if message.id == Some(self.asked) {
                return Ok(match message.error {
                    None => Ok(message.result),
                    Some(_) => Err(Refusal),
                });
            }
            // Nothing else is asked for, so what else comes is about targets.
            let gone = match message.method.as_deref() {
                Some("Target.detachedFromTarget") => message.params["sessionId"].as_str(),
                Some("Inspector.targetCrashed") => message.tab.as_deref(),
                _ => None,
            };
            if tab.is_some() && gone == tab {
                let message = "the page was closed before it had passed its check";
                return Err(Error::new(ErrorKind::Canceled, message));
            }
        }
    }

    async fn read(&mut self) -> Result<Message> {
        loop {
            let fresh = &self.bytes[self.looked_at..];
            if let Some(more) = fresh.iter().position(|byte| *byte == 0) {
                let end = self.looked_at + more;
                let message = serde_json::from_slice(&self.bytes[..end])
                    .map_err(|_| Error::protocol("the browser sent something else than JSON"));
                self.bytes.drain(..=end);
                self.looked_at = 0;
                self.has_spoken = true;
                return message;
            }
            self.looked_at = self.bytes.len();
            if MAX_MESSAGE <= self.bytes.len() {
                let message = format!("a message of the browser is over {MAX_MESSAGE} bytes");
                return Err(Error::new(ErrorKind::TooLarge, message));
            }
            self.bytes.reserve(CHUNK);
            let read = self.from.read_buf(&mut self.bytes).await;
            if !read.is_ok_and(|count| 0 < count) {
                return Err(self.ended());
            }
        }
    }

    fn ended(&self) -> Error {
        if self.has_spoken {
            let message = "the browser was closed, or ended, before the page had passed its check";
            return Error::new(ErrorKind::Canceled, message);
        }
        // It says why to its standard error, for people at a terminal.
        Error::config(
            "the browser ended at once: without a display it runs headless only, and its profile \
             may be open in no other",
        )
    }
}

/// Makes an error of an answer that says no, or not what it should.
pub(super) fn refused(method: &str) -> Error {
    Error::protocol(format!("the browser does not do `{method}`"))
}

#[cfg(test)]
mod tests {
    use inferstream_core::{ErrorKind, Result};
    use serde_json::{Value, json};
    use tokio::io::sink;

    use super::{MAX_MESSAGE, Pipe};

    async fn call(from: &[u8]) -> Result<Value> {
        let mut pipe = Pipe::new(sink(), from);
        pipe.call("Page.navigate", json!({}), Some("tab")).await
    }

    #[track_caller]
    fn check(from: &[u8], kind: ErrorKind) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let error = { runtime }.build().unwrap().block_on(call(from));
        let error = error.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!error.to_string().contains("secret"));
    }

    #[tokio::test]
    async fn events_and_answers_to_others_are_passed_over() {
        let from =
            b"{\"method\":\"Target.targetCreated\",\"params\":{}}\0{\"id\":9,\"result\":{}}\0\
            {\"method\":\"Target.detachedFromTarget\",\"params\":{\"sessionId\":\"other\"}}\0\
            {\"id\":1,\"result\":{\"a\":1}}\0";
        assert_eq!(call(from).await.unwrap(), json!({"a": 1}));
    }

    #[test]
    fn what_the_browser_breaks_is_an_error() {
        check(b"", ErrorKind::Config);
        check(b"{\"id\":1", ErrorKind::Config);
        check(b"{\"method\":\"a\"}\0", ErrorKind::Canceled);
        check(b"secret\0", ErrorKind::Protocol);
        check(b"\0", ErrorKind::Protocol);
        check(b"[]\0", ErrorKind::Protocol);
        check(b"{\"id\":\"1\"}\0", ErrorKind::Protocol);
        let mut nested = vec![b'['; 1 << 16];
        check(&nested, ErrorKind::Config);
        nested.push(0);
        check(&nested, ErrorKind::Protocol);
        let refusal = b"{\"id\":1,\"error\":{\"message\":\"secret\"}}\0";
        check(refusal, ErrorKind::Protocol);
        let detached =
            b"{\"method\":\"Target.detachedFromTarget\",\"params\":{\"sessionId\":\"tab\"}}\0";
        check(detached, ErrorKind::Canceled);
    }

    #[test]
    fn a_message_has_a_limit() {
        check(&vec![b' '; MAX_MESSAGE + 1], ErrorKind::TooLarge);
    }
}
