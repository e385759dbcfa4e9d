// The judgement over one dump of a store: does it follow from how the store was last seen and from
// what was heard since?
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tools/crashtest/oracle.h"

namespace tailrace::crashtest {

// A record that was not seen before.
struct NewRecord {
  const Event* event = nullptr;
  uint64_t begun_ms = 0;
};

class Verdict {
 public:
  // Borrows everything. `dump` is the events of one whole dump.
  Verdict(const Proven& before, const History& history, const std::vector<Event>& dump,
          Counts& counts, const Complaint& complain);

  // The store as it is now proven to be.
  Proven Pass();

 private:
  // A table between its making and its dropping.
  struct Incarnation {
    uint64_t table_id = 0;
    uint64_t above = 0;           // Its changes have sequence numbers above this one,
    uint64_t below = UINT64_MAX;  // and below this one.
  };
  struct Entry {
    uint64_t sequence = 0;
    const HeardWrite* write = nullptr;
    NewRecord* record = nullptr;
  };
  // How the walk along one key's changes stands.
  struct Walk {
    uint32_t table = 0;
    uint32_t key = 0;
    const Incarnation* incarnation = nullptr;
    std::vector<const HeardWrite*> pending;
    std::optional<ItemState> state;  // Absent: a record that shows no image made it so.
    uint64_t sequence = 0;           // Of the last change.
    uint64_t newest_ended = 0;       // Of the last change that a caller knows of,
    bool beyond_newest = false;      // and whether changes were found behind it.
  };
  struct Expected {
    uint64_t table_id = 0;
    uint64_t stream = 0;
    friend bool operator==(const Expected&, const Expected&) = default;
  };

  void ReadDump(const std::vector<Event>& dump);
  void ReadShard(const Event& event);

  void JudgeCatalogue();
  void FollowTableChange(const TableChange& change, std::map<uint32_t, Expected>& expected);
  void JudgePendingChange(const TableChange& change, std::map<uint32_t, Expected>& expected);
  void JudgeNewStream(uint64_t id);

  void JudgeStreams();
  void JudgeRanges(const std::string& name, const ProvenStream& stream);
  void JudgeStreamGone(uint64_t id, const ProvenStream& stream);
  void JudgeShard(uint64_t id, const ProvenStream& stream, uint64_t shard_id, ProvenShard& shard);
  void JudgeRecords(const std::string& name, const ProvenStream& stream,
                    const ProvenShard& old_shard, ProvenShard& shard,
                    const std::vector<const Event*>& records);
  void JudgeNewRecord(const std::string& name, const ProvenStream& stream, const ProvenShard& shard,
                      const Event& record);
  void KeepNewRecords();
  void JudgeExpiry(const std::string& name, uint64_t retention_ms, uint64_t begun_ms);

  void JudgeKeys();
  ItemState StateBefore(uint32_t table, uint32_t key, uint64_t table_id) const;
  void WalkIncarnation(Walk& walk);
  std::vector<Entry> EntriesOf(Walk& walk);
  void Take(Walk& walk, const Entry& entry);
  void MatchRecord(Walk& walk, NewRecord& record);
  void MatchExpiry(const Walk& walk, NewRecord& record);
  void CompareRecord(const Walk& walk, const HeardWrite& write, const Event& record);
  void JudgeMissing(const Walk& walk, const HeardWrite& write);
  void JudgeFinal(Walk& walk);
  void JudgeObservations(uint32_t table, uint32_t key);
  bool Explain(Walk& walk, const ItemState& state, uint64_t until);
  bool Covered(const Walk& walk, uint64_t above, uint64_t below) const;
  const ProvenShard* ShardShowing(const Walk& walk, uint64_t sequence) const;

  void JudgeTransactions();
  void JudgeCommits();
  void JudgeEnded(const std::vector<const HeardWrite*>& writes);
  bool SurelyHappened(const HeardWrite& write) const;
  bool SurelyAbsent(const HeardWrite& write) const;
  bool Remembered(const HeardWrite& write) const;
  bool Forgotten(const HeardWrite& write) const;

  void JudgeReaders();
  void JudgeDelivery(const Delivery& delivery);

  std::string NameOf(const Walk& walk) const;

  const Proven& before_;
  const History& history_;
  Counts& counts_;
  const Complaint& complain_;

  Proven now_;
  std::map<ShardKey, std::vector<const Event*>> shard_records_;
  std::map<uint32_t, std::vector<Incarnation>> incarnations_;
  std::set<uint64_t> announced_streams_;  // Made by a change that ended, or that was under way.
  std::map<std::pair<uint64_t, uint32_t>, std::vector<NewRecord>> new_records_;  // Table id, key.
  std::map<std::pair<uint32_t, uint32_t>, std::vector<const HeardWrite*>> writes_;
  std::map<std::pair<uint32_t, uint32_t>, std::vector<const Observation*>> observations_;
  std::set<uint64_t> tokens_;           // Transactions that are remembered.
  uint64_t tokens_from_ = 0;            // Runs of which tokens were told.
  std::set<const HeardWrite*> placed_;  // Under way at the end, and found in table or stream.
  uint64_t now_ms_ = 0;
  uint64_t dump_from_ = 0;
  uint64_t survivors_end_ = 0;  // Every change below has survived: something behind it has.
};

}  // namespace tailrace::crashtest
