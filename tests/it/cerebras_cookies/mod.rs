//! Cerebras with cookies from a browser, which are exchanged for a key.

mod errors;
mod files;
mod keys;
mod limits;
mod places;

use std::{future::poll_fn, task::Poll};

use bytes::Bytes;
use http::{Request, header::COOKIE};
use inferstream_cerebras::{Cerebras, CerebrasBuilder, Cookies};
use inferstream_core::{BoxFuture, Error, ErrorKind, Result, RetryPolicy};

use crate::support::{Answer, Piece, Wire, block_on, sse};

const HOST: &str = "inference.cerebras.ai";
const SESSION: &str = "https://inference.cerebras.ai/api/auth/session";
const CHAT: &str = "https://api.cerebras.ai/v1/chat/completions";

/// A cookie's value, which must never be shown.
const CANARY: &str = "c4nary-0f-the-session";

/// Scripted transports for the session and for the chat.
#[derive(Clone, Debug)]
struct Service(Wire);

impl Service {
    /// Sets the responses of the session, of which the last is repeated, and those of the chat by
    /// the key.
    fn new(
        sessions: impl IntoIterator<Item = Answer>,
        chat: impl Fn(&str) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let sessions: Vec<Answer> = sessions.into_iter().collect();
        Self(Wire::by(move |request, before| {
            if request.uri().path().ends_with("/api/auth/session") {
                let same = before
                    .iter()
                    .filter(|earlier| earlier.uri() == request.uri());
                return sessions[same.count().min(sessions.len() - 1)].clone();
            }
            chat(request.headers()["authorization"].to_str().unwrap())
        }))
    }

    /// Sets one response of the session; the chat accepts every key.
    fn of_session(session: Answer) -> Self {
        Self::new([session], |_| whole())
    }

    fn all(&self) -> Vec<Request<Bytes>> {
        self.0.all()
    }

    /// Counts the requests to a URL.
    fn count(&self, url: &str) -> usize {
        let all = self.all();
        all.iter().filter(|request| *request.uri() == *url).count()
    }

    /// Returns the cookies of the last request to the session.
    fn cookies(&self) -> String {
        let all = self.all();
        let last = all.iter().rfind(|request| *request.uri() == *SESSION);
        let value = &last.unwrap().headers()[COOKIE];
        assert!(value.is_sensitive());
        value.to_str().unwrap().to_owned()
    }

    fn builder(&self, cookies: Cookies) -> CerebrasBuilder {
        let builder = Cerebras::builder().transport(self.0.clone());
        let retry = RetryPolicy::default().max_attempts(1);
        builder.cookies(cookies).retry(retry)
    }

    fn client(&self) -> Cerebras {
        self.builder(cookies()).build().unwrap()
    }

    /// Sends a request, and returns the text of the response.
    #[track_caller]
    fn ask(&self, client: &Cerebras) -> Result<String> {
        block_on(&self.0.clock, text(client))
    }
}

fn cookies() -> Cookies {
    Cookies::from_header(&format!("session-token={CANARY}; theme=dark")).unwrap()
}

/// A session document with this key.
fn signed_in(key: &str) -> Answer {
    let user = format!(r#"{{"name":"A","email":"a@b.example","demoApiKey":"{key}"}}"#);
    session(&format!(
        r#"{{"user":{user},"expires":"2026-12-21T04:30:00.000Z"}}"#
    ))
}

fn session(document: &str) -> Answer {
    Answer::json(200, document)
}

/// A complete response of the chat.
fn whole() -> Answer {
    let text = r#"{"choices":[{"index":0,"delta":{"content":"Hello."}}]}"#;
    let finish = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    Answer::sse([Piece::from(&*sse(&[text, finish, "[DONE]"]))])
}

fn refused(status: u16) -> Answer {
    Answer::json(
        status,
        r#"{"message":"Wrong API Key","code":"wrong_api_key"}"#,
    )
}

async fn text(client: &Cerebras) -> Result<String> {
    let stream = client.stream("Hi").await?;
    Ok(stream.finish().await?.text().to_owned())
}

/// Waits for all futures, polling them in turn.
async fn all<T>(futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures
        .into_iter()
        .map(|future| (Some(future), None))
        .collect();
    poll_fn(|cx| {
        for (future, outcome) in &mut futures {
            if let Some(Poll::Ready(value)) = future.as_mut().map(|future| future.as_mut().poll(cx))
            {
                (*future, *outcome) = (None, Some(value));
            }
        }
        if futures.iter().all(|(_, outcome)| outcome.is_some()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    futures
        .into_iter()
        .filter_map(|(_, outcome)| outcome)
        .collect()
}

/// Checks an error's kind and message, and that it shows no cookie.
#[track_caller]
fn check_error(error: &Error, kind: ErrorKind, line: &str) {
    assert_eq!((error.kind(), &*error.to_string()), (kind, line));
    check_hidden(error);
}

#[track_caller]
fn check_hidden(error: &Error) {
    let headers = error.headers();
    for shown in [
        format!("{error} {error:?} {error:#?} {headers:?}"),
        format!("{:?}", error.body()),
    ] {
        assert!(!shown.contains(CANARY), "{shown}");
    }
}
