//! The `tower` adapters: layers around the transport, and other services as transports.

use std::{
    collections::VecDeque,
    error::Error as StdError,
    future::{Future, poll_fn, ready},
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use ::tower::{
    BoxError, Service, ServiceBuilder, ServiceExt, load_shed::error::Overloaded, service_fn,
    timeout::error::Elapsed,
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use inferstream_transport::{
    Body, Error, ErrorKind, HttpTransport, Phase, ReplayStale, Result, Sent, Timeouts, Transport,
    tower::ServiceTransport,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};
use tower_http::{
    timeout::{ResponseBodyTimeoutLayer, TimeoutLayer},
    trace::TraceLayer,
};

use crate::server::{
    HELLO, HOLD, Server, check_error, closed_port, listen, post, read, read_request, transport,
};

const OPEN: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n\0hold";

async fn fetch(transport: &impl Transport, request: Request<Bytes>) -> Result<String> {
    read(transport.send(request).await?.into_body()).await
}

/// Returns the transport below a layer that wraps response bodies.
fn traced(transport: HttpTransport) -> impl Transport {
    let builder = ServiceBuilder::new().layer(TraceLayer::new_for_http());
    ServiceTransport::new(builder.service(transport))
}

/// Returns a client of another library.
fn other_client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

/// Returns a service that responds to every request with this response.
fn responding<F>(
    answer: impl Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
) -> impl Transport
where
    F: Future<Output = Result<Response<Body>, BoxError>> + Send + 'static,
{
    ServiceTransport::new(service_fn(answer))
}

/// Returns a transport whose service fails before the headers.
fn failing<E: Into<BoxError>>(
    failure: impl Fn() -> E + Clone + Send + Sync + 'static,
) -> impl Transport {
    responding(move |_| ready(Err(failure().into())))
}

/// A layer's error with another error as its source.
#[derive(Debug)]
struct Layered(BoxError);

impl std::fmt::Display for Layered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a layer failed")
    }
}

