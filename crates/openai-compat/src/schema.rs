//! A JSON schema in, what a service takes of it out, and a list of what was lost.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use inferstream_core::{
    ChatRequest, Error, ErrorKind, Json, ResponseFormat, Result, provider::LeftOut,
};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// What a service takes of JSON Schema.
///
/// The smallest set, which [`new`](Self::new) begins with, is what services with constrained
/// decoding share: `type`, `properties`, `required`, `items`, `prefixItems`, `anyOf`, `enum`, `$ref`
/// into `$defs`, `title` and `description`.
/// What says the same in other words is put in these, without loss: `const`, `nullable`, a list of
/// types, `definitions`, the tuples of older drafts, an `allOf` of one. `oneOf` becomes `anyOf`.
/// Any other keyword is left out, and listed unless it is a mere mark such as `$schema`.
/// Where the schema is to be obeyed to the letter (`strict`), every object is closed by
/// `"additionalProperties": false`.
/// The order of members stays, for models read it.
///
/// ```
/// use inferstream_openai_compat::SchemaRules;
///
/// let rules = SchemaRules::new().keywords(["minimum", "maximum"]).recursion(true);
/// # let _ = rules;
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SchemaRules {
    keywords: Vec<Cow<'static, str>>,
    recursion: bool,
}

impl SchemaRules {
    /// Begins with the smallest set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds keywords that the service takes too, such as `pattern`.
    #[must_use]
    pub fn keywords<T: Into<Cow<'static, str>>>(
        mut self,
        keywords: impl IntoIterator<Item = T>,
    ) -> Self {
        self.keywords.extend(keywords.into_iter().map(Into::into));
        self
    }

    /// Sets whether the service takes a schema that refers to itself: false. A request with one is
    /// refused where it does not, for nothing smaller says the same.
    #[must_use]
    pub fn recursion(mut self, takes: bool) -> Self {
        self.recursion = takes;
        self
    }

    /// Changes a request's schemas to what the service takes: that of the answer, and those of the
    /// tools that are strict.
    pub(crate) fn adapt(&self, request: &mut ChatRequest, left_out: &mut LeftOut) -> Result<()> {
        if let Some(ResponseFormat::JsonSchema { schema, strict, .. }) =
            &mut request.response_format
        {
            *schema = self.schema(schema, *strict == Some(true), "response_format", left_out)?;
        }
        for tool in &mut request.tools {
            if tool.strict == Some(true) {
                let place = format!("tools/{}", tool.name);
                tool.parameters = self.schema(&tool.parameters, true, &place, left_out)?;
            }
        }
        Ok(())
    }

    fn schema(
        &self,
        schema: &Json,
        closed: bool,
        place: &str,
        left_out: &mut LeftOut,
    ) -> Result<Json> {
        let mut writer = Writer {
            rules: self,
            closed,
            place,
            left_out,
            definition: None,
            refers: BTreeMap::new(),
        };
        let schema = writer.schema(schema.as_str(), "", 0)?;
        if !self.recursion {
            writer.check_recursion()?;
        }
        Ok(Json::from_text(schema.json()))
    }
}

/// The deepest that a schema is followed: far beyond what services take, and no danger to the stack.
const MAX_DEPTH: usize = 64;

/// Says nothing about what a value must be.
const MARKS: [&str; 3] = ["$schema", "$id", "$comment"];

/// Says something to the model, and nothing about what a value must be.
const ANNOTATIONS: [&str; 2] = ["title", "description"];

/// Those that go out as they came.
const KEPT: [&str; 4] = ["required", "enum", "title", "description"];

/// The types that keywords are about; others are about all.
const ABOUT: [(&str, &[&str]); 2] = [
    (
        "object",
        &["properties", "required", "additionalProperties"],
    ),
    ("array", &["items", "prefixItems"]),
];

/// A schema that is read and written again.
struct Writer<'a> {
    rules: &'a SchemaRules,
    /// Whether objects are closed.
    closed: bool,
    /// What the schema is of, for people.
    place: &'a str,
    left_out: &'a mut LeftOut,
    /// The definition that is being written.
    definition: Option<String>,
    /// Which definitions each one refers to.
    refers: BTreeMap<String, Vec<String>>,
}

/// The members of an object in the making, each with its JSON text.
#[derive(Clone, Debug, Default)]
struct Object(Vec<(String, String)>);

impl Object {
    fn set(&mut self, name: &str, json: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = json,
            None => self.0.push((name.to_owned(), json)),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        let member = self.0.iter().find(|(known, _)| known == name);
        member.map(|(_, json)| json.as_str())
    }

