// What the crash test's two sides have in common: the plan that the oracle hands to the process
// that will die, the events that this process tells about, and the items that it writes.
//
// The process under test writes one Event, in one write() of the pipe, before it begins anything
// and one after it has ended, so that the pipe holds them in the order in which they happened: if
// the end of A stands before the beginning of B, A was over when B began. What it wrote stays in
// the pipe when it is killed.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "engine/key.h"
#include "engine/store.h"
#include "engine/value.h"

namespace tailrace::crashtest {

// ---- Items ----

// What an item of the test holds: everything in it follows from these numbers and its key.
struct ItemState {
  uint64_t write = 0;     // Id of the write that made it so; 0: there is no item.
  uint64_t count = 0;     // Updates since it was put.
  uint64_t previous = 0;  // What `write` was before the last update.

  bool present() const { return write != 0; }
  std::string ToString() const;
  friend bool operator==(const ItemState&, const ItemState&) = default;
};

// When an item of that state expires, in seconds since 1970; absent: never. It follows from the
// write that made the item so. The attribute that says it is kExpires.
std::optional<uint64_t> ExpiryOf(const ItemState& state);
inline constexpr char kExpires[] = "expires";

inline constexpr uint32_t kTableNames = 5;
inline constexpr uint32_t kKeysPerTable = 32;

// The consumer's own table.
inline constexpr char kEffectTable[] = "effects";

// The keys and items of one table name. Immutable.
class KeySpace {
 public:
  // The one of table name `table`, below kTableNames. Lives for ever.
  static const KeySpace& Of(uint32_t table);
  // The number of that table name, or kTableNames.
  static uint32_t TableOf(std::string_view name);

  const std::string& name() const { return name_; }
  const KeySchema& schema() const { return schema_; }
  // Key attributes of key number `key`, below kKeysPerTable, and the hash that decides its shard.
  const Item& Key(uint32_t key) const { return keys_[key]; }
  uint64_t Hash(uint32_t key) const { return hashes_[key]; }

  // The number of a key, given as exactly the key attributes; absent if it is none of ours.
  std::optional<uint32_t> Find(const Item& key) const;

  // The item of a state, which is present.
  Item MakeItem(uint32_t key, const ItemState& state) const;

  // The state of an item; absent unless it is, to the last byte, what MakeItem makes.
  std::optional<ItemState> ReadItem(uint32_t key, const Item& item) const;

 private:
  explicit KeySpace(uint32_t table);

  std::string name_;
  KeySchema schema_;
  std::vector<Item> keys_;
  std::vector<uint64_t> hashes_;
  std::map<std::string, uint32_t> by_storage_key_;
};

// A hash over everything that a change record shows.
uint64_t DigestRecord(const ChangeRecord& record);

// ---- The plan ----

// How one process opens the store and what it does with it. Handed over as bytes.
struct LifePlan {
  std::array<char, 512> directory{};
  uint64_t seed = 0;
  uint32_t run = 0;  // Counts the processes of a store; part of every write's id.

  Durability durability = Durability::kSync;
  uint64_t generation_bytes_max = 0;
  uint64_t journal_bytes_max = 0;
  uint64_t journal_segment_bytes = 0;
  uint32_t shards_per_stream = 0;
  uint64_t retention_ms = 0;
  uint64_t downtime_confirmation_ms = 0;
  uint64_t shard_segment_bytes_max = 0;
  uint64_t shard_segment_age_ms_max = 0;
  uint64_t maintenance_interval_ms = 0;
  uint64_t shared_table_bytes_max = 0;
  uint64_t block_cache_bytes = 0;
  uint64_t expiry_items_per_second = 0;
  uint64_t expiry_queue_bytes_max = 0;
  uint64_t backfill_items_per_second = 0;
  uint64_t shard_split_records_per_second = 0;
  uint64_t shard_split_bytes_per_second = 0;
  uint64_t shard_split_window_ms = 0;
  uint32_t shards_per_stream_max = 0;
  uint64_t shard_rotation_ms = 0;

  uint64_t wall_ms = 0;  // The clock at the beginning,
  uint64_t boot_ms = 0;
  uint64_t true_ms = 0;  // and the time that has really passed in the life of the store.
  bool may_confirm_downtime = false;

  uint32_t writers = 1;
  uint64_t dump_from = 0;  // Records below this sequence number are not told again.

  // Whether to tell where in the journal things stand, for an oracle that has to know what a power
  // cut may take back.
  bool tell_positions = false;

