// What is measured: Tailrace and its rivals behind one interface. All of them hold items of a key
// and a value in a directory of their own, with the same cache and buffer budgets (settings.h) and
// the same durability.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tailrace::bench {

enum class Kind {
  kTailrace,          // Stream on, NEW_AND_OLD_IMAGES.
  kTailraceKeysOnly,  // Stream on, KEYS_ONLY.
  kTailraceNoStream,
  kRocksItems,      // As kRocksPut, with keys and values as Tailrace keeps them. For reads.
  kRocksPut,        // Put without looking: no old image, no change record.
  kRocksGetPut,     // Under a striped lock: Get, Put. No change record.
  kRocksOutbox,     // Under a striped lock: Get, both item and change record in one Write.
  kRocksTxnOutbox,  // TransactionDB: GetForUpdate, item and change record, Commit.
};
inline constexpr Kind kEveryKind[] = {
    Kind::kTailrace,    Kind::kTailraceKeysOnly, Kind::kTailraceNoStream, Kind::kRocksPut,
    Kind::kRocksGetPut, Kind::kRocksOutbox,      Kind::kRocksTxnOutbox};
const char* NameOf(Kind kind);
bool IsTailrace(Kind kind);

enum class Safety {
  kBuffered,  // An acknowledged write survives the death of the process.
  kSync,      // And a power loss.
};
const char* NameOf(Safety safety);

// What a reader of change records gets.
enum class Decoding {
  kNone,   // Keys and images as bytes, which is all that RocksDB has.
  kItems,  // Keys and images as items.
};

// Every failure ends the process: a benchmark that goes wrong has no figure. Thread-safe.
class Engine {
 public:
  virtual ~Engine() = default;

  // Fills an empty store with ids 0 … items - 1 and catches up.
  virtual void Load(uint64_t items, uint64_t value_bytes) = 0;

  // Stores the value; returns when it is acknowledged.
  virtual void Write(uint64_t id, std::string_view value) = 0;

  // The same without waiting, and the waiting. Rivals have no such thing: Write, and nothing.
  virtual uint64_t Begin(uint64_t id, std::string_view value) = 0;
  virtual void Await(uint64_t token) = 0;

  // Bytes of the value; 0 if there is no such item.
  virtual uint64_t Read(uint64_t id) = 0;

  // Reads up to `items` items in the engine's order from the one with this id on; returns how many.
  virtual uint64_t ReadRange(uint64_t id, uint64_t items) = 0;

  // Until nothing is left to be done for what was written: change records where readers find them,
  // items in sorted files, no compaction due.
  virtual void CatchUp() = 0;

  // Reads every change record there is; none: it has none.
  struct Changes {
    uint64_t records = 0;
    uint64_t bytes = 0;  // Of their keys and images.
  };
  virtual Changes ReadChanges(Decoding decoding) = 0;
};

struct EngineOptions {
  Kind kind{};
  Safety safety{};
  uint64_t buffer_bytes;  // Of one write buffer.
};

// Opens the store in `directory`, making it if there is none.
std::unique_ptr<Engine> OpenEngine(const std::string& directory, const EngineOptions& options);

// The store of this kind with TheSettings().items items of this size in it, loaded when it is first
// asked for and kept open until the process ends.
Engine& LoadedEngine(Kind kind, Safety safety, uint64_t value_bytes);

// Its directory.
std::string LoadedDirectory(Kind kind, Safety safety, uint64_t value_bytes);

// Closes and removes every store that LoadedEngine opened.
void DropEngines();

// For engine.cc.
std::unique_ptr<Engine> OpenTailrace(const std::string& directory, const EngineOptions& options);
std::unique_ptr<Engine> OpenRocks(const std::string& directory, const EngineOptions& options);

}  // namespace tailrace::bench
