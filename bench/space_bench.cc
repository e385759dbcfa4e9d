// space/<engine>/buffered/value:<bytes>: what goes to the disk for a user byte, and what stays
// there, when items of a loaded store are overwritten: as often for every engine, in uniform order,
// 64 in flight where an engine has such a thing. The store has caught up before and after. What
// stays is counted without logs, whose size is their own figure.
#include <deque>
#include <filesystem>

#include "bench/cases.h"
#include "bench/engine.h"
#include "bench/meters.h"
#include "bench/settings.h"
#include "bench/workload.h"

namespace tailrace::bench {
namespace {

constexpr size_t kInFlight = 64;
// Written for each item that is loaded: enough for buffers to fill and files to be compacted.
constexpr uint64_t kUserBytesPerItem = 200;

void Overwrite(Engine& engine, uint64_t value_bytes, uint64_t writes) {
  KeyChooser keys(KeyChooser::Kind::kUniform, TheSettings().items, 13);
  ValueMaker values(value_bytes, 3'000'000'000'000);
  std::deque<uint64_t> begun;
  for (uint64_t i = 0; i < writes; ++i) {
    begun.push_back(engine.Begin(keys.Next(), values.Next()));
    if (begun.size() < kInFlight) continue;
    engine.Await(begun.front());
    begun.pop_front();
  }
  engine.Await(begun.back());
  engine.CatchUp();
}

// Journal and WAL, which hold nothing that is not elsewhere once a store has caught up: files to be
// written again, as many as the options allow and not as were written; and with RocksDB old ones,
// kept for GetUpdatesSince alone, which an outbox does without.
bool IsLog(const std::filesystem::path& file) {
  const std::string parent = file.parent_path().filename();
  return parent == "journal" || parent == "archive" || file.extension() == ".log";
}

double LogBytes(const std::string& directory) {
  return static_cast<double>(DiskUseOf(directory, IsLog).allocated_bytes);
}

double KeptBytes(const std::string& directory) {
  return static_cast<double>(DiskUseOf(directory).allocated_bytes) - LogBytes(directory);
}

void RunSpace(benchmark::State& state, Kind kind, uint64_t value_bytes) {
  const std::string directory = TheSettings().directory + "/space-" + NameOf(kind);
  const uint64_t write_bytes = value_bytes + KeyOf(0).size();
  const uint64_t writes = TheSettings().items * kUserBytesPerItem / write_bytes;
  const auto user_bytes = static_cast<double>(writes * write_bytes);
  for (auto _ : state) {
    std::filesystem::remove_all(directory);
    auto engine = OpenEngine(
        directory, {.kind = kind, .safety = Safety::kBuffered, .buffer_bytes = kWriteBufferBytes});
    engine->Load(TheSettings().items, value_bytes);
    const double kept_before = KeptBytes(directory);
    const DiskMeter disk(directory);
    const uint64_t begin_ns = NowNs();
    Overwrite(*engine, value_bytes, writes);
    state.SetIterationTime(MillisecondsSince(begin_ns) / 1e3);
    state.SetItemsProcessed(static_cast<int64_t>(writes));
    state.counters["written_per_user_byte"] = static_cast<double>(disk.WrittenBytes()) / user_bytes;
    state.counters["kept_per_user_byte"] = (KeptBytes(directory) - kept_before) / user_bytes;
    state.counters["log_mb"] = LogBytes(directory) / 1e6;
    state.counters["disk_busy"] = disk.BusyShare();
  }
  std::filesystem::remove_all(directory);
}

}  // namespace

void AddSpaceCases() {
  for (const uint64_t value_bytes : {100, 1000}) {
    for (const Kind kind : {Kind::kTailrace, Kind::kRocksOutbox}) {
      AddCase(
          std::string("space/") + NameOf(kind) + "/buffered/value:" + std::to_string(value_bytes),
          [=](benchmark::State& state) { RunSpace(state, kind, value_bytes); });
    }
  }
}

}  // namespace tailrace::bench
