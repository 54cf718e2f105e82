#include "dockerfile/files/copy.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <utility>

#include "base/copy_fd.h"
#include "base/unique_fd.h"
#include "dockerfile/files/archive.h"
#include "dockerfile/files/entry_files.h"
#include "dockerfile/files/root_walk.h"

namespace starling::dockerfile::files {
namespace {

constexpr mode_t kModeBits = 07777;
constexpr mode_t kMadeMode = 0755;

/// What the copies of one source are told about owners and modes.
class Ownership {
 public:
  Ownership(const CopyRequest& request, bool zero_owners)
      : owner_(request.owner), chmod_(request.chmod), zero_owners_(zero_owners) {}

  Owner OwnerOf(const struct stat& attributes) const {
    if (owner_) {
      return *owner_;
    }
    return zero_owners_ ? Owner() : Owner{.uid = attributes.st_uid, .gid = attributes.st_gid};
  }
  mode_t ModeOf(const struct stat& attributes) const {
    return ModeOf(attributes.st_mode & kModeBits, S_ISDIR(attributes.st_mode));
  }
  mode_t ModeOf(mode_t mode, bool is_directory) const {
    return chmod_ ? ChangedMode(*chmod_, mode, is_directory) : mode;
  }
  /// Of a directory that no source has.
  Status ApplyToMade(int directory) const {
    const Owner owner = owner_.value_or(Owner());
    if (::fchown(directory, owner.uid, owner.gid) != 0 ||
        ::fchmod(directory, ModeOf(kMadeMode, true)) != 0) {
      return ErrnoError(errno, "a new directory");
    }
    return OkStatus();
  }

 private:
  const std::optional<Owner>& owner_;
  const std::optional<syntax::ModeChange>& chmod_;
  const bool zero_owners_;
};

/// Puts the entries of one selected path to their places.
class Copier : public EntryVisitor {
 public:
  Copier(Ownership ownership, UniqueFd destination, std::string name, bool keeps_destination,
         CopyReport& report, const std::stop_token& stop)
      : ownership_(ownership),
        top_(std::move(destination)),
        name_(std::move(name)),
        keeps_destination_(keeps_destination),
        report_(report),
        stop_(stop) {}

  Status EnterDirectory(const Entry& entry) override {
    Open open{.attributes = entry.attributes};
    if (entry.path.empty() && name_.empty()) {
      // What the directory holds goes into the destination itself.
      ASSIGN_OR_RETURN(open.directory, CopyFd(top_.get()));
      open.is_kept = keeps_destination_;
    } else {
      const auto [parent, name] = PlaceOf(entry);
      const bool made = ::mkdirat(parent, name.c_str(), 0700) == 0;
      if (!made && errno != EEXIST) {
        return ErrnoError(errno, entry.path);
      }
      open.directory.Reset(
          ::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!open.directory.valid()) {
        return MakeError(
            StatusCode::kFailedPrecondition,
            fmt::format("{}: a directory cannot replace what is there", ShownPath(entry)));
      }
    }
    if (!open.is_kept) {
      const Owner owner = ownership_.OwnerOf(entry.attributes);
      if (::fchown(open.directory.get(), owner.uid, owner.gid) != 0 ||
          ::fchmod(open.directory.get(), ownership_.ModeOf(entry.attributes)) != 0) {
        return ErrnoError(errno, ShownPath(entry));
      }
      RETURN_IF_ERROR(CopyXattrs(entry, open.directory.get()));
    }
    open_.push_back(std::move(open));
    return OkStatus();
  }

  Status LeaveDirectory() override {
    const Open open = std::move(open_.back());
    open_.pop_back();
    if (open.is_kept) {
      return OkStatus();
    }
    const std::array<struct timespec, 2> times = {open.attributes.st_atim, open.attributes.st_mtim};
    return ::futimens(open.directory.get(), times.data()) == 0 ? OkStatus()
                                                               : ErrnoError(errno, "times");
  }

