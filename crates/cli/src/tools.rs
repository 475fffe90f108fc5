//! The tool definitions of `--tool`.

use std::path::{Path, PathBuf};

use inferstream::{Error, Json, Result, Tool};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::files;

/// A definition: the shape of the chat protocol, or its inner object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    #[serde(rename = "type")]
    kind: Option<String>,
    function: Option<Function>,
    name: Option<String>,
    description: Option<String>,
    parameters: Option<Box<RawValue>>,
    strict: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Function {
    name: String,
    description: Option<String>,
    parameters: Option<Box<RawValue>>,
    strict: Option<bool>,
}

/// Reads the tools that files define.
///
/// # Errors
///
/// Returns `Config` for a file that cannot be read, and for an invalid or repeated definition.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Tool>> {
    let mut tools: Vec<Tool> = Vec::new();
    for path in paths {
        let invalid =
            |what: String| Error::config(format!("invalid tools in {}: {what}", path.display()));
        for definition in definitions(path)? {
            let tool = tool(definition).map_err(invalid)?;
            if tools.iter().any(|earlier| earlier.name == tool.name) {
                return Err(invalid(format!("the tool `{}` is repeated", tool.name)));
            }
            tools.push(tool);
        }
    }
    Ok(tools)
}

fn definitions(path: &Path) -> Result<Vec<Definition>> {
    let text = files::read_text(path)?;
    let parsed = if text.trim_start().starts_with('[') {
        serde_json::from_str(&text)
    } else {
        serde_json::from_str(&text).map(|one| vec![one])
    };
    parsed.map_err(|error| {
        let path = path.display();
        Error::config(format!(
            "invalid tools in {path}: expected a definition or an array of them: {error}"
        ))
    })
}

fn tool(definition: Definition) -> Result<Tool, String> {
    if definition
        .kind
        .as_deref()
        .is_some_and(|kind| kind != "function")
    {
        return Err("only tools of the type `function` are supported".to_owned());
    }
    let function = match (definition.function, definition.name) {
        (Some(function), None) => function,
        (None, Some(name)) => Function {
            name,
            description: definition.description,
            parameters: definition.parameters,
            strict: definition.strict,
        },
        _ => return Err("expected either `name` or `function`".to_owned()),
    };
    let parameters = match function.parameters {
        None => Json::from_text(r#"{"type":"object","properties":{}}"#),
        Some(parameters) => Json::from_text(parameters.get()),
    };
    let mut tool = Tool::new(function.name, parameters);
    tool.description = function.description;
    tool.strict = function.strict;
    Ok(tool)
}
