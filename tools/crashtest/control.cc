// The one thread of the process under test that changes tables and streams, steps the clock, trims
// and checkpoints.
#include <algorithm>
#include <optional>

#include "tools/crashtest/world.h"

namespace tailrace::crashtest {
namespace {

constexpr uint64_t kMinuteMs = 60'000;
constexpr uint64_t kHourMs = 60 * kMinuteMs;
constexpr ViewType kViews[] = {ViewType::kKeysOnly, ViewType::kNewImage, ViewType::kOldImage,
                               ViewType::kNewAndOldImages};

// Every item that the writers write is in both.
const IndexSpec kByCount{.name = "by_count", .keys = {{"count", ScalarType::kN}}};
const IndexSpec kByPrevious{
    .name = "by_previous",
    .keys = {{"previous", ScalarType::kN}, KeyAttribute{"write", ScalarType::kN}},
    .projection = Projection::kKeysOnly};

// Keeps writers away from a table for as long as it lives.
class Fence {
 public:
  Fence(World& world, uint32_t table) : closed_(world.closed[table]) {
    closed_.store(true);
    lock_.emplace(world.fences[table]);
  }
  ~Fence() {
    lock_.reset();
    closed_.store(false);
  }
  Fence(const Fence&) = delete;
  Fence& operator=(const Fence&) = delete;

 private:
  std::atomic<bool>& closed_;
  std::optional<WriterLock> lock_;
};

class Control {
 public:
  explicit Control(World& world) : world_(world), random_(MixSeed(world.plan.seed, 50)) {}

  void Run() {
    MakeFirstTables();
    while (!world_.stopping.load()) {
      Step();
      world_.WaitForProgress(random_.Below(30));
    }
  }

 private:
  void MakeFirstTables();
  void Step();
  void StepClock(uint64_t ms);
  void Maintain();
  void ChangeTable(uint32_t table);
  void ChangeStream(const TableInfo& info);
  void ChangeTimeToLive(const TableInfo& info);
  void ChangeIndex(const TableInfo& info);
  void Create(uint32_t table, std::optional<ViewType> view);
  void Drop(const TableInfo& info);
  void ChangeShards(uint32_t table);
  void Enable(const TableInfo& info);
  void Disable(const TableInfo& info);
  std::optional<TableInfo> Describe(uint32_t table);

  Event Begin(Operation operation, uint32_t table) {
    Event event{.kind = EventKind::kTableChangeBegin, .operation = operation, .table = table};
    event.true_ms = world_.TrueMs();
    event.second = world_.JournalEnd();
    return event;
  }
  // Tells the outcome; `sequence` is the journal's position of the change.
  void End(Event event, const Status& status, uint64_t sequence) {
    event.kind = EventKind::kTableChangeEnd;
    event.code = status.code();
    event.sequence = sequence;
    event.last = world_.JournalEnd();
    event.true_ms = world_.TrueMs();
    SetText(event, status.message());
    world_.teller.Tell(event);
  }
  // A sequence number that no change has: those done have lower ones, those to come higher ones.
  uint64_t Now() {
    const auto stats = world_.store->Stats();
    if (!stats.ok()) world_.teller.Fail("statistics", stats.status());
    return stats.ok() ? stats->appended.value - 1 : 0;
  }
  uint64_t DisabledAt(StreamId stream) {
    const auto info = world_.store->DescribeStream(stream);
    // The newest shard was open until then.
    if (info.ok() && !info->shards.empty() && info->shards.back().ending) {
      return info->shards.back().ending->value;
    }
    world_.teller.Fail("a stream that was just disabled cannot be described", info.status());
    return 0;
  }

