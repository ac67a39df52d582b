import functools
import html
import re
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from event_helpers import read_scalars, read_steps
from picture_helpers import read_images, read_texts, see

from kerasdl.callbacks import TextSummary
from kerasdl.callbacks.images import pixels
from kerasdl.sequences import caption, captioner, corpus_bleu, generate, language_model, tag, tagger, translate
from kerasdl.sequences import translator as make_translator
from kerasdl.visualization import plots

SOURCES = ["i see", "you eat", "you see me"]
REFERENCES = ["je vois", "tu manges", "tu me vois"]


@pytest.fixture(scope="module")
def translator():
    keras.utils.set_random_seed(1)
    return make_translator(["i", "you", "see", "eat", "me"], ["je", "tu", "vois", "manges", "me"], units=8)


def rows(text):
    """The cells of a table as a reader sees them: through TensorBoard's own Markdown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of its own parts.
        from tensorboard.plugin_util import markdown_to_safe_html
    page = markdown_to_safe_html(text)
    table = [re.findall(r"<t[hd]>(.*?)</t[hd]>", row, re.DOTALL) for row in page.split("<tr>")[1:]]
    return [[html.unescape(re.sub(r"<br\s*/?>", "\n", cell)) for cell in row] for row in table]


def test_translations_beside_the_references(tmp_path, translator):
    short = functools.partial(translate, length=5)
    see(TextSummary(tmp_path, short, SOURCES, references=REFERENCES, pictures=2), translator)
    expected = translate(translator, SOURCES, length=5)
    assert rows(read_texts(tmp_path, "texts/translate")[0]) == [
        ["source", "written", "reference"],
        *([*row] for row in zip(SOURCES, expected.sentences, REFERENCES, strict=True)),
    ]
    score = corpus_bleu(expected.sentences, REFERENCES)
    assert read_scalars(tmp_path) == {"bleu/translate": {0: pytest.approx(score)}}
    for number in (0, 1):
        [picture] = read_images(tmp_path, f"attention/translate/{number + 1}")[0]
        figure = plots.attention(expected.attention[number], expected.source_words[number], expected.words[number])
        np.testing.assert_array_equal(picture, pixels(figure))
    assert "attention/translate/3" not in read_steps(tmp_path)


def test_the_model_of_that_epoch_writes(tmp_path):
    def write(model, sources):
        return [f"{source} {float(model.weights[0][0, 0])}" for source in sources]

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.25), "mse")
    model.fit(np.ones((1, 1)), np.ones((1, 1)), epochs=2, verbose=0, callbacks=[TextSummary(tmp_path, write, "w is")])
    written = {step: rows(text)[1] for step, text in read_texts(tmp_path, "texts/write").items()}
    # From 0, half of the distance to 1 at each step.
    assert written == {0: ["w is", "w is 0.5"], 1: ["w is", "w is 0.75"]}


@pytest.mark.slow
def test_captions_with_their_images(tmp_path):
    model = captioner(["star", "a"], input_shape=(16, 16, 3), units=8, embedding=4)
    images = np.random.default_rng(0).random((3, 16, 16, 3), dtype="float32")
    short = functools.partial(caption, length=3)
    see(TextSummary(tmp_path, short, images, references=["a star"] * 3, pictures=2, name="said"), model)
    expected = caption(model, images, length=3)
    table = rows(read_texts(tmp_path, "texts/said")[0])
    assert table[1:] == [[str(n + 1), sentence, "a star"] for n, sentence in enumerate(expected.sentences)]
    shown = np.rint(images * 255) / 255
    [picture] = read_images(tmp_path, "captions/said")[0]
    np.testing.assert_array_equal(picture, pixels(plots.image_grid(shown[:2], expected.sentences[:2])))
    spoken = [number for number in (0, 1) if expected.words[number]]
    assert spoken  # With this seed it says something.
    for number in spoken:
        words = expected.words[number]
        maps = tf.image.resize(expected.maps[number, : len(words), ..., None], (16, 16), "bicubic")[..., 0]
        figure = plots.overlay_grid(shown[number : number + 1], np.maximum(maps, 0), words)
        [picture] = read_images(tmp_path, f"attention/said/{number + 1}")[0]
        np.testing.assert_array_equal(picture, pixels(figure))
    assert read_scalars(tmp_path) == {}


def test_texts_that_a_model_makes_up(tmp_path):
    model = language_model(list("ab|\n<*_"), units=4, embedding=4)
    write = functools.partial(generate, length=40, seed=3)
    see(TextSummary(tmp_path, write, ["a|", "b\n"]), model)
    expected = generate(model, ["a|", "b\n"], 40, seed=3)
    assert any(sign in "".join(expected) for sign in "|<*_\n")
    table = rows(read_texts(tmp_path, "texts/generate")[0])
    # Spaces around the lines do not show.
    assert [[cell.strip() for cell in row] for row in table[1:]] == [
        [source.strip(), text.strip()] for source, text in zip(["a|", "b\n"], expected, strict=True)
    ]


def test_words_with_their_tags(tmp_path):
    model = tagger(["eggs", "i", "like"], classes=("NOUN", "VERB"), units=4)
    see(TextSummary(tmp_path, tag, ["i like eggs"]), model)
    expected = " ".join(f"{word}/{name}" for word, name in tag(model, ["i like eggs"])[0])
    assert rows(read_texts(tmp_path, "texts/tag")[0]) == [["source", "written"], ["i like eggs", expected]]


def test_a_long_table_is_cut(tmp_path):
    see(TextSummary(tmp_path, lambda model, texts: texts, [str(n) for n in range(60)]), keras.Sequential())
    text = read_texts(tmp_path, "texts/text")[0]
    assert [row[0] for row in rows(text)[1:]] == [str(number) for number in range(50)]
    assert text.endswith("\n\nand 10 more")


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        (
            ("translate", ["a"]),
            TypeError,
            "`function` must be callable as function(model, sources), such as kerasdl.sequences.translate. Received: "
            "'translate'.",
        ),
        ((translate, []), ValueError, "`sources` must hold at least one. Received: none."),
    ],
)
def test_wrong_arguments(tmp_path, arguments, kind, text):
    with pytest.raises(kind, match=f"^{re.escape(text)}$"):
        TextSummary(tmp_path, *arguments)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"references": ["a", "b"]},
            "`references` must have one text for each of the sources. Received: 2 for 1 sources.",
        ),
        ({"pictures": -1}, "`pictures` must be a whole number of at least 0. Received: pictures=-1."),
    ],
)
def test_wrong_options(tmp_path, options, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        TextSummary(tmp_path, translate, "i see", **options)


@pytest.mark.parametrize(("written", "told"), [("word", "4 in a str"), (["a"], "1 in a list"), (None, "None")])
def test_a_function_that_writes_something_else_is_told_before_the_first_epoch(tmp_path, written, told):
    callback = TextSummary(tmp_path, lambda model, sources: written, ["a", "b"])
    callback.set_model(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    text = f"`function` must return one text for each of the 2 sources. Received: {told}."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        callback.on_train_begin()
    assert list(tmp_path.iterdir()) == []
