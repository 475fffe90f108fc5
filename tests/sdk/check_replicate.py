"""Official clients of Replicate and ours read the same predictions of simulated services.

Usage: python check_replicate.py PROGRAM [NODE_MODULES]

PROGRAM is our binary; NODE_MODULES the folder that holds npm's `replicate`, without which that client
is left out. Prints a table; exits with 1 where a client reads something else than is known of it.
"""

import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys

import replicate

from simulated import Service

KEY = "sdk-check"
LLAMA = "meta/meta-llama-3-8b-instruct"
VERSION = "acme/model:" + "5c7d5dc6" * 8

# A name, the model, the input, and the fault that every prediction of the service has.
CASES = [
    ("plain", LLAMA, {"prompt": "Why is the sky blue?"}, None),
    ("unicode", LLAMA, {"prompt": "Sag «Grüße» und 👋🏽 auf Japanisch."}, None),
    ("story", LLAMA, {"prompt": "Tell me a short story about space."}, None),
    ("limit", LLAMA, {"prompt": "Tell me a short story about space.", "max_tokens": 5}, None),
    ("version", VERSION, {"prompt": "Hi"}, None),
    ("cut", LLAMA, {"prompt": "Hi"}, "cut"),
    ("closed early", LLAMA, {"prompt": "Hi"}, "truncate"),
    ("failed midway", LLAMA, {"prompt": "Hi"}, "error"),
    ("failed, no text", LLAMA, {"prompt": "Hi"}, "donefail"),
    ("failed at once", LLAMA, {"prompt": "Hi"}, "failed"),
    ("canceled at once", LLAMA, {"prompt": "Hi"}, "canceled"),
    ("no stream", LLAMA, {"prompt": "Hi"}, "nourl"),
    ("stream too early", LLAMA, {"prompt": "Hi"}, "early"),
]

# What the official clients are known to make of it, where it is not the truth:
# `whole` is the answer without an error, `part` a part of it without one, `error` is an error.
KNOWN = {
    ("cut", "python"): ("error", "does not take a stream up again"),
    ("cut", "npm"): ("error", "does not take a stream up again"),
    ("closed early", "python"): ("part", "takes a stream without `done` for a whole one"),
    ("closed early", "npm"): ("part", "takes a stream without `done` for a whole one"),
    ("failed, no text", "python"): ("part", "does not read the reason of `done`"),
    ("failed, no text", "npm"): ("part", "does not read the reason of `done`"),
    ("canceled at once", "python"): ("part", "does not read the reason of `done`"),
    ("canceled at once", "npm"): ("part", "does not read the reason of `done`"),
    ("no stream", "python"): ("error", "does not ask the prediction instead"),
    ("no stream", "npm"): ("error", "does not ask the prediction instead"),
    ("stream too early", "python"): ("error", "does not wait for a stream"),
    ("stream too early", "npm"): ("error", "does not wait for a stream"),
}

# The end that is the truth, where it is not the whole answer.
TRUTH = {name: "error" for name in ("failed midway", "failed, no text", "failed at once", "canceled at once")}


def by_ours(program, service, model, given):
    command = [program, "chat", "-p", "replicate", "--no-proxy", "--base-url", service.replicate, "--json"]
    command += ["--stream-origin", service.streams, "-m", model]
    if "max_tokens" in given:
        command += ["--max-tokens", str(given["max_tokens"])]
    environment = {**os.environ, "REPLICATE_API_TOKEN": KEY}
    run = subprocess.run(
        [*command, given["prompt"]], env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
    )
    answer = json.loads(run.stdout)
    return {"text": answer["text"], "error": answer["error"] and answer["error"]["message"]}


def by_python(service, model, given):
    client = replicate.Client(api_token=KEY, base_url=service.replicate.removesuffix("/v1"))
    text, error = "", None
    try:
        for event in client.stream(model, input=given):
            if event.event.value == "output":
                text += event.data
    except Exception as failure:  # Whatever it is, it is what a user would see.
        error = f"{type(failure).__name__}: {failure}".splitlines()[0]
    return {"text": text, "error": error}


def by_npm(modules, service, model, given):
    script = pathlib.Path(__file__).with_name("replicate.mjs")
    command = ["node", str(script), service.replicate, model, json.dumps(given)]
    run = subprocess.run(command, cwd=modules, capture_output=True, text=True, timeout=60)
    if run.returncode != 0:
        sys.exit(f"npm's client ended with {run.returncode}:\n{run.stderr}")
    return json.loads(run.stdout)


def end_of(answer, whole):
    if answer["error"]:
        return "error"
    return "whole" if answer["text"] == whole else "part"


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    program = sys.argv[1]
    modules = sys.argv[2] if len(sys.argv) == 3 else None
    wholes, surprises = {}, 0
    for name, model, given, fault in CASES:
        with Service(program, fault) as service:
            answers = {
                "inferstream": by_ours(program, service, model, given),
                "python": by_python(service, model, given),
            }
            if modules:
                answers["npm"] = by_npm(modules, service, model, given)
        # What an answer is by itself, without a fault.
        question = json.dumps([model, given])
        if question not in wholes:
            with Service(program, None) as service:
                wholes[question] = by_python(service, model, given)["text"]
        print(name)
        for client, answer in answers.items():
            truth = TRUTH.get(name, "whole")
            expected, why = KNOWN.get((name, client), (truth, ""))
            end = end_of(answer, wholes[question])
            surprises += end != expected
            mark = "ok  " if end == truth else "known" if end == expected else "DIFF"
            said = answer["error"] or ""
            note = f"  ({why})" if end == expected and end != truth else ""
            print(f"  {mark:<6}{client:<13}{end:<7}{len(answer['text']):>5} characters  {said[:60]}{note}".rstrip())
    versions = f"python replicate {importlib.metadata.version('replicate')}"
    if modules:
        package = json.loads((pathlib.Path(modules) / "node_modules/replicate/package.json").read_text())
        versions += f", npm replicate {package['version']}"
    print(f"{surprises} surprises; {versions}")
    sys.exit(1 if surprises else 0)


if __name__ == "__main__":
    main()
