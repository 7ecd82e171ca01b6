"""A scan on two local Dask workers, one of which is killed midway, against the same scan on this machine.

    python benchmarks/cluster.py DIRECTORY

DIRECTORY holds repositories. Needs the extras ``scan`` and ``dask``. Exits with 1 where the results differ.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster

WORKERS = 2


def begin(directory: Path, output: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "nograd_lint", "scan", str(directory), "-q", "-o", str(output), *more]
    return subprocess.Popen(command)


def timed(name: str, process: subprocess.Popen[bytes], started: float) -> None:
    code = process.wait()
    print(f"{name:32} {time.monotonic() - started:7.1f} s   exit code {code}", flush=True)


def kill_one(cluster: LocalCluster, client: Client, running: subprocess.Popen[bytes]) -> None:
    """Kill the first worker that is at work when something is done already."""

    def look(dask_scheduler: Any) -> str | None:
        done = any(p.name == "lint" and "compute" in p.all_durations for p in dask_scheduler.task_prefixes.values())
        busy = [w.name for w in dask_scheduler.workers.values() if w.processing]
        return busy[0] if done and busy else None

    while running.poll() is None:
        victim = client.run_on_scheduler(look)
        if victim is not None:
            cluster.workers[victim].process.process.kill()
            print(f"killed worker {victim}", flush=True)
            return
        time.sleep(0.02)
    raise SystemExit("over before a worker could be killed: give it more repositories")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, f"{name}.parquet") for name in ("local", "cluster", "killed")]
        started = time.monotonic()
        timed(f"{WORKERS} processes", begin(directory, outputs[0], "--jobs", str(WORKERS)), started)
        for deadly in (False, True):
            cluster = LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None)
            with cluster, Client(cluster) as client:
                more = ("--executor", "dask", "--scheduler", cluster.scheduler_address)
                started = time.monotonic()
                process = begin(directory, outputs[1 + deadly], *more)
                if deadly:
                    kill_one(cluster, client, process)
                timed(f"{WORKERS} Dask workers{', one killed' * deadly}", process, started)
        same = len({path.read_bytes() for path in outputs}) == 1
        print("the results are the same" if same else "THE RESULTS DIFFER")
    return int(not same)


if __name__ == "__main__":
    raise SystemExit(main())
