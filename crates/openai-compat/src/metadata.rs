//! What a response has beside its choices: id, model, token usage and timing.

use inferstream_core::{ChatEvent, Timing, Usage, protocol::Events};

use crate::wire::Chunk;

/// The metadata of the chunks so far: of each kind the last.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    id: Option<String>,
    model: Option<String>,
    /// Most responses have none before their end, so these are not a part of the struct.
    usage: Option<Box<Usage>>,
    timing: Option<Box<Timing>>,
}

impl Metadata {
    /// Adds the token counts of a chunk, and reports them if they have changed.
    pub(crate) fn add_usage(&mut self, usage: Usage, events: &mut Events) {
        if self.usage.as_deref() != Some(&usage) {
            **self.usage.get_or_insert_default() = usage;
            events.push(ChatEvent::usage(usage));
        }
    }

    /// Adds the other metadata of a chunk, reports what has changed, and returns true if anything
    /// has.
    pub(crate) fn add(&mut self, chunk: &Chunk<'_>, events: &mut Events) -> bool {
        let id = changed(self.id.as_deref(), chunk.id.some()).map(str::to_owned);
        let model = changed(self.model.as_deref(), chunk.model.some()).map(str::to_owned);
        let timing = chunk.time_info.some().and_then(|info| info.times());
        let timing = changed(self.timing.as_deref().copied(), timing);
        let has_changed = id.is_some() || model.is_some() || timing.is_some();
        if id.is_some() {
            events.id.clone_from(&id);
            self.id = id;
        }
        if model.is_some() {
            events.model.clone_from(&model);
            self.model = model;
        }
        if let Some(timing) = timing {
            **self.timing.get_or_insert_default() = timing;
            events.push(ChatEvent::timing(timing));
        }
        has_changed
    }
}

/// Returns the new value if it differs from the known one.
fn changed<T: Copy + PartialEq>(known: Option<T>, new: Option<T>) -> Option<T> {
    new.filter(|new| known.as_ref() != Some(new))
}
