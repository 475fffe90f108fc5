//! Checks that the members of a provider's table belong to its kind.

use super::format::Table;
use crate::kind::Kind;

/// A member's name, and whether it is given.
type Member = (&'static str, bool);

impl Table {
    /// Returns the kind, which [`Config::parse`](super::Config::parse) has set.
    pub(crate) fn kind(&self) -> Kind {
        self.kind.unwrap_or(Kind::OpenaiCompat)
    }

    /// Sets the kind, and refuses members of other kinds.
    pub(super) fn settle(&mut self, name: &str) -> Result<(), String> {
        let Some(kind) = self.kind.or_else(|| Kind::find(name)) else {
            let names = Kind::names();
            return Err(format!(
                "missing `kind` of the provider `{name}`: expected one of {names}"
            ));
        };
        self.kind = Some(kind);
        let problem = self.foreign(kind).or_else(|| self.conflict());
        match problem {
            None => Ok(()),
            Some((member, why)) => Err(format!(
                "invalid member `{member}` of the provider `{name}`: {why}"
            )),
        }
    }

    /// Returns a member of another kind, and the reason why it is invalid.
    fn foreign(&self, kind: Kind) -> Option<(&'static str, String)> {
        let cerebras: &[Member] = &[
            ("behind_gateway", self.behind_gateway.is_some()),
            ("cookies", self.cookies.is_some()),
        ];
        let cloudflare: &[Member] = &[
            ("account", self.account.is_some()),
            ("agent", self.agent.is_some()),
            ("gateway", self.gateway.is_some()),
            ("gateway_token", self.gateway_token.is_some()),
            ("playground", self.playground.is_some()),
            ("session_file", self.session_file.is_some()),
        ];
        let compatible: &[Member] = &[
            ("asks_for_usage", self.asks_for_usage.is_some()),
            ("max_tokens_field", self.max_tokens_field.is_some()),
            ("reasoning_field", self.reasoning_field.is_some()),
        ];
        let replicate: &[Member] = &[("stream_origins", !self.stream_origins.is_empty())];
        let owners = [
            ("cerebras", kind == Kind::Cerebras, cerebras),
            ("cloudflare", kind == Kind::Cloudflare, cloudflare),
            ("openai-compat", kind.is_compatible(), compatible),
            ("replicate", kind == Kind::Replicate, replicate),
        ];
        let foreign = owners.iter().filter(|(_, is_own, _)| !is_own);
        let mut foreign = foreign.flat_map(|(owner, _, members)| {
            let given = members.iter().filter(|(_, is_given)| *is_given);
            given.map(move |(member, _)| (*member, *owner))
        });
        let (member, owner) = foreign.next()?;
        let kind = kind.name();
        let why = format!("it belongs to the kind {owner}, and the kind is {kind}");
        Some((member, why))
    }

    /// Returns a member that conflicts with another, and the reason why it is invalid.
    fn conflict(&self) -> Option<(&'static str, String)> {
        let no_playground = (
            self.playground != Some(true),
            "requires `playground = true`",
            &[
                ("agent", self.agent == Some(true)),
                ("session_file", self.session_file.is_some()),
            ][..],
        );
        let playground = (
            self.playground == Some(true),
            "the playground does not have it",
            &[
                ("account", self.account.is_some()),
                ("api_key", self.api_key.is_some()),
                ("gateway", self.gateway.is_some()),
            ][..],
        );
        let no_gateway = (
            self.gateway.is_none(),
            "requires `gateway`",
            &[("gateway_token", self.gateway_token.is_some())][..],
        );
        let rules: [(bool, &str, &[Member]); 3] = [no_playground, playground, no_gateway];
        let broken = rules.iter().filter(|(applies, ..)| *applies);
        let mut broken = broken.flat_map(|(_, why, members)| {
            let given = members.iter().filter(|(_, is_given)| *is_given);
            given.map(move |(member, _)| (*member, (*why).to_owned()))
        });
        broken.next()
    }
}
