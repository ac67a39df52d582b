"""What every test starts from."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import signal
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture(autouse=True, scope="session")
def hears_ctrl_c():
    """Also where the tests were started in the background, where it is ignored, and by all whom they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def fresh_start(request):
    """The same random numbers and layer names in whatever order the tests run, and nothing left behind."""
    module = getattr(request.node, "module", None)  # A docstring's example has none.
    for value in vars(module).values() if module else ():
        if isinstance(value, np.random.Generator):
            generator = value.bit_generator
            generator.state = type(generator)(generator.seed_seq).state
    policy = keras.config.dtype_policy()
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy(policy)
    assert not tf.summary.should_record_summaries(), "The test left its file writer as TensorFlow's default."


@pytest.fixture
def zero_weights(monkeypatch):
    """Kernels begin as zeros: most of the time of a large network goes into random numbers.

    For tests that look at shapes and counts only, or that set all weights themselves.
    """
    initializers = keras.initializers
    for kind in (initializers.VarianceScaling, initializers.RandomNormal, initializers.TruncatedNormal):
        monkeypatch.setattr(kind, "__call__", lambda self, shape, dtype=None, **_: keras.ops.zeros(shape, dtype))


@pytest.fixture
def extra_data() -> Path:
    """The folder of the larger real data sets, where somebody has them."""
    folder = os.environ.get("KERASDL_EXTRA_DATA")
    if not folder:
        pytest.skip("KERASDL_EXTRA_DATA does not name the folder of the larger real data")
    return Path(folder)
