//! The listeners, their connections, and the server handle.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    body::Body,
    counts::Counts,
    outcome::Outcome,
    playground::Playground,
    record::Recorded,
    replicate::{Replicate, Resume},
    route::{Origin, Services, route, too_large},
    session::Session,
    shared::Shared,
    tls::Identity,
    wire::{
        connection::before_http,
        fault::Wire,
        play::play,
        socket::{Socket, Tap},
        step::{Plan, Sent},
    },
};

/// The maximum size of a request body in bytes; enough for prompts with images.
const MAX_REQUEST: usize = 16 << 20;

/// A running server on loopback.
///
/// Dropping it stops the server and closes its connections.
#[must_use = "the server stops when this is dropped"]
pub struct Simulator {
    address: SocketAddr,
    stream_address: SocketAddr,
    base_url: String,
    cerebras_session_url: String,
    cloudflare_url: String,
    compatible_url: String,
    gateway_url: String,
    playground_url: String,
    certificate_pem: Option<String>,
    services: Arc<Services>,
    tasks: [AbortHandle; 2],
}

impl Simulator {
    pub(crate) async fn listen(
        port: u16,
        shared: Arc<Shared>,
        playground: Playground,
        resume: Resume,
        session: Session,
        identity: Option<Identity>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let stream_listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let stream_address = stream_listener.local_addr()?;
        let scheme = match identity {
            Some(_) => "https",
            None => "http",
        };
        let certificate_pem = identity
            .as_ref()
            .map(|identity| identity.certificate_pem.clone());
        let identity = identity.map(Arc::new);
        let services = Arc::new(Services {
            elsewhere: format!("{scheme}://{stream_address}"),
            replicate: Replicate::new(shared.clone(), resume, scheme, address, stream_address),
            shared,
            playground,
            session,
        });
        let tasks = [(listener, Origin::Main), (stream_listener, Origin::Stream)].map(
            |(listener, origin)| {
                let serving = accept(listener, identity.clone(), services.clone(), origin);
                tokio::spawn(serving).abort_handle()
            },
        );
        Ok(Self {
            address,
            stream_address,
            base_url: format!("{scheme}://{address}/v1"),
            cerebras_session_url: format!("{scheme}://{address}/cerebras-session"),
            cloudflare_url: format!("{scheme}://{address}/client/v4"),
            compatible_url: format!("{scheme}://{address}/compatible/v1"),
            gateway_url: format!("{scheme}://{address}/gateway/v1"),
            playground_url: format!("{scheme}://{address}/playground"),
            certificate_pem,
            services,
            tasks,
        })
    }

    /// Returns the base URL for a client, such as `http://127.0.0.1:8080/v1`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Returns the URL of the Cerebras page, such as `http://127.0.0.1:8080/cerebras-session`,
    /// whose session endpoint issues keys for cookies.
    pub fn cerebras_session_url(&self) -> &str {
        &self.cerebras_session_url
    }

    /// Returns the URL for a client of Replicate, such as `http://127.0.0.1:8080/replicate/v1`.
    pub fn replicate_url(&self) -> &str {
        &self.services.replicate.url
    }

    /// Returns the URL for a client of Workers AI, such as `http://127.0.0.1:8080/client/v4`.
    pub fn cloudflare_url(&self) -> &str {
        &self.cloudflare_url
    }

    /// Returns the URL for a client of any compatible service, such as
    /// `http://127.0.0.1:8080/compatible/v1`.
    ///
    /// It accepts any model and unknown fields, and requests without a key if none is configured.
    pub fn compatible_url(&self) -> &str {
        &self.compatible_url
    }

    /// Returns the URL of all AI gateways, such as `http://127.0.0.1:8080/gateway/v1`.
    ///
    /// Append the account and any gateway name.
    pub fn gateway_url(&self) -> &str {
        &self.gateway_url
    }

    /// Returns the URL of the playground, such as `http://127.0.0.1:8080/playground`.
    ///
    /// Its agents are at `/agents/playground/` and any name below it.
    pub fn playground_url(&self) -> &str {
        &self.playground_url
    }

    /// Returns the host and port of the streams of predictions, such as `127.0.0.1:8081`.
    ///
    /// As at the service, the origin differs from that of [`replicate_url`](Self::replicate_url),
    /// and a client must be configured to trust it. The certificate is the same.
    pub fn stream_authority(&self) -> String {
        self.stream_address.to_string()
    }

    /// Returns the address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the certificate that a client must trust, if the server uses TLS.
    pub fn certificate_pem(&self) -> Option<&str> {
        self.certificate_pem.as_deref()
    }

    /// Returns the last 10,000 requests that were read completely, oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        self.services.shared.record.all()
    }

    /// Returns the last 10,000 text messages sent to agents of the playground, oldest first.
    pub fn agent_messages(&self) -> Vec<String> {
        self.services.shared.record.all_messages()
    }

    /// Returns the number of requests and messages of each kind.
    pub fn counts(&self) -> Counts {
        self.services.shared.counter.all()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.services.shared.tasks.stop();
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator")
            .field("base_url", &self.base_url)
            .field("stream_address", &self.stream_address)
            .finish_non_exhaustive()
    }
}

