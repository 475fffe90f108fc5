//! The playground's protocol since October 2025: a WebSocket to an agent.
//!
//! The agent sends the chunks of the UI message stream, each in its own message. They are converted
//! to the event stream of the previous page: see [`turn`](self::turn).

mod address;
mod decode;
mod encode;
mod link;
mod models;
mod replay;
mod socket;
mod turn;
mod wire;

use std::sync::Arc;

use inferstream_client::Dropped;
use inferstream_core::{Body, ChatRequest, ChatStream, Result, protocol::read_stream};

pub(super) use self::models::models;
use self::{decode::AgentDecode, link::Link, socket::random, turn::Turn};
use super::{
    framer::PlaygroundFrames,
    requests::{Kept, Requests, model},
};

/// Starts a turn with a new agent, and returns the stream of its response.
pub(super) async fn open(requests: &Requests, mut request: ChatRequest) -> Result<ChatStream> {
    let model = model(&request).to_owned();
    let id = random();
    let (messages, dropped) = encode::turn(&model, &mut request, &id)?;
    let raw = request.raw;
    let link = Arc::new(Link::new(requests.clone(), &model, request, id)?);

    let (mut started, lease) = link.begin(messages).await?;
    started.meta.warnings.extend(dropped.warnings());
    started.body = Body::new(Turn::new(Arc::clone(&link)));
    let decode = AgentDecode::new(link, raw);
    let decode = Kept::new(decode, requests.clone(), lease);
    Ok(read_stream(started, PlaygroundFrames::default(), decode))
}

/// Returns the settings that would be dropped from the request.
pub(super) fn check(requests: &Requests, request: &mut ChatRequest) -> Result<Dropped> {
    let model = model(request).to_owned();
    let (_, dropped) = encode::turn(&model, request, &random())?;
    link::check(requests, request)?;
    Ok(dropped)
}
