"""The course: its parts, and the lessons of each in the order in which they are read."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the course.

    Args:
        title: What it is about.
        introduction: What one knows after it, in a sentence or two.
        pictures: Its lessons in reading order, each with the figure that answers its question: the name of a file in
            `figures/`, without ".png".
    """

    title: str
    introduction: str
    pictures: dict[str, str]


PARTS = (
    Part(
        "Networks that see",
        "Every idea that made networks for images deeper, cheaper or better, from LeNet-5 to ConvNeXt: what it is, "
        "and what it is worth when it stands alone.",
        {
            "convolution_from_scratch": "accuracy",
            "lenet": "accuracy",
            "alexnet_towers": "filters",
            "vgg_table": "parameters",
            "inception_bottleneck": "multiply_adds",
            "transferable_features": "probe_clothes",
            "residual_degradation": "training_error",
            "highway_gates": "loss",
            "residual_ensembles": "one_block",
            "loss_landscape": "contours",
            "dense_connections": "use_block2",
            "aggregated_paths": "time_of_equal_blocks",
            "dirac": "loss",
            "ten_thousand_layers": "gradients",
            "random_wiring": "graphs",
            "convnext_steps": "staircase",
            "fine_tuning": "accuracy",
            "extreme_learning": "race",
        },
    ),
    Part(
        "What they see",
        "Looking into networks, and measuring whether what one sees is true: what a unit looks for, what an answer "
        "hangs on, what a network would like to see, and how little it takes to fool it.",
        {
            "first_filters": "photographs",
            "maximal_patches": "stage2_out",
            "nearest_neighbors": "neighbors",
            "saliency": "objects",
            "guided_backprop": "in_common",
            "occlusion": "shapes",
            "class_activation": "methods",
            "gradient_ascent": "rules_goldfish",
            "deep_dream": "layers",
            "feature_inversion": "inversions",
            "texture": "textures",
            "style_transfer": "styles",
            "fooling": "photograph",
            "adversarial_training": "pgd",
        },
    ),
    Part(
        "Networks that remember",
        "Recurrent networks from the equations up: why they forget, the tasks they can be wired for, attention, and "
        "memories of another kind.",
        {
            "elman_from_scratch": "saw",
            "gradient_flow": "memory",
            "paradigms": "wirings",
            "word_order": "accuracy",
            "spam": "word_by_word",
            "part_of_speech": "accuracy",
            "sleep_stages": "past_and_future",
            "shakespeare": "bits",
            "length_generalization": "lengths",
            "translation": "attention",
            "captions": "looks",
            "balloon": "clips",
            "glimpses": "looks",
            "cifar_scores_rnn": "accuracy",
            "echo_state": "free_run",
            "pattern_completion": "covered",
        },
    ),
    Part(
        "Networks that are small and fast",
        "What an answer costs in weights, in operations and in time, how few of each are enough, and how fast a "
        "network of signs can be.",
        {
            "compare_networks": "accuracy",
            "simpnet": "accuracy",
            "binary_weights": "costs",
            "xnor_networks": "one_convolution",
        },
    ),
    Part(
        "Many machines",
        "Trainings that take long: how to watch them, how to lose nothing of them, and how to share them.",
        {
            "tensorboard_tour": "dead_units",
            "resume": "losses",
            "many_workers": "curves",
        },
    ),
)
