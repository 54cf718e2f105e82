#!/usr/bin/env python3
"""The pure parts of bench/harness: counting, medians, ratios, tables, configuration."""

import io
import os
import pathlib
import subprocess
import sys
import tempfile
import tomllib
import types
import unittest
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bench"))

from harness import concurrent, images, processes, report, scenario, servers, summary, systems, terminal  # noqa: E402


def numbers(**changes):
    return {**{column.number: 1.0 for column in summary.COLUMNS}, **changes}


class Summary(unittest.TestCase):
    def test_medians_are_of_each_number_alone(self):
        runs = [{"a": 1, "b": 30}, {"a": 3, "b": 10}, {"a": 2, "b": 20}]
        self.assertEqual(summary.medians(runs), {"a": 2, "b": 20})
        self.assertEqual(summary.medians(runs[:2]), {"a": 2, "b": 20})
        self.assertEqual(summary.spread(runs, "b"), (10, 30))

    def test_ratio_needs_both_sides(self):
        cases = [(3.0, 2.0, 1.5), (None, 2.0, None), (3.0, None, None), (3.0, 0, None)]
        for value, reference, want in cases:
            with self.subTest(value=value, reference=reference):
                self.assertEqual(summary.ratio(value, reference), want)

    def test_table_compares_within_one_image_and_link(self):
        results = {
            summary.Key("ml", "wan", "overlayfs"): numbers(first_output_s=20.0, bytes=651e6),
            summary.Key("ml", "wan", "stargz"): numbers(first_output_s=10.0),
            summary.Key("ml", "wan", "starling"): numbers(first_output_s=4.0),
            summary.Key("ml", "loopback", "starling"): numbers(first_output_s=1.0),
        }
        rows = summary.table(results)
        header = rows[0]
        self.assertTrue(all(len(row) == len(header) for row in rows))
        self.assertEqual(rows[1][header.index("MB moved")], "651.0")
        overlayfs, peer = header.index("first/overlayfs"), header.index("first/peer")
        self.assertEqual([row[overlayfs] for row in rows[1:]], ["-", "0.50", "0.20", "-"])
        self.assertEqual([row[peer] for row in rows[1:]], ["2.00", "-", "0.40", "-"])

    def test_a_table_is_readable_as_text_and_as_markdown(self):
        rows = [["image", "link", "system", "s"], ["ml", "wan", "starling", "1.00"]]
        self.assertEqual(summary.as_text(rows), "image  link  system       s\nml     wan   starling  1.00")
        self.assertEqual(summary.as_markdown(rows),
                         "| image | link | system | s |\n|---|---|---|---:|\n| ml | wan | starling | 1.00 |")


class Concurrent(unittest.TestCase):
    def test_quantiles_are_values_that_were_measured(self):
        hundred = list(range(1, 101))
        cases = [([5], 0.99, 5), (hundred, 0.5, 50), (hundred, 0.99, 99), (hundred[::-1], 1.0, 100), ([1, 2], 0.5, 1),
                 ([1, 2, 3], 0.99, 3)]
        for values, share, want in cases:
            with self.subTest(count=len(values), share=share):
                self.assertEqual(concurrent.quantile(values, share), want)

    def test_reads_are_counted_over_all_jobs_and_no_job_is_forgotten(self):
        answers = [{"seconds": 2.0, "milliseconds": [1.0] * 99}, {"seconds": 2.0, "milliseconds": [2.0] * 100},
                   {"seconds": 6.0, "milliseconds": [900.0]}]
        self.assertEqual(concurrent.of_jobs(answers), {"reads": 200, "p50_ms": 2.0, "p99_ms": 2.0, "max_ms": 900.0,
                                                       "slowest_to_median": 3.0})

    def test_the_ratio_is_to_one_container_of_the_same_system_and_link(self):
        def row(p99):
            return {**{column.number: 1.0 for column in concurrent.COLUMNS}, "p99_ms": p99}

        results = {concurrent.Key("wan", "starling", 1): row(40.0), concurrent.Key("wan", "starling", 10): row(60.0),
                   concurrent.Key("wan", "stargz", 10): row(500.0)}
        rows = concurrent.table(results)
        self.assertTrue(all(len(each) == len(rows[0]) for each in rows))
        self.assertEqual([each[-1] for each in rows[1:]], ["-", "1.50", "-"])
        self.assertEqual([each[2] for each in rows[1:]], ["1", "10", "10"])

    def test_rows_come_in_the_order_of_the_systems_and_of_the_containers(self):
        keys = [concurrent.Key("wan", "starling", 10), summary.Key("ml", "wan", "starling"),
                concurrent.Key("wan", "starling", 1), concurrent.Key("wan", "overlayfs", 50)]
        self.assertEqual([(key.system, key.containers) for key in concurrent.ordered(keys)],
                         [("overlayfs", 50), ("starling", 1), ("starling", 10)])

    def test_the_page_has_its_table_only_where_it_was_measured(self):
        facts = {"date": "", "commit": "", "kernel": "", "cores": 2, "cpu": "", "memory_gib": 4, "load": ""}
        key = concurrent.Key("wan", "stargz", 10)
        at_once = {key: {column.number: 1.0 for column in concurrent.COLUMNS}}
        part = report.generated(Report.RESULTS, at_once, {key: [1] for key in [*Report.RESULTS, *at_once]}, facts, [], [], "p.svg")
        self.assertIn("| wan | stargz | 10 |", part)
        self.assertIn("`stargz`: ", part)
        without = report.generated(Report.RESULTS, {}, {key: [1] for key in Report.RESULTS}, facts, [], [], "p.svg")
        self.assertNotIn("at once", without)

    def test_services_have_names_and_content_of_their_own(self):
        self.assertEqual(len({image.name for image in images.SERVICES}), 10)
        self.assertEqual(len({image.arguments for image in images.SERVICES}), 10)