impl StdError for Layered {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

#[tokio::test]
async fn a_request_passes_layers_unchanged() {
    let server = Server::start(&[&[HELLO]]).await;
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .buffer(4)
        .concurrency_limit(8)
        .timeout(Duration::from_secs(60))
        .service(transport());
    let layered = ServiceTransport::new(service);
    let text = fetch(&layered, post(&server.url("/v1/chat"))).await;
    assert_eq!(text.unwrap(), "hello");

    let plain = Server::start(&[&[HELLO]]).await;
    crate::server::fetch(&transport(), post(&plain.url("/v1/chat")))
        .await
        .unwrap();
    let with_its_port = |server: &Server| {
        let requests = server.requests();
        assert_eq!(requests.len(), 1);
        requests[0].replace(&server.port.to_string(), "PORT")
    };
    assert_eq!(with_its_port(&server), with_its_port(&plain));
}

#[tokio::test]
async fn extensions_are_kept() {
    let seen = Arc::new(Mutex::new(None));
    let note = Arc::clone(&seen);
    let inner = transport();
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .map_request(move |request: Request<Full<Bytes>>| {
            let extensions = request.extensions();
            *note.lock().unwrap() = Some((
                extensions.get::<Timeouts>().copied(),
                extensions.get::<ReplayStale>().copied(),
            ));
            request
        })
        .service(inner);
    let layered = ServiceTransport::new(service);

    // The second request finds its connection closed; only with permission is it sent again.
    let server = Server::start(&[&[HELLO, ""], &[HELLO]]).await;
    fetch(&layered, post(&server.url("/"))).await.unwrap();
    let limits = Timeouts::default().head(Duration::from_secs(7));
    let mut request = post(&server.url("/"));
    request.extensions_mut().insert(limits);
    request.extensions_mut().insert(ReplayStale);
    assert_eq!(fetch(&layered, request).await.unwrap(), "hello");
    assert_eq!(server.accepted(), 2);
    let expected = Some((Some(limits), Some(ReplayStale)));
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn the_timeouts_of_a_request_reach_the_transport_below() {
    let server = Server::start(&[&[HOLD]]).await;
    let layered = traced(transport());
    let result = fetch(&layered, crate::server::hurried(&server.url("/secret"))).await;
    let error = check_error(
        result,
        ErrorKind::Timeout(Phase::Head),
        "no response arrived",
    );
    // The timeout of the layers could not name the phase.
    assert_eq!(error.sent(), Some(Sent::Yes));
}

#[tokio::test]
async fn the_head_timeout_applies_to_other_services() {
    let transport = responding(|_| std::future::pending());
    let mut request = post("http://127.0.0.1/secret");
    let limits = Timeouts::default().head(Duration::from_millis(50));
    request.extensions_mut().insert(limits);
    let result = fetch(&transport, request).await;
    let error = check_error(result, ErrorKind::Timeout(Phase::Head), "within 50ms");
    assert_eq!(error.sent(), Some(Sent::Maybe));
}

#[tokio::test]
async fn errors_of_the_transport_below_are_returned_unchanged() {
    let service = || {
        ServiceBuilder::new()
            .layer(TraceLayer::new_for_http())
            .buffer(4)
            .timeout(Duration::from_secs(60))
            .service(transport())
    };
    let check = async |url: String, kind, message, sent| {
        let result = fetch(&ServiceTransport::new(service()), post(&url)).await;
        assert_eq!(check_error(result, kind, message).sent(), Some(sent));
    };
    let refusing = format!("http://127.0.0.1:{}/secret", closed_port().await);
    check(refusing, ErrorKind::Connect, "refused", Sent::No).await;
    let silent = Server::start(&[&[""]]).await.url("/secret");
    check(silent, ErrorKind::Disconnected, " lost", Sent::Maybe).await;
    let moved = "HTTP/1.1 307 Moved\r\nlocation: /secret\r\ncontent-length: 0\r\n\r\n";
    let server = Server::start(&[&[moved]]).await;
    let url = server.url("/secret");
    check(url, ErrorKind::Redirect, "redirects to", Sent::Yes).await;
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn our_error_is_found_at_any_depth_of_the_source_chain() {
    let ours = || Error::new(ErrorKind::Quota, "used up").with_sent(Sent::Yes);
    let check = async |transport: &dyn Transport| {
        let result = transport.send(post("http://127.0.0.1/")).await;
        let error = result.unwrap_err();
        assert_eq!(error.to_string(), "used up");
        assert_eq!(error.kind(), ErrorKind::Quota);
        assert_eq!(error.sent(), Some(Sent::Yes));
    };
    check(&failing(ours)).await;
    check(&failing(move || Layered(Layered(ours().into()).into()))).await;
    check(&failing(move || io::Error::other(ours()))).await;
    check(&failing(move || {
        Layered(io::Error::other(io::Error::other(ours())).into())
    }))
    .await;
}

#[tokio::test]
async fn an_error_of_a_layer_is_the_source_of_disconnected() {
    let result = fetch(
        &failing(|| Layered("why".into())),
        post("http://host/secret"),
    )
    .await;
    let error = check_error(
        result,
        ErrorKind::Disconnected,
        "before the response headers",
    );
    assert_eq!(error.sent(), Some(Sent::Maybe));
    assert!(error.source().unwrap().is::<Layered>());
}

#[tokio::test]
async fn a_timeout_of_a_layer_is_the_source() {
    let server = Server::start(&[&[HOLD]]).await;
    let service = ServiceBuilder::new()
        .timeout(Duration::from_millis(50))
        .service(transport());
    let result = fetch(
        &ServiceTransport::new(service),
        post(&server.url("/secret")),
    )
    .await;
    let error = check_error(
        result,
        ErrorKind::Disconnected,
        "before the response headers",
    );
    assert!(error.source().unwrap().is::<Elapsed>());
    server.client_closed().await;
}

#[tokio::test]
async fn a_layer_can_report_a_rejected_request_as_unsent() {
    let server = Server::start(&[&[HOLD]]).await;
    let service = ServiceBuilder::new()
        .map_err(|error: BoxError| match error.downcast::<Overloaded>() {
            Ok(_) => Error::new(ErrorKind::Overloaded, "too many of our own").into(),
            Err(error) => error,
        })
        .load_shed()
        .concurrency_limit(1)
        .service(transport());
    let layered = ServiceTransport::new(service);
    let mut first = layered.send(post(&server.url("/")));
    assert!(poll_once(&mut first).await.is_pending());
    let result = fetch(&layered, post(&server.url("/"))).await;
    let error = check_error(result, ErrorKind::Overloaded, "our own");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_layer_may_respond_instead_of_the_service() {
    let server = Server::start(&[&[HOLD]]).await;
    let limit = Duration::from_millis(50);
    let limit = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, limit);
    let service = ServiceBuilder::new().layer(limit).service(transport());
    let sent = ServiceTransport::new(service).send(post(&server.url("/")));
    let response = sent.await.unwrap();
    assert_eq!(response.status(), 504);
    assert_eq!(read(response.into_body()).await.unwrap(), "");
    server.client_closed().await;
}

#[tokio::test]
async fn a_layer_may_limit_the_body() {
    let server = Server::start(&[&[OPEN]]).await;
    let limit = ResponseBodyTimeoutLayer::new(Duration::from_millis(50));
    let service = ServiceBuilder::new().layer(limit).service(transport());
    let sent = ServiceTransport::new(service).send(post(&server.url("/")));
    let mut body = sent.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "ok");
    let error = body.data().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert!(error.source().is_some());
    server.client_closed().await;
}

/// Returns a request with this head timeout.
fn limited(url: &str, head: Duration) -> Request<Bytes> {
    let mut request = post(url);
    let limits = Timeouts::default().head(head);
    request.extensions_mut().insert(limits);
    request
}

#[tokio::test]
async fn the_head_timeout_applies_until_our_transport_starts() {
    let server = Server::start(&[&[HELLO]]).await;
    let inner = transport();
    // Takes the request, as services do, and then waits before sending it.
    let transport = responding(move |request| {
        let answer = inner.clone().call(request.map(Full::new));
        async move {
            std::future::pending::<()>().await;
            Ok(answer.await?)
        }
    });
    let request = limited(&server.url("/secret"), Duration::from_millis(50));
    let result = tokio::time::timeout(Duration::from_secs(10), fetch(&transport, request)).await;
    let result = result.expect("the timeout is not enforced");
    check_error(result, ErrorKind::Timeout(Phase::Head), "within 50ms");
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn nested_services_leave_the_timeouts_to_our_transport() {
    let ours = transport();
    // Once our transport has the request, timeouts are a matter between it and the layer.
    let inner = ServiceTransport::new(service_fn(move |request: Request<Full<Bytes>>| {
        let ours = ours.clone();
        async move {
            let result = ours.oneshot(request).await;
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Config);
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok::<_, BoxError>(Response::new(Body::from("hello")))
        }
    }));
    let outer = responding(move |request| {
        let sent = inner.send(request);
        async { Ok(sent.await?) }
    });
    let request = limited("ftp://host/secret", Duration::from_millis(50));
    assert_eq!(fetch(&outer, request).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_service_that_panics_releases_its_permit() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let service =
        ServiceBuilder::new()
            .concurrency_limit(1)
            .service_fn(move |_: Request<Bytes>| {
                assert_ne!(count.fetch_add(1, SeqCst), 0, "the first call panics");
                ready(Ok::<_, BoxError>(Response::new(Body::from("hello"))))
            });
    let transport = ServiceTransport::new(service);
    let first = tokio::spawn(transport.send(post("http://host/")));
    assert!(first.await.unwrap_err().is_panic());
    let text = fetch(&transport, post("http://host/")).await;
    assert_eq!(text.unwrap(), "hello");
}

#[tokio::test]
async fn a_request_dropped_while_waiting_leaves_the_queue() {
    let server = Server::start(&[&[HOLD], &[HELLO]]).await;
    let service = ServiceBuilder::new()
        .concurrency_limit(1)
        .service(transport());
    let layered = ServiceTransport::new(service);
    let mut first = layered.send(post(&server.url("/")));
    let mut second = layered.send(post(&server.url("/")));
    let mut third = Box::pin(fetch(&layered, post(&server.url("/"))));
    assert!(poll_once(&mut first).await.is_pending());
    assert!(poll_once(&mut second).await.is_pending());
    assert!(poll_once(&mut third).await.is_pending());
    while server.accepted() == 0 {
        assert!(poll_once(&mut first).await.is_pending());
        tokio::task::yield_now().await;
    }
    drop(second);
    drop(first);
    assert_eq!(third.await.unwrap(), "hello");
}

/// A body of these frames with a wrong size hint; an `Err` frame is returned as an error.
struct Frames(VecDeque<Result<Frame<Bytes>, BoxError>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.pop_front())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(1 << 40)
    }
}

#[tokio::test]
async fn the_data_frames_of_any_body_are_returned() {
    let data = |text: &'static str| Ok(Frame::data(Bytes::from_static(text.as_bytes())));
    let trailers = || Ok(Frame::trailers(http::HeaderMap::new()));
    let read_all = async |frames: Vec<Result<Frame<Bytes>, BoxError>>| {
        let frames = Arc::new(Mutex::new(Some(Frames(frames.into()))));
        let transport = ServiceTransport::new(service_fn(move |_: Request<Bytes>| {
            let body = frames.lock().unwrap().take().unwrap();
            ready(Ok::<_, BoxError>(Response::new(body)))
        }));
        let mut body = transport
            .send(post("http://host/"))
            .await
            .unwrap()
            .into_body();
        let mut read = Vec::new();
        while let Some(next) = body.data().await {
            read.push(next.map_err(|error| error.kind()));
        }
        assert!(body.data().await.is_none());
        read
    };
    assert_eq!(
        read_all(vec![data("he"), data(""), data("llo"), trailers()]).await,
        [Ok("he".into()), Ok("llo".into())],
    );
    assert_eq!(
        read_all(vec![data("he"), Err("lost".into()), data("llo")]).await,
        [Ok("he".into()), Err(ErrorKind::Truncated)],
    );
    assert_eq!(
        read_all(vec![trailers(), data("late")]).await,
        [Ok("late".into())]
    );
}

/// A body of endless empty frames.
struct Nothings;

impl http_body::Body for Nothings {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::new()))))
    }
}

