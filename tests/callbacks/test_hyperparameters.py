import os
import re
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from event_helpers import read_events, read_scalars
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups, metadata

from kerasdl.callbacks import HyperparameterSummary

DATA = np.ones((4, 1)), np.ones((4, 1))


def network(rate=0.1):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(rate), "mse", metrics=["mae"])
    return model


def fit(*callbacks, epochs=2, rate=0.1):
    return network(rate).fit(*DATA, epochs=epochs, validation_data=DATA, callbacks=list(callbacks), verbose=0)


class _Fails(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def read_page(folder):
    """The table of TensorBoard's HParams page, made by the plugin itself: {name: (settings, metrics, how it ended)}."""
    runs = plugin_event_multiplexer.EventMultiplexer()
    runs.AddRunsFromDirectory(str(folder))
    runs.Reload()
    provider = data_provider.MultiplexerDataProvider(runs, str(folder))
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider, logdir=str(folder)))
    request = RequestContext()
    experiment = context.experiment_from_metadata(request, "", True, context.hparams_metadata(request, ""), [])
    columns = [api_pb2.ColParams(metric=info.name) for info in experiment.metric_infos]
    wanted = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=100,
        col_params=columns,
        allowed_statuses=list(api_pb2.Status.values()),
        include_metrics=True,
    )
    page = list_session_groups.Handler(request, context, "", wanted).run()
    return {
        group.name: (
            {
                key: value.WhichOneof("kind") and getattr(value, value.WhichOneof("kind"))
                for key, value in group.hparams.items()
            },
            {value.name.tag: value.value for value in group.metric_values},
            [api_pb2.Status.Name(session.status) for session in group.sessions],
        )
        for group in page.session_groups
    }


def test_what_is_no_number_is_no_metric(tmp_path):
    callback = HyperparameterSummary(tmp_path, {"rate": 0.5})
    callback.set_model(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    callback.on_train_begin()
    callback.on_epoch_end(0, {"loss": np.float32(0.25), "note": "a text", "wrong": np.int64(3), "table": np.zeros(2)})
    callback.on_train_end()
    assert read_scalars(tmp_path / "hyperparameters") == {"loss": {0: 0.25}, "wrong": {0: 3}}


def test_runs_are_rows_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = {"rate": np.float32(0.5), "units": (8, 8), "cell": "gru", "bias": True, "seed": None, "limit": np.inf}
    first = fit(HyperparameterSummary("runs/one", values), rate=0.5)
    second = fit(HyperparameterSummary("runs/two", {"rate": 0.1}), rate=0.1)
    page = read_page(tmp_path / "runs")
    settings = {"rate": 0.5, "units": "(8, 8)", "cell": "gru", "bias": True, "seed": "None", "limit": "inf"}
    for name, wanted, history in (("runs/one", settings, first.history), ("runs/two", {"rate": 0.1}, second.history)):
        found, metrics, statuses = page[name]
        assert found == wanted
        assert metrics == {key: pytest.approx(numbers[-1]) for key, numbers in history.items()}
        assert set(metrics) == {"loss", "mae", "val_loss", "val_mae"}
        assert statuses == ["STATUS_SUCCESS"]
    scalars = read_scalars("runs/one/hyperparameters")
    assert scalars["val_mae"] == {step: pytest.approx(number) for step, number in enumerate(first.history["val_mae"])}


@pytest.mark.slow
def test_runs_of_one_name_are_one_row(tmp_path):
    for seed in (0, 1):
        fit(HyperparameterSummary(tmp_path / str(seed), {"rate": 0.1, "seed": seed}, name="rate 0.1"), epochs=1)
    [(name, (_, _, statuses))] = read_page(tmp_path).items()
    assert name == "rate 0.1"
    assert statuses == ["STATUS_SUCCESS", "STATUS_SUCCESS"]


def statuses_in(folder):
    [(_, _, statuses)] = read_page(folder).values()
    return statuses


def test_how_it_ended(tmp_path):
    callback = HyperparameterSummary(tmp_path, {"rate": 0.1})
    callback.set_model(network())
    callback.on_train_begin()
    assert statuses_in(tmp_path) == ["STATUS_UNKNOWN"]
    callback.on_epoch_end(0, {"loss": 1.0})
    callback.on_train_end()
    assert statuses_in(tmp_path) == ["STATUS_SUCCESS"]
    # Once more in the same folder, with another setting and an error: nobody tells the callback, it is only let go.
    callback = HyperparameterSummary(tmp_path, {"rate": 0.2})
    with pytest.raises(KeyboardInterrupt):
        fit(callback, _Fails(), epochs=3)
    callback.on_epoch_end(2, {"loss": 1.0})
    assert statuses_in(tmp_path) == ["STATUS_UNKNOWN"]
    del callback
    assert statuses_in(tmp_path) == ["STATUS_FAILURE"]
    [(settings, metrics, _)] = read_page(tmp_path).values()
    assert settings == {"rate": 0.2}
    assert "loss" in metrics
    # Another training in this folder: it has not ended yet.
    callback = HyperparameterSummary(tmp_path, {"rate": 0.2})
    callback.set_model(network())
    callback.on_train_begin()
    assert statuses_in(tmp_path) == ["STATUS_UNKNOWN"]
    callback.on_epoch_end(0, {"loss": float("nan")})
    callback.on_train_end()
    assert statuses_in(tmp_path) == ["STATUS_FAILURE"]


@pytest.mark.slow
def test_a_callback_that_failed_may_be_used_again(tmp_path):
    callback = HyperparameterSummary(tmp_path, {"rate": 0.2})
    with pytest.raises(KeyboardInterrupt):
        fit(callback, _Fails(), epochs=3)
    fit(callback)
    assert statuses_in(tmp_path) == ["STATUS_SUCCESS"]


SCRIPT = """
import os, signal, sys
import keras, numpy as np
from kerasdl.callbacks import HyperparameterSummary

class End(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if sys.argv[2] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("stop here")

model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
watching = HyperparameterSummary(sys.argv[1], {"rate": 0.1})
model.fit(np.ones((4, 1)), np.ones((4, 1)), epochs=3, callbacks=[watching, End()], verbose=0)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "code", "status"), [("raise", 1, "STATUS_FAILURE"), ("kill", -signal.SIGKILL, "STATUS_UNKNOWN")]
)
def test_how_it_ended_where_the_program_ended_with_it(tmp_path, how, code, status):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), how]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    assert result.returncode == code
    assert "Exception ignored" not in result.stderr
    assert ("RuntimeError: stop here" in result.stderr) == (how == "raise")
    assert statuses_in(tmp_path) == [status]


def test_its_folder_holds_nothing_but_the_metrics(tmp_path):
    fit(HyperparameterSummary(tmp_path, {"rate": 0.1}))
    assert [path.name for path in tmp_path.iterdir()] == ["hyperparameters"]
    tags = {value.tag for event in read_events(tmp_path) for value in event.summary.value}
    assert tags - {metadata.SESSION_START_INFO_TAG, metadata.SESSION_END_INFO_TAG} == {
        *("loss", "mae", "val_loss", "val_mae")
    }


@pytest.mark.parametrize("values", [{}, [("rate", 1)], {1: 2}, None])
def test_values_must_have_names(tmp_path, values):
    text = (
        "`values` must be a dictionary with the name and the value of each setting, and have at least one. Received: "
        f"{values!r}."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        HyperparameterSummary(tmp_path, values)
