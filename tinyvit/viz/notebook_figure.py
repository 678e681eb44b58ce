"""A matplotlib figure that a notebook shows, whichever backend it has."""

import io

from matplotlib.figure import Figure

SCREEN = 100  # a notebook's pixels per inch; the picture has more, for screens that can show them


class NotebookFigure(Figure):
    """A figure that is shown when a cell returns it, at its size in inches, with nothing cut off or added.

    Once a notebook has made pyplot's inline backend active, IPython's own printer for figures takes precedence.
    """

    def _repr_png_(self):
        file = io.BytesIO()
        self.savefig(file, format="png")
        width, height = self.get_size_inches() * SCREEN
        return file.getvalue(), {"width": round(width), "height": round(height)}
