//! The definitions that references point to.

use std::collections::{HashMap, HashSet};

/// The definitions that references point to, in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Definitions<'a> {
    list: Vec<Definition<'a>>,
    /// Their positions, by JSON pointer.
    positions: HashMap<String, usize>,
    names: HashSet<String>,
    /// The definition that is being written; `None` is the root.
    current: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Definition<'a> {
    pub(super) json: &'a str,
    /// The JSON pointer to it in the original text.
    pub(super) at: String,
    /// Its name in `$defs`.
    pub(super) name: String,
    /// The definitions that it refers to.
    references: Vec<usize>,
}

impl<'a> Definitions<'a> {
    /// Returns the definition at a position; the references that are noted from now on are its own.
    pub(super) fn start(&mut self, position: usize) -> Option<&Definition<'a>> {
        self.current = Some(position);
        self.list.get(position)
    }

    /// Notes a reference from the current definition.
    pub(super) fn note(&mut self, json: &'a str, at: String) -> &Definition<'a> {
        let index = match self.positions.get(&at) {
            Some(&index) => index,
            None => self.add(json, at),
        };
        if let Some(current) = self.current {
            self.list[current].references.push(index);
        }
        &self.list[index]
    }

    fn add(&mut self, json: &'a str, at: String) -> usize {
        let own = match at.rsplit('/').next() {
            None | Some("") => "root".to_owned(),
            Some(own) => own.replace("~1", "/").replace("~0", "~"),
        };
        // A reference may point anywhere in a schema, so two of them may end in the same name.
        let mut name = own.clone();
        let mut number = 1;
        while !self.names.insert(name.clone()) {
            number += 1;
            name = format!("{own}{number}");
        }
        self.positions.insert(at.clone(), self.list.len());
        self.list.push(Definition {
            json,
            at,
            name,
            references: Vec::new(),
        });
        self.list.len() - 1
    }

    /// Returns names with the texts of all definitions, in the order of the original text.
    pub(super) fn in_order(&self, texts: Vec<String>) -> Vec<(String, String)> {
        let mut list = self.list.iter().zip(texts).collect::<Vec<_>>();
        list.sort_by_key(|(definition, _)| definition.json.as_ptr());
        let list = list.into_iter();
        list.map(|(definition, text)| (definition.name.clone(), text))
            .collect()
    }

    /// Returns the JSON pointer to a definition that refers to itself, also through others.
    pub(super) fn recursion(&self) -> Option<&str> {
        let count = self.list.len();
        let (mut is_done, mut is_on_path) = (vec![false; count], vec![false; count]);
        for start in 0..count {
            // A depth-first search without recursion: a chain of definitions may be long.
            let mut path = vec![(start, 0)];
            while let Some((index, next)) = path.last_mut() {
                let index = *index;
                is_on_path[index] = true;
                let references = &self.list[index].references;
                let after = references.get(*next).filter(|_| !is_done[index]);
                *next += 1;
                match after {
                    Some(&after) if is_on_path[after] => return Some(&self.list[after].at),
                    Some(&after) => path.push((after, 0)),
                    None => {
                        (is_done[index], is_on_path[index]) = (true, false);
                        path.pop();
                    }
                }
            }
        }
        None
    }
}