#[tokio::test]
async fn a_body_of_empty_frames_yields_to_other_tasks() {
    let service = service_fn(|_: Request<Bytes>| ready(Ok::<_, BoxError>(Response::new(Nothings))));
    let sent = ServiceTransport::new(service).send(post("http://host/"));
    let mut body = sent.await.unwrap().into_body();
    let read = tokio::time::timeout(Duration::from_millis(50), body.data());
    assert!(read.await.is_err());
}

/// Polls the future once.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// A service whose clones each become ready only after some polls.
#[derive(Debug)]
struct Bashful {
    inner: HttpTransport,
    polls: Option<usize>,
}

impl Clone for Bashful {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            polls: None,
        }
    }
}

impl Service<Request<Full<Bytes>>> for Bashful {
    type Response = Response<Body>;
    type Error = Error;
    type Future = <HttpTransport as Service<Request<Full<Bytes>>>>::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<()>> {
        let polls = self.polls.get_or_insert(0);
        *polls += 1;
        if *polls < 3 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        assert_eq!(self.polls.take(), Some(3), "called without being ready");
        self.inner.call(request)
    }
}

#[tokio::test]
async fn the_clone_that_is_called_is_the_one_that_was_ready() {
    let server = Server::start(&[&[HELLO, HELLO]]).await;
    let layered = ServiceTransport::new(Bashful {
        inner: transport(),
        polls: None,
    });
    for _ in 0..2 {
        let request = crate::server::repeatable(&server.url("/"));
        let text = fetch(&layered.clone(), request).await;
        assert_eq!(text.unwrap(), "hello");
    }
}

