"""A goal and whether a measurement meets it, said the same way by every benchmark."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """`measured` has to be at least `wanted`, both in `unit`."""

    what: str
    measured: float
    wanted: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether the goal was reached."""
        return self.measured >= self.wanted

    def __str__(self) -> str:
        verdict = "met" if self.met else "MISSED"
        return f"goal {verdict}: {self.what}: {self.measured:.2f} {self.unit}, wanted {self.wanted:.2f}"
