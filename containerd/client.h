/// A client of containerd's API, as far as pulling and building images and telling who uses what
/// need it.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/io.h"
#include "base/status.h"
#include "oci/descriptor.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace starling::containerd {

using Labels = std::map<std::string, std::string>;

struct Mount {
  std::string type;
  std::string source;
  std::vector<std::string> options;
};

/// One containerd, one namespace. Every call blocks and has a deadline.
/// Errors carry the code that containerd gave; kUnavailable names the socket and says what to do.
/// Threads: safe, except that UseLease comes first.
class Client {
 public:
  struct Options {
    std::string address;  // path of the socket
    /// What serves the API instead, if it is no containerd at a socket.
    std::shared_ptr<grpc::Channel> channel = nullptr;
    std::string namespace_name;
    std::chrono::milliseconds call_timeout = std::chrono::seconds(60);
    /// Of Apply, which unpacks a whole layer.
    std::chrono::milliseconds apply_timeout = std::chrono::minutes(30);
  };
  explicit Client(Options options);
  ~Client();

  /// containerd's version: proves that it answers.
  StatusOr<std::string> Version();

  struct Snapshotter {
    std::string address;  // of a proxy plugin: the socket that it is asked on
    std::map<std::string, std::string> exports;
    std::string error;  // why it cannot be used; empty: it can
  };
  /// The snapshotters that it has loaded, by name.
  StatusOr<std::map<std::string, Snapshotter>> Snapshotters();

  /// A lease that containerd forgets after `lifetime` by itself. Returns its id: `id`, if that is
  /// not empty, else a new one.
  StatusOr<std::string> CreateLease(std::chrono::seconds lifetime, const std::string& id = "");
  /// Everything that is created from now on is held by this lease.
  void UseLease(std::string id) { lease_ = std::move(id); }
  /// The lease in use; empty without one.
  const std::string& lease() const { return lease_; }
  Status DeleteLease(const std::string& id);
  /// Lets the lease in use hold a snapshot that it did not create, with those below, from now on;
  /// also one that does not exist yet. Nothing without a lease.
  Status HoldSnapshot(const std::string& snapshotter, const std::string& name);

  /// A stored blob, whole, checked against its descriptor. kNotFound when it is not there;
  /// kDataLoss when what is there is not what the descriptor says.
  StatusOr<Bytes> ReadContent(const oci::Descriptor& blob);
  /// Streams a stored blob from `blob_offset` on into `sink`, unchecked. kNotFound when it is not
  /// there.
  Status StreamContent(const oci::Digest& digest, uint64_t blob_offset, ByteSink& sink);
  /// kNotFound when the blob is not there.
  StatusOr<Labels> ContentLabels(const oci::Digest& digest);
  /// Adds labels to a blob.
  Status LabelContent(const oci::Digest& digest, const Labels& labels);

  /// A blob on its way into the content store; what was written is dropped unless committed.
  class ContentWriter : public ByteSink {
   public:
    /// Checks size and digest. Fine if the blob was stored by somebody else meanwhile.
    virtual Status Commit(const Labels& labels) = 0;
  };
  /// kAlreadyExists when the blob is there. Pulls of one blob at once do not see each other.
  StatusOr<std::unique_ptr<ContentWriter>> WriteContent(const oci::Descriptor& blob);

  /// A blob whose digest is known at its end; dropped unless committed.
  class NewContentWriter : public ByteSink {
   public:
    /// Checks size and digest. Fine if the blob was stored by somebody else meanwhile.
    virtual Status Commit(const oci::Digest& digest, const Labels& labels) = 0;
  };
  StatusOr<std::unique_ptr<NewContentWriter>> WriteNewContent();
  /// WriteContent of bytes at hand; a blob that is there gets the labels, too.
  Status PutContent(const oci::Descriptor& blob, ByteSpan bytes, const Labels& labels);

  struct Content {
    oci::Digest digest;
    uint64_t size_bytes = 0;
    Labels labels;
  };
  /// The blobs that `filter` matches. Source: containerd, pkg/filters.
  StatusOr<std::vector<Content>> FindContent(const std::string& filter);
  Status DeleteContent(const oci::Digest& digest);

  /// The labels of a committed snapshot. kNotFound when there is none.
  StatusOr<Labels> StatSnapshot(const std::string& snapshotter, const std::string& name);
  StatusOr<std::vector<Mount>> PrepareSnapshot(const std::string& snapshotter,
                                               const std::string& key, const std::string& parent,
                                               const Labels& labels);
  /// A snapshot of `parent` to read, until it is removed.
  StatusOr<std::vector<Mount>> ViewSnapshot(const std::string& snapshotter, const std::string& key,
                                            const std::string& parent, const Labels& labels = {});
  Status CommitSnapshot(const std::string& snapshotter, const std::string& name,
                        const std::string& key, const Labels& labels);
  Status RemoveSnapshot(const std::string& snapshotter, const std::string& key);
  /// Unpacks a stored layer onto `mounts`; returns the digest of its uncompressed tar.
  StatusOr<oci::Digest> Apply(const oci::Descriptor& layer, const std::vector<Mount>& mounts);

  /// The names of all namespaces, whichever this client's is.
  StatusOr<std::vector<std::string>> Namespaces();

  struct Image {
    std::string name;
    oci::Descriptor target;
  };
  /// All images. Those whose target is no descriptor of ours are left out.
  StatusOr<std::vector<Image>> Images();
  /// What `name` stands for. kNotFound when there is no such image.
  StatusOr<oci::Descriptor> GetImage(const std::string& name);
  /// Lets `name` stand for `target`, whatever it stood for before.
  Status PutImage(const std::string& name, const oci::Descriptor& target);

 private:
  struct Stubs;
  class Ingest;
  Options options_;
  std::string lease_;
  std::unique_ptr<Stubs> stubs_;
};

}  // namespace starling::containerd
