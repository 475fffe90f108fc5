//! The response body, which returns its connection to the pool at the end.

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
        // hyper hands out data only after a poll has registered interest, so drive and poll twice.
        for _ in 0..2 {
            if let Some(connection) = &mut self.connection {
                connection.drive(cx);
            }
            match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if self.incoming.is_end_stream() {
                        self.release();
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(Some(Err(cause))) => {
                    self.connection = None;
                    return Poll::Ready(Some(Err(error::in_body(cause))));
                }
                Poll::Ready(None) => {
                    self.release();
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
