import ast
import io
import json
import re
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest
from typer.testing import CliRunner

from kerasdl.tutorials import catalogue, course, course_page
from kerasdl.tutorials.__main__ import app

ROOT = Path(__file__).parents[2]


def _figure(path, picture, title=None):
    """A PNG with or without a title."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = PIL.PngImagePlugin.PngInfo()
    if title:
        texts.add_text("Title", title)
    PIL.Image.fromarray(picture).save(path, pnginfo=texts)
    return path


def _run(folder, lesson, shade, *, quick=False, finished="2026-01-01T00:00:00+00:00"):
    """What a run leaves whose figure is of one shade."""
    [answer] = [part.pictures[lesson] for part in course.PARTS if lesson in part.pictures]
    _figure(folder / "figures" / f"{answer}.png", np.full((20, 30, 3), shade, np.uint8), f"All is {shade}")
    record = {"lesson": lesson, "metrics": {}, "arguments": {"quick": quick}, "finished": finished}
    (folder / "metrics.json").write_text(json.dumps(record))


def _open(data):
    return PIL.Image.open(io.BytesIO(data) if isinstance(data, bytes) else data)


def test_the_page_is_what_the_lessons_say():
    written = (ROOT / course_page.PAGE).read_text(encoding="utf-8")
    assert written == course_page.page(ROOT), "Write it anew by `python -m tutorials page`."


def test_it_has_all_lessons_in_order_with_what_they_ask_and_expect(tmp_path):
    text = course_page.page(tmp_path)
    lines = text.split("\n")
    lessons = catalogue.lessons()
    assert [line.removeprefix("### ") for line in lines if line.startswith("### ")] == [
        lesson.question for lesson in lessons
    ]
    for lesson in lessons:
        facts = lines[lines.index(f"### {lesson.question}") + 2 :][:4]
        assert facts == [
            f"- **Lesson**: [{lesson.name}.py]({lesson.name}.py), `python -m tutorials.{lesson.name}`",
            f"- **Paper**: {lesson.facts['Paper']}",
            f"- **Takes**: {lesson.duration}",
            f"- **Expect**: {lesson.facts['Expect']}",
        ]
    assert "1. [Networks that remember](#networks-that-remember): 16 lessons\n" in text
    assert "![" not in text  # where there are no pictures


def test_the_pictures_are_those_of_the_last_whole_run(tmp_path):
    root, runs = tmp_path / "root", tmp_path / "runs"
    (root / "tutorials").mkdir(parents=True)
    (root / "tutorials" / "README.md").touch()
    _run(runs / "new", "lenet", 100, finished="2026-03-01T00:00:00+00:00")
    _run(runs / "old", "lenet", 50, finished="2026-02-01T00:00:00+00:00")
    _run(runs / "quick", "lenet", 200, quick=True, finished="2026-04-01T00:00:00+00:00")
    _run(runs / "glimpses", "glimpses", 7, quick=True)
    missing = course_page.write(root, runs)
    assert "lenet" not in missing
    assert "glimpses" in missing
    assert [path.name for path in (root / course_page.PICTURES).iterdir()] == ["lenet.webp"]
    with _open(root / course_page.PICTURES / "lenet.webp") as image:
        assert np.asarray(image).tolist() == np.full((20, 30, 3), 100).tolist()
    text = (root / course_page.PAGE).read_text(encoding="utf-8")
    assert text.count("![") == 1
    before, after = text.split("![All is 100](../docs/pictures/lessons/lenet.webp)\n")
    assert before.rstrip().endswith(catalogue.find("lenet").question)
    assert after.lstrip().startswith("- **Lesson**: [lenet.py]")


def test_a_figure_becomes_small_and_keeps_what_it_says(tmp_path, monkeypatch):
    # Nothing is plainer than a ramp, and nothing harder to make small than noise.
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None], (200, 300, 3))
    small = course_page.small(_figure(tmp_path / "two_ramps.png", np.ascontiguousarray(ramp)))
    with _open(small) as image:
        assert image.format == "WEBP"
        np.testing.assert_array_equal(np.asarray(image), ramp)
        assert image.getexif()[course_page._TITLE] == "two ramps"

    monkeypatch.setattr(course_page, "BYTES", 30_000)
    noise = np.random.default_rng(0).integers(0, 256, (120, 1200, 3), np.uint8)
    small = course_page.small(_figure(tmp_path / "noise.png", noise, "Noise → 1"))
    assert 10_000 < len(small) <= 30_000
    with _open(small) as image:
        assert image.size == (800, 80)
        # Halves and quarters of the picture are as bright as before.
        means = np.asarray(image, float).reshape(2, 40, 4, 200, 3).mean((1, 3))
        np.testing.assert_allclose(means, noise.reshape(2, 60, 4, 300, 3).mean((1, 3)), atol=2)
    path = tmp_path / course_page.PICTURES / "lenet.webp"
    path.parent.mkdir(parents=True)
    path.write_bytes(small)
    assert "![Noise → 1](../docs/pictures/lessons/lenet.webp)" in course_page.page(tmp_path)


def test_what_cannot_be_made_small_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(course_page, "BYTES", 100)
    path = _figure(tmp_path / "noise.png", np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8))
    text = f"A figure of the page must be smaller than 100 bytes, 800 pixels wide. Received: {path}."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        course_page.small(path)


def test_the_command_says_what_is_missing_and_where_the_page_belongs(tmp_path, monkeypatch):
    (tmp_path / "tutorials").mkdir()
    lessons = catalogue.lessons()
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path / "tutorials")
    result = CliRunner().invoke(app, ["page"])
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: The page stands in a checkout of the repository. Received: {tmp_path}, where there is no "
        f"tutorials/README.md.\n"
    )
    (tmp_path / "tutorials" / "README.md").touch()
    assert CliRunner().invoke(app, ["page"]).stdout == f"Wrote {tmp_path}/tutorials/README.md.\n"
    (tmp_path / "runs").mkdir()
    result = CliRunner().invoke(app, ["page", str(tmp_path / "runs")])
    names = ", ".join(lesson.name for lesson in lessons)
    assert result.stdout == f"Wrote {tmp_path}/tutorials/README.md.\nNo picture was found for {names}.\n"
    assert (tmp_path / "tutorials" / "README.md").read_text(encoding="utf-8") == course_page.page(tmp_path)


def test_the_pictures_that_are_there_are_small():
    for path in (ROOT / course_page.PICTURES).glob("*.webp"):
        catalogue.find(path.stem)
        with _open(path) as image:
            assert image.width <= 800, path
        assert path.stat().st_size <= 60_000, path


def _figures(lesson):
    """Patterns of the names of the figures that a lesson saves: what it puts into a name may be anything."""
    for node in ast.walk(ast.parse(lesson.path.read_text(encoding="utf-8"))):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        pattern = "".join(re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in parts)
        if pattern.endswith(r"\.png"):
            yield pattern


@pytest.mark.parametrize("lesson", catalogue.lessons(), ids=lambda lesson: lesson.name)
def test_the_figure_that_answers_the_question_is_one_that_the_lesson_draws(lesson):
    [answer] = [part.pictures[lesson.name] for part in course.PARTS if lesson.name in part.pictures]
    assert any(re.fullmatch(pattern, f"{answer}.png") for pattern in _figures(lesson)), (answer, list(_figures(lesson)))
