"""Verbs that learn and score: train, evaluate."""
from pixelwise.cli.common import Common, Outcome
def train(net: str, source: str, *, epochs: int | None = None, common: Common = Common()) -> Outcome:
    """Train."""
    return Outcome(values={"a": 1}, message=f"{net} {source} {epochs} {common}")
