"""Ray Data: an actor keeps one `inferstream batch` for all its blocks of rows."""

import subprocess
import sys
import tempfile

import ray

import fleet


class Worker:
    """One long-lived process: rows are written to it, and as many results are read from it."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def __call__(self, batch):
        rows = list(batch["row"])
        self.process.stdin.write("".join(row + "\n" for row in rows))
        self.process.stdin.flush()
        results = [self.process.stdout.readline() for _ in rows]
        if not all(results):
            raise RuntimeError("inferstream ended")
        return {"result": results}


def main():
    program = sys.argv[1]
    service = fleet.Service()
    with tempfile.TemporaryDirectory() as folder:
        gateway = fleet.Gateway(program, service.url, folder)
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        rows = ray.data.from_items([{"row": row} for row in fleet.rows()], override_num_blocks=8)
        results = rows.map_batches(
            Worker,
            fn_constructor_args=(fleet.command(program, gateway),),
            batch_size=50,
            compute=ray.data.ActorPoolStrategy(size=2),
        )
        lines = [row["result"] for row in results.take_all()]
        ray.shutdown()
        gateway.stop()
    fleet.check("ray", lines, service, 0)


if __name__ == "__main__":
    main()