#[derive(Clone)]
struct Never;

impl Service<Request<Bytes>> for Never {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err("out of order".into()))
    }

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        panic!("called without being ready");
    }
}

#[tokio::test]
async fn a_service_that_is_never_ready_has_sent_nothing() {
    let result = fetch(&ServiceTransport::new(Never), post("http://host/secret")).await;
    let error = check_error(result, ErrorKind::Disconnected, "is not ready");
    assert_eq!(error.sent(), Some(Sent::No));
    assert_eq!(error.source().unwrap().to_string(), "out of order");
}

#[tokio::test]
async fn a_permit_of_towers_limit_is_released_after_the_headers() {
    let server = Server::start(&[&[OPEN], &[HELLO]]).await;
    let service = ServiceBuilder::new()
        .concurrency_limit(1)
        .service(transport());
    let layered = ServiceTransport::new(service);

    let first = layered.send(post(&server.url("/")));
    let mut second = layered.send(post(&server.url("/")));
    let mut first = Box::pin(async { first.await.unwrap() });
    assert!(poll_once(&mut first).await.is_pending());
    assert!(poll_once(&mut second).await.is_pending());
    let mut body = first.await.into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "ok");
    assert_eq!(
        server.accepted(),
        1,
        "the second request waits for the headers of the first"
    );
    // The first body is still open.
    assert_eq!(
        read(second.await.unwrap().into_body()).await.unwrap(),
        "hello"
    );
    drop(body);
    server.client_closed().await;
}

