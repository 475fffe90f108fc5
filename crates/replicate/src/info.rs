//! Static data about Replicate: names, addresses and the default model.

use std::sync::LazyLock;

use inferstream_core::ProviderInfo;

pub(crate) const DEFAULT_MODEL: &str = "meta/meta-llama-3-70b-instruct";

/// Facts about Replicate, as of November 2026.
pub(crate) static INFO: LazyLock<ProviderInfo> = LazyLock::new(|| {
    let mut info = ProviderInfo::new("replicate", "Replicate", "https://replicate.com/");
    info.login_url = Some("https://replicate.com/account/api-tokens".into());
    info.key_variable = Some("REPLICATE_API_TOKEN".into());
    info.default_model = Some(DEFAULT_MODEL.into());
    info.models = &[DEFAULT_MODEL];
    info.model_aliases = &[("meta-llama/Meta-Llama-3-70B-Instruct", DEFAULT_MODEL)];
    info
});