    fn json(&self) -> String {
        let members = self.0.iter();
        let members = members.map(|(name, json)| format!("{}:{json}", Json::from(name.as_str())));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }
}

impl Writer<'_> {
    fn schema(&mut self, json: &str, at: &str, depth: usize) -> Result<Object> {
        if MAX_DEPTH < depth {
            let message = format!("the schema of `{}` is nested too deep", self.place);
            return Err(Error::config(message));
        }
        let mut object = Object::default();
        // `true` says as much as `{}`.
        if json.trim() == "true" {
            return Ok(object);
        }
        let mut types = Types::default();
        for (name, value) in self.members(json, at)? {
            let (name, value) = (name.as_str(), value.get());
            let below = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            match name {
                "type" if value.starts_with('[') => types.list = read(value, self.place)?,
                "type" => {
                    types.list = vec![read(value, self.place)?];
                    object.set(name, value.to_owned());
                }
                "nullable" => types.or_null = value == "true",
                "properties" => object.set(name, self.map(value, &below, depth)?.json()),
                "$defs" | "definitions" => {
                    object.set("$defs", self.map(value, &below, depth)?.json());
                }
                "items" if value == "true" => {}
                "items" if value.starts_with('[') => {
                    object.set("prefixItems", self.list(value, &below, depth)?);
                }
                "items" if value == "false" => object.set(name, value.to_owned()),
                "items" => object.set(name, self.schema(value, &below, depth + 1)?.json()),
                "anyOf" | "oneOf" => object.set("anyOf", self.list(value, &below, depth)?),
                "prefixItems" => object.set(name, self.list(value, &below, depth)?),
                "const" => object.set("enum", format!("[{value}]")),
                "$ref" => object.set(name, self.reference(value)?),
                "additionalProperties" if self.closed => {
                    if value != "false" {
                        self.lose(at, name);
                    }
                }
                "additionalProperties" if value.starts_with('{') => {
                    object.set(name, self.schema(value, &below, depth + 1)?.json());
                }
                "additionalProperties" => object.set(name, value.to_owned()),
                _ if MARKS.contains(&name) => {}
                _ if KEPT.contains(&name) || self.rules.takes(name) => {
                    object.set(name, value.to_owned());
                }
                _ => self.lose(at, name),
            }
        }
        let is_object = types.list.iter().any(|kind| kind == "object");
        if self.closed && (is_object || object.get("properties").is_some()) {
            if object.get("properties").is_none() && object.get("anyOf").is_none() {
                object.set("properties", "{}".to_owned());
            }
            object.set("additionalProperties", "false".to_owned());
        }
        Ok(types.apply(object))
    }

    /// Returns an object's members, with those of an `allOf` of one before its own, which win.
    fn members<'a>(&mut self, json: &'a str, at: &str) -> Result<Vec<Member<'a>>> {
        let mut members = read::<Members<'_>>(json, self.place)?.0;
        while let Some(all) = members.iter().position(|(name, _)| name == "allOf") {
            let (_, all) = members.remove(all);
            let mut all = read::<Vec<&RawValue>>(all.get(), self.place)?;
            all.retain(|one| one.get() != "true");
            let inner = match all.as_slice() {
                [] => continue,
                [one] => read::<Members<'_>>(one.get(), self.place)?.0,
                _ => return Ok(self.without_all(members, at)),
            };
            let is_own = |name: &str| members.iter().any(|(own, _)| own == name);
            if inner
                .iter()
                .any(|(name, _)| is_own(name) && !ANNOTATIONS.contains(&&**name))
            {
                return Ok(self.without_all(members, at));
            }
            members.splice(..0, inner);
        }
        Ok(members)
    }

    /// Leaves out what several schemas say together, which nothing smaller says.
    fn without_all<'a>(&mut self, members: Vec<Member<'a>>, at: &str) -> Vec<Member<'a>> {
        self.lose(at, "allOf");
        members
    }

    /// Notes a keyword that is left out.
    fn lose(&mut self, at: &str, name: &str) {
        let field = format!("{}#{at}/{name}", self.place);
        let reason = "the service does not take this keyword of JSON Schema";
        self.left_out.detail(field, reason);
    }

    /// Writes an object whose values are schemas.
    fn map(&mut self, json: &str, at: &str, depth: usize) -> Result<Object> {
        let is_definitions = depth == 0 && (at == "/$defs" || at == "/definitions");
        let mut map = Object::default();
        for (name, value) in read::<Members<'_>>(json, self.place)?.0 {
            if is_definitions {
                self.definition = Some(name.clone());
            }
            let below = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            map.set(&name, self.schema(value.get(), &below, depth + 1)?.json());
        }
        if is_definitions {
            self.definition = None;
        }
        Ok(map)
    }

    /// Writes a list of schemas.
    fn list(&mut self, json: &str, at: &str, depth: usize) -> Result<String> {
        let list = read::<Vec<&RawValue>>(json, self.place)?;
        let list = list.iter().enumerate().map(|(index, value)| {
            let schema = self.schema(value.get(), &format!("{at}/{index}"), depth + 1)?;
            Ok(schema.json())
        });
        let list = list.collect::<Result<Vec<_>>>()?;
        Ok(format!("[{}]", list.join(",")))
    }

    /// Writes where a schema refers to, and notes it.
    fn reference(&mut self, json: &str) -> Result<String> {
        let place = self.place;
        let target = read::<String>(json, place)?;
        let Some(path) = ["#/$defs/", "#/definitions/"]
            .iter()
            .find_map(|begins| target.strip_prefix(begins))
        else {
            let what = match target.as_str() {
                "#" => "refers to itself",
                _ => "refers to what is not among its own `$defs`",
            };
            return Err(unsupported(format!("the schema of `{place}` {what}")));
        };
        if let Some(definition) = &self.definition {
            let name = path.split('/').next().unwrap_or_default();
            let name = name.replace("~1", "/").replace("~0", "~");
            self.refers
                .entry(definition.clone())
                .or_default()
                .push(name);
        }
        let target = format!("#/$defs/{path}");
        Ok(Json::from(target.as_str()).as_str().to_owned())
    }

    /// Refuses definitions that lead to themselves.
    fn check_recursion(&self) -> Result<()> {
        for start in self.refers.keys() {
            let mut seen = Vec::new();
            let mut open = vec![start];
            while let Some(name) = open.pop() {
                for next in self.refers.get(name).into_iter().flatten() {
                    if next == start {
                        let message = format!(
                            "the schema of `{}` refers to itself, by `#/$defs/{start}`",
                            self.place
                        );
                        return Err(unsupported(message));
                    }
                    if !seen.contains(&next) {
                        seen.push(next);
                        open.push(next);
                    }
                }
            }
        }
        Ok(())
    }
}