  // The process kills itself when it comes to this pause point for the n-th time (0: never).
  PausePoint pause_point{};
  uint32_t pause_count = 0;
};
static_assert(std::is_trivially_copyable_v<LifePlan>);

// ---- Events ----

enum class EventKind : uint8_t {
  // The opening: epoch and LSN, then everything that is in the store.
  kOpened,   // first: epoch, second: LSN of the journal's end, outcome: closed properly before,
             // last: so long must it run before all of its downtime counts as age,
             // sequence: the wall clock in ms since 1970
  kEpoch,    // A jump of the journal's positions. first: the new epoch, second: the old one's end
  kTable,    // table, first: table id, stream
  kItem,     // table, key, new_state
  kStream,   // table, first: table id, stream, view, outcome: enabled, second: retention_ms
  kShard,    // stream, shard, sequence: starting, first, last: hashes, second: ending (or 0),
             // ordinal: trimmed below
  kRecord,   // stream, shard, ordinal, sequence, table, key, change, states, first: digest,
             // second: the commit, last: changes of it, by_service
  kToken,    // transaction: it is remembered
  kDumpEnd,  // sequence: records below were not told again, first: nor tokens of runs below

  // Traffic. Everything but the records says at which true time it was written.
  kTrafficBegin,
  kWriteBegin,        // thread, table, write, operation, key, new_state: what kPutState puts;
                      // transaction, with_token
  kWriteEnd,          // thread, code; outcome, sequence; if has_old_image: old_state, new_state;
                      // transaction, rejected, first: the end of its frame, second: the commit,
                      // last: changes of it
  kWriteQueued,       // thread, sequence: appended, and not waited for
  kWaitEnd,           // thread: all that it has queued is safe
  kReadBegin,         // thread, table, key
  kReadEnd,           // thread, code, new_state
  kTableChangeBegin,  // operation, table, view, outcome: with a stream, second: the journal's end
  kTableChangeEnd,    // code; first: table id, stream, sequence: where it took effect (or 0),
                      // second: the journal's end before, last: and after
  kClockStep,         // true_ms: what it will be
  kMaintenanceBegin,
  kMaintenanceEnd,
  kSyncBegin,  // A checkpoint or an upkeep round, which make everything durable.
  kSyncEnd,    // It ended well.

  // Readers of streams.
  kReaderOpen,  // thread, table, stream: what was delivered before counts up to the checkpoints
  kAttachment,  // stream, shard, ordinal: what was attached to the shard's checkpoint
  kDelivered,   // thread, stream, shard, ordinal, sequence, first: digest
  kGap,         // thread, stream, shard, first, last, outcome: said to be lost
  kCheckpointBegin,  // stream, shard, ordinal: the last record delivered, second: the journal's end
  kCheckpointEnd,    // code, last: the journal's end
  kSought,  // thread, stream, shard, sequence: asked for, outcome: StartAt; then kDelivered

  kEffect,       // stream, shard, ordinal: the consumer's checkpoint and its effect are stored,
                 // sequence: of the effect
  kEffectFound,  // stream, shard, ordinal: the effect that the consumer goes on behind

  kStopped,  // The store was closed.
  kFailure,  // text: what went wrong
};

enum class Operation : uint8_t {
  kPut,
  kPutIfAbsent,
  kPutIfPresent,
  kPutIfCountEven,
  kPutState,  // Puts what was just read, in the hope that it changes nothing.
  kUpdate,
  kUpdateToNothing,  // The updater deletes the item.
  kUpdateUnchanged,  // The updater leaves the item as it is.
  kUpdateFailing,    // The updater fails.
  kDelete,
  kDeleteIfCountEven,
  kCheckCountEven,  // Leaves the item as it is. Only in transactions.

  kCreateTable,
  kDropTable,
  kEnableStream,
  kDisableStream,
};

// What an operation asks for: which states satisfy its condition, and what it makes of an item.
bool ConditionHolds(Operation operation, const ItemState& old);
ItemState ResultOf(Operation operation, const ItemState& old, uint64_t write,
                   const ItemState& wanted);

struct Event {
  EventKind kind{};
  Operation operation{};
  uint8_t thread = 0;
  uint8_t outcome = 0;
  StatusCode code{};
  ViewType view{};
  ChangeKind change{};
  uint32_t table = 0;
  uint32_t key = 0;
  bool has_old_image = false;
  bool has_new_image = false;
  bool with_token = false;  // The transaction has an idempotency token.
  bool rejected = false;    // The transaction was.
  bool by_service = false;  // The store deleted an expired item.
  uint64_t true_ms = 0;
  uint64_t write = 0;
  uint64_t transaction = 0;  // The id of its first write; 0: a write for itself.
  uint64_t sequence = 0;
  uint64_t stream = 0;
  uint64_t shard = 0;
  uint64_t ordinal = 0;
  uint64_t first = 0;
  uint64_t second = 0;
  uint64_t last = 0;
  ItemState old_state;
  ItemState new_state;
  std::array<char, 160> text{};
};
static_assert(std::is_trivially_copyable_v<Event>);
inline constexpr uint64_t kAtomicPipeWriteBytes = 4096;  // PIPE_BUF of Linux.
static_assert(sizeof(Event) <= kAtomicPipeWriteBytes);

void SetText(Event& event, std::string_view text);

// Where the process under test finds its plan and whom it tells.
inline constexpr int kPlanDescriptor = 0;  // The plan; later one byte: stop and close.
inline constexpr int kEventDescriptor = 3;

}  // namespace tailrace::crashtest
