//! The list of an agent's models.

use std::time::Duration;

use inferstream_client::within;
use inferstream_core::{ChatRequest, Error, ErrorKind, Model, Result};
use serde_json::Value;

use super::{
    encode,
    link::Link,
    socket::{Received, random},
    wire::reply_to,
};
use crate::{
    models::model,
    playground::requests::{MAX_LIST, Requests},
};

/// The timeout for the list once the connection is open.
const ANSWER: Duration = Duration::from_secs(30);

/// Requests the models.
pub(crate) async fn models(requests: &Requests) -> Result<Vec<Model>> {
    let id = random();
    let asked = ChatRequest::default();
    let link = Link::new(requests.clone(), "", asked, id.clone())?;
    let mut socket = link.call(encode::call("getModels", &id)).await?;
    let broken =
        || Error::protocol("invalid list of models from the playground: expected a JSON list");
    let models = Box::pin(async {
        loop {
            let received = socket.next().await.ok_or_else(broken)?;
            let Received::Message(message) = received? else {
                continue;
            };
            if MAX_LIST < message.len() {
                let text = format!("list of models too large: expected at most {MAX_LIST} bytes");
                return Err(Error::new(ErrorKind::TooLarge, text));
            }
            let message = String::from_utf8_lossy(&message);
            match reply_to(&message, &id) {
                None => {}
                Some(Ok(result)) => return read(result.json()).ok_or_else(broken),
                Some(Err(_)) => return Err(broken()),
            }
        }
    });
    within(&**link.transport(), ANSWER, models).await?
}

/// Parses the list, which has the format of Workers AI, and keeps the text-generation models.
fn read(list: &str) -> Option<Vec<Model>> {
    let list = serde_json::from_str::<Value>(list).ok()?;
    let makes_text = |model: &&Value| {
        let task = model["task"]["name"].as_str();
        task.is_none_or(|task| task == "Text Generation")
    };
    let models = list.as_array()?.iter().filter(makes_text);
    Some(models.filter_map(model).collect())
}
