#include "engine/consumer_tail.h"

#include <algorithm>
#include <iterator>

#include "wal/coding.h"
#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

std::string FirstKey(uint64_t hash) {
  std::string key;
  AppendBig64(key, hash);
  return key;
}

bool Holds(const KeyRange& range, const std::string& key) {
  return key >= range.lower && (range.upper.empty() || key < range.upper);
}

bool IsUnseen(const std::vector<KeyRange>& unseen, const std::string& key) {
  return std::any_of(unseen.begin(), unseen.end(),
                     [&](const KeyRange& range) { return Holds(range, key); });
}

TailPage PageAt(const TailPoint& from) {
  return {.gap = {}, .items = {}, .records = {}, .end_of_shard = false, .next = from};
}

}  // namespace

KeyRange KeysOf(uint64_t hash_first, uint64_t hash_last) {
  return {FirstKey(hash_first), hash_last == UINT64_MAX ? "" : FirstKey(hash_last + 1)};
}

KeyRange Intersection(const KeyRange& a, const KeyRange& b) {
  KeyRange both{std::max(a.lower, b.lower), a.upper};
  if (a.upper.empty() || (!b.upper.empty() && b.upper < a.upper)) both.upper = b.upper;
  return both;
}

bool IsEmpty(const KeyRange& range) { return !range.upper.empty() && range.lower >= range.upper; }

Result<std::optional<TailPage>> ShardTail::Read(const TailPoint& from) const {
  TAILRACE_ASSIGN_OR_RETURN(std::optional<TailPage> page, ReadRecords(from));
  if (page || from.unseen.empty()) return page;
  TAILRACE_ASSIGN_OR_RETURN(TailPage items, ReadItems(from));
  return std::optional<TailPage>(std::move(items));
}

// The next records of seen keys; absent once there are none up to the log's end.
Result<std::optional<TailPage>> ShardTail::ReadRecords(const TailPoint& from) const {
  TailPage page = PageAt(from);
  while (true) {
    TAILRACE_ASSIGN_OR_RETURN(ChangePage read, ReadShardOrGap(store_, page.next.next, limits_));
    page.gap = read.gap;
    page.next.next = read.next;
    page.end_of_shard = read.end_of_shard;
    for (ChangeRecord& record : read.records) {
      if (!from.unseen.empty()) {
        TAILRACE_ASSIGN_OR_RETURN(const std::string key, EncodeKey(keys_, record.keys));
        if (IsUnseen(from.unseen, key)) continue;
      }
      page.records.push_back(std::move(record));
    }
    if (!page.records.empty() || page.gap || page.end_of_shard) {
      return std::optional<TailPage>(std::move(page));
    }
    if (read.caught_up) return std::optional<TailPage>();
  }
}

Result<TailPage> ShardTail::ReadItems(const TailPoint& from) const {
  KeyRange now_seen = from.unseen.front();
  auto read = host_.ReadItems(table_, now_seen.lower, now_seen.upper, limits_);
  TailPage page = PageAt(from);
  if (read.status().code() == StatusCode::kNotFound) {
    page.next.unseen.clear();  // Dropped: the stream is disabled, and ends.
    return page;
  }
  TAILRACE_RETURN_IF_ERROR(read.status());
  std::map<std::string, Lsn> shown;
  for (auto& [key, lsn, item] : read->items) {
    shown.emplace(key, lsn);
    page.items.push_back({std::move(item), SequenceNumber{lsn.value}});
  }
  if (read->more) {
    now_seen.upper = read->items.back().key + '\0';
    page.next.unseen.front().lower = now_seen.upper;
  } else {
    page.next.unseen.erase(page.next.unseen.begin());
  }

  // Follows the log past everything that was met.
  TAILRACE_RETURN_IF_ERROR(store_.WaitFannedOut({read->met_below}));
  std::vector<ChangeRecord> records;
  for (bool passed = false; !passed;) {
    TAILRACE_ASSIGN_OR_RETURN(ChangePage more, ReadShardOrGap(store_, page.next.next, limits_));
    if (more.gap || more.end_of_shard) {
      // The log ends before these items, or has lost something: they are for later.
      TAILRACE_ASSIGN_OR_RETURN(std::optional<TailPage> before, ReadRecords(from));
      if (before) return *std::move(before);
      continue;
    }
    page.next.next = more.next;
    passed = more.caught_up || more.next.next.value >= read->met_below.value;
    std::move(more.records.begin(), more.records.end(), std::back_inserter(records));
  }
  TAILRACE_RETURN_IF_ERROR(KeepNew(std::move(records), shown, now_seen, page));
  return page;
}

// Puts into the page which of these records it does not show already.
Status ShardTail::KeepNew(std::vector<ChangeRecord> records,
                          const std::map<std::string, Lsn>& shown, const KeyRange& now_seen,
                          TailPage& page) const {
  std::vector<std::string> keys;
  std::map<std::string, size_t> last_deletions;  // Of keys that had no item.
  for (size_t i = 0; i < records.size(); ++i) {
    TAILRACE_ASSIGN_OR_RETURN(std::string key, EncodeKey(keys_, records[i].keys));
    if (records[i].kind == ChangeKind::kRemove && Holds(now_seen, key) && !shown.contains(key)) {
      last_deletions[key] = i;
    }
    keys.push_back(std::move(key));
  }
  for (size_t i = 0; i < records.size(); ++i) {
    if (IsUnseen(page.next.unseen, keys[i])) continue;
    const auto item = shown.find(keys[i]);
    const bool twice = TAILRACE_MUTANT("bootstrap-shows-twice");
    if (item != shown.end() && records[i].commit.value <= item->second.value && !twice) continue;
    const auto deletion = last_deletions.find(keys[i]);
    if (deletion != last_deletions.end() && i <= deletion->second) continue;
    page.records.push_back(std::move(records[i]));
  }
  return Status::Ok();
}

}  // namespace tailrace::engine
