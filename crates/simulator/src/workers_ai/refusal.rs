//! The error responses of Workers AI, in the forms of Cloudflare's services.

use std::borrow::Cow;

use http::{StatusCode, header::RETRY_AFTER};
use serde::Serialize;
use serde_json::json;

use crate::{fault::Fault, outcome::Outcome, page, reply::Reply};

/// The message after the daily neurons are used up.
const USED_UP: &str = "you have used up your daily free allocation of 10,000 neurons, please upgrade to Cloudflare's Workers Paid plan if you would like to continue usage.";

/// An error with its code.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: u16,
    code: u16,
    message: Cow<'static, str>,
    by: By,
}

/// The part of the service that refuses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum By {
    /// The API around the models.
    Api,
    /// The gateway in front of the API.
    Gateway,
    /// The servers that run the models.
    Model,
}

/// How a request came in, which decides the form of an error.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// Whether the request came through a gateway.
    pub(super) gateway: bool,
    /// The request's id.
    pub(super) id: String,
}

/// An error of the API.
#[derive(Serialize)]
struct ApiBody<'a> {
    success: bool,
    errors: [ApiError<'a>; 1],
    messages: [(); 0],
    result: (),
}

#[derive(Serialize)]
struct ApiError<'a> {
    code: u16,
    message: &'a str,
}

/// An error of a model.
#[derive(Serialize)]
struct ModelBody<'a> {
    errors: [ModelError<'a>; 1],
    success: bool,
    result: Empty,
    messages: [(); 0],
}

#[derive(Serialize)]
struct ModelError<'a> {
    message: &'a str,
    code: u16,
}

#[derive(Serialize)]
struct Empty {}

/// An error of a model as forwarded by a gateway.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FlatBody<'a> {
    name: &'static str,
    internal_code: u16,
    http_code: u16,
    message: &'a str,
    description: &'a str,
    request_id: &'a str,
}

/// An error of a gateway, where `error` is an array.
#[derive(Serialize)]
struct GatewayBody<'a> {
    success: bool,
    result: [(); 0],
    messages: [(); 0],
    error: [ApiError<'a>; 1],
    name: &'static str,
    #[serde(rename = "httpCode")]
    http_code: u16,
    #[serde(rename = "internalCode")]
    internal_code: u16,
    message: &'a str,
    description: &'a str,
}

impl Problem {
    fn api(status: u16, code: u16, message: &'static str) -> Self {
        Self {
            status,
            code,
            message: Cow::Borrowed(message),
            by: By::Api,
        }
    }

    fn gateway(status: u16, code: u16, message: &'static str) -> Self {
        Self {
            by: By::Gateway,
            ..Self::api(status, code, message)
        }
    }

