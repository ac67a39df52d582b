"""How does a network say what is in an image, and does it look at what it says?

Paper:  [Xu et al., 2015](https://arxiv.org/abs/1502.03044), Show, attend and tell
Run:    python -m tutorials.captions
Takes:  5 minutes on one core, of which 20 seconds to draw the images, once
Expect: after six epochs, 98.3 % of the test captions exactly right with attention, and 4.1 % without (one seed, one
        rate for both): without attention the relation is still right in 98.6 % of all captions, but the first figure in
        27.4 %. Nor does that network know the captions that it learns from: in its last epoch, when it is given the
        true words before each, 82.4 % of their words are right, against 99.98 % with attention. When the figure is to
        be said, 92.5 % of the attention lies in its box, which is 14 % of the picture; for the second, smaller figure
        it is 94 %, and 6 % of the picture. The largest weight lies in the box in 99.8 % and 99.7 % of the images.

The images show two figures, and the sentence to be said is such as "a red star above a blue square": the larger figure
first. One word wrong, and the caption is wrong. Two networks learn it. Both write word after word with a recurrent
network, both see with the same convolutions, which begin as those of a network that names single figures, and both make
one vector v of the whole image:

- *Without attention* every step reads this vector: `h_t = tanh(W_xh x + W_hh h + W_ih v)`, here with the gates of a
  GRU. Whatever may be asked has to be in v.
- *With attention* the vector is only the beginning, h_0. The state before each word says how interesting each place of
  the 16x16 feature map is: `e_ij = u . tanh(W1 h + W2 f_ij)`. The word is chosen by the mean of the features, weighted
  by softmax(e). Two of the features are a place's own coordinates: this mean also says where the network is looking.

What the network without attention lacks is learning, before all generalization: it gets the training words wrong too.
In the last three epochs 78.8, 81.4 and 82.4 % of them were right, which was still rising while the rate fell to zero.
Whether its vector is too small for two figures, or it only learns more slowly, six epochs cannot tell.

Nobody tells the network where anything is: it is trained by the sentences alone. That it looks at the star when it says
"star" is something it found out by itself, and the data set knows the box of every word, so it can be measured.

Exercises:

1. Let the network see from scratch: leave out `encoder=`. How many epochs does it need now?
2. Take the coordinates away (copy `captioner` and leave out `AddCoordinates`). Which word suffers?
3. Turn or mirror the images as augmentation. Which words of the caption have to be changed with them?
4. Write with `beam_width=5`. Is a search worth while, where the network is so sure of each word?
5. Give the network without attention more time (`--epochs 20`), or a vector of twice the size (`--units 256`). Which of
   the two helps it more?
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasdl import training
from kerasdl.architectures import pretrained
from kerasdl.data import load
from kerasdl.sequences import caption, caption_batches, captioner, vocabulary
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.pointing import on_the_object
from kerasdl.visualization import plots

# Where these stand in a caption, counted from the end for the second figure: "left of" is one word more than "above".
ROLES = {"colour": 1, "figure": 2, "relation": 3, "second colour": -2, "second figure": -1}
PARTS = {"first figure": slice(0, 3), "relation": slice(3, -3), "second figure": slice(-3, None)}


def at_roles(words: list[str], maps: np.ndarray) -> list[np.ndarray]:
    """The maps of the words that the roles stand for, at the images' size.

    Args:
        words: A caption.
        maps: `(words, height, width)`, for each of its words.
    """
    last = max(len(words), 1) - 1
    places = [min(place, last) if place >= 0 else max(last + 1 + place, 0) for place in ROLES.values()]
    return [np.kron(maps[place], np.ones((4, 4))) for place in places]


def wrong_parts(said: list[str], true: list[str]) -> dict[str, str]:
    """The parts of a caption that are not as they should be, and how they should be.

    Args:
        said: The words of the caption.
        true: Those that it should have.
    """
    return {name: " ".join(true[part]) for name, part in PARTS.items() if said[part] != true[part]}


@lesson
def main(
    *,
    data: str = "shapes/pair",
    epochs: int = 6,
    units: int = 128,
    cell: str = "gru",
    batch_size: int = 50,
    learning_rate: float = 0.002,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/captions"),
) -> dict[str, float]:
    """Trains a captioner with attention and one without, and measures what they say and where they look.

    Args:
        data: A set of images of 64x64 with a `caption`, its `words` and their `word_boxes`.
        epochs: Passes over the training images.
        units: The size of the state.
        cell: The recurrent cell: elman, gru or lstm.
        batch_size: Images per step.
        learning_rate: The highest rate, after the warm-up.
        seed: Decides the first weights and the order of the images.
        quick: One epoch of a few images, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    epochs = 1 if quick else epochs
    train = load(data, split="train[:100]" if quick else "train", batch_size=batch_size, shuffle=True, seed=seed)
    fields = ("image", "caption", "words", "word_boxes")
    split = "test[:20]" if quick else "test"
    test: Any = next(load(data, split=split, fields=fields, batch_size=1000).as_numpy_iterator())
    true = [[word.decode() for word in words if word] for words in test["words"]]
    words = vocabulary(train.map(lambda image, sentence: sentence))
    print(f"{len(words)} words: {', '.join(words)}")

    # The words go in and come out one step apart: behind the start the network has to say "a", behind "a" it has to say
    # "red", and so on to the end. In training it always reads the true words; when it writes, its own.
    #
    # Both begin with the convolutions of a network that tells the ten figures apart. Its last maps have 16x16 places,
    # which see 29x29 pixels each. All its weights are trained on, for colours never mattered to it.
    said, metrics = {}, {}
    for name in ("attention", "plain"):
        print(f"\n{name}")
        keras.utils.set_random_seed(seed)
        network = pretrained("shapes_cnn")
        encoder = keras.Model(network.inputs, network.get_layer("stage2_out").output)
        model = captioner(words, encoder=encoder, cell=cell, units=units, attention=name == "attention", name=name)
        batches = caption_batches(model, train)
        steps = epochs * len(batches)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, steps - steps // 12, warmup_target=learning_rate, warmup_steps=max(steps // 12, 1)
        )
        model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
        logs = keras.callbacks.TensorBoard(out / "logs" / name)
        history = training.fit(model, batches, epochs=epochs, callbacks=[logs], verbose=2)
        # Of the words to be learnt, with the true words before them: is what a network lacks in the test known here?
        metrics[f"{name}_training_accuracy"] = float(history.history["accuracy"][-1])
        said[name] = caption(model, test["image"], length=12)
        if name == "attention":
            attending = model

    wrong = {
        name: [wrong_parts(*pair) for pair in zip(captions.words, true, strict=True)] for name, captions in said.items()
    }
    parts = {
        name: {part: float(np.mean([part not in each for each in of_all])) for part in PARTS}
        | {"all words": float(np.mean([not each for each in of_all]))}
        for name, of_all in wrong.items()
    }
    for name, shares in parts.items():
        print(f"{name}: {', '.join(f'{part} {share:.1%}' for part, share in shares.items())} right")
    plots.save(
        plots.bars(
            {"with attention": list(parts["attention"].values()), "one vector": list(parts["plain"].values())},
            list(parts["plain"]),
            y_label="test captions right",
            written="{:.0%}",
            title="Which part of the caption is right",
        ),
        out / "figures" / "parts.png",
    )

    # Where does it look when a word is to be said, given the true words before it? Each place of the feature map stands
    # for 4x4 pixels. The share of the attention that lies in the box of the word's figure is to be compared with the
    # box's share of the picture: so much would lie in it if the network looked everywhere alike. The pointing game
    # asks whether the largest weight lies in the box.
    looks = keras.Model(attending.inputs, attending.get_layer("decoder").output[1])
    maps = looks.predict(caption_batches(attending, load(data, split=split, batch_size=250)), verbose=0)
    at = [np.stack(each) for each in zip(*(at_roles(*pair) for pair in zip(true, maps, strict=True)), strict=True)]
    inside, areas = [], []
    for role, of_role in zip(ROLES, at, strict=True):
        boxes = np.stack([b[: len(w)][ROLES[role]] for b, w in zip(test["word_boxes"], true, strict=True)])
        centres = (np.arange(64) + 0.5) / 64
        rows = (centres >= boxes[:, :1]) & (centres < boxes[:, 2:3])
        columns = (centres >= boxes[:, 1:2]) & (centres < boxes[:, 3:])
        masks = rows[:, :, None] & columns[:, None, :]
        found = on_the_object(of_role, masks)
        inside.append(float(found["energy"].mean()))
        areas.append(float(masks.mean()))
        print(f"{role}: {inside[-1]:.1%} of the attention in the box ({areas[-1]:.1%} of the picture)")
        if role.endswith("figure"):
            key = role.replace(" ", "_")
            metrics[f"{key}_attention_in_box"], metrics[f"{key}_box_area"] = inside[-1], areas[-1]
            metrics[f"{key}_pointing"] = float(found["hits"].mean())
    plots.save(
        plots.bars(
            {"of the attention": inside, "of the picture": areas},
            [role.replace(" ", "\n") for role in ROLES],
            y_label="share in the word's box",
            written="{:.0%}",
            title="It looks at what it says",
        ),
        out / "figures" / "in_the_box.png",
    )

    # Some captions with what each word looked at, and the mistakes: the least likely of the wrong ones. Without any
    # mistake the least certain captions are shown.
    captions = said["attention"]
    order = np.lexsort((captions.log_probabilities, np.array([not each for each in wrong["attention"]])))
    surest = {true[i][3]: i for i in order}  # of each relation
    assert captions.maps is not None
    for name, chosen, title in (
        ("looks", list(surest.values())[:3], "Where it looks when it says each word"),
        ("mistakes", order[:3], "Where it looked when it was wrong"),
    ):
        looked = [at_roles(captions.words[i], captions.maps[i]) for i in chosen]
        mended = [", ".join(wrong["attention"][i].values()) for i in chosen]
        names = [
            captions.sentences[i] + f"\n(it is: {mend})" * bool(mend) for i, mend in zip(chosen, mended, strict=True)
        ]
        plots.save(
            plots.compare_maps(
                test["image"][chosen],
                {role: [maps_of[column] for maps_of in looked] for column, role in enumerate(ROLES)},
                names,
                title=title,
            ),
            out / "figures" / f"{name}.png",
        )
    metrics |= {f"{name}_exactly_right": shares["all words"] for name, shares in parts.items()}
    metrics |= {f"{name}_relation_right": shares["relation"] for name, shares in parts.items()}
    return metrics


if __name__ == "__main__":
    command_line(main)
