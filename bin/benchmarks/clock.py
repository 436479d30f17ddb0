"""Running programs with a stop-watch."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent  # of the environment that the program is installed in
PYTHON = sys.executable
ALPENHORN = str(BIN / "alpenhorn")


class BenchFailed(Exception):
    """Something that is measured did not do its work, so that its time means nothing."""


@dataclass(frozen=True, slots=True)
class Spent:
    """`seconds` from the start to the end; `user` and `system`: processor time, all processes together;
    `peak_b`: memory of the largest of its processes; `output`: what it printed."""

    seconds: float
    user: float
    system: float
    peak_b: int
    output: str


def environment(home: Path) -> dict[str, str]:
    """What the programs see: no configuration but the bench's own, and modules are compiled as usual."""
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)])
    return {"PATH": path, "HOME": str(home), "LC_ALL": "C.UTF-8"}


def run(home: Path, *commands: Sequence[str]) -> Spent:
    """Run programs side by side in the directory `home`, until the last has ended.

    Raises BenchFailed when one cannot be started or ends with another status than 0.
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
                raise BenchFailed(f"{argv[0]} cannot be started: {error.strerror}") from None
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
            raise BenchFailed(f"{shlex.join(argv)} ended with status {process.returncode}:\n{said}")
    seconds = time.perf_counter() - started
    return Spent(seconds, user, system, peak, "".join(path.read_text(errors="replace") for path in outputs))


def flush(directory: Path) -> None:
    """Bring everything on the file system of `directory` to the medium, so that nobody pays for another."""
    subprocess.run(["sync", "-f", str(directory)], check=True)
