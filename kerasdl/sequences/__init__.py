"""Sequence models: one kind of task per file, text in and text out, and why they are hard to train."""

from kerasdl.sequences.text import vocabulary

__all__ = ["vocabulary"]
