"""The page says what is in the runs, whatever they are called, and its figures are those of the runs."""

import base64
import html.parser
import io
import re

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest
from run_helpers import make_run
from typer.testing import CliRunner

from kerasdl.tutorials import catalogue, course, gallery, report
from kerasdl.tutorials.__main__ import app


class Page(html.parser.HTMLParser):
    """A page as a reader of its own takes it apart: every element with its attributes and the text inside."""

    EMPTY = ("meta", "link", "img", "wbr", "br")

    def __init__(self, path):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", **dict(attributes)}
        self.elements.append(element)
        if tag not in self.EMPTY:
            self._open.append(element)

    def handle_endtag(self, tag):
        assert self._open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def all(self, tag, **attributes):
        return [each for each in self.elements if each["tag"] == tag and attributes.items() <= each.items()]

    def texts(self, tag, **attributes):
        return [" ".join(each["text"].split()) for each in self.all(tag, **attributes)]

    def rows(self):
        rows = []
        for each in self.elements:
            if each["tag"] == "tr":
                rows.append([])
            elif each["tag"] in ("th", "td"):
                rows[-1].append(each["text"])
        return rows


def write(folder):
    path, left_out = report.write(folder, folder / "page", lambda done, total: None)
    return Page(path), left_out


def test_a_lesson_with_its_question_its_numbers_and_what_was_expected(tmp_path):
    metrics = {"lenet5_accuracy": 0.83771, "lenet5_parameters": 60000.0, "loss": float("nan"), "last_loss": 1e30}
    make_run(tmp_path / "lenet", metrics=metrics)
    page, left_out = write(tmp_path)
    lesson = catalogue.find("lenet")
    assert left_out == []
    assert page.texts("h3") == [lesson.question]
    assert page.rows() == [
        ["lenet5 accuracy", "0.8377"],
        ["lenet5 parameters", "60,000"],
        ["loss", "nan"],
        ["last loss", "1e+30"],
    ]
    [expected] = page.texts("div", **{"class": "expected"})
    assert expected.startswith("Expected " + lesson.facts["Expect"][:20])
    assert expected.endswith(f"Takes {lesson.duration}.")
    [paper] = re.findall(r"\[(.*?)\]\((.*?)\)", lesson.facts["Paper"])
    assert paper in [(each["text"], each["href"]) for each in page.all("a")]
    commands = page.texts("pre")
    assert commands[0] == "python -m kerasdl.tutorials.lenet"
    assert commands[-1] == f"tensorboard --logdir {tmp_path}"
    # All others are asked for in one command.
    others = [each.name for each in catalogue.lessons() if each.name != "lenet"]
    assert commands[1] == f"python -m kerasdl.tutorials run --out {tmp_path} {' '.join(others)}"
    small = page.texts("p", **{"class": "small"})
    assert small[-1] == "20.0 seconds · 29 November 2026, 23:04 UTC"
    assert page.texts("header")[0] == (
        f"Results of the course 1 of {len(others) + 1} lessons, 1 run, 29 November 2026. "
        "31.5 seconds of computing with Python 3.11.7 and Keras 3.15.1."
    )


def test_runs_of_one_lesson_stand_side_by_side(tmp_path):
    make_run(tmp_path / "a", metrics={"accuracy": 0.8, "loss": 1.5}, seconds=100)
    versions = {"python": "3.12.0", "keras": "3.15.1", "numpy": "2.5.0"}
    make_run(tmp_path / "b", metrics={"accuracy": 0.9, "gain": 2.0}, versions=versions, seconds=7380)
    make_run(tmp_path / "c", arguments={"quick": True}, metrics={"accuracy": 0.1}, finished="2026-11-30T00:00:00+00:00")
    (tmp_path / "lenet").mkdir()
    (tmp_path / "lenet" / "log.txt").write_text("Killed\nexit code -9\n")
    page, _ = write(tmp_path)
    assert page.rows() == [
        ["", "run 1", "run 2", "run 4"],
        ["accuracy", "0.8000", "0.9000", "0.1000"],
        ["loss", "1.500", "", ""],
        ["gain", "", "2", ""],
    ]
    assert page.texts("h4") == ["Expected of a full run", "Measured", "Run 1 a", "Run 2 b", "Run 3 lenet", "Run 4 c"]
    assert page.texts("p", **{"class": "small"})[1:] == [
        "2 minutes · 29 November 2026, 23:04 UTC",
        "2 hours 3 minutes · 29 November 2026, 23:04 UTC · Python 3.12.0, Keras 3.15.1 and NumPy 2.5.0",
        "quick run · 20.0 seconds · 30 November 2026, 00:00 UTC",
    ]
    assert page.texts("p", **{"class": "failed"}) == [
        "No result. The last line of lenet/log.txt: exit code -9: Killed",
    ]
    contents = "Contents Networks that see lenet 1 of 4 runs without a result"
    assert page.texts("nav", **{"class": "contents"}) == [contents]
    assert page.texts("header")[0].partition(" lessons, ")[2] == (
        "4 runs, 29 November 2026 to 30 November 2026. 94.5 seconds of computing with Python 3.11.7 and "
        "Keras 3.15.1. Where a run had other versions, it says so."
    )
    # Without a part of the sum there is none.
    make_run(tmp_path / "d", seconds_of_computing=None)
    assert " 2026. Made with Python 3.11.7 and " in write(tmp_path)[0].texts("header")[0]


