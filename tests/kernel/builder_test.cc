// Builds with real mounts and real runc, on a containerd that is a fake but for its directories.
#include "dockerfile/build/builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <atomic>
#include <fstream>

#include "base/temp_dir.h"
#include "dockerfile/build/private_mounts.h"
#include "dockerfile/build/snapshot_mount.h"
#include "dockerfile/plan/plan.h"
#include "tests/support/fake_containerd.h"
#include "tests/support/file_tree.h"

namespace starling::dockerfile::build {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing_support::FakeContainerd;
using testing_support::ReadWhole;
using testing_support::Shell;

/// Notes what happens to each step.
class Notes : public BuildListener {
 public:
  explicit Notes(const plan::Graph& graph) : graph_(graph) {}
  void OnStart(plan::NodeId node) override { Add("start", node); }
  void OnCached(plan::NodeId node) override { Add("cached", node); }
  void OnDone(plan::NodeId node) override { Add("done", node); }
  void OnFailed(plan::NodeId node, const Status& why) override {
    Add("failed", node);
    MutexLock lock(mutex_);
    failure_ = std::string(MessageOf(why));
  }
  void OnOutput(plan::NodeId /*node*/, runc::Stream, std::string_view text) override {
    MutexLock lock(mutex_);
    output_ += text;
    changed_.NotifyAll();
  }
  /// Whether a step says `text` within a minute.
  bool WaitForOutput(std::string_view text) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    MutexLock lock(mutex_);
    while (output_.find(text) == std::string::npos) {
      if (!changed_.WaitUntil(mutex_, end)) {
        return false;
      }
    }
    return true;
  }
  /// How often steps that make layers were done, or found.
  size_t Count(const std::string& what) {
    MutexLock lock(mutex_);
    return counts_[what];
  }
  std::string output() {
    MutexLock lock(mutex_);
    return output_;
  }
  std::string failure() {
    MutexLock lock(mutex_);
    return failure_;
  }

 private:
  void Add(const std::string& what, plan::NodeId node) {
    if (plan::BaseOf(graph_.nodes[node].operation)) {
      MutexLock lock(mutex_);
      ++counts_[what];
    }
  }
  const plan::Graph& graph_;
  Mutex mutex_;  // leaf
  Condition changed_;
  std::map<std::string, size_t> counts_ GUARDED_BY(mutex_);
  std::string output_ GUARDED_BY(mutex_);
  std::string failure_ GUARDED_BY(mutex_);
};

class NoImages : public plan::ImageResolver {
  StatusOr<plan::BaseImage> ResolveImage(const std::string& reference,
                                         const oci::Platform&) override {
    return MakeError(StatusCode::kNotFound, reference);
  }
};

class BuilderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::geteuid(), 0U) << "needs root";
    const auto context = Path("context");
    Shell(fmt::format(
        "mkdir -p {0}/bin {0}/data; cp $(command -v busybox) {0}/bin/busybox; "
        "for a in sh cat ls id sleep mkdir rm ln stat touch; do ln -s busybox {0}/bin/$a; "
        "done; echo content >{0}/data/file",
        context.native()));
    containerd_.Change(
        [&](FakeContainerd::State& state) { state.snapshot_root = Path("snapshots"); });
  }
  std::filesystem::path Path(const std::string& name) const { return directory_.path() / name; }

  BuildSettings Settings() const {
    BuildSettings settings;
    settings.format = {.compression = Compression::kUncompressed};
    settings.contexts[""] = {.directory = Path("context"), .ignore_file = nullptr};
    settings.state_directory = Path("state");
    settings.work_directory = Path("work");
    return settings;
  }

  /// Builds `text`; notes_ says what happened.
  StatusOr<Tree> Build(const std::string& text, const std::stop_token& stop = {}) {
    NoImages images;
    const auto plan = plan::MakePlan(syntax::ParseDockerfile(text), {}, images);
    if (!plan.ok()) {
      return MakeError(StatusCode::kInvalidArgument, plan.status().message);
    }
    graph_ = plan->graph;
    notes_.emplace(graph_);
    BaseImages bases([](const std::string& name) -> StatusOr<std::shared_ptr<oci::ImageSource>> {
      return MakeError(StatusCode::kNotFound, name);
    });
    NoProgress progress;
    Builder builder(client_, graph_, bases, settings_.value_or(Settings()), *notes_, progress);
    auto tree = builder.Build(plan->root, stop);
    if (tree.ok()) {
      files_.clear();
      EXPECT_TRUE(builder
                      .Look(*tree,
                            [&](const std::filesystem::path& root) {
                              Shell(
                                  fmt::format("cd {} && find . -type f -o -type d -o -type l | "
                                              "sort >{}",
                                              root.native(), Path("files").native()));
                              files_ = ReadWhole(Path("files"));
                              result_ = ReadWhole(root / "result");
                              return OkStatus();
                            })
                      .ok());
    }
    return tree;
  }

  size_t Leftovers() {
    return containerd_.state().active_snapshots() + containerd_.state().ingests.size();
  }

  TempDir directory_ = *TempDir::Make("/tmp", "builder-");
  std::string socket_ = (directory_.path() / "c.sock").string();
  FakeContainerd containerd_{socket_};
  containerd::Client client_{{.address = socket_, .namespace_name = "ns"}};
  plan::Graph graph_;
  std::optional<Notes> notes_;
  std::optional<BuildSettings> settings_;  // in place of Settings()
  std::string files_;
  std::string result_;
};

constexpr const char* kBase = "FROM scratch\nCOPY bin /bin/\n";

TEST_F(BuilderTest, RunsStepsOneOnTheOther) {
  const auto tree = Build(std::string(kBase) +
                          "COPY data /data\nWORKDIR /work\n"
                          "RUN cat /data/file >/result; id -u >>/result; echo said; echo $HOME\n");
  ASSERT_TRUE(tree.ok()) << tree.status() << notes_->output();
  EXPECT_EQ(tree->layers.size(), 4u);
  EXPECT_EQ(result_, "content\n0\n");
  EXPECT_THAT(notes_->output(), HasSubstr("said\n"));
  EXPECT_EQ(notes_->Count("done"), 4u);
  EXPECT_EQ(Leftovers(), 0u);
}

TEST_F(BuilderTest, MountPointsAreNoPartOfTheResult) {
  ASSERT_TRUE(Build(std::string(kBase) + "RUN echo x >/result\n").ok());
  for (const char* stub : {"./proc", "./sys", "./dev", "./etc", "resolv.conf"}) {
    EXPECT_EQ(files_.find(stub), std::string::npos) << stub << "\n" << files_;
  }
}

TEST_F(BuilderTest, DoesNothingTwice) {
  const std::string text = std::string(kBase) + "COPY data /data\nRUN cat /data/file >/result\n";
  const auto first = Build(text);
  ASSERT_TRUE(first.ok()) << first.status();
  const size_t blobs = containerd_.CallsOf("content.Commit");
  const auto second = Build(text);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(*first, *second);
  EXPECT_EQ(notes_->Count("start"), 0u);
  EXPECT_EQ(notes_->Count("cached"), 3u);
  EXPECT_EQ(containerd_.CallsOf("content.Commit"), blobs);

  std::ofstream(Path("context") / "data" / "file") << "changed\n";
  ASSERT_TRUE(Build(text).ok());
  EXPECT_EQ(notes_->Count("cached"), 1u);
  EXPECT_EQ(notes_->Count("done"), 2u);
  EXPECT_EQ(result_, "changed\n");
}

TEST_F(BuilderTest, AStageThatNobodyNeedsIsNotBuilt) {
  ASSERT_TRUE(Build(std::string("FROM scratch AS unused\nCOPY missing /\n") + kBase).ok());
  EXPECT_EQ(notes_->Count("done"), 1u);
}

TEST_F(BuilderTest, TakesFilesFromOtherStages) {
  const auto tree = Build(std::string(kBase) +
                          "RUN mkdir /out && echo made >/out/made && ln -s made /out/link\n"
                          "FROM scratch\nCOPY --from=0 /out/ /\nCOPY --from=0 /out/link /result\n");
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(result_, "made\n");
  EXPECT_EQ(files_, ".\n./link\n./made\n./result\n");
}

