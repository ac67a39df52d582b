"""An object cut out of its image without supervision: colours of what a map marks, and an exact graph cut."""

import warnings
from typing import Any

import numpy as np

from kerasdl.visualization.checks import check_count

# The neighbours of a pixel, each pair once: (rows down, columns right).
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
# Evidence beyond this, in nats, is as good as certain; and capacities must be whole numbers of 31 bits.
_MOST, _LARGEST_SUM = 50.0, 2**30


def segment(
    maps: Any,
    images: Any,
    *,
    foreground: float = 0.95,
    background: float = 0.3,
    components: int = 5,
    smoothness: float = 2.0,
    seed: int = 0,
) -> np.ndarray:
    """Which pixels belong to the object that a map marks, `(N, height, width)`, no mask ever seen.

    The pixels that the map marks most tell the colours of the object, those that it marks least tell the colours of
    the rest, each as a mixture of Gaussians. Then every pixel joins the side that its colour speaks for, at a price
    for each pair of neighbours that is parted, lower where they differ in colour. The cheapest of all maskings is found
    exactly, as a minimum cut, and its largest connected part is the object.

    Args:
        maps: `(N, height, width)`, more where there is more of the object: of `saliency`, `grad_cam` and the like.
        images: `(N, height, width, channels)`, in any finite range.
        foreground: The pixels of values above this quantile of a map tell the object's colours.
        background: The pixels of values up to this quantile tell the colours of the rest.
        components: Gaussians in a mixture.
        smoothness: The price of parting two neighbours of one colour, in nats of the colours' evidence.
        seed: Decides where the mixtures begin.

    Returns:
        Masks, True on the object.

    Example:
        >>> image = np.zeros((1, 8, 8, 3))
        >>> image[0, 2:6, 2:6] = 1
        >>> marked = np.zeros((1, 8, 8))
        >>> marked[0, 3, 3:5] = 1
        >>> int(segment(marked, image).sum())
        16

    Reference:
        [Simonyan et al., 2013](https://arxiv.org/abs/1312.6034), section 3.2;
        [Boykov and Jolly, 2001](https://doi.org/10.1109/ICCV.2001.937505) for the graph cut
    """
    from threadpoolctl import threadpool_limits

    maps, images = np.asarray(maps, "float64"), np.asarray(images, "float64")
    if images.ndim != 4 or maps.shape != images.shape[:3] or 0 in images.shape:
        raise ValueError(
            "`maps` must have shape (N, height, width), and `images` (N, height, width, channels) of the same sizes. "
            f"Received: shapes {maps.shape} and {images.shape}."
        )
    if not (np.isfinite(maps).all() and np.isfinite(images).all()):
        raise ValueError("`maps` and `images` must be finite. Received: nan or infinity.")
    if not 0 <= background <= foreground < 1:
        raise ValueError(
            "`background` and `foreground` must be quantiles, 0 <= background <= foreground < 1. "
            f"Received: background={background!r}, foreground={foreground!r}."
        )
    check_count("components", components)
    if not 0 <= smoothness < np.inf:
        raise ValueError(f"`smoothness` must be a number of at least 0. Received: {smoothness!r}.")
    flat = maps.min(axis=(1, 2)) == maps.max(axis=(1, 2))
    if flat.any():
        warnings.warn(
            f"{int(flat.sum())} of {len(maps)} maps are the same everywhere and mark nothing: their masks are empty.",
            stacklevel=2,
        )
    masks = np.zeros(maps.shape, bool)
    # A few hundred colours are no work for several threads: they wait for each other ten times as long.
    with threadpool_limits(1):
        for index in np.flatnonzero(~flat):
            colours = images[index] / max(float(images[index].std()), 1e-12)
            evidence = _evidence(maps[index], colours, foreground, background, components, seed)
            masks[index] = _largest_part(minimum_cut(evidence, neighbour_prices(colours, smoothness)))
    return masks