class Processes(unittest.TestCase):
    def test_a_daemon_counts_with_its_children_that_run_the_same_program(self):
        code = ("import subprocess, sys\n"
                "same = subprocess.Popen([sys.executable, '-c', 'import sys; print(1, flush=True); sys.stdin.read()'],"
                " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
                "other = subprocess.Popen(['cat'], stdin=subprocess.PIPE)\n"
                "same.stdout.readline()\n"
                "print(same.pid, flush=True)\n"
                "sys.stdin.read()\n")
        with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as daemon:
            child = int(daemon.stdout.readline())
            self.assertEqual(processes.of_one_program(daemon.pid), [daemon.pid, child])
            self.assertGreater(processes.anonymous_bytes(daemon.pid), processes.anonymous_bytes(child))
            daemon.stdin.close()


class Laziness(unittest.TestCase):
    """What a pull that claims to be lazy must show."""

    LAYERS = images.Layers({"sha256:aa": 60, "sha256:bb": 40})

    def test_a_pull_is_lazy_unless_it_had_all_of_its_layers(self):
        cases = [
            ("nothing but indexes moved", set(), 5, None),
            ("background work used the pull's waits", set(), 90, None),
            ("all came first", set(), 100, "all of the 100 bytes"),
            ("containerd unpacked one", {"sha256:bb"}, 50, "containerd fetched 1 of 2 layers"),
        ]
        for name, fetched, pulled, want in cases:
            with self.subTest(name):
                why = scenario.why_not_lazy(self.LAYERS, fetched.__contains__, pulled)
                self.assertTrue(why is None if want is None else why.startswith(want), why)

    def test_containerd_is_asked_by_digest(self):
        with tempfile.TemporaryDirectory() as directory:
            containerd = servers.Containerd(directory, "/bin")
            blob = containerd.root / "io.containerd.content.v1.content/blobs/sha256/aa"
            blob.parent.mkdir(parents=True)
            blob.touch()
            self.assertEqual([containerd.has_blob(digest) for digest in self.LAYERS.sizes], [True, False])


