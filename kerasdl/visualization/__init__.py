"""What a network has learnt and what it looks at: pure functions on any `keras.Model`, and the plots of the course.

`plots` is imported when it is first asked for: it is the only part that needs matplotlib.
"""

import importlib
from types import ModuleType

from kerasdl.visualization import regularizers
from kerasdl.visualization.activation_maps import class_activation_map, grad_cam, grad_cam_plus_plus
from kerasdl.visualization.dreams import deep_dream
from kerasdl.visualization.embeddings import embed
from kerasdl.visualization.faceting import facets
from kerasdl.visualization.gradients import integrated_gradients, saliency, smooth_grad
from kerasdl.visualization.inversion import invert_features
from kerasdl.visualization.landscapes import loss_landscape
from kerasdl.visualization.layer_outputs import activations
from kerasdl.visualization.lesions import lesion_study
from kerasdl.visualization.maximal_activations import maximally_activating_patches
from kerasdl.visualization.maximization import maximize
from kerasdl.visualization.neighbors import nearest_neighbors
from kerasdl.visualization.occlusions import occlusion
from kerasdl.visualization.receptive_fields import receptive_field
from kerasdl.visualization.rectified_gradients import deconvolution, guided_backpropagation
from kerasdl.visualization.score_weighting import score_cam
from kerasdl.visualization.segmentation import segment
from kerasdl.visualization.styles import transfer_style
from kerasdl.visualization.textures import gram_matrices, synthesize_texture
from kerasdl.visualization.weights import filters

__all__ = [
    "activations",
    "class_activation_map",
    "deconvolution",
    "deep_dream",
    "embed",
    "facets",
    "filters",
    "grad_cam",
    "grad_cam_plus_plus",
    "gram_matrices",
    "guided_backpropagation",
    "integrated_gradients",
    "invert_features",
    "lesion_study",
    "loss_landscape",
    "maximally_activating_patches",
    "maximize",
    "nearest_neighbors",
    "occlusion",
    "plots",
    "receptive_field",
    "regularizers",
    "saliency",
    "score_cam",
    "segment",
    "smooth_grad",
    "synthesize_texture",
    "transfer_style",
]


def __getattr__(name: str) -> ModuleType:
    if name == "plots":
        return importlib.import_module("kerasdl.visualization.plots")
    raise AttributeError(f"module 'kerasdl.visualization' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
