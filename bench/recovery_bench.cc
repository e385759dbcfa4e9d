// recovery/<engine>: opening a store that died with TheSettings().journal_bytes of log that nothing
// else has. A child process fills the store and kills itself, once for each opening.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "bench/cases.h"
#include "bench/child.h"
#include "bench/engine.h"
#include "bench/meters.h"
#include "bench/settings.h"
#include "bench/workload.h"
#include "wal/check.h"

namespace tailrace::bench {
namespace {

constexpr uint64_t kValueBytes = 200;
constexpr Kind kKinds[] = {Kind::kTailrace, Kind::kRocksGetPut, Kind::kRocksOutbox};

EngineOptions OptionsOf(Kind kind) {
  // A buffer that never fills: what is written stays in the log.
  return {
      .kind = kind, .safety = Safety::kBuffered, .buffer_bytes = 4 * TheSettings().journal_bytes};
}

std::string DirectoryOf(Kind kind) { return TheSettings().directory + "/recovery-" + NameOf(kind); }

void Fill(Kind kind) {
  Child child(ThisProgram({kFillFlag + std::string(NameOf(kind)),
                           "--items=" + std::to_string(TheSettings().items),
                           "--journal-bytes=" + std::to_string(TheSettings().journal_bytes)}));
  const int status = child.Wait();
  TAILRACE_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the child ended otherwise");
}

void RunRecovery(benchmark::State& state, Kind kind) {
  for (auto _ : state) {
    const std::string directory = DirectoryOf(kind);
    std::filesystem::remove_all(directory);
    Fill(kind);
    const uint64_t begin_ns = NowNs();
    const auto engine = OpenEngine(directory, OptionsOf(kind));
    state.SetIterationTime(static_cast<double>(NowNs() - begin_ns) / 1e9);
    state.SetBytesProcessed(static_cast<int64_t>(TheSettings().journal_bytes));
    TAILRACE_CHECK(engine->Read(0) == kValueBytes, "the store lost what it was given");
  }
  std::filesystem::remove_all(DirectoryOf(kind));
}

}  // namespace

void FillAndDie(const char* what) {
  for (const Kind kind : kKinds) {
    if (std::string(what) != NameOf(kind)) continue;
    const auto engine = OpenEngine(DirectoryOf(kind), OptionsOf(kind));
    engine->Load(0, kValueBytes);  // Nothing; but streams begin.
    ValueMaker values(kValueBytes, 5);
    // The same user bytes for all; a log has somewhat more.
    const uint64_t writes = TheSettings().journal_bytes / (kValueBytes + KeyOf(0).size());
    for (uint64_t i = 0; i < writes; ++i) {
      engine->Write(i % TheSettings().items, values.Next());
    }
    kill(getpid(), SIGKILL);
  }
  TAILRACE_CHECK(false, "unknown engine to fill");
  abort();
}

void AddRecoveryCases() {
  for (const Kind kind : kKinds) {
    AddCase(std::string("recovery/") + NameOf(kind),
            [=](benchmark::State& state) { RunRecovery(state, kind); });
  }
}

}  // namespace tailrace::bench
