"""The page as people see it: on a screen and on a phone, by day and by night, with a mouse and with keys."""

import json

import PIL.Image
import pytest
from browser_helpers import Browser, why_no_browser
from run_helpers import make_run

from kerasdl.tutorials import report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_no_browser() is not None, reason=f"{why_no_browser()}"),
]

LONG = "a_metric_whose_name_goes_on_and_on_until_no_phone_could_hold_it_in_a_line_of_its_own"
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "Escape": 27, "Enter": 13, "Tab": 9}
# The contrast of each text with what lies behind it, as the WCAG define it.
CONTRASTS = """
const light = colour => {
  const parts = colour.match(/[0-9.]+/g).slice(0, 3).map(part => part / 255);
  const [red, green, blue] = parts.map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const behind = element => {
  for (let each = element; each; each = each.parentElement) {
    const colour = getComputedStyle(each).backgroundColor;
    if (!/, 0\\)$/.test(colour)) return colour;
  }
};
return deep('*').filter(each => shown(each) && each.checkVisibility() && !['HTML', 'SCRIPT'].includes(each.tagName)
    && [...each.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())).map(each => {
  const [one, other] = [light(getComputedStyle(each).color), light(behind(each))].sort((a, b) => a - b);
  return [each.textContent.trim().slice(0, 40), (other + 0.05) / (one + 0.05)];
});
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with all that may go wrong: long names, figures of all shapes, a failure, several runs of a lesson."""
    folder = tmp_path_factory.mktemp("runs")
    metrics = {"accuracy": 0.86, LONG: 1.0, "x" * 150: 2.0}
    shapes = [(1260, 660), (1164, 1044), (400, 1200), (1800, 300)] * 5
    for index in range(6):
        make_run(folder / f"lenet_{'very_' * 12 * (index == 1)}{index}", metrics=metrics, figures=("curves.png",))
    make_run(folder / "texture", "texture", figures=tuple(f"figure_{index}.png" for index in range(20)))
    for index, shape in enumerate(shapes):
        PIL.Image.new("RGB", shape, "white").save(folder / "texture" / "figures" / f"figure_{index}.png")
    (folder / "fooling").mkdir()
    (folder / "fooling" / "log.txt").write_text(f"ValueError: {'y' * 300} <script>document.title = 'owned'</script>\n")
    path, _ = report.write(folder, folder / "page", lambda done, total: None)
    return path.as_uri()


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture(params=["screen", "phone"])
def window(request, browser, page):
    """The page in a window as wide as a screen or a phone."""
    if request.param == "phone":
        browser.as_phone()
    else:
        browser.tell("Emulation.clearDeviceMetricsOverride")
    browser.open(page)
    return request.param


