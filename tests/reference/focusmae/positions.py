"""Sinusoid tables and their interpolation equal those of VideoMAE V2."""

import re

import numpy as np
import pytest
import torch

from models.positions import interpolate_positions, sinusoid_table
from tests.reference.focusmae.numbers import array_files, some

SIZE = re.compile(r"^(table|rows_of)_(\d+)x(\d+)$")


def test_sinusoid_tables_equal_the_published_ones() -> None:
    found = [(arrays, SIZE.match(key), array) for _, arrays in array_files() for key, array in arrays.items()]
    for arrays, match, expected in some([case for case in found if case[1]], "sinusoid tables"):
        kind, length, dim = match.group(1), int(match.group(2)), int(match.group(3))
        table = sinusoid_table(length, dim)[0].numpy()
        rows = table if kind == "table" else table[arrays["row_index"]]
        np.testing.assert_allclose(rows, expected, atol=1e-6, rtol=0, err_msg=match.group())


@pytest.mark.parametrize("axis", ["spatial", "temporal"])
def test_interpolated_tables_equal_the_published_ones(axis: str) -> None:
    for arrays in some([arrays for _, arrays in array_files() if f"{axis}_result" in arrays], "interpolated tables"):
        source, target = (tuple(arrays[key].tolist()) for key in ("grid", f"{axis}_grid"))
        result = interpolate_positions(torch.from_numpy(arrays["source"]), source, target)
        np.testing.assert_allclose(result.numpy(), arrays[f"{axis}_result"], atol=1e-5, rtol=0)
