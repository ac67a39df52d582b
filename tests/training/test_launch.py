"""Several workers on one machine: started, heard, ended together. These programs are small and need no TensorFlow."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from kerasdl.training import launch, local_workers
from kerasdl.training.launch import run_workers
from kerasdl.training.local_workers import free_ports, share_out, visible_gpus

START = """
import json, os, pathlib, signal, sys, time
config = json.loads(os.environ["TF_CONFIG"])
index, folder = config["task"]["index"], pathlib.Path(sys.argv[1])
attempt = len(list(folder.glob(f"{index}.*")))
# Whole or not at all: whoever waits for this file may end us at once.
(folder / f"part{index}").write_text(json.dumps({**os.environ}))
(folder / f"part{index}").rename(folder / f"{index}.{attempt}")
def others_are_there(count):
    while len(list(folder.glob("*.0"))) < count:
        time.sleep(0.01)
"""


@pytest.fixture
def program(tmp_path):
    """Makes a program's command of its text."""

    def write(text):
        path = tmp_path / "program.py"
        path.write_text(START + textwrap.dedent(text))
        (tmp_path / "seen").mkdir()
        return [str(path), str(tmp_path / "seen")]

    return write


def seen(tmp_path):
    """The surroundings that each worker found, by "worker.attempt"."""
    return {path.name: json.loads(path.read_text()) for path in (tmp_path / "seen").iterdir()}


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_each_worker_learns_its_place_and_the_addresses_of_all(program, tmp_path, capfd):
    assert run_workers([*program("print('hello from', index, sys.argv[2:])"), "--fast", "-m"], workers=3) == 0
    found = seen(tmp_path)
    assert sorted(found) == ["0.0", "1.0", "2.0"]
    configs = [json.loads(found[f"{index}.0"]["TF_CONFIG"]) for index in range(3)]
    assert [config["task"] for config in configs] == [{"type": "worker", "index": index} for index in range(3)]
    addresses = configs[0]["cluster"]["worker"]
    assert all(config["cluster"] == {"worker": addresses} for config in configs)
    assert len(set(addresses)) == 3
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", address) for address in addresses)
    # Only the chief is heard.
    shown = capfd.readouterr()
    assert shown.out == "hello from 0 ['--fast', '-m']\n"
    assert shown.err == ""


def test_the_cores_are_shared_out(program, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(7)))
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")  # whoever has chosen a number keeps it
    assert run_workers(program(""), workers=2) == 0
    for found in seen(tmp_path).values():
        assert found["TF_NUM_INTRAOP_THREADS"] == "3"
        assert found["OMP_NUM_THREADS"] == "5"


def test_the_gpus_are_shared_out(monkeypatch):
    assert share_out(["0", "1", "2"], 3) == ["0", "1", "2"]
    assert share_out(["GPU-a", "GPU-b", "GPU-c", "GPU-d", "GPU-e"], 2) == ["GPU-a,GPU-b", "GPU-c,GPU-d"]
    for chosen, found in [("", []), ("-1", []), ("2,0", ["2", "0"]), ("3,-1,0", ["3"])]:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
        assert visible_gpus() == found
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    listed = "GPU 0: NVIDIA H200 (UUID: GPU-1)\n  MIG 1g\nGPU 1: NVIDIA H200 (UUID: GPU-2)\n"
    monkeypatch.setattr(local_workers.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(
        local_workers.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, stdout=listed)
    )
    assert visible_gpus() == ["0", "1"]


