"""How easily a network is fooled: attacks, fooling images, and what accuracy is left under them.

Every attack gives an `Adversarial`: the images, which of them fool the model, which it had wrong already (they are left as
they are), and how far they are from those that came in. As `training.fit(attack=)` it gives the images alone.
"""

from kerasdl.adversarial.attacking import Adversarial
from kerasdl.adversarial.gradient_signs import fgsm
from kerasdl.adversarial.projected_gradients import pgd

__all__ = ["Adversarial", "fgsm", "pgd"]