TEST_F(BuilderTest, WhichPathOfAStageIsMountedMatters) {
  const auto text = [](std::string_view path) {
    return fmt::format(
        "{}RUN mkdir /a /b && echo one >/a/file && echo two >/b/file\n"
        "FROM scratch\nCOPY bin /bin/\n"
        "RUN --mount=from=0,source={},target=/mounted cat /mounted/file >/result\n",
        kBase, path);
  };
  ASSERT_TRUE(Build(text("/a")).ok());
  EXPECT_EQ(result_, "one\n");
  ASSERT_TRUE(Build(text("/b")).ok());
  EXPECT_EQ(result_, "two\n");
}

TEST_F(BuilderTest, ALayerOfItsOwnDoesNotSeeItsBase) {
  const auto tree = Build(
      "FROM scratch\nCOPY --chmod=700 data /data\n"
      "COPY --link data/file /data/again\nCOPY data/file /result\n");
  ASSERT_TRUE(tree.ok()) << tree.status();
  const auto alone = Build("FROM scratch\nCOPY --link data/file /data/again\n");
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_THAT(files_, HasSubstr("./data/again"));
}

TEST_F(BuilderTest, ALayerOfItsOwnIsMadeOnceForAllBases) {
  Shell(
      fmt::format("cd {}/data; ln -s file link; ln file hard; touch -d @1000 file .; chmod 640 "
                  "file; chown 5:6 file",
                  Path("context").native()));
  const std::string copy = "COPY --link data /data\n";
  const auto one = Build("FROM scratch\nCOPY bin /one\n" + copy);
  ASSERT_TRUE(one.ok()) << one.status();
  const size_t blobs = containerd_.state().blobs.size();
  const auto two = Build("FROM scratch\nCOPY bin /two\n" + copy + "COPY data/file /result\n");
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_EQ(one->layers[1], two->layers[1]);
  EXPECT_THAT(files_, HasSubstr("./data/hard\n./data/link\n"));
  EXPECT_THAT(files_, HasSubstr("./two/busybox"));
  // Two layers, and the records of three steps.
  EXPECT_EQ(containerd_.state().blobs.size(), blobs + 5);
  // Made by another machine it is the same.
  Shell("rm -rf " + Path("state").native());
  containerd_.Change([](FakeContainerd::State& state) { state.blobs.clear(); });
  const auto again = Build("FROM scratch\n" + copy);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->layers[0].blob.digest, one->layers[1].blob.digest);
  EXPECT_EQ(Leftovers(), 0U);
}

TEST_F(BuilderTest, WhatIsReadFirstComesFirst) {
  Shell("cd " + Path("context").native() + "/data; echo a >a; echo z >z");
  settings_ = Settings();
  settings_->format.compression = Compression::kEstargz;
  settings_->contexts[""].read_first = {"data/z", "bin/busybox", "data/none"};
  const std::string copy = "FROM scratch\nCOPY data /deep/here\n";
  const auto lazy = Build(copy);
  ASSERT_TRUE(lazy.ok()) << lazy.status();
  const std::string listed = Path("listed").native();
  std::ofstream(Path("blob"), std::ios::binary)
      << containerd_.state().blobs.at(lazy->layers[0].blob.digest.ToString()).content;
  Shell("tar -tzf " + Path("blob").native() + " >" + listed);
  EXPECT_EQ(ReadWhole(listed),
            "deep/\ndeep/here/\ndeep/here/z\n.prefetch.landmark\ndeep/here/a\n"
            "deep/here/file\nstargz.index.json\n");
  // Another order is another layer.
  settings_->contexts[""].read_first.clear();
  const auto other = Build(copy);
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_NE(other->layers[0].blob.digest, lazy->layers[0].blob.digest);
}

