// The oracle of the kill test: knows what a store was told to do, and judges what is in it after
// the process died.
//
// What must hold, whatever moment it died at:
//  - every write that ended well is in the table; one that was under way is there whole or not at
//    all; nothing that anybody was shown is gone;
//  - a change is in its table's stream if and only if it is in the table's history since the
//    stream was enabled: the right kind, old images that are the new images before, in order,
//    once, with dense ordinals; where it is not to be seen (no stream, trimmed) the table alone
//    decides;
//  - what was once seen of a stream never changes; it goes only by expiring, never too early;
//  - sequence numbers, epochs and ids rise through all lives of the store;
//  - tables and streams are as the last change that ended left them;
//  - a transaction is there whole or not at all, together with its token, if it has one and the
//  time
//    to remember it is not over; its changes have consecutive sequence numbers, and their records
//    say so;
//  - the store itself deletes only items that have expired, and its records say that it did;
//  - a durable reader goes on behind its last checkpoint, and so does a consumer, whose effects are
//    stored with its checkpoints or not at all.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/crash/kill_history.h"
#include "tests/crash/kill_protocol.h"

namespace tailrace::test {

// A record that was seen. It must never change.
struct ProvenRecord {
  uint64_t ordinal = 0;
  uint64_t sequence = 0;
  uint64_t digest = 0;
  uint64_t begun_ms = 0;  // It was not written earlier (true time).
};

struct ProvenShard {
  uint64_t hash_first = 0;
  uint64_t hash_last = 0;
  uint64_t starting = 0;
  std::optional<uint64_t> ending;
  uint64_t trimmed_below = 0;
  uint64_t last_ordinal = 0;  // The highest that was seen,
  bool dense = true;          // and whether none came behind it before the shard was last seen.
  std::vector<ProvenRecord> records;  // Those not trimmed away.

  // Whether a change of this sequence number would be a record that is there.
  bool Shows(uint64_t sequence) const {
    return sequence >= starting && sequence >= trimmed_below && (!ending || sequence <= *ending);
  }
};

struct ProvenStream {
  uint32_t table = 0;
  uint64_t table_id = 0;
  ViewType view{};
  uint64_t retention_ms = 0;
  bool enabled = false;
  std::map<uint64_t, ProvenShard> shards;

  // The shard of that hash that shows the number, if any.
  const ProvenShard* Showing(uint64_t hash, uint64_t sequence) const;
};

struct ProvenTable {
  uint64_t id = 0;
  uint64_t stream = 0;  // 0: none is enabled.
  std::map<uint32_t, ItemState> items;
};

// The store as it was last seen whole.
struct Proven {
  uint64_t lsn = 0;  // Records below were all seen.
  uint64_t highest_table_id = 0;
  uint64_t highest_stream = 0;
  std::map<uint32_t, ProvenTable> tables;  // By the number of the name.
  std::map<uint64_t, ProvenStream> streams;
};

// What the judging has come across.
struct KillCounts {
  uint64_t processes = 0;
  uint64_t judged = 0;                // Processes whose traffic was judged.
  uint64_t acknowledged = 0;          // Changes that ended well, each found again.
  uint64_t other_answers = 0;         // Reads, refusals, writes that changed nothing.
  uint64_t pending = 0;               // Writes under way at a death.
  uint64_t survived = 0;              // Of these, found in table or stream.
  uint64_t records = 0;               // New records of streams, each matched with a write.
  uint64_t expired = 0;               // Records that were seen and then trimmed.
  uint64_t items_expired = 0;         // Items that the store deleted, found by their records.
  uint64_t deliveries = 0;            // Records given to readers.
  uint64_t resumed = 0;               // Shards that the durable reader resumed at a checkpoint.
  uint64_t transactions = 0;          // That ended and changed something.
  uint64_t transactions_pending = 0;  // Under way at a death.
  uint64_t transactions_found = 0;    // Of these, found whole.
  uint64_t shards_opened = 0;         // By splits, rotations and merges.
  uint64_t table_changes = 0;         // Tables made and dropped, streams enabled and disabled.
  uint64_t effects = 0;               // Stored by the consumer with its checkpoints,
  uint64_t effects_found = 0;         // and found again when it went on.
};

class Oracle {
 public:
  // Judges what one process told until its end, and remembers its traffic for the next one's dump.
  void Judge(const std::vector<Event>& events);

  // What is wrong, a line each; empty as long as all is well.
  const std::vector<std::string>& problems() const { return problems_; }
  KillCounts counts() const;

  // All records below have been seen.
  uint64_t proven_sequence() const { return proven_.lsn; }
  // The true time that the last process may have reached.
  uint64_t last_ms() const;

 private:
  void Opened(const Event& event);
  void HearEffect(const Event& event);
  void Complain(const std::string& problem) { problems_.push_back(problem); }

  Proven proven_;
  History history_;
  std::map<ShardKey, uint64_t> effects_;  // Ordinals that were acknowledged.
  uint64_t store_id_ = 0;
  uint64_t highest_lsn_ = 0;  // Of every opening, judged or not.
  uint64_t highest_epoch_ = 0;
  uint64_t highest_ms_ = 0;
  uint64_t confirmation_ms_ = 0;  // Of the last opening.
  uint64_t wall_ms_ = 0;          // At the last opening.
  bool stopped_ = false;          // The last process closed the store.
  KillCounts counts_;
  std::vector<std::string> problems_;
};

}  // namespace tailrace::test
