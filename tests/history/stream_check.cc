#include "tests/history/stream_check.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <sstream>

namespace tailrace::test {
namespace {

std::string ToString(const StreamRecord& record) {
  std::ostringstream text;
  text << "record " << record.sequence << " of commit " << record.commit << " with "
       << record.commit_changes << " changes, ordinal " << record.ordinal << ", "
       << ChangeKindName(record.kind) << " of key " << record.key << std::hex;
  if (record.old_image) text << " old " << *record.old_image;
  if (record.new_image) text << " new " << *record.new_image;
  return text.str();
}

class StreamChecker {
 public:
  StreamChecker(const std::vector<Operation>& operations, const StreamHistory& stream)
      : operations_(operations), stream_(stream) {}

  StreamVerdict Run() {
    FoldHistory();
    bool good = true;
    for (const ShardHistory& shard : stream_.shards) good = good && CheckShard(shard);
    for (const auto& [sequence, expected] : expected_) {
      if (!good) break;
      if (!found_.contains(sequence)) good = Fail("it is missing", expected);
    }
    return std::move(verdict_);
  }

 private:
  bool Fail(const std::string& what, const StreamRecord& record) {
    verdict_.problem = what + ": " + ToString(record);
    return false;
  }

  bool Shows(ViewType images) const {
    return stream_.view == images || stream_.view == ViewType::kNewAndOldImages;
  }

  // What the stream must show, by the commits in their order: so each old image is what the change
  // before left.
  void FoldHistory() {
    std::vector<const Operation*> commits;
    for (const Operation& operation : operations_) {
      if (operation.commit != 0) commits.push_back(&operation);
    }
    std::sort(commits.begin(), commits.end(),
              [](const Operation* a, const Operation* b) { return a->commit < b->commit; });
    absl::flat_hash_map<uint32_t, Content> now;
    for (const Operation* commit : commits) {
      const auto changes =
          static_cast<uint64_t>(std::count_if(commit->accesses.begin(), commit->accesses.end(),
                                              [](const Access& a) { return a.sequence != 0; }));
      for (const Access& access : commit->accesses) {
        if (access.sequence == 0) continue;
        Content& content = now[access.key];
        const Content before = content;
        content = access.Result(before);
        if (access.key % stream_.keys_step != stream_.keys_rest ||
            access.sequence < stream_.first || access.sequence > stream_.last) {
          continue;
        }
        StreamRecord record{.sequence = access.sequence,
                            .commit = commit->commit,
                            .commit_changes = changes,
                            .key = access.key};
        record.kind = before == kAbsent    ? ChangeKind::kInsert
                      : content == kAbsent ? ChangeKind::kRemove
                                           : ChangeKind::kModify;
        if (Shows(ViewType::kNewImage) && content != kAbsent) record.new_image = content;
        if (Shows(ViewType::kOldImage) && before != kAbsent) record.old_image = before;
        expected_[access.sequence] = record;
      }
    }
  }

  bool CheckShard(const ShardHistory& shard) {
    const StreamRecord* before = nullptr;
    for (const StreamRecord& record : shard.records) {
      if (record.ordinal != (before == nullptr ? 1 : before->ordinal + 1)) {
        return Fail("its ordinal leaves a hole", record);
      }
      if (before != nullptr && record.sequence <= before->sequence) {
        return Fail("it comes out of order", record);
      }
      if (before != nullptr && record.wall_ms < before->wall_ms) {
        return Fail("its time falls", record);
      }
      if (record.sequence < shard.starting || (shard.ending && record.sequence > *shard.ending)) {
        return Fail("it lies outside of its shard", record);
      }
      before = &record;
      if (!CheckRecord(record)) return false;
    }
    return true;
  }

  bool CheckRecord(const StreamRecord& record) {
    const auto expected = expected_.find(record.sequence);
    if (expected == expected_.end()) return Fail("no change of the table has its number", record);
    if (!found_.emplace(record.sequence, true).second) return Fail("it is there twice", record);
    StreamRecord wanted = expected->second;
    wanted.ordinal = record.ordinal;
    wanted.wall_ms = record.wall_ms;
    if (wanted != record) return Fail("it should be " + ToString(wanted), record);
    ++verdict_.records;
    return true;
  }

  const std::vector<Operation>& operations_;
  const StreamHistory& stream_;
  StreamVerdict verdict_;
  absl::flat_hash_map<uint64_t, StreamRecord> expected_;
  absl::flat_hash_map<uint64_t, bool> found_;
};

}  // namespace

StreamVerdict CheckStream(const std::vector<Operation>& operations, const StreamHistory& stream) {
  return StreamChecker(operations, stream).Run();
}

}  // namespace tailrace::test
