// What processes told the oracle while they ran, and what can be judged without a look at the
// store: the order of sequence numbers, outcomes of writes, and where readers went on.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/crashtest/protocol.h"

namespace tailrace::crashtest {

// Takes the problems that are found.
using Complaint = std::function<void(const std::string&)>;

// One write, from its beginning on.
struct HeardWrite {
  enum class Stage { kBegun, kQueued, kEnded };

  Stage stage = Stage::kBegun;
  Operation operation{};
  uint8_t thread = 0;
  uint32_t table = 0;
  uint32_t key = 0;
  uint64_t id = 0;
  ItemState wanted;        // Of kPutState.
  uint64_t begun_ms = 0;   // True time, as everything here.
  uint64_t ended_ms = 0;   // Once ended.
  uint64_t floor = 0;      // Highest sequence number known when it began.
  uint64_t key_floor = 0;  // Of an ended change of this key.
  bool safe = false;       // Ended, or queued and waited for.
  bool changed = false;    // It has a sequence number.
  uint64_t sequence = 0;
  uint64_t commit = 0;          // If changed.
  uint64_t commit_changes = 0;  // If changed.
  uint64_t transaction = 0;     // 0: a write for itself.
  uint64_t frame_end = 0;       // Of the transaction, once it ended: where its frame ends.
  bool with_token = false;      // The transaction has an idempotency token,
  bool rejected = false;        // it was rejected,
  bool refused = false;         // by this write's condition.
  bool failed = false;          // It ended with an error.
  bool has_states = false;      // It returned both images.
  ItemState old_state;
  ItemState new_state;

  // Whether it may have left this state; of a write about which nothing more is known.
  bool MayLeave(const ItemState& state) const;
};

// Somebody was shown an item.
struct Observation {
  uint32_t table = 0;
  uint32_t key = 0;
  ItemState state;
  uint64_t key_floor = 0;   // Sequence of the newest ended change of the key when the read began.
  size_t writes_begun = 0;  // How many writes had begun when it was told.
};

// A table was made or dropped, its stream enabled or disabled.
struct TableChange {
  Operation operation{};
  uint32_t table = 0;
  ViewType view{};
  bool with_stream = false;
  uint64_t table_id = 0;
  uint64_t stream = 0;
  uint64_t sequence = 0;        // Changes before and after it have lower and higher numbers.
  uint64_t journal_before = 0;  // Ends of the journal when it began,
  uint64_t journal_after = 0;   // and when it had ended.
  bool ended = false;
  bool done = false;  // Ended well.
};

// A reader was given a record.
struct Delivery {
  uint64_t stream = 0;
  uint64_t shard = 0;
  uint64_t ordinal = 0;
  uint64_t sequence = 0;
  uint64_t digest = 0;
  bool from_trim_horizon = false;          // It is the first that a reader was given from there.
  std::optional<uint64_t> first_at_least;  // The first for a reader that asked for this number.
};

struct HeardGap {
  uint64_t stream = 0;
  uint64_t shard = 0;
  uint64_t first = 0;
  uint64_t last = 0;
  bool lost = false;  // Else trimmed.
};

using ShardKey = std::pair<uint64_t, uint64_t>;  // Stream and shard.

// How far the durable reader's checkpoints reach in each shard, through all crashes.
class ReaderLedger {
 public:
  // The process that was reading is gone.
  void ProcessDied() { session_.clear(); }

  void Open(const Event& event);
  void Attachment(const Event& event, const Complaint& complain);
  void Gap(const Event& event);
  // Returns whether this is the first record of a shard that was begun at its trim horizon.
  bool Delivered(const Event& event, const Complaint& complain);
  void CheckpointBegin(const Event& event);
  void CheckpointEnd(const Event& event);

  // What is kept by now is durable.
  void Settle();
  // Of the checkpoints since Settle, only those below `end` in the journal are left.
  void TakeBack(uint64_t end);

  uint64_t resumed() const { return resumed_; }

 private:
  struct Cursor {
    uint64_t ordinal = 0;  // Of the last record delivered,
    bool gap = false;      // and whether the reader was told of a gap behind it.
  };
  // A checkpoint that lies between two ends of the journal.
  struct Placed {
    Cursor cursor;
    uint64_t before = 0;
    uint64_t after = 0;
  };
  struct Kept {
    std::optional<Cursor> sure;     // The newest checkpoint that ended.
    std::optional<Cursor> maybe;    // One that was begun and not ended,
    uint64_t maybe_before = 0;      // above this end of the journal.
    std::optional<Cursor> settled;  // What `sure` was when all was durable,
    std::vector<Placed> since;      // and those that ended since.
  };