def press(browser, key):
    for kind in ("rawKeyDown", "keyUp"):
        browser.tell("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key])


def large(browser):
    return browser.run("return document.querySelector('figure:target')?.id ?? ''")


def test_nothing_is_wider_than_the_window(browser, window):
    wide = browser.run(
        "return deep('body *').filter(each => !each.closest('.wide') && shown(each) "
        "&& each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)"
        ".map(each => each.outerHTML.slice(0, 80))"
    )
    assert wide == []
    # Not innerWidth: a phone shows a page that is too wide as a whole, and smaller.
    total, there = browser.run("const page = document.documentElement; return [page.scrollWidth, page.clientWidth]")
    assert total == there == {"screen": 1400, "phone": 390}[window]
    assert browser.run("return getComputedStyle(document.querySelector('main')).fontSize") == "17px"


def test_every_figure_is_there_in_its_shape(browser, window):
    shown = browser.wait_for(
        "const all = [...document.images]; return all.every(each => each.complete) && all.map(each => "
        "[each.naturalWidth, each.naturalHeight, each.clientWidth, each.clientHeight, each.alt])"
    )
    assert len(shown) == 26
    for width, height, shown_width, shown_height, alt in shown:
        assert alt
        assert shown_width / shown_height == pytest.approx(width / height, rel=0.05)
        assert shown_width >= 90


def test_it_needs_no_network_and_complains_of_nothing(browser, window):
    browser.complaints()
    browser.open(browser.run("return location.href"))
    assert browser.complaints() == []
    loaded = browser.run("return performance.getEntriesByType('resource').map(each => each.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []
    assert browser.run("return document.title") == "Results of the kerasdl course"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out(browser, window, scheme):
    browser.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    contrasts = browser.run(CONTRASTS)
    assert len(contrasts) > 50
    assert [each for each in contrasts if each[1] < 4.5] == []
    paper = browser.run("return getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) > 380) == (scheme == "light")
    browser.tell("Emulation.setEmulatedMedia", features=[])


def test_contents_stand_beside_the_page_or_open_above_it(browser, window):
    visible = "return document.querySelector('.contents a').checkVisibility({ contentVisibilityAuto: true })"
    if window == "screen":
        assert browser.run(visible)
        assert browser.run("return document.querySelector('main').getBoundingClientRect().left") > 200
    else:
        assert not browser.run(visible)
        browser.run("document.querySelector('summary').click()")
        assert browser.wait_for(visible)  # The list opens when the page is drawn the next time.
    browser.run("document.querySelector('.contents a[href=\"#fooling\"]').click()")
    browser.wait_for("return location.hash == '#fooling'")
    assert browser.wait_for(visible if window == "screen" else visible.replace("return", "return !"))
    # What one has chosen is not hidden below the bar.
    bar = "document.querySelector('summary').getBoundingClientRect().bottom" if window == "phone" else "0"
    browser.wait_for(
        "const top = document.querySelector('#fooling h3').getBoundingClientRect().top;"
        f"return top >= {bar} && top < innerHeight"
    )


def test_a_figure_fills_the_window_and_keys_lead_to_the_next(browser, window):
    browser.run("document.querySelector('#place9').scrollIntoView({ block: 'center' })")
    before = browser.run("return [scrollY, history.length]")
    browser.run("document.querySelector('#place9 a').click()")
    assert browser.wait_for("return document.querySelector('figure:target')?.id") == "figure9"
    box = browser.run("return document.querySelector('figure:target').getBoundingClientRect().toJSON()")
    assert [box["x"], box["y"], box["width"], box["height"]] == [0, 0, *browser.run("return [innerWidth, innerHeight]")]
    # Larger than in the row, and where the window is too narrow for that one may scroll.
    small = browser.run("return document.querySelector('#place10 img').clientWidth")
    press(browser, "ArrowRight")
    browser.wait_for("return document.querySelector('figure:target').id == 'figure10'")
    browser.wait_for("return document.querySelector('figure:target img').clientWidth > 1.2 * arguments[0]", small)
    press(browser, "ArrowLeft")
    browser.wait_for("return document.querySelector('figure:target').id == 'figure9'")
    press(browser, "Escape")
    browser.wait_for("return !document.querySelector('figure:target')")
    # Back where one was, with the keyboard too, and one step of the history per figure that was opened.
    browser.wait_for("return document.activeElement == document.querySelector('#place9 a')")
    browser.wait_for("return Math.abs(scrollY - arguments[0]) <= 2", before[0])
    assert browser.run("return history.length") == before[1] + 1
    press(browser, "ArrowRight")
    assert large(browser) == ""


def test_the_browsers_way_back_closes_a_figure(browser, window):
    browser.run("document.querySelector('#place3 a').click()")
    browser.wait_for("return document.querySelector('figure:target')")
    browser.run("history.back()")
    browser.wait_for("return !document.querySelector('figure:target')")


def test_a_figure_can_be_linked_to_and_closed_without_any_program(browser, page, window):
    browser.open(page + "#figure26")
    assert large(browser) == "figure26"
    links = browser.run(
        "return [...document.querySelectorAll('figure:target .steps a')].map(each => [each.textContent, "
        "each.getAttribute('href'), each.getBoundingClientRect().height >= 40])"
    )
    assert links == [["Previous", "#figure25", True], ["Close", "#place26", True]]
    browser.run("location.hash = '#place26'")
    assert large(browser) == ""


def test_printed_it_has_all_figures_and_no_contents(browser, page):
    browser.open(page)
    browser.tell("Emulation.setEmulatedMedia", media="print")
    hidden = browser.run("return [...document.querySelectorAll('nav, footer')].every(each => !shown(each))")
    images = browser.run("return [...document.images].every(each => shown(each) && each.loading != 'lazy')")
    browser.tell("Emulation.setEmulatedMedia", media="")
    assert json.dumps([hidden, images]) == "[true, true]"
