"""The launcher's command line, and what it says of wrong arguments."""

import re
import types

import pytest
from typer.testing import CliRunner

from kerasdl.training import local_workers
from kerasdl.training.launch import app, run_workers


def test_wrong_arguments_are_told():
    with pytest.raises(ValueError, match=r"^`workers` must be a positive integer\. Received: workers=0\.$"):
        run_workers(["x.py"], workers=0)
    with pytest.raises(ValueError, match=r"^`restarts` must be a whole number, 0 or more\. Received: restarts=-1\.$"):
        run_workers(["x.py"], workers=1, restarts=-1)
    message = '`command` must be a list of words such as ["train.py", "--fast"]. Received: \'x.py\'.'
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        run_workers("x.py", workers=1)


def test_the_command_line_takes_a_script_or_a_module(monkeypatch):
    calls = []
    monkeypatch.setattr("kerasdl.training.launch.run_workers", lambda command, **rest: calls.append((command, rest)))
    runner = CliRunner()
    runner.invoke(app, ["--workers", "3", "-m", "tutorials.lenet", "--quick", "--workers", "9"])
    runner.invoke(app, ["--workers", "2", "--restarts", "4", "--show-all", "train.py", "-m", "--help"])
    assert calls == [
        (["-m", "tutorials.lenet", "--quick", "--workers", "9"], {"workers": 3, "restarts": 0, "show_all": False}),
        (["train.py", "-m", "--help"], {"workers": 2, "restarts": 4, "show_all": True}),
    ]


def test_the_command_line_ends_with_the_exit_code(monkeypatch):
    runner = CliRunner()
    monkeypatch.setattr("kerasdl.training.launch.run_workers", lambda *_, **__: 7)
    assert runner.invoke(app, ["--workers", "3", "train.py"]).exit_code == 7

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("kerasdl.training.launch.run_workers", interrupted)
    assert runner.invoke(app, ["--workers", "3", "train.py"]).exit_code == 130
    assert runner.invoke(app, ["train.py"]).exit_code == 2


@pytest.mark.parametrize("first", [1024, 2000, 9000, 32768])
def test_ports_are_found_wherever_those_of_outgoing_connections_begin(first, monkeypatch):
    file = types.SimpleNamespace(exists=lambda: True, read_text=lambda: f"{first}\t65535\n")
    monkeypatch.setattr(local_workers, "Path", lambda _: file)
    ports = local_workers.free_ports(50)
    assert len(set(ports)) == 50
    assert first < 4000 or max(ports) < first