    fn model(status: u16, code: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            by: By::Model,
        }
    }

    /// Returns the error for a missing or wrong key.
    pub(super) fn unauthorized(asker: &Asker) -> Self {
        if asker.gateway {
            return Self::gateway(401, 2009, "Unauthorized");
        }
        Self::api(401, 10_000, "Authentication error")
    }

    /// Returns the error for an unknown account.
    pub(super) fn no_such_account(asker: &Asker, path: &str) -> Self {
        if asker.gateway {
            let message = "Please configure AI Gateway in the Cloudflare dashboard";
            return Self::gateway(400, 2001, message);
        }
        let message = format!(
            "Could not route to /client/v4/{path}, perhaps your object identifier is invalid?"
        );
        Self {
            message: message.into(),
            ..Self::api(404, 7003, "")
        }
    }

    /// Returns the error for an unknown path.
    pub(super) fn no_such_route(asker: &Asker) -> Self {
        if asker.gateway {
            let message = "Please configure AI Gateway in the Cloudflare dashboard";
            return Self::gateway(400, 2001, message);
        }
        Self::api(404, 7000, "No route for that URI")
    }

    pub(super) fn no_such_model(asker: &Asker, name: &str) -> Self {
        if asker.gateway {
            return Self::gateway(400, 2008, "Model not found");
        }
        Self {
            message: format!("No such model {name} or task").into(),
            ..Self::api(400, 5007, "")
        }
    }

    /// Returns the error for a request without a body.
    pub(super) fn incomplete() -> Self {
        Self::model(400, 3003, "Incomplete request: missing headers or body")
    }

    /// Returns the error for input that does not match the model's schema.
    pub(super) fn bad_input(what: &str) -> Self {
        Self::model(400, 5006, format!("Bad input: Error: {what}"))
    }

    /// Returns the error for an image that is not part of the request.
    pub(super) fn bad_image() -> Self {
        let message = "Invalid data: an image_url must be a data URL with base64";
        Self::model(400, 5004, message)
    }

    /// Returns the error for a request that exceeds the context window.
    pub(super) fn no_room(tokens: usize, window: usize) -> Self {
        let message = format!(
            "The estimated number of input and maximum output tokens ({tokens}) exceeded this model context window limit ({window})."
        );
        Self::model(413, 5021, message)
    }

    /// Returns the error for a body that is too large to read.
    pub(super) fn too_large() -> Self {
        Self::api(413, 3006, "Request is too large")
    }

    /// Returns the error for a failure behind the API.
    pub(super) fn upstream() -> Self {
        Self::api(500, 7009, "Upstream service unavailable")
    }

    /// Returns the error for a status.
    fn status(status: u16, asker: &Asker) -> Self {
        let problem = match status {
            401 => Self::unauthorized(asker),
            402 if asker.gateway => Self::gateway(402, 2021, "Insufficient credits"),
            403 => Self::api(status, 9109, "Unauthorized to access requested resource"),
            404 => Self::api(status, 3042, "The model name is invalid"),
            405 => Self::api(status, 5005, "The model does not support LoRAs"),
            408 => Self::api(status, 3007, "Request timeout"),
            413 => Self::too_large(),
            429 => Self::api(
                status,
                3040,
                "Capacity temporarily exceeded, please try again.",
            ),
            500.. => Self::upstream(),
            _ => Self::api(status, 5004, "Invalid data"),
        };
        Self { status, ..problem }
    }

    /// Returns the error response in the form that fits the request.
    pub(super) fn reply(&self, asker: &Asker) -> Reply {
        match (self.by, asker.gateway) {
            (By::Gateway, _) => self.by_gateway(),
            (By::Api | By::Model, true) => self.flat(asker),
            (By::Api, false) => self.by_api(),
            (By::Model, false) => self.by_model(asker),
        }
    }

    fn by_api(&self) -> Reply {
        let errors = [ApiError {
            code: self.code,
            message: &self.message,
        }];
        Reply::value(
            self.code(),
            &ApiBody {
                success: false,
                errors,
                messages: [],
                result: (),
            },
        )
    }

    fn by_model(&self, asker: &Asker) -> Reply {
        Reply::json(self.code(), self.model_body(asker))
    }

    /// Returns the error in the JSON form of the models.
    pub(super) fn model_body(&self, asker: &Asker) -> String {
        let errors = [ModelError {
            message: &self.full_message(asker),
            code: self.code,
        }];
        let body = ModelBody {
            errors,
            success: false,
            result: Empty {},
            messages: [],
        };
        serde_json::to_string(&body).unwrap_or_default()
    }

    /// Returns the error in the JSON form of the `OpenAI` protocol.
    pub(super) fn open_ai_body(&self, asker: &Asker) -> String {
        let message = self.full_message(asker);
        let error = json!({"code": self.code, "message": message, "type": "internal_error"});
        json!({ "error": error }).to_string()
    }

    fn flat(&self, asker: &Asker) -> Reply {
        Reply::value(
            self.code(),
            &FlatBody {
                name: "AiError",
                internal_code: self.code,
                http_code: self.status,
                message: &self.full_message(asker),
                description: &self.message,
                request_id: &asker.id,
            },
        )
    }

    fn by_gateway(&self) -> Reply {
        let error = [ApiError {
            code: self.code,
            message: &self.message,
        }];
        Reply::value(
            self.code(),
            &GatewayBody {
                success: false,
                result: [],
                messages: [],
                error,
                name: "AiGatewayError",
                http_code: self.status,
                internal_code: self.code,
                message: &self.message,
                description: &self.message,
            },
        )
    }

    fn full_message(&self, asker: &Asker) -> String {
        format!("AiError: AiError: {} ({})", self.message, asker.id)
    }

    fn code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Returns the outcome of a fault that replaces the response.
pub(super) fn instead(fault: &Fault, asker: &Asker) -> Option<Outcome> {
    let reply = match fault {
        Fault::Challenge => page::challenge("sim"),
        Fault::Context => Problem::no_room(8193, 8192).reply(asker),
        Fault::Empty => Reply::empty(StatusCode::INTERNAL_SERVER_ERROR),
        Fault::Html => page::unavailable(),
        Fault::NotSuccess => Problem {
            status: 200,
            ..Problem::upstream()
        }
        .by_api(),
        Fault::Plan => {
            let message = "This model is not available on the Workers Free plan.";
            Problem::model(403, 5035, message).reply(asker)
        }
        Fault::Quota => Problem::model(429, 4006, USED_UP).flat(asker),
        Fault::QuotaRest => Problem::model(429, 3036, USED_UP).by_model(asker),
        Fault::Status {
            status,
            retry_after,
        } => {
            let reply = Problem::status(*status, asker).reply(asker);
            match retry_after {
                Some(value) => reply.header(RETRY_AFTER, value),
                None => reply,
            }
        }
        fault => return fault.instead(|_, _| Reply::empty(StatusCode::INTERNAL_SERVER_ERROR)),
    };
    Some(Outcome::Reply(reply))
}
