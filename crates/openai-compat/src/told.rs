//! A reader for the errors that services report, in their various forms, and their classification.

use std::time::Duration;

use inferstream_core::{ErrorKind, provider::read_duration};

use crate::{
    lenient::{self, Lax, List, Raw},
    wire::{self, Detail, ErrorObject},
};

/// What a service reported about an error.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) message: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) status: Option<u64>,
    /// How long to wait before the next attempt.
    pub(crate) wait: Option<Duration>,
    /// All codes and types, at any depth.
    words: Vec<String>,
    /// The meaning of the service's own error number.
    known: Option<ErrorKind>,
    /// The exceeded limit is a limit per day.
    is_daily: bool,
}

impl Told {
    /// Reads `{"error":{…}}`, `{"error":"…"}`, the flat object, `{"errors":[…]}`, `{"detail":…}`,
    /// `{"code":…,"msg":…}`, the forms of single services, any of these in an array, or plain text.
    ///
    /// Text after the first JSON value is ignored.
    pub(crate) fn read(text: &str) -> Self {
        let mut told = Self::read_nested(text.trim(), 0);
        if let Some(message) = &told.message {
            told.wait = told.wait.or(wait_in(&message.to_lowercase()));
        }
        told.is_daily |= told.says(&["per day", "per-day", "daily"]);
        told
    }

