"""Weight decay: what float32 leaves of a step, at the edges that can be done by hand."""

from helpers.analysis.decay import decay_step


def test_a_step_of_decay_arrives_where_float32_can_hold_it() -> None:
    """Half the spacing of float32 is 2**-24 of 1 and half of that of 2: below both nothing changes."""
    assert decay_step(1e-5, 1e-4) == decay_step(1, 2**-26) == decay_step(1, 0) == 0
    assert 0.1 < decay_step(1, 2**-24.5) < 0.9
    assert decay_step(1, 2**-10) == 1
