"""The table of positions is the published one."""

import re

import torch

from models.positions import plane_table
from tests.reference.fbil.numbers import tensor_files

NAME = re.compile(r"\w+\.d(\d+)\.h(\d+)\.w(\d+)")
TOLERANCE = 1e-6  # README of the numbers


def test_tables_of_positions_are_the_published_ones() -> None:
    for _, tensors in tensor_files(lambda tensors: all(map(NAME.fullmatch, tensors)), "tables of positions"):
        for name, expected in tensors.items():
            dim, rows, columns = map(int, NAME.fullmatch(name).groups())
            for grid in ((rows, columns), (rows + 2, columns + 3)):  # alone, and filled up
                table = plane_table(torch.tensor([[rows, columns]]), grid, dim)[0].unflatten(0, grid)
                found = table[:rows, :columns].permute(2, 0, 1)
                assert torch.allclose(found, expected, atol=TOLERANCE, rtol=0), name
