// The items that a consumer consists of: itself, a lease with a checkpoint for each shard, and a
// sign of life of each worker. They lie together under the consumer's name in one system table.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/consumer.h"
#include "engine/lineage.h"

namespace tailrace::engine {

inline constexpr char kConsumerTable[] = "_tailrace.consumers";
KeySchema ConsumerTableKeys();

// The consumer itself.
struct ConsumerRecord {
  std::string name;
  StreamId stream;
  TableId table;
  std::string table_name;
  ConsumerStart start = ConsumerStart::kTrimHorizon;
  uint64_t wall_ms = 0;                 // kAtTimestamp.
  std::optional<SequenceNumber> begin;  // kLatest, kBootstrap: what was there already lies below.
  bool bootstrapping = false;           // Items are still to be shown.
  uint64_t pin_bytes_max = 0;
  uint64_t created_ms = 0;
  // Rises with every change of this record, and whenever leases are made or removed; each of these
  // happens on the condition that it has not risen since what they rest on was read.
  uint64_t version = 0;

  LineageStart lineage_start() const;
};

// A shard's lease and checkpoint.
struct LeaseRecord {
  ShardId shard;
  uint64_t hash_first = 0;
  uint64_t hash_last = UINT64_MAX;
  std::string owner;     // A worker; empty: nobody.
  uint64_t counter = 0;  // Rises with every change of owner, and names one ownership.
  Position position;     // The checkpoint: what lies below is done.
  bool done = false;     // Everything is.
  // Of a bootstrap: the storage keys of items still to be shown, in order. An empty `upper` means
  // no bound.
  std::vector<KeyRange> unseen;
  uint64_t blocked_since_ms = 0;
  std::string blocked_why;
};

// A worker's sign of life.
struct WorkerRecord {
  std::string id;
  uint64_t heartbeat = 0;  // Rises while the worker lives …
  uint64_t lease_ms = 0;   // … at least once in this time.
};

Item ConsumerKey(const std::string& consumer);
Item LeaseKey(const std::string& consumer, ShardId shard);
Item WorkerKey(const std::string& consumer, const std::string& worker);

Item ToItem(const ConsumerRecord& consumer);
Item ToItem(const std::string& consumer, const LeaseRecord& lease);
Item ToItem(const std::string& consumer, const WorkerRecord& worker);

using ConsumerPart = std::variant<ConsumerRecord, LeaseRecord, WorkerRecord>;
// kCorruption: it is none of these. A lease's consumer is its partition key.
Result<ConsumerPart> ConsumerPartOf(const Item& item);
// "" if there is none.
std::string ConsumerNameOf(const Item& item);

// Everything of one consumer.
struct ConsumerState {
  ConsumerRecord consumer;
  std::map<ShardId, LeaseRecord> leases;
  std::map<std::string, WorkerRecord> workers;

  // For LookAtLineage.
  std::optional<bool> Done(ShardId shard) const;
};

// Reads `consumer` first: the other parts are no older than it. kNotFound.
Result<ConsumerState> ReadConsumer(Store& store, const std::string& consumer);

// A consumer's part among `parts` of many.
void AddPart(ConsumerState& state, ConsumerPart part);

// How a lease, or the consumer, is meant: exactly as it was read.
Condition SameLease(const std::string& owner, uint64_t counter);
Condition SameVersion(uint64_t version);

}  // namespace tailrace::engine
