"""What `many_workers` refuses before it starts anybody."""

import re

import pytest

from kerasdl.tutorials import many_workers


def test_a_single_epoch_is_refused_at_once(tmp_path):
    message = "`epochs` must be at least 2: the first, which compiles, is not timed. Received: 1."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        many_workers.main(quick=True, epochs=1, out=tmp_path)
