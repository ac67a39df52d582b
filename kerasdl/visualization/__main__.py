"""`python -m kerasdl.visualization photo.jpg --method grad_cam`: what a network sees in one's own photograph."""

import difflib
import inspect
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import keras
import numpy as np
import rich.console
import rich.table
import typer

from kerasdl import visualization
from kerasdl.architectures import imagenet_classes, pretrained
from kerasdl.architectures.published import PUBLISHED
from kerasdl.visualization import plots

if TYPE_CHECKING:
    from PIL import Image


def _integrated_gradients(model: keras.Model, images: np.ndarray, target: int) -> np.ndarray:
    """The three colours of a pixel together, so that what speaks for the class and what against it can be told."""
    return visualization.integrated_gradients(model, images, target).sum(axis=-1)


def _segment(model: keras.Model, images: np.ndarray, target: int) -> np.ndarray:
    """What has the colours that the saliency marks; a grid in it would mark every colour."""
    from scipy.ndimage import gaussian_filter

    maps = visualization.saliency(model, images, target)
    return visualization.segment(gaussian_filter(maps, (0, *[images.shape[1] / 100] * 2)), images)


# By the name that one types. A function that takes a layer gets the one that was asked for.
METHODS: dict[str, Callable[..., np.ndarray]] = {
    "saliency": visualization.saliency,
    "segment": _segment,
    "smooth_grad": visualization.smooth_grad,
    "integrated_gradients": _integrated_gradients,
    "guided_backpropagation": visualization.guided_backpropagation,
    "deconvolution": visualization.deconvolution,
    "occlusion": visualization.occlusion,
    "class_activation_map": visualization.class_activation_map,
    "grad_cam": visualization.grad_cam,
    "grad_cam_plus_plus": visualization.grad_cam_plus_plus,
    "score_cam": visualization.score_cam,
}
# By the names that their papers gave them.
TITLES = {
    "saliency": "Saliency",
    "segment": "Segmentation",
    "smooth_grad": "SmoothGrad",
    "integrated_gradients": "Integrated gradients",
    "guided_backpropagation": "Guided backpropagation",
    "deconvolution": "Deconvolution",
    "occlusion": "Occlusion",
    "class_activation_map": "Class activation map",
    "grad_cam": "Grad-CAM",
    "grad_cam_plus_plus": "Grad-CAM++",
    "score_cam": "Score-CAM",
}
# Strides leave a grid in the gradients, too fine to be seen on a slide: these are blurred by a hundredth of the side.
BLURRED = ("saliency", "smooth_grad", "integrated_gradients")


