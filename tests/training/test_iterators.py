import threading

import pytest

from kerasdl.training.iterators import one_pass

PATIENCE = 20  # seconds, for a thread to come to its turn


class Data:
    """Its iterators take as long to be freed as somebody wants."""

    def __init__(self):
        self.may_end, self.is_freed = threading.Event(), threading.Event()

    def __iter__(self):
        return SlowIterator(self)


class SlowIterator:
    def __init__(self, data):
        self.data, self.left = data, [0, 1, 2]

    def __next__(self):
        return self.left.pop(0)

    def __del__(self):
        self.data.may_end.wait(PATIENCE)
        self.data.is_freed.set()


@pytest.fixture
def data():
    return Data()


def test_nobody_waits_until_the_iterator_is_freed(data):
    with one_pass(data) as held:
        assert [next(held[0]) for _ in range(2)] == [0, 1]
    assert not data.is_freed.is_set()
    data.may_end.set()
    assert data.is_freed.wait(PATIENCE)


def test_nor_after_an_error(data):
    def fail(number):
        raise RuntimeError(f"power cut at {number}")

    with pytest.raises(RuntimeError, match="power cut at 0"), one_pass(data) as held:
        fail(next(held[0]))
    assert not data.is_freed.is_set()
    data.may_end.set()
    assert data.is_freed.wait(PATIENCE)
