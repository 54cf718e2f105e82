"""Many containers at once: do reads that wait still get their bytes in time, and does every container get its share?

One node pulls all images and its snapshotter begins to fetch the rest of them in the background; containers start, wait
for each other, and then run their jobs at the same moment. A job says how long each of its first reads took."""

import contextlib
import dataclasses
import json
import math
import re
import select
import subprocess
import tempfile
import time

from harness import processes, scenario, summary, systems

READY_SECONDS = 120
JOBS_SECONDS = 300
BACKGROUND_SECONDS = 20
# Of the images' bytes: enough that background work is at full speed, and little enough that the jobs meet most of it.
BEFORE_START = 0.05


@dataclasses.dataclass(frozen=True)
class Key:
    link: str
    system: str
    containers: int

    def __str__(self):
        return f"services {self.link} {self.system} {self.containers}"


COLUMNS = (
    summary.Column("pull s", "pull_s", 1, 2),
    summary.Column("start s", "start_s", 1, 2),
    summary.Column("jobs s", "jobs_s", 1, 2),
    summary.Column("slowest/median job", "slowest_to_median", 1, 2),
    summary.Column("read p50 ms", "p50_ms", 1, 2),
    summary.Column("p99 ms", "p99_ms", 1, 1),
    summary.Column("max ms", "max_ms", 1, 1),
    summary.Column("MB before", "bytes_before", 1e-6, 0),
    summary.Column("MB after", "bytes", 1e-6, 0),
    summary.Column("anon MB", "anonymous_bytes", 1e-6, 0),
)


def ordered(keys):
    """Those of `keys` that are of this kind, as the table has them."""
    def place(key):
        return list(systems.LINKS).index(key.link), list(systems.SYSTEMS).index(key.system), key.containers

    return sorted((key for key in keys if isinstance(key, Key)), key=place)


def quantile(values, share):
    """The least of `values` that at least `share` of them do not exceed."""
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def of_jobs(answers):
    """Numbers over what all jobs said."""
    reads = [read for answer in answers for read in answer["milliseconds"]]
    seconds = [answer["seconds"] for answer in answers]
    return {"reads": len(reads), "p50_ms": quantile(reads, 0.5), "p99_ms": quantile(reads, 0.99), "max_ms": max(reads),
            "slowest_to_median": max(seconds) / quantile(seconds, 0.5)}


def table(results):
    """Rows of text, the header first, for `results` (Key -> medians)."""
    rows = [["link", "system", "containers"] + [column.title for column in COLUMNS] + ["p99/one"]]
    for key, numbers in results.items():
        one = results.get(dataclasses.replace(key, containers=1))
        quotient = summary.ratio(numbers["p99_ms"], one and one["p99_ms"])
        rows.append([key.link, key.system, str(key.containers)]
                    + [f"{numbers[column.number] * column.scale:.{column.decimals}f}" for column in COLUMNS]
                    + ["-" if quotient is None or key.containers == 1 else f"{quotient:.2f}"])
    return rows


class Job:
    """A container whose job says `ready`, waits for the file `go` and then says what it saw. A context manager."""

    def __init__(self, node, reference, name, start_directory):
        self.name = name
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            node.containerd.ctr("run", "--rm", "--snapshotter", node.system.snapshotter, "--mount",
                                f"type=bind,src={start_directory},dst=/start,options=rbind:ro", reference, name),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Its container goes with containerd's shims; politely asked, the first process of one does nothing.
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def wait_ready(self, end):
        readable, _, _ = select.select([self.process.stdout], [], [], max(end - time.monotonic(), 0))
        # Unbuffered by us: what follows the line is still in the pipe, and nothing follows before `go`.
        if not readable or b"ready" not in self.process.stdout.raw.read(64):
            self._fail("did not start")

    def answer(self, end, expected):
        try:
            output, _ = self.process.communicate(timeout=max(end - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            self._fail("did not end")
        text = output.decode(errors="replace")
        if self.process.returncode != 0 or not re.search(expected, text):
            self._fail(f"failed with code {self.process.returncode}: {text[-200:]!r}")
        return json.loads(text)

    def _fail(self, what):
        self.errors.seek(0)
        raise processes.BenchError(f"{self.name} {what}: {self.errors.read().decode(errors='replace')[-300:]!r}")


def measure(images, link, system, layers, containers, programs, store, work):
    """A dictionary of numbers. `layers`: of each image. Container number n runs image number n modulo their count."""
    image_bytes = sum(size for size in {digest: size for each in layers for digest, size in each.sizes.items()}.values())
    with scenario.fresh_node(images, link, system, programs, store, work) as (node, traffic, host):
        references = [store.reference(image, system.form, host) for image in images]
        begin = time.monotonic()
        for reference in references:
            node.pull(reference)
        pull = time.monotonic() - begin
        memory = [node.anonymous_bytes()]
        if system.lazy:
            processes.wait_until("background work", BACKGROUND_SECONDS,
                                 lambda: traffic.so_far()[1] > BEFORE_START * image_bytes)
        start_directory = node.directory / "start"
        start_directory.mkdir()
        with contextlib.ExitStack() as stack:
            begin = time.monotonic()
            jobs = [stack.enter_context(Job(node, references[number % len(images)], f"job-{number}", start_directory))
                    for number in range(containers)]
            for job in jobs:
                job.wait_ready(begin + READY_SECONDS)
            start = time.monotonic() - begin
            _, bytes_before = traffic.so_far()
            begin = time.monotonic()
            (start_directory / "go").touch()
            answers = [job.answer(begin + JOBS_SECONDS, images[number % len(images)].expected)
                       for number, job in enumerate(jobs)]
            seconds = time.monotonic() - begin
        requests, moved = traffic.so_far()
        memory.append(node.anonymous_bytes())
        return {"pull_s": pull, "start_s": start, "jobs_s": seconds, **of_jobs(answers), "bytes_before": bytes_before,
                "bytes": moved, "requests": requests, "anonymous_bytes": max(memory), "image_bytes": image_bytes}
