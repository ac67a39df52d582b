"""Published weights in our graphs: the same answers as the networks they come from."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import logits_of

from kerasdl import architectures, data, training
from kerasdl.architectures import freeze, imagenet_classes, pretrained
from kerasdl.architectures.published import PUBLISHED
from kerasdl.data import shapes

# The graphs of all families are compared in the tests of their own; here it is the way from a file into them.
APPLICATIONS = [name for name, network in PUBLISHED.items() if network.application]


def photographs(size: int) -> dict[str, np.ndarray]:
    """The shipped colour photographs by their labels, the middle of each in [0, 1]."""
    names = data.info("photos").classes
    found = {}
    for image, label in data.load("photos"):
        height, width = image.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        middle = image[top : top + side, left : left + side]
        found[names[int(label)]] = tf.image.resize(middle, (size, size), antialias=True).numpy()
    return {name: found[name] for name in ("chelsea", "coffee", "rocket", "flower")}


def right_answers(model: keras.Model, folder: Path) -> int:
    """How many of the photographs the network names right: resized to 256, the middle 224x224 pixels."""
    right = 0
    for path in sorted(folder.glob("*.jpg")):
        image = tf.io.decode_jpeg(path.read_bytes(), channels=3).numpy() / np.float32(255)
        scale = 256 / min(image.shape[:2])
        image = tf.image.resize(image, [round(side * scale) for side in image.shape[:2]], antialias=True).numpy()
        top, left = ((side - 224) // 2 for side in image.shape[:2])
        answer = model.predict(image[None, top : top + 224, left : left + 224], verbose=0).argmax()
        right += imagenet_classes()[answer].lower() == path.stem.partition("_")[2].replace("_", " ").lower()
    return right


def randomise(model: keras.Model) -> None:
    """Random numbers in every weight, also where training begins with ones and zeros: nothing hides behind those."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        value = weight.numpy()
        if "variance" in weight.path or "gamma" in weight.path:
            value = random.uniform(0.5, 1.5, value.shape)
        elif value.ndim == 1:
            value = random.normal(0, 0.1, value.shape)
        weight.assign(value)


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_gives_the_logits_of_the_application_whose_weights_it_takes(name, tmp_path):
    network = PUBLISHED[name]
    # VGG's dense layers fit one size only.
    size = 224 if name.startswith("vgg") else 64
    application = getattr(keras.applications, network.application)(
        weights=None, classifier_activation=None, input_shape=(size, size, 3)
    )
    randomise(application)
    application.save_weights(tmp_path / "weights.weights.h5")
    model = pretrained(name, weights=tmp_path / "weights.weights.h5", input_shape=(size, size, 3))
    photos = np.stack(list(photographs(size).values()))[:2]
    family = {"v": "vgg16", "r": "resnet", "d": "densenet", "c": "convnext"}[name[0]]
    expected = application(getattr(keras.applications, family).preprocess_input(photos * 255)).numpy()
    difference = np.abs(logits_of(model, photos) - expected).max() / expected.std()
    assert difference < 1e-4
    # Two photographs are told apart by much more, so a wrong preprocessing could not pass.
    assert np.abs(expected[0] - expected[1]).max() / expected.std() > 100 * difference
    assert np.abs(expected[0] - expected[1]).max() / expected.std() > 0.01


def test_squeezenet_knows_photographs_without_a_network():
    model = pretrained("squeezenet1_1", input_shape=(227, 227, 3))
    photos = photographs(227)
    ranks = model.predict(np.stack(list(photos.values())), verbose=0).argsort(axis=1)[:, ::-1]
    best = {name: [imagenet_classes()[index] for index in rank[:3]] for name, rank in zip(photos, ranks, strict=True)}
    assert set(best["chelsea"]) == {"tabby", "tiger cat", "Egyptian cat"}
    assert best["coffee"][0] == "espresso"


