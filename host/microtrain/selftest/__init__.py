"""Whether a board and its firmware compute what they should: golden vectors, memory, speed."""

from microtrain.selftest.run import Check, Report, selftest

__all__ = ["Check", "Report", "selftest"]