TEST_F(BuilderTest, AFailureNamesItsStepAndLeavesNothing) {
  const auto tree = Build(std::string(kBase) + "RUN echo why; exit 3\nRUN echo never\n");
  EXPECT_EQ(tree.status().code(), StatusCode::kAborted);
  EXPECT_THAT(notes_->failure(), HasSubstr("exit code 3"));
  EXPECT_EQ(notes_->output(), "why\n");
  EXPECT_EQ(notes_->Count("done"), 1u);
  EXPECT_EQ(Leftovers(), 0u);
}

TEST_F(BuilderTest, GivesAStepTheDevicesThatAreAllowed) {
  std::filesystem::create_directory(Path("cdi"));
  std::ofstream(Path("cdi/one.yaml")) << fmt::format(
      R"(cdiVersion: 0.6.0
kind: v.com/c
containerEdits: {{env: [ALL=every]}}
devices:
- name: one
  containerEdits:
    env: [ONE=1]
    deviceNodes: [{{path: /dev/mine, hostPath: /dev/fuse, permissions: r}}]
    mounts: [{{hostPath: {}, containerPath: /opt/mine, options: [rbind, ro]}}]
    additionalGids: [77]
    hooks: [{{hookName: createRuntime, path: /bin/touch, args: [touch, {}]}}]
)",
      Path("context/data").native(), Path("hooked").native());
  const std::string text =
      std::string(kBase) +
      "RUN --device=v.com/c=one,required --device=v.com/c=missing echo $ALL $ONE >/result; "
      "cat /opt/mine/file >>/result; id -G >>/result; "
      "(: </dev/mine) && echo read >>/result; (: >/dev/mine) || echo refused >>/result\n";
  settings_ = Settings();
  settings_->run.device_directories = {Path("cdi")};
  EXPECT_EQ(Build(text).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(notes_->failure(), HasSubstr("--allow device=v.com/c=one"));
  settings_->run.allowed_devices = {"v.com/c"};
  const auto tree = Build(text);
  ASSERT_TRUE(tree.ok()) << tree.status() << notes_->output();
  EXPECT_EQ(result_, "every 1\ncontent\n0 77\nread\nrefused\n");
  EXPECT_TRUE(std::filesystem::exists(Path("hooked")));
  EXPECT_THAT(files_, Not(HasSubstr("./opt")));
  EXPECT_EQ(Build(std::string(kBase) + "RUN --device=v.com/c=two,required true\n").status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_THAT(notes_->failure(), HasSubstr("there is no device v.com/c=two"));
}

/// Steps that each change what the ones before have left, in all ways.
constexpr const char* kSteps =
    "RUN mkdir /d /e && echo one >/d/f && ln /d/f /d/g && echo gone >/e/gone\n"
    "RUN rm /e/gone && ls -A /e >/e/left && echo two >>/d/f\n"
    "WORKDIR /d/deep\n"
    "RUN rm -r /d && mkdir /d && echo three >/d/f && busybox chmod 700 /d\n"
    "COPY data /e/data\n"
    "RUN rm -r /e/data && cat /d/f >/result; ls /d /e >>/result\n";

TEST_F(BuilderTest, AStepRunsWhileTheLayerBelowIsStored) {
  settings_ = Settings();
  // The layer of the first RUN, behind the layer and the record of COPY.
  std::atomic<int> begun = 0;
  bool was_seen = false;
  containerd_.Before("content.Begin", [&] {
    if (++begun == 3) {
      was_seen = notes_->WaitForOutput("second has run");
    }
  });
  const auto tree = Build(std::string(kBase) +
                          "RUN echo first >/first\nRUN cat /first >/result; echo second has run\n");
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_TRUE(was_seen);
  EXPECT_EQ(result_, "first\n");
  EXPECT_EQ(Leftovers(), 0U);
  std::vector<oci::Digest> diff_ids;
  for (const Layer& layer : tree->layers) {
    diff_ids.push_back(layer.diff_id);
  }
  EXPECT_EQ(tree->snapshot, oci::ChainIds(diff_ids).back().ToString());
}

TEST_F(BuilderTest, StepsWriteTheSameWheneverLayersAreStored) {
  settings_ = Settings();
  settings_->source_date_epoch = 1;
  const auto first = Build(std::string(kBase) + kSteps);
  ASSERT_TRUE(first.ok()) << first.status();
  const std::string result = result_;
  EXPECT_EQ(result, "three\n/d:\ndeep\nf\n\n/e:\nleft\n");
  // Once more, onto snapshots that are there already; then one step after the other.
  for (const size_t steps_at_once : {4, 1}) {
    settings_->build_id = NewBuildId();
    settings_->steps_at_once = steps_at_once;
    containerd_.Change([](FakeContainerd::State& state) {
      std::erase_if(state.blobs, [](const auto& blob) {
        return blob.second.labels.contains("starling.dev/build.key");
      });
    });
    const auto again = Build(std::string(kBase) + kSteps);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(notes_->Count("cached"), 0U);
    EXPECT_EQ(again->snapshot, first->snapshot);
    EXPECT_TRUE(again->layers == first->layers);
    EXPECT_EQ(result_, result);
    EXPECT_EQ(Leftovers(), 0U);
  }
}

TEST_F(BuilderTest, ALayerThatCannotBeStoredEndsTheStepOnIt) {
  settings_ = Settings();
  std::atomic<int> begun = 0;
  containerd_.Before("content.Begin", [&] {
    if (++begun == 3) {
      EXPECT_TRUE(notes_->WaitForOutput("second begins"));
      containerd_.FailNext("content.Commit", {grpc::StatusCode::RESOURCE_EXHAUSTED, "no room"});
    }
  });
  const auto tree =
      Build(std::string(kBase) + "RUN echo first >/first\nRUN echo second begins; sleep 1000\n");
  EXPECT_THAT(std::string(MessageOf(tree.status())), HasSubstr("no room"));
  EXPECT_EQ(Leftovers(), 0U);
}

TEST_F(BuilderTest, StopsInTheMiddleOfAStep) {
  ASSERT_TRUE(Build(kBase).ok());
  std::stop_source stop;
  containerd_.Before("snapshots.Prepare", [&] { stop.request_stop(); });
  const auto tree = Build(std::string(kBase) + "RUN sleep 1000\n", stop.get_token());
  EXPECT_EQ(tree.status().code(), StatusCode::kCancelled) << tree.status();
  EXPECT_EQ(Leftovers(), 0u);
}

TEST_F(BuilderTest, AHostileTreeCannotLeadAStepOutOfIt) {
  const std::string outside = Path("outside").native();
  std::filesystem::create_directory(outside);
  // WORKDIR, COPY and a mount's target through links that lead out.
  const auto tree =
      Build(std::string(kBase) + "RUN ln -s " + outside + " /out && ln -s ../../../../" + outside +
            " /up\n"
            "WORKDIR /out/made\nCOPY data/file /up/copied\n"
            "RUN --mount=type=tmpfs,target=/out/mounted echo x >/result\n");
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_THAT(std::filesystem::directory_iterator(outside), std::filesystem::directory_iterator());
  EXPECT_THAT(files_, HasSubstr("." + outside + "/made"));
  EXPECT_THAT(files_, HasSubstr("." + outside + "/copied"));
}

TEST_F(BuilderTest, SecretsAreInNoLayerKeyOrRecord) {
  NoImages images;
  const auto plan = plan::MakePlan(
      syntax::ParseDockerfile(std::string(kBase) +
                              "RUN --mount=type=secret,id=a,env=A --mount=type=secret,id=b "
                              "cat /run/secrets/b >/dev/null && test -n \"$A\"\n"),
      {}, images);
  ASSERT_TRUE(plan.ok());
  Notes notes(plan->graph);
  BaseImages bases([](const std::string& name) -> StatusOr<std::shared_ptr<oci::ImageSource>> {
    return MakeError(StatusCode::kNotFound, name);
  });
  NoProgress progress;
  BuildSettings settings = Settings();
  settings.run.secrets = {{"a", "value-of-a"}, {"b", "value-of-b"}};
  Builder builder(client_, plan->graph, bases, settings, notes, progress);
  const auto tree = builder.Build(plan->root, {});
  ASSERT_TRUE(tree.ok()) << tree.status() << notes.output();
  for (const auto& [digest, blob] : containerd_.state().blobs) {
    EXPECT_EQ(blob.content.find("value-of-"), std::string::npos) << digest;
  }
}

TEST(PrivateMounts, AreSeenByNobodyElseAndEndWithTheWork) {
  ASSERT_EQ(::geteuid(), 0U) << "needs root";
  const TempDir directory = *TempDir::Make("/tmp", "private-");
  const std::string mounts_before = ReadWhole("/proc/self/mounts");
  const Status done = RunWithPrivateMounts(directory.path(), [&]() -> Status {
    std::ofstream(directory.path() / "secret") << "x";
    std::filesystem::create_directory(directory.path() / "more");
    EXPECT_EQ(::mount("tmpfs", (directory.path() / "more").c_str(), "tmpfs", 0, nullptr), 0);
    // As seen by the thread that started it.
    EXPECT_EQ(ReadWhole("/proc/self/mounts"), mounts_before);
    return MakeError(StatusCode::kAborted, "passed on");
  });
  EXPECT_EQ(done.code(), StatusCode::kAborted);
  EXPECT_EQ(ReadWhole("/proc/self/mounts"), mounts_before);
  EXPECT_FALSE(std::filesystem::exists(directory.path() / "secret"));
}

TEST(SnapshotMount, ShowsAnyNumberOfLayers) {
  ASSERT_EQ(::geteuid(), 0U) << "needs root";
  const TempDir directory = *TempDir::Make("/tmp", "many-layers-");
  const auto path = [&](const std::string& name) { return directory.path() / name; };
  containerd::Mount mount{.type = "overlay", .source = "overlay"};
  std::string lower;
  for (int i = 0; i < 120; ++i) {
    const std::string name = fmt::format("a-layer-whose-directory-has-a-long-name-{:04}", i);
    std::filesystem::create_directory(path(name));
    std::ofstream(path(name) / fmt::format("file-{}", i)) << i;
    lower += (lower.empty() ? "" : ":") + path(name).native();
  }
  std::filesystem::create_directory(path("upper"));
  std::filesystem::create_directory(path("workdir"));
  mount.options = {"lowerdir=" + lower, "upperdir=" + path("upper").native(),
                   "workdir=" + path("workdir").native(), "index=off"};
  ASSERT_TRUE(RunWithPrivateMounts(path("private"), [&]() -> Status {
                auto mounted = SnapshotMount::Make({mount}, path("private") / "at");
                if (!mounted.ok()) {
                  return mounted.status();
                }
                EXPECT_EQ(ReadWhole(path("private") / "at" / "file-119"), "119");
                std::ofstream(path("private") / "at" / "new") << "x";
                return mounted->Unmount();
              }).ok());
  EXPECT_TRUE(std::filesystem::exists(path("upper") / "new"));
}

TEST(DirectoriesOf, KnowsOverlaysAndNothingElse) {
  const auto overlay = DirectoriesOf(
      {{.type = "overlay", .source = "overlay", .options = {"lowerdir=/a:/b", "upperdir=/u"}}});
  ASSERT_TRUE(overlay.ok());
  EXPECT_EQ(overlay->upper, "/u");
  EXPECT_EQ(overlay->lower.size(), 2u);
  const auto bind = DirectoriesOf({{.type = "bind", .source = "/s", .options = {"rbind", "rw"}}});
  EXPECT_EQ(bind->upper, "/s");
  EXPECT_THAT(bind->lower, IsEmpty());
  EXPECT_FALSE(DirectoriesOf({{.type = "bind", .source = "/s", .options = {"ro"}}})->upper);
  EXPECT_EQ(DirectoriesOf({{.type = "ext4", .source = "/dev/x"}}).status().code(),
            StatusCode::kUnimplemented);
  EXPECT_EQ(DirectoriesOf({}).status().code(), StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace starling::dockerfile::build
