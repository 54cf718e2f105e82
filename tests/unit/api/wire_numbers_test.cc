#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "api/containerd/services/content/v1/content.pb.h"
#include "api/containerd/services/images/v1/images.pb.h"
#include "api/containerd/services/introspection/v1/introspection.pb.h"
#include "api/containerd/services/leases/v1/leases.pb.h"
#include "api/containerd/services/snapshots/v1/snapshots.pb.h"
#include "api/containerd/types/descriptor.pb.h"
#include "api/containerd/types/mount.pb.h"
#include "api/starling/control/v1/cache.pb.h"

namespace {

using namespace std::string_literals;

// The bytes are spelled out as containerd's generated Go code sends them: tag, length, value.

TEST(WireNumbers, SnapshotInfo) {
  containerd::services::snapshots::v1::Info info;
  info.set_name("n");
  info.set_parent("p");
  info.set_kind(containerd::services::snapshots::v1::COMMITTED);
  info.mutable_created_at()->set_seconds(1);
  info.mutable_updated_at()->set_nanos(2);
  (*info.mutable_labels())["k"] = "v";
  EXPECT_EQ(
      info.SerializeAsString(),
      "\x0a\x01n\x12\x01p\x18\x03\x22\x02\x08\x01\x2a\x02\x10\x02\x32\x06\x0a\x01k\x12\x01v"s);
}

TEST(WireNumbers, CommitCarriesTheParentInFieldFive) {
  containerd::services::snapshots::v1::CommitSnapshotRequest request;
  request.set_snapshotter("s");
  request.set_name("n");
  request.set_key("k");
  request.set_parent("p");
  EXPECT_EQ(request.SerializeAsString(), "\x0a\x01s\x12\x01n\x1a\x01k\x2a\x01p"s);
}

TEST(WireNumbers, MountHasItsTargetBetweenSourceAndOptions) {
  containerd::types::Mount mount;
  mount.set_type("t");
  mount.set_source("s");
  mount.add_options("o");
  EXPECT_EQ(mount.SerializeAsString(), "\x0a\x01t\x12\x01s\x22\x01o"s);
}

TEST(WireNumbers, DescriptorAnnotationsAreFieldFive) {
  containerd::types::Descriptor descriptor;
  descriptor.set_size(7);
  (*descriptor.mutable_annotations())["k"] = "v";
  EXPECT_EQ(descriptor.SerializeAsString(), "\x18\x07\x2a\x06\x0a\x01k\x12\x01v"s);
}

TEST(WireNumbers, ImageTimesAreFieldsSevenAndEight) {
  containerd::services::images::v1::Image image;
  image.mutable_target()->set_size(1);
  image.mutable_created_at()->set_seconds(1);
  image.mutable_updated_at()->set_seconds(1);
  EXPECT_EQ(image.SerializeAsString(), "\x1a\x02\x18\x01\x3a\x02\x08\x01\x42\x02\x08\x01"s);
}

TEST(WireNumbers, LeaseLabelsAreFieldThree) {
  containerd::services::leases::v1::CreateRequest request;
  request.set_id("i");
  (*request.mutable_labels())["k"] = "v";
  EXPECT_EQ(request.SerializeAsString(), "\x0a\x01i\x1a\x06\x0a\x01k\x12\x01v"s);
}

TEST(WireNumbers, ContentWrite) {
  containerd::services::content::v1::WriteContentRequest request;
  request.set_action(containerd::services::content::v1::COMMIT);
  request.set_ref("r");
  request.set_total(3);
  request.set_expected("e");
  request.set_offset(4);
  request.set_data("d");
  EXPECT_EQ(request.SerializeAsString(),
            "\x08\x02\x12\x01r\x18\x03\x22\x01"
            "e\x28\x04\x32\x01"
            "d"s);
}

TEST(WireNumbers, PluginCapabilitiesAreFieldSix) {
  containerd::services::introspection::v1::Plugin plugin;
  plugin.set_id("i");
  plugin.add_capabilities("c");
  plugin.mutable_init_err()->set_code(5);
  EXPECT_EQ(plugin.SerializeAsString(),
            "\x12\x01i\x32\x01"
            "c\x3a\x02\x08\x05"s);
}

// Ours: what a later version must still send.
TEST(WireNumbers, CacheLayer) {
  starling::control::v1::Layer layer;
  layer.set_digest("d");
  layer.set_toc_digest("t");
  layer.set_held_bytes(1);
  layer.set_total_bytes(2);
  layer.set_disk_bytes(3);
  layer.set_complete(true);
  layer.set_shown(true);
  layer.add_pins("p");
  layer.add_images("i");
  layer.set_seconds_since_last_read(0);
  EXPECT_EQ(
      layer.SerializeAsString(),
      "\x0a\x01\x64\x12\x01t\x18\x01\x20\x02\x28\x03\x30\x01\x38\x01\x42\x01p\x4a\x01i\x50\x00"s);
}

TEST(WireNumbers, CacheEviction) {
  starling::control::v1::EvictRequest request;
  request.set_layer("l");
  EXPECT_EQ(request.SerializeAsString(), "\x0a\x01l"s);
  request.set_until_disk_bytes(0);
  EXPECT_EQ(request.SerializeAsString(), "\x10\x00"s) << "to nothing is not nothing";
}

}  // namespace
