//! The phrases that prose must not contain, and the folders that still contain some.

/// A banned phrase and what to write instead.
///
/// A phrase matches whole words, across line breaks, and in any case. One that starts with a capital
/// letter matches only as written.
pub(super) const PHRASES: &[(&str, &str)] = &[
    ("anew", "again"),
    ("are none", "are invalid, or are missing"),
    ("became of", "the result of"),
    ("become of", "how … is handled"),
    ("becomes of", "how … is handled"),
    ("for ever", "forever, or without a limit"),
    ("heed", "respect"),
    ("heeding", "respecting"),
    ("heeds", "respects"),
    ("how freely", "the sampling temperature"),
    ("is none", "is invalid, or is missing"),
    ("it looks like", "expected"),
    ("let go of", "dropped"),
    ("lets go of", "drops"),
    ("limit on time", "timeout"),
    ("limits on time", "timeouts"),
    ("many who", "callers that"),
    ("no whole", "incomplete"),
    ("nobody knows", "is unknown"),
    ("nobody waits for", "is dropped, or is abandoned"),
    ("opened no way", "refused the tunnel"),
    ("shun", "penalize"),
    ("stand in", "be in, or replace"),
    ("stands in", "is in, or replaces"),
    ("stood in", "was in, or replaced"),
    ("take up again", "resume"),
    ("taken up again", "resumed"),
    ("takes up again", "resumes"),
    ("tell of", "report"),
    ("tells of", "reports"),
    ("the limit of tokens", "the token limit"),
    ("thoughts", "reasoning"),
    ("to let go", "to drop"),
    ("told apart", "distinguished"),
    ("took up again", "resumed"),
    ("wants to see a browser", "returned a browser challenge"),
    ("was none", "was invalid, or was missing"),
    ("were none", "were invalid, or were missing"),
    ("whoever", "callers that, or programs that"),
    ("Who", "Callers that, or programs that"),
];

/// Folders that still contain banned phrases, and how many at most. Lower the counts when you remove
/// some; the aim is an empty table.
pub(super) const REMAINING: &[(&str, usize)] = &[
    (".", 10),
    ("crates/cablyai", 2),
    ("crates/cerebras", 8),
    ("crates/cli", 1),
    ("crates/client", 10),
    ("crates/cloudflare", 80),
    ("crates/core", 58),
    ("crates/inferstream", 1),
    ("crates/openai-compat", 22),
    ("crates/replicate", 51),
    ("crates/session", 6),
    ("crates/simulator", 7),
    ("tests", 15),
];
