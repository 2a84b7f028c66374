"""The gate by itself, at times of its own: who waits, who is late, who goes first."""

from __future__ import annotations

import pytest

from resgraph.serve.gate import Gate, Guest, Patience, Phase


class House:
    """A gate, its clock, and what became of whom."""

    def __init__(self, **changes: float) -> None:
        self.now = 0.0
        self.ended: list[tuple[str, str]] = []
        self.reasons: list[str] = []
        wanted = {"connections": 100, "per_address": 100, "bytes": 1000} | changes
        patience = Patience(head_seconds=10, body_seconds=60, rate=100, **wanted)
        self.gate = Gate(patience, self.reasons.append, lambda: self.now)

    def guest(self, name: str, phase: Phase = Phase.HEAD, address: str = "a") -> Guest:
        made = Guest(lambda why: self.ended.append((name, why)), address)
        self.gate.turn(made, phase)
        return made

    def at(self, now: float) -> list[tuple[str, str]]:
        """Who has been ended until then."""
        self.now = now
        self.gate.sweep()
        return self.ended


@pytest.mark.parametrize(
    ("phase", "seconds"),
    [(Phase.HEAD, 10), (Phase.BODY, 10), (Phase.ANSWER, 60), (Phase.REFUSED, 2)],
)
def test_each_phase_has_its_time(phase: Phase, seconds: float) -> None:
    house = House()
    house.guest("late", phase)
    assert house.at(seconds - 0.01) == []
    assert house.at(seconds) == [("late", "timeout")]
    assert house.gate.waiting == 0
    assert house.reasons == ([] if phase is Phase.REFUSED else ["timeout"])


def test_who_is_being_served_has_all_the_time() -> None:
    house = House()
    guest = house.guest("served")
    house.gate.turn(guest, None)
    assert house.at(1000) == []
    house.gate.turn(guest, Phase.HEAD)
    assert house.at(1009) == []


def test_a_body_at_the_rate_goes_on_until_its_time_is_up() -> None:
    house = House(bytes=10**6)
    guest = house.guest("steady", Phase.BODY)
    for second in range(1, 60):
        assert house.at(second) == []
        house.gate.received(guest, 100)
    assert house.at(60) == [("steady", "timeout")]


def test_a_slow_body_ends_when_it_has_fallen_behind() -> None:
    house = House()
    guest = house.guest("slow", Phase.BODY)
    for second in range(1, 19):
        assert house.at(second) == []
        house.gate.received(guest, 50)
    assert house.at(19) == [("slow", "timeout")]


def test_no_time_is_saved_up() -> None:
    house = House(bytes=10**6)
    house.gate.received(house.guest("fast, then silent", Phase.BODY), 10**5)
    assert house.at(9.9) == []
    assert len(house.at(10)) == 1


def test_the_furthest_behind_makes_room() -> None:
    house = House(connections=3)
    for second, name in enumerate(["idle", "trickles", "sends"]):
        house.now = float(second)
        guest = house.guest(name, Phase.BODY if name != "idle" else Phase.HEAD)
    house.now = 5.0
    house.gate.received(guest, 500)
    for name in ("new", "newer", "newest"):
        house.now += 0.001
        house.guest(name)
    assert house.ended == [(n, "crowded") for n in ("idle", "trickles", "sends")]
    assert house.gate.waiting == 3


def test_newcomers_do_not_crowd_out_who_is_in_use() -> None:
    """Not within a second after an answer, however many they are."""
    house = House(connections=2)
    used = house.guest("in use")
    house.gate.turn(used, None)
    house.gate.turn(used, Phase.HEAD)
    house.now = 0.9
    for number in range(3):
        house.now += 0.01
        house.guest(str(number))
    assert [name for name, _ in house.ended] == ["0", "1"]
    house.now = 2.0
    house.guest("last")
    assert [name for name, _ in house.ended] == ["0", "1", "2"]
    house.guest("very last")
    assert house.ended[-1][0] == "in use"


def test_one_address_crowds_out_itself_alone() -> None:
    house = House(per_address=2)
    house.guest("other", address="b")
    for number in range(5):
        house.now += 1
        house.guest(str(number))
    assert [name for name, _ in house.ended] == ["0", "1", "2"]


def test_bodies_have_a_budget() -> None:
    house = House()
    held = []
    for number in range(3):
        house.now = float(number)
        held.append(house.guest(str(number), Phase.BODY))
    house.now = 9.0
    for guest in held:
        house.gate.received(guest, 400)
    assert house.ended == [("0", "crowded")]
    house.gate.turn(held[1], None)
    house.gate.received(held[2], 600)
    assert len(house.ended) == 1


def test_a_stop_leaves_a_while() -> None:
    house = House()
    house.guest("reads", Phase.ANSWER)
    house.gate.stop()
    assert house.at(19) == []
    assert house.at(20) == [("reads", "timeout")]