/// Serves connections until the task is aborted, which closes them.
async fn accept(
    listener: TcpListener,
    identity: Option<Arc<Identity>>,
    services: Arc<Services>,
    origin: Origin,
) {
    let mut connections = JoinSet::new();
    loop {
        let socket = loop {
            match listener.accept().await {
                Ok((socket, _)) => break socket,
                // Usually too many open files, which ends when connections close.
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        };
        while connections.try_join_next().is_some() {}
        let client = Client {
            connection: services.shared.record.next_connection(),
            origin,
        };
        connections.spawn(connect(socket, identity.clone(), services.clone(), client));
    }
}

/// The connection and origin of a request.
#[derive(Clone, Copy, Debug)]
struct Client {
    connection: u64,
    origin: Origin,
}

async fn connect(
    mut socket: TcpStream,
    identity: Option<Arc<Identity>>,
    services: Arc<Services>,
    client: Client,
) {
    let _open = (client.origin == Origin::Main).then(|| services.shared.counter.open());
    // Each token is sent as its own segment, as by a service that waits between tokens.
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let fault = match client.origin {
        Origin::Main => services.shared.script().next_before_http(),
        Origin::Stream => None,
    };
    if let Some(fault) = fault {
        match before_http(fault, socket, identity.as_deref()).await {
            Some(unchanged) => socket = unchanged,
            None => return,
        }
    }
    let socket = match identity {
        None => Socket::Plain(socket),
        Some(identity) => match TlsAcceptor::from(identity.config.clone())
            .accept(socket)
            .await
        {
            Ok(stream) => Socket::Tls(Box::new(stream)),
            Err(_) => return,
        },
    };
    serve(socket, services, client).await;
}

async fn serve(socket: Socket, services: Arc<Services>, client: Client) {
    let mut server = auto::Builder::new(TokioExecutor::new());
    // The same seed must result in the same bytes, headers included.
    server.http1().auto_date_header(false);
    server.http2().auto_date_header(false);
    let tap = Tap::new(socket);
    let service = {
        let tap = tap.clone();
        service_fn(move |request| respond(services.clone(), client, tap.clone(), request))
    };
    let io = TokioIo::new(tap.clone());
    // Errors are ignored: the client reports how the connection ended.
    let _ = match client.origin {
        Origin::Main => server.serve_connection_with_upgrades(io, service).await,
        Origin::Stream => server.serve_connection(io, service).await,
    };
    if let Some((socket, plan)) = tap.take() {
        play(socket, plan).await;
    }
}

/// Handles one request; an error closes its connection.
async fn respond(
    services: Arc<Services>,
    client: Client,
    tap: Tap,
    mut request: Request<Incoming>,
) -> io::Result<Response<Body>> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (head, body) = request.into_parts();
    let Some(body) = read(body).await? else {
        let reply = too_large(client.origin, &head);
        return Ok(reply.into_response().await);
    };
    let is_stream = client.origin == Origin::Stream;
    services.shared.record.push(Recorded::new(
        client.connection,
        is_stream,
        &head,
        body.clone(),
    ));
    let mut response = match route(&services, client.origin, &head, &body).await {
        Outcome::Close => return Err(io::ErrorKind::ConnectionAborted.into()),
        Outcome::Live(response) => response,
        Outcome::Reply(reply) => reply.into_response().await,
        Outcome::Silence => std::future::pending().await,
        Outcome::Upgrade(reply, protocol) => {
            drop(services.shared.tasks.spawn(async move {
                if let Ok(connection) = upgrade.await {
                    protocol.serve(connection).await;
                }
            }));
            reply.into_response().await
        }
    };
    let Some(fault) = response.extensions_mut().remove::<Wire>() else {
        return Ok(response);
    };
    if head.version != Version::HTTP_2 {
        let path = head.uri.path().to_owned();
        let sent = Sent::collect(response, services.elsewhere.clone(), path).await;
        tap.plan(Plan::new(fault, &sent));
    }
    // Ends the HTTP server of this connection; the plan has the socket then.
    Err(io::ErrorKind::ConnectionAborted.into())
}

/// Reads a request's body; returns `None` if it is too large.
async fn read(body: Incoming) -> io::Result<Option<Bytes>> {
    // An announced length above the limit is refused before the body is read.
    let promised = body.size_hint().lower();
    if MAX_REQUEST < usize::try_from(promised).unwrap_or(usize::MAX) {
        return Ok(None);
    }
    match Limited::new(body, MAX_REQUEST).collect().await {
        Ok(body) => Ok(Some(body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Ok(None),
        Err(error) => Err(io::Error::other(error)),
    }
}
