//! The content of a message in its various forms, and the names of parts that events cannot carry.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;

use crate::lenient::{Lax, Lenient, List, object, parse};

/// The content of a message: text, or parts, some of which are reasoning.
///
/// An object without known text is an error, because it may contain text in a form that is not
/// known.
#[derive(Debug, Default)]
pub(crate) struct Content<'a> {
    pub(crate) text: Lax<'a>,
    reasoning: String,
    pub(crate) others: Others,
}

object! {
    /// A part of a content that is a list: `{"type":"text","text":…}`, Mistral's
    /// `{"type":"thinking","thinking":[{"type":"text","text":…}]}`, and Databricks'
    /// `{"type":"reasoning","summary":[{"type":"summary_text","text":…}]}` (BerriAI/litellm#9744).
    ContentPart {
        kind: Lax<'a> = "type",
        text: Lax<'a>,
        thinking: Lax<'a>,
        reasoning: Lax<'a>,
        summary: Lax<'a>,
    }
}

impl<'a> Content<'a> {
    /// Returns the text of the parts that are reasoning, if it is not empty.
    pub(crate) fn reasoning(&self) -> Option<&str> {
        Some(&*self.reasoning).filter(|text| !text.is_empty())
    }

    fn read(json: &'a str) -> serde_json::Result<Self> {
        let mut content = Self::default();
        match json.as_bytes().first() {
            Some(b'[') => {
                for part in parse::<List<&RawValue>>(json)?.0 {
                    content.add_part(part.get())?;
                }
            }
            Some(b'{') => {
                content.add_part(json)?;
                let is_lost = content.text.0.is_none() && content.reasoning.is_empty();
                if is_lost && !json[1..json.len() - 1].trim().is_empty() {
                    return Err(serde_json::Error::custom("content without text"));
                }
            }
            _ => content.text = Lax::read(json)?,
        }
        Ok(content)
    }

    fn add_part(&mut self, json: &'a str) -> serde_json::Result<()> {
        let part = match json.as_bytes().first() {
            Some(b'{') => parse::<ContentPart<'a>>(json)?,
            _ => ContentPart {
                text: Lax::read(json)?,
                ..ContentPart::default()
            },
        };
        let kind = part.kind.some().unwrap_or("text");
        let is_reasoning = ["thinking", "reasoning", "reasoning_text"].contains(&kind);
        let mut reasoning = part.thinking.some().or(part.reasoning.some());
        let mut text = part.text.some();
        if is_reasoning {
            reasoning = reasoning.or(text.take()).or(part.summary.some());
        }
        if reasoning.is_none() && text.is_none() && kind != "text" {
            self.others.add(kind);
        }
        self.reasoning.push_str(reasoning.unwrap_or_default());
        if let Some(text) = text {
            let so_far = self.text.0.get_or_insert(Cow::Borrowed(""));
            so_far.to_mut().push_str(text);
        }
        // An empty text counts as text, so that an object with it is not an error.
        if part.text.0.is_some() {
            self.text.0.get_or_insert(Cow::Borrowed(""));
        }
        Ok(())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        Content::read(json).map_err(D::Error::custom)
    }
}

/// OpenRouter's `reasoning_details`: a list of texts, summaries and encrypted parts.
#[derive(Debug, Default)]
pub(crate) struct Details(String);

object! {
    Detail {
        text: Lax<'a>,
        summary: Lax<'a>,
    }
}

impl Details {
    /// Returns the text that is not encrypted, if it is not empty.
    pub(crate) fn text(&self) -> Option<&str> {
        Some(&*self.0).filter(|text| !text.is_empty())
    }
}

impl<'de> Deserialize<'de> for Details {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let details = Lenient::<List<Lenient<Detail<'de>>>>::deserialize(deserializer)?.0;
        let texts = details.0.iter().map(|detail| &detail.0);
        let texts = texts.filter_map(|detail| detail.text.some().or(detail.summary.some()));
        Ok(Self(texts.collect()))
    }
}

/// The names of members and parts with content that is not of this protocol, such as images and
/// audio.
#[derive(Debug, Default)]
pub(crate) struct Others(pub(crate) Vec<String>);

impl Others {
    /// The most names that are kept; a message has one or two kinds of content.
    const MOST: usize = 4;

    pub(crate) fn note(&mut self, name: &str, json: &str) {
        // Other content comes as a list, an object, or base64 in a string. Other values are
        // metadata.
        let is_content = match json.as_bytes() {
            [b'[', .., b']'] | [b'{', .., b'}'] => !json[1..json.len() - 1].trim().is_empty(),
            [b'"', ..] => json.len() > 2 && (name.contains("audio") || name.contains("image")),
            _ => false,
        };
        if is_content {
            self.add(name);
        }
    }

    fn add(&mut self, name: &str) {
        if self.0.len() < Self::MOST {
            self.0.push(name.to_owned());
        }
    }
}
