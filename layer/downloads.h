#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/mutex.h"
#include "base/status.h"
#include "layer/blob_sources.h"
#include "layer/buffer_budget.h"
#include "layer/chunk_table.h"
#include "layer/fetch_plan.h"
#include "layer/layer_context.h"
#include "layer/layer_tally.h"
#include "layer/recent_fetches.h"
#include "oci/blob_reader.h"

namespace starling::layer {

/// Members that are to come with one request, and what was learnt by trying.
struct Fetch {
  PlannedFetch plan;
  oci::FetchClass fetch_class = oci::FetchClass::kDemand;
  bool is_refetch = false;                      // the second try after a digest mismatch
  bool has_room = false;                        // the scheduler has made room for it
  std::optional<BlobSources::TimePoint> begun;  // when it was first to be sent
  BlobSources::Experience sources;
};

/// Errors that say nothing about the bytes: every member of the range shares them.
bool IsTransportError(StatusCode code);
/// Those of them that more time may cure.
bool IsOutage(StatusCode code);

/// Brings members of one layer over the network: opens the places that have them, keeps to the
/// memory that is there, and cuts what comes into members. What fails at one place goes on at the
/// next. With a scheduler, a demand request that is late is sent a second time, elsewhere if
/// possible; the first that brings bytes counts.
///
/// Threads: safe. No call blocks for the network.
class Downloads {
 public:
  /// So often other places are looked for while a request gets no byte from where it was sent.
  static constexpr std::chrono::seconds kHedgeAgain{2};
  /// Who joins a fetch later than this after its beginning has had less time than it may take.
  static constexpr std::chrono::seconds kLateAfter{1};

  struct Arrival {
    uint32_t member = 0;
    std::shared_ptr<const Bytes> compressed;
    /// Takes room in memory until this is let go of.
    std::shared_ptr<const Fetch> fetch;
    BlobSources::Id source = 0;
    BlobSources::TimePoint sent;  // what failed elsewhere before included
    BlobSources::TimePoint came;
  };

  /// Who wants the members. Called on the executor's threads or, where it says so, on the
  /// network's, with no lock held.
  class Client {
   public:
    virtual ~Client() = default;
    /// All of a member came. On the network's threads.
    virtual void OnMember(Arrival arrival) = 0;
    /// What is left of a fetch is to begin again: there is another place for it.
    virtual void OnMoves(const Fetch& fetch) = 0;
    /// What is left of a fetch has failed wherever it was tried.
    virtual void OnFailed(const Fetch& fetch, const Status& error) = 0;
    /// A place is open, as IsOpen wanted for these classes.
    virtual void OnOpened(const std::set<oci::FetchClass>& classes) = 0;
    /// None could be opened for those that IsOpen was asked for.
    virtual void OnNothingOpened() = 0;
    /// A request has ended; its layer is left out. On the network's threads.
    virtual void OnRequestEnded(const TracedFetch& fetch) = 0;
  };

  /// Borrows all of them for as long as the client lives, who therefore owns this.
  Downloads(const ChunkTable& table, BlobSources& sources, LayerTally& tally, LayerContext& context)
      : table_(table), sources_(sources), tally_(tally), context_(context) {}

  /// Begins the fetch, unless closed. What is on its way owns `client`.
  void Start(Fetch fetch, const std::shared_ptr<Client>& client);
  /// Whether something that is sent now is on its way at once. If not, a place is opened, and
  /// OnOpened or OnNothingOpened called.
  bool IsOpen(oci::FetchClass fetch_class, const std::shared_ptr<Client>& client);
  /// Forgets what waits to be sent; of what is on its way nothing begins again.
  void Close();

 private:
  struct Attempt;
  struct Download;
  using DownloadPtr = std::shared_ptr<Download>;
  using AttemptPtr = std::shared_ptr<Attempt>;
  using ClientPtr = std::shared_ptr<Client>;

  void OpenSources(const ClientPtr& client);
  void TellOnceOpen(const std::set<oci::FetchClass>& classes, const ClientPtr& client);
  void SendOnceThereIsRoom(const BlobSources::Source& source, const Fetch& fetch,
                           const ClientPtr& client);
  void Send(const BlobSources::Source& source, const Fetch& fetch,
            std::shared_ptr<BufferBudget::Room> room, const ClientPtr& client);
  void SendAttempt(const DownloadPtr& download, const AttemptPtr& attempt,
                   const oci::ReadOptions& options);
  uint64_t DecodedBytesOf(const PlannedFetch& plan) const;
  void HedgeIfLate(const DownloadPtr& download, const std::string& host);
  void HedgeAfter(std::chrono::milliseconds delay, const DownloadPtr& download);
  void Hedge(const DownloadPtr& download);
  void OnPart(const DownloadPtr& download, const AttemptPtr& attempt, ByteSpan part);
  void OnEnded(const DownloadPtr& download, const AttemptPtr& attempt, Status status);
  TracedFetch Traced(const Fetch& fetch, const Attempt& attempt, const Status& status) const;
  bool GoOnOrFail(Fetch fetch, BlobSources::Id source, const Status& error,
                  const ClientPtr& client);
  bool GoesOnElsewhere(Fetch& fetch, BlobSources::Id source, const Status& error);

  const ChunkTable& table_;
  BlobSources& sources_;
  LayerTally& tally_;
  LayerContext& context_;

  Mutex mutex_;  // leaf
  bool closed_ GUARDED_BY(mutex_) = false;
  bool opening_ GUARDED_BY(mutex_) = false;
  std::vector<Fetch> waiting_for_source_ GUARDED_BY(mutex_);
  std::set<oci::FetchClass> classes_waiting_for_source_ GUARDED_BY(mutex_);
};

}  // namespace starling::layer
