import ast
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kerasdl.tutorials import catalogue, export
from kerasdl.tutorials.__main__ import app

TOY = '''"""Why is the sky blue?

Paper:  [Rayleigh, 1871](https://example.org)
Run:    python -m tutorials.toy
Takes:  1 second
Expect: blue

Because of air.

Exercises:

1. Ask why sunsets are red.
"""

from pathlib import Path

import numpy as np

from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.visualization import plots

# The share that air scatters.
SHARE = 0.1


def scattered(light: float) -> float:
    """What is scattered of the light."""
    return light * SHARE


@lesson
def main(*, data: str = "sky", quick: bool = False, out: Path = Path("runs/toy")) -> dict[str, float]:
    """Looks up.

    Args:
        data: Where to look.
        quick: Whether to only glance.
        out: Where to write.
    """
    # First we look.
    # It takes two lines to say so.
    text = """# not a comment
# neither"""
    # Close to the code, this one stays with it.
    light = scattered(1.0)

    # Then we draw, in every colour.
    for colour in ("blue", "red"):
        # Inside of a block it stays, too.
        if not quick:
            plots.save(
                plots.image_grid(np.ones((1, 2, 2))),
                out / f"{colour}.png",
            )

    return {"light": light}


if __name__ == "__main__":
    command_line(main)
'''

CELLS = [
    (
        "markdown",
        """# Why is the sky blue?

- **Paper**: [Rayleigh, 1871](https://example.org)
- **Run**: `python -m tutorials.toy`, as a program
- **Takes**: 1 second
- **Expect**: blue

Because of air.""",
    ),
    (
        "code",
        """from pathlib import Path
import numpy as np
from kerasdl.visualization import plots
from IPython.display import Image, display""",
    ),
    ("code", "# The share that air scatters.\nSHARE = 0.1"),
    (
        "code",
        '''def scattered(light: float) -> float:
    """What is scattered of the light."""
    return light * SHARE''',
    ),
    (
        "code",
        """# Where to look.
data = 'sky'
# Whether to only glance.
quick = False
# Where to write.
out = Path('runs/toy')""",
    ),
    ("markdown", "First we look.\nIt takes two lines to say so."),
    (
        "code",
        '''text = """# not a comment
# neither"""
# Close to the code, this one stays with it.
light = scattered(1.0)''',
    ),
    ("markdown", "Then we draw, in every colour."),
    (
        "code",
        """for colour in ("blue", "red"):
    # Inside of a block it stays, too.
    if not quick:
        plots.save(
            plots.image_grid(np.ones((1, 2, 2))),
            out / f"{colour}.png",
        )
        display(Image(str(out / f"{colour}.png")))

{"light": light}""",
    ),
    ("markdown", "## Exercises\n\n1. Ask why sunsets are red."),
]


def _toy(folder, source=TOY):
    path = folder / "toy.py"
    path.write_text(source)
    return catalogue.read(path, ast.parse(source))


def test_text_and_code_become_cells_in_the_order_of_the_lesson(tmp_path):
    assert export.cells_of(_toy(tmp_path)) == CELLS


def test_several_commands_are_set_as_code_one_by_one(tmp_path):
    lesson = _toy(tmp_path, TOY.replace("tutorials.toy\n", "tutorials.toy, then tensorboard --logdir runs\n"))
    text = "- **Run**: `python -m tutorials.toy`, then `tensorboard --logdir runs`, as a program\n"
    assert text in export.cells_of(lesson)[0][1]


def test_the_file_is_a_notebook(tmp_path):
    export.write(_toy(tmp_path), tmp_path / "new" / "toy.ipynb")
    notebook = json.loads((tmp_path / "new" / "toy.ipynb").read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(CELLS)
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]] == CELLS
    assert all(("outputs" in cell) == (cell["cell_type"] == "code") for cell in notebook["cells"])