def test_more_workers_than_gpus_compute_on_the_cpu(program, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert run_workers(program(""), workers=2) == 0
    assert [found["CUDA_VISIBLE_DEVICES"] for found in seen(tmp_path).values()] == ["-1", "-1"]
    assert capfd.readouterr().err == "launch: 2 workers, and fewer GPUs: all of them compute on the CPU.\n"


def test_free_ports_are_free_and_not_those_of_outgoing_connections():
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert max(ports) < int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", ports[0]))
        assert ports[0] not in free_ports(1_000)


def test_every_worker_is_heard_behind_its_number(program, capfd):
    command = program("print('one\\ntwo', flush=True); print('wrong', file=sys.stderr)")
    assert run_workers(command, workers=2, show_all=True) == 0
    shown = capfd.readouterr().out.splitlines()
    for index in (0, 1):
        assert [line for line in shown if line.startswith(f"[{index}]")] == [
            f"[{index}] one",
            f"[{index}] two",
            f"[{index}] wrong",
        ]


def test_one_that_fails_ends_all_though_they_hang(program, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(launch, "_SECONDS_TO_END", 0.3)
    command = program("""
        if index == 2:
            while sum(path.stat().st_size > 0 for path in folder.glob("*.pid")) < 2:
                time.sleep(0.01)
            print("a line that tells why")
            sys.exit(7)
        if index == 1:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (folder / f"{index}.pid").write_text(str(os.getpid()))
        time.sleep(120)
    """)
    begin = time.monotonic()
    assert run_workers(command, workers=3) == 7
    assert time.monotonic() - begin < 60
    assert not any(is_running(int(path.read_text())) for path in (tmp_path / "seen").glob("*.pid"))
    shown = capfd.readouterr().err
    assert re.fullmatch(r"launch: Worker 2 ended with exit code 7 after \d+ s\.\n\[2\] a line that tells why\n", shown)


def test_what_a_worker_started_ends_with_it(program, tmp_path):
    command = program("""
        import subprocess
        (folder / "child.pid").write_text(str(subprocess.Popen(["sleep", "120"]).pid))
        sys.exit(3)
    """)
    assert run_workers(command, workers=1) == 3
    pid, end = int((tmp_path / "seen" / "child.pid").read_text()), time.monotonic() + 60
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.01)
    assert not is_running(pid)


def test_one_that_ended_well_too_early_is_named(program, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(launch, "_SECONDS_TO_FOLLOW", 0.2)
    command = program("""
        if index == 1:
            print("nothing to do")
            sys.exit(0)
        while not (folder / "told").exists():
            time.sleep(0.01)
        sys.exit(4)
    """)
    say, told = launch._say, tmp_path / "seen" / "told"
    monkeypatch.setattr(launch, "_say", lambda *lines: (say(*lines), told.touch()))
    assert run_workers(command, workers=2) == 4
    shown = re.sub(r"after \d+ s", "after some s", capfd.readouterr().err)
    assert shown == (
        "launch: Workers [0] still run, 0 s after another ended with exit code 0.\n"
        "launch: Worker 0 ended with exit code 4 after some s.\n"
        "launch: Before that worker 1 had ended with exit code 0.\n"
        "[1] nothing to do\n"
    )


def test_who_reads_no_further_leaves_the_worker_in_peace(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        printed = io.BytesIO(b"one\ntwo\n")
        local_workers._show(0, printed)
        assert printed.closed
        assert os.readlink(f"/proc/self/fd/{writing}") == os.devnull


def test_who_was_killed_is_found_among_those_who_fell_with_it(program, capfd):
    command = program("""
        if index == 1:
            (folder / "pid").write_text(str(os.getpid()))
            (folder / "pid").rename(folder / "killed")
            others_are_there(3)
            os.kill(os.getpid(), signal.SIGKILL)
        while not (folder / "killed").exists():
            time.sleep(0.01)
        killed = (folder / "killed").read_text()
        try:
            while " Z " not in pathlib.Path(f"/proc/{killed}/stat").read_text():
                pass
        except (FileNotFoundError, ProcessLookupError):
            pass  # the launcher has seen its end before us
        sys.exit(1)
    """)
    assert run_workers(command, workers=3) == 128 + signal.SIGKILL
    assert re.match(r"launch: Worker 1 was killed by SIGKILL after \d+ s\.\n", capfd.readouterr().err)


def test_all_start_again_where_one_failed(program, tmp_path, capfd):
    command = program("""
        while index == 1 and not (folder / f"0.{attempt}").exists():
            time.sleep(0.01)
        if index == 1 and attempt < 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if attempt < 2:
            time.sleep(60)
    """)
    assert run_workers(command, workers=2, restarts=2) == 0
    found = seen(tmp_path)
    assert sorted(found) == ["0.0", "0.1", "0.2", "1.0", "1.1", "1.2"]
    assert len({found[f"0.{attempt}"]["TF_CONFIG"] for attempt in range(3)}) == 3  # on new ports
    lines = capfd.readouterr().err.splitlines()
    assert [line for line in lines if "again" in line] == [
        "launch: Starting all 2 again (restart 1 of 2).",
        "launch: Starting all 2 again (restart 2 of 2).",
    ]


def test_it_gives_up_after_so_many_restarts_and_at_once_after_a_wrong_option(program, tmp_path):
    command = program("sys.exit(int(sys.argv[2]))")
    assert run_workers([*command, "5"], workers=1, restarts=1) == 5
    assert sorted(seen(tmp_path)) == ["0.0", "0.1"]
    assert run_workers([*command, "2"], workers=1, restarts=1) == 2
    assert sorted(seen(tmp_path)) == ["0.0", "0.1", "0.2"]


@pytest.mark.parametrize(("signum", "passed"), [("SIGINT", "SIGINT"), ("SIGTERM", "SIGTERM"), ("SIGHUP", "SIGTERM")])
def test_a_signal_reaches_each_worker_once_and_then_us(program, tmp_path, signum, passed, capfd):
    command = program("""
        heard = []
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            signal.signal(getattr(signal, name), lambda number, _: heard.append(signal.Signals(number).name))
        (folder / f"{index}.ready").write_text("")
        while not heard:
            time.sleep(0.01)
        time.sleep(0.5 * (1 - index))  # the chief is still saving when the other one has ended
        (folder / f"{index}.heard").write_text(" ".join(heard))
        sys.exit(9)
    """)
    arrived = []
    before = signal.signal(getattr(signal, signum), lambda number, _: arrived.append(number))

    def press():
        while len(list((tmp_path / "seen").glob("*.ready"))) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), getattr(signal, signum))

    thread = threading.Thread(target=press)
    thread.start()
    try:
        # Nor are they started again: somebody wanted an end.
        assert run_workers(command, workers=2, restarts=3) == 9
    finally:
        thread.join()
        signal.signal(getattr(signal, signum), before)
    assert arrived == [getattr(signal, signum)]
    assert [(tmp_path / "seen" / f"{index}.heard").read_text() for index in (0, 1)] == [passed, passed]
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux to end a process with its parent")
def test_no_worker_outlives_a_killed_launcher(program, tmp_path):
    command = program("""
        (folder / f"{index}.pid").write_text(str(os.getpid()))
        time.sleep(120)
    """)
    launcher = subprocess.Popen([sys.executable, "-m", "kerasdl.training.launch", "--workers", "2", *command])
    pids = []
    while len(pids) < 2 or not all(pids):
        assert launcher.poll() is None
        time.sleep(0.02)
        pids = [path.read_text() for path in (tmp_path / "seen").glob("*.pid")]
    launcher.kill()
    launcher.wait()
    end = time.monotonic() + 60
    while any(is_running(int(pid)) for pid in pids) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(is_running(int(pid)) for pid in pids)
