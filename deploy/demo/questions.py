"""What the demo asks. An expected answer of None: nobody told this tenant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DOCUMENTS = Path(__file__).parent / "documents"


@dataclass(frozen=True)
class Question:
    """A question, and the answer its document gives."""

    text: str
    expected: str | None


@dataclass(frozen=True)
class DemoTenant:
    """A tenant, its documents and what it is asked."""

    name: str
    questions: tuple[Question, ...]

    @property
    def folder(self) -> Path:
        return DOCUMENTS / self.name


TENANTS = (
    DemoTenant(
        "anna",
        (
            Question("Where was Maren Tolva born?", "Brelin"),
            Question("What does Maren Tolva work as?", "watchmaker"),
            Question("How old is Pavel Strand?", "47"),
            Question("Which instrument does Pavel Strand play?", "cello"),
            Question("In which room does Ilse Corbin stay?", "316"),
            Question("What is Hugo Vannis allergic to?", "walnuts"),
            Question("Who bought Canterville Chase?", "Hiram B. Otis"),
            Question("What is the name of Ichabod Crane's horse?", "Gunpowder"),
            # The other tenant knows.
            Question("Which animal does Nadia Kelm keep?", None),
            Question("What is the capital of Iceland?", None),
        ),
    ),
    DemoTenant(
        "bruno",
        (
            Question("Where was Nadia Kelm born?", "Osterun"),
            Question("Which animal does Nadia Kelm keep?", "tortoise"),
            Question("Who is married to Greta Sorn?", "Victor Lane"),
            Question("When is the appointment of Otto Brandt?", "9:30"),
            Question("Which day does Otto Brandt have off?", "Thursday"),
            Question("What is the capital of Iceland?", "Reykjavik"),
            Question("What is the highest point of Kenya?", "Mount Kenya"),
            Question("What is the maximum length of a line of Python code?", "79"),
            # The other tenant knows.
            Question("Where was Maren Tolva born?", None),
            Question("In which room does Ilse Corbin stay?", None),
        ),
    ),
)
