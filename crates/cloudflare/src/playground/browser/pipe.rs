//! A client of the Chrome `DevTools` Protocol over a pair of pipes.
//!
//! With `--remote-debugging-pipe`, each message is JSON followed by a NUL byte.

use inferstream_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::unix::pipe::{Receiver, Sender},
};

/// The maximum size of a message, in bytes.
///
/// The cookies of a page take at most a few hundred KiB.
const MAX_MESSAGE: usize = 16 << 20;

/// The size of one read, in bytes.
const CHUNK: usize = 16 << 10;

/// A pair of pipes, to the browser and from it.
pub(super) struct Pipe<W = Sender, R = Receiver> {
    to: W,
    from: R,
    /// Bytes that were read and are not processed yet.
    bytes: Vec<u8>,
    /// How many of those are known to contain no NUL.
    looked_at: usize,
    asked: u64,
    /// Whether the browser has sent a message.
    has_spoken: bool,
}

/// The browser refused a call. Its error message is dropped, because it may contain secrets.
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

    /// Calls a method and treats a refusal as an error.
    pub(super) async fn call(
        &mut self,
        method: &str,
        params: Value,
        tab: Option<&str>,
    ) -> Result<Value> {
        let answer = self.ask(method, params, tab).await?;
        answer.map_err(|Refusal| refused(method))
    }

    /// Calls a method of the browser, or of one of its pages, and waits for the reply.
    ///
    /// If the future is dropped, the message may be sent only in part; after that, nothing but
    /// `Browser.close` may be called.
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
            // No events are enabled, so all other messages are about targets.
            let gone = match message.method.as_deref() {
                Some("Target.detachedFromTarget") => message.params["sessionId"].as_str(),
                Some("Inspector.targetCrashed") => message.tab.as_deref(),
                _ => None,
            };
            if tab.is_some() && gone == tab {
                let message = "the page was closed before it passed its check";
                return Err(Error::new(ErrorKind::Canceled, message));
            }
        }
    }

    async fn read(&mut self) -> Result<Message> {
        loop {
            let fresh = &self.bytes[self.looked_at..];
            if let Some(more) = fresh.iter().position(|byte| *byte == 0) {
                let end = self.looked_at + more;
                let message = serde_json::from_slice(&self.bytes[..end]).map_err(|_| {
                    Error::protocol("invalid message from the browser: expected JSON")
                });
                self.bytes.drain(..=end);
                self.looked_at = 0;
                self.has_spoken = true;
                return message;
            }
            self.looked_at = self.bytes.len();
            if MAX_MESSAGE <= self.bytes.len() {
                let message = format!(
                    "message from the browser too large: expected at most {MAX_MESSAGE} bytes"
                );
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
            let message = "the browser was closed, or exited, before the page passed its check";
            return Error::new(ErrorKind::Canceled, message);
        }
        // The browser writes the reason to its standard error, which is not read here.
        Error::config(
            "starting the browser failed: without a display only headless mode works, and no \
             other browser may have its profile open",
        )
    }
}

/// Returns the error for a call that was refused, or whose reply is invalid.
pub(super) fn refused(method: &str) -> Error {
    Error::protocol(format!("the browser refused the call of `{method}`"))
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
    async fn events_and_other_replies_are_ignored() {
        let from =
            b"{\"method\":\"Target.targetCreated\",\"params\":{}}\0{\"id\":9,\"result\":{}}\0\
            {\"method\":\"Target.detachedFromTarget\",\"params\":{\"sessionId\":\"other\"}}\0\
            {\"id\":1,\"result\":{\"a\":1}}\0";
        assert_eq!(call(from).await.unwrap(), json!({"a": 1}));
    }

    #[test]
    fn invalid_replies_are_errors() {
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
    fn messages_have_a_size_limit() {
        check(&vec![b' '; MAX_MESSAGE + 1], ErrorKind::TooLarge);
    }
}
