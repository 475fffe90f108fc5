"""Clients of the gateway: each sends one request and returns what it read.

The results are those of `chat_clients`: a dict of its MEMBERS and `error`.
"""

import http.client
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.parse
from importlib import metadata

# LiteLLM would load prices and tokenizers from the network.
os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True", HF_HUB_OFFLINE="1")

import chat_clients
import litellm
import openai
from chat_clients import by_create, by_npm, by_stream, read
from langchain_openai import ChatOpenAI

KEY = chat_clients.KEY

# The members that a client returns, if not all.
COMPARED = {"@ai-sdk/cerebras": ("text", "calls", "finish"), "llm": ("text",)}

# Clients whose requests have further members.
OTHER_REQUESTS = ("Open WebUI's requests",)

# Clients that do not ask for the usage of a stream, or do not return it.
WITHOUT_USAGE = ("@ai-sdk/cerebras", "llm")


def ask(modules, url, request):
    """Asks through each client; returns what they read by their names."""
    python = openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)
    answers = {"openai (Python)": read(by_create, python, request)}
    if request["stream"]:
        answers["openai (Python) stream()"] = read(by_stream, python, request)
    answers["langchain-openai"] = read(by_langchain, url, request)
    answers["litellm"] = read(by_litellm, url, request)
    if "tools" not in request and "response_format" not in request:
        answers["llm"] = read(by_llm, url, request)
    answers["curl"] = read(by_curl, url, request)
    answers["Open WebUI's requests"] = read(by_open_webui, url, request)
    if modules:
        answers.update(by_npm(modules, url, request))
    return answers


def versions(modules):
    """Returns the clients with their versions."""
    found = ["openai", "langchain-openai", "litellm", "llm"]
    found = [f"Python {name} {metadata.version(name)}" for name in found]
    found.append(subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout.split(" (")[0])
    for name in chat_clients.PACKAGES if modules else ():
        package = pathlib.Path(modules) / "node_modules" / name / "package.json"
        found.append(f"npm {name} {json.loads(package.read_text())['version']}")
    return ", ".join(found)


def by_langchain(answer, url, request):
    """LangChain's model, whose chunks add up to a message."""
    options = {name: request[name] for name in ("response_format",) if name in request}
    model = ChatOpenAI(
        model=request["model"], base_url=url, api_key=KEY, max_retries=0, stream_usage=request["stream"]
    )
    if "tools" in request:
        model = model.bind_tools(request["tools"], tool_choice=request["tool_choice"])
    model = model.bind(**options)
    prompt = request["messages"][-1]["content"]
    message = None
    if request["stream"]:
        for chunk in model.stream(prompt):
            message = chunk if message is None else message + chunk
            answer["text"] = message.text
    else:
        message = model.invoke(prompt)
    answer["text"] = message.text
    answer["calls"] = [
        {"id": call["id"], "name": call["name"], "arguments": call["args"]} for call in message.tool_calls
    ]
    answer["finish"] = message.response_metadata.get("finish_reason")
    usage = message.usage_metadata or {}
    chat_clients.count(answer, usage, "input_tokens", "output_tokens")


def by_litellm(answer, url, request):
    """LiteLLM's SDK, which has the shapes of OpenAI's."""
    model = f"openai/{request['model']}"
    given = litellm.completion(**{**request, "model": model}, api_base=url, api_key=KEY, max_retries=0)
    for chunk in given if request["stream"] else [given]:
        for choice in chunk.choices:
            message = getattr(choice, "delta", None) or choice.message
            answer["text"] += message.content or ""
            for place, call in enumerate(message.tool_calls or []):
                index = getattr(call, "index", None) or place
                if index == len(answer["calls"]):
                    answer["calls"].append({"id": None, "name": "", "arguments": ""})
                kept = answer["calls"][index]
                kept["id"] = call.id or kept["id"]
                kept["name"] += call.function.name or ""
                kept["arguments"] += call.function.arguments or ""
            answer["finish"] = choice.finish_reason or answer["finish"]
        if getattr(chunk, "usage", None):
            chat_clients.count(answer, chunk.usage.model_dump(), "prompt_tokens", "completion_tokens")


