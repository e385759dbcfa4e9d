#include "engine/salvage_logs.h"

#include <set>

#include "shards/offline.h"
#include "shards/record_codec.h"
#include "shards/shard_header.h"
#include "shards/stream_catalogue.h"
#include "wal/mutants.h"
#include "wal/segment.h"

namespace tailrace::engine {
namespace {

constexpr uint64_t kSegmentBytes = 16 << 20;

// Writes the records of a shard to new segments.
class LogMaker {
 public:
  LogMaker(StoreBuilder& builder, StreamId stream, ShardId shard, Epoch epoch)
      : builder_(builder), stream_(stream), shard_(shard), epoch_(epoch) {}

  Status Add(shards::RecordView record) {
    if (bytes_.size() + shards::RecordFrameBytes(record) > kSegmentBytes) {
      TAILRACE_RETURN_IF_ERROR(WriteSegment());
    }
    if (bytes_.empty()) Begin(record);
    record.ordinal = end_.ordinal() + 1;
    record.previous = SequenceNumber{end_.last_sequence()};
    end_.set_record_offset(bytes_.size());
    end_.set_chain(shards::AppendRecordFrame(bytes_, record, end_.chain(), seed_, epoch_));
    end_.set_ordinal(record.ordinal);
    end_.set_last_sequence(record.sequence.value);
    end_.set_last_age_ms(record.age_ms);
    end_.set_last_wall_ms(record.wall_ms);
    end_.set_segment_offset(bytes_.size());
    return Status::Ok();
  }

  // Absent: there was no record.
  Result<std::optional<frames::ShardEnd>> Finish() {
    if (bytes_.empty()) return std::optional<frames::ShardEnd>();
    TAILRACE_RETURN_IF_ERROR(WriteSegment());
    end_.set_stream(stream_.value);
    end_.set_shard(shard_.value);
    return std::optional(end_);
  }

 private:
  void Begin(const shards::RecordView& record) {
    const wal::SegmentHeader header{.kind = wal::LogKind::kShardLog,
                                    .store_id = builder_.store_id(),
                                    .log_id = shard_.value,
                                    .base = record.sequence.value,
                                    .epoch = epoch_,
                                    .wall_ms = record.wall_ms,
                                    .base_ordinal = end_.ordinal() + 1,
                                    .previous = end_.last_sequence(),
                                    .base_chain = end_.chain()};
    seed_ = wal::SegmentSeed(header);
    bytes_ = wal::EncodeSegmentHeader(header);
    end_.set_segment_base(header.base);
    end_.set_segment_age_ms(record.age_ms);
  }
  Status WriteSegment() {
    const Status written =
        builder_.AddLogFile(stream_, shard_, wal::SegmentFileName(end_.segment_base()), bytes_);
    bytes_.clear();
    return written;
  }

  StoreBuilder& builder_;
  const StreamId stream_;
  const ShardId shard_;
  const Epoch epoch_;
  wal::FrameSeed seed_;
  std::string bytes_;
  frames::ShardEnd end_;
};

// What a first reading of a log showed.
struct Holes {
  SequenceNumber readable_from;  // Behind the last hole; beyond the end if that is a hole.
  bool any = false;
};

class LogSalvager {
 public:
  LogSalvager(wal::FileSystem& fs, const std::string& streams, const Cut& cut,
              StoreBuilder& builder, std::vector<SalvageLoss>& losses)
      : fs_(fs), streams_(streams), cut_(cut), builder_(builder), losses_(losses) {}

  Result<SalvagedLogs> Run();

 private:
  Result<Holes> FindHoles(const shards::Stream& stream, const shards::Shard& shard,
                          const frames::ShardEnd& end);
  Result<std::optional<frames::ShardEnd>> Copy(const shards::Stream& stream,
                                               const shards::Shard& shard,
                                               const frames::ShardEnd& end, SequenceNumber from,
                                               bool proves);
  Status SalvageShard(const shards::Stream& stream, frames::ShardState& state);
  bool MayProve(const shards::Stream& stream, const shards::Shard& shard) const;
  void Lose(const shards::Stream& stream, ShardId shard, SequenceNumber first, SequenceNumber last,
            const std::string& what);

