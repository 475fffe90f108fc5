"""A counted service, a gateway that keeps responses, and rows, for the tests of engines."""

import json
import os
import signal
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROWS = 400


class Service:
    """A chat service on loopback that counts the requests for each prompt."""

    def __init__(self):
        self.counts = {}
        self.lock = threading.Lock()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                prompt = body["messages"][-1]["content"]
                with service.lock:
                    service.counts[prompt] = service.counts.get(prompt, 0) + 1
                time.sleep(0.1)
                message = {"role": "assistant", "content": f"response to {prompt}"}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
                document = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
                document |= {"choices": [choice], "usage": usage}
                data = json.dumps(document).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def sum(self):
        with self.lock:
            return sum(self.counts.values())


class Gateway:
    """`inferstream serve` in front of the service, with a file of kept responses."""

    def __init__(self, program, url, folder):
        config = os.path.join(folder, "config.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f'[providers.local]\nkind = "openai-compat"\nbase_url = "{url}"\n')
        kept = os.path.join(folder, "kept.jsonl")
        command = [program, "serve", "--config", config, "--listen", "127.0.0.1:0", "--no-log"]
        self.process = subprocess.Popen(
            command + ["--kept-responses", kept],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.url = self.process.stdout.readline().strip()

    def stop(self):
        self.process.terminate()
        self.process.wait()


def command(program, gateway):
    """The worker: rows on standard input, results on standard output."""
    model = ["-p", "openai-compat", "--base-url", gateway.url, "-m", "local/m"]
    return [program, "batch", *model, "--max-in-flight", "8", "--failed-as-rows"]


def rows():
    return [json.dumps({"custom_id": f"r{n}", "prompt": f"prompt {n}"}) for n in range(ROWS)]


def kill_one(program, service, done):
    """Kills one worker once a quarter of the rows was sent; appends its process id."""

    def run():
        while service.sum() < ROWS // 4:
            time.sleep(0.01)
        for name in os.listdir("/proc"):
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            if words[:2] == [program.encode(), b"batch"]:
                os.kill(int(name), signal.SIGKILL)
                done.append(int(name))
                return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def check(engine, results, service, killed):
    """Checks that each row is complete once, and that the service was asked once for each."""
    ids = []
    for line in results:
        result = json.loads(line)
        assert result["error"] is None, line
        ids.append(result["custom_id"])
    assert sorted(ids) == sorted(f"r{n}" for n in range(ROWS)), "rows are missing or double"
    asked = service.sum()
    print(f"{engine}: {ROWS} rows, {len(ids)} results, {asked} requests, {killed} workers killed")
    assert asked == ROWS, "a row was sent to the service twice"
