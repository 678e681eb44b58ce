"""What a gradient check found: a row for each tensor, and the verdict over all of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """What was found for one tensor: its worst entry."""

    name: str
    entries: int  # checked one by one
    error: float
    index: tuple[int, ...] = ()
    analytic: float = float("nan")
    numeric: float = float("nan")
    problem: str = ""  # a fault of form: a shape, a dtype, a missing name
    size: int = 0  # all entries of the tensor

    @property
    def sampled(self) -> bool:
        """Whether only some of the entries were checked one by one."""
        return self.entries < self.size


@dataclass(frozen=True)
class Report:
    """The result of a gradient check: one row for each tensor, and the verdict over all of them."""

    rows: list[Row]
    rtol: float
    problem: str = ""
    samples: int = 0  # entries drawn at random of each tensor that has more

    @property
    def worst_error(self) -> float:
        """The largest error found; infinite where a gradient is missing, misshapen or not a number."""
        return float("inf") if self.problem else max((row.error for row in self.rows), default=float("inf"))

    @property
    def entries(self) -> int:
        """How many entries were checked one by one."""
        return sum(row.entries for row in self.rows)

    @property
    def ok(self) -> bool:
        """Whether all that was checked agrees."""
        return self.worst_error <= self.rtol

    def missed(self, wrong: float) -> float:
        """How probable it is, at most, that a tensor's sample misses every wrong entry, if this part is wrong."""
        return (1 - wrong) ** self.samples if any(row.sampled for row in self.rows) else 0.0

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        if self.problem:
            return f"NOT CHECKED: {self.problem}"
        lines = [f"{'tensor':<24} {'entries':>7}  {'worst error':>11}  {'analytic':>12} {'numeric':>12}  at"]
        for row in self.rows:
            lines.append(
                f"{row.name:<24} {row.entries:>7}  {row.error:>11.1e}  {row.analytic:>12.5g} {row.numeric:>12.5g}  "
                + (row.problem or str(list(row.index)))
                + f" (of {row.size:,} entries)" * row.sampled
            )
        if any(row.sampled for row in self.rows):
            lines += [
                f"Of a large tensor: {self.samples:,} entries at random, the largest gradients, a random direction.",
                "If 1 % of its entries were wrong, the random ones would miss them all with a probability of "
                f"{self.missed(0.01):.2g}.",
            ]
        verdict = "gradients agree" if self.ok else "GRADIENTS DISAGREE"
        return "\n".join([*lines, f"{verdict}: worst error {self.worst_error:.1e}, allowed {self.rtol:.0e}"])

    __repr__ = __str__  # a notebook shows the table
