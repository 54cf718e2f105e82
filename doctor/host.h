#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "config/settings.h"
#include "doctor/finding.h"
#include "doctor/machine.h"
#include "setup/containerd_config.h"
#include "setup/k3s.h"
#include "setup/wanted.h"

namespace starling::doctor {

/// Who is to pull lazily.
enum class Client { kContainerd, kNerdctl, kCri, kK3s };

struct Places {
  std::string starling_config = "/etc/starling/config.toml";
  std::string containerd_config = "/etc/containerd/config.toml";
  std::string containerd_socket;   // empty: as its configuration says
  std::string containerd_version;  // empty: of the one that runs, or is installed
  std::string starling_socket;     // empty: as its configuration says
  std::string nerdctl_config = "/etc/nerdctl/nerdctl.toml";
  setup::K3sPlaces k3s;
  std::string snapshotter = "stargz";       // its name for clients
  std::string image;                        // empty: no registry is asked
  std::optional<std::set<Client>> clients;  // nothing: those that are found
};

/// The machine as checks see it: its files below a root, what it does when it is asked, and what is
/// known of both. Reads configurations when it is made.
class Host {
 public:
  /// Borrows `machine`.
  Host(std::filesystem::path root, Machine& machine, Places places);

  const std::filesystem::path& root() const { return root_; }
  Machine& machine() const { return machine_; }
  const Places& places() const { return places_; }
  bool Uses(Client client) const { return clients_.contains(client); }

  /// starlingd's settings; the defaults when there is no file or it is wrong, as `settings_status`
  /// tells.
  const config::Settings& settings() const { return settings_; }
  const Status& settings_status() const { return settings_status_; }
  const std::string& starling_socket() const { return starling_socket_; }
  const std::string& containerd_socket() const { return containerd_socket_; }
  /// Null when it cannot be read, as `containerd_status` tells.
  const setup::ContainerdConfig* containerd_config() const {
    return containerd_config_ ? &*containerd_config_ : nullptr;
  }
  const Status& containerd_status() const { return containerd_status_; }
  /// The one that runs.
  const StatusOr<RunningContainerd>& containerd() const { return containerd_; }
  /// Of the one that runs, that is installed, or that its configuration is for.
  setup::ContainerdVersion containerd_version() const { return containerd_version_; }
  /// As the file says, or will have to.
  int containerd_config_version() const;
  /// Whether mounts of lazy layers can have their IDs mapped.
  bool maps_ids() const;
  /// {6, 18} of "6.18.44".
  std::pair<int, int> kernel() const;

  struct Attributes {
    mode_t mode = 0;  // with the type
    uid_t owner = 0;
  };
  /// The file's text. kNotFound; kResourceExhausted when it is larger than a configuration.
  StatusOr<std::string> Read(const std::string& path) const;
  std::optional<Attributes> AttributesOf(const std::string& path) const;
  bool Exists(const std::string& path) const { return AttributesOf(path).has_value(); }
  /// The names in a directory, sorted; none when there is none.
  std::vector<std::string> Names(const std::string& directory) const;

  /// The step that gives `file` the values that are wanted; a file of TOML, or none yet.
  /// Without edits when it has them. An error is advice.
  Step Edit(const std::string& file, const setup::Wanted& wanted) const;
  /// Puts # in front of a line.
  Step CommentOut(const std::string& file, size_t line) const;
  /// Adds a line at the end of a file that may not exist.
  Step AddLine(const std::string& file, const std::string& line) const;
  /// What makes a service read its configuration.
  Step Restart(const std::string& service) const;

 private:
  void FindClients();
  std::filesystem::path On(const std::string& path) const;

  const std::filesystem::path root_;
  Machine& machine_;
  const Places places_;
  config::Settings settings_;
  Status settings_status_;
  std::string starling_socket_;
  std::optional<setup::ContainerdConfig> containerd_config_;
  Status containerd_status_;
  std::string containerd_socket_;
  StatusOr<RunningContainerd> containerd_;
  setup::ContainerdVersion containerd_version_;
  std::set<Client> clients_;
};

/// Where "FILE:LINE:COLUMN: what" points to; 0 when it does not begin so.
size_t LineOf(const Status& status, const std::string& file);

}  // namespace starling::doctor
