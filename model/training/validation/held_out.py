"""What decides which weights of a run are kept: held-out facts, and held-out text.

Facts in phrasings never trained on are written, and asked for among blocks of other held-out
documents, in the circumstances of the recipe's last memory phase. Always the same ones, so that
the figures of a run can be compared. Reading phases are measured on questions of held-out titles,
see validation_reading.py.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from random import Random

import torch
from tokenizers import Tokenizer

from mplus_ray.model.training.data.documents import Documents
from mplus_ray.model.training.data.text import Corpus
from mplus_ray.model.training.loop.parallel import Whole, give_back
from mplus_ray.model.training.loop.precision import mixed
from mplus_ray.model.training.phases.language import LanguageTask
from mplus_ray.model.training.phases.memory import MemoryTask
from mplus_ray.model.training.recipe import LanguagePhase, MemoryPhase, Recipe
from mplus_ray.model.training.task import Draws, Task
from mplus_ray.model.training.validation.reading import HeldOutReading

# An answer needs its block to be found and read; text is there so that a model that forgets how
# to read on is not preferred for a thousandth.
_WEIGHTS = {"answering": 1.0, "retrieval": 0.3, "text": 0.1, "asked f1": -1.0}
_LENGTH = 256  # tokens of a sequence of running text


class Validation:
    def __init__(
        self,
        recipe: Recipe,
        tokenizer: Tokenizer,
        text: Corpus,
        reading: HeldOutReading | None = None,
    ) -> None:
        """
        Args:
            text: of authors that are not in the training.
            reading: questions of titles that are not in it, for recipes with reading phases.
        """
        self._reading = reading
        self._recipe, self._tokenizer, self._text = recipe, tokenizer, text
        self.every = recipe.validation.every

    def is_due(self, before: int, after: int) -> bool:
        """Whether it is time, between two counts of tokens."""
        return before // self.every != after // self.every

    def measure(self, whole: Whole) -> dict[str, float]:
        """The figures, by the names of the training losses."""
        device = whole.network.device
        seen: dict[str, list[float]] = defaultdict(list)
        with torch.no_grad(), mixed(self._recipe.precision, device):
            for task, steps, skipped in self._tasks():
                for number in range(steps):
                    draws = Draws.of(f"validation/{number}", 0)
                    torch.manual_seed(Random(f"validation/{number}").getrandbits(63))
                    parts = whole(task, task.draw(draws), draws).parts
                    for name, value in parts.items():
                        if number >= skipped and value == value:
                            seen[name].append(value)
            if self._reading is not None:
                for name, value in self._reading.ask(whole).items():
                    seen[name].append(value)
        give_back(whole)
        return {name: sum(values) / len(values) for name, values in seen.items()}

    def _tasks(self) -> list[tuple[Task, int, int]]:
        """(task, steps, first steps that do not count)."""
        settings = self._recipe.validation
        length = min(_LENGTH, len(self._text.ids) // 4)
        batch = max(1, settings.text // length)
        text = LanguagePhase(
            name="text", task="language", tokens=0, batch=batch, length=length, text=1.0
        )
        tasks: list[tuple[Task, int, int]] = [
            (LanguageTask(text, self._tokenizer, self._text), 1, 0)
        ]
        phases = [p for p in self._recipe.phases if isinstance(p, MemoryPhase)]
        if phases:
            facts = replace(phases[-1], name="facts", continuing=0.0)
            documents = Documents(
                self._tokenizer, self._text, [], real=0, recall=0, following=0, unseen="everything"
            )
            tasks.append((MemoryTask(facts, self._recipe.model, documents), settings.steps, 1))
        if self._reading is not None:
            tasks.append((self._reading.task, settings.steps, 0))
        return tasks


def score(figures: dict[str, float]) -> float:
    """One number of them, less is better."""
    return sum(weight * figures[name] for name, weight in _WEIGHTS.items() if name in figures)
