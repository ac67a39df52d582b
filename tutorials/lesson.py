"""What makes a function a lesson: its house-keeping, and its command line."""

import datetime
import functools
import importlib.metadata
import inspect
import json
import os
import platform
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import rich.console
import rich.table
import typer

P = ParamSpec("P")


def lesson(main: Callable[P, dict[str, float]]) -> Callable[P, dict[str, float]]:
    """Decorates a lesson's `main`: checks its arguments, writes `out/metrics.json`, removes what an earlier run left.

    The file holds the metrics with all one needs to get them again: arguments, command, versions, seconds. Where
    several workers run the lesson, only the chief's results are kept: all of them would write the same files.

    Args:
        main: A function of keyword arguments, among them `out`, that returns its metrics.
    """
    signature = inspect.signature(main)
    name = Path(inspect.getfile(main)).stem

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> dict[str, float]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = bound.arguments
        epochs = arguments.get("epochs")
        if epochs is not None and epochs < 1:
            raise ValueError(f"`epochs` must be at least 1. Received: epochs={epochs}.")
        if _keeps_nothing():
            with tempfile.TemporaryDirectory() as elsewhere:
                arguments["out"] = Path(elsewhere)
                (arguments["out"] / "figures").mkdir()
                return {key: float(value) for key, value in main(*bound.args, **bound.kwargs).items()}
        arguments["out"] = out = Path(arguments["out"])
        earlier = {path: path.stat().st_mtime_ns for path in _prepare(out, name)}
        begin, computed = time.perf_counter(), sum(os.times()[:4])
        metrics = {key: float(value) for key, value in main(*bound.args, **bound.kwargs).items()}
        record = {
            "lesson": name,
            "metrics": metrics,
            "arguments": {key: str(value) if isinstance(value, Path) else value for key, value in arguments.items()},
            "command": f"python -m kerasdl.tutorials.{name}" + _options(arguments, signature),
            "seconds": round(time.perf_counter() - begin, 1),
            # What all cores did together, in the processes that it started too: other work does not lengthen this.
            "seconds_of_computing": round(sum(os.times()[:4]) - computed, 1),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": {"python": platform.python_version()}
            | {package: importlib.metadata.version(package) for package in ("kerasdl", "keras", "tensorflow", "numpy")},
        }
        (out / "metrics.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        # Not before this run has succeeded: an earlier one may have taken hours.
        for path, written in earlier.items():
            if path.exists() and path.stat().st_mtime_ns == written:
                path.unlink()
        return metrics

    return run


def _keeps_nothing() -> bool:
    """Whether this process is one of several workers, and not their chief."""
    from kerasdl.training.cluster import find_cluster  # not above: the list of lessons does without TensorFlow

    cluster = find_cluster()
    return cluster is not None and not cluster.is_chief


def _prepare(out: Path, name: str) -> list[Path]:
    """Makes the folder, and finds this lesson's earlier logs and figures, which would pass for those of the new run."""
    try:
        (out / "figures").mkdir(parents=True, exist_ok=True)
        record = out / "metrics.json"
        is_ours = record.exists() and json.loads(record.read_text(encoding="utf-8")).get("lesson") == name
    except OSError as error:
        raise ValueError(f"`out` must be a folder one may write to. Received: out={out} ({error.strerror}).") from error
    except ValueError:
        is_ours = False
    if not is_ours:
        return []
    return [*(out / "logs").rglob("events.out.tfevents.*"), *(out / "figures").glob("*.png")]


def _options(arguments: dict[str, Any], signature: inspect.Signature) -> str:
    """The arguments that differ from the defaults, as one types them."""
    words = []
    for name, value in arguments.items():
        if value == signature.parameters[name].default:
            continue
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words.append(f"--{flag} {shlex.quote(str(value))}")
    return "".join(f" {word}" for word in words)


def command_line(main: Callable[..., dict[str, float]]) -> None:
    """Runs a lesson as a program: options from `main`'s signature, their help from its docstring, errors in one line.

    Args:
        main: What `lesson` decorated.
    """
    signature = inspect.signature(main, eval_str=True)
    helps = argument_helps(inspect.getdoc(main))
    question = (sys.modules[main.__module__].__doc__ or "").partition("\n")[0]

    def command(**arguments: Any) -> None:
        console = rich.console.Console()
        try:
            metrics = main(**arguments)
        except KeyboardInterrupt:
            console.print("\nStopped.")
            raise typer.Exit(130) from None
        except Exception as error:
            if not _is_meant_for_the_user(error):
                raise
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(1) from None
        table = rich.table.Table("metric", rich.table.Column("value", justify="right"))
        for name, value in metrics.items():
            table.add_row(name, number(value))
        console.print(table)
        if arguments.get("quick"):
            console.print("A quick run only shows that the lesson works: these numbers mean nothing.", soft_wrap=True)
        console.print(f"Pictures and metrics are in {arguments['out']}; curves: ", end="", soft_wrap=True)
        console.print(f"tensorboard --logdir {shlex.quote(str(arguments['out'] / 'logs'))}", soft_wrap=True)

    options = [
        parameter.replace(annotation=Annotated[parameter.annotation, typer.Option(help=helps.get(name))])
        for name, parameter in signature.parameters.items()
    ]
    command.__signature__ = signature.replace(parameters=options)  # type: ignore[attr-defined]
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(help=question)(command)
    app()


def argument_helps(docstring: str | None) -> dict[str, str]:
    """What the `Args:` section of a docstring says of each argument.

    Args:
        docstring: Google style, without the indentation of the code.
    """
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)*)", docstring or "", re.MULTILINE)
    entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section[1] if section else "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def number(value: float) -> str:
    """A metric as one reads it: whole and large numbers with commas, others with four digits.

    Args:
        value: The metric.

    Example:
        >>> number(60000.0), number(0.861), number(1e30)
        ('60,000', '0.8610', '1e+30')
    """
    if abs(value) >= 1e15:  # a loss that grew without bounds
        return f"{value:.4g}"
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:#.4g}"


def _is_meant_for_the_user(error: Exception) -> bool:
    """Whether our own code raised it on purpose, with a sentence that says all. Anything else keeps its traceback."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    module = traceback.tb_frame.f_globals.get("__name__", "") if traceback else ""
    ours = module == "__main__" or module.split(".")[0] in ("kerasdl", "tutorials")
    return ours and isinstance(error, ValueError | TypeError | RuntimeError | OSError | ArithmeticError)
