#include "engine/store_follower.h"

#include <map>

#include "engine/fork_guard.h"
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

  Result<std::vector<StreamInfo>> ListStreams(
      const std::optional<std::string>& table) noexcept override;
  Result<StreamInfo> DescribeStream(StreamId stream) noexcept override;
  Result<Position> SeekShard(StreamId stream, ShardId shard, StartAt start, SequenceNumber number,
                             uint64_t wall_ms) noexcept override {
    TAILRACE_RETURN_IF_ERROR(MayCall());
    return follower_->Seek(stream, shard, start, number, wall_ms);
  }
  Result<ChangePage> ReadShard(const Position& position,
                               const PageLimits& limits) noexcept override {
    EncodedPage page;
    TAILRACE_RETURN_IF_ERROR(ReadEncoded(position, limits, page));
    return engine::ViewPage(page);
  }
  Status ReadEncoded(const Position& position, const PageLimits& limits,
                     EncodedPage& page) noexcept override;
  Result<bool> WaitShards(const std::vector<Position>& positions, uint64_t timeout_ms,
                          const wal::Interrupt* interrupt) noexcept override;
  Result<SequenceNumber> Published() noexcept override {
    TAILRACE_RETURN_IF_ERROR(MayCall());
    TAILRACE_ASSIGN_OR_RETURN(const Lsn published, follower_->Published());
    return SequenceNumber{published.value};
  }
  Result<bool> OwnerLives() noexcept override {
    TAILRACE_RETURN_IF_ERROR(MayCall());
    return follower_->OwnerLives();
  }
  uint64_t sleeps() const noexcept override { return follower_->sleeps(); }

 private:
  using CataloguePointer = shards::Follower::CataloguePointer;
  using SchemaPointer = std::shared_ptr<const engine::RecordSchema>;
  Status MayCall() const { return fork_guard_.Check("follower"); }
  Result<CataloguePointer> ShownCatalogue();
  Result<SchemaPointer> SchemaOf(StreamId stream);

  const engine::ForkGuard fork_guard_;
  const StoreId store_;
  const std::unique_ptr<shards::Follower> follower_;
  Mutex mutex_;
  CataloguePointer shown_ TAILRACE_GUARDED_BY(mutex_);  // What the caller has seen last.
  // Shared with reads under way.
  std::map<StreamId, SchemaPointer> schemas_ TAILRACE_GUARDED_BY(mutex_);
};

Result<StoreFollowerImpl::CataloguePointer> StoreFollowerImpl::ShownCatalogue() {
  TAILRACE_RETURN_IF_ERROR(MayCall());
  TAILRACE_ASSIGN_OR_RETURN(CataloguePointer catalogue, follower_->catalogue());
  const MutexLock lock(mutex_);
  if (catalogue) shown_ = catalogue;
  return catalogue;
}

Result<std::vector<StreamInfo>> StoreFollowerImpl::ListStreams(
    const std::optional<std::string>& table) noexcept {
  TAILRACE_ASSIGN_OR_RETURN(const CataloguePointer catalogue, ShownCatalogue());
  return catalogue ? engine::ViewStreams(*catalogue, table) : std::vector<StreamInfo>();
}

Result<StreamInfo> StoreFollowerImpl::DescribeStream(StreamId stream) noexcept {
  TAILRACE_ASSIGN_OR_RETURN(const CataloguePointer catalogue, ShownCatalogue());
  return catalogue ? engine::ViewStream(*catalogue, stream) : engine::NoStream(stream);
}

// Null: nothing is published now.
Result<StoreFollowerImpl::SchemaPointer> StoreFollowerImpl::SchemaOf(StreamId stream) {
  {
    const MutexLock lock(mutex_);
    const auto known = schemas_.find(stream);
    if (known != schemas_.end()) return known->second;
  }
  TAILRACE_ASSIGN_OR_RETURN(const CataloguePointer catalogue, follower_->catalogue());
  if (!catalogue) return SchemaPointer();
  const shards::Stream* const found = catalogue->Find(stream);
  if (found == nullptr) return engine::NoStream(stream);
  TAILRACE_ASSIGN_OR_RETURN(SchemaPointer schema, engine::SchemaOf(store_, *found));
  const MutexLock lock(mutex_);
  return schemas_.emplace(stream, std::move(schema)).first->second;
}

Status StoreFollowerImpl::ReadEncoded(const Position& position, const PageLimits& limits,
                                      EncodedPage& page) noexcept {
  page.Clear();
  TAILRACE_RETURN_IF_ERROR(MayCall());
  TAILRACE_ASSIGN_OR_RETURN(page.schema, SchemaOf(position.stream));
  if (page.schema) return follower_->Read(position, limits, page);
  page.next = position;
  page.caught_up = true;
  return Status::Ok();
}

Result<bool> StoreFollowerImpl::WaitShards(const std::vector<Position>& positions,
                                           uint64_t timeout_ms,
                                           const wal::Interrupt* interrupt) noexcept {
  TAILRACE_RETURN_IF_ERROR(MayCall());
  CataloguePointer shown;
  {
    const MutexLock lock(mutex_);
    shown = shown_;
  }
  return follower_->WaitAny(positions, shown, timeout_ms, interrupt);
}

}  // namespace

Result<std::unique_ptr<StoreFollower>> StoreFollower::Open(const std::string& directory,
                                                           wal::FileSystem& fs) noexcept {
  const engine::StorePaths paths(directory);
  TAILRACE_ASSIGN_OR_RETURN(const auto identity, engine::ReadIdentity(fs, paths));
  TAILRACE_ASSIGN_OR_RETURN(
      auto follower, shards::Follower::Open(fs, paths.streams, paths.lock, identity.store_id));
  return std::unique_ptr<StoreFollower>(
      std::make_unique<StoreFollowerImpl>(identity.store_id, std::move(follower)));
}

}  // namespace tailrace
