//! Generated text about the topic of a prompt.

use fastrand::Rng;

/// Common words that are not used as the topic.
const COMMON: [&str; 40] = [
    "about",
    "answer",
    "because",
    "could",
    "describe",
    "does",
    "explain",
    "from",
    "give",
    "have",
    "into",
    "know",
    "like",
    "long",
    "make",
    "me",
    "please",
    "sentence",
    "sentences",
    "short",
    "should",
    "some",
    "something",
    "story",
    "tale",
    "tell",
    "than",
    "that",
    "their",
    "there",
    "this",
    "what",
    "when",
    "where",
    "which",
    "with",
    "word",
    "words",
    "would",
    "write",
];

/// The maximum length of a topic in bytes.
const MAX_TOPIC: usize = 24;

/// The parts of a story in order, each with its variants; `{}` is the topic.
const STORY: [&[&str]; 6] = [
    &[
        "Once, in a harbour town where it rained on most days, there lived a girl who cared for nothing but {}.",
        "In a house on the last hill before the sea, an old man kept all he knew of {}.",
        "Nobody in the village spoke of {} any more, until a stranger came with a wooden box.",
    ],
    &[
        " Each morning someone went down to the water and wrote one word on a slip of paper.",
        " The first winter was hard, and the lamp in the window burned low.",
        " The children asked about it, and got another answer each day.",
    ],
    &[
        " One night the wind took the roof of the boathouse, and with it every page.",
        " Then a letter came, with no name on it and a stamp from far away.",
        " At the café by the quay — the only warm room — people began to talk.",
    ],
    &[
        " \"It will come back,\" said the harbour master, \"but not all at once.\"",
        " \"Read it slowly,\" said the baker, \"or you will miss the end.\"",
        " \"Wait,\" said the clockmaker, \"half a story is worse than none.\"",
    ],
    &[
        " So they waited, and word by word the pages drifted in with the tide.",
        " So it was read aloud, one line each evening, and nobody left before the last.",
        " So they mended the net, counted the boats, and looked at the sky again.",
    ],
    &[
        " In spring all of it was there, and they pinned it up where everyone could see.",
        " And when it was done, they shut the book and put the kettle on.",
        " What they learned of {} that year is told there to this day.",
    ],
];

/// The first sentence of a text, which says that it is simulated.
const OPENINGS: [&str; 3] = [
    "A simulator made up these words about {}; no model was asked.",
    "Nobody has thought about {} here: this is a simulator, and these are only its words.",
    "You asked about {}, and a simulator answers with words that it drew from a seed.",
];

/// The sentences after the first, in any order.
const MIDDLES: [&str; 9] = [
    " Tokens arrive one by one, and each is shown as soon as it is whole.",
    " The first of them matters most, since it is the one that a reader waits for.",
    " A stream may break at any moment, so half an answer must never pass for a whole one.",
    " The tokens before a fault are kept, and the fault is called by its name.",
    " The same seed brings the same words again, which is just what a test wants.",
    " Some letters take two bytes or more — think of a café — and a cut between them does no harm.",
    " Nothing of this leaves the machine: the wire is real, the network is not.",
    " Another seed gives another text.",
    " Every event is a line of text, a blank line ends it, and the next one may take its time.",
];

/// The last sentence of a text.
const ENDINGS: [&str; 3] = [
    " That is all there is to say about {}; the numbers follow.",
    " So much for {}: a finish reason and the usage come next.",
    " With that the answer is whole, and the last event says so.",
];

const THOUGHTS: [&str; 3] = [
    "The user wants to hear about {}. A few plain sentences will do.",
    "This is about {}. I should keep it short, and end it properly.",
    "A question on {}. No need for a list; some sentences are enough.",
];

/// Generates a text of 60 to 120 tokens; a story if the prompt asks for one.
pub(crate) fn answer(rng: &mut Rng, prompt: &str) -> String {
    let topic = topic(prompt);
    let lower = prompt.to_lowercase();
    let sentences = if lower.contains("story") || lower.contains("tale") {
        STORY.map(|variants| pick(rng, variants)).concat()
    } else {
        let mut middles = MIDDLES;
        rng.shuffle(&mut middles);
        let [first, second, third, fourth, ..] = middles;
        [
            pick(rng, &OPENINGS),
            first,
            second,
            third,
            fourth,
            pick(rng, &ENDINGS),
        ]
        .concat()
    };
    sentences.replace("{}", topic)
}

/// Generates the reasoning before the text.
pub(crate) fn reasoning(rng: &mut Rng, prompt: &str) -> String {
    pick(rng, &THOUGHTS).replace("{}", topic(prompt))
}

/// Returns the topic of a prompt: its longest word that is not a common one.
pub(crate) fn topic(prompt: &str) -> &str {
    let words = prompt
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| (3..=MAX_TOPIC).contains(&word.len()))
        .filter(|word| !COMMON.contains(&word.to_lowercase().as_str()));
    // Reversed because `max_by_key` returns the last of equal elements.
    words
        .rev()
        .max_by_key(|word| word.chars().count())
        .unwrap_or("this")
}

fn pick<'a>(rng: &mut Rng, variants: &[&'a str]) -> &'a str {
    variants[rng.usize(..variants.len())]
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::{answer, topic};
    use crate::tokens;

    #[test]
    fn a_text_is_60_to_120_tokens_long() {
        for seed in 0..500 {
            for prompt in [
                "What is internationalisation?",
                "Why is the sky blue?",
                "Tell me a story about a lighthouse.",
            ] {
                let count = tokens::split(&answer(&mut Rng::with_seed(seed), prompt)).len();
                assert!((60..=120).contains(&count), "{prompt} {seed}: {count}");
            }
        }
    }

    #[test]
    fn the_topic_is_the_longest_word() {
        assert_eq!(
            topic("Tell me a story about a Lighthouse keeper!"),
            "Lighthouse"
        );
        assert_eq!(topic("Why is the sky blue?"), "blue");
        assert_eq!(topic("2 + 2"), "this");
    }
}
