"""How easily a network is fooled: attacks, fooling images, and what accuracy is left under them.

Every attack gives an `Adversarial`: the images, which of them fool the model, which it had wrong already (these stay as
they are), and how far they are from those that came in. Of a tensor, as in `training.fit(attack=)`, all images are
attacked, also those that are wrong already, and a tensor of them comes back.
"""

from kerasdl.adversarial.accuracies import robust_accuracy
from kerasdl.adversarial.attacking import Adversarial
from kerasdl.adversarial.for_all_images import Universal, universal_perturbation
from kerasdl.adversarial.from_noise import fooling_image
from kerasdl.adversarial.gradient_signs import fgsm
from kerasdl.adversarial.nearest_boundaries import deep_fool
from kerasdl.adversarial.projected_gradients import pgd
from kerasdl.adversarial.smallest_changes import minimal_perturbation
from kerasdl.adversarial.tanh_space import carlini_wagner

__all__ = [
    "Adversarial",
    "Universal",
    "carlini_wagner",
    "deep_fool",
    "fgsm",
    "fooling_image",
    "minimal_perturbation",
    "pgd",
    "robust_accuracy",
    "universal_perturbation",
]
