"""The questions of the handout, where each is answered, and what to try by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from pixelwise.lab.answer import PHOTOS, PICTURES, Answer, Setting


@dataclass(frozen=True)
class Question:
    """A question, and where its answer is made."""

    name: str
    title: str
    module: str
    """File of this package; imported only when the question is asked."""
    whole_s: float
    """How long it takes on two cores, for the time left."""
    quick_s: float
    needs: str = ""
    """The source of data that it cannot do without."""
    by_hand: str = ""
    """A command that looks at the same thing by itself, where its answer does not come with one."""

    def expect_s(self, quick: bool) -> float:
        """How long it takes, small or whole."""
        return self.quick_s if quick else self.whole_s

    def ask(self, setting: Setting) -> Answer:
        """Answer it now.

        Raises:
            DataError: a data set is not to be had.
            Interrupted: Ctrl-C came; runs that were finished are kept.
            OutputError: a run or a figure cannot be written.
        """
        module = import_module(f"pixelwise.lab.{self.module}")
        function: Callable[[Setting], Answer] = getattr(module, f"answer_{self.name.lower()}")
        return function(setting)


QUESTIONS = {
    question.name: question
    for question in (
        Question(
            "A1",
            "The CNN, from a convolution of our own",
            "affine",
            5,
            5,
            by_hand="pixelwise visualise out/cnn-cifar10-horse-handout",
        ),
        Question("A2", "Training it, and what its pictures look like", "colouring", 500, 40, PICTURES),
        Question("A3", "Weights, outputs and connections", "counting", 5, 5, by_hand="pixelwise count cnn"),
        Question("A4", "Every pixel becomes a x + b", "affine", 480, 45, PICTURES),
        Question("B1", "The U-Net", "colouring", 5, 5, by_hand="pixelwise count unet"),
        Question("B2", "Training the U-Net", "colouring", 500, 40, PICTURES),
        Question("B3", "Does it beat the CNN, and why", "colouring", 320, 40, PICTURES),
        Question("B4", "Batch sizes", "batch_sizes", 540, 45, PICTURES),
        Question(
            "C1",
            "Learn only the last layer",
            "finetuning",
            20,
            10,
            by_hand="pixelwise finetune flowers17 -o flower.head.safetensors",
        ),
        Question("C2", "Freeze, replace the head, train", "finetuning", 140, 40, PHOTOS),
        Question("C3", "What it cuts out", "finetuning", 20, 10, PHOTOS),
        Question(
            "C4",
            "Memory and computation over n layers",
            "costs",
            150,
            25,
            by_hand="pixelwise plan finetune flowers17",
        ),
        Question("C5", "Twice the height and the width", "costs", 150, 20),
    )
}
"""By name, in the handout's order."""
