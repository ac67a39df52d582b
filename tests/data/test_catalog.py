"""Names lead to builders: shipped, drawn once for all processes, or TFDS's own."""

import os
import re
import shutil
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest
import requests
import tensorflow_datasets as tfds

from kerasdl import data
from kerasdl.data import balloons, catalog, integrity, public_sets, shapes


@pytest.fixture
def few_drawings(monkeypatch):
    """Drawn data sets of 20 + 10 examples."""
    for counts in (shapes.COUNTS, balloons.COUNTS):
        monkeypatch.setitem(counts, "train", 20)
        monkeypatch.setitem(counts, "test", 10)


@pytest.mark.parametrize("name", catalog.SHIPPED)
def test_what_ships_is_whole_and_has_its_licence_beside_it(name):
    folder = catalog.shipped_folder(name)
    integrity.verify(folder, "")
    assert len((folder.parent / "LICENSE.txt").read_text()) > 500
    assert data.info(name).license


def test_a_damaged_shipped_file_is_not_served(tmp_path, monkeypatch):
    shutil.copytree(catalog.PREPARED / "kerasdl_photos", tmp_path / "kerasdl_photos")
    monkeypatch.setattr(catalog, "PREPARED", tmp_path)
    path = tmp_path / "kerasdl_photos" / "1.0.0" / "kerasdl_photos-train.tfrecord-00000-of-00001"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    with pytest.raises(OSError, match=f"^The data file {path} is damaged: .* Install kerasdl again.$"):
        data.load("photos")


def test_a_drawn_set_is_drawn_once_and_then_only_read(few_drawings, tmp_path, capfd):
    first = [label for _, label in data.load("shapes/one", image_size=24, data_dir=tmp_path).as_numpy_iterator()]
    folder = tmp_path / "kerasdl_shapes" / "one_24" / "1.0.0"
    assert f"Drawing shapes/one (24x24) once into {folder}.\n" in capfd.readouterr().err
    written = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = [label for _, label in data.load("shapes/one", image_size=24, data_dir=tmp_path).as_numpy_iterator()]
    assert "Drawing" not in capfd.readouterr().err
    assert first == again
    assert written == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_every_size_has_its_own_drawings(few_drawings, tmp_path):
    small, large = (
        data.load("shapes/one", split="test", image_size=size, data_dir=tmp_path, fields=("image", "mask", "label"))
        for size in (24, (48, 48))
    )
    for one, two in zip(small, large, strict=True):
        assert one["image"].shape == (24, 24, 3)
        assert two["image"].shape == (*two["mask"].shape[:2], 3) == (48, 48, 3)
        # The same picture: the object covers the same part of it.
        assert one["label"] == two["label"]
        assert abs(np.mean(one["mask"]) - np.mean(two["mask"])) < 0.02


