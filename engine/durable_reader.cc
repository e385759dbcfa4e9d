#include "engine/durable_reader.h"

#include <algorithm>
#include <charconv>
#include <chrono>

#include "engine/system_table.h"

namespace tailrace {
namespace {

// A hundred years: longer, and the arithmetic of clocks runs over.
constexpr uint64_t kTimeoutMsMax = 100ull * 366 * 24 * 3600'000;

constexpr char kTable[] = "_tailrace.readers";

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
  const Number* number = item.GetNumber(name);
  uint64_t value = 0;
  if (number != nullptr) {
    const std::string text = number->ToString();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size()) return value;
  }
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

Status EnsureTable(Store& store) {
  auto* tables = dynamic_cast<engine::SystemTables*>(&store);
  if (tables == nullptr) return InvalidArgument("this store cannot keep readers' positions");
  return tables->EnsureSystemTable(kTable, TableKeys());
}

}  // namespace

Result<std::unique_ptr<DurableReader>> DurableReader::Open(Store& store, const std::string& name,
                                                           StreamId stream,
                                                           const DurableReaderOptions& options) {
  if (name.empty() || name.size() > kNameBytesMax) {
    return InvalidArgument("a reader's name has 1 to " + std::to_string(kNameBytesMax) + " bytes");
  }
  if (options.start != StartAt::kTrimHorizon && options.start != StartAt::kLatest) {
    return InvalidArgument(
        "a reader of a whole stream starts at the trim horizon or at the latest");
  }
  TAILRACE_RETURN_IF_ERROR(EnsureTable(store));
  std::unique_ptr<DurableReader> reader(new DurableReader(store, name, stream, options));
  TAILRACE_RETURN_IF_ERROR(reader->Load());
  TAILRACE_RETURN_IF_ERROR(reader->FindShards());
  return reader;
}

Status DurableReader::Load() {
  TAILRACE_ASSIGN_OR_RETURN(const auto checkpoints, ReadCheckpoints(store_, name_));
  for (const Item& checkpoint : checkpoints) TAILRACE_RETURN_IF_ERROR(LoadOne(checkpoint));
  return Status::Ok();
}

Status DurableReader::LoadOne(const Item& checkpoint) {
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
  const bool* done = checkpoint.GetBool(kDone);
  cursor.done = done != nullptr && *done;
  const Item* attachment = checkpoint.GetMap(kAttachment);
  attachments_[cursor.position.shard] = attachment != nullptr ? *attachment : Item{};
  cursors_[cursor.position.shard] = cursor;
  return Status::Ok();
}

// A child may be read once its parent was read to its end, or is gone.
bool DurableReader::Ready(const ShardInfo& shard, const StreamInfo& stream) const {
  if (!shard.parent) return true;
  const auto parent = cursors_.find(*shard.parent);
  if (parent != cursors_.end()) return parent->second.done;
  return std::none_of(stream.shards.begin(), stream.shards.end(),
                      [&](const ShardInfo& other) { return other.id == *shard.parent; });
}

// Adds cursors for the shards that can be read now.
Status DurableReader::FindShards() {
  TAILRACE_ASSIGN_OR_RETURN(const StreamInfo stream, store_.DescribeStream(stream_));
  bool all_done = !stream.enabled;
  for (const ShardInfo& shard : stream.shards) {
    if (!cursors_.contains(shard.id) && Ready(shard, stream)) {
      // Records of a child follow its parent's, so beginning anywhere but at its first would lose
      // some.
      const bool from_first = shard.parent && cursors_.contains(*shard.parent);
      const StartAt start = from_first ? StartAt::kTrimHorizon : options_.start;
      TAILRACE_ASSIGN_OR_RETURN(const Position position,
                                store_.SeekShard(stream_, shard.id, start));
      cursors_[shard.id] = {position, false, false};
    }
    const auto cursor = cursors_.find(shard.id);
    all_done = all_done && cursor != cursors_.end() && cursor->second.done;
  }
  finished_ = all_done;
  return Status::Ok();
}

