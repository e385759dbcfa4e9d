#include "engine/store_follower.h"

#include <map>

#include "engine/store_files.h"
#include "engine/stream_view.h"
#include "shards/follower.h"
#include "wal/mutex.h"

namespace tailrace {
namespace {

class StoreFollowerImpl final : public StoreFollower {
 public:
  StoreFollowerImpl(StoreId store, std::unique_ptr<shards::Follower> follower)
      : store_(store), follower_(std::move(follower)) {}

  Result<std::vector<StreamInfo>> ListStreams(const std::optional<std::string>& table) override;
  Result<StreamInfo> DescribeStream(StreamId stream) override;
  Result<Position> SeekShard(StreamId stream, ShardId shard, StartAt start, SequenceNumber number,
                             uint64_t wall_ms) override {
    return follower_->Seek(stream, shard, start, number, wall_ms);
  }
  Result<ChangePage> ReadShard(const Position& position, const PageLimits& limits) override;
  Result<bool> WaitShards(const std::vector<Position>& positions, uint64_t timeout_ms,
                          const wal::Interrupt* interrupt) override;
  Result<SequenceNumber> Published() override {
    TAILRACE_ASSIGN_OR_RETURN(const Lsn published, follower_->Published());
    return SequenceNumber{published.value};
  }
  Result<bool> OwnerLives() override { return follower_->OwnerLives(); }
  uint64_t sleeps() const override { return follower_->sleeps(); }

 private:
  using CataloguePointer = shards::Follower::CataloguePointer;
  struct Schema {
    shards::Stream stream;
    KeySchema keys;
  };
  Result<CataloguePointer> ShownCatalogue();
  Result<std::shared_ptr<const Schema>> SchemaOf(StreamId stream);

  const StoreId store_;
  const std::unique_ptr<shards::Follower> follower_;
  Mutex mutex_;
  CataloguePointer shown_ TAILRACE_GUARDED_BY(mutex_);  // What the caller has seen last.
  // Shared with reads under way.
  std::map<StreamId, std::shared_ptr<const Schema>> schemas_ TAILRACE_GUARDED_BY(mutex_);
};

Result<StoreFollowerImpl::CataloguePointer> StoreFollowerImpl::ShownCatalogue() {
  TAILRACE_ASSIGN_OR_RETURN(CataloguePointer catalogue, follower_->catalogue());
  const MutexLock lock(mutex_);
  if (catalogue) shown_ = catalogue;
  return catalogue;
}

Result<std::vector<StreamInfo>> StoreFollowerImpl::ListStreams(
    const std::optional<std::string>& table) {
  TAILRACE_ASSIGN_OR_RETURN(const CataloguePointer catalogue, ShownCatalogue());
  std::vector<StreamInfo> streams;
  if (!catalogue) return streams;
  for (const auto& [id, stream] : catalogue->streams()) {
    if (table && stream.table_name != *table) continue;
    TAILRACE_ASSIGN_OR_RETURN(StreamInfo info, engine::ViewStream(stream));
    streams.push_back(std::move(info));
  }
  return streams;
}

Result<StreamInfo> StoreFollowerImpl::DescribeStream(StreamId stream) {
  TAILRACE_ASSIGN_OR_RETURN(const CataloguePointer catalogue, ShownCatalogue());
  const shards::Stream* const found = catalogue ? catalogue->Find(stream) : nullptr;
  if (found != nullptr) return engine::ViewStream(*found);
  return NotFound("there is no stream " + std::to_string(stream.value));
}

// What it takes to decode the stream's records; it never changes. Null: nothing is published now.
Result<std::shared_ptr<const StoreFollowerImpl::Schema>> StoreFollowerImpl::SchemaOf(
    StreamId stream) {
  {
    const MutexLock lock(mutex_);
    const auto known = schemas_.find(stream);
    if (known != schemas_.end()) return known->second;
  }
  TAILRACE_ASSIGN_OR_RETURN(const CataloguePointer catalogue, follower_->catalogue());
  if (!catalogue) return std::shared_ptr<const Schema>();
  const shards::Stream* const found = catalogue->Find(stream);
  if (found == nullptr) {
    return NotFound("there is no stream " + std::to_string(stream.value) +
                    "; if it existed, its records have expired");
  }
  auto schema = std::make_shared<Schema>();
  schema->stream = *found;
  TAILRACE_ASSIGN_OR_RETURN(schema->keys, engine::FromProto(found->keys));
  const MutexLock lock(mutex_);
  return schemas_.emplace(stream, std::move(schema)).first->second;
}

Result<ChangePage> StoreFollowerImpl::ReadShard(const Position& position,
                                                const PageLimits& limits) {
  ChangePage view{.gap = std::nullopt, .records = {}, .next = position, .caught_up = true};
  TAILRACE_ASSIGN_OR_RETURN(const auto schema, SchemaOf(position.stream));
  if (!schema) return view;
  TAILRACE_ASSIGN_OR_RETURN(const shards::Page page, follower_->Read(position, limits));
  view.gap = page.gap;
  view.next = page.next;
  view.caught_up = page.caught_up;
  view.end_of_shard = page.end_of_shard;
  for (const shards::Record& record : page.records) {
    TAILRACE_ASSIGN_OR_RETURN(
        ChangeRecord one,
        engine::ViewRecord(store_, schema->stream, schema->keys, position.shard, record));
    view.records.push_back(std::move(one));
  }
  return view;
}

Result<bool> StoreFollowerImpl::WaitShards(const std::vector<Position>& positions,
                                           uint64_t timeout_ms, const wal::Interrupt* interrupt) {
  CataloguePointer shown;
  {
    const MutexLock lock(mutex_);
    shown = shown_;
  }
  return follower_->WaitAny(positions, shown, timeout_ms, interrupt);
}

}  // namespace

Result<std::unique_ptr<StoreFollower>> StoreFollower::Open(const std::string& directory,
                                                           wal::FileSystem& fs) {
  const engine::StorePaths paths(directory);
  TAILRACE_ASSIGN_OR_RETURN(const auto identity, engine::ReadIdentity(fs, paths));
  TAILRACE_ASSIGN_OR_RETURN(
      auto follower, shards::Follower::Open(fs, paths.streams, paths.lock, identity.store_id));
  return std::unique_ptr<StoreFollower>(
      std::make_unique<StoreFollowerImpl>(identity.store_id, std::move(follower)));
}

}  // namespace tailrace
