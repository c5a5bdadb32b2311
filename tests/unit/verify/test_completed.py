"""Each store that returned comes with what was refused of it; one that did not is not among them."""

from verify.completed import completed
from verify.ledger import Note, Record, RefusedPage, Store, Stored


def test_stores_and_their_ends_are_paired_by_worker() -> None:
    first, second, lost = (Store(worker, 5, 8 * worker, 4, 1, 0, 4096) for worker in (1, 2, 3))
    refusal = RefusedPage(9, "SIGBUS", 2, 0)
    records: list[Record] = [first, second, lost, Note("x"), Stored(2, ()), Stored(1, (refusal,))]
    records += [Store(1, 5, 8, 4, 2, 0, 4096), Stored(1, ())]
    found = list(completed(records))
    assert [(each.store.worker, each.store.generation) for each in found] == [(2, 1), (1, 1), (1, 2)]
    assert [each.accepted for each in found] == [[range(16, 20)], [range(8, 9), range(10, 12)], [range(8, 12)]]
    assert [each.refused for each in found] == [[], [9], []]
