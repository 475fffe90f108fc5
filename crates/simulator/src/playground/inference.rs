//! The content of one response of the playground.

use fastrand::Rng;

use crate::{
    answer::Tokens,
    dice::{OFFSET, hash},
    playground::request::Request,
    speech::Speech,
};

/// The data of one response, before it is encoded.
#[derive(Debug)]
pub(super) struct Inference {
    pub(super) id: String,
    pub(super) prompt_tokens: usize,
    /// The steps in order; at least one.
    pub(super) steps: Vec<Speech>,
}

impl Inference {
    pub(super) fn new(seed: u64, request: &Request, script: Option<&Tokens>) -> Self {
        let seed = hash(&seed.to_le_bytes(), OFFSET);
        let mut rng = Rng::with_seed(hash(request.input_json.as_bytes(), seed));
        let mut steps = match script {
            Some(_) => Vec::new(),
            None => vec![Speech::generate(&mut rng, request.wish())],
        };
        let mut next = script;
        while let Some(tokens) = next {
            steps.push(Speech::scripted(&mut rng, tokens));
            next = tokens.next.as_deref();
        }
        for step in &mut steps {
            step.limit(request.limit);
        }
        Self {
            id: format!("msg-{:016x}", rng.u64(..)),
            prompt_tokens: request.prompt_tokens,
            steps,
        }
    }
}