  std::map<ShardKey, Kept> kept_;
  std::map<ShardKey, Cursor> session_;
  uint64_t resumed_ = 0;
};

// The traffic since the store was last seen whole.
class History {
 public:
  // Forgets all but the ledger. `floor`: sequence numbers from now on are above. Until it ran for
  // `confirmation_ms`, the store need not trim anything: what is written may be ahead of its age.
  // The wall clock stands at `wall_ms`, and goes on as the true time does.
  void Begin(uint64_t floor, uint64_t true_ms, uint64_t confirmation_ms, uint64_t wall_ms);

  // The process that told so far is gone.
  void ProcessDied();

  void Hear(const Event& event, const Complaint& complain);

  // Everything that was told so far is durable.
  void Synced() { synced_ = highest_sequence_; }

  // The power failed: of all that was told, what lies below `end` in the journal is left, and
  // nothing else. Complains if a sync had covered more. Nothing is heard behind it.
  void TakeBack(uint64_t end, const Complaint& complain);

  // What TakeBack took.
  struct TakenBack {
    uint64_t writes = 0;                 // That had been acknowledged.
    std::vector<uint64_t> transactions;  // That had one of them, or left a token.
  };
  const TakenBack& taken_back() const { return taken_back_; }

  const std::vector<HeardWrite>& writes() const { return writes_; }
  const std::vector<Observation>& observations() const { return observations_; }
  const std::vector<TableChange>& table_changes() const { return table_changes_; }
  const std::vector<Delivery>& deliveries() const { return deliveries_; }
  const std::vector<HeardGap>& gaps() const { return gaps_; }
  const ReaderLedger& ledger() const { return ledger_; }

  uint64_t first_ms() const { return first_ms_; }
  uint64_t last_ms() const { return last_ms_; }  // No clock was beyond.
  // Whether the store may have found such an item expired.
  bool MayHaveExpired(const ItemState& state) const;
  // The last upkeep round that ended and had to trim: when it began, and the highest sequence
  // number that readers had been given by then.
  struct Maintained {
    uint64_t begun_ms = 0;
    uint64_t delivered = 0;
  };
  const std::optional<Maintained>& maintained() const { return maintained_; }
  uint64_t highest_sequence() const { return highest_sequence_; }

 private:
  struct PlainCursor {
    ShardKey shard;
    std::optional<uint64_t> ordinal;
    bool gap = false;
    StartAt start{};
    uint64_t asked = 0;
  };
  using KeyOfTable = std::pair<uint32_t, uint32_t>;

  void WriteBegin(const Event& event);
  void WriteEnd(const Event& event, const Complaint& complain);
  void WriteQueued(const Event& event, const Complaint& complain);
  void JudgeOutcome(const HeardWrite& write, const Event& event, const Complaint& complain) const;
  void JudgeError(const HeardWrite& write, const Event& event, const Complaint& complain) const;
  void TakeSequence(HeardWrite& write, const Event& event, const Complaint& complain);
  void HearTableChange(const Event& event, const Complaint& complain);
  void HearReader(const Event& event, const Complaint& complain);
  void HearGap(const Event& event, const Complaint& complain);
  void TakeBackWrites(uint64_t end);
  void TakeBackTables(uint64_t end);
  void TakeBackObservations(const std::map<KeyOfTable, size_t>& unsure,
                            const std::vector<bool>& unsure_tables);
  void DeliveredPlain(const Event& event, Delivery& delivery, const Complaint& complain);
  uint64_t KeyFloor(uint32_t table, uint32_t key) const;

  std::vector<HeardWrite> writes_;
  std::map<uint64_t, size_t> by_id_;
  std::map<uint8_t, std::vector<size_t>> queued_;  // By thread, not waited for yet.
  std::map<std::pair<uint8_t, KeyOfTable>, uint64_t> read_floors_;  // By thread that reads.
  std::map<KeyOfTable, uint64_t> key_floors_;
  std::vector<Observation> observations_;
  std::vector<TableChange> table_changes_;
  std::vector<Delivery> deliveries_;
  std::vector<HeardGap> gaps_;
  PlainCursor plain_;
  ReaderLedger ledger_;
  uint64_t first_ms_ = 0;
  uint64_t last_ms_ = 0;
  uint64_t first_wall_ms_ = 0;
  uint64_t confirmation_ms_ = 0;
  Maintained maintenance_begun_;
  std::optional<Maintained> maintained_;
  uint64_t highest_delivered_ = 0;
  uint64_t highest_sequence_ = 0;
  uint64_t sync_begun_ = 0;  // What highest_sequence_ was when a sync began,
  uint64_t synced_ = 0;      // and one that ended.
  TakenBack taken_back_;
};

}  // namespace tailrace::crashtest
