"""Official clients of the chat protocol and ours read the same answers of simulated services.

Usage: python check_chat.py PROGRAM [NODE_MODULES]

PROGRAM is our binary; NODE_MODULES the folder that holds npm's packages (see chat.mjs), without which
those clients are left out. Prints a table; exits with 1 where a client reads something else than is
known of it.
"""

import json
import sys

import chat_clients
from simulated import Service

MODEL = "gpt-oss-120b"

# The doors of the service, by the provider that we ask them as: at Cerebras' all calls of an answer
# come in one piece, at the other's the arguments come bit by bit.
CEREBRAS, COMPATIBLE = "cerebras", "openai-compat"


def tool(name, **properties):
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def calling(choice, *tools):
    return {"tools": list(tools), "tool_choice": choice}


CLOCK = tool("clock")
WEATHER = tool("weather", city={"type": "string"}, days={"type": "integer"})
NAMED = {"type": "function", "function": {"name": "clock"}}
SKY = "Why is the sky blue?"
STORY = "Tell me a short story about space."
ZURICH = "Grüße aus Zürich!"
ONE, TWO = calling("required", WEATHER), calling("required", CLOCK, WEATHER)

# A name, the door, the question, further members of the request, and the fault that every answer has.
CASES = [
    ("plain", CEREBRAS, SKY, {}, None),
    ("long", CEREBRAS, STORY, {}, None),
    ("unicode", CEREBRAS, "Sag «Grüße» und 👋🏽 auf Japanisch.", {}, None),
    ("length", CEREBRAS, STORY, {"max_completion_tokens": 5}, None),
    ("seed", CEREBRAS, SKY, {"seed": 3}, None),
    ("call", CEREBRAS, ZURICH, ONE, None),
    ("two calls", CEREBRAS, ZURICH, TWO, None),
    ("plain, compatible", COMPATIBLE, SKY, {}, None),
    ("call in pieces", COMPATIBLE, ZURICH, ONE, None),
    ("two calls in pieces", COMPATIBLE, ZURICH, TWO, None),
    ("named call in pieces", COMPATIBLE, ZURICH, calling(NAMED, WEATHER, CLOCK), None),
    ("cut", CEREBRAS, SKY, {}, "cut"),
    ("closed early", CEREBRAS, SKY, {}, "truncate"),
    ("failed midway", CEREBRAS, SKY, {}, "error"),
    ("cut in a call", COMPATIBLE, ZURICH, TWO, "cut"),
    ("closed early in a call", COMPATIBLE, ZURICH, TWO, "truncate"),
    ("failed in a call", COMPATIBLE, ZURICH, TWO, "error"),
]

# How many tokens a second a service with a fault says: what came before it is to be read before it.
RATE = 500

# The exit code that is the truth for a fault.
EXITS = {None: 0, "cut": 6, "truncate": 6, "error": 1}

# What clients are known to make of a stream, where it is not the truth: `whole` is the answer without
# an error, `part` one that differs without an error, `error` is an error; a member's name is an answer
# that differs in that member alone.
LAST_PIECE = ("reasoning", "keeps the last piece of what it has no type for")
NO_TYPE = ("error", "knows no piece of a call without its `type`")
NO_END = ("part", "does not miss the finish reason")
KNOWN = {
    **{(name, "openai (npm) stream()"): LAST_PIECE for name, *_, fault in CASES if fault is None},
    ("call in pieces", "cerebras_cloud_sdk"): NO_TYPE,
    ("two calls in pieces", "cerebras_cloud_sdk"): NO_TYPE,
    ("named call in pieces", "cerebras_cloud_sdk"): NO_TYPE,
    ("closed early", "openai (Python)"): NO_END,
    ("closed early", "openai (Python) stream()"): NO_END,
    ("closed early", "cerebras_cloud_sdk"): NO_END,
    ("closed early", "openai (npm)"): NO_END,
    ("closed early in a call", "openai (Python)"): NO_END,
    ("closed early in a call", "openai (Python) stream()"): NO_END,
    ("closed early in a call", "openai (npm)"): NO_END,
}


def end_of(answer, whole):
    if answer["error"]:
        return "error"
    differing = [name for name in chat_clients.MEMBERS if answer[name] != whole[name]]
    if len(differing) == 1:
        return differing[0]
    return "part" if differing else "whole"


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    program = sys.argv[1]
    modules = sys.argv[2] if len(sys.argv) == 3 else None
    wholes, surprises = {}, 0
    for name, door, question, settings, fault in CASES:
        for stream in (True, False):
            messages = [{"role": "user", "content": question}]
            request = {"model": MODEL, "messages": messages, "stream": stream, **settings}
            with Service(program, fault, RATE if fault else 0) as service:
                answers = chat_clients.ask(program, modules, door, url(service, door), request)
            # What an answer is by itself, without a fault.
            asked = json.dumps([door, request])
            if asked not in wholes:
                with Service(program) as service:
                    wholes[asked] = chat_clients.by_ours(program, door, url(service, door), request)
                if len(wholes[asked]["calls"]) != demanded(settings):
                    sys.exit(f"{name}: the service does not call what it is to call")
            print(f"{name}, {'streamed' if stream else 'whole'}")
            for client, answer in answers.items():
                surprises += not shown(name, stream, fault, client, answer, wholes[asked])
    print(f"{surprises} surprises; {chat_clients.versions(modules)}")
    sys.exit(1 if surprises else 0)


def url(service, door):
    return service.chat if door == CEREBRAS else service.compatible


def demanded(settings):
    """Returns how many tools the service is to call."""
    tools = len(settings.get("tools", ()))
    return tools if settings.get("tool_choice") == "required" else min(tools, 1)


def shown(name, stream, fault, client, answer, whole):
    """Prints what a client made of an answer; returns true if that is known of it."""
    truth = "error" if fault else "whole"
    expected, why = KNOWN.get((name, client), (truth, "")) if stream else (truth, "")
    end = end_of(answer, whole)
    is_known = end == expected and answer.get("exit", EXITS[fault]) == EXITS[fault]
    mark = "DIFF" if not is_known else "ok" if end == truth else "known"
    counts = f"{len(answer['text'])} + {len(answer['reasoning'])} characters, calls: {len(answer['calls'])}"
    note = f"({why})" if mark == "known" else answer["error"] or ""
    print(f"  {mark:<6}{client:<27}{end:<10}{counts:<30}{note[:60]}".rstrip())
    return is_known


if __name__ == "__main__":
    main()
