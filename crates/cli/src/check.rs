//! What the flags and options say together.

use crate::args::Chat;

/// The members of a request that hold the token limit, as services and models name it.
const TOKEN_LIMIT: &[&str] = &[
    "max_completion_tokens",
    "max_length",
    "max_new_tokens",
    "max_output_tokens",
    "max_tokens",
    "max_tokens_to_sample",
    "n_predict",
    "num_predict",
];

/// Returns true if the user set a token limit, by the flag or by an option.
pub(crate) fn limits_tokens(args: &Chat) -> bool {
    let limits = |(name, value): &(String, inferstream::Json)| {
        TOKEN_LIMIT.contains(&name.as_str()) && value.as_str().trim() != "null"
    };
    args.max_tokens.is_some() || args.option.iter().any(limits)
}
