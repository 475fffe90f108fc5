"""Official Python clients and ours read the same answers of one simulated service.

Usage: python check_chat.py PROGRAM

PROGRAM is our binary. Prints a table; exits with 1 where a client reads something else than the others.
"""

import json
import os
import subprocess
import sys

import openai
from cerebras.cloud.sdk import Cerebras

from simulated import Service

KEY = "sdk-check"
MODEL = "gpt-oss-120b"

# A name, the question, and the settings as the services call them.
CASES = [
    ("plain", "Why is the sky blue?", {}),
    ("long", "Tell me a short story about space.", {}),
    ("unicode", "Sag «Grüße» und 👋🏽 auf Japanisch.", {}),
    ("length", "Tell me a short story about space.", {"max_completion_tokens": 5}),
    ("seed", "Why is the sky blue?", {"seed": 3}),
]

# The members of an answer that are compared.
MEMBERS = ("text", "reasoning", "finish", "prompt", "completion", "total")


def answer(text, reasoning, finish, usage):
    """Returns what is compared, from whatever a client gave."""
    usage = usage or {}
    return {
        "text": text or "",
        "reasoning": reasoning or "",
        "finish": finish,
        "prompt": usage.get("prompt_tokens", usage.get("input_tokens")),
        "completion": usage.get("completion_tokens", usage.get("output_tokens")),
        "total": usage.get("total_tokens"),
    }


def by_sdk(client, question, settings, stream):
    """Asks through an official client; both have the same shape."""
    messages = [{"role": "user", "content": question}]
    given = client.chat.completions.create(model=MODEL, messages=messages, stream=stream, **settings)
    if not stream:
        choice = given.choices[0]
        reasoning = getattr(choice.message, "reasoning", None)
        return answer(choice.message.content, reasoning, choice.finish_reason, given.usage.to_dict())
    text, reasoning, finish, usage = "", "", None, None
    for chunk in given:
        for choice in chunk.choices or []:
            text += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning", None) or ""
            finish = choice.finish_reason or finish
        usage = chunk.usage.to_dict() if chunk.usage else usage
    return answer(text, reasoning, finish, usage)


def by_ours(program, url, question, settings, stream):
    """Asks through our program."""
    command = [program, "chat", "-p", "cerebras", "--no-proxy", "--base-url", url, "-m", MODEL, "--json"]
    if not stream:
        command.append("--no-stream")
    names = {"max_completion_tokens": "--max-tokens", "seed": "--seed"}
    for name, value in settings.items():
        command += [names[name], str(value)]
    environment = {**os.environ, "CEREBRAS_API_KEY": KEY}
    run = subprocess.run(
        [*command, question], env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
    )
    if run.returncode != 0:
        sys.exit(f"our program ended with {run.returncode}:\n{run.stderr.decode()}")
    given = json.loads(run.stdout)
    return answer(given["text"], given["reasoning"], given["finish_reason"], given["usage"])


def shown(value):
    """Returns a value in a column's width."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 28 else f"{text[:20]}… ({len(value)})"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with Service(sys.argv[1]) as service:
        check(sys.argv[1], service.chat)


def check(program, url):
    clients = {
        "openai": openai.OpenAI(base_url=url, api_key=KEY, max_retries=0),
        # This client adds the version to the path itself, and connects early unless told not to.
        "cerebras_cloud_sdk": Cerebras(
            base_url=url.removesuffix("/v1"), api_key=KEY, max_retries=0, warm_tcp_connection=False
        ),
    }
    differences = 0
    for name, question, settings in CASES:
        for stream in (True, False):
            answers = {"inferstream": by_ours(program, url, question, settings, stream)}
            for client in clients:
                answers[client] = by_sdk(clients[client], question, settings, stream)
            print(f"{name}, {'streamed' if stream else 'whole'}")
            for member in MEMBERS:
                values = {client: given[member] for client, given in answers.items()}
                # Streamed and whole may differ between each other, clients may not.
                is_same = len({json.dumps(value) for value in values.values()}) == 1
                differences += not is_same
                row = "".join(f"{shown(value):<32}" for value in values.values())
                print(f"  {'ok  ' if is_same else 'DIFF'} {member:<11}{row}".rstrip())
    versions = f"openai {openai.__version__}, cerebras_cloud_sdk {sys.modules['cerebras.cloud.sdk'].__version__}"
    print(f"{differences} differences; columns: inferstream, {versions}")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
