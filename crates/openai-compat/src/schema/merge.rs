//! A schema in the supported keywords, and the merge of two schemas that apply to the same value.

/// Keywords that describe a value to the model and do not restrict it.
pub(super) const ANNOTATIONS: [&str; 2] = ["title", "description"];

/// A schema whose keywords have these names: `const` is an `enum`, `oneOf` an `anyOf`, a tuple
/// `prefixItems`.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    /// The JSON pointer to it in the original text, for errors.
    pub(super) at: String,
    /// The length of the original text.
    pub(super) length: usize,
    /// The keywords in the order in which they are written; `None` is `false`, which no value
    /// matches.
    pub(super) keywords: Option<Vec<(String, Value)>>,
}

/// The value of a keyword.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// JSON text that is sent as it is.
    Text(String),
    /// The names of `type` and `required`, and the JSON texts of `enum`.
    Names(Vec<String>),
    Schema(Schema),
    List(Vec<Schema>),
    Properties(Vec<(String, Schema)>),
}

/// Schemas are equal if their keywords are: the position in the original text does not count.
impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.keywords == other.keywords
    }
}

impl Schema {
    pub(super) fn new(at: &str, length: usize) -> Self {
        let (at, keywords) = (at.to_owned(), Some(Vec::new()));
        Self {
            at,
            length,
            keywords,
        }
    }

    pub(super) fn get(&self, keyword: &str) -> Option<&Value> {
        let mut keywords = self.keywords.iter().flatten();
        keywords.find_map(|(name, value)| (name == keyword).then_some(value))
    }

    pub(super) fn take(&mut self, keyword: &str) -> Option<Value> {
        let keywords = self.keywords.as_mut()?;
        let position = keywords.iter().position(|(name, _)| name == keyword)?;
        Some(keywords.remove(position).1)
    }

    /// Returns the names in `type` or `required`, or the texts in `enum`.
    pub(super) fn names(&self, keyword: &str) -> &[String] {
        match self.get(keyword) {
            Some(Value::Names(names)) => names,
            _ => &[],
        }
    }

    pub(super) fn properties(&self) -> &[(String, Schema)] {
        match self.get("properties") {
            Some(Value::Properties(properties)) => properties,
            _ => &[],
        }
    }

    /// Returns true if it has keywords other than a reference and annotations.
    pub(super) fn restricts(&self) -> bool {
        let is_more =
            |name: &str| !ANNOTATIONS.contains(&name) && !matches!(name, "$defs" | "$ref");
        let mut keywords = self.keywords.iter().flatten();
        self.keywords.is_none() || keywords.any(|(name, _)| is_more(name))
    }

    /// Returns true if it restricts objects by more than `required`.
    pub(super) fn is_about_objects(&self) -> bool {
        match self.get("type") {
            Some(_) => self.names("type").iter().any(|name| name == "object"),
            None => self
                .get("properties")
                .or(self.get("additionalProperties"))
                .is_some(),
        }
    }

    /// Adds the keywords of a schema that applies to the same value; where annotations differ, the
    /// first one stays. Returns the keyword that cannot be merged, if there is one.
    pub(super) fn merge(&mut self, other: Self) -> Option<String> {
        self.length += other.length;
        // `additionalProperties` and `items` apply to what the keywords beside them leave over. After a
        // merge they would apply to other properties or elements, and the result would accept values
        // that one side forbids. So both sides need the same `items`, and neither may restrict
        // properties that only the other one names.
        if self.forbids_some_of(&other) || other.forbids_some_of(self) {
            return Some("additionalProperties".to_owned());
        }
        let elements = |schema: &Self| {
            let keywords = ["prefixItems", "items"].map(|name| schema.get(name).cloned());
            (keywords != [None, None]).then_some(keywords)
        };
        if let (Some(own), Some(others)) = (elements(self), elements(&other)) {
            if own != others {
                return Some("items".to_owned());
            }
        }
        let Some(keywords) = other.keywords else {
            // A value has to match both, and no value matches the other one.
            self.keywords = None;
            return None;
        };
        let mut keywords = keywords.into_iter();
        keywords.find_map(|(name, value)| (!self.add(&name, value)).then_some(name))
    }

    /// Returns true if it restricts additional properties, and the other schema has properties that
    /// are additional to its own.
    fn forbids_some_of(&self, other: &Self) -> bool {
        let is_named = |name: &String| self.properties().iter().any(|(own, _)| own == name);
        let mut names = other.properties().iter().map(|(name, _)| name);
        matches!(self.get("additionalProperties"), Some(Value::Schema(_))) && !names.all(is_named)
    }

    /// Adds a keyword, and returns false if it cannot be merged with the one that is there.
    pub(super) fn add(&mut self, name: &str, value: Value) -> bool {
        let Some(keywords) = &mut self.keywords else {
            // No value matches already, so nothing can restrict it further.
            return true;
        };
        let known = keywords.iter_mut().find(|(known, _)| known == name);
        let Some((_, known)) = known else {
            keywords.push((name.to_owned(), value));
            return true;
        };
        if ANNOTATIONS.contains(&name) || *known == value {
            return true;
        }
        match (name, known, value) {
            ("type", Value::Names(known), Value::Names(names)) => {
                // Both lists contain `integer` wherever they contain `number`, so that the types in
                // common are the names in common.
                known.retain(|name| names.contains(name));
                if known.is_empty() {
                    self.keywords = None;
                }
            }
            ("required", Value::Names(known), Value::Names(names)) => known.extend(names),
            ("allOf", Value::List(known), Value::List(list)) => known.extend(list),
            ("properties", Value::Properties(known), Value::Properties(list)) => {
                for (name, schema) in list {
                    match known.iter_mut().find(|(own, _)| *own == name) {
                        None => known.push((name, schema)),
                        Some((_, own)) if *own == schema => {}
                        Some((_, own)) => {
                            // The writer merges the two when it writes the property: only it can
                            // resolve their references.
                            let mut both = Self::new(&own.at, own.length + schema.length);
                            both.add("allOf", Value::List(vec![own.clone(), schema]));
                            *own = both;
                        }
                    }
                }
            }
            // `true` restricts nothing, so the other side decides.
            ("additionalProperties", known, value) if *known == Value::Text("true".to_owned()) => {
                *known = value;
            }
            ("additionalProperties", _, Value::Text(_)) => {}
            // Two different `enum`, `items`, `anyOf` or other keywords: no keyword expresses both.
            _ => return false,
        }
        true
    }
}
