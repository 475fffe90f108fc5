//! Event streams as services send them, and how they are split into reads.

use std::fmt::Write;

use bytes::Bytes;

/// A stream, split into reads.
pub struct Workload {
    pub name: &'static str,
    pub reads: Vec<Bytes>,
    pub frames: usize,
    pub bytes: usize,
}

/// The number of frames in a stream.
pub const FRAMES: usize = 1000;

pub const TOKENS: [&str; 8] = [
    " the", " quick", " brown", " fox", ",", " jumps", " over", " it.",
];
const LETTERS: [&str; 8] = [
    "数据",
    "流是",
    "一个",
    "быстр",
    "ый по",
    "ток é",
    "、",
    "に",
];

/// Returns all workloads, in the order of the table.
pub fn all() -> Vec<Workload> {
    let chunks = || (0..FRAMES).map(|at| chunk(TOKENS[at % 8], "\n")).collect();
    let letters = (0..FRAMES).map(|at| chunk(LETTERS[at % 8], "\n")).collect();
    let crlf = (0..FRAMES)
        .map(|at| chunk(TOKENS[at % 8], "\r\n"))
        .collect();
    let long = (0..16).map(|_| format!("data: {}\n\n", "x".repeat(64 << 10)));
    vec![
        cut("chunks of 330 B, reads of 16 KB", chunks(), 16 << 10),
        cut("chunks of 330 B, reads of 1.4 KB", chunks(), 1400),
        each("chunks of 330 B, one per read", chunks()),
        cut("chunks of 330 B, reads of 100 B", chunks(), 100),
        cut("chunks of 330 B, not ASCII, 1.4 KB", letters, 1400),
        cut("chunks of 330 B, CRLF, 16 KB", crlf, 16 << 10),
        cut("Replicate, 44 B, reads of 1.4 KB", predictions(), 1400),
        each("Replicate, 44 B, one per read", predictions()),
        cut("data of three lines, reads of 1.4 KB", lines(), 1400),
        cut("data of 64 KiB, reads of 16 KB", long.collect(), 16 << 10),
        cut("chunks of 330 B, reads of 1 B", chunks(), 1),
    ]
}

/// A chunk of the OpenAI protocol.
pub fn chunk(text: &str, end: &str) -> String {
    let mut data = format!(
        "data: {{\"id\":\"chatcmpl-8f1c2a64-7f5d-4c26-9a35-0d6f5a1f2b3c\",\"object\":\
         \"chat.completion.chunk\",\"created\":1732900000,\"model\":\"llama-3.3-70b\",\
         \"system_fingerprint\":\"fp_3a7c5be1d0\",\"choices\":[{{\"index\":0,\"delta\":\
         {{\"content\":\"{text}\"}},\"logprobs\":null,\"finish_reason\":null}}],\"usage\":null"
    );
    // The member with which services pad chunks to the same length.
    let padding = 327_usize.saturating_sub(data.len() + 18);
    let _ = write!(data, ",\"obfuscation\":\"{}\"}}", "a".repeat(padding));
    data + end + end
}

/// Events of Replicate's streams.
fn predictions() -> Vec<String> {
    let event = |at| {
        format!(
            "event: output\nid: 1732900{at:03}:0\ndata:{}\n\n",
            TOKENS[at % 8]
        )
    };
    (0..FRAMES).map(event).collect()
}

fn lines() -> Vec<String> {
    let event =
        |at| format!("data: {{\"a\": {at:04},\ndata:  \"text\": \" token\",\ndata: \"b\": 1}}\n\n");
    (0..FRAMES).map(event).collect()
}

pub fn cut(name: &'static str, events: Vec<String>, size: usize) -> Workload {
    let stream = Bytes::from(events.concat());
    let starts = (0..stream.len()).step_by(size);
    Workload {
        name,
        reads: starts
            .map(|start| stream.slice(start..stream.len().min(start + size)))
            .collect(),
        frames: events.len(),
        bytes: stream.len(),
    }
}

fn each(name: &'static str, events: Vec<String>) -> Workload {
    Workload {
        name,
        frames: events.len(),
        bytes: events.iter().map(String::len).sum(),
        reads: events
            .into_iter()
            .map(|event| Bytes::from(event).slice(..))
            .collect(),
    }
}
