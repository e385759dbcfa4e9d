#include "engine/store_builder.h"

#include <algorithm>

#include "engine/directory_tree.h"
#include "shards/shard_header.h"
#include "wal/journal.h"

namespace tailrace::engine {
namespace {

// Its first opening makes segments of the size that it is opened with.
constexpr uint64_t kJournalSegmentBytes = 1 << 20;

}  // namespace

Result<std::unique_ptr<StoreBuilder>> StoreBuilder::Begin(wal::FileSystem& fs, const Clock& clock,
                                                          const std::string& directory,
                                                          wal::Durability durability) {
  std::unique_ptr<StoreBuilder> builder(new StoreBuilder(fs, clock, directory));
  StoreIdentity& identity = builder->identity_;
  identity.store_id = DrawStoreId();
  identity.durability = durability;
  identity.created_ms = clock.WallMs();
  identity.complete = true;
  TAILRACE_RETURN_IF_ERROR(builder->Claim());
  TAILRACE_RETURN_IF_ERROR(EnsureDirectory(fs, builder->paths_.streams));
  TAILRACE_ASSIGN_OR_RETURN(builder->index_,
                            ItemIndex::Open(fs, builder->paths_.items, {.create = true}));
  TAILRACE_ASSIGN_OR_RETURN(builder->ingest_, builder->index_->NewIngest());
  return builder;
}

Status StoreBuilder::Claim() {
  TAILRACE_RETURN_IF_ERROR(EnsureDirectory(fs_, paths_.directory));
  TAILRACE_RETURN_IF_ERROR(fs_.CheckPrivate(paths_.directory));
  TAILRACE_ASSIGN_OR_RETURN(const auto entries, fs_.List(paths_.directory));
  const auto has = [&](const char* name) {
    return std::any_of(entries.begin(), entries.end(),
                       [&](const auto& e) { return e.name == name; });
  };
  if (has("STORE") || (!entries.empty() && !has(kStoreUnfinishedName))) {
    return AlreadyExists(paths_.directory +
                         " is not empty, and nothing is overwritten; choose an empty or a new "
                         "directory");
  }
  TAILRACE_RETURN_IF_ERROR(
      wal::ReplaceFile(fs_, wal::JoinPath(paths_.directory, kStoreUnfinishedName), ""));
  TAILRACE_ASSIGN_OR_RETURN(lock_, fs_.Lock(paths_.lock));
  for (const wal::DirectoryEntry& entry : entries) {
    const std::string path = wal::JoinPath(paths_.directory, entry.name);
    if (entry.is_directory) {
      TAILRACE_RETURN_IF_ERROR(RemoveContents(fs_, path));
      TAILRACE_RETURN_IF_ERROR(fs_.RemoveDirectory(path));
    } else if (path != paths_.lock && entry.name != kStoreUnfinishedName) {
      TAILRACE_RETURN_IF_ERROR(fs_.Remove(path));
    }
  }
  return fs_.SyncDirectory(paths_.directory);
}

Status StoreBuilder::AddLogFile(StreamId stream, ShardId shard, const std::string& name,
                                ByteView bytes) {
  TAILRACE_RETURN_IF_ERROR(EnsureDirectories(
      fs_, paths_.streams,
      wal::JoinPath(shards::StreamDirectoryName(stream), shards::ShardDirectoryName(shard))));
  return wal::ReplaceFile(
      fs_, wal::JoinPath(shards::ShardPath(paths_.streams, stream, shard), name), bytes);
}

// Positions of the old store are in use in its streams: the new journal begins above all of them.
// It is closed at once, with nothing in it.
Result<Lsn> StoreBuilder::MakeJournal(const Cut& old) {
  const wal::JournalStart start{.store_id = identity_.store_id,
                                .epoch_floor = Epoch{old.epoch()},
                                .start_floor = Lsn{old.lsn()},
                                .may_create = true};
  wal::JournalOptions options;
  options.durability = identity_.durability;
  options.segment_bytes = kJournalSegmentBytes;
  TAILRACE_ASSIGN_OR_RETURN(const auto journal,
                            wal::OpenJournal(fs_, clock_, paths_.journal, start, options));
  TAILRACE_RETURN_IF_ERROR(journal->Close());
  return journal->recovery().start;
}

Status StoreBuilder::Finish(Cut cut) {
  TAILRACE_ASSIGN_OR_RETURN(const Lsn start, MakeJournal(cut));
  cut.set_store_id(identity_.store_id.value);
  cut.set_lsn(start.value);
  cut.set_epoch(cut.epoch() + 1);
  // Positions of readers name the store, and there are none of this one yet.
  cut.mutable_catalogue()->mutable_streams()->clear_jumps();
  TAILRACE_RETURN_IF_ERROR(ingest_->Finish());
  TAILRACE_RETURN_IF_ERROR(ingest_->Commit(cut.SerializeAsString()));
  ingest_.reset();
  index_.reset();
  TAILRACE_RETURN_IF_ERROR(fs_.SyncDirectory(paths_.directory));
  TAILRACE_RETURN_IF_ERROR(WriteIdentity(fs_, paths_, identity_));
  TAILRACE_RETURN_IF_ERROR(fs_.Remove(wal::JoinPath(paths_.directory, kStoreUnfinishedName)));
  return fs_.SyncDirectory(paths_.directory);
}

}  // namespace tailrace::engine
