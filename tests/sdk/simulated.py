"""A simulated service for the scripts beside this one."""

import subprocess


class Service:
    """`inferstream simulate`, with one fault for all requests or none, until the end of the block.

    It says so many tokens in a second; 0 is as fast as it goes.
    """

    def __init__(self, program, fault=None, rate=0):
        command = [program, "simulate", "--tps", str(rate)] + (["--every-fault", fault] if fault else [])
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        self.chat = self.process.stdout.readline().strip()
        root = self.chat.removesuffix("/v1")
        self.cloudflare = root + "/client/v4"
        self.compatible = root + "/compatible/v1"
        self.replicate = root + "/replicate/v1"
        for line in self.process.stderr:
            if "--stream-origin" in line:
                self.streams = line.split("--stream-origin ")[1].split()[0]
                break
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
