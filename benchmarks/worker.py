"""One process for one framework. `Worker` starts it and asks; `serve`, in it, answers.

Questions and answers are JSON, one a line, over the process's standard input and output. What the
framework itself prints goes to standard error, which is kept for the error message.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class WorkerError(RuntimeError):
    """What a worker was asked failed in it."""


class MissingError(WorkerError):
    """The framework is not installed."""


class Worker:
    """Talks to one framework in a process of its own.

    Raises
    ------
    MissingError
        If the framework cannot be imported.
    WorkerError
        If the process ends, or a question fails in it.
    """

    def __init__(self, framework: str, data: Path, threads: int, *, root: Path = ROOT) -> None:
        self.framework = framework
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by `close`)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", framework, str(data), str(threads)],
            cwd=root,
            env=environment(root=root),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        try:
            self.versions: dict[str, str] = self._answer()
        except WorkerError:
            self.close()
            raise

    def ask(self, do: str, **arguments: Any) -> Any:
        """The answer to the question `do`; see `Server` for what can be asked."""
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        except OSError:  # it has ended: the answer says how
            pass
        return self._answer()

    def peak_mb(self) -> float:
        """Peak resident memory of the process so far, in MB; Linux only."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise WorkerError(f"{self.framework}: its process has ended")

    def _answer(self) -> Any:
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            last = self._errors.read().strip().splitlines()[-3:]
            raise WorkerError(
                f"{self.framework}: its process ended with {self._process.returncode}: {last}"
            )
        answer = json.loads(line)
        if "error" in answer:
            kind = MissingError if answer.get("missing") else WorkerError
            raise kind(f"{self.framework}: {answer['error']}")
        return answer["value"]

    def close(self) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def environment(*, root: Path = ROOT, **more: str) -> dict[str, str]:
    """Of this process, with the project's folder `root` first on Python's path."""
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **more}


class Server:
    """Answers for one framework. Each method is a question."""

    def __init__(self, framework: Any, data: Any) -> None:
        self.framework, self.data = framework, data

    def load(self, model: dict[str, Any], weights: str | None = None) -> None:
        """Build `model` with the weights in the file `weights`, or with minicnn's first ones."""
        import numpy as np

        arrays = None
        if weights is not None:
            with np.load(weights) as stored:
                arrays = [stored[key] for key in stored.files]
        self.framework.load(model, arrays)
        self.model = model

    def save_weights(self, path: str) -> None:
        import numpy as np

        np.savez(path, *self.framework.weights)

    def axes(self, work: str) -> dict[str, list[Any]]:
        return self.framework.axes(work)

    def examples(self, images: int) -> Any:
        """That many images, and their targets."""
        from benchmarks.networks import reconstructs

        x, y = self.data.images(images, self.model["size"], self.model.get("channels", 1))
        return x, x if reconstructs(self.model) else y

    def answers(self, work: str, setting: dict[str, Any], images: int, steps: int, batch: int):
        """Predictions and the losses of the first steps, for the check of agreement."""
        x, y = self.examples(max(images, steps * batch))
        if work == "predict":
            call = self.framework.predicting(x[:images], setting)
            return {"predictions": call().tolist(), "losses": None}
        losses = self.framework.first_losses(x, y, batch, steps, setting)
        return {"predictions": None, "losses": losses}

    def train(
        self, setting: dict[str, Any], images: int, batch: int, epochs: int, threads: int = 0
    ) -> float:
        """Seconds that `epochs` of training on `images` took."""
        if threads:
            self.framework.set_threads(threads)
        x, y = self.examples(images)
        return seconds(self.framework.training(x, y, batch, epochs, setting))

    def epoch(self, setting: dict[str, Any], batch: int) -> float:
        """Seconds for an epoch of all training images and the validation after it."""
        data = self.data
        train, validation = (data.x_train, data.y_train), (data.x_val, data.y_val)
        return seconds(self.framework.epoch(train, validation, batch, setting))

    def predict(self, setting: dict[str, Any], images: int, repeats: int) -> float:
        """Seconds that predicting `images`, `repeats` times, took."""
        call = self.framework.predicting(self.examples(images)[0], setting)
        call()  # what is made anew for these images is not counted

        def several() -> None:
            for _ in range(repeats):
                call()

        return seconds(several)


def seconds(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def serve() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("framework")
    parser.add_argument("data", type=Path)
    parser.add_argument("threads", type=int)
    args = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # from here on, what anyone prints is no answer

    def reply(**answer: Any) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    from benchmarks import frameworks
    from benchmarks.data import Data

    try:
        framework = frameworks.make(args.framework, args.threads)
    except ImportError as error:
        reply(error=f"not installed: {error}", missing=True)
        return
    server = Server(framework, Data(args.data))
    reply(value=framework.versions())
    for line in sys.stdin:
        question = json.loads(line)
        try:
            reply(value=getattr(server, question.pop("do"))(**question))
        except Exception as error:  # whatever it is, the caller has to be told
            traceback.print_exc()
            reply(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    serve()
