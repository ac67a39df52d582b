"""Where a network looks, watched in TensorBoard: any attribution of `kerasdl.visualization`, laid over some images."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasdl.callbacks.class_scores import (
    check_class_names,
    check_labels,
    class_count,
    probabilities,
)
from kerasdl.callbacks.examples import Examples, as_examples
from kerasdl.callbacks.images import displayable, write_figure
from kerasdl.callbacks.summary import Summary, check_whole, function_name
from kerasdl.visualization.activation_maps import grad_cam
from kerasdl.visualization.outputs import one_output
from kerasdl.visualization.targets import check_images

Attribution = Callable[[keras.Model, np.ndarray], Any]


class AttributionSummary(Summary):
    """Writes maps of what decides over some images into TensorBoard, under the tag `attributions/<method's name>`.

    Each map lies on its image, on a scale of its own; above stand the true class, and the predicted one with its
    probability. The maps explain the predicted class, unless the method is told another one.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        data: Images, or images and labels: a `tf.data.Dataset` of batches, arrays, or an `Examples`; the first `count`
            are shown.
        method: Called as `method(model, images)`: `grad_cam`, `saliency`, `occlusion` or another function of
            `kerasdl.visualization`, a `functools.partial` of one that tells it a layer or a target, or your own, that
            returns a map per image, `(N, height, width)` or `(N, height, width, channels)`.
        count: How many images.
        class_names: What the classes are called; numbers without it.
        name: The end of the tag, where the method's own name will not do: for several partials of one function.
        every: Write after every so many epochs. The step is the epoch, counted from 0 as Keras' TensorBoard does.

    Example:
        >>> import functools
        >>> from kerasdl.visualization import saliency
        >>> images, labels = np.zeros((2, 28, 28, 1)), np.array([3, 5])
        >>> callback = AttributionSummary("runs/mine/logs", (images, labels), saliency)
        >>> of_truth = functools.partial(grad_cam, target=labels)
        >>> another = AttributionSummary("runs/mine/logs", (images, labels), of_truth, name="grad_cam_of_truth")
        >>> callback.tag, another.tag
        ('attributions/saliency', 'attributions/grad_cam_of_truth')

    Reference:
        [Selvaraju et al., 2016](https://arxiv.org/abs/1610.02391)
    """

    def __init__(
        self,
        log_dir: str | Path,
        data: Any,
        method: Attribution = grad_cam,
        *,
        count: int = 8,
        class_names: Sequence[str] | None = None,
        name: str | None = None,
        every: int = 1,
    ) -> None:
        super().__init__(log_dir, every=every)
        if not callable(method):
            raise TypeError(f"`method` must be a function of a model and images. Received: {method!r}.")
        self.method = method
        self.count = check_whole("count", count)
        self.class_names = class_names
        self.tag = f"attributions/{name or function_name(method)}"
        self._examples = as_examples(data, self.count)

    def prepare(self) -> None:
        """Reads the images and makes the first maps, so that what is wrong is told before the first epoch."""
        self._images = check_images(self.model, self._examples.images[: self.count])
        self._pictures = displayable(self._images) / 255
        classes = self._count_classes()
        self._names = check_class_names(self.class_names, classes) if classes else []
        self._truth = [""] * len(self._images)
        if self._names and self._examples.y is not None:
            try:
                labels = self._examples.labels_for(self.model)
            except ValueError:  # No classes: a model of another kind, whose maps are no worse for it.
                self._names = []
            else:
                check_labels(labels, len(self._names))
                self._truth = [f"{self._names[label]}\n" for label in labels[: self.count]]
        self._maps()

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes one picture of all maps."""
        from kerasdl.visualization import plots  # Here, for it takes long to load.

        maps = self._maps()
        titles = [truth + said for truth, said in zip(self._truth, self._said(step), strict=True)]
        for index, values in enumerate(maps):
            if not np.isfinite(values).all():
                maps[index], titles[index] = np.zeros_like(values), titles[index] + "\nnot a number"
            elif not values.any():
                titles[index] += "\nzero everywhere"
        columns = min(len(maps), 4) if len(maps) <= 8 else None  # Of four none stands alone in a second row.
        write_figure(self.tag, plots.overlay_grid(self._pictures, maps, titles, columns=columns), step)

    def _count_classes(self) -> int:
        """How many classes the model tells apart; none where it does something else."""
        try:
            classes = class_count(self.model)
        except ValueError:
            return 0
        if classes is None:  # A model that is a class of its own must be asked.
            outputs = one_output(Examples(self._images).predict(self.model, 0), self.model)
            classes = 0 if outputs.ndim > 2 else max(2, outputs[0].size)
        return classes

    def _maps(self) -> list[np.ndarray]:
        """A map for each image."""
        with warnings.catch_warnings():
            # Of maps that are zero everywhere, as many are at the start: the picture says so.
            warnings.simplefilter("ignore", UserWarning)
            given = self.method(self.model, self._images)
        size = self._images.shape[:3]
        if not hasattr(given, "__len__"):
            raise ValueError(
                f"`method` must return a map per image, {size} or {(*size, 'channels')}. Received: "
                f"{type(given).__name__}."
            )
        maps = [np.asarray(each) for each in given]
        if len(maps) != size[0] or any(each.ndim not in (2, 3) or each.shape[:2] != size[1:] for each in maps):
            raise ValueError(
                f"`method` must return a map per image, {size} or {(*size, 'channels')}. Received: "
                f"{len(maps)} maps of shapes {', '.join(str(shape) for shape in {each.shape for each in maps})}."
            )
        return maps

    def _said(self, step: int) -> list[str]:
        """The class that the model finds likeliest, with its probability, for each image."""
        if not self._names:
            return [""] * len(self._images)
        values = probabilities(self.model, self._examples.predict(self.model, step))
        if values is None:
            return ["says nothing"] * len(self._images)
        return [f"says {self._names[row.argmax()]} {row.max():.0%}" for row in values[: self.count]]
