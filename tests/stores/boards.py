"""Run as a process: workers that add rules at once lose none, and nobody waits for ever for one that stands still. A
process of its own, because only one without threads may fork."""

import os
import signal

from proxy.stores.rule_board import RuleBoard, SharedRules
from proxy.stores.rules import Kind, Rule
from tests.stores.hammer import forked


def many_add_at_once() -> None:
    board = RuleBoard()
    children = []
    for child in range(3):
        if (pid := os.fork()) == 0:
            rules = SharedRules(board)
            for number in range(50):
                rules.add(Rule(Kind.TAG, f"{child}-{number}", number + 1))
            os._exit(0)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
    wanted = {f"{child}-{number}" for child in range(3) for number in range(50)}
    assert {rule.value for rule in SharedRules(board)} == wanted


def one_stands_still() -> None:
    board = RuleBoard()
    reading, writing = os.pipe()

    def hold() -> None:
        board._lock.try_acquire()
        os.write(writing, b"1")
        signal.pause()

    with forked(hold):
        os.read(reading, 1)
        try:
            SharedRules(board).add(Rule(Kind.ALL, "", 1))
        except TimeoutError:
            pass
        else:
            raise AssertionError("added under another's lock")
    SharedRules(board).add(Rule(Kind.ALL, "", 1))  # the kernel has freed it
    assert len(SharedRules(board)) == 1


if __name__ == "__main__":
    many_add_at_once()
    one_stands_still()
