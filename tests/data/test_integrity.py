"""A prepared data set is written whole or not at all, and a damaged one is told and not served."""

import hashlib
import json
import re

import numpy as np
import pytest
import tensorflow_datasets as tfds

from kerasdl.data import integrity


class KerasdlNumbers(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Five numbers, or an error after two of them."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, fail=False, **kwargs):
        self._fail = fail
        super().__init__(**kwargs)

    def _info(self):
        features = tfds.features.FeaturesDict({"number": tfds.features.Scalar(np.int64)})
        return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number in range(5):
            if self._fail and number == 2:
                raise KeyboardInterrupt
            yield number, {"number": number}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "kerasdl_numbers" / "1.0.0"
    integrity.build(KerasdlNumbers, folder)
    return folder


def test_what_is_built_can_be_read_and_has_the_checksum_of_every_file(folder):
    dataset = tfds.builder_from_directory(folder).as_dataset(split="train")
    assert [example["number"] for example in dataset.as_numpy_iterator()] == [0, 1, 2, 3, 4]
    checksums = json.loads((folder / "checksums.json").read_text())
    assert set(checksums) == {path.name for path in folder.iterdir()} - {"checksums.json"}
    for name, checksum in checksums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum
    integrity.verify(folder, "")


def test_an_interrupted_build_leaves_nothing_behind(tmp_path):
    folder = tmp_path / "numbers" / "1.0.0"
    with pytest.raises(KeyboardInterrupt):
        integrity.build(lambda data_dir: KerasdlNumbers(fail=True, data_dir=data_dir), folder)
    assert not integrity.is_built(folder)
    assert list(folder.parent.iterdir()) == []


def test_a_killed_build_is_cleared_away_by_the_next(tmp_path):
    folder = tmp_path / "numbers" / "1.0.0"
    left = tmp_path / "numbers" / "1.0.0.unfinished" / "half"
    left.mkdir(parents=True)
    integrity.build(KerasdlNumbers, folder)
    assert integrity.is_built(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["1.0.0"]


def test_a_changed_byte_is_told(folder):
    path = folder / "kerasdl_numbers-train.tfrecord-00000-of-00001"
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)
    received = hashlib.sha256(content).hexdigest()
    message = (
        f"The data file {path} is damaged: its SHA-256 must be {expected}. Received: {received}. Install kerasdl again."
    )
    for _ in range(2):  # Not only the first time.
        with pytest.raises(OSError, match=f"^{re.escape(message)}$"):
            integrity.verify(folder, "Install kerasdl again.")


def test_a_missing_file_is_told(folder):
    (folder / "features.json").unlink()
    with pytest.raises(OSError, match=re.escape(f"The data file {folder / 'features.json'} is missing. Mend it.")):
        integrity.verify(folder, "Mend it.")


@pytest.mark.parametrize("content", [None, "not json", "{}", "[]", "3"])
def test_an_unreadable_list_of_checksums_is_told(folder, content):
    path = folder / "checksums.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(OSError, match=re.escape(f"The list of checksums {path} cannot be read. Mend it.")):
        integrity.verify(folder, "Mend it.")


def test_a_folder_is_read_through_only_once_in_a_process(folder, monkeypatch):
    integrity.verify(folder, "")
    monkeypatch.setattr(integrity, "_sha256", lambda path: pytest.fail("read again"))
    integrity.verify(folder, "")
