"""What the lessons on binary networks measure networks by."""

import keras
import matplotlib.text
import numpy as np
import pytest

from kerasdl.architectures import binary_cnn
from kerasdl.tutorials import binary_costs

IMAGES = np.random.default_rng(0).random((20, 8, 8, 1), dtype="float32")


def small(kind, seed=0):
    keras.utils.set_random_seed(seed)
    return binary_cnn(kind, 4, input_shape=(8, 8, 1), name=kind)


def test_costs_are_those_of_the_model_and_of_its_packed_form(tmp_path):
    model = small("xnor")
    found = binary_costs.costs({"it": model}, IMAGES, batch_size=4, rounds=2)["it"]
    assert found.keras_bytes == sum(weight.numpy().nbytes for weight in model.weights)
    packed = binary_costs.pack(model)
    packed.save(tmp_path / "network")
    assert found.packed_bytes == packed.nbytes < found.file_bytes == (tmp_path / "network").stat().st_size
    assert min(found.keras_milliseconds, found.packed_milliseconds) > 0
    assert found.same_classes == 1


def test_a_packed_network_that_says_something_else_is_noticed(monkeypatch):
    model, other = small("xnor"), small("xnor", seed=1)
    answers = [each.predict(IMAGES, verbose=0).argmax(axis=1) for each in (model, other)]
    pack = binary_costs.pack
    monkeypatch.setattr(binary_costs, "pack", lambda _: pack(other))
    found = binary_costs.costs({"it": model}, IMAGES, batch_size=4, rounds=1)["it"]
    assert found.same_classes == pytest.approx((answers[0] == answers[1]).mean())
    assert found.same_classes < 1


def test_the_table_has_a_line_for_each_network(capsys):
    costs = binary_costs.Costs(4000, 125, 230, 1.5, 0.25, 1.0)
    binary_costs.print_table({"float": 0.9, "bits": 0.875}, {"float": costs, "bits": costs})
    shown = capsys.readouterr().out
    line = next(line for line in shown.split("\n") if "bits" in line)
    cells = [cell.strip() for cell in line.split("│")[1:-1]]
    assert cells == ["bits", "87.5%", "4.0", "0.1", "0.2", "1.500", "0.250"]


def test_the_picture_shows_bytes_and_the_time_that_the_table_calls_packed():
    costs = binary_costs.Costs(4000, 125, 230, 1.5, 0.25, 1.0)
    figure = binary_costs.picture({"bits": 0.9}, {"bits": costs}, 900, "What bits cost")
    shown = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
    assert "bits, 0.250 ms" in shown
    assert "test images right, % (± 1.0)" in shown
