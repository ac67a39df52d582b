"""Backups as files: whole or not at all, trusted by checksum, the newest few kept."""

import errno
import hashlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from kerasdl.training import backup_files
from kerasdl.training.backup_files import BackupFolder, decode, encode, write_whole

TREE = {
    "numbers": [1, -2.5, float("inf"), 1e-320, 2**100, True, None, "ä"],
    "pair": ("a", [(), {}]),
    "arrays": [np.arange(6, dtype="int16").reshape(2, 3), np.float32(0.1), np.array(True), np.zeros((0, 4))],
    "bfloat16": np.array([1.5, -2], tf.bfloat16.as_numpy_dtype),
}

# The module alone: in another process, to load TensorFlow would take most of the time.
LOAD = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("backup_files", {backup_files.__file__!r})
backup_files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(backup_files)
BackupFolder = backup_files.BackupFolder
"""


def data_of(tree):
    return b"".join(bytes(chunk) for chunk in encode(tree))


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for item, twin in zip(one, other, strict=True):
            assert_same(item, twin)
    elif isinstance(one, np.ndarray | np.generic):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    else:
        assert one == other


def test_what_is_written_is_read():
    assert_same(decode(data_of(TREE)), TREE)
    assert np.isnan(decode(data_of([float("nan")]))[0])


def test_the_checksum_is_that_of_all_that_comes_before():
    data = data_of(TREE)
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]


def test_any_flipped_bit_and_any_missing_byte_is_noticed():
    data = data_of({"a": np.arange(4.0)})
    for place in range(len(data)):
        with pytest.raises(ValueError, match=r"checksum|begin"):
            decode(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ValueError, match=r"checksum|begin|holds only"):
            decode(data[:place])


@pytest.mark.parametrize("value", [{1, 2}, object(), {1: 2}, np.array([None]), {"x": [1, lambda: 0]}])
def test_what_cannot_be_kept_is_named(value):
    text = "^A state must consist of numbers, strings, NumPy arrays, lists, and dictionaries with strings as keys. "
    with pytest.raises(TypeError, match=text):
        data_of({"callback": value})
    with pytest.raises(TypeError, match=re.escape("Received: set in backup/a/1.")):
        data_of({"a": [0, {1}]})


def test_the_newest_three_are_kept(tmp_path):
    folder = BackupFolder(tmp_path / "new" / "folder")
    assert folder.newest() is None
    for number in range(5):
        folder.save({"number": number})
    assert sorted(path.name for path in folder.path.iterdir()) == ["backup-000003", "backup-000004", "backup-000005"]
    assert BackupFolder(folder.path).newest() == {"number": 4}
    folder.save({"number": -1}, "finished")
    assert (folder.newest(), folder.read("finished")) == ({"number": 4}, {"number": -1})


def test_a_damaged_newest_one_gives_way_to_the_one_before_and_says_so(tmp_path):
    folder = BackupFolder(tmp_path)
    for number in range(3):
        folder.save({"number": number})
    path = tmp_path / "backup-000003"
    path.write_bytes(path.read_bytes()[:-1])
    text = f"The backup {path} is damaged and not used: its checksum is not that of its content."
    with pytest.warns(UserWarning, match=f"^{re.escape(text)}$"):
        assert folder.newest() == {"number": 1}
    folder.save({"number": 3})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup-000001", "backup-000002", "backup-000004"]


def test_where_all_are_damaged_nothing_is_begun_anew_in_silence(tmp_path):
    folder = BackupFolder(tmp_path)
    folder.save({})
    (tmp_path / "backup-000001").write_bytes(b"")
    text = (
        f"One of the backups in {tmp_path} must be whole. None is: remove the folder to begin anew, or give another "
        "`backup_dir`."
    )
    with pytest.warns(UserWarning, match="it holds only 0 bytes"), pytest.raises(ValueError, match=re.escape(text)):
        folder.newest()


def test_what_a_killed_process_left_half_written_is_removed_and_never_read(tmp_path):
    BackupFolder(tmp_path).save({"number": 1})
    (tmp_path / ".backup-000002.partial").write_bytes(b"kerasdl")
    folder = BackupFolder(tmp_path)
    assert (tmp_path / ".backup-000002.partial").exists()  # Another process may be writing it, until the lock is ours.
    folder.lock()
    assert folder.newest() == {"number": 1}
    folder.unlock()
    assert sorted(path.name for path in tmp_path.glob("*backup*")) == ["backup-000001"]


def test_a_full_disk_is_told_and_the_last_good_backup_is_intact(tmp_path):
    # The largest size that a process may give to a file stands in for the disk's: the file grows until it is full.
    script = f"""{LOAD}
import resource, signal
import numpy as np
folder = BackupFolder({str(tmp_path)!r})
folder.save({{"number": 1}})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    folder.save({{"array": np.zeros(100_000)}})
except OSError as error:
    print(error)
print(sorted(path.name for path in folder.path.iterdir()), folder.newest())
"""
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown == (
        f"The backup cannot be written to {tmp_path / 'backup-000002'} (File too large). The last good one is "
        "backup-000001: make room, and start the same command again.\n['backup-000001'] {'number': 1}\n"
    )


def test_a_full_disk_before_the_first_backup(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = BackupFolder(tmp_path)
    monkeypatch.setattr("os.fsync", full)
    text = (
        f"The backup cannot be written to {tmp_path / 'backup-000001'} (No space left on device). There is none before"
    )
    with pytest.raises(OSError, match=re.escape(text)):
        folder.save({})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_refused_at_once(tmp_path, monkeypatch):
    in_the_place = tmp_path / "file"
    in_the_place.write_text("")
    text = f"`backup_dir` must be a folder one may write to. Received: backup_dir={in_the_place} (File exists)."
    with pytest.raises(OSError, match=f"^{re.escape(text)}$"):
        BackupFolder(in_the_place)

    # To the administrator, who may run the tests, every folder is open: so the system's answer is played.
    def read_only(self, data):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.write_bytes", read_only)
    with pytest.raises(OSError, match=r"Received: backup_dir=.* \(Read-only file system\)\.$"):
        BackupFolder(tmp_path).lock()
    # Whoever only reads needs no leave to write.
    assert BackupFolder(tmp_path, writes=False).newest() is None


def test_two_trainings_cannot_share_a_folder(tmp_path):
    script = f"""{LOAD}
try:
    BackupFolder({str(tmp_path)!r}).lock()
except ValueError as error:
    print(error)
"""
    folder = BackupFolder(tmp_path)
    folder.lock()
    writing = tmp_path / ".backup-000001.partial"
    writing.write_bytes(b"")
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert writing.exists()
    assert shown == (
        f"`backup_dir` must belong to one training at a time. Received: backup_dir={tmp_path}, into which another one "
        "writes.\n"
    )
    folder.unlock()
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout == b""


def test_a_file_is_the_old_one_until_it_is_the_new_one(tmp_path):
    path = tmp_path / "file"
    write_whole(path, iter([b"old"]))

    def pieces():
        yield b"new"
        assert path.read_bytes() == b"old"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, pieces())
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_the_newest_are_kept_also_where_a_number_gets_longer(tmp_path):
    folder = BackupFolder(tmp_path)
    folder.save(TREE, "backup-999998")
    for _ in range(4):
        folder.save(TREE)
    assert max(folder._numbered()) == 1_000_002
    assert folder.newest() is not None
    assert (tmp_path / "backup-1000002").exists()
    assert not (tmp_path / "backup-999998").exists()
