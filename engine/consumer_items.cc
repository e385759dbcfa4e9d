#include "engine/consumer_items.h"

#include <cstdio>

#include "engine/item_fields.h"

namespace tailrace::engine {
namespace {

// Keys: the consumer's name, and which of its items.
constexpr char kConsumer[] = "consumer";
constexpr char kPart[] = "part";
constexpr char kConsumerPart[] = "consumer";
constexpr std::string_view kShardPart = "shard/";
constexpr std::string_view kWorkerPart = "worker/";

// Attributes of a consumer.
constexpr char kStream[] = "stream";
constexpr char kTable[] = "table";
constexpr char kTableName[] = "table_name";
constexpr char kStart[] = "start";
constexpr char kWallMs[] = "wall_ms";
constexpr char kBegin[] = "begin";
constexpr char kBootstrapping[] = "bootstrapping";
constexpr char kPinBytesMax[] = "pin_bytes_max";
constexpr char kCreatedMs[] = "created_ms";
constexpr char kVersion[] = "version";

// Attributes of a lease; kStream too.
constexpr char kShard[] = "shard";
constexpr char kHashFirst[] = "hash_first";
constexpr char kHashLast[] = "hash_last";
constexpr char kOwner[] = "owner";
constexpr char kCounter[] = "counter";
constexpr char kStore[] = "store";
constexpr char kEpoch[] = "epoch";
constexpr char kNext[] = "next";
constexpr char kDone[] = "done";
constexpr char kUnseen[] = "unseen";
constexpr char kBlockedSinceMs[] = "blocked_since_ms";
constexpr char kBlockedWhy[] = "blocked_why";

// Attributes of a worker.
constexpr char kHeartbeat[] = "heartbeat";
constexpr char kLeaseMs[] = "lease_ms";

constexpr std::string_view kStartNames[] = {"TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "BOOTSTRAP"};

Item PartKey(const std::string& consumer, std::string part) {
  return Item{{kConsumer, Value::S(consumer)}, {kPart, Value::S(std::move(part))}};
}

Status Improper(const Item& item, std::string_view what) {
  const std::string* part = item.GetString(kPart);
  return Corruption("consumer '" + ConsumerNameOf(item) + "', item '" + (part ? *part : "") +
                    "': no proper '" + std::string(what) + "'");
}

Status Read(const Item& item, const char* name, uint64_t& value) {
  const auto number = GetUint64(item, name);
  if (!number) return Improper(item, name);
  value = *number;
  return Status::Ok();
}

std::string TextOf(const Item& item, const char* name) {
  const std::string* text = item.GetString(name);
  return text == nullptr ? "" : *text;
}

bool FlagOf(const Item& item, const char* name) {
  const bool* flag = item.GetBool(name);
  return flag != nullptr && *flag;
}

// A list of lower and upper bounds in turn.
Status ReadRanges(const Item& item, std::vector<KeyRange>& ranges) {
  const std::vector<Value>* bounds = item.GetList(kUnseen);
  if (bounds == nullptr) return Status::Ok();
  if (bounds->size() % 2 != 0) return Improper(item, kUnseen);
  for (size_t i = 0; i < bounds->size(); i += 2) {
    const Binary* lower = (*bounds)[i].binary();
    const Binary* upper = (*bounds)[i + 1].binary();
    if (lower == nullptr || upper == nullptr) return Improper(item, kUnseen);
    ranges.push_back({lower->bytes, upper->bytes});
  }
  return Status::Ok();
}

Value ToValue(const std::vector<KeyRange>& ranges) {
  Value::List bounds;
  for (const KeyRange& range : ranges) {
    bounds.push_back(Value::B(range.lower));
    bounds.push_back(Value::B(range.upper));
  }
  return Value::L(std::move(bounds));
}

Result<ConsumerPart> ConsumerOf(const Item& item) {
  ConsumerRecord consumer;
  consumer.name = ConsumerNameOf(item);
  TAILRACE_RETURN_IF_ERROR(Read(item, kStream, consumer.stream.value));
  TAILRACE_RETURN_IF_ERROR(Read(item, kTable, consumer.table.value));
  consumer.table_name = TextOf(item, kTableName);
  const std::string start = TextOf(item, kStart);
  size_t found = 0;
  while (found < std::size(kStartNames) && kStartNames[found] != start) ++found;
  if (found == std::size(kStartNames)) return Improper(item, kStart);
  consumer.start = static_cast<ConsumerStart>(found);
  TAILRACE_RETURN_IF_ERROR(Read(item, kWallMs, consumer.wall_ms));
  const auto begin = GetUint64(item, kBegin);
  if (begin) consumer.begin = SequenceNumber{*begin};
  consumer.bootstrapping = FlagOf(item, kBootstrapping);
  TAILRACE_RETURN_IF_ERROR(Read(item, kPinBytesMax, consumer.pin_bytes_max));
  TAILRACE_RETURN_IF_ERROR(Read(item, kCreatedMs, consumer.created_ms));
  TAILRACE_RETURN_IF_ERROR(Read(item, kVersion, consumer.version));
  return ConsumerPart(std::move(consumer));
}

Result<ConsumerPart> LeaseOf(const Item& item) {
  LeaseRecord lease;
  uint64_t epoch = 0;
  TAILRACE_RETURN_IF_ERROR(Read(item, kShard, lease.shard.value));
  TAILRACE_RETURN_IF_ERROR(Read(item, kHashFirst, lease.hash_first));
  TAILRACE_RETURN_IF_ERROR(Read(item, kHashLast, lease.hash_last));
  TAILRACE_RETURN_IF_ERROR(Read(item, kCounter, lease.counter));
  TAILRACE_RETURN_IF_ERROR(Read(item, kStore, lease.position.store.value));
  TAILRACE_RETURN_IF_ERROR(Read(item, kEpoch, epoch));
  TAILRACE_RETURN_IF_ERROR(Read(item, kStream, lease.position.stream.value));
  TAILRACE_RETURN_IF_ERROR(Read(item, kNext, lease.position.next.value));
  lease.position.shard = lease.shard;
  lease.position.epoch = Epoch{static_cast<uint32_t>(epoch)};
  lease.owner = TextOf(item, kOwner);
  lease.done = FlagOf(item, kDone);
  TAILRACE_RETURN_IF_ERROR(ReadRanges(item, lease.unseen));
  lease.blocked_since_ms = GetUint64(item, kBlockedSinceMs).value_or(0);
  lease.blocked_why = TextOf(item, kBlockedWhy);
  return ConsumerPart(std::move(lease));
}

Result<ConsumerPart> WorkerOf(const Item& item, std::string_view id) {
  WorkerRecord worker{.id = std::string(id)};
  TAILRACE_RETURN_IF_ERROR(Read(item, kHeartbeat, worker.heartbeat));
  TAILRACE_RETURN_IF_ERROR(Read(item, kLeaseMs, worker.lease_ms));
  return ConsumerPart(std::move(worker));
}

}  // namespace

KeySchema ConsumerTableKeys() {
  return {{kConsumer, ScalarType::kS}, KeyAttribute{kPart, ScalarType::kS}};
}

LineageStart ConsumerRecord::lineage_start() const {
  LineageStart from{.begin = begin};
  if (start == ConsumerStart::kAtTimestamp) from.start = StartAt::kAtTimestamp;
  from.wall_ms = wall_ms;
  return from;
}

Item ConsumerKey(const std::string& consumer) { return PartKey(consumer, kConsumerPart); }

// With leading zeros, so that items stand in the order of the shards.
Item LeaseKey(const std::string& consumer, ShardId shard) {
  char digits[21];
  std::snprintf(digits, sizeof digits, "%020llu", static_cast<unsigned long long>(shard.value));
  return PartKey(consumer, std::string(kShardPart) + digits);
}

Item WorkerKey(const std::string& consumer, const std::string& worker) {
  return PartKey(consumer, std::string(kWorkerPart) + worker);
}

Item ToItem(const ConsumerRecord& consumer) {
  Item item = ConsumerKey(consumer.name);
  item.Set(kStream, Value::N(consumer.stream.value));
  item.Set(kTable, Value::N(consumer.table.value));
  item.Set(kTableName, Value::S(consumer.table_name));
  item.Set(kStart, Value::S(std::string(kStartNames[static_cast<size_t>(consumer.start)])));
  item.Set(kWallMs, Value::N(consumer.wall_ms));
  if (consumer.begin) item.Set(kBegin, Value::N(consumer.begin->value));
  item.Set(kBootstrapping, Value::Bool(consumer.bootstrapping));
  item.Set(kPinBytesMax, Value::N(consumer.pin_bytes_max));
  item.Set(kCreatedMs, Value::N(consumer.created_ms));
  item.Set(kVersion, Value::N(consumer.version));
  return item;
}

Item ToItem(const std::string& consumer, const LeaseRecord& lease) {
  Item item = LeaseKey(consumer, lease.shard);
  item.Set(kShard, Value::N(lease.shard.value));
  item.Set(kHashFirst, Value::N(lease.hash_first));
  item.Set(kHashLast, Value::N(lease.hash_last));
  item.Set(kCounter, Value::N(lease.counter));
  item.Set(kStore, Value::N(lease.position.store.value));
  item.Set(kEpoch, Value::N(lease.position.epoch.value));
  item.Set(kStream, Value::N(lease.position.stream.value));
  item.Set(kNext, Value::N(lease.position.next.value));
  item.Set(kDone, Value::Bool(lease.done));
  if (!lease.owner.empty()) item.Set(kOwner, Value::S(lease.owner));
  if (!lease.unseen.empty()) item.Set(kUnseen, ToValue(lease.unseen));
  if (lease.blocked_since_ms != 0) {
    item.Set(kBlockedSinceMs, Value::N(lease.blocked_since_ms));
    item.Set(kBlockedWhy, Value::S(lease.blocked_why));
  }
  return item;
}

Item ToItem(const std::string& consumer, const WorkerRecord& worker) {
  Item item = WorkerKey(consumer, worker.id);
  item.Set(kHeartbeat, Value::N(worker.heartbeat));
  item.Set(kLeaseMs, Value::N(worker.lease_ms));
  return item;
}

std::string ConsumerNameOf(const Item& item) { return TextOf(item, kConsumer); }

Result<ConsumerPart> ConsumerPartOf(const Item& item) {
  const std::string part = TextOf(item, kPart);
  if (part == kConsumerPart) return ConsumerOf(item);
  if (part.starts_with(kShardPart)) return LeaseOf(item);
  if (part.starts_with(kWorkerPart)) {
    return WorkerOf(item, std::string_view(part).substr(kWorkerPart.size()));
  }
  return Improper(item, kPart);
}

std::optional<bool> ConsumerState::Done(ShardId shard) const {
  const auto lease = leases.find(shard);
  if (lease == leases.end()) return std::nullopt;
  return lease->second.done;
}

void AddPart(ConsumerState& state, ConsumerPart part) {
  if (auto* consumer = std::get_if<ConsumerRecord>(&part)) {
    state.consumer = std::move(*consumer);
  } else if (auto* lease = std::get_if<LeaseRecord>(&part)) {
    state.leases[lease->shard] = std::move(*lease);
  } else {
    auto& worker = std::get<WorkerRecord>(part);
    state.workers[worker.id] = std::move(worker);
  }
}

Result<ConsumerState> ReadConsumer(Store& store, const std::string& consumer) {
  const auto missing = NotFound("there is no consumer '" + consumer + "'");
  auto itself = store.Get(kConsumerTable, ConsumerKey(consumer));
  if (itself.status().code() == StatusCode::kNotFound) return missing;  // No consumer at all.
  TAILRACE_RETURN_IF_ERROR(itself.status());
  if (!*itself) return missing;
  ConsumerState state;
  QueryRequest request{.partition = Value::S(consumer)};
  do {
    TAILRACE_ASSIGN_OR_RETURN(ItemPage page, store.Query(kConsumerTable, request));
    for (const Item& item : page.items) {
      TAILRACE_ASSIGN_OR_RETURN(ConsumerPart part, ConsumerPartOf(item));
      AddPart(state, std::move(part));
    }
    request.start_after = std::move(page.last_key);
  } while (request.start_after);
  TAILRACE_ASSIGN_OR_RETURN(ConsumerPart first, ConsumerPartOf(**itself));
  AddPart(state, std::move(first));  // As it was before the others were read.
  return state;
}

Condition SameLease(const std::string& owner, uint64_t counter) {
  return [owner, counter](const Item* item) {
    return item != nullptr && GetUint64(*item, kCounter) == counter &&
           TextOf(*item, kOwner) == owner;
  };
}

Condition SameVersion(uint64_t version) {
  return [version](const Item* item) {
    return item != nullptr && GetUint64(*item, kVersion) == version;
  };
}

}  // namespace tailrace::engine