#[tokio::test]
async fn a_permit_held_by_the_body_is_released_after_the_body() {
    let server = Server::start(&[&[OPEN], &[HELLO]]).await;
    let places = Arc::new(tokio::sync::Semaphore::new(1));
    let inner = transport();
    let transport = responding(move |request| {
        let (inner, places) = (inner.clone(), Arc::clone(&places));
        async move {
            let place = places.acquire_owned().await;
            let response = inner.oneshot(request.map(Full::new)).await?;
            Ok(response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _held = &place;
                    frame
                }))
            }))
        }
    });
    let first = transport.send(post(&server.url("/"))).await.unwrap();
    let mut second = transport.send(post(&server.url("/")));
    assert!(poll_once(&mut second).await.is_pending());
    assert_eq!(server.accepted(), 1);
    drop(first);
    assert_eq!(
        read(second.await.unwrap().into_body()).await.unwrap(),
        "hello"
    );
}

#[tokio::test]
async fn dropping_a_body_closes_the_socket_below_the_layers() {
    let server = Server::start(&[&[OPEN]]).await;
    let layered = traced(transport());
    let mut body = layered
        .send(post(&server.url("/")))
        .await
        .unwrap()
        .into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "ok");
    drop(body);
    server.client_closed().await;
}

#[tokio::test]
async fn dropping_a_request_closes_the_socket_below_the_layers() {
    let server = Server::start(&[&[HOLD]]).await;
    let layered = traced(transport());
    let send = layered.send(post(&server.url("/")));
    tokio::time::timeout(Duration::from_millis(50), send)
        .await
        .unwrap_err();
    server.client_closed().await;
}

#[tokio::test]
async fn an_incomplete_body_is_truncated_below_layers_too() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello";
    for is_ours in [true, false] {
        let server = Server::start(&[&[cut]]).await;
        let request = post(&server.url("/"));
        let sent = if is_ours {
            traced(transport()).send(request)
        } else {
            ServiceTransport::new(other_client()).send(request)
        };
        let mut body = sent.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "hello");
        let error = body.data().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
        assert_eq!(error.sent(), Some(Sent::Yes));
        assert!(error.source().is_some());
        assert!(body.data().await.is_none());
    }
}

#[tokio::test]
async fn a_decompression_layer_does_not_enable_encoded_responses() {
    const GZIP: &str = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc";
    let server = Server::start(&[&[GZIP]]).await;
    // What tower-http's decompression layer does before it sends a request.
    let service = ServiceBuilder::new()
        .map_request(|mut request: Request<Full<Bytes>>| {
            let gzip = HeaderValue::from_static("gzip");
            request.headers_mut().insert("accept-encoding", gzip);
            request
        })
        .service(transport());
    let result = fetch(
        &ServiceTransport::new(service),
        post(&server.url("/secret")),
    )
    .await;
    check_error(result, ErrorKind::Protocol, "gzip");
    let asked = &server.requests()[0];
    assert!(
        asked.contains("\r\naccept-encoding: identity\r\n"),
        "{asked}"
    );

    let server = Server::start(&[&[GZIP], &[GZIP]]).await;
    let result = fetch(
        &ServiceTransport::new(other_client()),
        post(&server.url("/secret")),
    )
    .await;
    check_error(result, ErrorKind::Protocol, "add a decompression layer");

    // What it does with a response: it removes the header and replaces the bytes.
    let service = ServiceBuilder::new()
        .map_response(|mut response: Response<hyper::body::Incoming>| {
            response.headers_mut().remove("content-encoding");
            let unpacked = |_| Bytes::from_static(b"unpacked");
            response.map(|body| body.map_frame(move |frame| frame.map_data(unpacked)))
        })
        .service(other_client());
    let text = fetch(&ServiceTransport::new(service), post(&server.url("/"))).await;
    assert_eq!(text.unwrap(), "unpacked");
}

#[tokio::test]
async fn an_encoded_error_of_another_client_keeps_its_status() {
    let gzip =
        "HTTP/1.1 401 Unauthorized\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc";
    let server = Server::start(&[&[gzip]]).await;
    let sent = ServiceTransport::new(other_client()).send(post(&server.url("/")));
    let response = sent.await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(response.into_body().data().await.is_none());
}

