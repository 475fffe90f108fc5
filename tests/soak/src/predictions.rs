//! The predictions of Replicate: their documents, and streams that are opened again.

use std::io;

use fastrand::Rng;
use tokio::io::AsyncWriteExt;

use crate::{
    escape::{self, Escape},
    http1::{self, Request, Socket},
    plan::{Fault, Piece, Plan, Resume},
    script::{Ending, Script},
    server::{Shared, stream},
    text::INVALID,
    wire::Writer,
};

/// Returns the number of the stream whose prediction a path names.
pub(crate) fn number(path: &str) -> Option<u64> {
    let mut segments = path.split('/');
    segments.find_map(|segment| segment.strip_prefix("soak")?.parse().ok())
}

/// Returns the document of a new prediction.
pub(crate) fn created(shared: &Shared, plan: &Plan) -> String {
    let id = format!("soak{}", plan.number);
    let ports = shared.addresses;
    let (scheme, own, streams) = if plan.tls {
        ("https", ports.tls, ports.tls_streams)
    } else {
        ("http", ports.plain, ports.plain_streams)
    };
    let url = format!("{scheme}://127.0.0.1:{own}/v1/predictions/{id}");
    format!(
        "{{\"id\":\"{id}\",\"model\":\"a/b\",\"status\":\"starting\",\"output\":null,\"error\":null,\
         \"urls\":{{\"get\":\"{url}\",\"cancel\":\"{url}/cancel\",\
         \"stream\":\"{scheme}://127.0.0.1:{streams}/v1/streams/{id}\"}}}}"
    )
}

/// Responds to a request for a prediction or its stream. Returns true if the connection is kept.
pub(crate) async fn answer(
    shared: &Shared,
    socket: &mut impl Socket,
    request: &Request,
    number: u64,
) -> io::Result<bool> {
    let plan = Plan::new(shared.seed, number);
    let path = request.path.as_str();
    let response = if request.method == "POST" && path.ends_with("/cancel") {
        shared.count(number, |counts| counts.cancels += 1);
        http1::json("200 OK", "{}")
    } else if request.method != "GET" {
        shared.count(number, |counts| counts.others += 1);
        http1::json("405 Method Not Allowed", "{}")
    } else if path.starts_with("/v1/streams/") {
        let connection = shared.count(number, |counts| counts.streams += 1).streams;
        match connection {
            1 => return stream(shared, socket, &plan, &Script::new(&plan)).await,
            _ => match again(&plan, connection, request.header("last-event-id")) {
                Some(script) => return stream(shared, socket, &plan, &script).await,
                None if plan.resume == Resume::Gone => http1::json("410 Gone", "{}"),
                None => http1::json("500 Internal Server Error", "{}"),
            },
        }
    } else {
        let gets = shared.count(number, |counts| counts.gets += 1).gets;
        document(&plan, gets)
    };
    socket.write_all(&response).await?;
    socket.flush().await?;
    Ok(true)
}

/// Returns what a stream sends that is opened again; `None` for a refusal.
fn again(plan: &Plan, connection: u32, last_id: Option<&str>) -> Option<Script> {
    let last = last_id.and_then(|id| id.rsplit_once(':')?.1.parse::<usize>().ok());
    let after = last.map_or(0, |last| last + 1);
    let writer = Writer::new(plan, u64::from(connection));
    let same = "1690212292";
    let wire = match plan.resume {
        Resume::Gone | Resume::Unreadable => return None,
        Resume::Continue | Resume::Torn => writer.replicate(&plan.pieces, after, same),
        Resume::Differ => {
            let mut others = plan.pieces.clone();
            let text = "Another text.".to_owned();
            others.insert(
                0,
                Piece {
                    is_reasoning: false,
                    text,
                },
            );
            writer.replicate(&others, 0, "1690213292")
        }
        Resume::Renumber => writer.replicate(&plan.pieces, 0, "1690213292"),
        Resume::Replay => writer.replicate(&plan.pieces, 0, same),
    };
    let mut script = Script {
        sent: wire.bytes.len(),
        ending: Ending::Clean { extra: false },
        error: None,
        drop_after: 0,
        wire,
    };
    if plan.resume == Resume::Torn {
        let mut rng = plan.rng.clone();
        rng.seed(rng.get_seed() ^ u64::from(connection));
        script.sent = rng.usize(..=script.sent);
        if rng.bool() {
            script.ending = Ending::Fin;
        }
    }
    Some(script)
}

/// Returns a response with the prediction.
fn document(plan: &Plan, gets: u32) -> Vec<u8> {
    let id = format!("soak{}", plan.number);
    let is_cut = matches!(
        plan.fault,
        Some(Fault::BadChunk | Fault::CleanEnd | Fault::CutInside | Fault::Fin | Fault::Reset)
    );
    if is_cut && plan.resume == Resume::Unreadable {
        return http1::json("500 Internal Server Error", "{\"detail\":\"no\"}");
    }
    // Sometimes the document lags behind the stream.
    let is_going = gets == 1 && plan.number.is_multiple_of(8);
    let count = if is_going {
        plan.pieces.len() / 2
    } else {
        plan.pieces.len()
    };
    let mut output = Vec::new();
    let mut rng = Rng::with_seed(0);
    for piece in &plan.pieces[..count] {
        if !output.is_empty() {
            output.extend(b"\",\"");
        }
        let text = piece.text.replace(INVALID, "\u{fffd}");
        escape::json(&mut output, &text, Escape::Ascii, &mut rng);
    }
    let status = if is_going { "processing" } else { "succeeded" };
    let output = String::from_utf8_lossy(&output);
    let body = format!(
        "{{\"id\":\"{id}\",\"status\":\"{status}\",\"output\":[\"{output}\"],\"error\":null,\
         \"metrics\":{{\"input_token_count\":5,\"output_token_count\":7}}}}"
    );
    http1::json("200 OK", &body)
}
