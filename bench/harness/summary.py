"""From single runs to medians, ratios and a table. Pure."""

import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class Key:
    image: str
    link: str
    system: str

    def __str__(self):
        return f"{self.image} {self.link} {self.system}"


def medians(runs):
    """The median of each number over `runs`, dictionaries with the same keys."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def spread(runs, name):
    """(least, greatest) of one number."""
    values = [run[name] for run in runs]
    return min(values), max(values)


def ratio(value, reference):
    """None where there is nothing to compare with."""
    return None if value is None or not reference else value / reference


@dataclasses.dataclass(frozen=True)
class Column:
    title: str
    number: str
    scale: float
    decimals: int


COLUMNS = (
    Column("pull s", "pull_s", 1, 2),
    Column("first output s", "first_output_s", 1, 2),
    Column("again s", "again_first_s", 1, 2),
    Column("cold cache s", "cold_cache_first_s", 1, 2),
    Column("requests", "requests", 1, 0),
    Column("MB moved", "bytes", 1e-6, 1),
    Column("line s", "link_s", 1, 2),
    Column("CPU s", "cpu_s", 1, 2),
    Column("anon MB", "anonymous_bytes", 1e-6, 0),
    Column("disk MB", "disk_bytes", 1e-6, 0),
)
# What the ratios are of, and to which system.
RATIOS = (
    ("first/overlayfs", "first_output_s", "overlayfs"),
    ("again/overlayfs", "again_first_s", "overlayfs"),
    ("cold/overlayfs", "cold_cache_first_s", "overlayfs"),
    ("first/peer", "first_output_s", "stargz"),
)


def table(results):
    """Rows of text, the header first: one row for each Key of `results` (Key -> medians), grouped as they come."""
    rows = [["image", "link", "system"] + [column.title for column in COLUMNS] + [title for title, _, _ in RATIOS]]
    for key, numbers in results.items():
        row = [key.image, key.link, key.system]
        row += [f"{numbers[column.number] * column.scale:.{column.decimals}f}" for column in COLUMNS]
        for _, number, system in RATIOS:
            reference = results.get(dataclasses.replace(key, system=system))
            quotient = ratio(numbers[number], reference and reference[number])
            row.append("-" if quotient is None or key.system == system else f"{quotient:.2f}")
        rows.append(row)
    return rows


def as_text(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) if column < 3 else cell.rjust(width)
                               for column, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows)


def as_markdown(rows):
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---|---|---|" + "---:|" * (len(rows[0]) - 3))
    return "\n".join(lines)
