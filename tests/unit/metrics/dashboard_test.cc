// packaging/grafana/starling.json asks for nothing but what the page has.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>

#include "metrics/page.h"

namespace starling::metrics {
namespace {

using Json = nlohmann::json;
using Labels = std::set<std::string>;

/// What every series gets by being scraped.
const Labels kOfScraping = {"instance", "job"};

std::vector<std::smatch> Matches(const std::string& text, const std::regex& pattern) {
  return {std::sregex_iterator(text.begin(), text.end(), pattern), {}};
}

/// The series of the page by name, each with its labels and their values.
std::map<std::string, std::map<std::string, Labels>> SeriesOfPage() {
  const layer::FetchCounters fetches;
  const mount::MountCounters mounts;
  const registry::TransferCounters transfers;
  const std::string page = WritePage({.fetches = fetches,
                                      .mounts = mounts,
                                      .transfers = transfers,
                                      .host = {},
                                      .version = "1",
                                      .data_plane = "tree"});
  static const std::regex kSample(R"(([a-z_]+)(\{(.*)\})? .*)");
  static const std::regex kLabel(R"(([a-z_]+)="([^"]*)\")");
  std::map<std::string, std::map<std::string, Labels>> series;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    std::smatch sample;
    if (!line.starts_with('#') && std::regex_match(line, sample, kSample)) {
      std::map<std::string, Labels>& labels = series[sample[1]];
      const std::string text = sample[3];
      for (const std::smatch& label : Matches(text, kLabel)) {
        labels[label[1]].insert(label[2]);
      }
    }
  }
  return series;
}

class DashboardTest : public testing::Test {
 protected:
  void SetUp() override {
    std::ifstream file(STARLING_SOURCE_DIR "/packaging/grafana/starling.json");
    dashboard_ = Json::parse(file, nullptr, /*allow_exceptions=*/false);
    ASSERT_TRUE(dashboard_.is_object());
  }
  /// Of all panels, with the names of these.
  std::map<std::string, std::vector<std::string>> Queries() const {
    std::map<std::string, std::vector<std::string>> queries;
    for (const Json& panel : dashboard_["panels"]) {
      for (const Json& target : panel.value("targets", Json::array())) {
        queries[panel["title"]].push_back(target["expr"]);
      }
    }
    return queries;
  }

  Json dashboard_;
};

TEST_F(DashboardTest, AsksForSeriesAndLabelsThatThereAre) {
  const auto series = SeriesOfPage();
  static const std::regex kSelector(R"((starling_[a-z_]+)\{([^}]*)\})");
  static const std::regex kName("starling_[a-z_]+");
  static const std::regex kMatcher(R"re(([a-z_]+)(=~|=|!=|!~)"([^"]*)")re");
  static const std::regex kGrouping(R"(by \(([a-z_, ]+)\))");
  static const std::regex kWord("[a-z_]+");
  size_t selectors = 0;
  for (const auto& [title, queries] : Queries()) {
    for (const std::string& query : queries) {
      SCOPED_TRACE(title + ": " + query);
      Labels known = kOfScraping;
      const std::vector<std::smatch> selected = Matches(query, kSelector);
      selectors += selected.size();
      EXPECT_EQ(selected.size(), Matches(query, kName).size()) << "a series without a selector";
      for (const std::smatch& selector : selected) {
        const auto found = series.find(selector[1]);
        ASSERT_NE(found, series.end()) << selector[1];
        for (const auto& [label, values] : found->second) {
          known.insert(label);
        }
        const std::string text = selector[2];
        for (const std::smatch& matcher : Matches(text, kMatcher)) {
          EXPECT_TRUE(known.contains(matcher[1])) << matcher[1];
          if (matcher[2] == "=") {
            EXPECT_TRUE(found->second.at(matcher[1]).contains(matcher[3])) << matcher[3];
          }
        }
        EXPECT_NE(text.find("instance=~\"$instance\""), std::string::npos);
      }
      for (const std::smatch& grouping : Matches(query, kGrouping)) {
        const std::string text = grouping[1];
        for (const std::smatch& label : Matches(text, kWord)) {
          EXPECT_TRUE(known.contains(label[0])) << label[0];
        }
      }
      EXPECT_EQ(std::ranges::count(query, '('), std::ranges::count(query, ')'));
      EXPECT_EQ(query.find("histogram_quantile") != std::string::npos,
                query.find("_bucket{") != std::string::npos);
    }
  }
  EXPECT_GT(selectors, 25U);
}

/// Counters are looked at by their rate, gauges are not.
TEST_F(DashboardTest, LooksAtCountersByTheirRate) {
  static const std::regex kCounter(
      R"((rate|increase)?\(?(starling_[a-z_]+_(total|count|bucket))\{)");
  for (const auto& [title, queries] : Queries()) {
    for (const std::string& query : queries) {
      for (const std::smatch& counter : Matches(query, kCounter)) {
        EXPECT_TRUE(counter[1].matched) << title << ": " << counter[2];
      }
    }
  }
}

TEST_F(DashboardTest, ShowsEveryFamilyOfThePage) {
  std::string all;
  for (const auto& [title, queries] : Queries()) {
    for (const std::string& query : queries) {
      all += query + "\n";
    }
  }
  all += dashboard_["templating"].dump();
  // What says the same as another, in other words.
  const Labels not_shown = {"starling_fetch_bytes_in_flight",
                            "starling_registry_received_bytes_total"};
  static const std::regex kPart("_(bucket|count|sum)$");
  for (const auto& [name, labels] : SeriesOfPage()) {
    const std::string family = std::regex_replace(name, kPart, "");
    EXPECT_TRUE(all.find(family) != std::string::npos || not_shown.contains(family)) << family;
  }
}

TEST_F(DashboardTest, HasPanelsThatDoNotOverlap) {
  std::set<int> ids;
  std::set<std::pair<int, int>> cells;
  for (const Json& panel : dashboard_["panels"]) {
    EXPECT_TRUE(ids.insert(panel["id"].get<int>()).second) << panel["id"];
    const Json& place = panel["gridPos"];
    EXPECT_LE(place["x"].get<int>() + place["w"].get<int>(), 24);
    for (int x = place["x"]; x < place["x"].get<int>() + place["w"].get<int>(); ++x) {
      for (int y = place["y"]; y < place["y"].get<int>() + place["h"].get<int>(); ++y) {
        EXPECT_TRUE(cells.emplace(x, y).second) << panel["title"];
      }
    }
  }
}

}  // namespace
}  // namespace starling::metrics
