"""docs/performance.md and its plot, from the same results as the table. Pure but for the two writers."""

import pathlib
from xml.sax.saxutils import escape

from harness import concurrent, images, summary, systems

BEGIN, END = "<!-- begin: written by bench/run.py -->", "<!-- end: written by bench/run.py -->"

WIDTH, LABEL_WIDTH, BAR_HEIGHT, ROW_HEIGHT, TITLE_HEIGHT, NUMBER_WIDTH = 860, 170, 16, 22, 34, 150
PULL_COLOUR, RUN_COLOUR = "#9db7d5", "#2f5d8c"


def plot(results):
    """An SVG of the time to first output: one group of bars for each image and link, each with a scale of its own."""
    groups = {}
    for key, numbers in results.items():
        groups.setdefault((key.image, key.link), []).append(
            (key.system, numbers["pull_s"], numbers["first_output_s"] - numbers["pull_s"]))
    parts, y = [], 0

    def text(x, y, words, extra=""):
        parts.append(f'<text x="{x:.0f}" y="{y:.0f}"{extra}>{escape(words)}</text>')

    def bar(x, y, width, colour):
        parts.append(f'<rect x="{x:.1f}" y="{y:.0f}" width="{width:.1f}" height="{BAR_HEIGHT}" fill="{colour}"/>')

    for (image, link), bars in groups.items():
        text(0, y + TITLE_HEIGHT - 10, f"{image}, {link}", ' font-weight="bold"')
        y += TITLE_HEIGHT
        scale = (WIDTH - LABEL_WIDTH - NUMBER_WIDTH) / max(pull + run for _, pull, run in bars)
        for system, pull, run in bars:
            text(LABEL_WIDTH - 8, y + BAR_HEIGHT - 4, system, ' text-anchor="end"')
            bar(LABEL_WIDTH, y, pull * scale, PULL_COLOUR)
            bar(LABEL_WIDTH + pull * scale, y, run * scale, RUN_COLOUR)
            text(LABEL_WIDTH + (pull + run) * scale + 6, y + BAR_HEIGHT - 4, f"{pull:.2f} + {run:.2f} s")
            y += ROW_HEIGHT
    y += 12
    bar(LABEL_WIDTH, y, 16, PULL_COLOUR)
    text(LABEL_WIDTH + 22, y + BAR_HEIGHT - 4, "pull")
    bar(LABEL_WIDTH + 80, y, 16, RUN_COLOUR)
    text(LABEL_WIDTH + 102, y + BAR_HEIGHT - 4, "start to first output")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + ROW_HEIGHT}" '
            'font-family="sans-serif" font-size="13">\n<rect width="100%" height="100%" fill="white"/>\n'
            + "\n".join(parts) + "\n</svg>\n")


# Options that say where things are, not what is measured; all have a value.
PLACES = ("--json", "--document", "--directory", "--starlingd", "--starling")


def shown(command):
    """The words of the command line that say what was measured."""
    words, at = [], 0
    while at < len(command):
        if command[at] in PLACES:
            at += 2
            continue
        if command[at].split("=")[0] not in PLACES:
            words.append(command[at])
        at += 1
    return " ".join(["bench/run.py", *words])


def generated(results, at_once, runs, facts, commands, failures, plot_name):
    """The part of the document that a run replaces. `results` and `at_once`: medians by summary.Key and by
    concurrent.Key."""
    counts = sorted({len(each) for each in runs.values()})
    times = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    many = "One run each" if counts == [1] else f"Medians of {times} runs"
    lines = [f"Measured {facts['date']}, commit `{facts['commit']}`, Linux {facts['kernel']}, {facts['cores']} cores of "
             f"{facts['cpu']}, {facts['memory_gib']} GiB, load before it {facts['load']}. {many}. Made by "
             + ", ".join(f"`{shown(command)}`" for command in commands) + ".", "",
             f"![Time to first output]({plot_name})", "", summary.as_markdown(summary.table(results)), ""]
    if at_once:
        lines += ["Containers of ten images at once, " + images.SERVICES[0].about + ":", "",
                  summary.as_markdown(concurrent.table(at_once)), ""]
    spreads = [f"{key.image} {key.link} {key.system} {low:.2f}-{high:.2f}" for key in results if len(runs[key]) > 1
               for low, high in [summary.spread(runs[key], "first_output_s")]]
    if spreads:
        lines += ["Spread of the time to first output, least and greatest of the runs in seconds: "
                  + "; ".join(spreads) + ".", ""]
    for title, known, names in (("Images", images.IMAGES, [key.image for key in results]),
                                ("Links", systems.LINKS, [key.link for key in [*results, *at_once]]),
                                ("Systems", systems.SYSTEMS, [key.system for key in [*results, *at_once]])):
        lines.append(f"{title}: " + "; ".join(f"`{name}`: {known[name].about}" for name in dict.fromkeys(names)) + ".  ")
    lines += [""] + [f"Not measured: {failure.splitlines()[0]}" for failure in failures] if failures else []
    return "\n".join(lines)


def replace_generated(document, part):
    """`document` with what stands between the markers replaced. ValueError when they are not there, once each."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise ValueError(f"the document needs the lines {BEGIN} and {END}, once each")
    return f"{before}{BEGIN}\n{part}\n{END}{after}"


def write(document, part, svg):
    """Replaces the generated part of the file `document` and the plot next to it."""
    document = pathlib.Path(document)
    document.write_text(replace_generated(document.read_text(), part))
    document.with_suffix(".svg").write_text(svg)
