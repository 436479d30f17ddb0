"""Run programs and measure their time and memory."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent  # the environment in which alpenhorn is installed
PYTHON = sys.executable
ALPENHORN = str(BIN / "alpenhorn")


class BenchFailed(Exception):
    """A measured program did not do its work, so its time means nothing."""


@dataclass(frozen=True, slots=True)
class Spent:
    """`seconds` from start to end; `user` and `system`: processor time of all processes, in seconds; `peak_b`: peak
    memory of the largest process, in bytes; `output`: standard output and standard error."""

    seconds: float
    user: float
    system: float
    peak_b: int
    output: str


def environment(home: Path) -> dict[str, str]:
    """Return an environment without any other configuration, in which modules are compiled as usual."""
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)])
    return {"PATH": path, "HOME": str(home), "LC_ALL": "C.UTF-8"}


def run(home: Path, *commands: Sequence[str]) -> Spent:
    """Run programs in parallel in the directory `home` until all have ended.

    Raises BenchFailed if one cannot be started or exits with a status other than 0.
    """
    outputs = [home / f"output-{number}" for number in range(len(commands))]
    running: list[tuple[Sequence[str], subprocess.Popen[bytes], Path]] = []
    started = time.perf_counter()
    for argv, output in zip(commands, outputs, strict=True):
        with output.open("wb") as file:
            try:
                process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    cwd=home,
                    env=environment(home),
                )
            except OSError as error:
                raise BenchFailed(f"{argv[0]}: cannot be started: {error.strerror}") from None
        running.append((argv, process, output))
    user = system = 0.0
    peak = 0
    for argv, process, output in running:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        user += usage.ru_utime
        system += usage.ru_stime
        peak = max(peak, usage.ru_maxrss * 1024)
        if process.returncode != 0:
            for _, other, _ in running:
                if other.returncode is None:
                    other.kill()
                    other.wait()
            said = output.read_text(errors="replace").strip()
            raise BenchFailed(f"{shlex.join(argv)}: exit status {process.returncode}:\n{said}")
    seconds = time.perf_counter() - started
    return Spent(seconds, user, system, peak, "".join(path.read_text(errors="replace") for path in outputs))


def flush(directory: Path) -> None:
    """Flush the file system of `directory`, so that no program pays for the writes of another."""
    subprocess.run(["sync", "-f", str(directory)], check=True)
