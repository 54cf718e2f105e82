#!/usr/bin/env python3
"""The pure parts of bench/harness: counting, medians, ratios, tables, configuration."""

import io
import pathlib
import sys
import tomllib
import types
import unittest
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bench"))

from harness import report, scenario, servers, summary, systems  # noqa: E402


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
        part = report.generated(self.RESULTS, runs, facts, [["--only", "ml"], ["--add"]], ["erofs: missing\nlog"], "p.svg")
        for wanted in ("`abc`", "Linux 6.1", "2 cores of X", "Medians of 2 runs", "`bench/run.py --only ml`, `bench/run.py --add`", "(p.svg)",
                       "| ml | wan | starling |", "ml wan starling 4.00-4.00", "`starling`: Starling", "Not measured: erofs: missing"):
            self.assertIn(wanted, part)
        self.assertNotIn("log", part.split("Not measured")[1])

    def test_a_single_run_has_no_median_and_no_spread(self):
        facts = {"date": "", "commit": "", "kernel": "", "cores": 2, "cpu": "", "memory_gib": 4, "load": ""}
        part = report.generated(self.RESULTS, {key: [value] for key, value in self.RESULTS.items()}, facts, [], [], "p.svg")
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


if __name__ == "__main__":
    unittest.main()
