"""The arm of a trial: what its plan is run for. Pure."""

from __future__ import annotations

from enum import StrEnum

from torture.plan import Plan


class Arm(StrEnum):
    """In a campaign: `canary` plants a loss and judges the tool, `pinned` and `control` (a plan without pins) look for
    losses, `repeat` looks into a finding. `replay`, `measure` and `candidate` (of a shrink), `A` and `B` (of a
    comparison) and `contract` are what the command of that name runs.
    """

    canary = "canary"
    pinned = "pinned"
    control = "control"
    repeat = "repeat"
    replay = "replay"
    measure = "measure"
    candidate = "candidate"
    contract = "contract"
    A = "A"
    B = "B"


def arm_of(plan: Plan) -> Arm:
    """The arm of a plan that was drawn to look for something."""
    return Arm.control if plan.is_control else Arm.pinned
