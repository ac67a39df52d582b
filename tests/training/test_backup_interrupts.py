"""Ctrl-C and SIGTERM while a training is saved."""

import os
import signal
import threading

import pytest
from backup_helpers import At, assert_same, fit

from kerasdl.training.interrupts import Interrupts


def send(number):
    return lambda: os.kill(os.getpid(), number)


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path, capsys):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    whole = fit()
    with pytest.raises(KeyboardInterrupt):
        fit(At(1, 3, send(signal.SIGINT)), backup_dir=tmp_path)
    told = f"\nInterrupted after step 4 of epoch 2. Saved in {tmp_path}: the same command goes on from there.\n"
    assert capsys.readouterr().err == told
    # In the validation the batches of the epoch are done, and stay so.
    with pytest.raises(SystemExit) as ended:
        fit(At(1, 0, send(signal.SIGTERM), in_validation=True), backup_dir=tmp_path)
    assert ended.value.code == 143
    told = f"\nInterrupted after all steps of epoch 2. Saved in {tmp_path}: the same command goes on from there.\n"
    assert capsys.readouterr().err == told
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert_same(fit(At(1, 5, crash_if_trained), backup_dir=tmp_path), whole)


def crash_if_trained():
    raise AssertionError("this batch was done before")


@pytest.mark.slow
def test_at_the_last_batch_and_after_the_last_epoch(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(At(1, 5, send(signal.SIGINT)), backup_dir=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(At(2, 1, send(signal.SIGINT), in_validation=True), backup_dir=tmp_path)
    assert_same(fit(backup_dir=tmp_path), fit())


def test_a_second_signal_ends_at_once():
    with Interrupts() as interrupts:
        interrupts.can_wait = True
        signal.raise_signal(signal.SIGINT)
        assert interrupts.came
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_where_nothing_is_to_be_saved_the_first_ends_at_once():
    with pytest.raises(SystemExit), Interrupts():
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_signals_are_left_alone():
    handlers = []

    def listen():
        with Interrupts():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]
