import json
import os
import re
import struct
import subprocess
import sys
import zlib

import keras
import ml_dtypes
import numpy as np
import pytest
from xnor_helpers import hand_made, some_images

from kerasdl.xnor import load
from kerasdl.xnor.containers import read_container, write_container

HEAD = struct.Struct("<8sIQQ")


@pytest.fixture
def saved(tmp_path):
    """A network and its file."""
    packed = hand_made()
    packed.save(tmp_path / "network.xnor")
    return packed, tmp_path / "network.xnor"


def test_loaded_is_equal_bit_for_bit(saved):
    packed, path = saved
    loaded = load(str(path))
    images = some_images(5)
    np.testing.assert_array_equal(loaded.predict(images), packed.predict(images))
    assert repr(loaded) == repr(packed)
    for again, step in zip(loaded.steps, packed.steps, strict=True):
        assert type(again) is type(step)
        assert json.dumps(again.settings()) == json.dumps(step.settings())
        assert again.arrays().keys() == step.arrays().keys()
        for name, array in step.arrays().items():
            np.testing.assert_array_equal(again.arrays()[name], array)
            assert again.arrays()[name].flags.writeable
    # Once more, byte for byte the same file.
    loaded.save(path.with_name("again"))
    assert path.with_name("again").read_bytes() == path.read_bytes()


def test_the_layout_is_what_the_module_says(saved):
    content = saved[1].read_bytes()
    magic, version, length, total = HEAD.unpack_from(content)
    assert (magic, version, total) == (b"\x89kdX\r\n\x1a\n", 1, len(content))
    assert struct.unpack_from("<I", content, HEAD.size) == (zlib.crc32(content[: HEAD.size]),)
    assert content[HEAD.size + 4 :][:1] == b"{"
    assert len(content) % 64 == 32
    # The first array of the last step: the panels of its weights lie in the file as they lie in memory.
    assert saved[0].steps[-1].panels.tobytes() in content
    assert length < total


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "int8", "uint64", "bool"])
def test_arrays_of_any_dtype_come_back(tmp_path, dtype):
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    arrays = [np.arange(6).reshape(2, 3).astype(kind), np.array(1).astype(kind), np.zeros((0, 2), kind)]
    write_container(tmp_path / "file", {"a": [1]}, arrays)
    header, again = read_container(tmp_path / "file")
    assert header == {"a": [1]}
    for array, found in zip(arrays, again, strict=True):
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found, array)


def test_weights_of_one_bit_take_one(tmp_path):
    packed = hand_made(filters=256)
    packed.save(tmp_path / "small")
    floats = sum(weight.nbytes for weight in packed.steps[0].arrays().values())
    bits = (tmp_path / "small").stat().st_size - floats
    # 2 x 2 x 256 inputs of 10 outputs, in panels of 16; and a header.
    assert packed.steps[-1].panels.nbytes == 2 * 2 * 256 * 16 // 8
    assert bits < 2 * 2 * 256 * 16 // 8 + 256 * 5 + 80 + 5000


