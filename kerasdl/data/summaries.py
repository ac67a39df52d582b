"""What is known of a data set, in plain values."""

import dataclasses
from typing import Any

import tensorflow_datasets as tfds

from kerasdl.data import folders


@dataclasses.dataclass(frozen=True)
class DatasetSummary:
    """What is known of a data set before any of it is read. It prints well.

    Args:
        name: The name that `load` takes.
        description: What is in it.
        classes: The names of the classes in the order of the labels; empty where labels are no classes.
        counts: The number of examples in each split; empty where nobody knows before the download.
        features: All that an example has, by name, in TFDS's own descriptions.
        license: The terms of use.
        citation: How to cite it.
        homepage: Where it comes from.
        left_out: Pictures in a folder of one's own that are of a kind that is not read.

    Example:
        >>> print(kerasdl.data.info("messages"))
        messages: The 5,574 text messages of the SMS Spam Collection, ...
        examples: 4,460 train, 1,114 test
        classes:  ham, spam
        features: label, text
        licence:  CC BY 4.0
        homepage: https://archive.ics.uci.edu/dataset/228/sms+spam+collection
    """

    name: str
    description: str
    classes: tuple[str, ...]
    counts: dict[str, int]
    features: dict[str, tfds.features.FeatureConnector]
    license: str
    citation: str
    homepage: str
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,} {split}" for split, count in self.counts.items())
        rows = {
            "examples": counts or "known after the download",
            "left out": folders.say_left_out(self.left_out) if self.left_out else "",
            "classes": ", ".join(self.classes),
            "features": ", ".join(self.features),
            "licence": self.license,
            "homepage": self.homepage,
        }
        lines = [f"{label + ':':10}{text}" for label, text in rows.items() if text]
        return "\n".join([f"{self.name}: {self.description}", *lines])


def summarize(
    name: str, info: tfds.core.DatasetInfo, counts: dict[str, int], left_out: tuple[str, ...] = ()
) -> DatasetSummary:
    """Says in plain values what TFDS's own info says.

    Args:
        name: What to call the data set.
        info: TFDS's info.
        counts: The number of examples in each split, which TFDS only knows of what is prepared.
        left_out: Of a folder of one's own, the pictures that are not read.

    Returns:
        The summary.
    """
    keys = info.supervised_keys
    target: Any = info.features[keys[1]] if keys and isinstance(keys[1], str) else None
    # Where every part of a sequence has a label, the classes are those of the parts.
    target = getattr(target, "feature", target)
    return DatasetSummary(
        name=name,
        description=" ".join((info.description or "").split()),
        classes=tuple(target.names or ()) if isinstance(target, tfds.features.ClassLabel) else (),
        counts=counts,
        features={key: info.features[key] for key in sorted(info.features)},
        license=info.redistribution_info.license or "",
        citation=info.citation or "",
        # TFDS makes a page up where a data set names none.
        homepage="" if "catalog/kerasdl_" in (info.homepage or "") else info.homepage or "",
        left_out=left_out,
    )
