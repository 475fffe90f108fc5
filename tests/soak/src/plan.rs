//! The plan of one stream, which the server and the client compute from the same seed.

use fastrand::Rng;

use crate::{
    escape::Escape,
    text::{self, INVALID},
};

/// Everything that is decided about one stream.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) number: u64,
    pub(crate) protocol: Protocol,
    pub(crate) tls: bool,
    /// The reasoning, and then the text.
    pub(crate) pieces: Vec<Piece>,
    /// How many of the last pieces come after the finish reason.
    pub(crate) late: usize,
    pub(crate) style: Style,
    pub(crate) framing: Framing,
    pub(crate) fault: Option<Fault>,
    /// What a Replicate stream does when it is opened again.
    pub(crate) resume: Resume,
    /// The size of the largest write.
    pub(crate) write: usize,
    pub(crate) has_delays: bool,
    /// For decisions that depend on the bytes.
    pub(crate) rng: Rng,
}

#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) is_reasoning: bool,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Protocol {
    Cerebras,
    Compatible,
    /// The playground's data stream.
    Lines,
    /// The playground's UI message stream.
    Messages,
    /// The playground's oldest event stream.
    Oldest,
    Replicate,
    WorkersAi,
}

const PROTOCOLS: [Protocol; 7] = [
    Protocol::Cerebras,
    Protocol::Compatible,
    Protocol::Lines,
    Protocol::Messages,
    Protocol::Oldest,
    Protocol::Replicate,
    Protocol::WorkersAi,
];

/// How events are written.
#[derive(Clone, Copy, Debug)]
// The flags are independent of each other.
#[allow(clippy::struct_excessive_bools)]
pub(crate) struct Style {
    pub(crate) escape: Escape,
    /// `None` for a random one for each event.
    pub(crate) line_end: Option<&'static str>,
    pub(crate) bom: bool,
    pub(crate) comments: bool,
    /// A space after `data:`.
    pub(crate) space: bool,
    pub(crate) usage: bool,
    /// A finish reason where the protocol does not require one.
    pub(crate) finish: bool,
    /// Ids of events.
    pub(crate) ids: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    Chunked,
    Close,
    Length,
}

/// The fault of a stream.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Fault {
    /// An invalid chunk size.
    BadChunk,
    /// An event with invalid JSON.
    BadJson,
    /// Invalid UTF-8 in a piece of text.
    BadUtf8,
    /// A clean end of the HTTP body between two events.
    CleanEnd,
    /// Thousands of comments.
    CommentBurst,
    /// A clean end of the HTTP body at any byte.
    CutInside,
    /// The client drops the stream while the server waits.
    Dropped,
    /// An error as the protocol reports it.
    ErrorObject,
    /// More events after the end, or bytes after the HTTP response.
    ExtraBytes,
    /// The connection closes before the end of the HTTP body.
    Fin,
    /// Only comments arrive any more.
    HeartBeat,
    Reset,
    /// Nothing arrives any more.
    Stall,
}

const FAULTS: [Fault; 12] = [
    Fault::BadChunk,
    Fault::BadJson,
    Fault::BadUtf8,
    Fault::CleanEnd,
    Fault::CommentBurst,
    Fault::CutInside,
    Fault::ErrorObject,
    Fault::ExtraBytes,
    Fault::Fin,
    Fault::HeartBeat,
    Fault::Reset,
    Fault::Stall,
];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Resume {
    /// The events after `Last-Event-ID`.
    Continue,
    /// Another text, but the prediction has the first one.
    Differ,
    /// A refusal, but the prediction can be read.
    Gone,
    /// All events with other ids.
    Renumber,
    /// All events with the same ids.
    Replay,
    /// Further cuts.
    Torn,
    /// Failures of the stream and of the prediction.
    Unreadable,
}

const RESUMES: [Resume; 7] = [
    Resume::Continue,
    Resume::Differ,
    Resume::Gone,
    Resume::Renumber,
    Resume::Replay,
    Resume::Torn,
    Resume::Unreadable,
];

/// The mean number of events.
const MEAN: f64 = 100.0;

/// The most events, which a geometric distribution does not limit.
const MOST: u32 = 2_000;

