"""What ships is what the upstream files give: nobody has to believe it."""

import json
import re

import pytest

from kerasdl.data import catalog, prepare


def test_every_shipped_set_can_be_prepared():
    assert tuple(prepare.BUILDERS) == catalog.SHIPPED
    for name, builder in prepare.BUILDERS.items():
        assert builder.name == f"kerasdl_{name}"


@pytest.mark.parametrize("name", ["fashion_sample", "photos"])
def test_the_same_files_give_the_same_bytes_as_ship(name, extra_data, tmp_path):
    (folder,) = prepare.prepare(extra_data, [name], tmp_path)
    rebuilt = json.loads((folder / "checksums.json").read_text())
    shipped = json.loads((catalog.shipped_folder(name) / "checksums.json").read_text())
    assert rebuilt == shipped


def test_a_wrong_name_or_folder_is_told(tmp_path):
    message = (
        "`names` must be of fashion_sample, messages, photos, sentence_pairs, shakespeare, tagged_sentences. "
        "Received: mnist."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        prepare.prepare(tmp_path, ["mnist"], tmp_path)
    with pytest.raises(
        FileNotFoundError, match=f"^`source` must be a folder of upstream files. Received: {tmp_path}/no.$"
    ):
        prepare.prepare(tmp_path / "no", [], tmp_path)