class Report(unittest.TestCase):
    RESULTS = {
        summary.Key("ml", "wan", "overlayfs"): numbers(pull_s=22.0, first_output_s=24.0),
        summary.Key("ml", "wan", "starling"): numbers(pull_s=0.5, first_output_s=4.0),
    }

    def test_plot_shows_every_measurement_to_scale(self):
        svg = xml.etree.ElementTree.fromstring(report.plot(self.RESULTS))
        texts = [node.text for node in svg.iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn("22.00 + 2.00 s", texts)
        self.assertIn("0.50 + 3.50 s", texts)
        widths = [float(node.get("width")) for node in svg.iter("{http://www.w3.org/2000/svg}rect")
                  if node.get("width") != "100%"]
        # Pull and start of overlayfs, then of Starling, then the legend's two squares.
        self.assertEqual(len(widths), 6)
        self.assertAlmostEqual(sum(widths[2:4]) / sum(widths[0:2]), 4.0 / 24.0, places=2)
        self.assertLessEqual(report.LABEL_WIDTH + sum(widths[0:2]) + report.NUMBER_WIDTH, report.WIDTH)

    def test_plot_survives_names_with_markup(self):
        svg = report.plot({summary.Key("a<b", "&", "s"): numbers(first_output_s=3.0)})
        texts = [node.text for node in xml.etree.ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn("a<b, &", texts)

    def test_only_what_stands_between_the_markers_is_replaced(self):
        page = f"head\n{report.BEGIN}\nold\n{report.END}\ntail\n"
        self.assertEqual(report.replace_generated(page, "new"), f"head\n{report.BEGIN}\nnew\n{report.END}\ntail\n")
        for name, broken in (("no markers", "head"), ("no end", report.BEGIN), ("twice", page + page)):
            with self.subTest(name), self.assertRaises(ValueError):
                report.replace_generated(broken, "new")

    def test_generated_part_names_what_the_numbers_hold_for(self):
        facts = {"date": "2026-01-02", "commit": "abc", "kernel": "6.1", "cores": 2, "cpu": "X", "memory_gib": 4, "load": "0.1"}
        runs = {key: [value, value] for key, value in self.RESULTS.items()}
        part = report.generated(self.RESULTS, {}, runs, facts, [["--only", "ml"], ["--add"]], ["erofs: missing\nlog"], "p.svg")
        for wanted in ("`abc`", "Linux 6.1", "2 cores of X", "Medians of 2 runs", "`bench/run.py --only ml`, `bench/run.py --add`", "(p.svg)",
                       "| ml | wan | starling |", "ml wan starling 4.00-4.00", "`starling`: Starling", "Not measured: erofs: missing"):
            self.assertIn(wanted, part)
        self.assertNotIn("log", part.split("Not measured")[1])

    def test_a_single_run_has_no_median_and_no_spread(self):
        facts = {"date": "", "commit": "", "kernel": "", "cores": 2, "cpu": "", "memory_gib": 4, "load": ""}
        part = report.generated(self.RESULTS, {}, {key: [value] for key, value in self.RESULTS.items()}, facts, [], [], "p.svg")
        self.assertIn("One run each", part)
        self.assertNotIn("Spread", part)

    def test_the_command_is_shown_without_places(self):
        cases = [
            (["--only", "ml", "--json", "/a", "--runs", "1"], "bench/run.py --only ml --runs 1"),
            (["--json=/a", "--add", "--starling", "/b"], "bench/run.py --add"),
            ([], "bench/run.py"),
        ]
        for command, want in cases:
            with self.subTest(command=command):
                self.assertEqual(report.shown(command), want)

    def test_the_page_has_the_markers(self):
        report.replace_generated((ROOT / "docs/performance.md").read_text(), "")


class Traffic(unittest.TestCase):
    """What was asked and moved since the start of a measurement."""

    def setUp(self):
        self.registry = types.SimpleNamespace(mark=lambda: 7, cost_since=lambda mark: (mark, 1000))

    def test_without_a_proxy_the_registry_counts(self):
        self.assertEqual(scenario.Traffic(self.registry, None).so_far(), (7, 1000))

    def test_the_line_counts_bytes_where_there_is_one(self):
        proxy = types.SimpleNamespace(stats=lambda: {"bytes_down": 600})
        self.assertEqual(scenario.Traffic(self.registry, proxy).so_far(), (7, 600))


class Registry(unittest.TestCase):
    def test_counts_answers_and_nothing_else(self):
        log = io.BytesIO(
            b'{"msg":"listening on 127.0.0.1:1"}\n'
            b'{"msg":"response completed","http.response.written":100}\n'
            b'{"msg":"response completed with error","http.response.written":20}\n'
            b'{"msg":"response completed"}\n'
            b'not json\n'
            b'{"msg":"response compl')
        self.assertEqual(servers.count_answers(log), (3, 120))


class Containerd(unittest.TestCase):
    def configuration(self, snapshotter=None, **options):
        server = servers.Containerd("/d", "/bin", snapshotter, **options)
        return tomllib.loads(server.configuration())

    def test_configuration_is_toml_that_names_the_proxy_plugin(self):
        daemon = types.SimpleNamespace(address="/d/s.sock", root="/d/snapshots")
        parsed = self.configuration(daemon, transfer=dict(systems.PARALLEL), unpack=[("overlayfs", ""), ("stargz", "")])
        plugin = parsed["proxy_plugins"]["stargz"]
        self.assertEqual(plugin["address"], "/d/s.sock")
        self.assertEqual(plugin["exports"]["enable_remote_snapshot_annotations"], "true")
        transfer = parsed["plugins"]["io.containerd.transfer.v1.local"]
        self.assertEqual(transfer["max_concurrent_unpacks"], 4)
        self.assertEqual([entry["snapshotter"] for entry in transfer["unpack_config"]], ["overlayfs", "stargz"])

    def test_every_system_gets_a_configuration_that_parses(self):
        for system in systems.SYSTEMS.values():
            with self.subTest(system.name):
                parsed = self.configuration(unpack=[(system.snapshotter, system.differ)], plugins=system.plugins)
                self.assertEqual("io.containerd.snapshotter.v1.erofs" in parsed["disabled_plugins"],
                                 system.snapshotter != "erofs")


class Systems(unittest.TestCase):
    def test_what_ratios_are_made_to_is_always_measured(self):
        for _, _, reference in summary.RATIOS:
            self.assertIn(reference, systems.MAIN_SYSTEMS)
        for name in systems.MAIN_SYSTEMS:
            self.assertIn(name, systems.SYSTEMS)

    def test_a_line_needs_time_for_its_bytes(self):
        self.assertEqual(systems.LINKS["wan"].seconds(50_000_000), 1.0)
        self.assertEqual(systems.LINKS["loopback"].seconds(50_000_000), 0)

    def test_only_a_link_with_a_limit_is_shaped(self):
        self.assertEqual({link.name: link.shaped for link in systems.LINKS.values()}, {"loopback": False, "wan": True})


class Terminal(unittest.TestCase):
    def test_a_screen_keeps_what_stays(self):
        cases = [
            ("plain lines", ["a\n", "b"], [["a", 0, ""], ["b", 1, ""]]),
            ("a line that is drawn again", ["1 of 2", "\r2 of 2"], [["2 of 2", 1, ""]]),
            ("the same once more", ["same", "\rsame"], [["same", 0, ""]]),
            ("two lines that are drawn again", ["a\nb\n", "\x1b[2A\r\x1b[Kc\r\n\r\x1b[Kb\r\n"], [["c", 1, ""], ["b", 1, ""]]),
            ("a control sequence in parts", ["a\n\x1b", "[", "1", "Ab\n"], [["b", 3, ""]]),
            ("lines that are taken away", ["a\nb\n", "\x1b[2A\x1b[Jc\n"], [["c", 1, ""]]),
            ("colours are left out", ["\x1b[1mbold\x1b[0m"], [["bold", 0, ""]]),
        ]
        for name, parts, want in cases:
            with self.subTest(name):
                screen = terminal.Screen()
                for seconds, part in enumerate(parts):
                    screen.write(part, seconds)
                self.assertEqual([line for line in screen.lines if line[0]], want)

    def test_runs_a_program_on_a_terminal(self):
        shown, code = terminal.run(["sh", "-c", "[ -t 1 ] && echo yes; exit 3"], dict(os.environ))
        self.assertEqual(("".join(text for _, text in shown), code), ("yes\r\n", 3))

    def test_a_picture_shows_each_line_at_its_time(self):
        svg = terminal.picture([["$ a <b", 0, "typed"], ["", 1, ""], ["done", 2.5, ""]], "what & why")
        root = xml.etree.ElementTree.fromstring(svg)
        space = "{http://www.w3.org/2000/svg}"
        self.assertEqual([(group.get("style"), group.find(f"{space}text").text) for group in root.iter(f"{space}g")],
                         [("animation-delay: 0.00s", "$ a <b"), ("animation-delay: 2.50s", "done")])
        self.assertEqual(root.find(f"{space}title").text, "what & why")


if __name__ == "__main__":
    unittest.main()
