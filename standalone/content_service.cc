#include "standalone/content_service.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "standalone/call.h"

namespace starling::standalone {
namespace {

namespace pb = ::containerd::services::content::v1;

constexpr int kInfosPerMessage = 100;
constexpr size_t kReadPieceBytes = 1 << 20;
constexpr std::string_view kLabelPath = "labels.";

void ToProto(const Store::Content& content, pb::Info& proto) {
  proto.set_digest(content.digest.ToString());
  proto.set_size(static_cast<int64_t>(content.size_bytes));
  proto.mutable_labels()->insert(content.labels.begin(), content.labels.end());
}

StatusOr<Labels> ChangesOf(const pb::UpdateRequest& request) {
  Labels changes;
  for (const std::string& path : request.update_mask().paths()) {
    if (!path.starts_with(kLabelPath)) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("field {} cannot be changed: only labels can", path));
    }
    const std::string key = path.substr(kLabelPath.size());
    const auto value = request.info().labels().find(key);
    changes[key] = value == request.info().labels().end() ? std::string() : value->second;
  }
  return changes;
}

StatusOr<uint64_t> SizeOfFile(int file) {
  struct stat found{};
  return ::fstat(file, &found) == 0 ? StatusOr<uint64_t>(static_cast<uint64_t>(found.st_size))
                                    : ErrnoError(errno, "blob");
}

/// One stream of a blob that arrives.
class Writing {
 public:
  Writing(Store& store, std::string lease) : store_(store), lease_(std::move(lease)) {}

  Status Take(const pb::WriteContentRequest& request, pb::WriteContentResponse& response) {
    response.set_action(request.action());
    if (request.action() == pb::STAT) {
      RETURN_IF_ERROR(Begin(request));
    } else if (request.action() == pb::WRITE) {
      RETURN_IF_ERROR(Append(request));
    } else if (request.action() == pb::COMMIT) {
      RETURN_IF_ERROR(Append(request));
      RETURN_IF_ERROR(Commit(request));
    } else {
      return MakeError(StatusCode::kInvalidArgument, "an ingest has no such action");
    }
    response.set_offset(static_cast<int64_t>(ingest_->size_bytes()));
    return OkStatus();
  }

 private:
  Status Begin(const pb::WriteContentRequest& request) {
    if (!request.expected().empty()) {
      ASSIGN_OR_RETURN(const oci::Digest digest, oci::Digest::Parse(request.expected()));
      const Status there = store_.FindContent(digest, lease_).status();
      if (there.code() != StatusCode::kNotFound) {
        return there.ok() ? MakeError(StatusCode::kAlreadyExists,
                                      fmt::format("blob {} is there", digest.ToString()))
                          : there;
      }
    }
    return Open();
  }
  Status Open() {
    if (ingest_ == nullptr) {
      ASSIGN_OR_RETURN(ingest_, store_.NewIngest());
    }
    return OkStatus();
  }
  Status Append(const pb::WriteContentRequest& request) {
    RETURN_IF_ERROR(Open());
    if (committed_ || static_cast<uint64_t>(request.offset()) != ingest_->size_bytes()) {
      return MakeError(
          StatusCode::kOutOfRange,
          fmt::format("the ingest is at {}, not at {}", ingest_->size_bytes(), request.offset()));
    }
    return ingest_->Write(AsBytes(request.data()));
  }
  Status Commit(const pb::WriteContentRequest& request) {
    if (request.total() > 0 && static_cast<uint64_t>(request.total()) != ingest_->size_bytes()) {
      return MakeError(
          StatusCode::kFailedPrecondition,
          fmt::format("the blob has {} bytes, not {}", ingest_->size_bytes(), request.total()));
    }
    std::optional<oci::Digest> expected;
    if (!request.expected().empty()) {
      ASSIGN_OR_RETURN(expected, oci::Digest::Parse(request.expected()));
    }
    committed_ = true;
    return ingest_->Commit(expected, {request.labels().begin(), request.labels().end()}, lease_);
  }

  Store& store_;
  const std::string lease_;
  std::unique_ptr<Store::Ingest> ingest_;
  bool committed_ = false;
};

}  // namespace

grpc::Status ContentService::Info(grpc::ServerContext* context, const pb::InfoRequest* request,
                                  pb::InfoResponse* response) {
  const StatusOr<oci::Digest> digest = oci::Digest::Parse(request->digest());
  if (!digest.ok()) {
    return ToGrpc(digest.status());
  }
  const auto content = store_.FindContent(*digest, LeaseOf(*context));
  if (content.ok()) {
    ToProto(*content, *response->mutable_info());
  }
  return ToGrpc(content.status());
}

