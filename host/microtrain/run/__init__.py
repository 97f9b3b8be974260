"""The host's side of a run on a board: prepare files, start it, follow what it prints."""

from microtrain.run.evaluate import Evaluation, evaluate
from microtrain.run.plan import plan
from microtrain.run.train import Result, TrainOptions, train

__all__ = ["Evaluation", "Result", "TrainOptions", "evaluate", "plan", "train"]
