"""Ctrl-C, and the signal by which a machine asks a process to end: heard, but not before the work is safe."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_EXIT_AFTER_TERM = 128 + signal.SIGTERM


class Interrupts:
    """Within it SIGINT and SIGTERM only set `came`, so that what is under way can be finished and saved.

    A second signal ends at once. Only the main thread of a process may listen to signals: in others nothing changes.

    Attributes:
        came: Whether a signal came.
        can_wait: Whether there is something to save; where there is not, a signal ends at once.
    """

    def __init__(self) -> None:
        self.came = False
        self.can_wait = False
        self._number = signal.SIGINT
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # Who started us with the signal ignored (nohup does) wants it ignored.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def leave(self) -> None:
        """Ends as the signal wants it: KeyboardInterrupt after Ctrl-C, the exit status 143 after SIGTERM."""
        if self._number == signal.SIGTERM:
            raise SystemExit(_EXIT_AFTER_TERM)
        raise KeyboardInterrupt

    def _hear(self, number: int, frame: FrameType | None) -> None:
        at_once = self.came or not self.can_wait
        self.came, self._number = True, signal.Signals(number)
        if at_once:
            self.leave()