  Status VisitFile(const Entry& entry) override {
    if (stop_.stop_requested()) {
      return MakeError(StatusCode::kCancelled, "stopped");
    }
    const auto [parent, name] = PlaceOf(entry);
    if (::unlinkat(parent, name.c_str(), 0) != 0 && errno != ENOENT) {
      if (errno == EISDIR || errno == EPERM) {
        return MakeError(StatusCode::kFailedPrecondition,
                         fmt::format("{}: a file cannot replace a directory", ShownPath(entry)));
      }
      return ErrnoError(errno, ShownPath(entry));
    }
    ++report_.files;
    ASSIGN_OR_RETURN(const bool linked, LinkToFirst(entry, parent, name));
    if (linked) {
      return OkStatus();
    }
    switch (entry.attributes.st_mode & S_IFMT) {
      case S_IFREG:
        return CopyRegular(entry, parent, name);
      case S_IFLNK:
        return CopyLink(entry, parent, name);
      case S_IFSOCK:
        return MakeEmpty(entry, parent, name);
      default:
        return CopySpecial(entry, parent, name);
    }
  }

 private:
  struct Open {
    UniqueFd directory;
    struct stat attributes{};
    bool is_kept = false;
  };
  struct Place {
    int parent;
    std::string name;
  };

  /// Where an entry goes: below the latest open directory, or the selected one itself.
  Place PlaceOf(const Entry& entry) const {
    if (open_.empty()) {
      return {top_.get(), name_};
    }
    return {open_.back().directory.get(), entry.name};
  }
  std::string ShownPath(const Entry& entry) const {
    return entry.path.empty() ? name_ : entry.path;
  }

  /// A file with several names keeps them.
  StatusOr<bool> LinkToFirst(const Entry& entry, int parent, const std::string& name) {
    if (entry.attributes.st_nlink < 2) {
      return false;
    }
    const auto key = std::pair(entry.attributes.st_dev, entry.attributes.st_ino);
    const auto found = first_names_.find(key);
    if (found == first_names_.end()) {
      first_names_[key] = entry.path;
      return false;
    }
    const std::filesystem::path first = found->second;
    ASSIGN_OR_RETURN(const UniqueFd directory,
                     OpenWithoutLinks(Base(), first.parent_path().native(), O_PATH | O_DIRECTORY));
    if (::linkat(directory.get(), first.filename().c_str(), parent, name.c_str(), 0) != 0) {
      return ErrnoError(errno, ShownPath(entry));
    }
    return true;
  }
  int Base() const { return open_.empty() ? top_.get() : open_.front().directory.get(); }

  Status CopyRegular(const Entry& entry, int parent, const std::string& name) {
    ASSIGN_OR_RETURN(const UniqueFd from, OpenEntry(entry, O_RDONLY));
    const UniqueFd to(
        ::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!to.valid()) {
      return ErrnoError(errno, ShownPath(entry));
    }
    const auto copied =
        CopyContent(from.get(), to.get(), static_cast<uint64_t>(entry.attributes.st_size));
    if (!copied.ok()) {
      return Annotate(copied.status(), ShownPath(entry));
    }
    report_.bytes += *copied;
    return Finish(entry, to.get());
  }

