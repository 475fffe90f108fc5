//! The response body, which returns its connection to the pool at the end.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use inferstream_core::{Error, Result};

use crate::{connect::Route, error, exchange::Connection, pool::Pool};

/// A response body that drives its connection while it is polled.
pub(crate) struct ResponseBody {
    incoming: Incoming,
    /// `None` once the body has ended. Dropping the connection closes the socket.
    connection: Option<Connection>,
    home: Option<(Arc<Pool>, Route)>,
}

impl ResponseBody {
    /// Creates a body. At its end the connection returns to `home`, or is closed if that is `None`.
    pub(crate) fn new(
        incoming: Incoming,
        connection: Connection,
        home: Option<(Arc<Pool>, Route)>,
    ) -> Self {
        let mut body = Self {
            incoming,
            connection: Some(connection),
            home,
        };
        if body.incoming.is_end_stream() {
            body.release();
        }
        body
    }

    fn release(&mut self) {
        if let (Some(connection), Some((pool, route))) = (self.connection.take(), self.home.take())
        {
            pool.put(route, connection);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let incoming = &mut this.incoming;
        let polled = match &mut this.connection {
            None => Pin::new(incoming).poll_frame(cx),
            Some(connection) => {
                connection.poll_with(cx, |cx| Pin::new(&mut *incoming).poll_frame(cx))
            }
        };
        match ready!(polled) {
            Some(Ok(frame)) => {
                if this.incoming.is_end_stream() {
                    this.release();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(cause)) => {
                this.connection = None;
                Poll::Ready(Some(Err(error::in_body(cause))))
            }
            None => {
                this.release();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
