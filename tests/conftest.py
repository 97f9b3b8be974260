"""What holds for all tests: nothing is skipped on CI, and Ctrl-C works in what they start."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest

# A shell that starts the tests in the background has SIGINT ignored, here and in every program
# that is started from here; a handler undoes both.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """On CI (CI=true) a skipped test is a failure: it is believed by nobody."""
    report = yield
    if os.environ.get("CI") == "true" and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped on CI: {report.longrepr}"
    return report
