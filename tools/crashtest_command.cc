#include "tools/crashtest_command.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <random>

#include "tools/crashtest/child.h"
#include "tools/crashtest/lineage.h"
#include "tools/format.h"
#include "tools/json_writer.h"
#include "tools/process.h"
#include "tools/progress.h"
#include "tools/text.h"
#include "wal/fs.h"

namespace tailrace::tools {
namespace {

using crashtest::Counts;
using crashtest::Lineage;

constexpr char kDetails[] =
    "Makes a store in DIR and starts a process that writes to it, reads from it, changes its "
    "tables "
    "and streams,\n"
    "checkpoints and trims, all at once. That process is killed with SIGKILL at a moment that "
    "nobody "
    "chose; the\n"
    "next one tells what it finds, and this one, which heard of every acknowledgement, judges it. "
    "Every few kills\n"
    "the store is removed and a new one made, sync and buffered in turn (unless --durability says "
    "which), with\n"
    "other options and another clock. It tries your disk and file system under the death of "
    "processes; for the\n"
    "loss of power, pull the plug and see whether `tailrace verify` and your data agree.\n"
    "Exit code 0: nothing is wrong, 1: something is; the store of the failing cycle stays in DIR "
    "and "
    "is named.\n"
    "Example: tailrace crashtest /var/lib/games-test --minutes 10";

constexpr uint32_t kCyclesPerStore = 18;

struct CrashtestArguments {
  std::string directory;
  double minutes = 1;
  uint64_t cycles = 0;
  std::optional<uint64_t> seed;
  std::string child;  // Not in the help: tests run another one.
};

struct CrashtestReport {
  uint64_t seed = 0;
  uint64_t cycles = 0;
  uint64_t kills = 0;
  uint64_t stores = 0;
  uint64_t elapsed_us = 0;
  Counts counts;
  std::vector<std::string> faults;
  std::string kept;  // Where the store of the failing cycle is.
};

class Crashtest {
 public:
  Crashtest(const Context& context, const CrashtestArguments& arguments)
      : arguments_(arguments),
        durability_(context.options.durability),
        end_us_(static_cast<uint64_t>(arguments.minutes * 60e6)),
        seeds_(arguments.seed ? *arguments.seed : std::random_device{}()) {
    report_.seed = seeds_.seed();
  }

  Result<CrashtestReport> Run() {
    while (More() && report_.faults.empty()) TAILRACE_RETURN_IF_ERROR(RunStore());
    progress_.Clear();
    report_.elapsed_us = watch_.ElapsedUs();
    return std::move(report_);
  }

 private:
  bool More() const {
    if (Interrupted()) return false;
    if (arguments_.cycles > 0) return report_.cycles < arguments_.cycles;
    return watch_.ElapsedUs() < end_us_;
  }

  Status RunStore();
  void ShowProgress();

