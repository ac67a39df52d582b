"""Small translators of four sentences that tests share."""

import keras

from kerasdl.sequences import translator, vocabulary

PAIRS = [
    ("I see a dog.", "Je vois un chien."),
    ("You see.", "Tu vois."),
    ("A cat sees me now", "Un chat me voit maintenant"),
    ("", "vide"),
]
SOURCE, TARGET = (vocabulary([pair[side] for pair in PAIRS]) for side in (0, 1))
KINDS = {
    "elman": {"cell": "elman", "dropout": 0.1},
    "gru": {"cell": "gru", "layers": 2},
    "lstm": {"cell": "lstm", "bidirectional": False, "layers": 2, "embedding": 5},
    "last state": {"cell": "elman", "attention": False},
    "last states": {"cell": "lstm", "attention": False},
    "transformer": {"cell": "transformer", "layers": 2, "dropout": 0.1},
}


def make(kind="gru", seed=1, **options):
    keras.utils.set_random_seed(seed)
    model = translator(SOURCE, TARGET, **{"units": 8, **KINDS[kind], **options})
    # Sharper than at the start, so that what a step sees makes a difference.
    for weight in model.trainable_weights:
        weight.assign(weight * 2)
    return model
