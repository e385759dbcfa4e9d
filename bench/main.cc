// tailrace_bench: Tailrace beside its rivals, on the disk that --dir is on. The flags of Google
// Benchmark work too: --benchmark_filter, --benchmark_repetitions, --benchmark_out and so on;
// tools/bench runs it whole and writes docs/benchmarks.md.
#include <benchmark/benchmark.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "bench/cases.h"
#include "bench/engine.h"
#include "bench/settings.h"

namespace tailrace::bench {
namespace {

constexpr char kHelp[] =
    "tailrace_bench --dir DIRECTORY [--rounds N] [--items N] [--items-max N] [--seconds S]\n"
    "               [--stream-bytes N] [--journal-bytes N] [--every-write]\n"
    "               [Google Benchmark's flags]\n"
    "  --dir            where stores are made (and removed again); say which disk to measure\n"
    "  --rounds         in which every case runs once, so that rivals meet the same weather (1)\n"
    "  --items          items in a store before it is measured (1000000)\n"
    "  --items-max      in the largest store of growth/items (1000000)\n"
    "  --seconds        that each write and read case runs (5)\n"
    "  --stream-bytes   of change records for a stream scan (1 GiB)\n"
    "  --journal-bytes  of user data that a recovery replays (1 GiB)\n"
    "  --every-write    every combination of engine, durability, keys, size and threads, and not\n"
    "                   only those that docs/benchmarks.md shows\n";

// The value of --name=value or of "--name value", or null when this is another argument.
const char* ValueOf(const char* name, int& i, int argc, char** argv) {
  const size_t length = std::strlen(name);
  if (std::strncmp(argv[i], name, length) != 0) return nullptr;
  if (argv[i][length] == '=') return argv[i] + length + 1;
  if (argv[i][length] != '\0' || i + 1 == argc) return nullptr;
  return argv[++i];
}

template <typename Number>
void Parse(const char* text, Number& number) {
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), number);
  if (error == std::errc() && *end == '\0' && number > 0) return;
  std::cerr << "tailrace_bench: '" << text << "' is no number above 0\n";
  std::exit(2);
}

// What a child does in place of running benchmarks.
struct Role {
  const char* fill = nullptr;
  const char* follow = nullptr;
};

// Takes our own flags out; returns what is left for Google Benchmark.
std::vector<char*> ParseFlags(int argc, char** argv, Role& role) {
  std::vector<char*> rest{argv[0]};
  Settings& settings = TheSettings();
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], kFillFlag, std::strlen(kFillFlag)) == 0) {
      role.fill = argv[i] + std::strlen(kFillFlag);
    } else if (std::strncmp(argv[i], kFollowFlag, std::strlen(kFollowFlag)) == 0) {
      role.follow = argv[i] + std::strlen(kFollowFlag);
    } else if (std::strcmp(argv[i], "--every-write") == 0) {
      settings.every_write = true;
    } else if (const char* items_max = ValueOf("--items-max", i, argc, argv)) {
      Parse(items_max, settings.items_max);
    } else if (const char* directory = ValueOf("--dir", i, argc, argv)) {
      settings.directory = directory;
    } else if (const char* items = ValueOf("--items", i, argc, argv)) {
      Parse(items, settings.items);
    } else if (const char* rounds = ValueOf("--rounds", i, argc, argv)) {
      Parse(rounds, settings.rounds);
    } else if (const char* seconds = ValueOf("--seconds", i, argc, argv)) {
      Parse(seconds, settings.seconds);
    } else if (const char* stream = ValueOf("--stream-bytes", i, argc, argv)) {
      Parse(stream, settings.stream_bytes);
    } else if (const char* journal = ValueOf("--journal-bytes", i, argc, argv)) {
      Parse(journal, settings.journal_bytes);
    } else {
      if (std::strcmp(argv[i], "--help") == 0) std::cout << kHelp;
      rest.push_back(argv[i]);
    }
  }
  return rest;
}

// Results of different settings must not be taken for rounds of one measurement.
void AddSettingsToContext() {
  const Settings& settings = TheSettings();
  benchmark::AddCustomContext("items", std::to_string(settings.items));
  benchmark::AddCustomContext("seconds", std::to_string(settings.seconds));
  benchmark::AddCustomContext("stream_bytes", std::to_string(settings.stream_bytes));
  benchmark::AddCustomContext("journal_bytes", std::to_string(settings.journal_bytes));
}

int Main(int argc, char** argv) {
  Role role;
  std::vector<char*> rest = ParseFlags(argc, argv, role);
  auto rest_count = static_cast<int>(rest.size());
  benchmark::Initialize(&rest_count, rest.data());
  if (benchmark::ReportUnrecognizedArguments(rest_count, rest.data())) return 2;
  if (TheSettings().directory.empty()) {
    std::cerr << "tailrace_bench: say which disk to measure with --dir DIRECTORY\n" << kHelp;
    return 2;
  }
  std::filesystem::create_directories(TheSettings().directory);
  if (role.fill != nullptr) FillAndDie(role.fill);
  if (role.follow != nullptr) FollowAndTell(role.follow);
  AddSettingsToContext();
  for (uint64_t round = 0; round < TheSettings().rounds; ++round) {
    AddWriteCases();
    AddReadCases();
    AddStreamScanCases();
    AddReaderLatencyCases();
    AddRedisCases();
    AddRecoveryCases();
    AddSpaceCases();
    AddItemGrowthCases();
    AddTableGrowthCases();
    AddReaderGrowthCases();
    AddShardGrowthCases();
  }
  benchmark::RunSpecifiedBenchmarks();
  DropEngines();
  benchmark::Shutdown();
  return 0;
}

}  // namespace

void AddCase(const std::string& name, const std::function<void(benchmark::State&)>& run) {
  benchmark::RegisterBenchmark(name.c_str(), run)
      ->Iterations(1)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

}  // namespace tailrace::bench

int main(int argc, char** argv) { return tailrace::bench::Main(argc, argv); }
