//! A schema in, its keywords, choices and references out: all that holds for the same value.

use std::rc::Rc;

use inferstream_core::Result;

use super::{
    source::{Part, Source, pointer},
    sum::Node,
    types,
};

/// The deepest that a schema is followed: far beyond what services take, and no danger to the stack.
pub(super) const MAX_DEPTH: usize = 64;

/// Takes schemas apart.
pub(super) struct Taker<'a, 'b> {
    pub(super) source: Source<'a, 'b>,
}

/// What holds for the same value.
#[derive(Clone, Debug, Default)]
pub(super) struct Conjunction<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) choices: Vec<Choice<'a>>,
    pub(super) references: Vec<Part<'a>>,
    /// What stands in place of references, by its number.
    pub(super) inlined: Vec<usize>,
    /// How long the text of it is.
    pub(super) length: usize,
    /// No value is valid.
    pub(super) is_nothing: bool,
}

/// Schemas of which one at least must hold.
#[derive(Clone, Debug)]
pub(super) struct Choice<'a> {
    pub(super) keyword: &'static str,
    /// Where the schema stands that has it.
    pub(super) at: Rc<str>,
    pub(super) alternatives: Vec<Part<'a>>,
}

impl<'a> Taker<'a, '_> {
    pub(super) fn take_all(&self, parts: Vec<Part<'a>>, depth: usize) -> Result<Conjunction<'a>> {
        let mut all = Conjunction::default();
        for part in parts {
            self.take(part, &mut all, depth)?;
        }
        Ok(all)
    }

    /// Adds what a schema says; what its `allOf` has comes first.
    pub(super) fn take(
        &self,
        part: Part<'a>,
        all: &mut Conjunction<'a>,
        depth: usize,
    ) -> Result<()> {
        self.check_depth(depth)?;
        match part.json {
            // It says as much as `{}`.
            "true" => return Ok(()),
            "false" => {
                all.is_nothing = true;
                return Ok(());
            }
            _ => {}
        }
        let Part { json, at, has_null } = part;
        all.length += json.len();
        let members = self.source.members(json, &at)?;
        let is_nullable = |(name, json): &(String, &str)| name == "nullable" && *json == "true";
        if !has_null && members.iter().any(is_nullable) {
            let own = Part {
                json,
                at: Rc::clone(&at),
                has_null: true,
            };
            let null = Part::new(types::NULL, Rc::clone(&at));
            all.choices.push(Choice {
                keyword: "nullable",
                at,
                alternatives: vec![own, null],
            });
            return Ok(());
        }
        let mut own = Vec::with_capacity(members.len());
        for (name, json) in members {
            let below = || pointer(&at, &name);
            let rest = match name.as_str() {
                "nullable" => continue,
                "allOf" => {
                    for part in self.source.list(json, &below())? {
                        self.take(part, all, depth + 1)?;
                    }
                    continue;
                }
                "anyOf" | "oneOf" => {
                    let alternatives = self.source.list(json, &below())?;
                    if alternatives.is_empty() {
                        return Err(self.source.not_a_schema(&below()));
                    }
                    all.choices.push(Choice {
                        keyword: if name == "oneOf" { "oneOf" } else { "anyOf" },
                        at: Rc::clone(&at),
                        alternatives,
                    });
                    // It keeps its place among the others.
                    ""
                }
                "$ref" => {
                    all.references.push(Part::new(json, below()));
                    ""
                }
                _ => json,
            };
            own.push((name, rest));
        }
        all.nodes.push(Node {
            at,
            members: Rc::new(own),
        });
        Ok(())
    }

    pub(super) fn check_depth(&self, depth: usize) -> Result<()> {
        if MAX_DEPTH < depth {
            return Err(self.source.too_deep());
        }
        Ok(())
    }
}
