"""`python -m kerasdl.visualization`: the picture, the five classes, and what is said of bad input."""

import os
import re
import subprocess
import sys

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import typer
from scipy.ndimage import gaussian_filter

from kerasdl import data
from kerasdl.architectures import imagenet_classes, pretrained
from kerasdl.visualization import __main__ as command_line
from kerasdl.visualization import grad_cam, plots, saliency, segment


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """The shipped photograph of coffee, 447 pixels wide and 299 high, as a file."""
    names = data.info("photos").classes
    image = next(image for image, label in data.load("photos") if names[int(label)] == "coffee")
    path = tmp_path_factory.mktemp("photos") / "coffee.png"
    # A column less than there are: the square in its middle is then one of whole pixels.
    PIL.Image.fromarray(np.uint8(np.round(np.asarray(image)[:, :447] * 255))).save(path)
    return path


def run(*words, cwd):
    command = [sys.executable, "-m", "kerasdl.visualization", *map(str, words)]
    environment = {**os.environ, "COLUMNS": "200", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


@pytest.mark.slow
def test_names_the_five_likeliest_classes_and_leaves_a_picture_beside_where_it_runs(photo, tmp_path):
    ended = run(photo, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    rows = re.findall(r"│ (.+?) +│ +(\d+) │ +([\d.]+)%", ended.stdout)
    assert rows[0][:2] == ("espresso", "967")
    assert len(rows) == 5
    assert all(imagenet_classes()[int(number)] == name for name, number, _ in rows)
    model = pretrained("squeezenet1_1")
    expected = np.sort(model(command_line.read_photo(photo, 224, 224)[None]).numpy()[0])[::-1][:5]
    np.testing.assert_allclose([float(share) for *_, share in rows], 100 * expected, atol=0.06)
    with PIL.Image.open(tmp_path / "coffee_grad_cam.png") as picture:
        assert picture.width > 900


@pytest.mark.slow
def test_all_methods_in_one_picture(photo, tmp_path):
    ended = run(photo, "--method", "all", "--target", "cup", "--out", "all.png", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "The picture for 'cup' is all.png." in ended.stdout
    assert "Without" not in ended.stdout
    with PIL.Image.open(tmp_path / "all.png") as picture:
        assert min(picture.size) > 500


@pytest.mark.slow
def test_a_missing_file_is_answered_in_one_sentence(tmp_path):
    ended = run("nothing.jpg", cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.strip().split("\n")[-1] == "Error: PHOTO must be a file that exists. Received: nothing.jpg."
    assert "Traceback" not in ended.stderr


def small(*_, **__):
    layers = [keras.layers.Conv2D(4, 3, name="maps"), keras.layers.ReLU(), keras.layers.GlobalAveragePooling2D()]
    return keras.Sequential([keras.Input((24, 24, 3)), *layers, keras.layers.Dense(5, activation="softmax")])


def test_draws_the_map_of_the_class_and_the_layer_that_were_asked_for(photo, tmp_path, monkeypatch, capsys):
    keras.utils.set_random_seed(0)
    model, drawn = small(), {}
    monkeypatch.setattr(command_line, "pretrained", lambda *_, **__: model)
    monkeypatch.setattr(plots, "save", lambda figure, path, dpi: drawn.update(figure=figure, path=path, dpi=dpi))
    command_line.main(photo, target="3", layer="maps")
    assert "grad_cam: 1 of 1 maps are zero everywhere" in capsys.readouterr().out
    command_line.main(photo, target="1", layer="maps")
    image = command_line.read_photo(photo, 24, 24)[None]
    # The photograph is drawn as sharp as it is, the map is drawn out to it.
    with PIL.Image.open(photo) as file:
        original = np.asarray(file)[:, 74:373] / 255
    large = tf.image.resize(grad_cam(model, image, 1, layer="maps")[..., None], (299, 299))[..., 0]
    expected = plots.overlay_grid(original[None], large).axes[0].images[0].get_array()
    shown, over = (axes.images[0].get_array() for axes in drawn["figure"].axes)
    np.testing.assert_allclose(shown, original, atol=1e-6)
    np.testing.assert_allclose(over, expected, atol=1e-5)
    assert [axes.get_title() for axes in drawn["figure"].axes] == ["Photograph", "Grad-CAM"]
    assert drawn["figure"].get_supxlabel() == "Dark: little, yellow: much, each map on its own scale"
    assert drawn["dpi"] == 120
    assert str(drawn["path"]) == "coffee_grad_cam.png"
    shown = capsys.readouterr().out
    assert "The picture for '1' is coffee_grad_cam.png." in shown
    assert "zero everywhere" not in shown


def test_cuts_out_what_saliency_marks(photo, tmp_path, monkeypatch):
    keras.utils.set_random_seed(0)
    model, drawn = small(), {}
    monkeypatch.setattr(command_line, "pretrained", lambda *_, **__: model)
    monkeypatch.setattr(plots, "save", lambda figure, path, dpi: drawn.update(figure=figure))
    command_line.main(photo, method="segment")
    image = command_line.read_photo(photo, 24, 24)[None]
    marks = gaussian_filter(saliency(model, image)[0], 0.24)
    mask = segment(marks[None], image)
    assert 0 < mask.mean() < 1
    large = tf.image.resize(np.float32(mask)[..., None], (299, 299)).numpy()[..., 0] > 0.5
    photograph = drawn["figure"].axes[0].images[0].get_array()
    expected = plots.overlay_grid(photograph[None], large).axes[0].images[0].get_array()
    np.testing.assert_allclose(drawn["figure"].axes[1].images[0].get_array(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("width", "height", "methods", "side", "dpi"),
    [(3000, 2000, 1, 1200, 300), (1500, 1000, 1, 1000, 250), (2000, 3000, 3, 600, 300), (20, 30, 1, 24, 120)],
)
def test_a_large_photograph_stays_as_large_as_a_slide_shows(width, height, methods, side, dpi, monkeypatch):
    drawn = {}
    monkeypatch.setattr(plots, "save", lambda figure, path, dpi: drawn.update(figure=figure, dpi=dpi))
    maps = dict.fromkeys(list(command_line.TITLES)[:methods], np.ones((24, 24)))
    command_line._draw(PIL.Image.new("RGB", (width, height)), maps, "title", "picture.png")
    assert [axes.images[0].get_array().shape for axes in drawn["figure"].axes if axes.images] == [(side, side, 3)] * (
        methods + 1
    )
    assert drawn["dpi"] == dpi


def test_every_method_has_a_title():
    assert list(command_line.TITLES) == list(command_line.METHODS)


def test_photographs_are_cut_to_their_middle_and_turned_as_the_camera_was(tmp_path):
    pixels = np.zeros((10, 30, 3), "uint8")
    pixels[:, 10:15, 0] = pixels[:, 15:20, 1] = 255
    picture = PIL.Image.fromarray(pixels)
    exif = picture.getexif()
    exif[0x0112] = 6  # turn by 90 degrees, clockwise
    picture.save(tmp_path / "turned.png", exif=exif)
    image = command_line.read_photo(tmp_path / "turned.png", 10, 10)
    np.testing.assert_array_equal(image[:5], np.broadcast_to([1, 0, 0], (5, 10, 3)))
    np.testing.assert_array_equal(image[5:], np.broadcast_to([0, 1, 0], (5, 10, 3)))


def test_classes_are_found_by_number_and_by_name():
    names = imagenet_classes()
    assert [command_line.find_class(text, names) for text in ("281", "tabby", "Egyptian Cat")] == [281, 281, 285]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"method": "grad_cma"},
            r"^Error: --method must be one of saliency, .*, all\. Received: 'grad_cma'\. .* is grad_cam\.$",
        ),
        ({"model": "resnet5"}, r"^Error: --model must be one of vgg16, .* The closest is resnet50\.$"),
        ({"target": "tabbby"}, r"^Error: --target must be the number or .* Received: 'tabbby'\. .*: tabby"),
        ({"target": "cat"}, r"The closest are: .*tiger cat"),
        ({"target": "1000"}, r"^Error: --target must be a name, or a number from 0 to 999\. Received: 1000\.$"),
        ({"target": "crane"}, r"^Error: --target must name one class\. Received: 'crane', which are 134 and 517\.$"),
        (
            {"method": "saliency", "layer": "fire9"},
            r"^Error: --layer is for grad_cam, .* Received: --method saliency\.$",
        ),
        ({"method": "all", "layer": "fire9"}, r"^Error: --layer is for grad_cam, .* Received: --method all\.$"),
        ({"layer": "fire99"}, r"^Error: `layer` must name a layer .* The closest are: fire"),
        ({"weights": "none.npz"}, r"^Error: `weights` must be a file that exists\. Received: 'none\.npz'\.$"),
        # Before anything is built.
        ({"photo": "text", "weights": "none.npz"}, r"^Error: PHOTO must be a picture"),
        (
            {"photo": "text"},
            r"^Error: PHOTO must be a picture, such as \.jpg or \.png, and whole\. Received: .*\.jpg\.$",
        ),
    ],
)
def test_bad_input_is_answered_in_one_sentence(arguments, message, photo, tmp_path, capsys):
    arguments = dict(arguments)
    if arguments.pop("photo", None):
        photo = tmp_path / "text.jpg"
        photo.write_text("no picture")
    with pytest.raises(typer.Exit) as ended:
        command_line.main(photo, out=tmp_path / "picture.png", **arguments)
    assert ended.value.exit_code == 1
    assert re.search(message, capsys.readouterr().err.strip())
    assert not (tmp_path / "picture.png").exists()
