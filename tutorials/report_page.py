"""The page of all runs, as HTML: one section per lesson, in the course's order."""

import collections
import datetime
import re
import shlex
from pathlib import Path

import markdown_it

from . import catalogue
from .catalogue import Lesson
from .gallery import ANSWERS, Gallery, Picture, text, words
from .lesson import number
from .runs import Run

# Tags in a docstring are shown as they stand, and an address that would run a program is no link.
_MARKDOWN = markdown_it.MarkdownIt("commonmark", {"html": False})
_NAMES = {"python": "Python", "keras": "Keras", "tensorflow": "TensorFlow", "numpy": "NumPy"}
# A standard error, by the name of what it belongs to.
_ERROR = re.compile(r"_(standard_)?error$")
# So many numbers are read at once; the figures must not be pages away.
_ROWS = 10
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Results of the kerasdl course</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<nav class="contents" aria-label="Contents">
<details>
<summary>Contents</summary>
<div>
{contents}
</div>
</details>
</nav>
<main>
<header>
<h1>Results of the course</h1>
{summary}
</header>
{parts}
<footer>
{end}
</footer>
</main>
<script>
{script}</script>
</body>
</html>
"""


def page(folder: Path, found: list[Run], pictures: dict[Path, Picture]) -> str:
    """The whole page.

    Args:
        folder: Where the runs were found.
        found: The runs, in the course's order.
        pictures: What their figures look like; those that are not among them are left out.
    """
    by_lesson: dict[str, list[Run]] = collections.defaultdict(list)
    for run in found:
        by_lesson[run.lesson].append(run)
    counts = collections.Counter(_versions(run) for run in found if run.record)
    versions = max(counts, key=counts.__getitem__, default="")
    figures = Gallery(found, pictures)
    contents, parts = [], []
    for title, introduction, lessons in _parts():
        present = [lesson for lesson in lessons if lesson.name in by_lesson]
        if present:
            contents.append(f"<p>{text(title)}</p>\n<ul>")
            contents += [_entry(lesson, by_lesson[lesson.name]) for lesson in present]
            contents.append("</ul>")
            parts.append(f"<h2>{text(title)}</h2>\n<p class='introduction'>{text(introduction)}</p>")
            parts += [_lesson(lesson, by_lesson[lesson.name], figures, versions) for lesson in present]
    here = Path(__file__)
    return _PAGE.format(
        style=here.with_name("report.css").read_text(encoding="utf-8"),
        script=here.with_name("report.js").read_text(encoding="utf-8"),
        contents="\n".join(contents),
        summary=_summary(found, by_lesson, versions),
        parts="\n".join(parts),
        end=_end(folder, by_lesson),
    )


def _parts() -> list[tuple[str, str, list[Lesson]]]:
    """The course's parts, and what stands in none of them yet."""
    parts = [(part.title, part.introduction, lessons) for part, lessons in catalogue.parts()]
    others = [lesson for lesson in catalogue.lessons() if lesson.name not in ANSWERS]
    return [*parts, ("Other lessons", "They have no place in the course yet.", others)]


def _entry(lesson: Lesson, found: list[Run]) -> str:
    without = sum(not run.record for run in found)
    told = "no result" if without == len(found) else f"{without} of {len(found)} runs without a result"
    mark = f" <em>{told}</em>" if without else ""
    return f'<li><a href="#{lesson.name}">{text(words(lesson.name))}</a>{mark}</li>'


