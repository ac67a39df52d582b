"""Sequence models: one kind of task per file, text in and text out, and why they are hard to train."""

from kerasdl.sequences.captioning import caption_batches, captioner
from kerasdl.sequences.captions import Captions, caption
from kerasdl.sequences.classifying import classifier, classify
from kerasdl.sequences.generating import generate
from kerasdl.sequences.gradient_flow import gradient_norms
from kerasdl.sequences.language_models import language_batches, language_model
from kerasdl.sequences.metrics import StepAccuracy, StepBits
from kerasdl.sequences.scoring import corpus_bleu
from kerasdl.sequences.tagging import tag, tagger
from kerasdl.sequences.text import vocabulary
from kerasdl.sequences.translating import translation_batches, translator
from kerasdl.sequences.translations import Translations, translate
from kerasdl.sequences.video import video_classifier

__all__ = [
    "Captions",
    "StepAccuracy",
    "StepBits",
    "Translations",
    "caption",
    "caption_batches",
    "captioner",
    "classifier",
    "classify",
    "corpus_bleu",
    "generate",
    "gradient_norms",
    "language_batches",
    "language_model",
    "tag",
    "tagger",
    "translate",
    "translation_batches",
    "translator",
    "video_classifier",
    "vocabulary",
]
