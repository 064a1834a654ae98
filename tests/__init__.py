"""The tests. `README.md` says how to write one."""

import pytest

# Assertions of the helpers tell what they compared, as those of tests do.
pytest.register_assert_rewrite("tests.support")
