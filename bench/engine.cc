#include "bench/engine.h"

#include <filesystem>
#include <map>
#include <tuple>

#include "bench/settings.h"

namespace tailrace::bench {
namespace {

struct Loaded {
  std::string directory;
  std::unique_ptr<Engine> engine;
};

std::map<std::tuple<Kind, Safety, uint64_t>, Loaded>& LoadedEngines() {
  static std::map<std::tuple<Kind, Safety, uint64_t>, Loaded> all;
  return all;
}

}  // namespace

Settings& TheSettings() {
  static Settings settings;
  return settings;
}

const char* NameOf(Kind kind) {
  switch (kind) {
    case Kind::kTailrace:
      return "tailrace";
    case Kind::kTailraceKeysOnly:
      return "tailrace_keys_only";
    case Kind::kTailraceNoStream:
      return "tailrace_nostream";
    case Kind::kRocksItems:
      return "rocksdb_items";
    case Kind::kRocksPut:
      return "rocksdb_put";
    case Kind::kRocksGetPut:
      return "rocksdb_get_put";
    case Kind::kRocksOutbox:
      return "rocksdb_outbox";
    case Kind::kRocksTxnOutbox:
      return "rocksdb_txn_outbox";
  }
  return "";
}

const char* NameOf(Safety safety) { return safety == Safety::kSync ? "sync" : "buffered"; }

bool IsTailrace(Kind kind) {
  return kind == Kind::kTailrace || kind == Kind::kTailraceKeysOnly ||
         kind == Kind::kTailraceNoStream;
}

std::unique_ptr<Engine> OpenEngine(const std::string& directory, const EngineOptions& options) {
  return IsTailrace(options.kind) ? OpenTailrace(directory, options)
                                  : OpenRocks(directory, options);
}

Engine& LoadedEngine(Kind kind, Safety safety, uint64_t value_bytes) {
  Loaded& loaded = LoadedEngines()[{kind, safety, value_bytes}];
  if (loaded.engine == nullptr) {
    loaded.directory = LoadedDirectory(kind, safety, value_bytes);
    std::filesystem::remove_all(loaded.directory);
    loaded.engine = OpenEngine(loaded.directory,
                               {.kind = kind, .safety = safety, .buffer_bytes = kWriteBufferBytes});
    loaded.engine->Load(TheSettings().items, value_bytes);
  }
  return *loaded.engine;
}

std::string LoadedDirectory(Kind kind, Safety safety, uint64_t value_bytes) {
  return TheSettings().directory + "/" + NameOf(kind) + "-" + NameOf(safety) + "-" +
         std::to_string(value_bytes);
}

void DropEngines() {
  for (auto& [key, loaded] : LoadedEngines()) {
    loaded.engine.reset();
    std::filesystem::remove_all(loaded.directory);
  }
  LoadedEngines().clear();
}

}  // namespace tailrace::bench
