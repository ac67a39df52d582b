import inspect

import keras
import pytest

from kerasdl.callbacks.layer_names import layer_names, layer_weights, named_layer, without_number


def two_models(build):
    """The same model twice in one process, in which Keras counts on."""
    return build(), build()


def flat():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3)(inputs)
    x = keras.layers.Conv2D(4, 3, name="mine")(x)
    x = keras.layers.Conv2DTranspose(4, 3)(x)
    x = keras.layers.Conv2D(4, 3)(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(x)))


def nested():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dense(4)])
    outer = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), inner], name="outer")
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(2)(inner(outer(inputs))))


def recurrent():
    stack = keras.layers.RNN([keras.layers.GRUCell(3), keras.layers.GRUCell(3)])
    both = [keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True)) for _ in range(2)]
    return keras.Sequential([keras.Input((5, 2)), *both, stack])


class OfItsOwn(keras.Model):
    def __init__(self, first="twin"):
        super().__init__()
        self.first = keras.layers.Dense(2, name=first)
        self.second = keras.layers.Dense(2, name="twin")
        self.several = [keras.layers.Dense(2), keras.layers.Dense(2)]
        self.by_name = {"one": keras.layers.Dense(2)}
        self.factor = self.add_weight((1,), name="factor")

    def call(self, x):
        for layer in (self.first, self.second, *self.several, self.by_name["one"]):
            x = layer(x)
        return x * self.factor


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (flat, ["input_layer", "conv2d", "mine", "conv2d_transpose", "conv2d_1", "flatten", "logits"]),
        # The inner model stands at two places: also inside the other one.
        (
            nested,
            ["input_layer", "outer", "outer/dense", "sequential", "sequential/dense", "sequential/dense_1", "dense"],
        ),
        (
            recurrent,
            [
                *["bidirectional", "bidirectional/forward_lstm", "bidirectional/forward_lstm/lstm_cell"],
                *["bidirectional/backward_lstm", "bidirectional/backward_lstm/lstm_cell"],
                *["bidirectional_1", "bidirectional_1/forward_lstm", "bidirectional_1/forward_lstm/lstm_cell"],
                *["bidirectional_1/backward_lstm", "bidirectional_1/backward_lstm/lstm_cell"],
                *["rnn", "rnn/stacked_rnn_cells"],
                *["rnn/stacked_rnn_cells/gru_cell", "rnn/stacked_rnn_cells/gru_cell_1"],
            ],
        ),
        (OfItsOwn, ["twin", "twin_1", "dense", "dense_1", "dense_2"]),
    ],
)
def test_the_names_are_those_of_any_other_run(build, expected):
    for model in two_models(build):
        assert list(layer_names(model)) == expected


def test_a_chosen_name_that_looks_like_a_number_is_kept():
    # Somebody calls a dense layer as Keras would call the second convolution.
    _, _, *layers = (keras.layers.Conv2D(2, 3) for _ in range(4))
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    model.add(keras.layers.Dense(2, name="conv2d_1"))
    names = layer_names(model)
    assert list(names) == ["conv2d", "conv2d_2", "conv2d_1"]
    assert names["conv2d_1"] is model.layers[2]


def test_every_name_that_keras_gives_is_known():
    unknown = []
    for name, kind in vars(keras.layers).items():
        wants = inspect.isclass(kind) and issubclass(kind, keras.layers.Layer) and inspect.signature(kind).parameters
        if not wants or any(p.default is p.empty for p in wants.values() if p.kind is p.POSITIONAL_OR_KEYWORD):
            continue
        try:
            first, second = kind(), kind()
        except (ImportError, NotImplementedError, TypeError, ValueError):
            continue  # It does want something.
        known = without_number(second)
        if known != first.name.rpartition("_")[0] and known != first.name:
            unknown.append((name, first.name, known))
    assert unknown == []


def test_a_layer_is_found_by_what_keras_calls_it_first():
    flat()
    model = flat()
    assert model.layers[1].name == "conv2d_2"
    assert named_layer(model, "conv2d_2") == ("conv2d", model.layers[1])
    # This one is no layer of the model's for Keras; it is for us.
    assert named_layer(model, "conv2d_1") == ("conv2d_1", model.layers[4])
    assert named_layer(model, "logits") == ("logits", model.layers[-1])
    assert named_layer(nested(), "outer/dense_2")[0] == "outer/dense"
    with pytest.raises(ValueError, match=r"^`layer` must name a layer of model 'functional_\d'. Received: 'logit'."):
        named_layer(model, "logit")


def test_every_weight_has_one_owner():
    model = OfItsOwn()
    model(keras.ops.ones((1, 2)))
    for each in (model, nested(), recurrent()):
        owned = [weight for weights in layer_weights(each).values() for weight in weights]
        assert sorted(map(id, owned)) == sorted(map(id, each.weights))
    assert [weight.name for weight in layer_weights(model)["model"]] == ["factor"]
    # A cell that is the only one is not spoken of.
    cells = ["rnn/stacked_rnn_cells/gru_cell", "rnn/stacked_rnn_cells/gru_cell_1"]
    both = [f"{name}/{way}_lstm" for name in ("bidirectional", "bidirectional_1") for way in ("forward", "backward")]
    assert [*layer_weights(recurrent())] == both + cells
    model.first.trainable = False
    assert "twin" in layer_weights(model)
    assert "twin" not in layer_weights(model, trainable=True)


def test_a_layer_may_be_called_model():
    model = OfItsOwn(first="model")
    model(keras.ops.ones((1, 2)))
    assert {weight.name for weight in layer_weights(model)["model"]} == {"factor", "kernel", "bias"}
