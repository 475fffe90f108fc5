//! The rest of a connection's bytes into the answer's body; a connection that is done goes back.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use inferstream_core::{Error, Result};

use crate::{connect::Route, error, exchange::Connection, pool::Pool};

/// The body of an answer, which runs its connection while it is polled.
pub(crate) struct Answer {
    incoming: Incoming,
    /// Absent once the body has ended. Dropping it closes the socket.
    connection: Option<Connection>,
    home: Option<(Arc<Pool>, Route)>,
}

impl Answer {
    /// Takes the body and its connection, and where that goes afterwards, if anywhere.
    pub(crate) fn new(
        incoming: Incoming,
        connection: Connection,
        home: Option<(Arc<Pool>, Route)>,
    ) -> Self {
        let mut answer = Self {
            incoming,
            connection: Some(connection),
            home,
        };
        if answer.incoming.is_end_stream() {
            answer.let_go();
        }
        answer
    }

    fn let_go(&mut self) {
        if let (Some(connection), Some((pool, route))) = (self.connection.take(), self.home.take())
        {
            pool.put(route, connection);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        // What is read becomes a frame only once a frame was asked for, hence the second round.
        for _ in 0..2 {
            if let Some(connection) = &mut self.connection {
                connection.drive(cx);
            }
            match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if self.incoming.is_end_stream() {
                        self.let_go();
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(Some(Err(cause))) => {
                    self.connection = None;
                    return Poll::Ready(Some(Err(error::in_body(cause))));
                }
                Poll::Ready(None) => {
                    self.let_go();
                    return Poll::Ready(None);
                }
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
