#include "engine/durable_reader.h"

#include <algorithm>
#include <chrono>

#include "engine/item_fields.h"
#include "engine/lineage.h"
#include "engine/system_table.h"
#include "engine/utf8.h"
#include "wal/mutants.h"

namespace tailrace {
namespace {

// A hundred years: longer, and the arithmetic of clocks runs over.
constexpr uint64_t kTimeoutMsMax = 100ull * 366 * 24 * 3600'000;

constexpr char kTable[] = "_tailrace.readers";

// In place of a shard (those have higher numbers): where the whole reader began.
constexpr ShardId kBeginShard{0};

// Attributes of a checkpoint.
constexpr char kReader[] = "reader";
constexpr char kShard[] = "shard";
constexpr char kStore[] = "store";
constexpr char kEpoch[] = "epoch";
constexpr char kStream[] = "stream";
constexpr char kNext[] = "next";
constexpr char kDone[] = "done";
constexpr char kAttachment[] = "attachment";

KeySchema TableKeys() { return {{kReader, ScalarType::kS}, KeyAttribute{kShard, ScalarType::kN}}; }

Result<uint64_t> ReadNumber(const Item& item, const char* name) {
  const auto number = engine::GetUint64(item, name);
  if (number) return *number;
  return Corruption(std::string("a reader's checkpoint has no proper '") + name + "'");
}

Result<std::vector<Item>> ReadCheckpoints(Store& store, const std::string& name) {
  std::vector<Item> all;
  QueryRequest request{.partition = Value::S(name)};
  while (true) {
    TAILRACE_ASSIGN_OR_RETURN(ItemPage page, store.Query(kTable, request));
    std::move(page.items.begin(), page.items.end(), std::back_inserter(all));
    if (!page.last_key) return all;
    request.start_after = std::move(page.last_key);
  }
}

Status CheckName(const std::string& name) {
  if (!name.empty() && name.size() <= DurableReader::kNameBytesMax && IsUtf8(name)) {
    return Status::Ok();
  }
  return InvalidArgument("a reader's name has 1 to " +
                         std::to_string(DurableReader::kNameBytesMax) + " bytes of UTF-8");
}

Status EnsureTable(Store& store) {
  auto* tables = dynamic_cast<engine::SystemTables*>(&store);
  if (tables == nullptr) return InvalidArgument("this store cannot keep readers' positions");
  return tables->EnsureSystemTable(kTable, TableKeys());
}

}  // namespace

Result<std::unique_ptr<DurableReader>> DurableReader::Open(
    Store& store, const std::string& name, StreamId stream,
    const DurableReaderOptions& options) noexcept {
  TAILRACE_RETURN_IF_ERROR(CheckName(name));
  if (options.start != StartAt::kTrimHorizon && options.start != StartAt::kLatest &&
      options.start != StartAt::kAtTimestamp) {
    return InvalidArgument(
        "a reader of a whole stream starts at the trim horizon, at the latest or at a timestamp");
  }
  TAILRACE_RETURN_IF_ERROR(EnsureTable(store));
  std::unique_ptr<DurableReader> reader(new DurableReader(store, name, stream, options));
  TAILRACE_RETURN_IF_ERROR(reader->Load());
  const bool is_new = reader->cursors_.empty() && !reader->begin_;
  if (is_new && options.start == StartAt::kLatest) {
    TAILRACE_RETURN_IF_ERROR(reader->RememberBegin());
  }
  TAILRACE_RETURN_IF_ERROR(reader->FindShards());
  return reader;
}

Status DurableReader::Load() {
  TAILRACE_ASSIGN_OR_RETURN(const auto checkpoints, ReadCheckpoints(store_, name_));
  if (checkpoints.empty()) return Status::Ok();
  TAILRACE_ASSIGN_OR_RETURN(const StoreStats stats, store_.Stats());
  for (const Item& checkpoint : checkpoints) {
    TAILRACE_RETURN_IF_ERROR(LoadOne(checkpoint, stats.store_id));
  }
  return Status::Ok();
}

Status DurableReader::LoadOne(const Item& checkpoint, StoreId store) {
  Cursor cursor;
  TAILRACE_ASSIGN_OR_RETURN(cursor.position.store.value, ReadNumber(checkpoint, kStore));
  TAILRACE_ASSIGN_OR_RETURN(const uint64_t epoch, ReadNumber(checkpoint, kEpoch));
  cursor.position.epoch = Epoch{static_cast<uint32_t>(epoch)};
  TAILRACE_ASSIGN_OR_RETURN(cursor.position.stream.value, ReadNumber(checkpoint, kStream));
  TAILRACE_ASSIGN_OR_RETURN(cursor.position.shard.value, ReadNumber(checkpoint, kShard));
  TAILRACE_ASSIGN_OR_RETURN(cursor.position.next.value, ReadNumber(checkpoint, kNext));
  if (cursor.position.stream != stream_) {
    return InvalidArgument("reader '" + name_ + "' has read stream " +
                           std::to_string(cursor.position.stream.value) + "; read stream " +
                           std::to_string(stream_.value) +
                           " under another name, or forget the old checkpoints");
  }
  if (cursor.position.store != store && !TAILRACE_MUTANT("checkpoints-of-another-store")) {
    return InvalidArgument("the checkpoints of reader '" + name_ +
                           "' are of the store that this one was made of, and the reader may have "
                           "seen what this store never had; forget them, and begin anew");
  }
  if (cursor.position.shard == kBeginShard) {
    begin_ = cursor.position.next;
    return Status::Ok();
  }
  const bool* done = checkpoint.GetBool(kDone);
  cursor.done = cursor.stored_done = done != nullptr && *done;
  cursor.stored = true;
  const Item* attachment = checkpoint.GetMap(kAttachment);
  attachments_[cursor.position.shard] = attachment != nullptr ? *attachment : Item{};
  cursors_[cursor.position.shard] = cursor;
  return Status::Ok();
}

// Everything that fan-out has handed out by now is to be left out, also after a reopening.
Status DurableReader::RememberBegin() {
  TAILRACE_ASSIGN_OR_RETURN(const StreamInfo stream, store_.DescribeStream(stream_));
  TAILRACE_ASSIGN_OR_RETURN(const StoreStats stats, store_.Stats());
  const Position begin{.store = stats.store_id,
                       .epoch = stats.epoch,
                       .stream = stream.id,
                       .shard = kBeginShard,
                       .next = SequenceNumber{stats.fanned_out.value}};
  TAILRACE_RETURN_IF_ERROR(Write(kBeginShard, begin, false, {}));
  begin_ = begin.next;
  return Status::Ok();
}

// Whether the shard's parent has still to be read to its end.
bool DurableReader::Waits(const Cursor& cursor) const {
  if (!cursor.parent) return false;
  const auto parent = cursors_.find(*cursor.parent);
  return parent != cursors_.end() && !parent->second.done;
}

// Adds cursors for the shards that can be read now: those whose parents were read to their end or
// are gone. Checkpoints of shards whose descendants have one may have been removed.
Status DurableReader::FindShards() {
  TAILRACE_ASSIGN_OR_RETURN(const StreamInfo stream, store_.DescribeStream(stream_));
  look_again_ = false;
  for (const ShardInfo& shard : stream.shards) {
    const auto known = cursors_.find(shard.id);
    if (known != cursors_.end()) known->second.parent = shard.parent;
  }
  const auto done = [this](ShardId shard) -> std::optional<bool> {
    const auto known = cursors_.find(shard);
    if (known == cursors_.end()) return std::nullopt;
    return known->second.done;
  };
  engine::Lineage lineage = engine::LookAtLineage(stream, done);
  listed_ = std::move(lineage.listed);
  finished_ = lineage.all_read;
  const engine::LineageStart start{begin_, options_.start, options_.wall_ms};
  for (const ShardInfo* const shard : lineage.beginning) {
    const bool follows = shard->parent && (cursors_.contains(*shard->parent) ||
                                           lineage.read.contains(*shard->parent));
    const auto position = engine::BeginShard(store_, stream, *shard, start,
                                             follows ? engine::Begun::kYes : engine::Begun::kNo);
    if (position.status().code() == StatusCode::kNotFound) {
      look_again_ = true;  // It expired just now.
      continue;
    }
    TAILRACE_RETURN_IF_ERROR(position.status());
    cursors_[shard->id] = {.position = *position, .parent = shard->parent};
  }
  return Status::Ok();
}

// The next page of any shard that has something, the one after the last read first.
Result<std::optional<DurableReader::Batch>> DurableReader::ReadSome() {
  std::vector<ShardId> order;
  for (const auto& [shard, cursor] : cursors_) {
    if (!cursor.done && !Waits(cursor)) order.push_back(shard);
  }
  std::rotate(order.begin(), std::upper_bound(order.begin(), order.end(), last_read_), order.end());
  for (const ShardId shard : order) {
    Cursor& cursor = cursors_.at(shard);
    TAILRACE_ASSIGN_OR_RETURN(ChangePage page,
                              engine::ReadShardOrGap(store_, cursor.position, options_.limits));
    cursor.position = page.next;
    cursor.done = page.end_of_shard;
    if (cursor.done) look_again_ = true;
    if (page.records.empty() && !page.gap && !page.end_of_shard) continue;
    last_read_ = shard;
    return std::optional<Batch>(Batch{shard, page.gap, std::move(page.records), page.end_of_shard});
  }
  return std::optional<Batch>();
}

Result<std::optional<DurableReader::Batch>> DurableReader::Next(uint64_t timeout_ms) noexcept {
  const auto deadline = std::chrono::steady_clock::now() +
                        std::chrono::milliseconds(std::min(timeout_ms, kTimeoutMsMax));
  while (true) {
    if (look_again_) TAILRACE_RETURN_IF_ERROR(FindShards());
    TAILRACE_ASSIGN_OR_RETURN(auto batch, ReadSome());
    if (batch) return batch;
    TAILRACE_RETURN_IF_ERROR(FindShards());
    if (finished_) return std::optional<Batch>();
    std::vector<Position> waiting;
    for (const auto& [shard, cursor] : cursors_) {
      if (!cursor.done && !Waits(cursor)) waiting.push_back(cursor.position);
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return std::optional<Batch>();
    TAILRACE_ASSIGN_OR_RETURN(const bool more,
                              store_.WaitShards(waiting, static_cast<uint64_t>(left.count())));
    if (!more) return std::optional<Batch>();
  }
}

Status DurableReader::Checkpoint(ShardId shard, const Item& attachment) noexcept {
  const auto found = cursors_.find(shard);
  if (found == cursors_.end()) {
    return InvalidArgument("reader '" + name_ + "' does not read shard " +
                           std::to_string(shard.value));
  }
  TAILRACE_RETURN_IF_ERROR(Keep(shard, attachment));
  // Its ancestors were read before it.
  for (auto at = found; at->second.parent;) {
    at = cursors_.find(*at->second.parent);
    if (at == cursors_.end() || !at->second.done) break;
    if (!at->second.stored_done) {
      TAILRACE_RETURN_IF_ERROR(Keep(at->first, attachments_[at->first]));
    }
  }
  return RemoveFinished();
}

Status DurableReader::Keep(ShardId shard, const Item& attachment) {
  Cursor& cursor = cursors_.at(shard);
  TAILRACE_RETURN_IF_ERROR(Write(shard, cursor.position, cursor.done, attachment));
  cursor.stored = true;
  cursor.stored_done = cursor.done;
  attachments_[shard] = attachment;
  return Status::Ok();
}

Status DurableReader::Write(ShardId shard, const Position& next, bool done,
                            const Item& attachment) {
  Item item{{kReader, Value::S(name_)},
            {kShard, Value::N(shard.value)},
            {kStore, Value::N(next.store.value)},
            {kEpoch, Value::N(next.epoch.value)},
            {kStream, Value::N(next.stream.value)},
            {kNext, Value::N(next.next.value)},
            {kDone, Value::Bool(done)}};
  if (!attachment.empty()) item.Set(kAttachment, Value::M(attachment));
  return store_.Put(kTable, item).status();
}

// Removes the checkpoints that nothing needs: the shard was read to its end, and a child's
// checkpoint shows it, or the shard is no longer listed.
Status DurableReader::RemoveFinished() {
  std::set<ShardId> needless;
  for (const auto& [shard, cursor] : cursors_) {
    if (cursor.stored && cursor.parent) needless.insert(*cursor.parent);
    if (!listed_.contains(shard)) needless.insert(shard);
  }
  for (const ShardId shard : needless) {
    const auto found = cursors_.find(shard);
    if (found == cursors_.end() || !found->second.stored_done) continue;
    const auto attachment = attachments_.find(shard);
    if (attachment != attachments_.end() && !attachment->second.empty()) continue;
    const Item key{{kReader, Value::S(name_)}, {kShard, Value::N(shard.value)}};
    TAILRACE_RETURN_IF_ERROR(store_.Delete(kTable, key).status());
    attachments_.erase(shard);
    cursors_.erase(found);
  }
  return Status::Ok();
}

Status DurableReader::Forget(Store& store, const std::string& name) noexcept {
  TAILRACE_RETURN_IF_ERROR(CheckName(name));
  TAILRACE_RETURN_IF_ERROR(EnsureTable(store));
  TAILRACE_ASSIGN_OR_RETURN(const auto checkpoints, ReadCheckpoints(store, name));
  for (const Item& checkpoint : checkpoints) {
    TAILRACE_RETURN_IF_ERROR(store.Delete(kTable, KeyOfItem(TableKeys(), checkpoint)).status());
  }
  return Status::Ok();
}

}  // namespace tailrace
