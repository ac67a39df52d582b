import copy
import pickle
import re
import subprocess
import sys
import threading

import keras
import numba
import numpy as np
import pytest
from xnor_helpers import hand_made, some_images, trained_looking

from kerasdl.architectures import binary_cnn, bwn_alexnet, xnor_resnet18
from kerasdl.layers import XnorConv2D, XnorDense
from kerasdl.xnor import PackedModel, load, pack
from kerasdl.xnor.convolution_steps import ConvolveBits, ConvolveFloats
from kerasdl.xnor.keras_part import KerasPart


def logits_of(model):
    return keras.Model(model.inputs, model.get_layer("logits").output)


@pytest.mark.parametrize("kind", ["xnor", "xnor_k", "ternary"])
def test_equals_keras_and_comes_back_from_its_file(kind, tmp_path):
    model = logits_of(trained_looking(binary_cnn(kind, 16), 1))
    images = some_images(70, (28, 28, 1))
    expected = model.predict(images, verbose=0)
    packed = pack(model)
    logits = packed.predict(images)
    assert logits.dtype == np.float32
    assert np.abs(logits - expected).max() < 1e-5 * expected.std()
    np.testing.assert_array_equal(logits.argmax(1), expected.argmax(1))
    packed.save(tmp_path / "network")
    np.testing.assert_array_equal(load(tmp_path / "network").predict(images), logits)


def test_whole_numbers_are_equal_bit_for_bit():
    # Without scales and behind a norm all that is compared is whole: the outputs are the integers themselves.
    images = keras.Input((8, 8, 70))
    x = XnorConv2D(40, 3, padding="same", weight_scale=False, use_bias=False)(images)
    x = keras.layers.MaxPooling2D(2)(keras.layers.BatchNormalization()(x))
    x = XnorConv2D(33, 3, strides=2, padding="same", weight_scale=False, use_bias=False)(x)
    x = keras.layers.Flatten()(keras.layers.BatchNormalization()(x))
    model = trained_looking(keras.Model(images, XnorDense(7, weight_scale=False, use_bias=False)(x)))
    packed = pack(model)
    assert not any(isinstance(step, KerasPart) for step in packed.steps)
    given = some_images(50, (8, 8, 70))
    given[0, 0, 0, :2] = [0.0, -0.0]
    outputs = packed.predict(given)
    np.testing.assert_array_equal(outputs, model.predict(given, verbose=0))
    np.testing.assert_array_equal(outputs, np.round(outputs))
    assert len(np.unique(outputs)) > 20


def test_is_independent_of_the_model_and_of_the_batch_size():
    model = trained_looking(binary_cnn("xnor", 16))
    packed = pack(model)
    images = some_images(11, (28, 28, 1))
    outputs = packed.predict(images)
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))
    for size in (1, 4, 11, 100):
        np.testing.assert_allclose(packed.predict(images, batch_size=size), outputs, rtol=1e-5)
    packed.predict(images)[:] = 0  # What is handed out is no memory of the network's.
    np.testing.assert_array_equal(packed.predict(images), outputs)
    for size in (0, 2.5, "32", None, True):
        expected = f"`batch_size` must be a whole number, 1 or more. Received: {size!r}."
        with pytest.raises(ValueError, match=re.escape(expected)):
            packed.predict(images, batch_size=size)


def test_memory_is_not_reserved_again():
    packed = hand_made()
    packed.predict(some_images(8))
    buffers = dict(packed._workspace._buffers)
    assert {len(buffer) for buffer in buffers.values()} == {8}
    packed.predict(some_images(20), batch_size=7)
    assert packed._workspace._buffers.keys() == buffers.keys()
    assert all(packed._workspace._buffers[name] is buffer for name, buffer in buffers.items())
    assert packed._workspace.values == {}


def test_stays_usable_after_an_interruption(monkeypatch):
    packed = pack(trained_looking(binary_cnn("xnor", 8)))
    images = some_images(6, (28, 28, 1))
    expected = packed.predict(images)
    for broken in (packed.steps[-1], packed.steps[2], packed.steps[0]):
        kind, run = type(broken), type(broken).run

        def interrupted(step, workspace, run=run, broken=broken):
            run(step, workspace)
            if step is broken and workspace.batch == 2:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(kind, "run", interrupted)
            with pytest.raises(KeyboardInterrupt):
                packed.predict(-images, batch_size=4)
        np.testing.assert_array_equal(packed.predict(images), expected)


