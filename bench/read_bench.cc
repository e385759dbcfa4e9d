// read/get/<engine>/<where>, read/range:100/<engine>: of items of 100 bytes.
//
// Where: "files" (uniformly chosen items of a store that has caught up), "cache" (a few of them,
// written lately and read before), "buffer" (items written just before), "absent". The rival on the
// same bytes is rocksdb_items. rocksdb_put has values alone, and keys in the order of the ids, so
// that no file can have what is absent.
//
// stream_scan/<engine>: every change record of a store that took writes of
// TheSettings().stream_bytes, in records and in bytes of keys and images; read as bytes, and for
// tailrace/items as items. Its files are in the page cache, but for …/cold. stream_scan/memcpy:
// what copying so many bytes in memory takes.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <vector>

#include "bench/cases.h"
#include "bench/engine.h"
#include "bench/meters.h"
#include "bench/settings.h"
#include "bench/workload.h"

namespace tailrace::bench {
namespace {

constexpr uint64_t kValueBytes = 100;
constexpr uint64_t kBufferItems = 1000;
constexpr uint64_t kCacheItems = 10'000;
constexpr uint64_t kRangeItems = 100;
constexpr uint64_t kStreamValueBytes = 1000;

enum class Where { kFiles, kCache, kBuffer, kAbsent };

const char* NameOf(Where where) {
  switch (where) {
    case Where::kFiles:
      return "files";
    case Where::kCache:
      return "cache";
    case Where::kBuffer:
      return "buffer";
    case Where::kAbsent:
      return "absent";
  }
  return "";
}

// Calls `read` for TheSettings().seconds, and says how often.
template <typename Read>
void Repeat(benchmark::State& state, const Read& read) {
  for (auto _ : state) {
    const uint64_t begin_ns = NowNs();
    const auto end_ns = begin_ns + static_cast<uint64_t>(TheSettings().seconds * 1e9);
    Latencies latencies;
    int64_t reads = 0;
    uint64_t now_ns = begin_ns;
    for (; now_ns < end_ns; ++reads) {
      read();
      const uint64_t after_ns = NowNs();
      latencies.Add(after_ns - now_ns);
      now_ns = after_ns;
    }
    state.SetIterationTime(static_cast<double>(now_ns - begin_ns) / 1e9);
    state.SetItemsProcessed(reads);
    state.counters["p50_us"] = latencies.QuantileUs(0.5);
    state.counters["p99_us"] = latencies.QuantileUs(0.99);
  }
}

// Overwrites the first of them.
void WriteFirst(Engine& engine, uint64_t items) {
  static uint64_t seed = 1'000'000'000'000;
  ValueMaker values(kValueBytes, seed += 1'000'000);
  for (uint64_t id = 0; id < items; ++id) engine.Write(id, values.Next());
}

// How many items, from the first on, are in such a place; puts them there.
uint64_t Prepare(Engine& engine, Where where) {
  const uint64_t all = TheSettings().items;
  if (where == Where::kBuffer) {
    WriteFirst(engine, std::min(kBufferItems, all));
    return std::min(kBufferItems, all);
  }
  if (where != Where::kCache) {
    engine.CatchUp();
    return all;
  }
  const uint64_t items = std::min(kCacheItems, all);
  WriteFirst(engine, items);
  engine.CatchUp();
  for (uint64_t id = 0; id < items; ++id) engine.Read(id);
  return items;
}

void RunGet(benchmark::State& state, Kind kind, Where where) {
  Engine& engine = LoadedEngine(kind, Safety::kBuffered, kValueBytes);
  KeyChooser keys(KeyChooser::Kind::kUniform, Prepare(engine, where), 7);
  const uint64_t first = where == Where::kAbsent ? TheSettings().items : 0;
  Repeat(state, [&] {
    const uint64_t bytes = engine.Read(first + keys.Next());
    TAILRACE_CHECK((bytes == 0) == (where == Where::kAbsent), "an item is not what it should be");
  });
}

void RunRange(benchmark::State& state, Kind kind) {
  Engine& engine = LoadedEngine(kind, Safety::kBuffered, kValueBytes);
  engine.CatchUp();
  KeyChooser keys(KeyChooser::Kind::kUniform, TheSettings().items, 7);
  Repeat(state, [&] { benchmark::DoNotOptimize(engine.ReadRange(keys.Next(), kRangeItems)); });
}

enum class PageCache { kWarm, kCold };

// Clean pages that nobody has mapped leave the page cache.
void DropFromPageCache(const std::string& directory) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    const int file = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;  // Removed by the engine meanwhile.
    ::fdatasync(file);
    ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    ::close(file);
  }
}