impl Plan {
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let salt = rng.u64(..);
        let mut rng = Rng::with_seed(salt ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let protocol = *text::choice(&mut rng, &PROTOCOLS);
        let mut pieces = pieces(&mut rng, protocol);
        let mut late = 0;
        if protocol.has_late_text() && rng.u8(..10) == 0 {
            let texts = pieces.iter().filter(|piece| !piece.is_reasoning).count();
            late = rng.usize(..texts.clamp(1, 5));
        }
        let mut framing = match rng.u8(..3) {
            0 => Framing::Chunked,
            1 => Framing::Close,
            _ => Framing::Length,
        };
        let fault = fault(&mut rng, protocol);
        match fault {
            Some(Fault::BadUtf8) => {
                let at = rng.usize(..pieces.len());
                text::insert(&mut rng, &mut pieces[at].text, INVALID);
            }
            Some(Fault::BadChunk | Fault::HeartBeat) => framing = Framing::Chunked,
            _ => {}
        }
        Self {
            number,
            protocol,
            tls: rng.u8(..10) == 0,
            pieces,
            late,
            style: Style::new(&mut rng, protocol),
            framing,
            fault,
            resume: *text::choice(&mut rng, &RESUMES),
            write: 1 << rng.u32(..15),
            has_delays: rng.u8(..5) == 0,
            rng,
        }
    }
}

fn fault(rng: &mut Rng, protocol: Protocol) -> Option<Fault> {
    match rng.u8(..20) {
        0 => Some(Fault::Dropped),
        1..11 => Some(match text::choice(rng, &FAULTS) {
            // Its text is not JSON.
            Fault::BadJson if protocol == Protocol::Replicate => Fault::CutInside,
            fault => *fault,
        }),
        _ => None,
    }
}

fn pieces(rng: &mut Rng, protocol: Protocol) -> Vec<Piece> {
    let steps = (1.0 - rng.f64()).ln() / (1.0 - 1.0 / MEAN).ln();
    // A cast from `f64` saturates, and NaN is 0.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let count = (steps as u32).clamp(1, MOST);
    let reasoning = match rng.u8(..3) {
        0 if protocol.has_reasoning() => rng.u32(..count),
        _ => 0,
    };
    let has_returns = protocol != Protocol::Replicate;
    let piece = |at| Piece {
        is_reasoning: at < reasoning,
        text: text::piece(rng, has_returns),
    };
    (0..count).map(piece).collect()
}

impl Style {
    fn new(rng: &mut Rng, protocol: Protocol) -> Self {
        Self {
            escape: match rng.u8(..3) {
                0 => Escape::Least,
                1 => Escape::Ascii,
                _ => Escape::Some,
            },
            line_end: match (protocol, rng.u8(..6)) {
                (Protocol::Lines, 0) | (_, 1) => Some("\r\n"),
                (Protocol::Lines, _) => Some("\n"),
                (_, 2) => Some("\r"),
                (_, 3) => None,
                _ => Some("\n"),
            },
            bom: rng.u8(..20) == 0,
            comments: rng.u8(..4) == 0,
            space: protocol == Protocol::Replicate || rng.bool(),
            usage: rng.bool(),
            finish: rng.bool(),
            ids: rng.u8(..10) != 0,
        }
    }
}

impl Protocol {
    pub(crate) fn has_reasoning(self) -> bool {
        !matches!(self, Self::Oldest | Self::Replicate)
    }

    /// Returns true if text may follow the finish reason.
    fn has_late_text(self) -> bool {
        matches!(
            self,
            Self::Cerebras | Self::Compatible | Self::Lines | Self::Messages
        )
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cerebras => "Cerebras",
            Self::Compatible => "compatible",
            Self::Lines => "playground, data stream",
            Self::Messages => "playground, UI message stream",
            Self::Oldest => "playground, oldest",
            Self::Replicate => "Replicate",
            Self::WorkersAi => "Workers AI, native",
        }
    }
}

impl Fault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BadChunk => "invalid chunk size",
            Self::BadJson => "invalid JSON",
            Self::BadUtf8 => "invalid UTF-8",
            Self::CleanEnd => "clean end between events",
            Self::CommentBurst => "comment burst",
            Self::CutInside => "clean end at any byte",
            Self::Dropped => "dropped by the client",
            Self::ErrorObject => "error object",
            Self::ExtraBytes => "bytes after the end",
            Self::Fin => "FIN",
            Self::HeartBeat => "comments only",
            Self::Reset => "RST",
            Self::Stall => "stall",
        }
    }

    /// Returns true if the client has short timeouts.
    pub(crate) fn is_silent(self) -> bool {
        matches!(self, Self::HeartBeat | Self::Stall)
    }
}