def test_files_that_were_trained_as_torch_does_are_told_so(tmp_path):
    model = pretrained("squeezenet1_1", input_shape=(64, 64, 3))
    caffe = model.get_layer("conv1").kernel.numpy()
    with np.load(PUBLISHED["squeezenet1_1"].shipped) as shipped:
        np.testing.assert_array_equal(caffe, shipped["conv1/kernel"][:, :, ::-1].astype("float32"))
        np.savez(tmp_path / "torch.npz", **shipped)
        kernel = shipped["conv1/kernel"].astype("float32")
    other = pretrained(
        "squeezenet1_1", weights=str(tmp_path / "torch.npz"), preprocessing="torch", input_shape=(64, 64, 3)
    )
    np.testing.assert_array_equal(other.get_layer("conv1").kernel, kernel)
    colours = np.array([[[[0.485, 0.456, 0.406], [1, 1, 1]]]], "float32")
    np.testing.assert_allclose(
        other.get_layer("preprocessing")(colours)[0, 0], [[0, 0, 0], [2.2489, 2.4286, 2.64]], atol=1e-4
    )
    np.testing.assert_allclose(
        model.get_layer("preprocessing")(colours)[0, 0],
        [[-0.005, -0.499, -0.409], [131.32, 138.221, 151.061]],
        atol=1e-3,
    )


def test_another_number_of_classes_brings_a_fresh_head_and_the_same_features():
    keras.utils.set_random_seed(1)
    ten = pretrained("squeezenet1_1", classes=10, input_shape=(64, 64, 3))
    whole = pretrained("squeezenet1_1", input_shape=(64, 64, 3))
    photos = np.stack(list(photographs(64).values()))
    features = [keras.Model(model.input, model.get_layer("stage4_out").output)(photos) for model in (ten, whole)]
    np.testing.assert_array_equal(*features)
    assert ten.output_shape == (None, 10)
    assert ten.name == "squeezenet1_1"