def neighbour_prices(image: np.ndarray, smoothness: float) -> dict[tuple[int, int], np.ndarray]:
    """The price of parting each pixel from each neighbour, less where they differ more than neighbours mostly do.

    `smoothness * exp(-|x - y|^2 / (2 mean |x - y|^2)) / distance`, for the neighbour so many rows and columns away;
    the last rows and columns, which have no such neighbour, are left out.

    Args:
        image: `(height, width, channels)`.
        smoothness: The price of parting two pixels of one colour, side by side.
    """
    squares = {}
    for down, right in _NEIGHBOURS:
        first, second = _pairs(image, down, right)
        squares[down, right] = ((first - second) ** 2).sum(axis=-1)
    mean = max(float(np.concatenate([square.ravel() for square in squares.values()]).mean()), 1e-12)
    return {step: smoothness * np.exp(-square / (2 * mean)) / np.hypot(*step) for step, square in squares.items()}


def minimum_cut(evidence: np.ndarray, prices: dict[tuple[int, int], np.ndarray]) -> np.ndarray:
    """The mask of the least cost: evidence against its pixels, and the prices of the neighbours that it parts.

    The cost of a mask is `-evidence[mask].sum()` and the prices of all pairs of which one is in it. It is the least of
    all masks, for costs rounded to about a 2,000th of a nat on an image of 224x224 pixels, less on smaller ones.

    Args:
        evidence: `(height, width)`: how much speaks for each pixel's being in the mask, negative where against it.
        prices: As `neighbour_prices` gives.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    # A way from the source to the sink through each pixel. What is cut off from the sink is the mask.
    count = evidence.size
    source, sink = count, count + 1
    numbers = np.arange(count).reshape(evidence.shape)
    towards, against = numbers[evidence > 0], numbers[evidence < 0]
    starts, ends = [np.full(len(towards), source), against], [towards, np.full(len(against), sink)]
    costs = [evidence[evidence > 0], -evidence[evidence < 0]]
    for (down, right), price in prices.items():
        first, second = (part.ravel() for part in _pairs(numbers, down, right))
        starts += [first, second]
        ends += [second, first]
        costs += [price.ravel(), price.ravel()]
    all_costs = np.concatenate(costs)
    scale = _LARGEST_SUM / max(float(np.abs(evidence).sum()), float(all_costs.max()), 1e-12)
    places = (np.concatenate(starts), np.concatenate(ends))
    capacities = np.round(all_costs * scale).astype("int32")
    graph = csr_array((capacities, places), shape=(count + 2, count + 2))
    flow = maximum_flow(graph, source, sink).flow
    left = (graph - flow).tocsr()
    left.eliminate_zeros()
    mask = np.zeros(count + 2, bool)
    mask[breadth_first_order(left, source, return_predecessors=False)] = True
    return mask[:count].reshape(evidence.shape)


def _pairs(values: np.ndarray, down: int, right: int) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel that has a neighbour so far down and to the right, and that neighbour."""
    height, width = values.shape[:2]
    first = values[: height - down, max(0, -right) : width - max(0, right)]
    return first, values[down:, max(0, right) : width + min(0, right)]


def _evidence(
    marks: np.ndarray, colours: np.ndarray, foreground: float, background: float, components: int, seed: int
) -> np.ndarray:
    """How much likelier each pixel's colour is under the object's mixture than under that of the rest, in nats."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    high, low = np.quantile(marks, [foreground, background])
    # A map with many equal values may have none above the quantile, or none but the highest up to it.
    object_pixels = marks > high if high < marks.max() else marks == high
    other_pixels = marks <= low if low < marks.max() else marks < low
    densities = []
    for chosen in (object_pixels, other_pixels):
        sample = colours[chosen]
        mixture = GaussianMixture(min(components, len(sample)), reg_covar=1e-3, random_state=seed)
        # One pixel counts twice: a mixture wants two. It is a Gaussian as wide as the floor of the variance.
        with warnings.catch_warnings():
            # Of a mixture that had fewer colours than Gaussians, or needed more steps: good enough for what it is for.
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(sample if len(sample) > 1 else np.repeat(sample, 2, axis=0))
        densities.append(mixture.score_samples(colours.reshape(-1, colours.shape[-1])))
    return np.clip(densities[0] - densities[1], -_MOST, _MOST).reshape(marks.shape)


def _largest_part(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import label

    parts, count = label(mask, np.ones((3, 3)))
    return parts == np.bincount(parts[mask]).argmax() if count else mask
