#include "engine/recovery.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>

#include "engine/cut.pb.h"
#include "engine/fold.h"
#include "wal/named_thread.h"

namespace tailrace::engine {
namespace {

// Of a process's descriptors RocksDB (engine/rocks_index.cc) and the application need some too.
constexpr rlim_t kDescriptorsForLogFile = 4;
constexpr rlim_t kLogFilesOpenMin = 64;
constexpr rlim_t kLogFilesOpenMax = 4096;

constexpr uint64_t kJournalReserveBytes = 1ull << 30;

uint32_t ShardLogHandlesMax(const StoreOptions& options) {
  if (options.shard_log_handles_max != 0) return options.shard_log_handles_max;
  rlimit descriptors{};
  if (::getrlimit(RLIMIT_NOFILE, &descriptors) != 0) return kLogFilesOpenMin;
  return static_cast<uint32_t>(std::clamp(descriptors.rlim_cur / kDescriptorsForLogFile,
                                          kLogFilesOpenMin, kLogFilesOpenMax));
}

Status ValidateOptions(const StoreOptions& options) {
  if (options.fs == nullptr || options.clock == nullptr) {
    return InvalidArgument("a store needs a file system and a clock");
  }
  if (options.generation_bytes_max == 0 ||
      options.journal_bytes_max / 2 < options.generation_bytes_max) {
    return InvalidArgument(
        "journal_bytes_max must be at least twice generation_bytes_max, which must "
        "not be 0");
  }
  if (options.journal_segment_bytes % wal::kBlockBytes != 0 ||
      options.journal_segment_bytes < wal::kJournalSegmentBytesMin ||
      options.journal_segment_bytes > wal::kJournalSegmentBytesMax) {
    return InvalidArgument("journal_segment_bytes must be a multiple of " +
                           std::to_string(wal::kBlockBytes) + " between " +
                           std::to_string(wal::kJournalSegmentBytesMin) + " and " +
                           std::to_string(wal::kJournalSegmentBytesMax));
  }
  if (options.shards_per_stream == 0 || options.shards_per_stream > kShardsPerStreamMax) {
    return InvalidArgument("shards_per_stream must be 1 to " + std::to_string(kShardsPerStreamMax));
  }
  if (options.shard_split_window_ms == 0) {
    return InvalidArgument("shard_split_window_ms must not be 0");
  }
  if (options.expiry_items_per_second == 0 || options.expiry_queue_bytes_max == 0) {
    return InvalidArgument(
        "expiry_items_per_second and expiry_queue_bytes_max must not be 0; a table's time to live "
        "is off until it is enabled");
  }
  if (options.backfill_items_per_second == 0) {
    return InvalidArgument("backfill_items_per_second must not be 0");
  }
  if (options.shard_segment_bytes_max == 0) {
    return InvalidArgument("shard_segment_bytes_max must not be 0");
  }
  if (options.retention_ms == 0) return InvalidArgument("retention_ms must not be 0");
  return Status::Ok();
}

// Reads or draws the store's identity.
Result<StoreIdentity> FindIdentity(Core& core) {
  wal::FileSystem& fs = *core.options.fs;
  auto identity = ReadIdentity(fs, core.paths);
  if (identity.ok()) {
    if (identity->durability != core.options.durability) {
      return InvalidArgument(
          core.paths.directory + " was made with durability '" +
          (identity->durability == wal::Durability::kSync ? "sync" : "buffered") +
          "', which is fixed; open it with that one");
    }
    return identity;
  }
  if (identity.status().code() != StatusCode::kNotFound) return identity;
  StoreIdentity fresh;
  fresh.store_id = DrawStoreId();
  fresh.durability = core.options.durability;
  fresh.created_ms = core.options.clock->WallMs();
  TAILRACE_RETURN_IF_ERROR(WriteIdentity(fs, core.paths, fresh));
  return fresh;
}

// The cut of a store nothing was written to.
Cut EmptyCut(const StoreIdentity& identity) {
  Cut cut;
  cut.set_store_id(identity.store_id.value);
  cut.set_lsn(wal::kFirstLsn.value);
  return cut;
}

// Opens the item index and reads its cut. A store that was never complete may have half of it.
Result<Cut> OpenIndex(Core& core) {
  wal::FileSystem& fs = *core.options.fs;
  ItemIndexOptions options;
  options.block_cache_bytes = core.options.block_cache_bytes;
  options.item_cache_bytes = core.options.item_cache_bytes;
  options.shared_table_bytes_max = core.options.shared_table_bytes_max;
  options.ingest_bytes_expected = core.options.generation_bytes_max;
  options.background_work = core.options.threads == StoreThreads::kOwn;
  TAILRACE_ASSIGN_OR_RETURN(const bool exists,
                            fs.Exists(wal::JoinPath(core.paths.items, "CURRENT")));
  if (!exists && core.identity.complete) {
    return Corruption(core.paths.items +
                      " has lost its CURRENT file; restore the store from a copy");
  }
  options.create = !exists;
  auto index = ItemIndex::Open(fs, core.paths.items, options);
  if (core.identity.complete && index.status().code() == StatusCode::kNotFound) {
    // To the caller, "not found" would say that there is no store.
    return Corruption(core.paths.items + " has lost a file: " + index.status().message());
  }
  TAILRACE_RETURN_IF_ERROR(index.status());
  core.index = std::move(*index);
  TAILRACE_ASSIGN_OR_RETURN(auto bytes, core.index->ReadCut());
  if (!bytes) {
    if (core.identity.complete) return Corruption(core.paths.items + " has lost its cut");
    TAILRACE_ASSIGN_OR_RETURN(auto ingest, core.index->NewIngest());
    bytes = EmptyCut(core.identity).SerializeAsString();
    TAILRACE_RETURN_IF_ERROR(ingest->Commit(*bytes));
  }
  Cut cut;
  if (!cut.ParseFromString(*bytes))
    return Corruption(core.paths.items + ": the cut cannot be read");
  if (cut.store_id() != core.identity.store_id.value) {
    return Corruption(core.paths.items + " belongs to another store");
  }
  return cut;
}

Status OpenTheJournal(Core& core, const Cut& cut) {
  wal::JournalStart start;
  start.store_id = core.identity.store_id;
  // A store that was never complete may have no journal yet: nothing of it is known to be durable.
  if (core.identity.complete) start.from = start.known_durable = Lsn{cut.lsn()};
  start.epoch_floor = Epoch{cut.epoch()};
  start.may_create = !core.identity.complete;

  wal::JournalOptions options;
  options.durability = core.options.durability;
  options.threads = core.options.threads == StoreThreads::kOwn ? wal::JournalThreads::kOwn
                                                               : wal::JournalThreads::kNone;
  options.segment_bytes = core.options.journal_segment_bytes;
  // The store keeps the limit itself, before it takes the commit gate; the journal's own is out of
  // reach.
  options.live_bytes_max =
      std::min(core.options.journal_bytes_max, UINT64_MAX - 2 * kJournalReserveBytes) +
      kJournalReserveBytes;
  options.reserved_bytes = kJournalReserveBytes;
  options.on_durable = [&core](Lsn durable) { core.positions->AdvanceDurable(durable); };
  options.on_failure = [&core](const Status& cause) {
    core.Fail(cause.WithContext("the journal could not be written"));
  };
  core.positions = std::make_unique<wal::Positions>(core.options.durability, Lsn{cut.lsn()});
  TAILRACE_ASSIGN_OR_RETURN(core.journal, wal::OpenJournal(*core.options.fs, *core.options.clock,
                                                           core.paths.journal, start, options));
  return Status::Ok();
}

// What a rate a second makes in a window: at least 1 unless there is none, and not beyond 64 bits.
uint64_t InWindow(uint64_t per_second, uint64_t window_ms) {
  if (per_second == 0) return 0;
  __extension__ using Wide = unsigned __int128;
  const Wide total = Wide{per_second} * window_ms / 1000;
  return static_cast<uint64_t>(std::clamp<Wide>(total, 1, UINT64_MAX));
}

Status OpenShards(Core& core, const Cut& cut) {
  TAILRACE_ASSIGN_OR_RETURN(const bool exists, core.options.fs->Exists(core.paths.streams));
  if (!exists && core.identity.complete) {
    return Corruption(core.paths.streams + " is missing; restore the store from a copy");
  }
  shards::ShardSetState state;
  state.catalogue = cut.catalogue().streams();
  state.ends.assign(cut.shard_ends().begin(), cut.shard_ends().end());
  shards::ShardSetOptions options;
  options.open_files_max = ShardLogHandlesMax(core.options);
  options.segment_bytes_max = core.options.shard_segment_bytes_max;
  options.segment_age_ms_max = core.options.shard_segment_age_ms_max;
  const uint64_t window_ms = core.options.shard_split_window_ms;
  options.load = {.window_ms = window_ms,
                  .records_max = InWindow(core.options.shard_split_records_per_second, window_ms),
                  .bytes_max = InWindow(core.options.shard_split_bytes_per_second, window_ms)};
  options.followers = true;
  options.on_busy_shard = [&core] { core.upkeep_bell.Ring(); };
  TAILRACE_ASSIGN_OR_RETURN(
      core.shards, shards::ShardSet::Open(*core.options.fs, core.paths.streams,
                                          core.identity.store_id, core.journal->recovery().epoch,
                                          state, core.journal->recovery().epochs, options));
  return Status::Ok();
}

// Calls `fold` with every frame above the cut, in order.
Status ForEachFrame(const wal::Journal& journal, const Cut& cut,
                    const std::function<Status(const wal::Frame&)>& fold) {
  Lsn at{cut.lsn()};
  while (true) {
    const auto frame = journal.Read(at);
    if (frame.status().code() == StatusCode::kNotFound) return Status::Ok();
    TAILRACE_RETURN_IF_ERROR(frame.status());
    TAILRACE_RETURN_IF_ERROR(fold(*frame));
    at = frame->end;
  }
}

Status ReplayItems(Core& core, const Cut& cut, FoldState& state) {
  return ForEachFrame(*core.journal, cut, [&](const wal::Frame& frame) {
    TAILRACE_RETURN_IF_ERROR(ApplyFrame(frame, state, core.buffer));
    core.positions->Enter(core.positions->entered(), frame.end);
    ++core.recovery.frames;
    return Status::Ok();
  });
}

Status ReplayShards(Core& core, const Cut& cut) {
  return ForEachFrame(*core.journal, cut,
                      [&](const wal::Frame& frame) { return core.shards->Apply(frame); });
}

// Folds every frame above the cut into state and shard logs, which know nothing of each other: at
// the same time, if there may be threads.
Status ReplayBoth(Core& core, const Cut& cut, FoldState& state) {
  if (core.options.threads == StoreThreads::kNone) {
    TAILRACE_RETURN_IF_ERROR(ReplayItems(core, cut, state));
    return ReplayShards(core, cut);
  }
  Status shards_replayed;
  std::thread shards = NamedThread("tr-replay", [&] { shards_replayed = ReplayShards(core, cut); });
  const Status items_replayed = ReplayItems(core, cut, state);
  shards.join();
  return items_replayed.ok() ? shards_replayed : items_replayed;
}

// Returns the last clock reading.
Result<ClockReading> Replay(Core& core, const Cut& cut) {
  FoldState state;
  TAILRACE_ASSIGN_OR_RETURN(state.catalogue, Catalogue::FromProto(cut.catalogue()));
  state.clock = {cut.clock().wall_ms(), cut.clock().age_ms(), cut.clock().pending_downtime_ms()};
  TAILRACE_RETURN_IF_ERROR(ReplayBoth(core, cut, state));
  // Over the positions that the last run had reserved and did not use.
  const Lsn end = core.positions->entered();
  const Lsn start = core.journal->recovery().start;
  if (end < start) core.positions->Jump(end, start);
  core.catalogue.Set(std::move(state.catalogue));
  core.positions->AdvanceDurable(core.journal->durable());
  TAILRACE_RETURN_IF_ERROR(core.shards->Publish(core.positions->entered()));
  core.positions->AdvanceFannedOut(core.positions->entered());
  return state.clock;
}

// The first frame of the epoch: when it began, and how much downtime the wall clock claims.
Status AppendOpened(Core& core) {
  const ClockReading now = core.clock->Now();
  frames::Clock opened;
  opened.set_wall_ms(now.wall_ms);
  opened.set_age_ms(now.age_ms);
  opened.set_pending_downtime_ms(now.pending_downtime_ms);
  opened.set_reason(frames::OPENED);
  const GateExclusive gate(core.gate);
  return AppendControl(core, shards::kClockFrame, opened.SerializeAsString()).status();
}

void ReportOpening(const Core& core) {
  const wal::JournalRecovery& found = core.journal->recovery();
  core.Report(Event::Kind::kOpened, "epoch " + std::to_string(found.epoch.value) + ", " +
                                        std::to_string(core.recovery.frames) +
                                        " frames replayed, " +
                                        (found.clean_close ? "closed properly" : "not closed"));
  if (found.torn_bytes > 0) {
    core.Report(Event::Kind::kTornTailCut,
                std::to_string(found.torn_bytes) + " bytes of an unfinished tail were cut" +
                    (found.torn_copy.empty() ? "" : "; a copy is in " + found.torn_copy));
  }
  if (core.clock->PendingDowntimeMs() > 0) {
    core.Report(Event::Kind::kDowntimePending,
                std::to_string(core.clock->PendingDowntimeMs()) +
                    " ms of downtime, by the wall clock, do not count as age yet");
  }
  if (core.clock->WentBackMs() > 0) {
    core.Report(Event::Kind::kClockWentBack, "the wall clock is " +
                                                 std::to_string(core.clock->WentBackMs()) +
                                                 " ms behind its last reading");
  }
}

}  // namespace

Result<std::unique_ptr<Core>> OpenCore(const std::string& directory, const StoreOptions& options) {
  const auto began = std::chrono::steady_clock::now();
  TAILRACE_RETURN_IF_ERROR(ValidateOptions(options));
  auto core = std::make_unique<Core>(options, StorePaths(directory));
  wal::FileSystem& fs = *options.fs;
  TAILRACE_ASSIGN_OR_RETURN(core->lock, ClaimDirectory(fs, core->paths, options.create_if_missing));
  TAILRACE_ASSIGN_OR_RETURN(core->identity, FindIdentity(*core));
  TAILRACE_ASSIGN_OR_RETURN(const Cut cut, OpenIndex(*core));
  TAILRACE_RETURN_IF_ERROR(OpenTheJournal(*core, cut));
  TAILRACE_RETURN_IF_ERROR(OpenShards(*core, cut));
  TAILRACE_ASSIGN_OR_RETURN(const ClockReading last, Replay(*core, cut));
  // Before the first checkpoint, which writes what an older build does not know.
  if (!core->identity.complete || core->identity.format_version != kStoreFormatVersion) {
    // A complete store that lacks a directory has lost it: none may have a name that is not sure.
    TAILRACE_RETURN_IF_ERROR(fs.SyncDirectory(core->paths.directory));
    core->identity.complete = true;
    TAILRACE_RETURN_IF_ERROR(WriteIdentity(fs, core->paths, core->identity));
  }
  core->clock =
      std::make_unique<StoreClock>(*options.clock, last, options.downtime_confirmation_ms);
  core->fan_out = std::make_unique<shards::FanOut>(
      *core->journal, *core->positions, *core->shards, [raw = core.get()](const Status& cause) {
        raw->Fail(cause.WithContext("the shard logs could not be written"));
      });
  if (options.threads == StoreThreads::kNone) {
    core->positions->SetWorkers(
        {.make_durable = [raw = core.get()](Lsn end) { return raw->journal->WaitDurable(end); },
         .fan_out = [raw = core.get()] { return raw->fan_out->RunInline(); }});
  } else {
    core->positions->SetWorkers(
        {.hasten = [raw = core.get()](Lsn end) { raw->journal->Hasten(end); }});
  }
  TAILRACE_RETURN_IF_ERROR(AppendOpened(*core));
  core->recovery.torn_bytes = core->journal->recovery().torn_bytes;
  core->recovery.clean_close = core->journal->recovery().clean_close;
  core->recovery.duration_us =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                std::chrono::steady_clock::now() - began)
                                .count());
  ReportOpening(*core);
  return core;
}

}  // namespace tailrace::engine
