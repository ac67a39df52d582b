"""The course: one lesson per module, each a question, the paper that answers it, and a program that shows it.

`python -m tutorials` lists the lessons, `python -m tutorials.lenet` runs one; elsewhere `python -m kerasdl.tutorials`.
"""