    fn read_nested(text: &str, depth: u32) -> Self {
        const DEEPEST: u32 = 4;
        if depth == DEEPEST {
            return Self::default();
        }
        match text.as_bytes().first() {
            Some(b'{') => match lenient::first::<ErrorObject<'_>>(text) {
                Some(object) => Self::of_object(&object, depth),
                None => Self::default(),
            },
            Some(b'[') => {
                let list = lenient::first::<Vec<Raw<'_>>>(text).unwrap_or_default();
                let first = list.first().and_then(Raw::text);
                first.map_or_else(Self::default, |text| Self::read_nested(text, depth + 1))
            }
            Some(b'"') => {
                let message = lenient::first::<Lax<'_>>(text);
                let message = message.and_then(|text| text.some().map(str::to_owned));
                Self {
                    message,
                    ..Self::default()
                }
            }
            None | Some(b'<') => Self::default(),
            Some(_) if matches!(text, "null" | "true" | "false") => Self::default(),
            Some(_) => Self {
                message: Some(text.to_owned()),
                ..Self::default()
            },
        }
    }

    fn of_object(object: &ErrorObject<'_>, depth: u32) -> Self {
        let own = |lax: &Lax<'_>| lax.some().map(str::to_owned);
        let mut told = Self::default();
        for raw in [
            &object.error,
            &object.errors,
            &object.detail,
            &object.x_groq,
        ] {
            if let Some(text) = raw.text() {
                told.add(Self::read_nested(text, depth + 1));
            }
        }
        let status = object.status_code.count();
        told.add(Self {
            message: own(&object.message)
                .or(own(&object.error_message))
                .or(own(&object.msg))
                .or(own(&object.error_msg)),
            kind: own(&object.kind),
            code: own(&object.code).or(own(&object.error_code)),
            status: status.or(object.status.some().and_then(|status| status.parse().ok())),
            words: own(&object.status).into_iter().collect(),
            known: object.error_code.some().and_then(of_baidu),
            ..Self::default()
        });
        let base = object.base_resp.some().unwrap_or_default();
        if base.is_error() {
            told.add(Self {
                message: own(&base.status_msg),
                code: own(&base.status_code),
                known: base.status_code.some().and_then(of_minimax),
                ..Self::default()
            });
        }
        if let Some(details) = object.details.text() {
            told.add_details(details);
        }
        if let Some(metadata) = object.metadata.text() {
            told.add_metadata(metadata, depth);
        }
        told
    }

    /// Adds what another part of the same error reports, without replacing anything.
    fn add(&mut self, mut other: Self) {
        let words = [&other.code, &other.kind];
        self.words.extend(words.into_iter().flatten().cloned());
        self.words.append(&mut other.words);
        self.message = self.message.take().or(other.message);
        self.kind = self.kind.take().or(other.kind);
        self.code = self.code.take().or(other.code);
        self.status = self.status.or(other.status);
        self.wait = self.wait.or(other.wait);
        self.known = self.known.or(other.known);
        self.is_daily |= other.is_daily;
    }

    /// Adds the details of Google's API: a reason, the wait, and the exceeded quota.
    fn add_details(&mut self, details: &str) {
        // "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
        self.is_daily |= details.contains("PerDay");
        let list = lenient::parse::<List<Detail<'_>>>(details).unwrap_or_default();
        for detail in list.0 {
            self.words.extend(detail.reason.some().map(str::to_owned));
            let wait = detail.retry_delay.some().and_then(read_duration);
            self.wait = self.wait.or(wait);
        }
    }

    /// Adds what `OpenRouter` passes on from the upstream service.
    fn add_metadata(&mut self, metadata: &str, depth: u32) {
        let Ok(metadata) = lenient::parse::<wire::Metadata<'_>>(metadata) else {
            return;
        };
        let seconds = metadata.retry_after_seconds.0;
        self.wait = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        self.words
            .extend(metadata.error_type.some().map(str::to_owned));
        let mut upstream = match metadata.raw.text() {
            Some(raw) => Self::read_nested(raw, depth + 1),
            None => return,
        };
        // The upstream error is often JSON in a string.
        if let Some(text) = upstream.message.take() {
            upstream = Self::read_nested(text.trim(), depth + 1);
        }
        let message = match (self.message.take(), upstream.message.take()) {
            (Some(own), Some(upstream)) if !own.contains(&upstream) => {
                Some(format!("{own}: {upstream}"))
            }
            (own, upstream) => own.or(upstream),
        };
        self.message = message;
        self.add(upstream);
    }

    /// Returns true if a code or a type is one of these words, in any case.
    fn is(&self, words: &[&str]) -> bool {
        let is = |own: &String| words.iter().any(|word| own.eq_ignore_ascii_case(word));
        self.words.iter().any(is)
    }

    /// Returns true if the message contains one of these phrases, which are in lower case.
    fn says(&self, phrases: &[&str]) -> bool {
        let message = self.message.as_deref().unwrap_or_default().to_lowercase();
        phrases.iter().any(|phrase| message.contains(phrase))
    }

    /// Returns the kind of an error, given its kind by the HTTP status, or `Provider` for an error
    /// inside a response.
    ///
    /// What the service reports is more precise than an unspecific status such as 400, 403, 429 or
    /// 500, but does not override a specific one (401, 402, 404).
    pub(crate) fn kind_over(&self, status: ErrorKind) -> ErrorKind {
        use ErrorKind::{
            Auth, ContentFilter, ContextLength, InvalidRequest, Overloaded, Permission, Provider,
            Quota, RateLimited, Server,
        };
        match (status, self.kind_by_words()) {
            // Inside a response, a failure of the service is `Provider`, whatever status it names.
            (Provider, Some(Overloaded)) => Provider,
            (InvalidRequest | Provider, Some(kind))
            | (
                Overloaded | Permission | RateLimited | Server,
                Some(kind @ (Auth | ContentFilter | ContextLength | Quota | RateLimited)),
            ) => kind,
            (InvalidRequest, None) if self.is_transient() => match self.number() {
                Some(429) => RateLimited,
                _ => Server,
            },
            (Provider, None) => self.kind_by_number().unwrap_or(Provider),
            (status, _) => status,
        }
    }

    fn kind_by_words(&self) -> Option<ErrorKind> {
        let table = [
            (ErrorKind::Quota, QUOTA.0, &[][..]),
            (ErrorKind::RateLimited, RATE.0, &[]),
            (ErrorKind::Quota, &[], QUOTA.1),
            (ErrorKind::ContextLength, CONTEXT.0, CONTEXT.1),
            (ErrorKind::ContentFilter, FILTER.0, FILTER.1),
            (ErrorKind::Auth, AUTH.0, AUTH.1),
            (ErrorKind::RateLimited, &[], RATE.1),
            (ErrorKind::Permission, PERMISSION.0, PERMISSION.1),
            (ErrorKind::NotFound, MODEL.0, MODEL.1),
            (ErrorKind::Overloaded, OVERLOADED.0, OVERLOADED.1),
        ];
        let mut table = table.into_iter();
        let row = table.find(|(_, words, phrases)| self.is(words) || self.says(phrases));
        self.known.or(row.map(|(kind, ..)| kind))
    }

    /// Returns the kind by the status that the service names, or `None` for a failure of the
    /// service (5xx).
    fn kind_by_number(&self) -> Option<ErrorKind> {
        Some(match self.number()? {
            400 | 413 | 422 => ErrorKind::InvalidRequest,
            401 => ErrorKind::Auth,
            402 => ErrorKind::Quota,
            403 => ErrorKind::Permission,
            404 => ErrorKind::NotFound,
            429 => ErrorKind::RateLimited,
            _ => return None,
        })
    }

    /// Returns the HTTP status that the service names, as the status or as the code.
    pub(crate) fn number(&self) -> Option<u64> {
        let code = self.code.as_deref().and_then(|code| code.parse().ok());
        let mut numbers = self.status.into_iter().chain(code);
        numbers.find(|number| (400..600).contains(number))
    }

    /// Returns true if the service reports a temporary failure.
    pub(crate) fn is_transient(&self) -> bool {
        self.is(&["server_error", "internal_error"])
            || self.is(OVERLOADED.0)
            || self
                .number()
                .is_some_and(|number| number == 429 || 500 <= number)
    }

    /// Returns true for a limit that an immediate retry would exceed again: a limit per day, or a
    /// limit that the request exceeds on its own (Groq and OpenAI: "Request too large for model
    /// …").
    pub(crate) fn is_over_limit_for_long(&self) -> bool {
        self.is_daily || self.says(&["request too large"])
    }
}

