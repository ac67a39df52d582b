import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import kerasdl.tutorials
from kerasdl.tutorials import catalogue, course
from kerasdl.tutorials.__main__ import app

TOY = '''"""Why is the sky blue?

Paper:  [Rayleigh, 1871](https://example.org), and
        [another](https://example.org)
Run:    python -m tutorials.toy
Takes:  1 second
Expect: blue

Because of air.

More air.

Exercises:

1. Ask why sunsets are red.
"""

def main(*, quick: bool = False) -> dict[str, float]:
    """Looks up."""
    return {}
'''


def test_a_docstring_is_taken_apart_without_running_the_file(tmp_path):
    (tmp_path / "toy.py").write_text(TOY + "\nraise SystemExit('imported')\n")
    (tmp_path / "helper.py").write_text('"""Not a lesson."""\n')
    (tmp_path / "_main.py").write_text("def main(): pass\n")
    [lesson] = catalogue.lessons(tmp_path)
    assert lesson == catalogue.Lesson(
        name="toy",
        path=tmp_path / "toy.py",
        question="Why is the sky blue?",
        facts={
            "Paper": "[Rayleigh, 1871](https://example.org), and [another](https://example.org)",
            "Run": "python -m tutorials.toy",
            "Takes": "1 second",
            "Expect": "blue",
        },
        text="Because of air.\n\nMore air.",
        exercises="1. Ask why sunsets are red.",
    )


def test_a_lesson_that_does_not_say_how_long_it_takes_is_refused(tmp_path):
    path = tmp_path / "toy.py"
    path.write_text(TOY.replace("Takes:  1 second\n", ""))
    text = f"The docstring of a lesson must have a line that begins with `Takes:`. Received: {path}."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        catalogue.lessons(tmp_path)


@pytest.mark.parametrize("command", [["export", "lenett"], ["run", "--quick", "lenett"]])
def test_an_unknown_name_is_answered_with_the_closest(command):
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: There is no lesson 'lenett'. The closest name is 'lenet'; without a name, "
        "`python -m kerasdl.tutorials` lists all.\n"
    )


def test_the_list_has_every_lesson_and_needs_nothing_heavy():
    # In the folder that holds tutorials/: the checkout, or the installed package.
    program = (
        "import runpy, sys\n"
        "sys.argv = ['tutorials']\n"
        "try:\n"
        "    runpy.run_module('tutorials', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n"
        "    print('exit code', end.code)\n"
        "print('heavy:', {'tensorflow', 'keras', 'numpy', 'matplotlib', 'kerasdl'} & set(sys.modules))\n"
    )
    folder = Path(kerasdl.tutorials.__file__).parents[1]
    ended = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    assert ended.stdout.endswith("exit code 0\nheavy: set()\n")
    words = " ".join(re.sub(r"[│┃]", " ", ended.stdout).split())
    for lesson in catalogue.lessons():
        assert lesson.name in words
        assert lesson.question.split()[0] in words
        assert lesson.facts["Takes"].split()[0] in words
    assert "takes on one" in words
    assert "it says two" in words
    assert "run one: python -m tutorials.NAME" in words


def test_a_lesson_in_the_place_of_a_command_is_answered_with_how_to_run_it():
    result = CliRunner().invoke(app, ["lenet"])
    assert result.exit_code == 2
    assert "'lenet' is a lesson: run it by `python -m kerasdl.tutorials.lenet`." in result.output


def test_every_lesson_stands_in_one_part_of_the_course():
    named = [name for part in course.PARTS for name in part.pictures]
    assert len(named) == len(set(named))
    assert [lesson.name for lesson in catalogue.lessons()] == named
    assert [(part, [lesson.name for lesson in found]) for part, found in catalogue.parts()] == [
        (part, list(part.pictures)) for part in course.PARTS
    ]


def test_a_lesson_that_the_course_does_not_know_comes_last(tmp_path):
    for name in ("lenet", "a_new_one", "convolution_from_scratch"):
        (tmp_path / f"{name}.py").write_text(TOY)
    found = [lesson.name for lesson in catalogue.lessons(tmp_path)]
    assert found == ["convolution_from_scratch", "lenet", "a_new_one"]


@pytest.mark.parametrize(
    ("takes", "duration"),
    [
        ("85 seconds on one core", "85 seconds on one core"),
        ("85 seconds on one core, 60 on two", "85 seconds on one core"),
        ("4 minutes on one core (with `--full` an hour)", "4 minutes on one core"),
        ("2.5 minutes on one core. More with `--data mnist`.", "2.5 minutes on one core"),
    ],
)
def test_the_duration_is_what_stands_before_the_remarks(takes, duration):
    assert catalogue.Lesson("toy", Path(), "", {"Takes": takes}, "", "").duration == duration


@pytest.mark.parametrize(
    ("takes", "seconds"),
    [("1.5 minutes on one core", 90), ("about 100 seconds on 2 cores", 100), ("about an hour", 3600), ("a minute", 60)],
)
def test_a_duration_in_seconds(takes, seconds):
    assert catalogue.Lesson("toy", Path(), "", {"Takes": takes}, "", "").seconds == seconds


def test_a_duration_that_nobody_can_add_up_is_refused():
    text = "`Takes:` must begin with a time, such as `40 seconds on one core`. Received: 'a while, or two' of toy."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        _ = catalogue.Lesson("toy", Path(), "", {"Takes": "a while, or two"}, "", "").seconds


def test_every_lesson_says_in_the_same_words_how_long_it_takes():
    for lesson in catalogue.lessons():
        told = (lesson.name, lesson.duration)
        assert re.fullmatch(r"\d+ (seconds|minutes) on (one core|(two|2) cores)", lesson.duration), told
        assert lesson.seconds < 180 or "minutes" in lesson.duration, lesson.name