// The store whose stream is read; written to when it is first asked for.
Engine& WrittenEngine(Kind kind) {
  Engine& engine = LoadedEngine(kind, Safety::kBuffered, kStreamValueBytes);
  static std::vector<Kind> written;
  if (std::find(written.begin(), written.end(), kind) != written.end()) return engine;
  written.push_back(kind);
  KeyChooser keys(KeyChooser::Kind::kUniform, TheSettings().items, 11);
  ValueMaker values(kStreamValueBytes, 2'000'000'000'000);
  // Two images a record.
  for (uint64_t i = 0; i < TheSettings().stream_bytes / (2 * kStreamValueBytes); ++i) {
    engine.Write(keys.Next(), values.Next());
  }
  engine.CatchUp();
  return engine;
}

void RunStreamScan(benchmark::State& state, Kind kind, Decoding decoding, PageCache cache) {
  Engine& engine = WrittenEngine(kind);
  for (auto _ : state) {
    if (cache == PageCache::kCold) {
      DropFromPageCache(LoadedDirectory(kind, Safety::kBuffered, kStreamValueBytes));
    } else {
      engine.ReadChanges(Decoding::kNone);
    }
    const uint64_t begin_ns = NowNs();
    const Engine::Changes changes = engine.ReadChanges(decoding);
    state.SetIterationTime(static_cast<double>(NowNs() - begin_ns) / 1e9);
    state.SetItemsProcessed(static_cast<int64_t>(changes.records));
    state.SetBytesProcessed(static_cast<int64_t>(changes.bytes));
  }
}

// From memory that no cache of a processor holds.
void RunMemcpy(benchmark::State& state) {
  constexpr size_t kBlockBytes = 256 << 10;
  const size_t blocks = TheSettings().stream_bytes / kBlockBytes + 1;
  const std::string source(std::min<size_t>(blocks, 1024) * kBlockBytes, 'x');
  std::string block(kBlockBytes, ' ');
  for (auto _ : state) {
    const uint64_t begin_ns = NowNs();
    for (size_t i = 0; i < blocks; ++i) {
      std::memcpy(block.data(), source.data() + i * kBlockBytes % source.size(), kBlockBytes);
      benchmark::ClobberMemory();
    }
    state.SetIterationTime(static_cast<double>(NowNs() - begin_ns) / 1e9);
    state.SetBytesProcessed(static_cast<int64_t>(blocks * kBlockBytes));
  }
}

}  // namespace

void AddReadCases() {
  for (const Where where : {Where::kFiles, Where::kCache, Where::kBuffer, Where::kAbsent}) {
    for (const Kind kind : {Kind::kTailrace, Kind::kRocksItems, Kind::kRocksPut}) {
      AddCase(std::string("read/get/") + NameOf(kind) + "/" + NameOf(where),
              [=](benchmark::State& state) { RunGet(state, kind, where); });
    }
  }
  for (const Kind kind : {Kind::kTailrace, Kind::kRocksItems, Kind::kRocksPut}) {
    AddCase(std::string("read/range:100/") + NameOf(kind),
            [=](benchmark::State& state) { RunRange(state, kind); });
  }
}

void AddStreamScanCases() {
  const auto add = [](const std::string& name, Kind kind, Decoding decoding, PageCache cache) {
    AddCase("stream_scan/" + name,
            [=](benchmark::State& state) { RunStreamScan(state, kind, decoding, cache); });
  };
  for (const Kind kind : {Kind::kTailrace, Kind::kRocksOutbox}) {
    add(NameOf(kind), kind, Decoding::kNone, PageCache::kWarm);
    add(NameOf(kind) + std::string("/cold"), kind, Decoding::kNone, PageCache::kCold);
  }
  add("tailrace/items", Kind::kTailrace, Decoding::kItems, PageCache::kWarm);
  AddCase("stream_scan/memcpy", RunMemcpy);
}

}  // namespace tailrace::bench