def _lesson(lesson: Lesson, found: list[Run], figures: Gallery, versions: str) -> str:
    measured = any(run.record for run in found)
    quick = any(run.quick for run in found)
    expected = lesson.facts["Expect"]
    blocks = []
    for index, run in enumerate(found, 1):
        name = f"{lesson.name}-{index}"
        heading = f"<h4>Run {index} <code>{text(run.folder)}</code></h4>" if len(found) > 1 else ""
        # Where nothing was measured it stands in that place.
        notice = _notice(run) if measured else ""
        blocks += [f'<section class="run" id="{name}">', heading, notice, figures.of(run), _made(run, versions)]
        blocks.append("</section>")
    return "\n".join(
        [
            f'<article id="{lesson.name}">',
            f"<h3>{_markdown(lesson.question)}</h3>",
            f'<p class="about"><code>{lesson.name}</code> {_markdown(lesson.facts["Paper"])}</p>',
            '<div class="results">',
            f'<div class="expected"><h4>Expected{" of a full run" if quick else ""}</h4>',
            f"<p>{_markdown(expected[:1].upper() + expected[1:])}</p>",
            f'<p class="small">Takes {_markdown(lesson.duration)}.</p></div>',
            _measured(lesson.name, found),
            "</div>",
            *filter(None, blocks),
            "</article>",
        ]
    )


def _measured(name: str, found: list[Run]) -> str:
    """The metrics of all runs side by side, one line each."""
    columns = {index: run.metrics for index, run in enumerate(found, 1) if run.record}
    if not columns:
        return f'<div class="measured"><h4>Measured</h4>{"".join(map(_notice, found))}</div>'
    names = dict.fromkeys(metric for metrics in columns.values() for metric in metrics)
    errors = {base: metric for metric in names if (base := _ERROR.sub("", metric)) != metric and base in names}
    rows = []
    for metric in names:
        if metric in errors.values():
            continue  # it stands behind what it is the error of
        cells = "".join(f"<td>{_value(metrics, metric, errors)}</td>" for metrics in columns.values())
        rows.append(f'<tr><th scope="row">{text(words(metric))}</th>{cells}</tr>')
    head = ""
    if len(found) > 1:
        cells = "".join(f'<th scope="col"><a href="#{name}-{index}">run {index}</a></th>' for index in columns)
        head = f"<thead><tr><td></td>{cells}</tr></thead>\n"
    first, others = rows[:_ROWS], rows[_ROWS:]
    measured = _table(name, head, first)
    if others:
        measured += (
            f"<details><summary>{_count(len(others), 'more number')}</summary>{_table(name, head, others)}</details>"
        )
    return f'<div class="measured"><h4>Measured</h4>{measured}</div>'


def _value(metrics: dict[str, float], metric: str, errors: dict[str, str]) -> str:
    if metric not in metrics:
        return ""
    error = metrics.get(errors.get(metric, ""))
    if error is None:
        return number(metrics[metric])
    # Of an error two digits are enough.
    return f"{number(metrics[metric])} ± " + (number(error) if error >= 99 else f"{error:#.2g}".rstrip("."))


def _table(name: str, head: str, rows: list[str]) -> str:
    body = "\n".join(rows)
    table = f"<table>\n{head}<tbody>\n{body}\n</tbody></table>"
    if head:
        # Reached by the keyboard, for many runs have to be scrolled sideways.
        table = f'<div class="wide" tabindex="0" role="region" aria-label="Measured: {name}">{table}</div>'
    return table


def _notice(run: Run) -> str:
    if run.last_words is None:
        told = "<strong>No result.</strong> It failed, was stopped, or still runs."
        return "" if run.record else f'<p class="failed">{told}</p>'
    ended = re.match(r"exit code|interrupted", run.last_words)
    what = "A later run in the same folder failed" if run.record else "No result" if ended else "Not finished"
    return (
        f'<p class="failed"><strong>{what}.</strong> The last line of <code>{text(run.folder / "log.txt")}</code>: '
        f"<code>{text(run.last_words)}</code></p>"
    )