grpc::Status ContentService::Update(grpc::ServerContext*, const pb::UpdateRequest* request,
                                    pb::UpdateResponse* response) {
  const auto update = [&]() -> starling::Status {
    ASSIGN_OR_RETURN(const oci::Digest digest, oci::Digest::Parse(request->info().digest()));
    ASSIGN_OR_RETURN(const Labels changes, ChangesOf(*request));
    RETURN_IF_ERROR(store_.LabelContent(digest, changes));
    ASSIGN_OR_RETURN(const Store::Content content, store_.FindContent(digest, ""));
    ToProto(content, *response->mutable_info());
    return OkStatus();
  };
  return ToGrpc(update());
}

grpc::Status ContentService::List(grpc::ServerContext*, const pb::ListContentRequest* request,
                                  grpc::ServerWriter<pb::ListContentResponse>* writer) {
  const std::vector<std::string> texts(request->filters().begin(), request->filters().end());
  const auto filter = snapshotter::Filter::Parse(texts);
  if (!filter.ok()) {
    return ToGrpc(filter.status());
  }
  const auto contents = store_.ListContent(*filter);
  if (!contents.ok()) {
    return ToGrpc(contents.status());
  }
  pb::ListContentResponse message;
  for (const Store::Content& content : *contents) {
    ToProto(content, *message.add_info());
    if (message.info_size() == kInfosPerMessage) {
      writer->Write(message);
      message.clear_info();
    }
  }
  writer->Write(message);
  return grpc::Status::OK;
}

grpc::Status ContentService::Delete(grpc::ServerContext*, const pb::DeleteContentRequest* request,
                                    google::protobuf::Empty*) {
  const StatusOr<oci::Digest> digest = oci::Digest::Parse(request->digest());
  return ToGrpc(digest.ok() ? store_.DeleteContent(*digest) : digest.status());
}

grpc::Status ContentService::Read(grpc::ServerContext* context,
                                  const pb::ReadContentRequest* request,
                                  grpc::ServerWriter<pb::ReadContentResponse>* writer) {
  const auto read = [&]() -> starling::Status {
    ASSIGN_OR_RETURN(const oci::Digest digest, oci::Digest::Parse(request->digest()));
    ASSIGN_OR_RETURN(const UniqueFd file, store_.OpenContent(digest, LeaseOf(*context)));
    ASSIGN_OR_RETURN(const uint64_t size, SizeOfFile(file.get()));
    const auto begin = static_cast<uint64_t>(request->offset());
    if (request->offset() < 0 || begin > size || request->size() < 0) {
      return MakeError(StatusCode::kOutOfRange, fmt::format("the blob has {} bytes", size));
    }
    uint64_t blob_offset = begin;
    uint64_t left = size - begin;
    if (request->size() > 0) {
      left = std::min(left, static_cast<uint64_t>(request->size()));
    }
    if (::lseek(file.get(), static_cast<off_t>(begin), SEEK_SET) < 0) {
      return ErrnoError(errno, "blob");
    }
    FdSource source(file.get());
    pb::ReadContentResponse piece;
    while (left > 0) {
      std::string& data = *piece.mutable_data();
      data.resize(std::min<uint64_t>(left, kReadPieceBytes));
      ASSIGN_OR_RETURN(const size_t count,
                       ReadFully(source, std::as_writable_bytes(std::span(data))));
      if (count != data.size()) {
        return MakeError(StatusCode::kDataLoss, "the blob's file has become shorter");
      }
      piece.set_offset(static_cast<int64_t>(blob_offset));
      blob_offset += count;
      left -= count;
      if (!writer->Write(piece)) {
        return MakeError(StatusCode::kCancelled, "the client has gone");
      }
    }
    return OkStatus();
  };
  return ToGrpc(read());
}

grpc::Status ContentService::Write(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<pb::WriteContentResponse, pb::WriteContentRequest>* stream) {
  Writing writing(store_, LeaseOf(*context));
  pb::WriteContentRequest request;
  while (stream->Read(&request)) {
    pb::WriteContentResponse response;
    if (const starling::Status taken = writing.Take(request, response); !taken.ok()) {
      return ToGrpc(taken);
    }
    stream->Write(response);
  }
  return grpc::Status::OK;
}

grpc::Status ContentService::Abort(grpc::ServerContext*, const pb::AbortRequest*,
                                   google::protobuf::Empty*) {
  return grpc::Status::OK;
}

}  // namespace starling::standalone