def test_errors_stand_behind_their_numbers_and_many_numbers_out_of_the_way(tmp_path):
    metrics = {f"loss_{index}": float(index) for index in range(9)}
    metrics |= {"gain": 0.33123, "gain_error": 0.01, "training_error": 0.25, "late": 2.0, "late_standard_error": 120.4}
    make_run(tmp_path, metrics=metrics, command="python x --epochs 3 --out '/my runs'", arguments={"out": "/my runs"})
    page, _ = write(tmp_path)
    rows = [["loss_" + str(index), str(index)] for index in range(9)]
    rows = [[name.replace("_", " "), value] for name, value in rows]
    assert page.rows() == [*rows, ["gain", "0.3312 ± 0.010"], ["training error", "0.2500"], ["late", "2 ± 120.4"]]
    [others] = [each for each in page.texts("details") if "more" in each]
    assert others == "2 more numbers training error0.2500 late2 ± 120.4"
    assert page.texts("pre")[0] == "python x --epochs 3"


def test_a_lesson_that_failed_says_its_last_words_in_the_place_of_numbers(tmp_path):
    (tmp_path / "fooling").mkdir()
    (tmp_path / "fooling" / "log.txt").write_text("ValueError: no data\nexit code 1\n")
    page, _ = write(tmp_path)
    told = "No result. The last line of fooling/log.txt: exit code 1: ValueError: no data"
    assert page.texts("div", **{"class": "measured"}) == [f"Measured{told}"]
    assert page.texts("p", **{"class": "failed"}) == ["No result: fooling", told]
    assert page.texts("nav", **{"class": "contents"}) == ["Contents What they see fooling no result"]


def test_a_lesson_without_a_log_may_still_run(tmp_path):
    (tmp_path / "fooling" / "figures").mkdir(parents=True)
    make_run(tmp_path / "a")
    (tmp_path / "texture").mkdir()
    (tmp_path / "texture" / "log.txt").write_text("epoch 3 of 9\n")
    page, _ = write(tmp_path)
    running = "Not finished. The last line of texture/log.txt: epoch 3 of 9"
    told = "No result. It failed, was stopped, or still runs."
    assert page.texts("div", **{"class": "measured"})[1:] == [f"Measured{running}", f"Measured{told}"]
    assert page.texts("p", **{"class": "failed"}) == ["No result: texture, fooling", running, told]


def test_quick_runs_are_called_so_once(tmp_path):
    for name in ("lenet", "saliency"):
        make_run(tmp_path / name, name, arguments={"quick": True})
    page, _ = write(tmp_path)
    text = "These are quick runs: they show that the lessons work, and their numbers mean nothing."
    assert text in page.texts("header")[0]
    make_run(tmp_path / "resume", "resume")
    assert "quick" not in write(tmp_path)[0].texts("header")[0]


def test_the_order_is_the_courses(tmp_path):
    names = [lesson.name for lesson in catalogue.lessons()]
    for name in sorted(names):
        make_run(tmp_path / name, name)
    page, _ = write(tmp_path)
    assert [each["id"] for each in page.all("article")] == names
    assert page.texts("h2")[:-1] == [part.title for part in course.PARTS]
    assert [each["href"] for each in page.all("a")][: len(names)] == [f"#{name}" for name in names]
    # Every address inside of the page leads somewhere, and no two places have the same.
    places = [each["id"] for each in page.elements if "id" in each]
    assert len(places) == len(set(places))
    assert {each["href"][1:] for each in page.all("a") if each["href"].startswith("#")} <= set(places)


def test_names_that_others_chose_are_shown_and_do_nothing(tmp_path):
    bad = "<script>alert(1)</script> \"'&amp; 深い"
    metrics = {bad: 1.0}
    figure = f"{bad.replace('/', '')}.png"
    folder = make_run(
        tmp_path / bad.replace("/", ""), figures=(figure,), metrics=metrics, command=bad, versions={bad: bad}
    )
    make_run(tmp_path / "lenet", finished="2026-11-30T00:00:00+00:00")
    (folder / "log.txt").write_text(f"{bad}\nexit code 1\n")
    page, _ = write(tmp_path)
    assert len(page.all("script")) == 1
    assert [bad, "1", ""] in page.rows()
    assert bad in page.texts("pre")
    assert [each["alt"] for each in page.all("img")] == [figure.removesuffix(".png")]
    assert f"exit code 1: {bad}" in page.texts("p", **{"class": "failed"})[0]
    # A name that is no text in any encoding does not keep the page from being written.
    nameless = tmp_path / "not \udcff utf-8"
    make_run(nameless)
    assert "not ? utf-8" in " ".join(write(tmp_path)[0].texts("h4"))


