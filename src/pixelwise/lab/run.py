"""All questions of the handout, in order, each answer kept as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from pixelwise.lab.answer import Answer, Setting


@dataclass(frozen=True)
class Question:
    """A question of the handout, and where its answer is made."""

    name: str
    title: str
    module: str
    """File of this package; imported only when the question is asked."""
    expect_s: float
    """How long it takes on two cores, for the time left."""
    quick_s: float

    def ask(self, setting: Setting) -> Answer:
        """Answer it now."""
        function: Callable[[Setting], Answer] = getattr(
            import_module(f"pixelwise.lab.{self.module}"), f"answer_{self.name.lower()}"
        )
        return function(setting)


QUESTIONS = {
    question.name: question
    for question in (
        Question("A1", "The CNN, from a convolution of our own", "affine", 5, 5),
        Question("A2", "Training it, and what its pictures look like", "colouring", 500, 40),
        Question("A3", "Weights, outputs and connections", "counting", 5, 5),
        Question("A4", "Every pixel becomes a x + b", "affine", 480, 45),
        Question("B1", "The U-Net", "colouring", 5, 5),
        Question("B2", "Training the U-Net", "colouring", 500, 40),
        Question("B3", "Does it beat the CNN, and why", "colouring", 320, 40),
        Question("B4", "Batch sizes", "batch_sizes", 540, 45),
        Question("C1", "Learn only the last layer", "finetuning", 20, 10),
        Question("C2", "Freeze, replace the head, train", "finetuning", 140, 40),
        Question("C3", "What it cuts out", "finetuning", 20, 10),
        Question("C4", "Memory and computation over n layers", "costs", 150, 25),
        Question("C5", "Twice the height and the width", "costs", 150, 20),
    )
}