  const CrashtestArguments& arguments_;
  const std::optional<Durability> durability_;
  const uint64_t end_us_;
  Random seeds_;
  const Stopwatch watch_;
  Progress progress_{"cycle", 0};
  CrashtestReport report_;
};

void Crashtest::ShowProgress() {
  if (arguments_.cycles > 0) {
    progress_.UpdateNow(report_.cycles, report_.cycles, arguments_.cycles);
  } else {
    progress_.UpdateNow(report_.cycles, watch_.ElapsedUs(), end_us_);
  }
}

// One store, from its making to its removal; it stays if something is wrong with it.
Status Crashtest::RunStore() {
  std::string home = wal::JoinPath(arguments_.directory, "crashtest.XXXXXX");
  if (::mkdtemp(home.data()) == nullptr) return IoError(Cat("cannot make a directory ", home));
  const uint64_t number = report_.stores++;
  crashtest::LineageOptions options{.directory = wal::JoinPath(home, "store")};
  options.program = arguments_.child.empty()
                        ? std::vector<std::string>{OwnProgram(), "crashtest-child"}
                        : std::vector<std::string>{arguments_.child};
  options.durability =
      durability_.value_or(number % 2 == 0 ? Durability::kSync : Durability::kBuffered);
  options.hostile_clock = number / 2 % 2 == 1;
  options.seed = seeds_.Next();
  Lineage lineage(std::move(options));
  for (uint32_t i = 0; i < kCyclesPerStore && More() && !lineage.failed(); ++i) {
    if (lineage.Live() == Lineage::End::kKilled) ++report_.kills;
    ++report_.cycles;
    ShowProgress();
  }
  if (!lineage.failed()) lineage.LiveToTheEnd();
  report_.counts.Add(lineage.counts());
  if (lineage.failed()) {
    report_.faults = lineage.Describe();
    report_.kept = wal::JoinPath(home, "store");
    return Status::Ok();
  }
  std::error_code error;
  std::filesystem::remove_all(home, error);
  return error ? IoError(Cat(home, ": ", error.message())) : Status::Ok();
}

void PrintJson(Output& out, const CrashtestReport& report) {
  const Counts& counts = report.counts;
  JsonWriter json;
  json.BeginObject().Key("seed").String(std::to_string(report.seed));
  json.Key("cycles").Number(report.cycles).Key("kills").Number(report.kills);
  json.Key("stores").Number(report.stores).Key("elapsedMs").Number(report.elapsed_us / 1000);
  json.Key("acknowledgedWritesChecked").Number(counts.acknowledged);
  json.Key("otherAnswersChecked").Number(counts.other_answers);
  json.Key("writesUnderWay").Number(counts.pending);
  json.Key("writesUnderWayRecovered").Number(counts.survived);
  json.Key("recordsChecked").Number(counts.records);
  json.Key("transactionsChecked").Number(counts.transactions);
  json.Key("effectsChecked").Number(counts.effects);
  json.Key("faults").BeginArray();
  for (const std::string& fault : report.faults) json.String(fault);
  json.EndArray();
  if (!report.kept.empty()) json.Key("store").String(report.kept);
  out.JsonLine(json.EndObject().Take());
}

void PrintText(Output& out, const CrashtestReport& report) {
  const Counts& counts = report.counts;
  out.Line(Cat("cycles   ", CountText(report.cycles), " over ", Plural(report.stores, "store"),
               " in ", DurationText(report.elapsed_us), ", ", CountText(report.kills),
               " ended by SIGKILL; seed ", report.seed));
  out.Line(Cat("checked  ", CountText(counts.acknowledged), " acknowledged writes, ",
               CountText(counts.other_answers), " other answers, ",
               Plural(counts.records, "record"), " of streams, ",
               Plural(counts.transactions, "transaction"), ", ", Plural(counts.effects, "effect"),
               " of a consumer"));
  out.Line(Cat("at death ", Plural(counts.pending, "write"), " under way, of which ",
               CountText(counts.survived), " were found whole, the others not at all"));
  for (const std::string& fault : report.faults) {
    out.Line(Cat("FAULT    ", EscapeForTerminal(fault)));
  }
  if (report.faults.empty()) {
    out.Line("faults   none");
  } else {
    out.Line(Cat("The store is in ", EscapeForTerminal(report.kept), ": try"));
    out.Line(Cat("tailrace verify --store ", EscapeForTerminal(report.kept)));
  }
}

Result<ExitCode> RunCrashtest(Context& context, const CrashtestArguments& arguments) {
  std::error_code error;
  if (!std::filesystem::is_directory(arguments.directory, error)) {
    return NotFound(Cat("there is no directory ", arguments.directory));
  }
  WatchInterrupts();
  TAILRACE_ASSIGN_OR_RETURN(const CrashtestReport report, Crashtest(context, arguments).Run());
  if (context.options.json) {
    PrintJson(context.out, report);
  } else {
    PrintText(context.out, report);
  }
  if (!report.faults.empty()) return ExitCode::kNo;
  return Interrupted() ? ExitCode::kInterrupted : ExitCode::kOk;
}

// Not in the help: the processes that are killed.
void AddCrashtestChild(Registry& registry) {
  CLI::App& command =
      registry.Add(registry.root(), "crashtest-child", "The process that a crash test kills", "");
  command.group("");
  registry.OnRun(command, [](Context&) -> Result<ExitCode> {
    return crashtest::RunChild() == 0 ? ExitCode::kOk : ExitCode::kUsage;
  });
}

}  // namespace

void AddCrashtestCommand(Registry& registry) {
  auto arguments = std::make_shared<CrashtestArguments>();
  CLI::App& command =
      registry.Add(registry.root(), "crashtest",
                   "Torture a store on your disk with processes that are killed", kDetails);
  command
      .add_option("directory", arguments->directory,
                  "Where the stores are made, each in a directory of its own; must exist")
      ->required();
  command.add_option("--minutes", arguments->minutes, "How long (1, unless this says otherwise)")
      ->check(CLI::PositiveNumber);
  command.add_option("--cycles", arguments->cycles, "How many cycles, in place of how long")
      ->check(CLI::PositiveNumber);
  command.add_option("--seed", arguments->seed,
                     "Fixes what is drawn (options, writes, aims); not the moment of a death");
  command.add_option("--child", arguments->child)->group("");
  registry.OnRun(command,
                 [arguments](Context& context) { return RunCrashtest(context, *arguments); });
  AddCrashtestChild(registry);
}

}  // namespace tailrace::tools