@pytest.mark.parametrize("lesson", catalogue.lessons(), ids=lambda lesson: lesson.name)
def test_the_cells_of_every_lesson_are_python(lesson):
    cells = export.cells_of(lesson)
    for kind, source in cells:
        if kind == "code":
            compile(source, lesson.name, "exec")
    assert cells[0][1].startswith(f"# {lesson.question}")
    assert cells[-1][1].startswith("## Exercises")
    assert any("display(Image(" in source for kind, source in cells if kind == "code")


def test_a_notebook_is_never_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["export", "lenet"]).stdout == (
        "Wrote lenet.ipynb.\nTo open it: pip install jupyterlab, then jupyter lab lenet.ipynb\n"
    )
    before = Path("lenet.ipynb").read_text()
    result = CliRunner().invoke(app, ["export", "lenet"])
    assert result.exit_code == 1
    assert result.stderr == "Error: lenet.ipynb is there already. Remove it, or name another file with --to.\n"
    assert Path("lenet.ipynb").read_text() == before
    assert CliRunner().invoke(app, ["export", "lenet", "--to", "other.ipynb"]).exit_code == 0
    assert Path("other.ipynb").read_text() == before


def test_several_go_to_a_folder_and_all_of_them_with_an_index(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(export, "cells_of", lambda lesson: [("markdown", lesson.text)])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "lenet.ipynb").write_text("answers")
    result = CliRunner().invoke(app, ["export", "lenet", "dirac", "--to", "mine"])
    assert result.stdout == (
        "Wrote 1 notebook into mine.\nKept those that were there already: lenet.ipynb.\n"
        "To open them: pip install jupyterlab, then jupyter lab mine\n"
    )
    assert sorted(path.name for path in Path("mine").iterdir()) == ["dirac.ipynb", "lenet.ipynb"]
    assert Path("mine/lenet.ipynb").read_text() == "answers"

    count = len(catalogue.lessons())
    result = CliRunner().invoke(app, ["export"])
    assert result.stdout == (
        f"Wrote {count + 1} notebooks into notebooks.\n"
        "To open them: pip install jupyterlab, then jupyter lab notebooks/index.ipynb\n"
    )
    text = "".join(
        line for cell in json.loads(Path("notebooks/index.ipynb").read_text())["cells"] for line in cell["source"]
    )
    links = re.findall(r"\[(.+?)\]\((\w+)\.ipynb\)", text)
    assert links == [(lesson.question, lesson.name) for lesson in catalogue.lessons()]
    assert {path.stem for path in Path("notebooks").iterdir()} == {name for _, name in links} | {"index"}
    assert Path("notebooks/dirac.ipynb").read_text() == Path("mine/dirac.ipynb").read_text()


def test_one_goes_into_a_folder_and_several_not_into_one_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        CliRunner()
        .invoke(app, ["export", "lenet", "--to", "my notebooks"])
        .stdout.endswith("then jupyter lab 'my notebooks'\n")
    )
    assert Path("my notebooks/lenet.ipynb").exists()
    result = CliRunner().invoke(app, ["export", "lenet", "dirac", "--to", "both.ipynb"])
    assert result.exit_code == 1
    assert result.stderr == "Error: --to must be a folder for several lessons. Received: both.ipynb.\n"
    Path("file").touch()
    result = CliRunner().invoke(app, ["export", "lenet", "--to", "file"])
    assert result.exit_code == 1
    assert result.stderr == "Error: --to must be a folder, or end in .ipynb. Received: file, which is a file.\n"


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            "    # Then we draw",
            "    if quick:\n        return {}\n    # Then we draw",
            "A lesson's main must have one `return`, its last statement, to become a notebook.",
        ),
        (
            "quick: bool = False,",
            "quick: bool,",
            "Every argument of a lesson's main needs a default. Received: quick without one.",
        ),
    ],
)
def test_what_cannot_become_a_notebook_is_refused(tmp_path, old, new, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        export.cells_of(_toy(tmp_path, TOY.replace(old, new)))
