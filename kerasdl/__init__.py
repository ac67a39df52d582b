"""The deep-learning course as real software, for Keras 3 on TensorFlow.

`import kerasdl` registers every layer, so that `keras.saving.load_model` opens any of our networks after it. What
pulls in a heavy library (data sets, plots, tutorials, callbacks) is imported when it is first asked for.
"""

import importlib
from types import ModuleType

from kerasdl import architectures, constraints, initializers, layers, sequences, training
from kerasdl.version import __version__

_LAZY = ("adversarial", "callbacks", "data", "profiling", "tutorials", "visualization", "xnor")

__all__ = ["__version__", "architectures", "constraints", "initializers", "layers", "sequences", "training", *_LAZY]


def __getattr__(name: str) -> ModuleType:
    if name in _LAZY:
        return importlib.import_module(f"kerasdl.{name}")
    raise AttributeError(f"module 'kerasdl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