  World& world_;
  Random random_;
};

std::optional<TableInfo> Control::Describe(uint32_t table) {
  auto info = world_.store->DescribeTable(KeySpace::Of(table).name());
  if (info.ok()) return *info;
  if (info.status().code() != StatusCode::kNotFound) {
    world_.teller.Fail("describing a table", info.status());
  }
  return std::nullopt;
}

// A store without tables would be a dull one.
void Control::MakeFirstTables() {
  for (uint32_t table = 0; table < kTableNames && !world_.stopping.load(); ++table) {
    if (!Describe(table) && random_.Below(3) != 0) ChangeTable(table);
  }
}

void Control::Step() {
  const uint64_t choice = random_.Below(100);
  if (choice < 15) {
    world_.teller.Tell({.kind = EventKind::kSyncBegin, .true_ms = world_.TrueMs()});
    const Status status = world_.store->Checkpoint();
    if (!status.ok()) return world_.teller.Fail("a checkpoint", status);
    world_.teller.Tell({.kind = EventKind::kSyncEnd, .true_ms = world_.TrueMs()});
  } else if (choice < 35) {
    StepClock(random_.Between(1, 30 * kMinuteMs));
  } else if (choice < 41) {
    StepClock(random_.Between(1, 12 * kHourMs));
  } else if (choice < 53) {
    Maintain();
  } else if (choice < 55 && world_.plan.may_confirm_downtime) {
    const Status status = world_.store->ConfirmDowntime();
    if (!status.ok()) world_.teller.Fail("confirming downtime", status);
  } else if (choice < 75) {
    ChangeShards(static_cast<uint32_t>(random_.Below(kTableNames)));
  } else {
    ChangeTable(static_cast<uint32_t>(random_.Below(kTableNames)));
  }
}

// Splits a shard, or merges two where that is allowed. Nothing that anybody is shown changes by it.
void Control::ChangeShards(uint32_t table) {
  const auto info = Describe(table);
  if (!info || !info->stream_view) return;
  const StreamId id = *info->latest_stream;
  const auto stream = world_.store->DescribeStream(id);
  if (!stream.ok()) return world_.teller.Fail("describing a stream", stream.status());
  const ShardId shard = stream->shards[random_.Below(stream->shards.size())].id;
  const ShardId other = stream->shards[random_.Below(stream->shards.size())].id;
  const Status changed = random_.OneIn(3) ? world_.store->MergeShards(id, shard, other).status()
                                          : world_.store->SplitShard(id, shard).status();
  const bool refused = changed.code() == StatusCode::kFailedPrecondition ||
                       changed.code() == StatusCode::kInvalidArgument ||
                       changed.code() == StatusCode::kNotFound;  // It expired.
  if (!changed.ok() && !refused) world_.teller.Fail("changing shards", changed);
}

void Control::StepClock(uint64_t ms) {
  const WriterLock fence(world_.clock_fence);
  world_.teller.Tell({.kind = EventKind::kClockStep, .true_ms = world_.TrueMs() + ms});
  world_.clock.Advance(ms);
}

void Control::Maintain() {
  world_.teller.Tell({.kind = EventKind::kMaintenanceBegin, .true_ms = world_.TrueMs()});
  world_.teller.Tell({.kind = EventKind::kSyncBegin, .true_ms = world_.TrueMs()});
  const Status status = world_.store->RunMaintenance();
  if (!status.ok()) return world_.teller.Fail("upkeep", status);
  world_.teller.Tell({.kind = EventKind::kSyncEnd, .true_ms = world_.TrueMs()});
  world_.teller.Tell({.kind = EventKind::kMaintenanceEnd, .true_ms = world_.TrueMs()});
}

void Control::ChangeTable(uint32_t table) {
  const auto info = Describe(table);
  if (!info) {
    std::optional<ViewType> view;
    if (random_.Below(3) != 0) view = kViews[random_.Below(std::size(kViews))];
    return Create(table, view);
  }
  if (random_.OneIn(4)) return Drop(*info);
  if (random_.OneIn(3)) return ChangeTimeToLive(*info);
  if (random_.OneIn(3)) return ChangeIndex(*info);
  ChangeStream(*info);
}

// Which items expire follows from their states, so nobody needs to be told.
void Control::ChangeTimeToLive(const TableInfo& info) {
  const bool off = info.time_to_live_attribute && random_.OneIn(3);
  const Status changed = world_.store->UpdateTimeToLive(
      info.name, off ? std::nullopt : std::optional<std::string>(kExpires));
  const bool was_so = info.time_to_live_attribute && !off;
  if (changed.code() != (was_so ? StatusCode::kFailedPrecondition : StatusCode::kOk)) {
    world_.teller.Fail("changing a time to live", changed);
  }
}

// Makes an index beside the writers, or drops it. What it holds is compared when all is told.
void Control::ChangeIndex(const TableInfo& info) {
  const bool there = std::any_of(info.indexes.begin(), info.indexes.end(), [](const auto& index) {
    return index.spec.name == kByPrevious.name;
  });
  const Status changed = there ? world_.store->DropIndex(info.name, kByPrevious.name)
                               : world_.store->CreateIndex(info.name, kByPrevious).status();
  if (!changed.ok()) world_.teller.Fail("changing an index", changed);
}

void Control::ChangeStream(const TableInfo& info) {
  if (!info.stream_view) return Enable(info);
  // Now and then the same thing again, which is refused.
  random_.OneIn(6) ? Enable(info) : Disable(info);
}

void Control::Create(uint32_t table, std::optional<ViewType> view) {
  const KeySpace& space = KeySpace::Of(table);
  Event event = Begin(Operation::kCreateTable, table);
  event.outcome = view.has_value();
  if (view) event.view = *view;
  // Where a table without a stream began can only be told if nobody writes meanwhile.
  std::optional<Fence> fence;
  if (!view) fence.emplace(world_, table);
  world_.teller.Tell(event);
  const auto made = world_.store->CreateTable(
      {.name = space.name(), .keys = space.schema(), .stream = view, .indexes = {kByCount}});
  uint64_t sequence = 0;
  if (made.ok()) {
    event.first = made->id.value;
    if (view) {
      event.stream = made->latest_stream.value_or(StreamId{}).value;
      const auto stream = world_.store->DescribeStream(StreamId{event.stream});
      if (stream.ok()) sequence = stream->shards.front().starting.value - 1;
      if (!stream.ok()) world_.teller.Fail("describing a new stream", stream.status());
    } else {
      sequence = Now();
    }
  }
  End(event, made.status(), sequence);
}

void Control::Drop(const TableInfo& info) {
  const uint32_t table = KeySpace::TableOf(info.name);
  const bool fenced = !info.stream_view;
  Event event = Begin(Operation::kDropTable, table);
  event.first = info.id.value;
  if (info.stream_view) event.stream = info.latest_stream->value;
  std::optional<Fence> fence;
  if (fenced) fence.emplace(world_, table);
  world_.teller.Tell(event);
  const Status dropped = world_.store->DropTable(info.name);
  uint64_t sequence = 0;
  if (dropped.ok()) sequence = fenced ? Now() : DisabledAt(*info.latest_stream);
  End(event, dropped, sequence);
}

void Control::Enable(const TableInfo& info) {
  const uint32_t table = KeySpace::TableOf(info.name);
  Event event = Begin(Operation::kEnableStream, table);
  event.first = info.id.value;
  event.view = kViews[random_.Below(std::size(kViews))];
  world_.teller.Tell(event);
  StreamOptions options;
  if (random_.OneIn(3)) options.retention_ms = random_.Between(1, 3) * kHourMs;
  if (random_.OneIn(3)) options.shards = static_cast<uint32_t>(random_.Between(1, 9));
  const auto enabled = world_.store->EnableStream(info.name, event.view, options);
  if (enabled.ok()) event.stream = enabled->id.value;
  const bool expected =
      enabled.ok() ? !info.stream_view
                   : info.stream_view && enabled.status().code() == StatusCode::kFailedPrecondition;
  if (!expected) world_.teller.Fail("enabling a stream", enabled.status());
  End(event, enabled.status(), enabled.ok() ? enabled->shards.front().starting.value - 1 : 0);
}

void Control::Disable(const TableInfo& info) {
  const uint32_t table = KeySpace::TableOf(info.name);
  Event event = Begin(Operation::kDisableStream, table);
  event.first = info.id.value;
  event.stream = info.latest_stream->value;
  world_.teller.Tell(event);
  const Status disabled = world_.store->DisableStream(info.name);
  if (!disabled.ok()) world_.teller.Fail("disabling a stream", disabled);
  End(event, disabled, disabled.ok() ? DisabledAt(*info.latest_stream) : 0);
}

}  // namespace

void RunControl(World& world) { Control(world).Run(); }

}  // namespace tailrace::crashtest