def test_threads_wait_for_each_other():
    networks = [pack(trained_looking(binary_cnn("xnor", 8), seed)) for seed in range(2)]
    batches = [some_images(5, (28, 28, 1), seed) for seed in range(4)]
    expected = [[network.predict(images) for images in batches] for network in networks]
    wrong = []

    def work(number):
        for turn in range(15):
            network, batch = (number + turn) % 2, (number + turn // 2) % 4
            found = networks[network].predict(batches[batch], batch_size=1 + turn % 3)
            if not np.allclose(found, expected[network][batch], rtol=1e-5):
                wrong.append((network, batch))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []


def test_follows_the_threads_of_numba():
    packed = pack(trained_looking(binary_cnn("xnor", 64)))
    images = some_images(40, (28, 28, 1))
    expected = packed.predict(images)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        np.testing.assert_array_equal(packed.predict(images), expected)
    finally:
        numba.set_num_threads(before)


def test_copies_and_pickles_are_equal_and_share_no_memory():
    packed = pack(trained_looking(binary_cnn("xnor", 8)))
    images = some_images(6, (28, 28, 1))
    expected = packed.predict(images)
    for made in (pickle.loads(pickle.dumps(packed)), copy.deepcopy(packed), copy.copy(packed)):
        assert made._workspace is not packed._workspace
        assert made._workspace._buffers == {}
        np.testing.assert_array_equal(made.predict(images), expected)
    np.testing.assert_array_equal(packed.predict(images), expected)


ELSEWHERE = """
import pickle, sys
import numpy as np
with open(sys.argv[1], "rb") as file:
    packed, images, expected = pickle.load(file)
np.testing.assert_array_equal(packed.predict(images), expected)
"""


@pytest.mark.slow
def test_another_process_computes_the_same(tmp_path):
    packed = hand_made()
    images = some_images(6)
    (tmp_path / "pickled").write_bytes(pickle.dumps((packed, images, packed.predict(images))))
    done = subprocess.run([sys.executable, "-c", ELSEWHERE, tmp_path / "pickled"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_shows_how_far_it_is(capsys):
    packed = hand_made()
    packed.predict(some_images(10), batch_size=4)
    assert capsys.readouterr().out == ""
    packed.predict(some_images(10), batch_size=4, verbose=1)
    assert "3/3" in capsys.readouterr().out


def test_says_what_it_holds():
    packed = hand_made()
    # The stem's floats; thresholds and flips of 20 channels; 4 words of 16 filters, scale and offset of 10.
    assert packed.nbytes == 4 * 560 + 20 * 5 + 4 * 16 * 8 + 2 * 40
    assert repr(packed) == "<PackedModel 'hand_made': 3 steps, 2,932 bytes>"
    lines = []
    assert packed.summary(print_fn=lines.append) is None
    text = "\n".join(lines)
    rows = [re.split(r"  +", line.strip()) for line in text.splitlines() if "->" in line or "Keras" in line]
    assert rows == [
        ["stem", "Keras", "2,240", "2,240", "2,160"],
        ["sign", "floats -> bits", "100"],
        ["norm, flatten, logits", "bits x bits -> floats", "592", "3,240", "800"],
        ["stem runs in Keras: because."],
    ]
    assert "Bytes: 2,932; in the model 5,480, 1.9 times as many" in text
    assert "Multiply-adds of convolutions and dense layers: 2,960 per image, 27.0% with bits" in text
    assert all(len(line) <= 110 for line in text.splitlines())


def test_summary_prints(capsys):
    hand_made().summary()
    assert capsys.readouterr().out.startswith("Packed 'hand_made'\n")


def test_summary_says_what_a_step_without_layers_is_for():
    images = keras.Input((4, 4, 5), name="images")
    x = XnorConv2D(6, 3, padding="same", input_scale=True, name="first")(images)
    x = keras.layers.PReLU(name="slopes")(x)
    model = keras.Model(images, XnorDense(3, name="last")(keras.layers.GlobalAveragePooling2D(name="mean")(x)))
    lines = []
    pack(model).summary(print_fn=lines.append)
    rows = [re.split(r"  +", line.strip())[0] for line in lines[0].splitlines() if "->" in line]
    assert rows == ["sign of the input", "K of first", "first", "sign of mean", "last"]
    left, right = keras.Input((5,), name="left"), keras.Input((4,), name="right")
    both = keras.layers.Concatenate(name="both")([XnorDense(3, name="one")(left), XnorDense(3, name="other")(right)])
    pack(keras.Model([left, right], both)).summary(print_fn=lines.append)
    rows = [re.split(r"  +", line.strip())[0] for line in lines[1].splitlines() if "->" in line]
    assert rows == ["sign of left", "sign of right", "one", "other"]


def test_binary_weights_take_a_thirty_second(tmp_path):
    model = binary_cnn("xnor", 64)
    packed = pack(model)
    latent = sum(4 * np.prod(layer.kernel.shape) for layer in model.layers if isinstance(layer, XnorConv2D | XnorDense))
    bits = sum(step.panels.nbytes for step in packed.steps if isinstance(step, ConvolveBits | ConvolveFloats))
    assert latent == 32 * bits
    # The whole network has also a real first and last layer, thresholds, and a header in its file.
    packed.save(tmp_path / "network")
    size = (tmp_path / "network").stat().st_size
    assert packed.nbytes < size < packed.nbytes + 15_000
    real = [model.get_layer(name) for name in ("stage1_conv1", "logits")]
    assert packed.nbytes < bits + sum(4 * layer.count_params() for layer in real) + 10_000


def test_steps_in_a_wrong_order_are_refused():
    packed = hand_made()
    with pytest.raises(
        ValueError, match=re.escape("The step 'sign' must read what comes before it. Received: ['maps']")
    ):
        PackedModel("x", packed.inputs, packed.steps[1:], ("in",), "logits")
    with pytest.raises(ValueError, match=re.escape("The outputs must be written by a step. Received: ['other'].")):
        PackedModel("x", packed.inputs, packed.steps, ("in",), ["logits", "other"])


@pytest.mark.slow
def test_whole_networks_beside_the_files_of_keras(tmp_path):
    # Their first and last layers stay real, and are most of what is left: 2 of 3.5 MB, and 16 of 24 MB.
    for build, ratio in ((xnor_resnet18, 13), (bwn_alexnet, 10)):
        model = trained_looking(build(classes=1000), 3)
        model.save(tmp_path / "model.keras")
        packed = pack(model)
        packed.save(tmp_path / "model.xnor")
        sizes = {name: (tmp_path / name).stat().st_size for name in ("model.keras", "model.xnor")}
        assert sizes["model.keras"] > ratio * sizes["model.xnor"], sizes
        images = some_images(4, model.input_shape[1:])
        expected, found = model.predict(images, verbose=0), load(tmp_path / "model.xnor").predict(images)
        np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
