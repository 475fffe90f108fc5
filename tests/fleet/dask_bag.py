"""Dask: each partition of a bag is the input of one `inferstream batch`, of which one is killed."""

import subprocess
import sys
import tempfile

import dask.bag

import fleet


def ask(part, command):
    """Runs a worker on a partition, again if it was killed."""
    text = "".join(row + "\n" for row in part)
    for _ in range(4):
        done = subprocess.run(command, input=text, capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.splitlines()
    raise RuntimeError(f"inferstream exited with {done.returncode}: {done.stderr}")


def main():
    program = sys.argv[1]
    service = fleet.Service()
    with tempfile.TemporaryDirectory() as folder:
        gateway = fleet.Gateway(program, service.url, folder)
        killed = []
        thread = fleet.kill_one(program, service, killed)
        bag = dask.bag.from_sequence(fleet.rows(), npartitions=4)
        bag = bag.map_partitions(ask, fleet.command(program, gateway))
        results = bag.compute(scheduler="processes", num_workers=2)
        thread.join()
        gateway.stop()
    assert len(killed) == 1
    fleet.check("dask", results, service, len(killed))


if __name__ == "__main__":
    main()
