"""Which step of how many, how long so far, and a table of them at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

console = Console(highlight=False)


class Steps:
    """A fixed number of steps: shown moving on a terminal, as lines elsewhere."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done: list[tuple[str, float]] = []

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Run the body as the next step. An exception ends the step and goes on up."""
        number = f"[{len(self.done) + 1}/{self.total}]"
        started = time.monotonic()
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            if not console.is_terminal:
                console.print(f"{number} {title} ...", markup=False)
            task = bar.add_task(f"{number} {title}")
            yield Step(lambda text: bar.update(task, description=f"{number} {title}: {text}"))
        seconds = time.monotonic() - started
        self.done.append((title, seconds))
        console.print(f"{number} {title}: {seconds:.1f} s", markup=False)

    @contextmanager
    def plain(self, title: str) -> Iterator[None]:
        """As :meth:`step`, for a body that writes to the terminal itself."""
        number = f"[{len(self.done) + 1}/{self.total}]"
        console.print(f"{number} {title}", markup=False)
        started = time.monotonic()
        yield
        seconds = time.monotonic() - started
        self.done.append((title, seconds))
        console.print(f"{number} {title}: {seconds:.1f} s", markup=False)

    def table(self) -> None:
        """Print every step with its seconds."""
        table = Table(box=None, pad_edge=False)
        table.add_column("step")
        table.add_column("seconds", justify="right")
        for title, seconds in self.done:
            table.add_row(title, f"{seconds:.1f}")
        table.add_row("all", f"{sum(seconds for _, seconds in self.done):.1f}")
        console.print()
        console.print(table)


class Step:
    """What a running step can say about itself."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say  # show what is being done right now
