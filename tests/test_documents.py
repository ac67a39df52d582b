"""Every document keeps what it promises: its programs run and print what it says, its commands and links exist."""

import ast
import contextlib
import functools
import importlib
import importlib.util
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from document_helpers import ROOT, Block, anchors, blocks, commands, difference, documents, links, steps

TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in documents()}
# What would take minutes, cut where a reader would who only tries it out, and a download that `FILES` replace.
CUTS = {"docs/gallery/README.md": {"steps=100": "steps=2", '"vgg16", ': '"vgg16", weights="vgg16.npz", '}}
# What a page takes as the reader's own, by the place below KERASDL_EXTRA_DATA, and a warning that the page tells of.
FILES = {"docs/gallery/README.md": {"weights/vgg16_features_imagenet_f16.npz": "vgg16.npz"}}
TOLD = {"docs/gallery/README.md": ".*start afresh", "docs/how_to/fine_tuning.md": ".*is compiled already"}
# What pages download, and where the same weights lie for whoever has them. Without them random ones have to do.
DOWNLOADS = {"ResNet50": "weights/resnet50_imagenet_f16.npz", "MobileNetV2": None}


def pages_with(part) -> list[str]:
    return [name for name, text in TEXTS.items() if part(text)]


@pytest.mark.parametrize("name", pages_with(steps))
def test_programs_name_only_what_there_is(name):
    for block in blocks(TEXTS[name]):
        if block.language != "python":
            continue
        modules = {}
        for node in ast.walk(ast.parse(block.text, f"{name}, line {block.line}")):
            if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "kerasdl":
                module = importlib.import_module(node.module)
                modules |= {alias.name: getattr(module, alias.name) for alias in node.names}
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
                getattr(modules[node.value.id], node.attr)


@pytest.mark.slow
@pytest.mark.parametrize("name", pages_with(steps))
def test_programs_run_and_print_what_the_page_says(name, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    for there, here in FILES.get(name, {}).items():
        Path(here).symlink_to(request.getfixturevalue("extra_data") / there)
    brought = [bring(application, monkeypatch) for application in DOWNLOADS if f".{application}(" in TEXTS[name]]
    warnings.filterwarnings("ignore", ".*shuffle=True.* was passed")  # Keras, of every data set given to model.fit.
    if name in TOLD:
        warnings.filterwarnings("ignore", TOLD[name])
    if not all(brought):
        warnings.filterwarnings("ignore", ".* maps are zero everywhere")  # What random weights may well give.
    names = {"__name__": "__main__"}
    text = TEXTS[name]
    for long, short in CUTS.get(name, {}).items():
        assert long in text
        text = text.replace(long, short)
    for block, expected in steps(text):
        if block.file is not None:
            Path(block.file).write_text(block.text, encoding="utf-8")
            continue
        received = run_python(block, names, name) if block.language == "python" else run_command(block.text)
        if expected is not None and all(brought):
            told = difference(expected, received)
            assert told is None, f"{name}, line {block.line}. {told}"


@pytest.mark.parametrize("name", pages_with(lambda text: "sys.argv[1]" in text))
def test_saved_programs_get_their_argument_wherever_they_are_started(name):
    all_blocks = blocks(TEXTS[name])
    for program in all_blocks:
        if program.file is not None and "sys.argv[1]" in program.text:
            started = [behind for block in all_blocks for behind in block.text.split(program.file)[1:]]
            assert started
            for behind in started:
                assert re.match(r'(?: |", ")[\w/]', behind), f"{name}: {program.file}{behind[:20]}"


def bring(application: str, monkeypatch) -> bool:
    """Has an application made without a download; tells whether its weights are the published ones."""
    make = getattr(keras.applications, application)
    folder, file = os.environ.get("KERASDL_EXTRA_DATA"), DOWNLOADS[application]

    def make_here(*, weights: str, **options) -> keras.Model:
        assert weights == "imagenet"
        model = make(weights=None, **options)
        if folder and file:
            with np.load(Path(folder) / file) as arrays:
                for layer in model.layers:
                    layer.set_weights([arrays[f"{layer.name}/{weight.name}"] for weight in layer.weights])
        return model

    monkeypatch.setattr(keras.applications, application, make_here)
    return bool(folder and file) or file is None


def run_python(block: Block, names: dict, name: str) -> str:
    """What a block prints beside the progress of training, of which pages do not speak."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile("\n" * (block.line - 1) + block.text, name, "exec"), names)
    lines = printed.getvalue().split("\n")
    return "\n".join(line for line in lines if not re.match(r"Epoch \d+/\d+$|.*\r|.*\b\d+/\d+\b.*step", line))


def run_command(command: str) -> str:
    """What a command prints, whether it ends well or not: a page may show a crash."""
    words = shlex.split(command)[1:]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=900)
    print(done.stderr, file=sys.stderr)
    return done.stdout


@pytest.mark.parametrize("name", pages_with(commands))
def test_commands_name_modules_and_options_that_there_are(name):
    for module, arguments in commands(TEXTS[name]):
        top, _, rest = module.partition(".")
        if top == "benchmarks":  # Of the checkout, in no wheel: it is read, and not run.
            text = (ROOT / "benchmarks" / f"{rest}.py").read_text(encoding="utf-8")
            missing = [each for each in options(arguments) if each[2:].replace("-", "_") not in text]
        elif top in ("tutorials", "kerasdl"):
            module = module if top == "kerasdl" else f"kerasdl.{module}"
            told = help_of(module, *arguments[: module == "kerasdl.tutorials"])
            missing = [each for each in options(arguments) if not re.search(rf"(?<![\w-]){each}(?![\w-])", told)]
        else:
            assert importlib.util.find_spec(module) or top in ("build", "venv", "pip"), f"{name}: {module}"
            missing = []
        assert missing == [], f"{name}: python -m {module} does not know them"


def options(arguments: list[str]) -> list[str]:
    return [each.partition("=")[0] for each in arguments if each.startswith("--")]


@functools.cache
def help_of(module: str, *command: str) -> str:
    """What `python -m module command --help` prints."""
    printed = io.StringIO()
    before, sys.argv = sys.argv, [module, *command, "--help"]
    code = None
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* found in sys.modules", RuntimeWarning)
            runpy.run_module(module, run_name="__main__")
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv = before
    assert not code, f"python -m {module} {' '.join(command)}: {printed.getvalue()}"
    return printed.getvalue()


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_links_and_pictures_lead_somewhere(name):
    for is_picture, text, target in links(TEXTS[name]):
        if re.match(r"\w+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        assert path.exists(), f"{name} leads to {target}"
        assert ROOT in path.resolve().parents or path.resolve() == ROOT, f"{name} leads out of the project: {target}"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path.read_text(encoding="utf-8")), f"{name}: no heading for {target}"
        assert text or not is_picture, f"{name}: {target} has no words for those who do not see it"


def test_what_is_compared_of_a_print():
    assert difference("a 1,000 b 0.500\n...\nend", "a  1,000 b 0.53\nx\ny\n\nend\n") is None
    for other in ("a 1,001 b 0.500\nend", "a 1,000 b 0.700\nend", "c 1,000 b 0.500\nend", "a 1,000 b 0.500", ""):
        assert difference("a 1,000 b 0.500\nend", other) is not None
    assert [difference("60.0 %", other) for other in ("64.9 %", "55.1 %")] == [None, None]
    assert all(difference("60.0 %, 0.5", other) for other in ("73.5 %, 0.5", "66.0 %, 0.5", "60.0 %, 0.7"))
    assert difference("end", "end\nmore") == "Expected: nothing more\nReceived: more"