def test_the_default_place_follows_the_environment(few_drawings, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert len(data.load("balloons", image_size=24)) == 20
    assert integrity.is_built(tmp_path / "cache" / "kerasdl" / "kerasdl_balloons" / "24" / "1.0.0")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert len(data.load("balloons", image_size=24)) == 20
    assert integrity.is_built(tmp_path / "home" / ".cache" / "kerasdl" / "kerasdl_balloons" / "24" / "1.0.0")


def test_a_damaged_drawing_is_told_and_drawn_again_after_deleting_it(few_drawings, tmp_path):
    data.load("shapes/one", image_size=24, data_dir=tmp_path)
    folder = tmp_path / "kerasdl_shapes" / "one_24" / "1.0.0"
    integrity._intact.discard(folder)  # As in a new process.
    (folder / "features.json").write_text("{}")
    with pytest.raises(OSError, match=r"features.json is damaged: .* Delete this folder and it will be drawn again.$"):
        data.load("shapes/one", image_size=24, data_dir=tmp_path)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert len(data.load("shapes/one", image_size=24, data_dir=tmp_path)) == 20


def test_several_that_ask_at_once_share_one_drawing(few_drawings, tmp_path, capfd):
    counts = []

    def ask():
        counts.append(len(data.load("shapes/one", image_size=24, data_dir=tmp_path)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [20] * 4
    assert capfd.readouterr().err.count("Drawing shapes/one") == 1


@pytest.mark.slow
def test_several_processes_that_ask_at_once_share_one_drawing(tmp_path):
    code = (
        "import kerasdl\n"
        f"images = kerasdl.data.load('shapes/one', image_size=24, data_dir={str(tmp_path)!r}, batch_size=1000)\n"
        "print(sum(float(x.numpy().sum()) for x, _ in images))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs[0][1]
    assert len({total for total, _ in outputs}) == 1
    assert sum(error.count("Drawing shapes/one") for _, error in outputs) == 1
    left = sorted(path.name for path in (tmp_path / "kerasdl_shapes" / "one_24").iterdir())
    assert left == ["1.0.0", "lock"]


def test_a_prepared_folder_without_permission_to_write_is_enough(few_drawings, tmp_path):
    data.load("balloons", image_size=24, data_dir=tmp_path)
    folder = tmp_path / "kerasdl_balloons" / "24"
    (folder / "lock").unlink()
    before = sorted(tmp_path.rglob("*"))
    for path in [*before, tmp_path]:
        path.chmod(stat.S_IRUSR | (stat.S_IXUSR if path.is_dir() else 0))
    try:
        assert len(data.load("balloons", image_size=24, data_dir=tmp_path, batch_size=8)) == 3
    finally:
        for path in [tmp_path, *before]:
            path.chmod(stat.S_IRWXU)
    # An administrator may write everywhere: what counts for anybody else is that nothing was written.
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    message = (
        f"'balloons' is drawn once on this machine and cannot be written to {tmp_path}/file/kerasdl_balloons/48/1.0.0: "
        "Not a directory. Name another folder with `data_dir` or with the environment variable XDG_CACHE_HOME."
    )
    with pytest.raises(OSError, match=f"^{re.escape(message)}$"):
        data.load("balloons", data_dir=tmp_path / "file")


def test_a_size_that_cannot_be_drawn_is_told(tmp_path):
    message = (
        "'shapes/one' cannot be drawn with image_size=16: `size` must be a whole number of pixels from 24 to 512. "
        "Received: size=16."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        data.load("shapes/one", image_size=16, data_dir=tmp_path)


@pytest.mark.parametrize("name", catalog.DRAWN)
def test_counts_are_known_before_anything_is_drawn(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    counts = shapes.COUNTS if name.startswith("shapes") else balloons.COUNTS
    assert data.info(name).counts == counts
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("fashion_sampel", "Did you mean 'fashion_sample'"),
        ("shapes", "Did you mean 'shapes/one' or 'shapes/pair'?"),
        ("minst", "Did you mean 'mnist'"),
        ("cifar-10", "Did you mean 'cifar10"),
        ("Baloons", "Did you mean 'balloons'?"),
    ],
)
def test_an_unknown_name_is_told_the_closest(name, hint):
    with pytest.raises(ValueError, match=f"^There is no data set '{name}'. {re.escape(hint)}"):
        data.load(name)


def test_an_unknown_name_is_told_what_there_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inside = (
        "These ship inside: balloons, fashion_sample, messages, photos, sentence_pairs, shakespeare, shapes/one, "
        "shapes/pair, tagged_sentences; any name of TensorFlow Datasets works too."
    )
    with pytest.raises(ValueError, match=f"^There is no data set 'qqqqqqqq'. {re.escape(inside)}$"):
        data.load("qqqqqqqq")
    (tmp_path / "my_images").mkdir()
    message = (
        "There is no data set 'my_images'. For a folder of your own images use kerasdl.data.from_folder('my_images')"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        data.load("my_images")
    with pytest.raises(TypeError, match=r"^`name` must be a string such as 'fashion_sample'. Received: name=7.$"):
        data.load(7)


def test_without_a_network_it_says_so_at_once_and_what_ships_inside(tmp_path, monkeypatch):
    def no_network(url, **kwargs):
        raise requests.ConnectionError("Failed to resolve the host")

    monkeypatch.setattr(requests, "head", no_network)
    message = (
        f"'cifar10' is not in {tmp_path} and cannot be downloaded: there is no answer from the network. Point "
        "`data_dir` or the environment variable TFDS_DATA_DIR to a folder that has it, or use what ships inside: "
        "balloons, fashion_sample, messages, photos, sentence_pairs, shakespeare, shapes/one, shapes/pair, "
        "tagged_sentences."
    )
    with pytest.raises(ConnectionError, match=f"^{re.escape(message)}$"):
        data.load("cifar10", data_dir=tmp_path)


def test_every_download_has_its_own_folder(tmp_path, monkeypatch):
    asked = {}

    def download(self, *, download_dir):
        asked[self.name] = os.fspath(download_dir)
        raise requests.Timeout

    monkeypatch.setattr(requests, "head", lambda url, **kwargs: None)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", download)
    for name in ("mnist", "fashion_mnist"):
        with pytest.raises(ConnectionError):
            data.load(name, data_dir=tmp_path)
    assert asked == {name: f"{tmp_path}/downloads/{name}" for name in ("mnist", "fashion_mnist")}


def test_a_set_of_which_only_the_files_are_known_is_read_where_it_lies(tmp_path, monkeypatch):
    """Any prepared folder is taken from `data_dir` or TFDS_DATA_DIR, as TFDS does."""
    folder = tmp_path / "your_messages" / "1.0.0"
    folder.mkdir(parents=True)
    for path in catalog.shipped_folder("messages").iterdir():
        content = path.read_bytes()
        if path.name == "dataset_info.json":
            content = content.replace(b"kerasdl_messages", b"your_messages")
        (folder / path.name.replace("kerasdl_messages", "your_messages")).write_bytes(content)
    dataset = data.load("your_messages", split="test", data_dir=tmp_path)
    expected = data.load("messages", split="test")
    assert list(dataset.as_numpy_iterator()) == list(expected.as_numpy_iterator())
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert data.info("your_messages").counts == data.info("messages").counts
    assert len(data.load("your_messages", split="test")) == data.info("messages").counts["test"]


def test_full_mnist_is_read_where_it_lies(extra_data, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(extra_data / "tfds"))
    summary = data.info("mnist")
    assert summary.counts == {"test": 10000, "train": 60000}
    assert summary.classes == tuple("0123456789")
    images, labels = next(iter(data.load("mnist", split="test", batch_size=10000)))
    # The counts of LeCun's file t10k-labels-idx1-ubyte.
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert images.shape == (10000, 28, 28, 1)
    # The mean shade that is used everywhere to normalise MNIST is 0.1307, of the training images.
    assert abs(float(np.mean(images)) - 0.1325) < 1e-3


def test_names_of_tfds_with_a_fault_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"^TensorFlow Datasets cannot open 'mnist:9.9.9': "):
        data.load("mnist:9.9.9", data_dir=tmp_path)


def test_the_public_names_are_those_of_tfds():
    names = public_sets.list_names()
    assert {"mnist", "cifar10", "fashion_mnist"} <= set(names)
    assert not [name for name in names if name.startswith("kerasdl_")]
