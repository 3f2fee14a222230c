"""Calls that do not depend on one another, by processes of this machine."""

from __future__ import annotations

import os

import pytest

from tollad.calls import processes


def test_what_a_call_raises_is_raised_here_and_a_process_that_is_killed_is_told():
    with processes(2) as each:
        assert sorted(each(pow, ((2, number) for number in range(9)))) == [(n, 2**n) for n in range(9)]
        with pytest.raises(ZeroDivisionError):
            dict(each(divmod, [(1, 1), (1, 0)]))
        with pytest.raises(OSError, match="a process was killed"):
            dict(each(os._exit, [(9,)]))
