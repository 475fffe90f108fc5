//! The content of a chat completion, generated from the seed or scripted.

use fastrand::Rng;

use crate::{
    answer::Tokens,
    chat::request::ChatRequest,
    dice::{OFFSET, hash},
    speech::Speech,
};

/// The earliest `created` time of a response: November 2025.
const EPOCH: u64 = 1_762_000_000;
/// The range of `created` times in seconds: about 200 days.
const AGE: u64 = 17_000_000;

/// The data of one response, before it is encoded.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) fingerprint: String,
    pub(crate) prompt_tokens: usize,
    /// One for each requested choice.
    pub(crate) choices: Vec<Speech>,
    pub(crate) times: Times,
    pub(crate) done_marker: bool,
}

/// The reported durations in seconds.
#[derive(Debug)]
pub(crate) struct Times {
    pub(crate) queue: f64,
    pub(crate) prompt: f64,
    pub(crate) completion: f64,
    pub(crate) total: f64,
    pub(crate) created: f64,
}

impl Completion {
    /// Generates a response from the seed.
    pub(crate) fn generate(seed: u64, request: &ChatRequest) -> Self {
        let mut rng = dice(seed, request);
        let choices = (0..request.choices).map(|_| generate(&mut rng.fork(), request));
        let choices = choices.collect();
        Self::new(&mut rng, request, choices)
    }

    /// Builds the scripted response, repeated for each requested choice.
    pub(crate) fn scripted(seed: u64, request: &ChatRequest, script: &Tokens) -> Self {
        let mut rng = dice(seed, request);
        let choices = (0..request.choices).map(|_| Speech::scripted(&mut rng, script));
        let choices = choices.collect();
        Self {
            done_marker: script.done_marker,
            ..Self::new(&mut rng, request, choices)
        }
    }

    fn new(rng: &mut Rng, request: &ChatRequest, choices: Vec<Speech>) -> Self {
        let created = EPOCH + rng.u64(..AGE);
        let tokens: usize = choices.iter().map(Speech::tokens).sum();
        Self {
            id: id(rng),
            created,
            model: request.model.clone(),
            fingerprint: fingerprint(&request.model),
            prompt_tokens: request.prompt_tokens,
            times: Times::new(rng, created, request.prompt_tokens, tokens),
            choices,
            done_marker: false,
        }
    }

    /// Counts the tokens of all choices.
    pub(crate) fn tokens(&self) -> usize {
        self.choices.iter().map(Speech::tokens).sum()
    }

    /// Counts the reasoning tokens of all choices.
    pub(crate) fn reasoning_tokens(&self) -> usize {
        self.choices
            .iter()
            .map(|choice| choice.reasoning.len())
            .sum()
    }
}

impl Times {
    fn new(rng: &mut Rng, created: u64, prompt_tokens: usize, tokens: usize) -> Self {
        // Nanoseconds, so that the numbers have as many digits as recorded ones.
        let queue = rng.u32(100_000..2_000_000);
        let prompt = per_token(prompt_tokens, rng.u32(20_000..60_000));
        let completion = per_token(tokens, rng.u32(400_000..800_000));
        let overhead = rng.u32(1_000_000..4_000_000);
        let total = [queue, prompt, completion, overhead]
            .into_iter()
            .fold(0, u32::saturating_add);
        let whole = u32::try_from(created).unwrap_or(u32::MAX);
        Self {
            queue: seconds(queue),
            prompt: seconds(prompt),
            completion: seconds(completion),
            total: seconds(total),
            created: f64::from(whole) + f64::from(rng.u32(1..1_000_000)) / 1e6,
        }
    }
}

fn generate(rng: &mut Rng, request: &ChatRequest) -> Speech {
    let mut speech = Speech::generate(rng, request.wish());
    speech.limit(request.limit);
    speech.stop(&request.stops);
    speech
}

fn per_token(tokens: usize, nanoseconds: u32) -> u32 {
    u32::try_from(tokens)
        .unwrap_or(u32::MAX)
        .saturating_mul(nanoseconds)
}

fn seconds(nanoseconds: u32) -> f64 {
    f64::from(nanoseconds) / 1e9
}

/// Returns the random generator for a request, the same with and without streaming.
fn dice(seed: u64, request: &ChatRequest) -> Rng {
    let seed = hash(&seed.to_le_bytes(), OFFSET);
    let seed = hash(&request.seed.to_le_bytes(), seed);
    let seed = hash(request.model.as_bytes(), seed);
    Rng::with_seed(hash(request.messages_json.as_bytes(), seed))
}

fn id(rng: &mut Rng) -> String {
    let (first, second, third) = (rng.u32(..), rng.u16(..), rng.u16(..));
    let (fourth, last) = (rng.u16(..), rng.u64(..1 << 48));
    format!("chatcmpl-{first:08x}-{second:04x}-{third:04x}-{fourth:04x}-{last:012x}")
}

fn fingerprint(model: &str) -> String {
    let hash = hash(model.as_bytes(), OFFSET);
    format!("fp_{hash:016x}{:04x}", hash & 0xffff)
}
