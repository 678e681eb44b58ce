"""Looking inside: functions that take arrays and return rows or matplotlib figures."""

from tinyvit.viz.overview import PARTS, overview
from tinyvit.viz.tree import TreeView

__all__ = ["PARTS", "TreeView", "overview"]
