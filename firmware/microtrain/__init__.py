"""Train neural networks on a microcontroller, in its own integers.

>>> import microtrain as mt
>>> model = mt.Model("/rom/mbv2.mtm")
>>> model.new_head(classes=4)
>>> trainer = mt.Trainer(model, scheme="last", lr=0.03)
>>> trainer.fit(mt.Dataset("flowers.mtd"), epochs=3)
"""

from microtrain import engine  # noqa: F401 - first, as it may refuse
from microtrain.augment import Augment
from microtrain.autosave import Autosave
from microtrain.dataset import Dataset
from microtrain.model import Model
from microtrain.scheme import resolve
from microtrain.trainer import Trainer

__all__ = ["Augment", "Autosave", "Dataset", "Model", "Trainer", "resolve"]
__version__ = "0.1.0"
