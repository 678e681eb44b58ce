"""Looking inside: functions that take arrays and return rows or matplotlib figures."""

from tinyvit.viz.overview import PARTS, overview

__all__ = ["PARTS", "overview"]
