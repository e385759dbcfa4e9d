// The oracle of the crash tests: knows what a store was told to do, and judges what is in it after
// the process died.
//
// What must hold, whatever moment it died at (and, if the store is a kSync one, also if the power
// failed at that moment):
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
// When the power failed, a kBuffered store may have lost a tail of its journal. Where that begins
// the next opening says (the old end in its Epoch frame); then
//  - no sync that ended had covered anything of the tail;
//  - all of the above holds for what lies before it, and nothing that lies in it is there: not in a
//    table, a stream, a token, a reader's checkpoint or a consumer's effect.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tools/crashtest/history.h"
#include "tools/crashtest/protocol.h"

namespace tailrace::crashtest {

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
struct Counts {
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
  uint64_t taken_back = 0;            // Acknowledged changes that a power cut rightly took back.
  uint64_t tails = 0;                 // Power cuts that took any.
  uint64_t untold = 0;  // Losses of which nobody was told where they began: not judged.

  void Add(const Counts& more);
};

class Oracle {
 public:
  // `power_takes_back`: the store promises nothing against power cuts beyond its syncs.
  explicit Oracle(bool power_takes_back = false) : power_takes_back_(power_takes_back) {}

  // Judges what one process told until its end, and remembers its traffic for the next one's dump.
  // `power_cut`: the process ended because the power failed, or the power failed right after that.
  void Judge(const std::vector<Event>& events, bool power_cut = false);

  // Nobody was told where a loss begins (who knew died first): nothing more can be judged.
  bool lost_track() const { return counts_.untold > 0; }

  // What is wrong, a line each; empty as long as all is well.
  const std::vector<std::string>& problems() const { return problems_; }
  Counts counts() const;

  // All records below have been seen.
  uint64_t proven_sequence() const { return proven_.lsn; }
  // The sequence number of the newest record that was seen; 0: none.
  uint64_t proven_record() const;
  // The true time that the last process may have reached.
  uint64_t last_ms() const;

 private:
  void Opened(const Event& event);
  void HearEffect(const Event& event);
  void HearDumpEnd(std::vector<Event>& dump, const Event& event, const Complaint& complain);
  void TakeBack(const std::vector<Event>& dump, const Complaint& complain);
  void TakeBackEffects(uint64_t end);
  void TakeBackShards(uint64_t end);
  void Complain(const std::string& problem) { problems_.push_back(problem); }

  // The effects of a shard that a consumer said it has stored.
  struct Effects {
    struct Stored {
      uint64_t ordinal = 0;
      uint64_t sequence = 0;
    };
    uint64_t settled = 0;       // The ordinal when all was durable,
    std::vector<Stored> since;  // and those since.
    bool taken_back = false;    // The next one to be found is not above.

    uint64_t newest() const { return since.empty() ? settled : since.back().ordinal; }
  };

  const bool power_takes_back_;
  Proven proven_;
  History history_;
  std::map<ShardKey, Effects> effects_;
  std::map<uint64_t, uint64_t> epoch_ends_;  // By the epoch after it.
  uint64_t store_id_ = 0;
  uint64_t highest_lsn_ = 0;  // Of every opening, judged or not.
  uint64_t highest_epoch_ = 0;
  uint64_t highest_ms_ = 0;
  uint64_t confirmation_ms_ = 0;  // Of the last opening.
  uint64_t wall_ms_ = 0;          // At the last opening.
  bool stopped_ = false;          // The last process closed the store.
  uint64_t traffic_epoch_ = 0;    // Of the traffic in history_.
  bool reopened_ = false;         // Since that traffic an opening ended, so all of it is durable,
  bool exposed_ = false;          // or the power failed before one did.
  Counts counts_;
  std::vector<std::string> problems_;
};

}  // namespace tailrace::crashtest
