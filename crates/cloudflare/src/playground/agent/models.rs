//! An agent's list of models in, ours out.

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

/// How long the list may take once there is a connection.
const ANSWER: Duration = Duration::from_secs(30);

/// Asks for the models.
pub(crate) async fn models(requests: &Requests) -> Result<Vec<Model>> {
    let id = random();
    let asked = ChatRequest::default();
    let link = Link::new(requests.clone(), "", &asked, id.clone())?;
    let mut socket = link.call(encode::call("getModels", &id)).await?;
    let broken = || Error::protocol("the playground sent something else than its models");
    let models = Box::pin(async {
        loop {
            let received = socket.next().await.ok_or_else(broken)?;
            let Received::Message(message) = received? else {
                continue;
            };
            if MAX_LIST < message.len() {
                let text = format!("the list of models is larger than {MAX_LIST} bytes");
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

/// Reads the models that make text of a list of all, in the form of Workers AI.
fn read(list: &str) -> Option<Vec<Model>> {
    let list = serde_json::from_str::<Value>(list).ok()?;
    let makes_text = |model: &&Value| {
        let task = model["task"]["name"].as_str();
        task.is_none_or(|task| task == "Text Generation")
    };
    let models = list.as_array()?.iter().filter(makes_text);
    Some(models.filter_map(model).collect())
}
