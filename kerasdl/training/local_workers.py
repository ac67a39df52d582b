"""The processes of one attempt: started with addresses to talk to each other, and ended together."""

import contextlib
import dataclasses
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

# A worker whose launcher was killed must not go on writing into the folders of whoever is started next. So each asks
# Linux for its end with its parent's, and then becomes the program.
_SHIM = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    sys.exit("the launcher is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""
_SHOWN_LINES = 20


@dataclasses.dataclass
class Worker:
    """One process.

    Args:
        index: Its place among the workers; 0 is the chief.
        process: The process.
        log: The file with what it printed, None where that was shown.
        code: How it ended, None while it runs: its exit code, or minus the signal that killed it.
    """

    index: int
    process: subprocess.Popen
    log: Path | None
    code: int | None = None

    @property
    def exit_code(self) -> int:
        """Its end as a shell tells it: 128 and the signal where one killed it."""
        return 0 if self.code is None else self.code if self.code >= 0 else 128 - self.code

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        if self.code is not None and self.code < 0:
            return f"was killed by {signal.Signals(-self.code).name}"
        return f"ended with exit code {self.code}"

    def last_lines(self) -> str:
        """The end of what it printed, where nobody saw it."""
        if self.log is None:
            return ""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN_LINES:]
        return "".join(f"[{self.index}] {line}\n" for line in lines)


class Group:
    """All workers of one attempt, each a process in a session of its own, so that a signal reaches each one once.

    Args:
        command: What comes behind `python`: a script or `-m module`, and its arguments.
        workers: How many.
        folder: Where to keep what the workers print that is not shown.
        show_all: Whether to show what all print, each line behind its worker's number, and not only the chief's.
    """

    def __init__(self, command: Sequence[str], workers: int, folder: Path, *, show_all: bool) -> None:
        self.workers: list[Worker] = []
        self._readers: list[threading.Thread] = []
        words = [sys.executable, *command]
        if sys.platform == "linux":
            words = [sys.executable, "-I", "-S", "-c", _SHIM, str(os.getpid()), *words]
        try:
            for index, environment in enumerate(_environments(workers)):
                self._start(index, words, environment, folder, show_all)
        except BaseException:
            self.kill()
            raise

    def _start(self, index: int, words: list[str], environment: dict[str, str], folder: Path, show_all: bool) -> None:
        log = None if show_all or index == 0 else folder / f"worker_{index}.txt"
        output = subprocess.PIPE if show_all else None
        file = log.open("wb") if log else None
        try:
            process = subprocess.Popen(
                words,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file or output,
                stderr=subprocess.STDOUT if file or output else None,
                start_new_session=True,
            )
        finally:
            if file:
                file.close()
        self.workers.append(Worker(index, process, log))
        if show_all:
            reader = threading.Thread(target=_show, args=(index, process.stdout), daemon=True)
            reader.start()
            self._readers.append(reader)

    def newly_ended(self) -> list[Worker]:
        """Those that ended since the last call; first those that a signal killed, for no other one pulled them down."""
        ended = []
        for worker in self.running():
            worker.code = worker.process.poll()
            if worker.code is not None:
                _kill_group(worker)
                ended.append(worker)
        return sorted(ended, key=lambda worker: (worker.code or 0) >= 0)

    def running(self) -> list[Worker]:
        """Those that run still."""
        return [worker for worker in self.workers if worker.code is None]

    def send(self, signum: int) -> None:
        """Sends a signal to all that run still, and to the processes that they started."""
        for worker in self.running():
            # Not reaped yet, so the number is still its own.
            if worker.process.poll() is None:
                os.killpg(worker.process.pid, signum)

    def kill(self) -> None:
        """Ends all at once and for certain."""
        for worker in self.running():
            _kill_group(worker)
        for worker in self.running():
            worker.code = worker.process.wait()

    def finish(self) -> None:
        """Waits until everything that was printed is shown."""
        for reader in self._readers:
            reader.join(timeout=5.0)


def _kill_group(worker: Worker) -> None:
    """Ends a worker, and what it started: readers of data that outlive it would hold GPUs and files."""
    # Of one that has ended: the group keeps its number while one of it is there, and Linux gives new ones upwards, so
    # that nobody else has it a moment later.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.process.pid, signal.SIGKILL)


def _show(index: int, output: IO[bytes]) -> None:
    with output:
        for line in output:
            try:
                # In one piece, or the lines of two workers get mixed.
                sys.stdout.write(f"[{index}] {line.decode('utf-8', errors='replace').rstrip()}\n")
                sys.stdout.flush()
            except BrokenPipeError:  # Nobody reads any more (`| head`); the worker must be able to go on.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _environments(workers: int) -> list[dict[str, str]]:
    """What each worker finds in its surroundings: the others' addresses, its own place, its share of the machine."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    shares = [{"CUDA_VISIBLE_DEVICES": devices} for devices in share_out(visible_gpus(), workers)]
    # As many threads for each as would use every core, all taken together: more of them get in each other's way.
    threads = str(max(1, len(os.sched_getaffinity(0)) // workers) if hasattr(os, "sched_getaffinity") else 1)
    shared = {"TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads} | os.environ
    return [
        shared
        | (shares[index] if shares else {})
        | {
            "TF_CONFIG": json.dumps(
                {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}},
            )
        }
        for index in range(workers)
    ]


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody listens on.

    They are taken from below those that Linux gives to outgoing connections, for the workers listen only seconds later.

    Args:
        count: How many.

    Example:
        >>> len(set(free_ports(3)))
        3
    """
    first_of_linux = Path("/proc/sys/net/ipv4/ip_local_port_range")
    last = int(first_of_linux.read_text().split()[0]) if first_of_linux.exists() else 32768
    # Not by Python's shared generator, which the caller may have seeded: two groups would meet on one port.
    # Where outgoing connections may have nearly all of them, there is no such place.
    ports = range(max(1024, last - 12_000), last) if last > 4_000 else range(1024, 32768)
    candidates = random.SystemRandom().sample(ports, k=2_000)
    found: list[int] = []
    for port in candidates:
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"There are not {count} free ports on this machine. Found: {len(found)}.")


def visible_gpus() -> list[str]:
    """The numbers or names of this machine's NVIDIA GPUs that programs may use, without opening one."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        names = [name.strip() for name in chosen.split(",") if name.strip()]
        return names[: names.index("-1")] if "-1" in names else names
    if shutil.which("nvidia-smi") is None:
        return []
    shown = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    return [str(index) for index in range(sum(line.startswith("GPU ") for line in shown.stdout.splitlines()))]


def share_out(gpus: Sequence[str], workers: int) -> list[str]:
    """What each worker gets for CUDA_VISIBLE_DEVICES: equal shares, and none where there are too few for all.

    Args:
        gpus: The GPUs.
        workers: How many workers.

    Example:
        >>> share_out(["0", "1", "2", "3"], 2), share_out(["0"], 2), share_out([], 2)
        (['0,1', '2,3'], ['-1', '-1'], [])
    """
    if not gpus:
        return []
    each = len(gpus) // workers
    return [",".join(gpus[index * each : (index + 1) * each]) or "-1" for index in range(workers)]
