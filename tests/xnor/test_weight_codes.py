import re

import numpy as np
import pytest

from kerasdl.xnor.weight_codes import pack_codes, unpack_codes


def one_code(x0, x1, x2, x3):
    return int(pack_codes(np.array([x0, x1, x2, x3]).reshape(1, 1, 4, 1))[0, 0, 0, 0])


def test_a_code_names_the_row_of_a_table_and_its_sign():
    assert one_code(1, 1, 1, 1) == 0b0000
    assert one_code(-1, 1, 1, 1) == 0b0001
    assert one_code(1, -1, -1, 1) == 0b0110
    assert one_code(-1, -1, -1, -1) == 0b1000
    assert one_code(1, -1, -1, -1) == 0b1001


def test_codes_of_a_window_follow_one_another_and_sixteen_filters_stand_side_by_side():
    signs = np.ones((2, 3, 8, 17), int)
    signs[1, 0, 6, 16] = -1  # Of the seventh pair of codes the second: code 7 of word 0.
    signs[1, 1, 0, 2] = -1  # Code 8, so word 1.
    words = pack_codes(signs)
    assert words.shape == (1, 2, 2, 16)
    assert words.dtype == np.uint32
    assert {place: int(words[tuple(place)]) for place in map(tuple, np.argwhere(words).tolist())} == {
        (0, 1, 0, 0): 0b0100 << 28,
        (0, 0, 1, 2): 0b0001,
    }


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 3, 3, 17), (1, 2, 63, 15), (3, 1, 65, 40)])
@pytest.mark.parametrize("values", [[-1, 1], [-1, 0, 1]])
def test_weights_come_back(shape, values):
    signs = np.random.default_rng(0).choice(values, size=shape)
    signs.flat[0] = values[1]
    planes = pack_codes(signs)
    assert len(planes) == len(values) - 1
    np.testing.assert_array_equal(unpack_codes(planes, shape), signs)


def test_takes_one_bit_a_weight_and_two_with_zeros():
    signs = np.ones((3, 3, 64, 32), "float32")
    assert pack_codes(signs).nbytes * 32 == signs.nbytes
    signs[0, 0, 0, 0] = 0
    assert pack_codes(signs).nbytes * 16 == signs.nbytes


def test_other_weights_are_refused():
    message = (
        "`signs` must be weights in {-1, 0, +1} with the shape (height, width, channels, filters). "
        "Received: shape (2, 3), values [1.0]."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        pack_codes(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"Received: shape \(1, 1, 1, 2\), values \[-2, 1\]\.$"):
        pack_codes(np.array([1, -2]).reshape(1, 1, 1, 2))
