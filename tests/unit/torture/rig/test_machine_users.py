"""Workers are users whom nobody else on the machine is."""

from __future__ import annotations

from pathlib import Path

from torture.lab.users import guest_user
from torture.rig.machine import Machine


def test_workers_of_each_run_are_another_user() -> None:
    """They were `nobody`, as which much else runs."""
    machines = [Machine(Path("/dev/null"), Path("/tmp"), f"run-{number}", device_mapper=False) for number in range(50)]
    users = {machine.uid for machine in machines}
    assert len(users) > 45
    assert all(0x72000000 <= user < 0x73000000 for user in users)
    assert {machine.gid for machine in machines} == users
    assert guest_user(Path("/tmp/run-0/guest-0")) not in users