def by_llm(answer, url, request):
    """The program `llm`, whose configuration has the gateway as a further model."""
    with tempfile.TemporaryDirectory() as folder:
        model = {"model_id": "gateway", "model_name": request["model"], "api_base": url, "api_key_name": "gateway"}
        # JSON is YAML, too.
        pathlib.Path(folder, "extra-openai-models.yaml").write_text(json.dumps([model]))
        command = [sys.executable, "-m", "llm", "prompt", "--model", "gateway", "--no-log", "--key", KEY]
        command += [] if request["stream"] else ["--no-stream"]
        command.append(request["messages"][-1]["content"])
        run = subprocess.run(
            [*command, "--hide-reasoning"],
            env={**os.environ, "LLM_USER_PATH": folder},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
    answer["text"] = run.stdout.removesuffix("\n")
    if run.returncode != 0:
        answer["error"] = run.stderr.strip().splitlines()[-1]


def by_curl(answer, url, request):
    """curl, and a script that requires the end marker of a stream."""
    command = ["curl", "--silent", "--no-buffer", "--fail-with-body", f"{url}/chat/completions"]
    command += ["--header", "content-type: application/json", "--data", json.dumps(request)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if run.returncode != 0:
        raise OSError(f"exit code {run.returncode}: {run.stdout}")
    by_lines(answer, run.stdout.splitlines(), request["stream"])


def by_lines(answer, lines, is_stream):
    """Reads the lines of a body, as programs do that have no client."""
    if not is_stream:
        return add(answer, json.loads("".join(lines)))
    is_done = False
    for line in lines:
        if not line.startswith("data: "):
            continue
        is_done = line == "data: [DONE]"
        if not is_done:
            add(answer, json.loads(line.removeprefix("data: ")))
    if not is_done:
        raise EOFError("no [DONE]")


def add(answer, given):
    if "error" in given:
        raise OSError(given["error"]["message"])
    for choice in given["choices"]:
        message = choice.get("delta") or choice.get("message") or {}
        answer["text"] += message.get("content") or ""
        for place, call in enumerate(message.get("tool_calls") or []):
            index = call.get("index", place)
            if index == len(answer["calls"]):
                answer["calls"].append({"id": None, "name": "", "arguments": ""})
            kept = answer["calls"][index]
            kept["id"] = call.get("id") or kept["id"]
            kept["name"] += call["function"].get("name") or ""
            kept["arguments"] += call["function"].get("arguments") or ""
        answer["finish"] = choice.get("finish_reason") or answer["finish"]
    if given.get("usage"):
        chat_clients.count(answer, given["usage"], "prompt_tokens", "completion_tokens")


def by_open_webui(answer, url, request):
    """The shapes of Open WebUI's requests. Constructed from its documentation: it is not installed.

    It lists the models first, sends text as parts if a message has an image, forwards its user in
    headers (`ENABLE_FORWARD_USER_INFO_HEADERS`), and asks for a stream with usage. Its tasks, such as
    the title of a chat, are one document with `max_completion_tokens`.
    """
    headers = {
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
        "x-openwebui-user-name": "Ada%20Lovelace",
        "x-openwebui-user-id": "00000000-0000-4000-8000-000000000000",
        "x-openwebui-user-email": "ada@example.com",
        "x-openwebui-user-role": "user",
    }
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=60)
    connection.request("GET", f"{address.path}/models", headers=headers)
    models = json.loads(connection.getresponse().read())["data"]
    if request["model"] not in [model["id"] for model in models]:
        raise LookupError("the model is not listed")
    message = {"role": "user", "content": [{"type": "text", "text": request["messages"][-1]["content"]}]}
    body = {**request, "messages": [message]}
    if not request["stream"]:
        body["max_completion_tokens"] = 1000
    connection.request("POST", f"{address.path}/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    if response.status != 200:
        raise OSError(f"{response.status}: {response.read().decode()}")
    by_lines(answer, response.read().decode().splitlines(), request["stream"])
