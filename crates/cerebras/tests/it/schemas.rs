//! Tests that a strict service accepts the JSON schemas that the client rewrites.

use std::time::{Duration, SystemTime};

use http::{Request, Response, Uri};
use inferstream_cerebras::{
    Body, BoxFuture, Cerebras, ChatRequest, ErrorKind, HttpTransport, Json, OnUnsupported,
    ResponseFormat, Result, Timer, Tool, Transport,
};
use inferstream_simulator::Simulator;
use serde_json::{Value, json};

/// A transport that sends requests for the service's host to the simulator.
#[derive(Debug)]
struct Detour {
    transport: HttpTransport,
    authority: String,
}

impl Transport for Detour {
    fn send(
        &self,
        mut request: Request<bytes::Bytes>,
    ) -> BoxFuture<'static, Result<Response<Body>>> {
        let path = request.uri().path();
        let uri = format!("http://{}{path}", self.authority);
        *request.uri_mut() = uri.parse::<Uri>().unwrap();
        self.transport.send(request)
    }

    fn detach(&self, task: BoxFuture<'static, ()>) {
        self.transport.detach(task);
    }
}

impl Timer for Detour {
    fn now(&self) -> Duration {
        self.transport.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.transport.sleep(duration)
    }

    fn system_time(&self) -> SystemTime {
        self.transport.system_time()
    }
}

async fn start() -> (Simulator, Cerebras) {
    let simulator = Simulator::builder().start().await.unwrap();
    let detour = Detour {
        transport: HttpTransport::builder().no_proxy().build().unwrap(),
        authority: simulator.address().to_string(),
    };
    let builder = Cerebras::builder().api_key("csk-own").transport(detour);
    (simulator, builder.build().unwrap())
}

/// Schemas that libraries generate: pydantic, zod, schemars, OpenAPI 3.0.
fn schemas() -> Vec<Value> {
    let film = json!({
        "title": "Film", "type": "object",
        "properties": {
            "title": { "type": "string", "minLength": 1, "title": "Title" },
            "year": { "anyOf": [{ "type": "integer" }, { "type": "null" }], "default": null },
            "rating": { "type": "number", "exclusiveMinimum": 0, "maximum": 10 },
            "tags": { "type": "array", "items": { "type": "string" }, "uniqueItems": true },
            "cast": { "$ref": "#/$defs/Person", "description": "The actors." },
            "pair": { "type": "array", "prefixItems": [{ "type": "null" }], "maxItems": 1,
                "items": false },
        },
        "required": ["title"],
        "$defs": { "Person": {
            "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"],
        } },
    });
    let shape = json!({
        "$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
        "properties": {
            "one": { "oneOf": [
                { "type": "object", "properties": { "kind": { "const": "a", "type": "string" } },
                    "required": ["kind"] },
                { "type": "object", "properties": { "kind": { "const": "b", "type": "string" },
                    "of": { "$ref": "#/definitions/Of" } }, "required": ["kind"] },
            ] },
            "two": { "type": ["string", "null"], "enum": ["x", null] },
            "both": { "allOf": [
                { "type": "object", "properties": { "a": { "type": "string" } } },
                { "type": "object", "properties": { "b": { "type": "string" } } },
            ] },
            "free": { "type": "object", "additionalProperties": { "type": "string" } },
        },
        "definitions": {
            "Of": { "type": ["string", "null"] },
            "Unused": { "items": { "$ref": "#/definitions/Unused" } },
        },
    });
    let pet = json!({
        "type": "object",
        "properties": {
            "owner": { "nullable": true, "allOf": [{ "$ref": "#/definitions/Owner" }] },
            "age": { "type": "integer", "format": "int32", "nullable": true },
        },
        "allOf": [
            { "properties": { "bark": { "type": "boolean" } }, "required": ["bark"] },
            { "properties": { "purr": { "type": "boolean" } } },
        ],
        "definitions": { "Owner": { "type": "object", "properties": { "id": { "type": "string",
            "pattern": "^[a-z]+$" } } } },
    });
    vec![film, shape, pet]
}

#[tokio::test]
async fn an_adapted_schema_is_accepted() {
    let (simulator, cerebras) = start().await;
    let schemas = schemas();
    for (number, schema) in schemas.iter().enumerate() {
        let schema = || Json::from_text(schema.to_string());
        let format = ResponseFormat::json_schema("s", schema()).strict(true);
        cerebras
            .chat(ChatRequest::from("Hi").response_format(format))
            .await
            .unwrap_or_else(|error| panic!("{number}: {:?}", error.provider_message()));
        let tool = Tool::new("f", schema()).strict(true);
        cerebras
            .chat(ChatRequest::from("Hi").tool(tool))
            .await
            .unwrap_or_else(|error| panic!("{number}: {:?}", error.provider_message()));
    }
    assert_eq!(simulator.requests().len(), 2 * schemas.len());
}

#[tokio::test]
async fn the_original_schema_is_refused() {
    let (_simulator, cerebras) = start().await;
    for schema in schemas() {
        let named = json!({ "name": "s", "strict": true, "schema": schema });
        let format = json!({ "type": "json_schema", "json_schema": named });
        let request = ChatRequest::from("Hi")
            .extra("response_format", Json::from_text(format.to_string()))
            .on_unsupported(OnUnsupported::Error);
        let error = cerebras.chat(request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert_eq!(error.code(), Some("wrong_api_format"));
    }
}

#[cfg(feature = "schemars")]
mod recipe {
    use inferstream_cerebras::json_schema;
    use schemars::JsonSchema;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, JsonSchema)]
    struct Film {
        title: String,
        /// The director's name.
        director: Option<String>,
        year: u16,
    }

    fn request() -> ChatRequest {
        let format = ResponseFormat::json_schema("film", json_schema::<Film>()).strict(true);
        let tool = Tool::new("f", json_schema::<Film>()).strict(true);
        let request = ChatRequest::from("A film of 1927, please.").response_format(format);
        request.tool(tool).max_tokens(400)
    }

    #[tokio::test]
    async fn a_schema_of_a_type_works_at_another_host_that_is_cerebras() {
        let simulator = Simulator::builder().start().await.unwrap();
        let builder = Cerebras::builder()
            .api_key("csk-own")
            .base_url(simulator.base_url())
            .transport(HttpTransport::builder().no_proxy().build().unwrap());
        let cerebras = builder.behind_gateway().build().unwrap();
        let mut request = request();
        request.tools.clear();
        let response = cerebras.chat(request).await.unwrap();
        let film: Film = response.parse().unwrap();
        println!("{} {} {:?}", film.title, film.year, film.director);
        let sent = &simulator.requests()[0].body;
        let sent: Value = serde_json::from_slice(sent).unwrap();
        assert_eq!(sent["max_completion_tokens"], 400);
        assert!(!sent.to_string().contains("$schema"), "{sent}");
    }

    #[tokio::test]
    async fn a_tool_of_a_type_works_at_another_host_too() {
        let simulator = Simulator::builder().start().await.unwrap();
        let builder = Cerebras::builder()
            .api_key("csk-own")
            .base_url(simulator.base_url())
            .transport(HttpTransport::builder().no_proxy().build().unwrap());
        let cerebras = builder.behind_gateway().build().unwrap();
        let mut request = request();
        request.response_format = None;
        let stream = cerebras.stream(request).await.unwrap();
        stream.finish().await.unwrap();
    }
}