  Status MakeEmpty(const Entry& entry, int parent, const std::string& name) {
    const UniqueFd to(
        ::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    return to.valid() ? Finish(entry, to.get()) : ErrnoError(errno, ShownPath(entry));
  }

  /// Owner before mode before attributes: each may take from those behind it.
  Status Finish(const Entry& entry, int to) const {
    const Owner owner = ownership_.OwnerOf(entry.attributes);
    const std::array<struct timespec, 2> times = {entry.attributes.st_atim,
                                                  entry.attributes.st_mtim};
    if (::fchown(to, owner.uid, owner.gid) != 0 ||
        ::fchmod(to, ownership_.ModeOf(entry.attributes)) != 0) {
      return ErrnoError(errno, ShownPath(entry));
    }
    RETURN_IF_ERROR(CopyXattrs(entry, to));
    return ::futimens(to, times.data()) == 0 ? OkStatus() : ErrnoError(errno, ShownPath(entry));
  }

  Status CopyXattrs(const Entry& entry, int to) const {
    ASSIGN_OR_RETURN(const Xattrs xattrs, ReadXattrs(entry));
    for (const auto& [name, value] : xattrs) {
      if (::fsetxattr(to, name.c_str(), value.data(), value.size(), 0) != 0 && errno != ENOTSUP) {
        return ErrnoError(errno, fmt::format("{}: attribute {}", ShownPath(entry), name));
      }
    }
    return OkStatus();
  }

  Status CopyLink(const Entry& entry, int parent, const std::string& name) const {
    ASSIGN_OR_RETURN(const std::string target, ReadLinkOf(entry));
    const Owner owner = ownership_.OwnerOf(entry.attributes);
    const std::array<struct timespec, 2> times = {entry.attributes.st_atim,
                                                  entry.attributes.st_mtim};
    if (::symlinkat(target.c_str(), parent, name.c_str()) != 0 ||
        ::fchownat(parent, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0 ||
        ::utimensat(parent, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoError(errno, ShownPath(entry));
    }
    return OkStatus();
  }

  Status CopySpecial(const Entry& entry, int parent, const std::string& name) const {
    const Owner owner = ownership_.OwnerOf(entry.attributes);
    const std::array<struct timespec, 2> times = {entry.attributes.st_atim,
                                                  entry.attributes.st_mtim};
    if (::mknodat(parent, name.c_str(), (entry.attributes.st_mode & S_IFMT) | 0600,
                  entry.attributes.st_rdev) != 0 ||
        ::fchownat(parent, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0 ||
        ::fchmodat(parent, name.c_str(), ownership_.ModeOf(entry.attributes), 0) != 0 ||
        ::utimensat(parent, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoError(errno, ShownPath(entry));
    }
    return OkStatus();
  }

  const Ownership ownership_;
  const UniqueFd top_;
  const std::string name_;  // of what is selected; empty: its content goes into `top_`
  const bool keeps_destination_;
  CopyReport& report_;
  const std::stop_token& stop_;
  std::vector<Open> open_;
  std::map<std::pair<dev_t, ino_t>, std::string> first_names_;
};

/// One call of CopyFiles.
class Copying {
 public:
  Copying(const CopyRequest& request, UniqueFd root, const syntax::IgnoreFile* exclude,
          const std::stop_token& stop)
      : request_(request), root_(std::move(root)), exclude_(exclude), stop_(stop) {}

  StatusOr<CopyReport> Run() {
    for (const CopySource& source : request_.sources) {
      ASSIGN_OR_RETURN(const std::vector<std::string> selected, Select(source, request_.parents));
      if (request_.parents) {
        // There also when a pattern matches nothing, as after BuildKit's --parents.
        RETURN_IF_ERROR(
            Ensure(request_.destination, Ownership(request_, source.zero_owners)).status());
      }
      for (const std::string& path : selected) {
        RETURN_IF_ERROR(CopySelected(source, path));
      }
    }
    RETURN_IF_ERROR(DateMadeDirectories());
    return report_;
  }

 private:
  Status CopySelected(const CopySource& source, const std::string& path) {
    const Ownership ownership(request_, source.zero_owners);
    ASSIGN_OR_RETURN(const UniqueFd from, OpenRoot(source.root));
    ASSIGN_OR_RETURN(const UniqueFd found, OpenInRoot(from.get(), path, O_PATH));
    struct stat attributes{};
    if (::fstat(found.get(), &attributes) != 0) {
      return ErrnoError(errno, path);
    }
    last_modified_ = attributes.st_mtim;
    if (source.unpack && S_ISREG(attributes.st_mode)) {
      ASSIGN_OR_RETURN(const bool unpacked, Unpack(found, ownership));
      if (unpacked) {
        return OkStatus();
      }
    }
    if (request_.parents) {
      return CopyWithParents(source, path, from.get(), ownership, S_ISDIR(attributes.st_mode));
    }
    if (S_ISDIR(attributes.st_mode)) {
      ASSIGN_OR_RETURN(UniqueFd to, Ensure(request_.destination, ownership));
      return Place(source, path, ownership, std::move(to), "");
    }
    const std::string name = path.substr(path.rfind('/') + 1);
    const auto existing = OpenInRoot(root_.get(), request_.destination, O_PATH | O_DIRECTORY);
    if (request_.destination.ends_with('/') || existing.ok()) {
      ASSIGN_OR_RETURN(UniqueFd to, Ensure(request_.destination, ownership));
      return Place(source, path, ownership, std::move(to), name);
    }
    const std::filesystem::path destination = request_.destination;
    ASSIGN_OR_RETURN(UniqueFd to, Ensure(destination.parent_path().native(), ownership));
    return Place(source, path, ownership, std::move(to), destination.filename());
  }

  Status Place(const CopySource& source, const std::string& path, const Ownership& ownership,
               UniqueFd to, const std::string& name) {
    Copier copier(ownership, std::move(to), name, /*keeps_destination=*/name.empty(), report_,
                  stop_);
    return Annotate(Visit(source, path, exclude_, copier), "/" + path);
  }

  StatusOr<UniqueFd> Ensure(std::string_view path, const Ownership& ownership) {
    return EnsureDirectory(root_.get(), path, [&](int directory) -> Status {
      if (request_.date_made_directories) {
        ASSIGN_OR_RETURN(UniqueFd made, CopyFd(directory));
        made_.push_back(std::move(made));
      }
      return ownership.ApplyToMade(directory);
    });
  }

  /// At the end: whatever is put into a directory changes its time.
  Status DateMadeDirectories() const {
    const std::array<struct timespec, 2> times = {last_modified_, last_modified_};
    for (const UniqueFd& directory : made_) {
      if (::futimens(directory.get(), times.data()) != 0) {
        return ErrnoError(errno, "the time of a new directory");
      }
    }
    return OkStatus();
  }

  /// The path from its pivot on, below the destination; directories on the way are as in the
  /// source.
  Status CopyWithParents(const CopySource& source, const std::string& path, int from,
                         const Ownership& ownership, bool is_directory) {
    const size_t pivot = source.path.find("/./");
    const size_t skipped = pivot == std::string::npos
                               ? 0
                               : PartsOf(std::string_view(source.path).substr(0, pivot)).size();
    const std::vector<std::string> parts = PartsOf(path);
    ASSIGN_OR_RETURN(UniqueFd to, Ensure(request_.destination, ownership));
    std::string walked;
    for (size_t i = 0; i < parts.size(); ++i) {
      walked += (walked.empty() ? "" : "/") + parts[i];
      if (i < skipped) {
        continue;
      }
      if (i + 1 == parts.size()) {
        return Place(source, path, ownership, std::move(to), parts[i]);
      }
      ASSIGN_OR_RETURN(const UniqueFd original, OpenInRoot(from, walked, O_PATH | O_DIRECTORY));
      struct stat attributes{};
      if (::fstat(original.get(), &attributes) != 0) {
        return ErrnoError(errno, walked);
      }
      ASSIGN_OR_RETURN(UniqueFd next, EnsureDirectory(to.get(), parts[i], [&](int made) -> Status {
                         const Owner owner = ownership.OwnerOf(attributes);
                         const std::array<struct timespec, 2> times = {attributes.st_atim,
                                                                       attributes.st_mtim};
                         if (::fchown(made, owner.uid, owner.gid) != 0 ||
                             ::fchmod(made, ownership.ModeOf(attributes)) != 0 ||
                             ::futimens(made, times.data()) != 0) {
                           return ErrnoError(errno, walked);
                         }
                         return OkStatus();
                       }));
      to = std::move(next);
    }
    // All of it lies in front of the pivot.
    return is_directory ? Place(source, path, ownership, std::move(to), "") : OkStatus();
  }

  StatusOr<bool> Unpack(const UniqueFd& found, const Ownership& ownership) {
    ASSIGN_OR_RETURN(const UniqueFd archive,
                     OpenEntry({.directory = found.get(), .name = ""}, O_RDONLY));
    ASSIGN_OR_RETURN(const bool is_archive, IsArchive(archive.get()));
    if (!is_archive) {
      return false;
    }
    ASSIGN_OR_RETURN(const UniqueFd to, Ensure(request_.destination, ownership));
    ASSIGN_OR_RETURN(const UnpackReport unpacked,
                     UnpackArchive(archive.get(), to.get(),
                                   {.owner = request_.owner,
                                    .chmod = request_.chmod,
                                    .max_bytes = request_.max_unpacked_bytes},
                                   stop_));
    report_.files += unpacked.files;
    report_.bytes += unpacked.bytes;
    return true;
  }

  const CopyRequest& request_;
  const UniqueFd root_;
  const syntax::IgnoreFile* const exclude_;
  const std::stop_token& stop_;
  CopyReport report_;
  std::vector<UniqueFd> made_;
  struct timespec last_modified_{};
};

}  // namespace

StatusOr<CopyReport> CopyFiles(const CopyRequest& request, const std::filesystem::path& root,
                               const std::stop_token& stop) {
  ASSIGN_OR_RETURN(UniqueFd opened, OpenRoot(root));
  ASSIGN_OR_RETURN(const std::unique_ptr<const syntax::IgnoreFile> exclude,
                   ParseExcludes(request.exclude));
  return Copying(request, std::move(opened), exclude.get(), stop).Run();
}

Status MakeDirectory(const std::filesystem::path& root, std::string_view path, Owner owner) {
  ASSIGN_OR_RETURN(const UniqueFd opened, OpenRoot(root));
  return EnsureDirectory(opened.get(), path,
                         [&](int directory) {
                           return ::fchown(directory, owner.uid, owner.gid) == 0
                                      ? OkStatus()
                                      : ErrnoError(errno, std::string(path));
                         })
      .status();
}

uint32_t ChangedMode(const syntax::ModeChange& change, uint32_t mode, bool is_directory) {
  if (change.octal) {
    return *change.octal;
  }
  constexpr uint32_t kExecute = 0111;
  for (const syntax::ModeChange::Clause& clause : change.clauses) {
    const std::string who = clause.who.empty() || clause.who == "a" ? "ugo" : clause.who;
    uint32_t classes = 0;  // the permission bits of those who are meant
    for (const char one : who) {
      classes |= one == 'u' ? 0700U : one == 'g' ? 0070U : one == 'o' ? 0007U : 0777U;
    }
    uint32_t bits = 0;
    uint32_t special = 0;
    for (const char permission : clause.permissions) {
      switch (permission) {
        case 'r':
          bits |= 0444;
          break;
        case 'w':
          bits |= 0222;
          break;
        case 'x':
          bits |= kExecute;
          break;
        case 'X':
          bits |= is_directory || (mode & kExecute) != 0 ? kExecute : 0;
          break;
        case 's':
          special |= ((classes & 0700) != 0 ? 04000U : 0U) | ((classes & 0070) != 0 ? 02000U : 0U);
          break;
        case 't':
          special |= 01000;
          break;
        case 'u':
          bits |= ((mode >> 6U) & 7U) * kExecute;
          break;
        case 'g':
          bits |= ((mode >> 3U) & 7U) * kExecute;
          break;
        case 'o':
          bits |= (mode & 7U) * kExecute;
          break;
        default:
          break;
      }
    }
    const uint32_t changed = (bits & classes) | special;
    if (clause.operation == '+') {
      mode |= changed;
    } else if (clause.operation == '-') {
      mode &= ~changed;
    } else {
      const uint32_t all_special = ((classes & 0700) != 0 ? 04000U : 0U) |
                                   ((classes & 0070) != 0 ? 02000U : 0U) |
                                   ((classes & 0007) != 0 ? 01000U : 0U);
      mode = (mode & ~(classes | all_special)) | changed;
    }
  }
  return mode;
}

}  // namespace starling::dockerfile::files
