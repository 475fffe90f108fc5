//! The name of a model, which some services expect in the path of the URL.

use inferstream_core::{ChatRequest, RetryPolicy};
use proptest::prelude::*;

use super::{Service, wire};
use crate::support::block_on;

/// Returns the URL to which a service sends a request for a model, or `None` if it refuses the name.
fn url_of(service: Service, model: &str) -> Option<http::Uri> {
    let wire = wire();
    let request = ChatRequest::new(model)
        .user("Hi")
        .retry(RetryPolicy::never());
    drop(block_on(
        &wire.clock,
        service.provider(&wire).stream(request),
    ));
    wire.all().first().map(|request| request.uri().clone())
}

/// Checks that a name changes nothing but the part of the path that it belongs to.
#[track_caller]
fn check(service: Service, model: &str) {
    let Some(uri) = url_of(service, model) else {
        return;
    };
    let usual = service.hi().model.unwrap();
    let usual = url_of(service, &usual).unwrap();
    let place = |uri: &http::Uri| (uri.scheme().cloned(), uri.authority().cloned());
    assert_eq!(place(&uri), place(&usual), "{model:?}");
    assert_eq!(uri.query(), usual.query(), "{model:?}");
    let path = uri.path();
    let allowed = match service {
        Service::Native => {
            path.strip_prefix("/client/v4/accounts/0123456789abcdef0123456789abcdef/ai/run/")
        }
        Service::Replicate => path.strip_prefix("/v1/").and_then(|path| {
            let rest = path.strip_suffix("predictions")?;
            let kinds = ["models/", "deployments/", ""];
            kinds.iter().find_map(|kind| rest.strip_prefix(kind))
        }),
        _ => (path == usual.path()).then_some(""),
    };
    let Some(name) = allowed else {
        panic!("{model:?}: {path}");
    };
    // Each of them would make the path another one.
    let is_other = |part: &str| part == "." || part == ".." || part.contains(['%', '\\']);
    assert!(!name.split('/').any(is_other), "{model:?}: {path}");
    assert!(
        path.len() < 512 || path.contains(model),
        "{model:?}: {path}"
    );
}

const SERVICES: [Service; 5] = [
    Service::Native,
    Service::Replicate,
    Service::WorkersAi,
    Service::Compatible,
    Service::Playground,
];

#[test]
fn a_hostile_model_name_does_not_change_the_url() {
    let long = "a".repeat(10 << 10);
    let names = [
        "../../accounts",
        "@cf/../../../zones/b",
        "meta/..",
        "a/b/../../c",
        "a/b?x=1",
        "a/b#c",
        "a/b c",
        "a/b\0",
        "a/%2e%2e",
        "a\\b",
        "//evil.example/a",
        "https://evil.example/a/b",
        "@evil.example/a",
        "a/b\r\nhost: evil.example",
        &long,
        &format!("a/{long}"),
        &format!("@cf/a/{long}"),
    ];
    for service in SERVICES {
        for name in names {
            check(service, name);
        }
    }
}

proptest! {
    #[test]
    fn no_model_name_changes_the_host_or_the_path(
        name in "(@cf/|deployments/)?([a-z.]{1,3}[/:]?|[%?#@\\\\ \u{0}\r\n/.:]|\\PC){0,6}",
    ) {
        for service in SERVICES {
            check(service, &name);
        }
    }
}