impl SchemaRules {
    fn takes(&self, keyword: &str) -> bool {
        self.keywords.iter().any(|known| known == keyword)
    }
}

/// The types that a value may have.
#[derive(Debug, Default)]
struct Types {
    list: Vec<String>,
    or_null: bool,
}

impl Types {
    /// Puts the types to what is said of a value: one as it is, several as alternatives.
    fn apply(mut self, mut object: Object) -> Object {
        let kind = |kind: &str| ("type".to_owned(), Json::from(kind).to_string());
        if self.or_null && !self.list.is_empty() && self.list.iter().all(|kind| kind != "null") {
            self.list.push("null".to_owned());
        }
        let branches = match self.list.as_slice() {
            [] if self.or_null => vec![object, Object(vec![kind("null")])],
            [] => return object,
            [one] => {
                if object.get("type").is_none() {
                    object.0.insert(0, kind(one));
                }
                return object;
            }
            several => {
                let branch = |one: &String| {
                    let own = object.0.iter().filter(|(name, _)| is_about(one, name));
                    Object([kind(one)].into_iter().chain(own.cloned()).collect())
                };
                several.iter().map(branch).collect()
            }
        };
        let branches = branches.iter().map(Object::json).collect::<Vec<_>>();
        Object(vec![(
            "anyOf".to_owned(),
            format!("[{}]", branches.join(",")),
        )])
    }
}

/// Returns true if a keyword says something about values of this type.
fn is_about(kind: &str, name: &str) -> bool {
    let mut others = ABOUT.iter().filter(|(about, _)| *about != kind);
    kind != "null" && name != "type" && !others.any(|(_, names)| names.contains(&name))
}

fn unsupported(message: String) -> Error {
    Error::new(ErrorKind::Unsupported, message + ", which is not taken")
}

/// Reads a part of a schema.
fn read<'a, T: Deserialize<'a>>(json: &'a str, place: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| {
        let message = format!("the schema of `{place}` is not a JSON schema");
        Error::config(message).with_source(error)
    })
}

type Member<'a> = (String, &'a RawValue);

/// The members of an object in their order.
struct Members<'a>(Vec<Member<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<Member<'de>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(InOrder).map(Self)
    }
}
