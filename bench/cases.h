// The groups of benchmarks; each registers its own.
#pragma once

#include <benchmark/benchmark.h>

namespace tailrace::bench {

void AddWriteCases();
void AddReadCases();
void AddReaderLatencyCases();
void AddRecoveryCases();

// What a child of this program does instead, when started with --fill: see recovery_bench.cc.
inline constexpr char kFillFlag[] = "--fill=";
[[noreturn]] void FillAndDie(const char* what);

}  // namespace tailrace::bench
