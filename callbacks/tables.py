"""Tables for TensorBoard's page "Text", which takes Markdown."""

import html
from collections.abc import Collection, Iterable, Mapping
from typing import Any

# What Markdown would take for its own signs.
_SIGNS = str.maketrans({sign: f"&#{ord(sign)};" for sign in "\\|*_`[]#~"} | {"\n": "<br>", "\r": "", "\t": " "})


def table(columns: Mapping[str, Iterable[Any]], numbers: Collection[str] = ()) -> str:
    """Columns side by side, whose values are read as they are, whatever signs they have.

    Args:
        columns: By their headings, of equally many values.
        numbers: Headings of those that stand at the right.

    Example:
        >>> print(table({"name": ["a|b", "c"], "share": ["3.0%", "12.5%"]}, numbers=["share"]))
        | name | share |
        |---|---:|
        | a&#124;b | 3.0% |
        | c | 12.5% |
    """
    rule = "".join("---:|" if heading in numbers else "---|" for heading in columns)
    rows = [" | ".join(_cell(str(value)) for value in row) for row in zip(*columns.values(), strict=True)]
    return "\n".join([f"| {' | '.join(columns)} |", f"|{rule}", *(f"| {row} |" for row in rows)])


def _cell(text: str) -> str:
    return html.escape(text, quote=False).translate(_SIGNS)
