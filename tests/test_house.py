"""The house stays as it was designed: who imports whom, what is imported when, every public name explained."""

import ast
import doctest
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasdl
import kerasdl.callbacks
import kerasdl.tutorials

FOLDERS = {
    "kerasdl": Path(kerasdl.__file__).parent,
    "kerasdl.callbacks": Path(kerasdl.callbacks.__file__).parent,
    "kerasdl.tutorials": Path(kerasdl.tutorials.__file__).parent,
}

# Which parts of the house a part may import; a part that is not named here has no place yet.
FLOORS = {
    "version": set(),
    "initializers": set(),
    "constraints": set(),
    "layers": {"initializers", "constraints"},
    "data": set(),
    "training": set(),
    "visualization": set(),
    "adversarial": {"visualization"},
    "architectures": {"layers", "initializers", "constraints"},
    "sequences": {"layers"},
    "xnor": {"layers"},
    "profiling": {"architectures", "layers", "visualization"},
}
# A command line stands above the part that it belongs to.
COMMAND_LINES = {"kerasdl.visualization.__main__": {"architectures"}}
FLOORS["callbacks"] = set(FLOORS)
FLOORS["tutorials"] = set(FLOORS)
FLOORS["kerasdl"] = set(FLOORS)


def modules() -> dict[str, Path]:
    """Every module by its installed name."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in folder.rglob("*.py"):
            if not (path.parent / "__init__.py").exists():
                continue  # A script beside what it made, no module.
            parts = [part for part in path.relative_to(folder).with_suffix("").parts if part != "__init__"]
            found[".".join([package, *parts])] = path
    return found


MODULES = modules()
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in MODULES.items()}


def imports(name: str, path: Path) -> set[str]:
    """The modules of ours that a module names in an import, also inside functions."""
    wanted = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            wanted |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
            for alias in node.names:
                wanted.add(f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base)
    return {module for module in wanted if module.split(".")[0] in ("kerasdl", "callbacks", "tutorials")}


IMPORTS = {name: imports(name, path) for name, path in MODULES.items()}


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def test_arrows_point_one_way():
    wrong = [
        f"{name} imports {other}"
        for name, others in IMPORTS.items()
        for other in others
        if part_of(other) != part_of(name)
        and part_of(other) not in FLOORS[part_of(name)] | COMMAND_LINES.get(name, set())
    ]
    assert wrong == []


def test_no_circle():
    order, visiting = [], []

    def visit(name):
        if name in order:
            return
        assert name not in visiting, " -> ".join([*visiting[visiting.index(name) :], name])
        visiting.append(name)
        for other in sorted(IMPORTS.get(name, ())):
            # A package's own modules are imported by its __init__, whose name is the package's.
            if not name.startswith(f"{other}."):
                visit(other)
        order.append(visiting.pop())

    for name in sorted(MODULES):
        visit(name)
    assert len(order) == len(MODULES)


def test_parts_are_imported_by_the_installed_name():
    others = {other for others in IMPORTS.values() for other in others}
    assert {other for other in others if not other.startswith("kerasdl")} == set()


def test_only_public_names_of_keras_and_tensorflow():
    private = ("keras.src", "tensorflow.python", "keras._tf_keras")
    assert [name for name, text in TEXTS.items() if any(word in text for word in private)] == []


def private_names(text: str) -> set[str]:
    """The names with an underscore in front that a module takes from another module, or from an object not its own."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls", "super()"):
            found.add(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr" and len(node.args) > 1:
            found |= {node.args[1].value} if isinstance(node.args[1], ast.Constant) else set()
    # Those of a named tuple are no secret.
    return {name for name in found if name.startswith("_") and not name.startswith("__")} - {"_asdict", "_replace"}


def test_private_names_stay_private():
    taken = {name: names for name, text in TEXTS.items() if (names := private_names(text))}
    # What only a private name of Keras tells, each with the reason beside it.
    assert taken.pop("kerasdl.training.keras_internals")
    assert taken.pop("kerasdl.sequences.metrics") == {"_keras_mask"}
    # Two checks of steps, which stand below the class.
    assert taken.pop("kerasdl.xnor.steps") == {"_expect"}
    assert taken == {}


def names_made_by(node: ast.stmt) -> list[str]:
    """The functions, classes and constants that a statement makes; not what a command line finds by its decorator."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [] if any(ast.unparse(each).startswith("app.") for each in node.decorator_list) else [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]


def test_nothing_is_left_that_nobody_uses():
    trees = {name: ast.parse(text) for name, text in TEXTS.items()}
    # By these the tests and benchmarks of the packed engine read what is in its words.
    used = {"convolve_to_counts", "unpack_bits", "unpack_codes"}
    for node in (node for tree in trees.values() for node in ast.walk(tree)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            used.add(node.id)
        elif isinstance(node, ast.Attribute):
            used.add(node.attr)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            used |= {part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant)}
    made = [(name, each) for name, tree in trees.items() for node in tree.body for each in names_made_by(node)]
    assert [f"{name}.{each}" for name, each in made if each not in used and not each.startswith("__")] == []


def test_only_the_plots_import_matplotlib():
    users = {name for name, text in TEXTS.items() if "import matplotlib" in text or "from matplotlib" in text}
    assert {name.partition(".plots")[0] for name in users} == {"kerasdl.visualization"}
    assert all(name.startswith("kerasdl.visualization.plots.") for name in users)


def test_files_hold_one_idea():
    tests = {str(path): path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("*.py")}
    texts = {**TEXTS, **tests}
    assert {name: count for name, text in texts.items() if (count := len(text.splitlines())) > 300} == {}


def test_no_module_bears_the_name_of_a_public_function():
    for name in MODULES:
        package = importlib.import_module(name.rpartition(".")[0]) if "." in name else None
        if package and name.rpartition(".")[2] in getattr(package, "__all__", ()):
            assert inspect.ismodule(getattr(package, name.rpartition(".")[2])), f"{name} is hidden by a function"


def test_importing_kerasdl_brings_nothing_heavy_that_keras_does_not_bring(tmp_path):
    heavy = ("matplotlib", "tensorflow_datasets", "numba", "sklearn", "networkx", "tensorboard", "typer", "PIL")
    script = f"""
import sys, keras
before = set(sys.modules)
import kerasdl
print([name for name in {heavy} if name in set(sys.modules) - before])
print(all(getattr(kerasdl, name) for name in dir(kerasdl)))
"""
    shown = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    # The second line: every part is there when it is asked for.
    assert shown.stdout.split() == ["[]", "True"]


def test_a_part_that_is_not_there_is_named():
    with pytest.raises(AttributeError, match="module 'kerasdl' has no attribute 'nonsense'"):
        _ = kerasdl.nonsense


def public_objects():
    """Every name in the `__all__` of a package, with the object."""
    parts = {name: importlib.import_module(f"kerasdl.{name}") for name in FLOORS if hasattr(kerasdl, name)}
    return [
        pytest.param(part, getattr(module, name), id=f"{part}.{name}")
        for part, module in parts.items()
        for name in getattr(module, "__all__", ())
        if part != "kerasdl"
    ] + [
        pytest.param("plots", function, id=f"plots.{name}")
        for name, function in vars(kerasdl.visualization.plots).items()
        if inspect.isfunction(function) and function.__module__.startswith("kerasdl") and not name.startswith("_")
    ]


@pytest.mark.parametrize(("package", "thing"), public_objects())
def test_every_public_name_is_explained(package, thing):
    text = inspect.getdoc(thing)
    assert text, "has no docstring"
    from_papers = package in ("adversarial", "architectures", "constraints", "layers", "sequences", "visualization")
    if from_papers and not inspect.ismodule(thing):
        assert "](http" in text, "names no reference"
    if inspect.ismodule(thing) or (inspect.isclass(thing) and "__init__" not in vars(thing)):
        return  # A class that takes its arguments from its parent has no types of its own to give.
    for name, parameter in inspect.signature(thing).parameters.items():
        assert parameter.annotation is not parameter.empty, f"{name} has no type"


@pytest.mark.parametrize("name", [name for name in sorted(MODULES) if name.split(".")[-1] != "__main__"])
def test_examples_in_docstrings_are_true(name, tmp_path, monkeypatch):
    module = importlib.import_module(name)
    if name.startswith("kerasdl.data."):
        # Of what is drawn a few pictures, in a folder of their own: thousands take long.
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        for drawn in (kerasdl.data.shapes, kerasdl.data.balloons):
            for split in drawn.COUNTS:
                monkeypatch.setitem(drawn.COUNTS, split, 10)
    known = {"keras": keras, "np": np, "tf": tf, "kerasdl": kerasdl, **vars(module)}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for example in doctest.DocTestFinder(exclude_empty=True).find(module, globs=known):
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0
