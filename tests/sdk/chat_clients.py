"""Chat clients, official ones and ours: each asks one simulated service, and tells what it read.

A request is what the service is to get, as a dict. What a client read is a dict of MEMBERS and
`error`, which is None where the client took the answer for a whole one.
"""

import json
import os
import pathlib
import subprocess
import sys

import openai
from cerebras.cloud.sdk import Cerebras

KEY = "sdk-check"

# The members of an answer that are compared.
MEMBERS = ("text", "reasoning", "calls", "finish", "prompt", "completion", "total")

# npm's packages that are compared.
PACKAGES = ("openai", "ai", "@ai-sdk/cerebras", "@ai-sdk/openai-compatible")


def ask(program, modules, provider, url, request):
    """Asks through each client; returns what they read by their names, ours first."""
    openai_python = openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)
    # This client adds the version to the path itself, and connects early unless told not to.
    cerebras_python = Cerebras(
        base_url=url.removesuffix("/v1"), api_key=KEY, max_retries=0, warm_tcp_connection=False
    )
    answers = {"inferstream": by_ours(program, provider, url, request)}
    answers["openai (Python)"] = read(by_create, openai_python, request)
    if request["stream"]:
        answers["openai (Python) stream()"] = read(by_stream, openai_python, request)
    answers["cerebras_cloud_sdk"] = read(by_create, cerebras_python, request)
    if modules:
        answers.update(by_npm(modules, url, request))
    return answers


def versions(modules):
    """Returns the clients that are not ours, with their versions."""
    found = [f"Python openai {openai.__version__}"]
    found.append(f"cerebras_cloud_sdk {sys.modules['cerebras.cloud.sdk'].__version__}")
    for name in PACKAGES if modules else ():
        package = pathlib.Path(modules) / "node_modules" / name / "package.json"
        found.append(f"npm {name} {json.loads(package.read_text())['version']}")
    return ", ".join(found)


def empty():
    answer = dict.fromkeys((*MEMBERS, "error"))
    return {**answer, "text": "", "reasoning": "", "calls": []}


def settled(answer):
    """Returns an answer with the arguments of its calls as values, where their text is JSON."""
    for call in answer["calls"]:
        if isinstance(call["arguments"], str):
            try:
                call["arguments"] = json.loads(call["arguments"])
            except ValueError:
                pass
    return answer


def read(client, *asked):
    """Lets a Python client read, and keeps what it read before it failed."""
    answer = empty()
    try:
        client(answer, *asked)
    except Exception as failure:  # Whatever it is, it is what a user would see.
        answer["error"] = f"{type(failure).__name__}: {failure}".splitlines()[0]
    return settled(answer)


def by_create(answer, client, request):
    """Adds up the pieces that the package gives; both packages have the same shape."""
    given = client.chat.completions.create(**request)
    for chunk in given if request["stream"] else [given]:
        add(answer, chunk)


def by_stream(answer, client, request):
    """Lets the package put the pieces together."""
    request = {name: value for name, value in request.items() if name != "stream"}
    with client.chat.completions.stream(**request) as stream:
        try:
            stream.until_done()
        finally:
            add(answer, stream.current_completion_snapshot)


def add(answer, given):
    """Adds an answer of the protocol, or a chunk of one."""
    for choice in given.choices or []:
        message = getattr(choice, "delta", None) or choice.message
        answer["text"] += message.content or ""
        answer["reasoning"] += getattr(message, "reasoning", None) or ""
        for place, call in enumerate(message.tool_calls or []):
            index = getattr(call, "index", None)
            index = place if index is None else index
            if index == len(answer["calls"]):
                answer["calls"].append({"id": None, "name": "", "arguments": ""})
            kept = answer["calls"][index]
            kept["id"] = call.id or kept["id"]
            kept["name"] += call.function.name or ""
            kept["arguments"] += call.function.arguments or ""
        answer["finish"] = choice.finish_reason or answer["finish"]
    if given.usage:
        count(answer, given.usage.to_dict(), "prompt_tokens", "completion_tokens")


def count(answer, usage, prompt, completion):
    answer["prompt"], answer["completion"] = usage.get(prompt), usage.get(completion)
    answer["total"] = usage.get("total_tokens")


def by_npm(modules, url, request):
    script = pathlib.Path(__file__).with_name("chat.mjs")
    command = ["node", str(script), url, json.dumps(request)]
    run = subprocess.run(command, cwd=modules, capture_output=True, text=True, timeout=60)
    if run.returncode != 0:
        sys.exit(f"npm's clients ended with {run.returncode}:\n{run.stderr}")
    return {client: settled(answer) for client, answer in json.loads(run.stdout).items()}


def by_ours(program, provider, url, request):
    """Asks through our program: by events where the answer is streamed, else by one object."""
    command = [program, "chat", "-p", provider, "--no-proxy", "--base-url", url, "-m", request["model"]]
    command += ["--jsonl"] if request["stream"] else ["--json", "--no-stream"]
    flags = {"max_completion_tokens": "--max-tokens", "seed": "--seed"}
    for name, value in request.items():
        if name in flags:
            command += [flags[name], str(value)]
        elif name in ("tools", "tool_choice"):
            command += ["--option", f"{name}={json.dumps(value)}"]
    environment = {**os.environ, "CEREBRAS_API_KEY": KEY, "OPENAI_COMPAT_API_KEY": KEY}
    run = subprocess.run(
        [*command, request["messages"][-1]["content"]],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    answer = {**empty(), "exit": run.returncode}
    for line in run.stdout.splitlines():
        add = add_event if request["stream"] else add_object
        add(answer, json.loads(line))
    # An end that the output does not tell of would be a fault of ours.
    if (run.returncode == 0) != (answer["error"] is None):
        sys.exit(f"our program ended with {run.returncode} and {answer['error']}:\n{run.stderr.decode()}")
    return settled(answer)


def add_event(answer, event):
    kind = event["type"]
    if kind in ("text", "reasoning"):
        answer[kind] += event["text"]
    elif kind == "tool_call":
        answer["calls"].append(call_of(event))
    elif kind == "usage":
        count(answer, event, "input_tokens", "output_tokens")
    elif kind == "finish":
        answer["finish"] = event["reason"]
    elif kind == "error":
        answer["error"] = f"{event['kind']}: {event['message']}"


def add_object(answer, given):
    answer["text"], answer["reasoning"] = given["text"], given["reasoning"]
    answer["calls"] = [call_of(call) for call in given["tool_calls"]]
    answer["finish"] = given["finish_reason"]
    count(answer, given["usage"] or {}, "input_tokens", "output_tokens")
    if given["error"]:
        add_event(answer, {"type": "error", **given["error"]})


def call_of(given):
    return {name: given[name] for name in ("id", "name", "arguments")}