def test_what_is_no_file_of_a_packed_network(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape("There is no file 'nowhere'. `PackedModel.save(path)` ")):
        load("nowhere")
    with pytest.raises(IsADirectoryError, match=r"`path` must be the file of a packed network. Received: the"):
        load(tmp_path)
    path = tmp_path / "file"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=re.escape(f"The file {str(path)!r} is empty. Save the packed network again.")):
        load(path)
    picture = b"\x89PNG\r\n\x1a\n"
    path.write_bytes(picture + bytes(100))
    expected = (
        f"{str(path)!r} is no file of a packed network. It begins with {picture!r}. "
        "`PackedModel.save(path)` writes the files that `load` reads."
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        load(path)
    path = tmp_path / "model.keras"
    hand_made().steps[0].model.save(path)
    expected = (
        f"{str(path)!r} is no file of a packed network. If it is a Keras model, open it with "
        "keras.saving.load_model, and kerasdl.xnor.pack packs it."
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        load(path)


def test_a_file_that_is_cut_off(saved):
    _, path = saved
    content = path.read_bytes()
    for length in (3, 8, 20, HEAD.size + 3):
        path.write_bytes(content[:length])
        expected = f"The file {str(path)!r} is cut off: it ends after {length} bytes. Copy or save it again."
        with pytest.raises(ValueError, match=re.escape(expected)):
            load(path)
    for length in (HEAD.size + 4, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        expected = f"The file {str(path)!r} is cut off: it has {length:,} of {len(content):,} bytes."
        with pytest.raises(ValueError, match=re.escape(expected)):
            load(path)


def test_a_file_with_one_byte_changed_or_some_too_many(saved):
    _, path = saved
    content = path.read_bytes()
    positions = [*range(8, 200), *range(200, len(content), 37), len(content) - 1]
    damaged = f"The file {str(path)!r} is damaged: its checksum does not fit what is in it. Copy or save it again."
    for position in positions:
        for flip in (1, 255):
            changed = bytearray(content)
            changed[position] ^= flip
            path.write_bytes(changed)
            with pytest.raises(ValueError, match=re.escape(damaged)):
                load(path)
    path.write_bytes(content + b"x")
    with pytest.raises(ValueError, match=re.escape(damaged)):
        load(path)
    path.write_bytes(b"x" + content)
    with pytest.raises(ValueError, match="is no file of a packed network"):
        load(path)


def test_a_file_of_a_newer_format(saved):
    _, path = saved
    content = path.read_bytes()
    magic, version, length, total = HEAD.unpack_from(content)
    head = HEAD.pack(magic, version + 1, length, total)
    path.write_bytes(head + struct.pack("<I", zlib.crc32(head)) + content[HEAD.size + 4 :])
    expected = (
        f"The file {str(path)!r} has the format 2, and this version of kerasdl reads formats up to 1. "
        "Update kerasdl, or save the network again with the version that is here."
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        load(path)


def test_the_file_is_there_whole_or_not_at_all(saved, monkeypatch):
    packed, path = saved
    content = path.read_bytes()

    def interrupted(file):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        packed.save(path)
    assert [file.name for file in path.parent.iterdir()] == ["network.xnor"]
    assert path.read_bytes() == content
    with pytest.raises(FileNotFoundError, match=r"The folder '.*none' must be there to save in. Make it first."):
        packed.save(path.parent / "none" / "file")
    with pytest.raises(IsADirectoryError, match=r"`path` must be a file. Received: the folder '.*'. Add a name to it."):
        packed.save(path.parent)


def test_layers_that_are_code_are_not_saved(tmp_path):
    expected = (
        "A packed network that is saved must have no lambda function, since its file holds no code. Received: one in "
        "the layers ['stem']. Make it a function or a layer that keras.saving.register_keras_serializable registers."
    )
    for layer in (keras.layers.Lambda(lambda x: x + 1), keras.layers.Conv2D(2, 3, activation=lambda x: x + 1)):
        with pytest.raises(ValueError, match=re.escape(expected)):
            hand_made(layer).save(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


class Doubled(keras.layers.Layer):
    """A layer of one's own that nobody has registered."""

    def call(self, inputs):
        return 2 * inputs


def test_a_layer_of_ones_own_is_found_or_named(tmp_path):
    path = tmp_path / "file"
    packed = hand_made(Doubled())
    packed.save(path)
    expected = (
        f"The file {str(path)!r} needs the class or function 'Doubled' of the module {Doubled.__module__!r}, which is "
        "not known here. Import that module, if it registers it with Keras, or pass `custom_objects={'Doubled': ...}`."
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        load(path)
    images = some_images(3)
    loaded = load(path, custom_objects={"Doubled": Doubled})
    np.testing.assert_array_equal(loaded.predict(images), packed.predict(images))


@pytest.mark.slow
def test_another_process_gives_the_same(saved):
    packed, path = saved
    images = some_images(4)
    np.save(path.with_name("images.npy"), images)
    script = """
import sys
import numpy as np
from kerasdl.xnor import load
np.save("outputs.npy", load("network.xnor").predict(np.load("images.npy")))
"""
    subprocess.run([sys.executable, "-c", script], cwd=path.parent, check=True)
    np.testing.assert_array_equal(np.load(path.with_name("outputs.npy")), packed.predict(images))