#[tokio::test]
async fn another_client_can_be_a_transport() {
    let server = Server::start(&[&[HELLO]]).await;
    let transport = ServiceTransport::new(other_client());
    let text = fetch(&transport, post(&server.url("/v1/chat"))).await;
    assert_eq!(text.unwrap(), "hello");
    let asked = &server.requests()[0];
    assert!(asked.starts_with("POST /v1/chat HTTP/1.1\r\n"), "{asked}");
    assert_eq!(asked.matches("Bearer secret").count(), 1, "{asked}");

    let url = format!("http://127.0.0.1:{}/secret", closed_port().await);
    let error = check_error(
        fetch(&transport, post(&url)).await,
        ErrorKind::Connect,
        "failed to connect",
    );
    assert_eq!(error.sent(), Some(Sent::No));
    let server = Server::start(&[&[""]]).await;
    let error = check_error(
        fetch(&transport, post(&server.url("/secret"))).await,
        ErrorKind::Disconnected,
        "before the response headers",
    );
    assert_eq!(error.sent(), Some(Sent::Maybe));
}

#[tokio::test]
async fn a_redirect_of_another_client_is_not_followed() {
    let moved = "HTTP/1.1 302 Found\r\nlocation: /secret\r\ncontent-length: 0\r\n\r\n";
    let server = Server::start(&[&[moved, HELLO]]).await;
    let transport = ServiceTransport::new(other_client());
    let result = fetch(&transport, post(&server.url("/secret"))).await;
    let error = check_error(result, ErrorKind::Redirect, "302");
    assert_eq!(error.status().unwrap(), 302);
    assert!(error.headers().unwrap().contains_key("location"));
    assert_eq!(server.requests().len(), 1);
}

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

fn ask_to_switch(url: &str) -> Request<Bytes> {
    let request = Request::get(url)
        .header("connection", "upgrade")
        .header("upgrade", "echo");
    request.body(Bytes::new()).unwrap()
}

#[tokio::test]
async fn protocols_switch_below_layers_that_keep_the_body() {
    let port = listen(|mut socket| async move {
        read_request(&mut socket).await;
        socket.write_all(SWITCH.as_bytes()).await.unwrap();
        let mut bytes = [0; 4];
        socket.read_exact(&mut bytes).await.unwrap();
        socket.write_all(&bytes).await.unwrap();
    })
    .await;
    let service = ServiceBuilder::new()
        .concurrency_limit(1)
        .timeout(Duration::from_secs(60))
        .service(transport());
    let sent =
        ServiceTransport::new(service).send(ask_to_switch(&format!("http://127.0.0.1:{port}/")));
    let response = sent.await.unwrap();
    assert_eq!(response.status(), 101);
    let mut body = response.into_body();
    let mut bytes = Bytes::from_static(b"ping");
    poll_fn(|cx| body.poll_send(cx, &mut bytes)).await.unwrap();
    assert_eq!(read(body).await.unwrap(), "ping");
}

#[tokio::test]
async fn switching_protocols_below_a_body_wrapper_is_an_error() {
    let server = Server::start(&[&[SWITCH]]).await;
    let layered = traced(transport());
    let sent = layered.send(ask_to_switch(&server.url("/secret"))).await;
    let error = check_error(sent.map(|_| String::new()), ErrorKind::Config, "wraps the");
    assert_eq!(error.sent(), Some(Sent::No));
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn an_unexpected_101_of_any_service_is_an_error() {
    let transport = responding(|_| {
        let response = Response::builder().status(101).body(Body::from(""));
        ready(Ok(response.unwrap()))
    });
    let result = fetch(&transport, post("http://host/secret")).await;
    check_error(result, ErrorKind::Protocol, "unexpected 101");
}

#[tokio::test]
async fn a_task_is_detached_outside_a_runtime_too() {
    let done = Arc::new(Notify::new());
    let transport = responding(|_| ready(Ok(Response::new(Body::from("hello")))));
    assert_eq!(
        fetch(&transport, post("http://host/")).await.unwrap(),
        "hello"
    );
    let notify = Arc::clone(&done);
    let outside = std::thread::spawn(move || {
        transport.detach(Box::pin(async move { notify.notify_one() }));
    });
    outside.join().unwrap();
    done.notified().await;
}

#[test]
fn nothing_is_sent_outside_a_runtime() {
    let transport = responding(|_| ready(Ok(Response::new(Body::from("hello")))));
    let mut send = transport.send(post("http://host/secret"));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(result) = send.as_mut().poll(&mut cx) else {
        panic!("it waits");
    };
    let error = result.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}
