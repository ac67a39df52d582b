"""What most lessons import and takes seconds, for the process off which theirs branch."""

import contextlib
import importlib
import os

# TensorFlow greets on the standard error: here in the midst of the bar. Each lesson has a file for what it prints.
_nowhere = os.open(os.devnull, os.O_WRONLY)
os.dup2(_nowhere, 2)
os.close(_nowhere)

for _name in ("architectures", "callbacks", "data", "sequences", "training", "visualization.plots", "xnor"):
    with contextlib.suppress(Exception):  # The lesson will meet it again, and say so where it is read.
        importlib.import_module(f"kerasdl.{_name}")