def test_plots_lose_nothing_and_photographs_what_nobody_sees(tmp_path):
    random = np.random.default_rng(0)
    plot = np.full((200, 300, 3), 255, "uint8")
    plot[50:60, :, 0], plot[:, 100], plot[120:150, 200:280] = 0, (0, 114, 178), (230, 159, 0)
    photograph = random.normal(0, 1, (200, 300, 3)).cumsum(0).cumsum(1)
    photograph = np.uint8(255 * (photograph - photograph.min()) / np.ptp(photograph))
    photograph = np.uint8(np.clip(photograph + random.normal(0, 6, photograph.shape), 0, 255))
    make_run(tmp_path / "lenet", figures=("plot.png", "photograph.png"))
    sizes = {}
    for name, pixels in (("plot", plot), ("photograph", photograph)):
        path = tmp_path / "lenet" / "figures" / f"{name}.png"
        PIL.Image.fromarray(pixels).save(path)
        sizes[name] = path.stat().st_size
    images = write(tmp_path)[0].all("img")
    assert [(each["alt"], each["width"], each["height"]) for each in images] == [
        ("plot", "300", "200"),
        ("photograph", "300", "200"),
    ]
    shown = {}
    for each in images:
        kind, _, data = each["src"].partition(",")
        assert kind == "data:image/webp;base64"
        shown[each["alt"]] = np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
        sizes[each["alt"]] /= len(base64.b64decode(data))
    np.testing.assert_array_equal(shown["plot"], plot)
    error = np.mean((shown["photograph"].astype(float) - photograph) ** 2)
    assert 10 * np.log10(255**2 / error) > 30  # decibel
    assert sizes["photograph"] > 3


def test_a_figure_is_told_by_its_title_and_the_chosen_one_comes_first(tmp_path, monkeypatch):
    monkeypatch.setitem(gallery.ANSWERS, "lenet", "confusion_lenet5")
    make_run(tmp_path / "lenet", figures=("accuracy.png", "confusion_lenet5.png", "mistakes.png"))
    text = PIL.PngImagePlugin.PngInfo()
    text.add_text("Title", "LeNet-5 (1998), on <fashion_sample>")
    path = tmp_path / "lenet" / "figures" / "confusion_lenet5.png"
    PIL.Image.new("RGB", (30, 20), "white").save(path, pnginfo=text)
    page, _ = write(tmp_path)
    assert [each["alt"] for each in page.all("img")] == [
        "LeNet-5 (1998), on <fashion_sample>",
        "accuracy",
        "mistakes",
    ]
    assert page.texts("figcaption") == [
        "lenet: confusion lenet5Next Close",
        "lenet: accuracyPrevious Next Close",
        "lenet: mistakesPrevious Close",
    ]


def test_a_broken_figure_is_left_out_with_a_word(tmp_path):
    make_run(tmp_path / "lenet", figures=("good.png", "cut.png"))
    for name, data in (("empty", b""), ("cut", (tmp_path / "lenet" / "figures" / "cut.png").read_bytes()[:60])):
        (tmp_path / "lenet" / "figures" / f"{name}.png").write_bytes(data)
    page, left_out = write(tmp_path)
    assert [each["alt"] for each in page.all("img")] == ["good"]
    assert sorted(left_out) == [
        f"{tmp_path}/lenet/figures/cut.png: it cannot be read.",
        f"{tmp_path}/lenet/figures/empty.png: it cannot be read.",
    ]


def test_the_command_writes_the_page_and_says_what_it_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs" / "lenet", figures=("accuracy.png",))
    (tmp_path / "runs" / "foreign").mkdir()
    result = CliRunner().invoke(app, ["report", "page"])
    assert result.exit_code == 0
    assert result.stdout == "Left out: runs/foreign: there is no run of a lesson in it.\nWrote page/index.html.\n"
    assert "<title>Results of the kerasdl course</title>" in (tmp_path / "page" / "index.html").read_text()


def test_without_a_run_there_is_no_page_but_a_way_to_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["report", "page", "--runs", "my runs"])
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: There must be a run of a lesson in the folder. Received: my runs, where there is none. "
        "Make some by `python -m kerasdl.tutorials run --quick --out 'my runs'`.\n"
    )
    assert not (tmp_path / "page").exists()


def test_a_place_where_nothing_can_be_written_is_refused(tmp_path):
    make_run(tmp_path / "lenet")
    (tmp_path / "page").write_text("a file")
    text = f"`out` must be a folder one may write to. Received: out={tmp_path / 'page'} (File exists)."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        write(tmp_path)