def drawn_images(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first test images of shapes/one, drawn here: the set on the disk need not be made for them."""
    examples = [shapes.draw_one(np.random.default_rng([1998, 1, index]), index % 10, 64) for index in range(count)]
    return np.stack([each["image"] for each in examples]) / np.float32(255), np.arange(count) % 10


def test_the_shapes_network_knows_its_figures():
    images, labels = drawn_images(300)
    model = pretrained("shapes_cnn")
    assert np.mean(model.predict(images, verbose=0).argmax(axis=1) == labels) >= 0.97
    assert model.output_shape == (None, len(data.info("shapes/one").classes))
    fresh = pretrained("shapes_cnn", classes=4)
    assert fresh.output_shape == (None, 4)
    features = [keras.Model(each.input, each.get_layer("stage2_out").output)(images[:2]) for each in (model, fresh)]
    np.testing.assert_array_equal(*features)


@pytest.mark.slow
def test_the_shapes_network_on_the_whole_test_split():
    model = pretrained("shapes_cnn")
    model.compile(metrics=["accuracy"], loss="sparse_categorical_crossentropy")
    assert model.evaluate(data.load("shapes/one", split="test", batch_size=250), verbose=0)[1] >= 0.97


def test_survives_saving(tmp_path):
    model = pretrained("squeezenet1_1", input_shape=(64, 64, 3))
    model.save(tmp_path / "model.keras")
    photos = np.stack(list(photographs(64).values()))
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(photos), model(photos))


def test_frozen_layers_keep_still_and_the_others_learn():
    model = freeze(pretrained("squeezenet1_1", classes=2, input_shape=(64, 64, 3)), until="fire5")
    before = {weight.path: weight.numpy() for weight in model.weights}
    model.compile("adam", "sparse_categorical_crossentropy")
    photos = np.stack(list(photographs(64).values()))
    training.fit(model, tf.data.Dataset.from_tensors((photos, np.array([0, 1, 0, 1]))), epochs=1, verbose=0)
    moved = {weight.path.split("/")[-2] for weight in model.weights if (weight.numpy() != before[weight.path]).any()}
    fires = {f"fire{number}_{part}" for number in range(6, 10) for part in ("squeeze", "expand1x1", "expand3x3")}
    assert moved == {*fires, "conv10"}
    with pytest.warns(UserWarning, match="'squeezenet1_1' is compiled already and goes on learning"):
        freeze(model, until=None)
    assert all(layer.trainable for layer in model.layers)


def test_freezing_follows_every_way_to_the_layer():
    inputs = keras.Input((8, 8, 3))
    left = keras.layers.Conv2D(2, 1, name="left")(inputs)
    right = keras.layers.Conv2D(2, 1, name="right")(inputs)
    beside = keras.layers.Conv2D(2, 1, name="beside")(inputs)
    both = keras.layers.Add(name="both")([left, right])
    model = freeze(keras.Model(inputs, keras.layers.Add()([both, beside])), until="both")
    assert [layer.name for layer in model.layers if layer.weights and layer.trainable] == ["beside"]


def test_the_layers_with_the_wrong_size_start_afresh_and_say_so(tmp_path):
    with np.load(PUBLISHED["squeezenet1_1"].shipped) as shipped:
        np.savez(tmp_path / "features.npz", **{key: shipped[key] for key in shipped if "conv10" not in key})
    with pytest.warns(UserWarning, match="conv10 of 'squeezenet1_1' did not find weights of their size"):
        pretrained("squeezenet1_1", weights=tmp_path / "features.npz", input_shape=(64, 64, 3))


@pytest.mark.usefixtures("zero_weights")
def test_wrong_arguments_are_explained(tmp_path):
    def refuses(text, *arguments, kind=ValueError, **options):
        with pytest.raises(kind, match=f"^{re.escape(text)}"):
            pretrained(*arguments, **options)

    refuses("`name` must be one of 'vgg16', 'vgg19', 'resnet50'", "alexnet")
    refuses("`classes` must be at least 2", "resnet50", classes=1)
    refuses(
        "`input_shape` must have 3 channels: the weights were trained on RGB images.", "vgg16", input_shape=(64, 64, 1)
    )
    refuses("`preprocessing` must be one of 'keras', 'torch'.", "resnet50", preprocessing="caffe")
    # Figures as the shapes network never saw them: it would name a quarter of them wrong, and nobody would know why.
    refuses(
        "`preprocessing` tells how the weights in a file were trained; of published ones it is known: leave it out, or "
        "give `weights`, the file. Received: preprocessing='torch', weights='published'.",
        "shapes_cnn",
        preprocessing="torch",
    )
    refuses("`preprocessing` tells how", "resnet50", weights="imagenet", preprocessing="keras")
    refuses(
        "'shapes_cnn' learnt shapes/one: `weights` must be \"published\" or a file. Received: 'imagenet'.",
        "shapes_cnn",
        weights="imagenet",
    )
    refuses('`weights` must be "published" or a file .weights.h5, .h5 or .npz.', "resnet50", weights="random")
    refuses("`weights` must be a file that exists.", "resnet50", weights=tmp_path / "none.npz")
    np.savez(tmp_path / "wrong.npz", **{"conv1/kernel": np.zeros((3, 3, 3, 5))})
    refuses(
        "`weights` must hold conv1/kernel of shape (3, 3, 3, 64). Received: shape (3, 3, 3, 5).",
        "squeezenet1_1",
        weights=tmp_path / "wrong.npz",
    )
    refuses("`weights` must hold conv1_conv/kernel. Received:", "resnet50", weights=tmp_path / "wrong.npz")
    (tmp_path / "wrong.h5").write_bytes(b"nothing")
    refuses(
        "`weights` must be those of keras.applications.ResNet50 with 1,000 classes.",
        "resnet50",
        weights=tmp_path / "wrong.h5",
    )
    refuses("'squeezenet1_1' is not in keras.applications", "squeezenet1_1", weights=tmp_path / "wrong.h5")
    with pytest.raises(ValueError, match=r"^`until` must name a layer of 'lenet5'"):
        freeze(architectures.lenet5(), until="stage9_out")
    model = keras.Sequential([keras.layers.Dense(2, name="dense")])  # Without an input there is no graph.
    with pytest.raises(ValueError, match=r"^`model` must be a graph of layers.* of the class Sequential\."):
        freeze(model, until="dense")


def test_without_a_network_it_says_what_to_do(monkeypatch):
    def no_network(**arguments):
        raise Exception("URL fetch failure on https://example.org: None -- unreachable")  # as Keras raises it

    monkeypatch.setattr(keras.applications, "ResNet50", no_network)
    with pytest.raises(
        OSError, match=r'^The weights of \'resnet50\' could not be downloaded .* "squeezenet1_1", which'
    ):
        pretrained("resnet50")


@pytest.mark.parametrize(
    ("name", "file", "least"), [("resnet50", "resnet50_imagenet_f16.npz", 27), ("squeezenet1_1", None, 20)]
)
def test_real_networks_know_the_photographs(name, file, least, extra_data):
    weights = "published" if file is None else extra_data / "weights" / file
    assert right_answers(pretrained(name, weights=weights), extra_data / "photos") >= least
