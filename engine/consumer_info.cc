// What consumers there are, how far they are, and forgetting them.
#include <algorithm>
#include <map>

#include "engine/consumer.h"
#include "engine/consumer_host.h"
#include "engine/consumer_items.h"

namespace tailrace {
namespace engine {
namespace {

// How far the consumer is in a shard that it has not read to its end.
Result<ConsumerShard> DescribeShard(Store& store, ConsumerHost& host, const StreamInfo& stream,
                                    const ConsumerState& state, const ShardInfo& shard) {
  ConsumerShard view{.shard = shard.id};
  Position position;
  const auto found = state.leases.find(shard.id);
  if (found != state.leases.end()) {
    const LeaseRecord& lease = found->second;
    view.owner = lease.owner;
    view.scanning = !lease.unseen.empty();
    view.blocked_since_ms = lease.blocked_since_ms;
    view.blocked_why = lease.blocked_why;
    position = lease.position;
  } else {
    view.waiting = true;
    TAILRACE_ASSIGN_OR_RETURN(
        position, BeginShard(store, stream, shard, state.consumer.lineage_start(), Begun::kYes));
  }
  view.next = position.next;
  TAILRACE_ASSIGN_OR_RETURN(const shards::Backlog backlog, host.BacklogFrom(position));
  view.lag_records = backlog.records;
  view.lag_bytes = backlog.bytes;
  const uint64_t now_ms = host.clock().WallMs();
  if (backlog.records > 0) view.lag_ms = now_ms - std::min(now_ms, backlog.oldest_wall_ms);
  return view;
}

Result<ConsumerInfo> Describe(Store& store, ConsumerHost& host, const ConsumerState& state) {
  const ConsumerRecord& consumer = state.consumer;
  ConsumerInfo info{.name = consumer.name,
                    .stream = consumer.stream,
                    .table_name = consumer.table_name,
                    .start = consumer.start,
                    .created_ms = consumer.created_ms,
                    .bootstrapping = consumer.bootstrapping,
                    .pin_bytes_max = consumer.pin_bytes_max,
                    .stream_expired = false,
                    .workers = {},
                    .shards = {}};
  for (const auto& [id, worker] : state.workers) info.workers.push_back(id);
  const auto stream = store.DescribeStream(consumer.stream);
  if (stream.status().code() == StatusCode::kNotFound) {
    info.stream_expired = true;
    return info;
  }
  TAILRACE_RETURN_IF_ERROR(stream.status());
  const auto done = [&state](ShardId shard) { return state.Done(shard); };
  const Lineage lineage = LookAtLineage(*stream, done);
  for (const ShardInfo& shard : stream->shards) {
    if (lineage.read.contains(shard.id)) continue;
    auto view = DescribeShard(store, host, *stream, state, shard);
    if (view.status().code() == StatusCode::kNotFound) continue;  // It expired just now.
    TAILRACE_RETURN_IF_ERROR(view.status());
    info.shards.push_back(*std::move(view));
  }
  return info;
}

}  // namespace
}  // namespace engine

Result<std::vector<ConsumerInfo>> ListConsumers(Store& store) noexcept {
  using namespace engine;  // NOLINT: this is its public face.
  TAILRACE_ASSIGN_OR_RETURN(ConsumerHost* const host, ConsumerHost::Of(store));
  std::map<std::string, ConsumerState> states;
  std::vector<ConsumerInfo> consumers;
  ScanRequest request;
  do {
    auto page = store.Scan(kConsumerTable, request);
    if (page.status().code() == StatusCode::kNotFound) return consumers;  // There never was one.
    TAILRACE_RETURN_IF_ERROR(page.status());
    for (const Item& item : page->items) {
      TAILRACE_ASSIGN_OR_RETURN(ConsumerPart part, ConsumerPartOf(item));
      AddPart(states[ConsumerNameOf(item)], std::move(part));
    }
    request.start_after = std::move(page->last_key);
  } while (request.start_after);
  for (const auto& [name, state] : states) {
    if (state.consumer.name.empty()) continue;  // It was forgotten just now.
    TAILRACE_ASSIGN_OR_RETURN(ConsumerInfo info, Describe(store, *host, state));
    consumers.push_back(std::move(info));
  }
  return consumers;
}

Result<ConsumerInfo> DescribeConsumer(Store& store, const std::string& consumer) noexcept {
  using namespace engine;  // NOLINT: this is its public face.
  TAILRACE_ASSIGN_OR_RETURN(ConsumerHost* const host, ConsumerHost::Of(store));
  TAILRACE_ASSIGN_OR_RETURN(const ConsumerState state, ReadConsumer(store, consumer));
  return Describe(store, *host, state);
}

// The consumer goes together with its last leases, in one transaction: a worker that still runs
// cannot leave one behind for whoever takes the name next.
Status ForgetConsumer(Store& store, const std::string& consumer) noexcept {
  using namespace engine;  // NOLINT: this is its public face.
  while (true) {
    TAILRACE_ASSIGN_OR_RETURN(const ConsumerState state, ReadConsumer(store, consumer));
    const Condition same = SameVersion(state.consumer.version);
    std::vector<Item> keys;
    for (const auto& [id, worker] : state.workers) keys.push_back(WorkerKey(consumer, id));
    for (const auto& [shard, lease] : state.leases) keys.push_back(LeaseKey(consumer, shard));
    const bool is_last = keys.size() < kTransactionItemsMax;
    keys.resize(std::min(keys.size(), kTransactionItemsMax - 1));
    std::vector<WriteRequest> writes;
    for (const Item& key : keys) writes.push_back(WriteRequest::Delete(kConsumerTable, key));
    ConsumerRecord next = state.consumer;
    ++next.version;
    writes.push_back(is_last ? WriteRequest::Delete(kConsumerTable, ConsumerKey(consumer), same)
                             : WriteRequest::Put(kConsumerTable, ToItem(next), same));
    TAILRACE_ASSIGN_OR_RETURN(const TransactResult result, store.Transact(writes));
    if (is_last && result.outcome != WriteOutcome::kRejected) return Status::Ok();
  }
}

}  // namespace tailrace
