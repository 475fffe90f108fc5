"""Clients of OpenAI's chat API read responses of providers through the gateway.

Usage: python check_gateway.py PROGRAM [NODE_MODULES]

PROGRAM is our binary; NODE_MODULES is the folder with npm's packages (see chat.mjs), without which their
clients are skipped. Starts `inferstream serve --simulate`, with and without faults of the services.
Without a fault, all clients must return the same response. With a fault, each must return an error, or the
complete response if the gateway resumed it, as it does at Replicate: never a part of it as a success.
Prints a table. Exits with 1 if a client returns something else.
"""

import concurrent.futures
import subprocess
import sys

import gateway_clients

CEREBRAS = "cerebras/gpt-oss-120b"
CLOUDFLARE = "cloudflare/@cf/meta/llama-3.3-70b-instruct-fp8-fast"
REPLICATE = "replicate/meta/meta-llama-3-70b-instruct"

STORY = "Tell me a short story about space."
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = {
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": CITY}}],
    "tool_choice": "required",
}
STRICT = {**CITY, "additionalProperties": False}
SCHEMA = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "place", "strict": True, "schema": STRICT},
    }
}

# A name, the models, and members of the request.
CASES = [
    ("text", (CEREBRAS, CLOUDFLARE, REPLICATE), {}),
    ("a tool call", (CEREBRAS, CLOUDFLARE), TOOLS),
    ("structured output", (CEREBRAS,), SCHEMA),
]

# The faults, each with the providers that deliver the response nevertheless: a stream of Replicate is
# resumed, and a prediction that fails has failed.
FAULTS = {
    "truncate": (REPLICATE,),
    "reset-in-event": (REPLICATE,),
    "error": (),
    "429:7": (),
}

# Requests of one gateway, with retries: each gets the fault.
REQUESTS = 60

# What is compared. Reasoning is not: each client has another member for it.
MEMBERS = ("text", "calls", "finish", "prompt", "completion", "total")


class Gateway:
    """`inferstream serve --simulate`, with one fault for all requests or none, until the end of the block."""

    def __init__(self, program, fault):
        command = [program, "serve", "--simulate", "--listen", "127.0.0.1:0", "--no-log", "--tps", "500"]
        command += ["--fault", fault] * REQUESTS if fault else []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def __enter__(self):
        return self.process.stdout.readline().strip()

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    program = sys.argv[1]
    modules = sys.argv[2] if len(sys.argv) == 3 else None
    runs = []
    for name, models, members in CASES:
        for model in models:
            for stream in (True, False):
                runs += [(name, model, stream, members, fault) for fault in (None, *FAULTS)]
    surprises = 0
    references = {}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        work = [pool.submit(ask, program, modules, *run) for run in runs]
        for run, answers in zip(runs, work):
            surprises += report(run, answers.result(), references)
    print(f"{surprises} surprises; {gateway_clients.versions(modules)}")
    sys.exit(1 if surprises else 0)


def ask(program, modules, name, model, stream, members, fault):
    request = {"model": model, "messages": [{"role": "user", "content": STORY}], "stream": stream, **members}
    if stream:
        request["stream_options"] = {"include_usage": True}
    with Gateway(program, fault) as url:
        return gateway_clients.ask(modules, url, request)


def report(run, answers, references):
    """Prints what the clients returned. Returns the number of results that are wrong."""
    name, model, stream, _, fault = run
    key = (name, model, stream)
    if fault is None:
        references[key] = answers
    print(f"{name}, {model}, {'streamed' if stream else 'one document'}, {fault or 'no fault'}")
    wrong = 0
    is_resumed = fault is not None and model in FAULTS[fault]
    for client, answer in answers.items():
        # A client whose request is another one may get another response.
        is_own = client in gateway_clients.OTHER_REQUESTS
        reference = references[key][client if is_own else "openai (Python)"]
        end, note = end_of(client, answer, reference)
        expected = "complete" if fault is None or is_resumed else "error"
        is_right = end == expected
        if fault is None and stream and not (answer["prompt"] and answer["completion"]):
            is_right, note = client in gateway_clients.WITHOUT_USAGE, "no usage"
        wrong += not is_right
        print(f"  {'ok' if is_right else 'WRONG':<6}{client:<27}{end:<10}{(answer['error'] or note)[:90]}".rstrip())
    return wrong


def end_of(client, answer, reference):
    if answer["error"]:
        return "error", ""
    compared = gateway_clients.COMPARED.get(client, MEMBERS)
    differing = [member for member in compared if answer[member] != reference[member]]
    return ("part", ", ".join(differing)) if differing else ("complete", "")


if __name__ == "__main__":
    main()
