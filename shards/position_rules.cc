#include "shards/position_rules.h"

#include <algorithm>

#include "shards/sequence_number.h"
#include "wal/mutants.h"

namespace tailrace::shards {

std::string NameOfShard(StreamId stream, ShardId shard) {
  return "shard " + std::to_string(shard.value) + " of stream " + std::to_string(stream.value);
}

Status CheckPosition(const PositionScope& scope, const Position& position) {
  if (position.store != scope.store && !TAILRACE_MUTANT("foreign-position-taken")) {
    return InvalidArgument("the position belongs to another store");
  }
  if (position.epoch > scope.epoch) {
    return InvalidArgument("the position is of epoch " + std::to_string(position.epoch.value) +
                           ", which this store has not reached");
  }
  return Status::Ok();
}

Status CheckBeginning(const ShardLog& log, const Position& position) {
  if (position.next >= log.starting()) return Status::Ok();
  return InvalidArgument("the position lies before the beginning of " +
                         NameOfShard(position.stream, position.shard));
}

Position PositionIn(const PositionScope& scope, const ShardLog& log, SequenceNumber next) {
  return Position{.store = scope.store,
                  .epoch = scope.epoch,
                  .stream = log.stream(),
                  .shard = log.shard(),
                  .next = next};
}

std::optional<Gap> LossOf(const PositionScope& scope, const Position& position) {
  for (const wal::EpochStart& jump : scope.jumps) {
    if (jump.epoch <= position.epoch || TAILRACE_MUTANT("loss-not-told")) continue;
    if (position.next.value <= jump.old_end.value) return std::nullopt;
    return Gap{.kind = Gap::Kind::kLost,
               .first = SequenceNumber{jump.old_end.value},
               .last = SequenceNumber{position.next.value - 1}};
  }
  return std::nullopt;
}

Status ReadPage(const PositionScope& scope, const ShardLog& log, const Position& position,
                const PageLimits& limits, RecordPage& page) {
  const std::optional<Gap> loss = LossOf(scope, position);
  if (loss) {
    page.Clear();
    page.gap = loss;
    page.next = PositionIn(scope, log, std::max(loss->first, log.starting()));
    return Status::Ok();
  }
  TAILRACE_RETURN_IF_ERROR(log.Read(position.next, limits, page));
  page.next = PositionIn(scope, log, page.next.next);
  return Status::Ok();
}

Result<Position> Seek(const PositionScope& scope, const ShardLog& log, Lsn published, StartAt start,
                      SequenceNumber number, uint64_t wall_ms) {
  const ShardLog::Bounds bounds = log.bounds();
  if (start == StartAt::kTrimHorizon) return PositionIn(scope, log, bounds.trimmed_below);
  if (start == StartAt::kLatest) {
    const SequenceNumber behind_last{bounds.last.sequence.value + 1};
    return PositionIn(scope, log, std::max(behind_last, bounds.trimmed_below));
  }
  if (start == StartAt::kAtTimestamp) {
    TAILRACE_ASSIGN_OR_RETURN(const SequenceNumber next, log.SeekTime(wall_ms));
    return PositionIn(scope, log, next);
  }
  for (const wal::EpochStart& jump : scope.jumps) {
    if (number.value < jump.old_end.value || number.value >= jump.new_start.value) continue;
    // The record was taken back. A position of the epoch before makes reading say so.
    if (number < log.starting()) break;
    Position position = PositionIn(scope, log, SequenceNumber{number.value + 1});
    position.epoch = Epoch{jump.epoch.value - 1};
    return position;
  }
  // Everything published lies below the published end.
  const bool beyond = bounds.ending ? number > *bounds.ending : number.value >= published.value;
  if (number < log.starting() || beyond) {
    return InvalidArgument("sequence number " + FormatSequenceNumber(number) + " lies outside of " +
                           NameOfShard(log.stream(), log.shard()));
  }
  const bool after = start == StartAt::kAfterSequenceNumber;
  return PositionIn(scope, log, SequenceNumber{number.value + (after ? 1 : 0)});
}

}  // namespace tailrace::shards