  wal::FileSystem& fs_;
  const std::string& streams_;
  const Cut& cut_;
  StoreBuilder& builder_;
  std::vector<SalvageLoss>& losses_;
  std::map<uint64_t, frames::ShardEnd> ends_;
  std::set<ShardId> with_holes_;
  shards::StreamCatalogue catalogue_;
  SalvagedLogs logs_;
};

void LogSalvager::Lose(const shards::Stream& stream, ShardId shard, SequenceNumber first,
                       SequenceNumber last, const std::string& what) {
  losses_.push_back({.kind = SalvageLoss::Kind::kRecords,
                     .table = stream.table_name,
                     .stream = stream.id,
                     .shard = shard,
                     .after = {},
                     .before = {},
                     .first = first,
                     .last = last,
                     .what = what});
}

Result<Holes> LogSalvager::FindHoles(const shards::Stream& stream, const shards::Shard& shard,
                                     const frames::ShardEnd& end) {
  Holes holes{.readable_from = shard.trimmed_below};
  const SequenceNumber last{end.last_sequence()};
  shards::OfflineVisitor visitor;
  visitor.on_record = [](const shards::OfflineRecord&) { return true; };
  visitor.on_damage = [&](const shards::Damage& damage) {
    // The header file is written anew; what a segment's header held, its records tell.
    if (damage.harmless() || damage.kind == shards::Damage::Kind::kShardHeader ||
        damage.kind == shards::Damage::Kind::kSegmentHeader) {
      return;
    }
    if (damage.next && *damage.next < shard.trimmed_below) return;  // Of what has expired.
    SequenceNumber first = shard.trimmed_below;
    if (damage.after) first = std::max(first, SequenceNumber{damage.after->value + 1});
    const SequenceNumber next = damage.next.value_or(SequenceNumber{last.value + 1});
    holes.any = true;
    if (!TAILRACE_MUTANT("salvage-passes-holes")) {
      holes.readable_from = std::max(holes.readable_from, next);
    }
    Lose(stream, shard.id, first, SequenceNumber{next.value - 1},
         damage.file + ", offset " + std::to_string(damage.offset) + ": " + damage.message);
  };
  const auto read =
      shards::VerifyShard(fs_, shards::ShardPath(streams_, stream.id, shard.id), end, visitor,
                          {.sequence = shard.trimmed_below, .is_trim_point = true});
  if (read.status().code() == StatusCode::kNotFound) {
    holes = {.readable_from = SequenceNumber{last.value + 1}, .any = true};
    Lose(stream, shard.id, shard.trimmed_below, last, "the shard's directory is missing");
    return holes;
  }
  TAILRACE_RETURN_IF_ERROR(read.status());
  return holes;
}

// Whether the last record of a key in this shard is the last of all: no later one can be missing,
// here or in the shards that go on from it.
bool LogSalvager::MayProve(const shards::Stream& stream, const shards::Shard& shard) const {
  const bool shows_new =
      stream.view == ViewType::kNewImage || stream.view == ViewType::kNewAndOldImages;
  if (!shows_new || !stream.enabled()) return false;
  for (const auto& [id, other] : stream.shards) {
    if (other.parent != shard.id) continue;
    const bool is_whole = !with_holes_.contains(id) && other.trimmed_below <= other.starting;
    if (!is_whole || !MayProve(stream, other)) return false;
  }
  return true;
}

Result<std::optional<frames::ShardEnd>> LogSalvager::Copy(const shards::Stream& stream,
                                                          const shards::Shard& shard,
                                                          const frames::ShardEnd& end,
                                                          SequenceNumber from, bool proves) {
  LogMaker maker(builder_, stream.id, shard.id, Epoch{cut_.epoch()});
  Status failed;
  shards::OfflineVisitor visitor;
  visitor.on_damage = [](const shards::Damage&) {};
  visitor.on_record = [&](const shards::OfflineRecord& at) {
    const shards::RecordView& record = at.record;
    if (record.sequence < from || record.sequence.value > end.last_sequence()) return true;
    if (proves) {
      auto& change = logs_.last_changes[{stream.table, std::string(record.key)}];
      const Lsn commit{record.sequence.value - record.change_index};
      // A child's is later than its parent's, which is read after it.
      if (commit >= change.commit) {
        change = {commit,
                  record.new_image ? std::optional<std::string>(*record.new_image) : std::nullopt};
      }
    }
    failed = maker.Add(record);
    return failed.ok();
  };
  const std::string path = shards::ShardPath(streams_, stream.id, shard.id);
  TAILRACE_RETURN_IF_ERROR(shards::VerifyShard(fs_, path, end, visitor).status());
  TAILRACE_RETURN_IF_ERROR(failed);
  return maker.Finish();
}

Status LogSalvager::SalvageShard(const shards::Stream& stream, frames::ShardState& state) {
  const shards::Shard& shard = stream.shards.at(ShardId{state.spec().id()});
  const auto end = ends_.find(shard.id.value);
  if (end == ends_.end()) return Status::Ok();
  TAILRACE_ASSIGN_OR_RETURN(const Holes holes, FindHoles(stream, shard, end->second));
  if (holes.any) {
    with_holes_.insert(shard.id);
    if (holes.readable_from > shard.trimmed_below) {
      Lose(stream, shard.id, shard.trimmed_below, SequenceNumber{holes.readable_from.value - 1},
           "left out, since a stream has no holes: what of it can be read, `tailrace dump` shows");
    }
    state.set_trimmed_below(holes.readable_from.value);
  }
  if (holes.readable_from.value > end->second.last_sequence()) return Status::Ok();
  TAILRACE_ASSIGN_OR_RETURN(const auto made, Copy(stream, shard, end->second, holes.readable_from,
                                                  MayProve(stream, shard)));
  if (!made) return Status::Ok();
  logs_.ends.push_back(*made);
  return builder_.AddLogFile(
      stream.id, shard.id, std::string(shards::kShardHeaderFileName),
      shards::EncodeShardHeader(shards::MakeShardHeader(builder_.store_id(), stream, shard)));
}

Result<SalvagedLogs> LogSalvager::Run() {
  logs_.streams = cut_.catalogue().streams();
  TAILRACE_ASSIGN_OR_RETURN(catalogue_, shards::StreamCatalogue::FromProto(logs_.streams));
  for (const frames::ShardEnd& end : cut_.shard_ends()) ends_[end.shard()] = end;
  for (auto& stream : *logs_.streams.mutable_streams()) {
    const shards::Stream* const found = catalogue_.Find(StreamId{stream.spec().id()});
    if (found == nullptr) continue;
    // The youngest first: what they lack decides what their parents prove.
    for (int i = stream.shards_size(); i-- > 0;) {
      TAILRACE_RETURN_IF_ERROR(SalvageShard(*found, *stream.mutable_shards(i)));
    }
  }
  return std::move(logs_);
}

}  // namespace

Result<SalvagedLogs> SalvageLogs(wal::FileSystem& fs, const std::string& streams, const Cut& cut,
                                 StoreBuilder& builder, std::vector<SalvageLoss>& losses) {
  return LogSalvager(fs, streams, cut, builder, losses).Run();
}

}  // namespace tailrace::engine
