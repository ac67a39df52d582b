"""Compiled training steps, and a `fit` that wastes no time between them."""

from kerasdl.training.choosing import strategy
from kerasdl.training.loop import fit
from kerasdl.training.steps import make_eval_step, make_train_step

__all__ = ["fit", "make_eval_step", "make_train_step", "strategy"]
