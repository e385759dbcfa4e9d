#include "engine/merged_reader.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "engine/consumer_host.h"
#include "engine/lineage.h"
#include "wal/mutants.h"

namespace tailrace {
namespace {

// A hundred years: longer, and the arithmetic of clocks runs over.
constexpr uint64_t kTimeoutMsMax = 100ull * 366 * 24 * 3600'000;

// Of the record's commit.
SequenceNumber EndOf(const ChangeRecord& record) {
  return SequenceNumber{record.commit.value + record.commit_changes};
}

}  // namespace

Result<std::unique_ptr<MergedReader>> MergedReader::Open(
    Store& store, const std::vector<StreamId>& streams,
    const MergedReaderOptions& options) noexcept {
  const std::set<StreamId> different(streams.begin(), streams.end());
  if (streams.empty() || different.size() != streams.size()) {
    return InvalidArgument("a merged reader reads one stream or several, each once");
  }
  if (options.start != StartAt::kTrimHorizon && options.start != StartAt::kLatest &&
      options.start != StartAt::kAtSequenceNumber) {
    return InvalidArgument(
        "a merged reader starts at the trim horizon, at the latest or at a sequence number");
  }
  TAILRACE_ASSIGN_OR_RETURN(engine::ConsumerHost* const host, engine::ConsumerHost::Of(store));
  std::unique_ptr<MergedReader> reader(new MergedReader(store, *host, streams, options));
  SequenceNumber from = options.number;
  if (options.start == StartAt::kLatest) from = SequenceNumber{host->fanned_out().value};
  if (options.start == StartAt::kTrimHorizon) from = SequenceNumber{0};
  reader->position_ = from;
  TAILRACE_RETURN_IF_ERROR(reader->FindShards(from));
  return reader;
}

// Adds the shards that are not known and may have records at or above `from`.
Status MergedReader::FindShards(SequenceNumber from) {
  for (const StreamId id : streams_) {
    const auto stream = store_.DescribeStream(id);
    // Gone with everything in it, once it was read.
    if (stream.status().code() == StatusCode::kNotFound && !cursors_.empty()) continue;
    TAILRACE_RETURN_IF_ERROR(stream.status());
    for (const ShardInfo& shard : stream->shards) {
      if (cursors_.contains(shard.id) || (shard.ending && *shard.ending < from)) continue;
      const auto position = store_.SeekShard(id, shard.id, StartAt::kTrimHorizon);
      if (position.status().code() == StatusCode::kNotFound) continue;  // It expired just now.
      TAILRACE_RETURN_IF_ERROR(position.status());
      Cursor& cursor = cursors_[shard.id];
      cursor.next = *position;
      // From below the trim point it learns what is missing.
      if (from > shard.starting) cursor.next.next = from;
      cursor.known_below = cursor.next.next;
    }
  }
  return Status::Ok();
}

// Reads on in every shard that has nothing ahead, or not all of a commit.
Status MergedReader::ReadAhead() {
  // What fan-out had passed before the shards are looked at.
  const SequenceNumber passed{host_.fanned_out().value};
  bool ended = false;
  for (auto& [shard, cursor] : cursors_) {
    if (cursor.ended) continue;
    TAILRACE_RETURN_IF_ERROR(ReadAhead(cursor, passed));
    ended = ended || cursor.ended;
  }
  // Children were opened in the frame that sealed their parent, so they are listed by now, and
  // whatever they hold lies behind all of the parent's.
  if (!ended) return Status::Ok();
  TAILRACE_RETURN_IF_ERROR(FindShards(position_));
  return ReadAhead();
}

// Until a whole commit is ahead, or there is no more for now. A commit may be longer than a page.
Status MergedReader::ReadAhead(Cursor& cursor, SequenceNumber passed) {
  bool caught_up = false;
  while (!caught_up && !cursor.ended &&
         (cursor.ahead.empty() || EndOf(cursor.ahead.front()) > cursor.known_below)) {
    TAILRACE_ASSIGN_OR_RETURN(ChangePage page,
                              engine::ReadShardOrGap(store_, cursor.next, options_.page));
    if (page.gap) gaps_.push_back({cursor.next.stream, cursor.next.shard, *page.gap});
    cursor.next = page.next;
    cursor.known_below = page.next.next;
    std::move(page.records.begin(), page.records.end(), std::back_inserter(cursor.ahead));
    caught_up = page.caught_up || TAILRACE_MUTANT("merged-reads-one-page");
    if (page.caught_up) cursor.known_below = std::max(cursor.known_below, passed);
    cursor.ended = page.end_of_shard;
    if (cursor.ended) cursor.known_below = SequenceNumber{UINT64_MAX};
  }
  return Status::Ok();
}

SequenceNumber MergedReader::KnownBelow() const {
  SequenceNumber known{UINT64_MAX};
  if (TAILRACE_MUTANT("merged-too-early")) return known;
  for (const auto& [shard, cursor] : cursors_) known = std::min(known, cursor.known_below);
  return known;
}

// Moves transactions into the batch that lie below `below` as a whole.
void MergedReader::HandOut(SequenceNumber below, MergedBatch& batch) {
  uint64_t records = 0;
  std::set<std::pair<SequenceNumber, ShardId>> heads;
  for (const auto& [shard, cursor] : cursors_) {
    if (!cursor.ahead.empty()) heads.emplace(cursor.ahead.front().sequence, shard);
  }
  while (!heads.empty()) {
    Cursor& cursor = cursors_.at(heads.begin()->second);
    ChangeRecord& record = cursor.ahead.front();
    const bool is_next =
        batch.transactions.empty() || batch.transactions.back().commit != record.commit;
    const SequenceNumber end = EndOf(record);
    const bool is_full = records > 0 && records >= options_.records_max;
    if (is_next && (end > below || is_full)) return;
    if (is_next) batch.transactions.push_back({record.commit, record.commit_changes, {}});
    position_ = std::max(position_, end);
    batch.transactions.back().records.push_back(std::move(record));
    ++records;
    cursor.ahead.pop_front();
    const ShardId shard = heads.begin()->second;
    heads.erase(heads.begin());
    if (!cursor.ahead.empty()) heads.emplace(cursor.ahead.front().sequence, shard);
  }
}

Result<std::optional<MergedBatch>> MergedReader::Next(uint64_t timeout_ms) noexcept {
  using Time = std::chrono::steady_clock;
  const auto deadline =
      Time::now() + std::chrono::milliseconds(std::min(timeout_ms, kTimeoutMsMax));
  TAILRACE_RETURN_IF_ERROR(host_.MayCall());  // What was read ahead is there without a call.
  while (true) {
    TAILRACE_RETURN_IF_ERROR(ReadAhead());
    MergedBatch batch;
    HandOut(KnownBelow(), batch);
    batch.gaps = std::exchange(gaps_, {});
    if (!batch.gaps.empty() || !batch.transactions.empty()) {
      return std::optional<MergedBatch>(std::move(batch));
    }
    finished_ = AllEnded();
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Time::now());
    if (finished_ || left.count() <= 0) return std::optional<MergedBatch>();
    TAILRACE_RETURN_IF_ERROR(Wait(static_cast<uint64_t>(left.count())));
  }
}

// Until a shard has more, or fan-out has passed what was read ahead of it.
Status MergedReader::Wait(uint64_t timeout_ms) {
  std::optional<SequenceNumber> behind;  // The first commit that cannot be handed out yet.
  std::vector<Position> waiting;
  for (const auto& [shard, cursor] : cursors_) {
    if (!cursor.ended) waiting.push_back(cursor.next);
    if (cursor.ahead.empty()) continue;
    const SequenceNumber end = EndOf(cursor.ahead.front());
    behind = behind ? std::min(*behind, end) : end;
  }
  // Readers are woken a moment before fan-out says that it has passed what woke them.
  if (behind) return store_.WaitFannedOut({Lsn{behind->value}});
  return store_.WaitShards(waiting, timeout_ms).status();
}

bool MergedReader::AllEnded() const {
  return std::all_of(cursors_.begin(), cursors_.end(), [](const auto& cursor) {
    return cursor.second.ended && cursor.second.ahead.empty();
  });
}

}  // namespace tailrace
