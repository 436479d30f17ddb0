"""SIGINT, SIGTERM and SIGHUP: the handlers set a flag, which the run checks."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """A context manager: the first signal sets `asked`; a second one raises SystemExit(128 + signal).

    SIGHUP counts neither as the first nor as the second: when a terminal is closed, kernel and shell send one each,
    and a service manager adds SIGTERM.  It stays ignored if it was ignored before, as by nohup(1).

    `wakeup`: a descriptor to which each signal writes, to end a wait.
    """

    def __init__(self, wakeup: int) -> None:
        self.asked = False
        self._told_to_end = False
        self._wakeup = wakeup
        self._before: dict[signal.Signals, object] = {}

    def __call__(self) -> bool:
        return self.asked

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGHUP:
            if self._told_to_end:
                raise SystemExit(128 + number)
            self._told_to_end = True
        self.asked = True

    def __enter__(self) -> StopRequest:
        for number in SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._note)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