// The shard is gone with everything in it: all that may have been left unread is reported missing.
Result<std::optional<DurableReader::Batch>> DurableReader::Expired(ShardId shard, Cursor& cursor) {
  TAILRACE_ASSIGN_OR_RETURN(const StoreStats stats, store_.Stats());
  const Gap gap{.kind = Gap::Kind::kTrimmed,
                .first = cursor.position.next,
                .last = SequenceNumber{stats.fanned_out.value}};
  cursor.done = true;
  last_read_ = shard;
  return std::optional<Batch>(
      Batch{.shard = shard, .gap = gap, .records = {}, .end_of_shard = true});
}

// The next page of any shard that has something, the one after the last read first.
Result<std::optional<DurableReader::Batch>> DurableReader::ReadSome() {
  std::vector<ShardId> order;
  for (const auto& [shard, cursor] : cursors_) {
    if (!cursor.done) order.push_back(shard);
  }
  std::rotate(order.begin(), std::upper_bound(order.begin(), order.end(), last_read_), order.end());
  for (const ShardId shard : order) {
    Cursor& cursor = cursors_.at(shard);
    auto read = store_.ReadShard(cursor.position, options_.limits);
    if (read.status().code() == StatusCode::kNotFound) return Expired(shard, cursor);
    TAILRACE_RETURN_IF_ERROR(read.status());
    ChangePage& page = *read;
    cursor.position = page.next;
    cursor.caught_up = page.caught_up;
    cursor.done = page.end_of_shard;
    if (page.records.empty() && !page.gap && !page.end_of_shard) continue;
    last_read_ = shard;
    return std::optional<Batch>(Batch{shard, page.gap, std::move(page.records), page.end_of_shard});
  }
  return std::optional<Batch>();
}

Result<std::optional<DurableReader::Batch>> DurableReader::Next(uint64_t timeout_ms) {
  const auto deadline = std::chrono::steady_clock::now() +
                        std::chrono::milliseconds(std::min(timeout_ms, kTimeoutMsMax));
  while (true) {
    TAILRACE_ASSIGN_OR_RETURN(auto batch, ReadSome());
    if (batch) return batch;
    TAILRACE_RETURN_IF_ERROR(FindShards());
    if (finished_) return std::optional<Batch>();
    std::vector<Position> waiting;
    for (const auto& [shard, cursor] : cursors_) {
      if (!cursor.done) waiting.push_back(cursor.position);
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return std::optional<Batch>();
    TAILRACE_ASSIGN_OR_RETURN(const bool more,
                              store_.WaitShards(waiting, static_cast<uint64_t>(left.count())));
    if (!more) return std::optional<Batch>();
  }
}

Status DurableReader::Checkpoint(ShardId shard, const Item& attachment) {
  const auto found = cursors_.find(shard);
  if (found == cursors_.end()) {
    return InvalidArgument("reader '" + name_ + "' does not read shard " +
                           std::to_string(shard.value));
  }
  const Position& position = found->second.position;
  Item item{{kReader, Value::S(name_)},
            {kShard, Value::N(shard.value)},
            {kStore, Value::N(position.store.value)},
            {kEpoch, Value::N(position.epoch.value)},
            {kStream, Value::N(position.stream.value)},
            {kNext, Value::N(position.next.value)},
            {kDone, Value::Bool(found->second.done)}};
  if (!attachment.empty()) item.Set(kAttachment, Value::M(attachment));
  TAILRACE_RETURN_IF_ERROR(store_.Put(kTable, item).status());
  attachments_[shard] = attachment;
  return Status::Ok();
}

Status DurableReader::Forget(Store& store, const std::string& name) {
  TAILRACE_RETURN_IF_ERROR(EnsureTable(store));
  TAILRACE_ASSIGN_OR_RETURN(const auto checkpoints, ReadCheckpoints(store, name));
  for (const Item& checkpoint : checkpoints) {
    TAILRACE_RETURN_IF_ERROR(store.Delete(kTable, KeyOfItem(TableKeys(), checkpoint)).status());
  }
  return Status::Ok();
}

}  // namespace tailrace
