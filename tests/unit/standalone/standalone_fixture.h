/// A server on a real snapshotter with fake layers, and its client.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/temp_dir.h"
#include "containerd/client.h"
#include "containerd/scoped_lease.h"
#include "snapshotter/grpc_server.h"
#include "snapshotter/grpc_service.h"
#include "standalone/server.h"
#include "tests/support/manual_clock.h"
#include "tests/support/snapshot_fixture.h"

namespace starling::standalone {

inline const std::string kSnapshotter = "stargz";

class StandaloneFixture : public testing::Test {
 protected:
  std::unique_ptr<Server> Start() {
    auto server = Server::Start({.directory = directory_.path() / "store",
                                 .starlingd = socket(),
                                 .work_directory = directory_.path() / "work"},
                                clock_);
    EXPECT_TRUE(server.ok()) << server.status();
    return *std::move(server);
  }
  static containerd::Client ClientOf(Server& server) {
    return containerd::Client({.address = "", .channel = server.Connect(), .namespace_name = "ns"});
  }
  std::string socket() const { return directory_.path() / "s.sock"; }
  /// Names of all snapshots of starlingd, whosever they are, and their parents.
  std::vector<std::string> Snapshots() {
    std::vector<std::string> all;
    const auto infos = life_->List(*snapshotter::Filter::Parse({}));
    for (const snapshotter::Info& info : *infos) {
      all.push_back(info.name + (info.parent.empty() ? "" : " on " + info.parent));
    }
    return all;
  }
  /// A committed snapshot.
  static Status Commit(containerd::Client& client, const std::string& name,
                       const std::string& parent) {
    RETURN_IF_ERROR(client.PrepareSnapshot(kSnapshotter, "key of " + name, parent, {}).status());
    return client.CommitSnapshot(kSnapshotter, name, "key of " + name, {});
  }
  static oci::Descriptor DescriptorOf(std::string_view content) {
    oci::Descriptor blob;
    blob.media_type = "m";
    blob.digest = oci::Digest::Of(AsBytes(content));
    blob.size_bytes = content.size();
    return blob;
  }

  TempDir directory_ = *TempDir::Make("/tmp", "standalone-");
  testing_support::ManualClock clock_;
  testing_support::SnapshotterLife life_{directory_.path() / "root"};
  snapshotter::SnapshotsService service_{*life_};
  std::unique_ptr<snapshotter::GrpcServer> starlingd_ =
      *snapshotter::GrpcServer::Start({}, *snapshotter::UnixListener::Bind(socket()), {&service_});
  std::unique_ptr<Server> server_ = Start();
  containerd::Client client_ = ClientOf(*server_);
};

}  // namespace starling::standalone
