//! Runs one fault of the simulator against the clients, over real sockets.

use std::{sync::Arc, time::Duration};

use inferstream::{
    ChatEvent, ChatRequest, Error, ErrorKind, Provider, Timeouts,
    cerebras::Cerebras,
    replicate::Replicate,
    transport::{HttpTransport, HttpTransportBuilder},
};
use inferstream_cablyai::CablyAi;
use inferstream_cloudflare::Cloudflare;
use inferstream_simulator::{Answer, Fault, PlaygroundProtocol, Simulator};

/// The text that the simulator sends; more than eight tokens, and beyond ASCII.
pub(crate) const TEXT: &str = "one two three four fünf 六 seven eight nine ten eleven twelve";

/// A timeout that a fault reaches.
pub(crate) const SOON: Duration = Duration::from_millis(800);

/// A protocol, by the client that speaks it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    /// The chat protocol with the end marker `[DONE]`.
    Marked,
    /// The chat protocol of Cerebras, without an end marker.
    Unmarked,
    WorkersAi,
    Replicate,
    Playground,
}

pub(crate) const PROTOCOLS: [Protocol; 5] = [
    Protocol::Marked,
    Protocol::Unmarked,
    Protocol::WorkersAi,
    Protocol::Replicate,
    Protocol::Playground,
];

/// What a caller and the server saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) end: Result<(), Error>,
    pub(crate) text: String,
    /// The number of ends: of items after which nothing came.
    pub(crate) finishes: usize,
    /// The requests for work: chats, inferences and creates.
    pub(crate) works: usize,
    /// The requests for streams of predictions.
    pub(crate) streams: usize,
    pub(crate) attempts: u32,
}

impl Seen {
    pub(crate) fn kind(&self) -> Option<ErrorKind> {
        self.end.as_ref().err().map(Error::kind)
    }
}

/// Runs one chat with one fault.
pub(crate) async fn run(fault: Fault, protocol: Protocol, timeouts: Timeouts) -> Seen {
    let is_tls = match &fault {
        Fault::Wire(wire) => wire.needs_tls(),
        _ => false,
    };
    let answer = Answer::text(TEXT).done_marker(protocol == Protocol::Marked);
    let simulator = Simulator::builder()
        .tls(is_tls)
        .playground(PlaygroundProtocol::V5)
        .fault(fault)
        .answer(answer.clone())
        .answer(answer)
        .start()
        .await
        .unwrap();
    ask(&simulator, protocol, timeouts).await
}

/// Sends one chat to a simulator, without a proxy.
async fn ask(simulator: &Simulator, protocol: Protocol, timeouts: Timeouts) -> Seen {
    let transport = HttpTransport::builder().no_proxy();
    ask_with(simulator, protocol, transport, timeouts).await
}

/// Sends one chat to a simulator.
pub(crate) async fn ask_with(
    simulator: &Simulator,
    protocol: Protocol,
    mut transport: HttpTransportBuilder,
    timeouts: Timeouts,
) -> Seen {
    if let Some(pem) = simulator.certificate_pem() {
        transport = transport.certificate_pem(pem);
    }
    let transport = transport.timeouts(timeouts).build().unwrap();
    let provider = provider(simulator, protocol, transport, timeouts);
    let mut request = ChatRequest::from("Count!");
    if protocol == Protocol::Marked {
        request.model = Some("any".to_owned());
    }
    let mut seen = Seen {
        end: Ok(()),
        text: String::new(),
        finishes: 0,
        works: 0,
        streams: 0,
        attempts: 0,
    };
    match provider.stream(request).await {
        Err(error) => {
            seen.attempts = error.attempts();
            seen.end = Err(error);
        }
        Ok(mut stream) => {
            seen.attempts = stream.meta().attempts;
            while let Some(event) = stream.next().await {
                assert!(seen.end.is_ok(), "an item after an error: {event:?}");
                match event {
                    Ok(ChatEvent::Text { text, .. }) => seen.text.push_str(&text),
                    Ok(ChatEvent::Finish { .. }) => seen.finishes += 1,
                    Ok(_) => {}
                    Err(error) => seen.end = Err(error),
                }
            }
            assert!(stream.next().await.is_none(), "an end is the end");
        }
    }
    let requests = simulator.requests();
    let streams = requests.iter().filter(|request| request.stream).count();
    let posts = requests.iter().filter(|request| request.method == "POST");
    seen.works = posts.count();
    seen.streams = streams;
    seen
}

fn provider(
    simulator: &Simulator,
    protocol: Protocol,
    transport: HttpTransport,
    timeouts: Timeouts,
) -> Arc<dyn Provider> {
    match protocol {
        Protocol::Marked => Arc::new(
            CablyAi::builder()
                .base_url(simulator.compatible_url())
                .api_key("key-of-the-test")
                .transport(transport)
                .timeouts(timeouts)
                .build()
                .unwrap(),
        ),
        Protocol::Unmarked => Arc::new(
            Cerebras::builder()
                .base_url(simulator.base_url())
                .behind_gateway()
                .api_key("key-of-the-test")
                .transport(transport)
                .timeouts(timeouts)
                .build()
                .unwrap(),
        ),
        Protocol::WorkersAi => Arc::new(
            Cloudflare::builder()
                .base_url(simulator.cloudflare_url())
                .account_id("00000000000000000000000000000000")
                .api_token("key-of-the-test")
                .transport(transport)
                .timeouts(timeouts)
                .build()
                .unwrap(),
        ),
        Protocol::Replicate => Arc::new(
            Replicate::builder()
                .base_url(simulator.replicate_url())
                .stream_origin(format!(
                    "{}://{}",
                    if simulator.certificate_pem().is_some() {
                        "https"
                    } else {
                        "http"
                    },
                    simulator.stream_authority()
                ))
                .api_key("key-of-the-test")
                .transport(transport)
                .timeouts(timeouts)
                .build()
                .unwrap(),
        ),
        Protocol::Playground => Arc::new(
            Cloudflare::builder()
                .playground()
                .base_url(simulator.playground_url())
                .transport(transport)
                .timeouts(timeouts)
                .build()
                .unwrap(),
        ),
    }
}
