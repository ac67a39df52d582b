"""Files on which callbacks write on: cut to where the backup found them, and nobody else's touched."""

import os
import socket
import time

import keras
import pytest
import tensorflow as tf
from backup_helpers import At, crash, fit
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from training_helpers import batches

from kerasdl.callbacks import WeightSummary
from kerasdl.training.event_files import EventFiles


class Logger(keras.callbacks.Callback):
    def __init__(self, log_dir):
        super().__init__()
        self.log_dir = log_dir
        self.flushed = 0

    def flush(self):
        self.flushed += 1


def event_file(folder, second, process=None, host=None):
    name = f"events.out.tfevents.{second}.{host or socket.gethostname()}.{process or os.getpid()}.0.v2"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"0123456789")
    return folder / name


def test_ours_are_cut_and_those_of_others_are_not_touched(tmp_path):
    callback, logs = Logger(tmp_path / "logs"), tmp_path / "logs"
    files, now = EventFiles([callback], tmp_path / "attempts"), int(time.time())
    files.begin()
    kept, older, other = (
        event_file(logs, now),
        event_file(logs, now - 9),
        event_file(logs, now, process=os.getpid() + 1),
    )
    elsewhere = event_file(logs / "run", now, host="another.host")
    sizes = files.sizes()
    assert callback.flushed == 1
    assert sizes["events"] == {str(logs): {kept.name: 10}}
    for path in (kept, older, other, elsewhere):
        path.write_bytes(b"0123456789and more")
    new = event_file(logs / "train", now)
    files.end()
    later = event_file(logs, int(time.time()) + 5)
    # A line that a killed process wrote half.
    with open(tmp_path / "attempts", "a") as attempts:
        attempts.write("begin 17")
    EventFiles([callback], tmp_path / "attempts").cut(sizes)
    assert kept.read_bytes() == b"0123456789"
    assert not new.exists()
    assert {path.read_bytes() for path in (older, other, elsewhere)} == {b"0123456789and more"}
    assert later.exists()


def steps(logs, kind):
    return sorted(
        (value.tag, event.step)
        for path in logs.rglob("*tfevents*")
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
        if value.tag.startswith(kind)
    )


@pytest.mark.slow
def test_files_are_closed_after_an_error_and_go_on_in_the_same_process(tmp_path):
    def callbacks():
        return keras.callbacks.TensorBoard(tmp_path, update_freq=1), WeightSummary(tmp_path)

    first = callbacks()
    with pytest.raises(RuntimeError, match="power cut"):
        fit(*first, At(1, 3, crash), backup_dir=tmp_path / "backup", backup_every=3)
    assert first[1]._writer is None
    fit(*callbacks(), backup_dir=tmp_path / "backup", backup_every=3)
    assert steps(tmp_path, "batch_loss") == [("batch_loss", step) for step in range(1, 19)]
    assert steps(tmp_path, "keras") == [("keras", 0)]
    shown = steps(tmp_path, "weight_norms")
    assert sorted({step for _, step in shown}) == [0, 1, 2]
    assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("saves", [False, True])
def test_after_an_error_the_next_training_writes_nothing_into_the_old_files(tmp_path, saves):
    """With `update_freq` Keras' TensorBoard makes its writer TensorFlow's default; after an error it stayed that."""
    backup = tmp_path / "backup" if saves else None
    old = keras.callbacks.TensorBoard(tmp_path / "old", update_freq=1)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(old, At(1, 3, crash), backup_dir=backup)
    before = steps(tmp_path / "old", "batch_loss")
    assert len(before) > 3
    fit(keras.callbacks.TensorBoard(tmp_path / "new"))
    assert steps(tmp_path / "old", "batch_loss") == before
    assert steps(tmp_path / "new", "epoch_loss")
    assert not tf.summary.should_record_summaries()


def test_the_table_of_csv_logger_goes_on(tmp_path):
    def run(*callbacks, backup=None):
        table = keras.callbacks.CSVLogger(tmp_path / ("whole.csv" if backup is None else "table.csv"))
        fit(table, *callbacks, data=lambda: batches(2), validation_data=None, backup_dir=backup)

    run()
    with pytest.raises(RuntimeError, match="power cut"):
        run(At(2, 0, crash), backup=tmp_path / "backup")
    with open(tmp_path / "table.csv", "a") as table:
        table.write("2,what came after the backup")
    run(backup=tmp_path / "backup")
    assert (tmp_path / "table.csv").read_text() == (tmp_path / "whole.csv").read_text()


def test_of_attempts_before_the_first_backup_nothing_stays(tmp_path):
    logs = tmp_path / "logs"
    files = EventFiles([Logger(logs)], tmp_path / "attempts")
    files.begin()
    ours, other = event_file(logs, int(time.time())), event_file(logs, int(time.time()), process=os.getpid() + 1)
    files.cut(None)
    assert (ours.exists(), other.exists()) == (False, True)


def test_the_graph_stands_there_already_however_the_folder_is_spelt(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    board = keras.callbacks.TensorBoard("./logs/")
    files = EventFiles([board], tmp_path / "attempts")
    files.begin()
    event_file(tmp_path / "logs", int(time.time()))
    files.cut(files.sizes())
    assert board.write_graph is False
