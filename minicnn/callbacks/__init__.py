"""What `fit`, `evaluate` and `predict` call as they go along."""

from minicnn.callbacks.base import Callback, CallbackList, RunCallback, checked
from minicnn.callbacks.checkpoints import BackupAndRestore, ModelCheckpoint
from minicnn.callbacks.history import History
from minicnn.callbacks.logs import CSVLogger, LambdaCallback
from minicnn.callbacks.rates import LearningRateScheduler, ReduceLROnPlateau
from minicnn.callbacks.stopping import EarlyStopping, TerminateOnNaN
from minicnn.callbacks.tensorboard import TensorBoard
from minicnn.callbacks.watch import Watch

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "RunCallback",
    "TensorBoard",
    "TerminateOnNaN",
    "Watch",
    "checked",
]
