"""Several networks side by side: table, pictures, command."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from kerasdl import architectures
from kerasdl.profiling import Comparison, Latency, Profile, compare
from kerasdl.profiling.__main__ import main
from kerasdl.profiling.accuracies import PUBLISHED_TOP1


def made_up(name, batch_size, seconds, operations=2_000_000_000, parameters=5_000_000):
    return Profile(
        name=name,
        input_shape=(batch_size, 224, 224, 3),
        trainable_parameters=parameters,
        parameters=parameters,
        weight_bytes=4 * parameters,
        multiply_adds=operations,
        activation_bytes=0,
        peak_activation_bytes=0,
        latency=Latency(seconds, seconds, seconds, 5),
        layers=(),
    )


def test_networks_by_name_and_as_models():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="mine")
    told = []
    comparison = compare(["lenet5", model], batch_sizes=(1, 4), repeats=2, progress=told.append)
    assert comparison.names == ["lenet5", "mine"]
    assert [each.batch_size for each in comparison.profiles] == [1, 4, 1, 4]
    assert [each.multiply_adds for each in comparison.of("mine")] == [12, 12]
    assert told == ["lenet5, batch size 1", "lenet5, batch size 4", "mine, batch size 1", "mine, batch size 4"]
    text = str(comparison)
    (row,) = (line.split() for line in text.splitlines() if "lenet5" in line)
    assert row[:3] == ["lenet5", "60,000", "0.3"]
    assert all(len(line) <= 80 for line in text.splitlines())


def test_the_input_shape_goes_to_the_builders():
    (small,) = compare(["lenet5_modern"], input_shape=(40, 40, 3), repeats=0).profiles
    assert small.input_shape == (1, 40, 40, 3)


def test_the_pictures_show_the_numbers():
    comparison = Comparison(
        (
            made_up("vgg16", 1, 0.4, 15_470_264_320, 138_357_544),
            made_up("vgg16", 8, 1.6, 15_470_264_320, 138_357_544),
            made_up("resnet50", 1, 0.1, 3_857_973_248, 25_557_032),
            made_up("resnet50", 8, 0.4, 3_857_973_248, 25_557_032),
            made_up("unknown", 1, 0.1),
        )
    )
    figures = comparison.figures()
    assert list(figures) == ["accuracy", "time"]
    balls, dots = figures["accuracy"].axes[0].collections
    np.testing.assert_allclose(dots.get_offsets(), [[15.47026432, 71.592], [3.857973248, 75.3]])
    sizes = balls.get_sizes()
    assert sizes[0] > 4 * sizes[1]
    vgg, resnet = figures["time"].axes[0].lines
    np.testing.assert_allclose(vgg.get_xydata(), [[1, 400], [8, 200]])
    np.testing.assert_allclose(resnet.get_xydata(), [[1, 100], [8, 50]])


def test_without_batch_sizes_or_published_numbers_there_is_nothing_to_draw():
    assert Comparison((made_up("unknown", 1, 0.1),)).figures() == {}


def test_every_published_accuracy_is_of_a_network_that_we_have():
    assert [name for name in PUBLISHED_TOP1 if name not in architectures.__all__] == []
    assert all(50 < top1 < 90 and source.startswith("https://") for top1, source in PUBLISHED_TOP1.values())


@pytest.mark.parametrize(
    ("name", "hint"),
    [("resnet5O", "Did you mean 'resnet50'"), ("with_auxiliary_labels", "Received: 'with_auxiliary_labels'.")],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, hint):
    with pytest.raises(ValueError, match=r"`networks` must name networks of kerasdl\.architectures") as error:
        compare(["lenet5", name])
    assert hint in str(error.value)


def test_nothing_to_compare_is_refused():
    with pytest.raises(ValueError) as error:  # noqa: PT011
        compare([])
    assert str(error.value) == (
        "Expected at least one network and one batch size. Received: networks=[], batch_sizes=(1,)."
    )


def test_the_command_prints_the_table_and_draws_the_pictures(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    main(["lenet5", "lenet5_modern"], batch_size=[1, 2], repeats=1, layers=True, out=tmp_path)
    shown = capsys.readouterr().out
    assert "61,706" in shown
    assert "stage2_out" in shown
    assert (tmp_path / "time.png").exists()


@pytest.mark.slow
def test_a_mistyped_name_is_answered_in_one_line():
    command = [sys.executable, "-m", "kerasdl.profiling", "resnet", "--repeats", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})
    assert ended.returncode == 1
    assert ended.stderr.strip().split("\n")[-1].startswith("Error: `networks` must name networks")
    assert "Traceback" not in ended.stderr
