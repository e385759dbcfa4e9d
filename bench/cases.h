// The groups of benchmarks; each registers its own, rivals side by side.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <string>

namespace tailrace::bench {

// Registers one case that measures its own time, once. Called again with the same name it is one
// more round of it.
void AddCase(const std::string& name, const std::function<void(benchmark::State&)>& run);

void AddWriteCases();
void AddReadCases();
void AddStreamScanCases();
void AddReaderLatencyCases();
void AddRedisCases();
void AddRecoveryCases();
void AddSpaceCases();
void AddItemGrowthCases();
void AddTableGrowthCases();
void AddReaderGrowthCases();
void AddShardGrowthCases();

// What a child of this program does instead, when started with --fill: see recovery_bench.cc.
inline constexpr char kFillFlag[] = "--fill=";
[[noreturn]] void FillAndDie(const char* what);

// The same with --follow and the directory of a store: see latency_bench.cc.
inline constexpr char kFollowFlag[] = "--follow=";
[[noreturn]] void FollowAndTell(const char* directory);

}  // namespace tailrace::bench