def _made(run: Run, versions: str) -> str:
    """By which command, when, and how long it took."""
    if not run.record:
        return ""
    facts = ["quick run"] * run.quick
    facts += [] if run.seconds is None else [_duration(run.seconds)]
    facts += [f"{_day(run.finished)}, {run.finished:%H:%M} UTC"] if run.finished else []
    facts += [_versions(run)] if _versions(run) != versions else []
    # Where it lay is that machine's affair.
    out = run.record["arguments"].get("out") if isinstance(run.record.get("arguments"), dict) else None
    command = str(run.record.get("command") or "").replace(f" --out {shlex.quote(str(out))}", "")
    return (_command(command) if command else "") + f'<p class="small">{" · ".join(map(text, facts))}</p>'


def _summary(found: list[Run], by_lesson: dict[str, list[Run]], versions: str) -> str:
    """How many lessons and runs, when, and with what."""
    finished = sorted(run.finished for run in found if run.finished)
    days = list(dict.fromkeys(_day(time) for time in finished[:1] + finished[-1:]))
    sentences = [f"{len(by_lesson)} of {len(catalogue.lessons())} lessons, {_count(len(found), 'run')}"]
    if days:
        sentences[0] += f", {' to '.join(days)}"
    computing = [run.seconds_of_computing for run in found if run.record]
    # A sum that leaves some out would be taken for the whole.
    told = "Made" if None in computing else f"{_duration(sum(filter(None, computing)))} of computing"
    sentences += [f"{told} with {versions}"] if versions else []
    if finished and all(run.quick for run in found if run.record):
        sentences.append("These are quick runs: they show that the lessons work, and their numbers mean nothing")
    if len({_versions(run) for run in found if run.record}) > 1:
        sentences.append("Where a run had other versions, it says so")
    failed = [name for name, made in by_lesson.items() if not any(run.record for run in made)]
    lines = [f"<p>{text('. '.join(sentences))}.</p>"]
    if failed:
        links = ", ".join(f'<a href="#{name}">{words(name)}</a>' for name in failed)
        lines.append(f'<p class="failed"><strong>No result:</strong> {links}</p>')
    return "\n".join(lines)


def _end(folder: Path, by_lesson: dict[str, list[Run]]) -> str:
    """What has not been run, and where the curves are."""
    missing = [lesson.name for lesson in catalogue.lessons() if lesson.name not in by_lesson]
    where = shlex.quote(str(folder))
    lines = []
    if missing:
        command = f"python -m kerasdl.tutorials run --out {where} {' '.join(missing)}"
        lines += [f"<h2>Not among these runs</h2>\n<p>{_count(len(missing), 'lesson')}:</p>"]
        lines.append(_command(command))
    lines += ["<h2>Curves</h2>\n<p>What was logged during the trainings:</p>"]
    return "\n".join([*lines, _command(f"tensorboard --logdir {where}")])


def _command(line: str) -> str:
    # Each word by itself, or a browser would break lines between the hyphens of an option.
    return f"<pre><code>{' '.join(f'<span>{text(word)}</span>' for word in line.split(' '))}</code></pre>\n"


def _versions(run: Run) -> str:
    versions = [f"{_NAMES.get(name, name)} {version}" for name, version in run.versions.items()]
    return " and ".join(filter(None, [", ".join(versions[:-1]), *versions[-1:]]))


def _day(time: datetime.datetime) -> str:
    return f"{time.day} {time:%B %Y}"


def _duration(seconds: float) -> str:
    """As one says it: seconds up to a hundred, then minutes, then hours and minutes."""
    if seconds < 100:
        return f"{seconds:.1f} seconds"
    minutes = round(seconds / 60)
    return (
        f"{minutes} minutes" if minutes < 100 else f"{_count(minutes // 60, 'hour')} {_count(minutes % 60, 'minute')}"
    )


def _count(number_of: int, thing: str) -> str:
    return f"{number_of} {thing}{'' if number_of == 1 else 's'}"


def _markdown(source: str) -> str:
    # A number and what belongs to it stay on one line.
    return _MARKDOWN.renderInline(re.sub(r"(?<=\d) (?=[%±])|(?<=±) (?=\d)", "\N{NO-BREAK SPACE}", source))
