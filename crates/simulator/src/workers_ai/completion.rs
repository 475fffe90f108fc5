//! The content of a Workers AI response, generated from the seed or scripted.

use fastrand::Rng;

use crate::{
    answer::Tokens,
    dice::{OFFSET, hash},
    speech::Speech,
    workers_ai::request::Request,
};

/// The earliest `created` time of a response: November 2025.
const EPOCH: u64 = 1_762_000_000;
/// The range of `created` times in seconds: about 200 days.
const AGE: u64 = 17_000_000;

/// The characters and lengths of a padding.
const PADDING: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const MIN_PADDING: usize = 8;
const MAX_PADDING: usize = 36;

/// The data of one response, before it is encoded.
#[derive(Debug)]
pub(super) struct Completion<'a> {
    pub(super) request: &'a Request,
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) speech: Speech,
    /// Whether the script sets a finish reason; otherwise the native protocol sends none.
    pub(super) tells_finish: bool,
    padding: Rng,
}

impl<'a> Completion<'a> {
    /// Generates a response from the seed.
    pub(super) fn generate(seed: u64, request: &'a Request) -> Self {
        let mut rng = dice(seed, request);
        let speech = Speech::generate(&mut rng, request.wish());
        Self::new(rng, request, speech)
    }

    /// Builds the scripted response.
    pub(super) fn scripted(seed: u64, request: &'a Request, script: &Tokens) -> Self {
        let mut rng = dice(seed, request);
        let speech = Speech::scripted(&mut rng, script);
        Self {
            tells_finish: script.finish_reason.is_some(),
            ..Self::new(rng, request, speech)
        }
    }

    fn new(mut rng: Rng, request: &'a Request, mut speech: Speech) -> Self {
        speech.limit(request.limit);
        Self {
            request,
            id: format!("{:032x}", rng.u128(..)),
            created: EPOCH + rng.u64(..AGE),
            speech,
            tells_finish: false,
            padding: rng,
        }
    }

    /// Generates a padding, which hides the length of a token.
    pub(super) fn padding(&mut self) -> String {
        let len = self.padding.usize(MIN_PADDING..=MAX_PADDING);
        let letters = (0..len).map(|_| PADDING[self.padding.usize(..PADDING.len())]);
        letters.map(char::from).collect()
    }
}

/// Returns the random generator for a request, the same with and without streaming.
fn dice(seed: u64, request: &Request) -> Rng {
    let seed = hash(&seed.to_le_bytes(), OFFSET);
    let seed = hash(&request.seed.to_le_bytes(), seed);
    let seed = hash(request.model.name.as_bytes(), seed);
    Rng::with_seed(hash(request.input_json.as_bytes(), seed))
}
