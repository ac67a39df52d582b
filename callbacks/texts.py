"""What a network writes, read in TensorBoard while it learns to: translations, captions, texts that it makes up."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.callbacks.images import displayable, write_figure
from kerasdl.callbacks.summary import Summary, check_whole, function_name
from kerasdl.callbacks.tables import table
from kerasdl.sequences import corpus_bleu
from kerasdl.sequences.captions import Captions
from kerasdl.sequences.translations import Translations

_ROWS = 50  # A longer table nobody reads.


class TextSummary(Summary):
    """Writes a table into TensorBoard's page "Text": what a network was given, what it wrote, and what a person wrote.

    - `texts/<name>`: the table, of at most 50 rows;
    - `attention/<name>/1` and so on, images: where each word of a translation or a caption looked, where the model has
      attention;
    - `captions/<name>`, an image: the images under their captions;
    - `bleu/<name>`, a scalar: how near translations come to `references`, all of them.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        function: Called as `function(model, sources)`: `translate`, `caption`, `generate`, `classify` or `tag` of
            `kerasdl.sequences`, also with options by `functools.partial`; or one of your own that returns one text for
            each source.
        sources: What it is given: sentences, beginnings of texts, or images.
        references: What should be written for each source, to be read beside it.
        name: Stands in the tags; the function's name without it.
        pictures: How many of the sources get a picture: the first ones.
        every: Write after every so many epochs. The step is the epoch, counted from 0 as Keras' TensorBoard does.

    Example:
        >>> import functools
        >>> write = functools.partial(kerasdl.sequences.generate, length=100, temperature=0.5)
        >>> TextSummary("runs/mine/logs", write, ["To be, or", "My lord,"]).name
        'generate'
    """

    def __init__(
        self,
        log_dir: str | Path,
        function: Callable[[keras.Model, Any], Any],
        sources: Any,
        *,
        references: Sequence[str] | None = None,
        name: str | None = None,
        pictures: int = 3,
        every: int = 1,
    ) -> None:
        super().__init__(log_dir, every=every)
        if not callable(function):
            raise TypeError(
                "`function` must be callable as function(model, sources), such as kerasdl.sequences.translate. "
                f"Received: {function!r}."
            )
        self.function = function
        self.sources = _as_list(sources)
        self.references = None if references is None else _as_list(references)
        self.name = function_name(function, nameless="text") if name is None else name
        self.pictures = check_whole("pictures", pictures, "a whole number of at least 0", least=0)
        if not len(self.sources):
            raise ValueError("`sources` must hold at least one. Received: none.")
        if self.references is not None and len(self.references) != len(self.sources):
            raise ValueError(
                "`references` must have one text for each of the sources. Received: "
                f"{len(self.references)} for {len(self.sources)} sources."
            )

    def prepare(self) -> None:
        """Lets the model write once, so that whatever is wrong is told now."""
        if self.model.built:
            self._texts(self.function(self.model, self.sources))

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes the table, the pictures and the scalar."""
        result = self.function(self.model, self.sources)
        texts = self._texts(result)
        tf.summary.text(f"texts/{self.name}", self._table(texts), step)
        if isinstance(result, Translations):
            if self.references is not None:
                tf.summary.scalar(f"bleu/{self.name}", corpus_bleu(texts, self.references), step)
            for number in self._with_attention(result.attention, result.words):
                self._write_words(number, result, step)
        elif isinstance(result, Captions) and self.pictures:
            self._write_captions(result, step)

    def _texts(self, result: Any) -> list[str]:
        """One text per source."""
        texts = result.sentences if isinstance(result, Translations | Captions) else result
        if isinstance(texts, str | bytes) or not hasattr(texts, "__len__") or len(texts) != len(self.sources):
            count = f"{len(texts)} in a {type(texts).__name__}" if hasattr(texts, "__len__") else repr(texts)
            raise ValueError(
                f"`function` must return one text for each of the {len(self.sources)} sources. Received: {count}."
            )
        return [_as_text(text) for text in texts]

    def _table(self, texts: list[str]) -> str:
        """All in Markdown."""
        columns = {"source": self._names(), "written": texts}
        if self.references is not None:
            columns["reference"] = [_as_text(text) for text in self.references]
        missing = len(texts) - _ROWS
        written = table({heading: values[:_ROWS] for heading, values in columns.items()})
        return f"{written}\n\nand {missing:,} more" if missing > 0 else written

    def _names(self) -> list[str]:
        """The sources as text; what is none, such as an image, by its number."""
        are_texts = isinstance(self.sources[0], str | bytes)
        return [_as_text(source) if are_texts else str(number) for number, source in enumerate(self.sources, 1)]

    def _with_attention(self, attention: Any, words: list[list[str]]) -> list[int]:
        """Which of the first sources have a picture to show."""
        first = range(min(self.pictures, len(words)))
        return [number for number in first if attention is not None and len(words[number])]

    def _write_words(self, number: int, result: Translations, step: int) -> None:
        from kerasdl.visualization import plots

        words, sources = result.words[number], result.source_words[number]
        figure = plots.attention(result.attention[number], sources, words)  # type: ignore[index]
        write_figure(f"attention/{self.name}/{number + 1}", figure, step)

    def _write_captions(self, result: Captions, step: int) -> None:
        """The images under their captions, and for each image where the words looked."""
        from kerasdl.visualization import plots

        images = displayable(np.asarray(self.sources[: self.pictures])) / 255
        write_figure(f"captions/{self.name}", plots.image_grid(images, result.sentences[: self.pictures]), step)
        for number in self._with_attention(result.maps, result.words):
            words = result.words[number]
            maps = result.maps[number, : len(words), :, :, None]  # type: ignore[index]
            maps = tf.image.resize(maps, images.shape[1:3], "bicubic").numpy()[..., 0].clip(0)
            figure = plots.overlay_grid(images[number : number + 1], maps, words)
            write_figure(f"attention/{self.name}/{number + 1}", figure, step)


def _as_list(things: Any) -> Any:
    """A list of texts, or an array of images."""
    if isinstance(things, str | bytes):
        return [things]
    if isinstance(things, tf.Tensor):
        things = things.numpy()
    return things if isinstance(things, np.ndarray) and things.ndim > 1 else list(things)


def _as_text(thing: Any) -> str:
    """A text; of words with tags one, too."""
    if isinstance(thing, bytes):
        return thing.decode(errors="replace")
    if isinstance(thing, list | tuple):
        return " ".join("/".join(map(str, each)) if isinstance(each, tuple) else str(each) for each in thing)
    return str(thing)
