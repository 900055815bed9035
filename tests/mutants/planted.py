"""What a planted bug is: a few lines of the code changed to others, and the one test that must fail by it.

The same shape serves the negative controls of the attack register: there the change switches a defence off.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class NotPlantable(Exception):
    """The old text does not stand in its file exactly once: the code has moved on, and the register must follow."""


@dataclass(frozen=True, slots=True)
class Change:
    """In `file`, as seen from the project's root, `old` becomes `new`. `old` stands there exactly once."""

    file: str
    old: str
    new: str

    def made_in(self, text: str) -> str:
        """The text of the file with the change in it. Raises NotPlantable."""
        found = text.count(self.old)
        if found != 1:
            raise NotPlantable(f"{self.file} holds {found} times, not once: {self.old!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Mutant:
    """`caught_by` is one test of the default suite, as pytest names it; `why` says what the bug would cost."""

    name: str
    why: str
    caught_by: str
    changes: tuple[Change, ...]

    def plant(self, root: Path) -> None:
        """Change the files below `root`, and forget their compiled forms. Raises NotPlantable."""
        for change in self.changes:
            path = root / change.file
            path.write_bytes(change.made_in(path.read_bytes().decode()).encode())
            for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
                compiled.unlink()
