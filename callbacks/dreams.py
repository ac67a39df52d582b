"""What a network takes for the best image of each class, watched in TensorBoard as training goes on."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.callbacks.class_scores import check_class_names
from kerasdl.callbacks.images import displayable, write_figure
from kerasdl.callbacks.layer_names import named_layer, path_and_name
from kerasdl.callbacks.summary import Summary, check_whole
from kerasdl.visualization.maximization import Ascent, maximize
from kerasdl.visualization.probing import execution
from kerasdl.visualization.regularizers import Blur, Decay, Jitter
from kerasdl.visualization.targets import number_of_classes

_MOST = 10  # How many classes or channels are drawn where nobody has chosen.


class DreamSummary(Summary):
    """Writes the images that excite classes most into TensorBoard, under the tag `dreams/classes`.

    Every time the ascent begins with the same noise, so that what changes from picture to picture is what the network
    has learnt. Above each image stands its class and the score reached, before any softmax. Instead of classes it can
    be the channels of a layer; the tag is then `dreams/<layer name>`.

    An ascent costs as much as `steps` steps of training on as many images as there are targets: for a large network
    take few targets, and a large `every`.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        targets: Classes, or channels where there is a `layer`; None takes the first ten.
        layer: Name of a layer whose channels are meant.
        class_names: What all the classes are called; numbers without it.
        steps: Steps of each ascent.
        bounds: Smallest and largest value of a pixel: the range that the network is trained on; None for none.
        every: Write after every so many epochs. The step is the epoch, counted from 0 as Keras' TensorBoard does.
        options: Anything else that `kerasdl.visualization.maximize` takes. Without `regularizers` the image is shifted,
            blurred and faded a little on the way, which gives shapes instead of noise.

    Example:
        >>> callback = DreamSummary("runs/mine/logs", [3, 5], every=5, learning_rate=0.05)
        >>> callback.targets
        [3, 5]

    Reference:
        [Simonyan et al., 2013](https://arxiv.org/abs/1312.6034), section 2;
        [Yosinski et al., 2015](https://arxiv.org/abs/1506.06579), section 3
    """

    def __init__(
        self,
        log_dir: str | Path,
        targets: Sequence[int] | None = None,
        *,
        layer: str | None = None,
        class_names: Sequence[str] | None = None,
        steps: int = 64,
        bounds: tuple[float, float] | None = (0.0, 1.0),
        every: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(log_dir, every=every)
        self.targets = None if targets is None else [int(target) for target in targets]
        if self.targets == []:
            raise ValueError("`targets` must hold at least one class or channel, or be None. Received: none.")
        if layer is not None and class_names is not None:
            raise ValueError(f"`class_names` is for classes, and channels have no names. Received: layer={layer!r}.")
        self.layer = layer
        self.class_names = class_names
        self.steps = check_whole("steps", steps)
        self.bounds = bounds
        self.options = options

    def prepare(self) -> None:
        """Finds the classes and tries one step, so that what is wrong is told before the first epoch."""
        shape = self.options.get("image_shape") or tuple(getattr(self.model, "input_shape", None) or ())[1:]
        if len(shape) != 3 or None in shape:
            raise ValueError(
                "The size of the images is not known from the model. Give `image_shape=(height, width, channels)`. "
                f"Received: model {self.model.name!r} for inputs of shape {shape}."
            )
        self._path = None
        self._tag = "dreams/classes"
        if self.layer is None:
            count = number_of_classes(self.model, np.zeros((1, *shape), "float32"))
            self._names = check_class_names(self.class_names, count)
        else:
            self._path, name = path_and_name(self.model, named_layer(self.model, self.layer)[1])
            self._tag = f"dreams/{name}"
            count = execution(self.model, shape).get(self._path, (0,))[-1]
            self._names = [f"channel {number}" for number in range(count)]
        self._targets = list(range(min(count, _MOST))) if self.targets is None else self.targets
        side = min(shape[:2])
        blur = Blur(0.7 if side < 64 else 1.0, every=4)
        self._regularizers = self.options.get("regularizers", (Jitter(side // 14), Decay(0.01), blur))
        self._ascend(1)

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes one picture of all images."""
        from kerasdl.visualization import plots  # Here, for it takes long to load.

        images, scores, _ = self._ascend(self.steps)
        if self.bounds is not None:
            low, high = self.bounds
            images = (images - low) / (high - low)
        titles = [
            f"{self._names[target]}\nscore {score:.3g}" for target, score in zip(self._targets, scores[-1], strict=True)
        ]
        write_figure(self._tag, plots.image_grid(displayable(images) / 255, titles), step)

    def _ascend(self, steps: int) -> Ascent:
        options = {"start": "noise", **self.options, "regularizers": self._regularizers, "layer": self._path}
        with warnings.catch_warnings():
            # Of starts that have not moved, as happens in a network that has learnt nothing yet.
            warnings.simplefilter("ignore", UserWarning)
            return maximize(self.model, self._targets, steps=steps, bounds=self.bounds, **options)