def main(
    photo: Annotated[Path, typer.Argument(help="A picture. The network sees the square in its middle.")],
    model: Annotated[str, typer.Option(help=f"The network: {', '.join(PUBLISHED)}.")] = "squeezenet1_1",
    method: Annotated[str, typer.Option(help=f"{', '.join(METHODS)}, or all.")] = "grad_cam",
    target: Annotated[str | None, typer.Option(help="Number or name of a class, in place of the likeliest.")] = None,
    layer: Annotated[str | None, typer.Option(help="Where to look, for the methods that look at a layer.")] = None,
    weights: Annotated[str | None, typer.Option(help="A file of weights, .h5 or .npz, for --model.")] = None,
    preprocessing: Annotated[str | None, typer.Option(help="How these were trained: keras or torch.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the picture goes; PHOTO_METHOD.png without it.")] = None,
) -> None:
    """What a network sees in one's own photograph: its five likeliest classes, and what speaks for one of them."""
    console = rich.console.Console()
    try:
        with console.status("") as status:
            chosen = list(METHODS) if _one_of("--method", method, [*METHODS, "all"]) == "all" else [method]
            _one_of("--model", model, list(PUBLISHED))
            looks_at_layers = [key for key, each in METHODS.items() if "layer" in inspect.signature(each).parameters]
            if layer is not None and method not in looks_at_layers:
                raise ValueError(f"--layer is for {', '.join(looks_at_layers)}. Received: --method {method}.")
            picture = _open(photo)
            status.update(f"Building {model}")
            if weights is None:
                network = pretrained(model, preprocessing=preprocessing)
            else:
                network = pretrained(model, weights=weights, preprocessing=preprocessing)
            height, width = network.input_shape[1:3]
            images = _middle(picture, height, width)[None]
            probabilities = np.asarray(network(images, training=False))[0]
            names = imagenet_classes() if len(probabilities) == 1000 else [str(i) for i in range(len(probabilities))]
            wanted = int(probabilities.argmax()) if target is None else find_class(target, names)
            options = {} if layer is None else {"layer": layer}
            maps: dict[str, np.ndarray] = {}
            notes: list[str] = []
            for name in chosen:
                status.update(f"{name} of {names[wanted]!r}")
                try:
                    with warnings.catch_warnings(record=True) as caught:
                        warnings.simplefilter("always", UserWarning)
                        maps[name] = METHODS[name](network, images, wanted, **options)[0]
                except ValueError as error:
                    # Not every method suits every network; that is no reason to do without the others.
                    if method != "all":
                        raise
                    notes.append(f"Without {name}: {error}")
                notes += [f"{name}: {each.message}" for each in caught]
            path = out or Path(f"{photo.stem}_{method}.png")
            title = f"{model}: “{names[wanted]}” ({probabilities[wanted]:.0%})"
            _draw(picture, maps, title, path)
    except (ValueError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    table = rich.table.Table("class", rich.table.Column("number", justify="right"), "probability")
    for index in probabilities.argsort()[::-1][:5]:
        table.add_row(names[index], str(index), f"{probabilities[index]:.1%}")
    console.print(table)
    for note in notes:
        console.print(note, soft_wrap=True, markup=False)
    console.print(f"The picture for {names[wanted]!r} is {path}.", soft_wrap=True, markup=False)


def read_photo(path: Path, height: int, width: int) -> np.ndarray:
    """The middle of a picture as `(height, width, 3)` in [0, 1], turned as the camera was held.

    Args:
        path: A file that Pillow can read.
        height: What the network takes.
        width: What the network takes.
    """
    return _middle(_open(path), height, width)


def _open(path: Path) -> "Image.Image":
    """The whole picture, turned as the camera was held."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not path.is_file():
        raise ValueError(f"PHOTO must be a file that exists. Received: {path}.")
    try:
        with Image.open(path) as file:
            return ImageOps.exif_transpose(file).convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"PHOTO must be a picture, such as .jpg or .png, and whole. Received: {path}.") from error


def _middle(picture: "Image.Image", height: int, width: int) -> np.ndarray:
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC), "float32") / 255


def find_class(text: str, names: Sequence[str]) -> int:
    """The number of a class, given as a number or by its name.

    Args:
        text: What was typed.
        names: Of all classes, in their order.

    Example:
        >>> find_class("Tabby", ["tiger cat", "tabby"]), find_class("0", ["tiger cat", "tabby"])
        (1, 0)
    """
    if text.isdecimal() and int(text) < len(names):
        return int(text)
    lower = [name.lower() for name in names]
    if text.lower() not in lower:
        if text.lstrip("-").isdecimal():
            raise ValueError(f"--target must be a name, or a number from 0 to {len(names) - 1}. Received: {text}.")
        close = difflib.get_close_matches(text.lower(), lower, n=3, cutoff=0.5)
        # Of "cat" no name is near as a whole, but three contain it.
        close += [name for name in lower if text.lower() in name.replace("-", " ").split()]
        known = ", ".join(names[lower.index(name)] for name in list(dict.fromkeys(close))[:5])
        hint = f" The closest are: {known}." if known else ""
        raise ValueError(f"--target must be the number or the name of a class. Received: {text!r}.{hint}")
    if lower.count(text.lower()) > 1:
        numbers = [str(index) for index, name in enumerate(lower) if name == text.lower()]
        raise ValueError(f"--target must name one class. Received: {text!r}, which are {' and '.join(numbers)}.")
    return lower.index(text.lower())


def _one_of(option: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        close = difflib.get_close_matches(value, choices, n=1, cutoff=0.4)
        hint = f" The closest is {close[0]}." if close else ""
        raise ValueError(f"{option} must be one of {', '.join(choices)}. Received: {value!r}.{hint}")
    return value


def _draw(picture: "Image.Image", maps: dict[str, np.ndarray], title: str, path: Path) -> None:
    """Draws the maps over the photograph itself, for what a network sees of it is too small for a slide."""
    from scipy.ndimage import gaussian_filter

    # Inches of one of two pictures on a slide, and of one of twelve; 300 pixels an inch are enough for both.
    inches = 4 if len(maps) == 1 else 2
    height, width = next(iter(maps.values())).shape[:2]
    enlargement = max(1.0, min(picture.width / width, picture.height / height, 300 * inches / max(height, width)))
    size = round(enlargement * height), round(enlargement * width)
    shown = {}
    for name, each in maps.items():
        blurred = gaussian_filter(each, height / 100) if name in BLURRED else each
        shown[TITLES[name] + (", blurred" if name in BLURRED else "")] = [_enlarged(blurred, *size)]
    figure = plots.compare_maps(_middle(picture, *size)[None], shown, ["Photograph"], title=title)
    if len(maps) == 1:
        figure.set_size_inches(9.0, 5.5)  # As large as a slide, as the grid of all methods is.
    for axes in figure.axes:
        for image in axes.images:
            image.set_interpolation("antialiased")  # A picture's pixels are not those of the file.
    plots.save(figure, path, dpi=max(120, max(size) // inches))


def _enlarged(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """A map in the size of the photograph, between its values linearly, which gives no map a sign that it has not."""
    from PIL import Image

    channels = np.asarray(values, "float32").reshape(*values.shape[:2], -1)
    large = [
        np.asarray(Image.fromarray(channels[..., index]).resize((width, height), Image.Resampling.BILINEAR))
        for index in range(channels.shape[-1])
    ]
    result = np.stack(large, axis=-1).reshape(height, width, *values.shape[2:])
    return result > 0.5 if values.dtype == bool else result


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(main)
    app()
