// The process that dies: opens a store, tells what is in it, and then writes, reads, makes and
// drops tables, enables and disables streams, checkpoints and trims in several threads until it
// dies. What it should do is in the plan on its standard input; what it does goes to a pipe.
#include "tools/crashtest/child.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "engine/store_files.h"
#include "tools/crashtest/world.h"
#include "wal/check.h"
#include "wal/coding.h"
#include "wal/format.h"
#include "wal/journal.h"

namespace tailrace::crashtest {
namespace {

// Reads exactly `bytes` bytes; false at the end of the input.
bool ReadFully(int descriptor, void* target, size_t bytes) {
  auto* at = static_cast<char*>(target);
  while (bytes > 0) {
    const ssize_t got = ::read(descriptor, at, bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    bytes -= static_cast<size_t>(got);
  }
  return true;
}

StoreOptions MakeOptions(World& world, std::atomic<uint32_t>& pauses) {
  const LifePlan& plan = world.plan;
  StoreOptions options;
  options.durability = plan.durability;
  options.clock = &world.clock;
  options.generation_bytes_max = plan.generation_bytes_max;
  options.journal_bytes_max = plan.journal_bytes_max;
  options.journal_segment_bytes = plan.journal_segment_bytes;
  options.block_cache_bytes = plan.block_cache_bytes;
  options.shared_table_bytes_max = plan.shared_table_bytes_max;
  options.shards_per_stream = plan.shards_per_stream;
  options.retention_ms = plan.retention_ms;
  options.downtime_confirmation_ms = plan.downtime_confirmation_ms;
  options.shard_segment_bytes_max = plan.shard_segment_bytes_max;
  options.shard_segment_age_ms_max = plan.shard_segment_age_ms_max;
  options.maintenance_interval_ms = plan.maintenance_interval_ms;
  options.expiry_items_per_second = plan.expiry_items_per_second;
  options.expiry_queue_bytes_max = plan.expiry_queue_bytes_max;
  options.backfill_items_per_second = plan.backfill_items_per_second;
  options.shard_split_records_per_second = plan.shard_split_records_per_second;
  options.shard_split_bytes_per_second = plan.shard_split_bytes_per_second;
  options.shard_split_window_ms = plan.shard_split_window_ms;
  options.shards_per_stream_max = plan.shards_per_stream_max;
  options.shard_rotation_ms = plan.shard_rotation_ms;
  options.on_event = [&world](const tailrace::Event& event) {
    if (event.kind == tailrace::Event::Kind::kFailed ||
        event.kind == tailrace::Event::Kind::kCheckpointFailed) {
      world.teller.Fail("the store reports: " + event.text);
    }
  };
  options.on_pause_point = [&world, &plan, &pauses](PausePoint point) {
    if (point == PausePoint::kBeforeExpiryDelete) world.dumped.wait(false);
    if (plan.pause_count == 0 || point != plan.pause_point) return;
    if (pauses.fetch_add(1) + 1 == plan.pause_count) ::kill(::getpid(), SIGKILL);
  };
  return options;
}

void TellOpened(World& world) {
  const auto stats = world.store->Stats();
  if (!stats.ok()) return world.teller.Fail("statistics", stats.status());
  Event event{.kind = EventKind::kOpened};
  event.outcome = stats->clean_close;
  event.write = stats->store_id.value;
  event.first = stats->epoch.value;
  event.second = stats->appended.value;
  event.ordinal = stats->recovered_frames;
  event.last = world.plan.downtime_confirmation_ms;
  event.sequence = world.plan.wall_ms;
  event.true_ms = world.TrueMs();
  world.teller.Tell(event);
}

// Where the journal's positions jump: what earlier lives left of it.
void TellEpochs(World& world) {
  const engine::StorePaths paths(world.plan.directory.data());
  const auto tell = [&world](const wal::Frame& frame) {
    if (frame.type != wal::FrameType::kEpoch) return true;
    if (frame.payload.size() < wal::kEpochFramePayloadBytes) return true;
    Event event{.kind = EventKind::kEpoch};
    event.first = frame.epoch.value;
    event.second = LoadLittle<uint64_t>(frame.payload.data() + wal::kEpochFrameOldEndAt);
    world.teller.Tell(event);
    return true;
  };
  const auto read = wal::ScanJournal(wal::FileSystem::Posix(), paths.journal, tell);
  if (!read.ok()) world.teller.Fail("reading the journal's epochs", read.status());
}

void RunTraffic(World& world) {
  world.teller.Tell({.kind = EventKind::kTrafficBegin, .true_ms = world.TrueMs()});
  std::vector<std::thread> threads;
  threads.emplace_back([&] { RunControl(world); });
  threads.emplace_back([&] { RunDurableReader(world); });
  threads.emplace_back([&] { RunPlainReader(world); });
  threads.emplace_back([&] { RunConsumer(world); });
  for (uint32_t i = 0; i < world.plan.writers; ++i) {
    threads.emplace_back(
        [&world, i] { RunWriter(world, static_cast<uint8_t>(kFirstWriterThread + i)); });
  }
  char word = 0;
  // Without the oracle nobody would ever kill this process.
  if (!ReadFully(kPlanDescriptor, &word, 1)) std::_Exit(EXIT_FAILURE);
  world.Stop();
  for (std::thread& thread : threads) thread.join();
}

int Live() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  LifePlan plan;
  if (!ReadFully(kPlanDescriptor, &plan, sizeof plan)) {
    std::fprintf(stderr, "tailrace: this is run by a crash test, which hands it a plan\n");
    return EXIT_FAILURE;
  }
  const Teller teller;
  World world(plan, teller);
  std::atomic<uint32_t> pauses{0};
  auto store = Store::Open(plan.directory.data(), MakeOptions(world, pauses));
  if (!store.ok()) {
    teller.Fail("the store does not open", store.status());
    return EXIT_SUCCESS;
  }
  world.store = store->get();
  TellOpened(world);
  if (plan.tell_positions) TellEpochs(world);
  Dump(world);
  world.dumped.store(true);
  world.dumped.notify_all();
  RunTraffic(world);
  if (const Status closed = (*store)->Close(); !closed.ok()) teller.Fail("closing", closed);
  teller.Tell({.kind = EventKind::kStopped, .true_ms = world.TrueMs()});
  return EXIT_SUCCESS;
}

}  // namespace

void Teller::Tell(const Event& event) const {
  const ssize_t written = ::write(kEventDescriptor, &event, sizeof event);
  TAILRACE_CHECK(written == sizeof event, "a write into the pipe is all or nothing");
}

void Teller::TellAll(const std::vector<Event>& events) const {
  constexpr size_t kPiece = kAtomicPipeWriteBytes / sizeof(Event);
  for (size_t at = 0; at < events.size(); at += kPiece) {
    const size_t bytes = std::min(kPiece, events.size() - at) * sizeof(Event);
    const ssize_t written = ::write(kEventDescriptor, &events[at], bytes);
    TAILRACE_CHECK(written == static_cast<ssize_t>(bytes), "a short write is all or nothing");
  }
}

void Teller::Fail(std::string_view what) const {
  Event event{.kind = EventKind::kFailure};
  SetText(event, what);
  Tell(event);
}

uint64_t World::JournalEnd() const {
  if (!plan.tell_positions) return 0;
  const auto stats = store->Stats();
  if (!stats.ok()) teller.Fail("statistics", stats.status());
  return stats.ok() ? stats->appended.value : 0;
}

void World::Progress() {
  progress_.fetch_add(1);
  progress_.notify_all();
}

void World::WaitForProgress(uint64_t writes) {
  const uint64_t target = progress_.load() + writes;
  while (!stopping.load()) {
    const uint64_t now = progress_.load();
    if (now >= target) return;
    progress_.wait(now);
  }
}

void World::Stop() {
  stopping.store(true);
  Progress();
}

ItemState StateOf(const World& world, uint32_t table, uint32_t key, const Item* item) {
  if (item == nullptr) return {};
  const auto state = KeySpace::Of(table).ReadItem(key, *item);
  if (state) return *state;
  world.teller.Fail("table " + KeySpace::Of(table).name() + ", key " + std::to_string(key) +
                    ": the item is not one that was written");
  return {};
}

int RunChild() { return Live(); }

}  // namespace tailrace::crashtest
