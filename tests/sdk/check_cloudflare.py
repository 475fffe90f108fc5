"""Official clients of Cloudflare Workers AI and ours read the same answers of one simulated service.

Usage: python check_cloudflare.py PROGRAM [NODE_MODULES]

PROGRAM is our binary; NODE_MODULES the folder that holds npm's `ai` and `workers-ai-provider`, without
which that client is left out. Prints a table; exits with 1 where a client reads something else than the
others.
"""

import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys

import cloudflare

from simulated import Service

KEY = "sdk-check"
ACCOUNT = "0" * 32
PROMPT = "Why is the sky blue? Sag «Grüße» und 👋🏽."

# One model of each style in which the service answers, and a limit of tokens.
CASES = [
    ("@cf/meta/llama-3.3-70b-instruct-fp8-fast", 500),
    ("@cf/meta/llama-3.3-70b-instruct-fp8-fast", 5),
    ("@cf/meta/llama-3.1-8b-instruct-fp8", 500),
    ("@cf/meta/llama-2-7b-chat-int8", 500),
    ("@cf/google/gemma-4-26b-a4b-it", 500),
    ("@cf/openai/gpt-oss-120b", 500),
    ("@cf/qwen/qwq-32b", 500),
    ("@cf/moonshotai/kimi-k2.6", 500),
]


def by_ours(program, service, model, limit, *flags):
    command = [program, "chat", "-p", "cloudflare", "--no-proxy", "--base-url", service.cloudflare, "--json"]
    command += ["--account", ACCOUNT, "-m", model, "--max-tokens", str(limit), *flags, PROMPT]
    environment = {**os.environ, "CLOUDFLARE_API_TOKEN": KEY}
    run = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    if run.returncode != 0:
        sys.exit(f"our program ended with {run.returncode}:\n{run.stderr.decode()}")
    answer = json.loads(run.stdout)
    usage = answer["usage"] or {}
    return {"text": answer["text"], "input": usage.get("input_tokens"), "output": usage.get("output_tokens")}


def by_python(service, model, limit):
    """Asks for a whole answer: the package gives a stream's bytes as they are."""
    client = cloudflare.Cloudflare(api_token=KEY, base_url=service.cloudflare, max_retries=0)
    messages = [{"role": "user", "content": PROMPT}]
    result = client.ai.run(model, account_id=ACCOUNT, messages=messages, max_tokens=limit)
    if "choices" in result:
        text = result["choices"][0]["message"]["content"]
    else:
        text = result["response"]
    usage = result["usage"]
    return {"text": text, "input": usage["prompt_tokens"], "output": usage["completion_tokens"]}


def by_npm(modules, service, model, limit):
    script = pathlib.Path(__file__).with_name("cloudflare.mjs")
    command = ["node", str(script), service.cloudflare, ACCOUNT, model, PROMPT, str(limit)]
    run = subprocess.run(command, cwd=modules, capture_output=True, text=True, timeout=60)
    if run.returncode != 0:
        sys.exit(f"npm's client ended with {run.returncode}:\n{run.stderr}")
    answer = json.loads(run.stdout)
    if answer["error"]:
        sys.exit(f"npm's client failed: {answer['error']}")
    return {name: answer[name] for name in ("text", "input", "output")}


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    program = sys.argv[1]
    modules = sys.argv[2] if len(sys.argv) == 3 else None
    differences = 0
    with Service(program) as service:
        for model, limit in CASES:
            answers = {
                "streamed": by_ours(program, service, model, limit),
                "whole": by_ours(program, service, model, limit, "--no-stream"),
                "python": by_python(service, model, limit),
            }
            if modules:
                answers["npm"] = by_npm(modules, service, model, limit)
            print(f"{model}, {limit} tokens at most")
            for client, answer in answers.items():
                # By the path that these clients take some models' end counts as a token, by ours not.
                is_same = all(answer[name] == answers["streamed"][name] for name in ("text", "input"))
                differences += not is_same
                mark = "ok  " if is_same else "DIFF"
                counts = f"{answer['input']} and {answer['output']} tokens"
                print(f"  {mark} {client:<9}{len(answer['text']):>5} characters, {counts}")
    versions = f"python cloudflare {importlib.metadata.version('cloudflare')}"
    if modules:
        package = pathlib.Path(modules) / "node_modules/workers-ai-provider/package.json"
        versions += f", npm workers-ai-provider {json.loads(package.read_text())['version']}"
    print(f"{differences} differences; {versions}")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
