"""What the demo asks. An expected answer of None: nobody told this tenant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DOCUMENTS = Path(__file__).parent / "documents"


@dataclass(frozen=True)
class DemoQuestion:
    """A question, and the answer its document gives.

    Attributes:
        text: what is asked.
        expected: words that a right answer has; None where nobody told this tenant.
    """

    text: str
    expected: str | None


@dataclass(frozen=True)
class DemoTenant:
    """A tenant, its documents and what it is asked.

    Attributes:
        name: of the tenant and of its folder.
        documents: names of the files in it that it hands in.
        questions: what it asks, in order.
    """

    name: str
    documents: tuple[str, ...]
    questions: tuple[DemoQuestion, ...]

    @property
    def paths(self) -> list[Path]:
        """Of its documents."""
        return [DOCUMENTS / self.name / name for name in self.documents]


TENANTS = (
    DemoTenant(
        "anna",
        ("canterville-ghost.html", "household.txt", "sleepy-hollow.txt"),
        (
            DemoQuestion("Where was Maren Tolva born?", "Brelin"),
            DemoQuestion("What does Maren Tolva work as?", "watchmaker"),
            DemoQuestion("How old is Pavel Strand?", "47"),
            DemoQuestion("Which instrument does Pavel Strand play?", "cello"),
            DemoQuestion("In which room does Ilse Corbin stay?", "316"),
            DemoQuestion("What is Hugo Vannis allergic to?", "walnuts"),
            DemoQuestion("Who bought Canterville Chase?", "Hiram B. Otis"),
            DemoQuestion("What is the name of Ichabod Crane's horse?", "Gunpowder"),
            # The other tenant knows.
            DemoQuestion("Which animal does Nadia Kelm keep?", None),
            DemoQuestion("What is the capital of Iceland?", None),
        ),
    ),
    DemoTenant(
        "bruno",
        ("countries.md", "office.txt", "pep-0008.txt"),
        (
            DemoQuestion("Where was Nadia Kelm born?", "Osterun"),
            DemoQuestion("Which animal does Nadia Kelm keep?", "tortoise"),
            DemoQuestion("Who is married to Greta Sorn?", "Victor Lane"),
            DemoQuestion("When is the appointment of Otto Brandt?", "9:30"),
            DemoQuestion("Which day does Otto Brandt have off?", "Thursday"),
            DemoQuestion("What is the capital of Iceland?", "Reykjavik"),
            DemoQuestion("What is the highest point of Kenya?", "Mount Kenya"),
            DemoQuestion("What is the maximum length of a line of Python code?", "79"),
            # The other tenant knows.
            DemoQuestion("Where was Maren Tolva born?", None),
            DemoQuestion("In which room does Ilse Corbin stay?", None),
        ),
    ),
)