/// The codes and types, and the phrases of messages, that stand for a kind. They are from the
/// documentation of OpenAI and of compatible services, and from public reports of errors.
type Marks = (&'static [&'static str], &'static [&'static str]);

const QUOTA: Marks = (
    &[
        "arrearage",
        "billing_hard_limit_reached",
        "billing_not_active",
        "exceeded_current_quota_error",
        "insufficient_balance",
        "insufficient_credits",
        "insufficient_quota",
        "insufficient_user_quota",
        "not_enough_balance",
        "payment_required",
    ],
    &[
        "balance insufficient",
        "balance is insufficient",
        "balance is low",
        "balance is not enough",
        "balance is too low",
        "balance too low",
        "credit balance",
        "credit limit exceeded",
        "exceeded your current quota",
        "insufficient balance",
        "insufficient credit",
        "insufficient fund",
        "insufficient quota",
        "low balance",
        "not enough balance",
        "not enough credit",
        "out of credit",
        "requires more credits",
        "余额不足",
        "欠费",
    ],
);

const RATE: Marks = (
    &[
        "rate_limit_error",
        "rate_limit_exceeded",
        "rate_limit_reached_error",
        "rate_limited",
        // Google uses it for limits per minute and per day.
        "resource_exhausted",
        "throttling",
        "throttling.ratequota",
        "too_many_requests",
        "too_many_requests_error",
    ],
    &[
        "rate limit",
        "rate-limit",
        "request limit reached",
        "too many requests",
    ],
);

const CONTEXT: Marks = (
    &[
        "characters_too_long",
        "context_length_exceeded",
        "exceed_context_size_error",
        "tokens_too_long",
    ],
    &[
        "context length",
        "context size",
        "context window",
        "context_length",
        "input token count",
        "input is too long",
        "max input characters",
        "maximum allowed input length",
        "maximum prompt length",
        "prompt is too long",
        "prompt tokens too long",
        "reduce the length",
        "too many prompt tokens",
    ],
);

const FILTER: Marks = (
    &[
        "content_filter",
        "content_policy_violation",
        "data_inspection_failed",
    ],
    &[],
);

const AUTH: Marks = (
    &[
        "api_key_invalid",
        "authentication_error",
        "incorrect_api_key",
        "invalid_api_key",
        "invalid_authentication_error",
        "invalidapikey",
        "unauthenticated",
    ],
    &[
        "api key is invalid",
        "api key not found",
        "api key not valid",
        "incorrect api key",
        "invalid api key",
        "invalid api-key",
    ],
);

const PERMISSION: Marks = (&["permission_denied", "permission_error"], &[]);

const MODEL: Marks = (&["model_not_found", "not_found_error"], &[]);

const OVERLOADED: Marks = (
    &["engine_overloaded_error", "overloaded", "overloaded_error"],
    &[],
);

/// Returns the kind of a `status_code` of `MiniMax`, by its table of error codes.
fn of_minimax(code: &str) -> Option<ErrorKind> {
    Some(match code {
        "1002" | "1039" | "1041" => ErrorKind::RateLimited,
        "1004" | "2049" => ErrorKind::Auth,
        "1008" => ErrorKind::Quota,
        "1026" | "1027" => ErrorKind::ContentFilter,
        _ => return None,
    })
}

/// Returns the kind of an `error_code` of Baidu Qianfan, by its table of error codes.
fn of_baidu(code: &str) -> Option<ErrorKind> {
    Some(match code {
        "4" | "17" | "18" | "19" => ErrorKind::RateLimited,
        "6" => ErrorKind::Permission,
        "13" | "14" | "110" | "111" => ErrorKind::Auth,
        _ => return None,
    })
}

/// Reads a wait from a message in lower case: "Please try again in 7m12.3s.", "retry in 20
/// seconds".
fn wait_in(message: &str) -> Option<Duration> {
    let starts = ["try again in ", "retry in ", "retry after "];
    let (_, rest) = starts.iter().find_map(|start| message.split_once(start))?;
    let mut words = rest.split_whitespace();
    let mut next = || {
        words
            .next()
            .map(|word| word.trim_end_matches(['.', ',', ')']))
    };
    let amount = next()?;
    if amount.ends_with(|char: char| char.is_ascii_digit()) {
        return read_duration(&format!("{amount} {}", next()?));
    }
    read_duration(amount)
}
