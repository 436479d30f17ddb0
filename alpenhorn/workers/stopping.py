"""SIGINT and SIGTERM: the handlers set a flag, which the run checks."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """A context manager: the first signal sets `asked`; a second one raises SystemExit(128 + signal).

    `wakeup`: a descriptor to which each signal writes, to end a wait.
    """

    def __init__(self, wakeup: int) -> None:
        self.asked = False
        self._wakeup = wakeup
        self._before: dict[signal.Signals, object] = {}

    def __call__(self) -> bool:
        return self.asked

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise SystemExit(128 + number)
        self.asked = True

    def __enter__(self) -> StopRequest:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._note)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
