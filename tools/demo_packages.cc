#include "tools/demo_packages.h"

#include <algorithm>
#include <csignal>
#include <sstream>

#include "tools/demo_worker.h"
#include "tools/format.h"
#include "tools/package_index.h"
#include "tools/packages_oracle.h"
#include "tools/process.h"
#include "tools/progress.h"
#include "tools/text.h"
#include "tools/verifier.h"
#include "wal/fs.h"

namespace tailrace::tools {
namespace {

// What a worker said before its end.
struct WorkerReport {
  uint64_t acknowledged = 0;
  uint64_t applied = 0;
  uint64_t written_us = 0;
  uint64_t records_ever = 0;
  uint64_t records_now = 0;
  uint64_t reader_us = 0;
  uint64_t recovery_us = 0;
  bool done = false;
  bool killed = false;
  uint64_t acknowledging_us = 0;  // From its opening to its last acknowledgement.
};

class PackagesShow {
 public:
  PackagesShow(DemoText& text, const PackagesDemo& demo)
      : text_(text),
        demo_(demo),
        store_(wal::JoinPath(demo.directory, "packages")),
        index_(demo.index.empty() ? wal::JoinPath(demo.directory, "packages.txt") : demo.index) {}

  Status Run();

 private:
  Status FindPackages();
  Status ImportWithKills();
  Status ChangeWithKill();
  Result<WorkerReport> RunWorker(DemoPhase phase, uint64_t kill_at);
  Status RunAndCheck(DemoPhase phase, uint64_t kill_at, uint64_t total);
  Result<std::unique_ptr<Store>> Reopen(const char* when);
  Status CheckAll();
  Status ShowSections();

  DemoText& text_;
  const PackagesDemo& demo_;
  const std::string store_;
  const std::string index_;
  std::vector<Item> packages_;
  Acknowledged acknowledged_;
};

// The worker's lines, until it ends or has acknowledged `kill_at`: then it is killed, and what it
// said before is still read.
WorkerReport Listen(Process& worker, uint64_t kill_at) {
  WorkerReport report;
  Stopwatch watch;
  while (const auto line = worker.ReadLine()) {
    std::istringstream words(*line);
    std::string word;
    words >> word;
    if (word == "opened") {
      words >> report.recovery_us;
      watch = Stopwatch();
    } else if (word == "ack") {
      words >> report.acknowledged;
      report.acknowledging_us = watch.ElapsedUs();
      if (report.acknowledged >= kill_at && !report.killed) {
        worker.Kill();
        report.killed = true;
      }
    } else if (word == "read") {
      words >> report.records_ever;
    } else if (word == "written") {
      words >> report.applied >> report.written_us;
    } else if (word == "done") {
      words >> report.records_ever >> report.records_now >> report.reader_us;
      report.done = true;
    }
  }
  return report;
}

Result<WorkerReport> PackagesShow::RunWorker(DemoPhase phase, uint64_t kill_at) {
  uint64_t& acknowledged =
      phase == DemoPhase::kImport ? acknowledged_.packages : acknowledged_.changes;
  TAILRACE_ASSIGN_OR_RETURN(
      Process worker,
      Process::Start({OwnProgram(), "demo-worker", "--store", store_, "--index", index_, "--phase",
                      phase == DemoPhase::kImport ? "import" : "change", "--begin",
                      std::to_string(acknowledged), "--limit", std::to_string(demo_.limit),
                      "--durability",
                      demo_.durability == Durability::kSync ? "sync" : "buffered"}));
  WorkerReport report = Listen(worker, kill_at);
  const int ended = worker.Wait();
  const bool as_planned = report.killed ? ended == -SIGKILL : ended == 0 && report.done;
  if (!as_planned) {
    return FailedPrecondition(Cat("the demo failed: the process that writes ended with ", ended));
  }
  acknowledged = std::max(acknowledged, report.acknowledged);
  return report;
}

Status PackagesShow::FindPackages() {
  if (demo_.index.empty()) TAILRACE_RETURN_IF_ERROR(WritePackageIndex(index_));
  const Stopwatch watch;
  TAILRACE_ASSIGN_OR_RETURN(packages_, ReadPackageIndex(index_));
  if (demo_.limit > 0 && packages_.size() > demo_.limit) packages_.resize(demo_.limit);
  uint64_t bytes = 0;
  uint64_t attributes = 0;
  for (const Item& package : packages_) {
    bytes += package.SizeBytes();
    attributes += package.size();
  }
  text_.Line(Cat("Index: ", CountText(packages_.size()), " packages, ", CountText(attributes),
                 " attributes, ", BytesText(bytes), ", read in ", DurationText(watch.ElapsedUs())));
  text_.Line(
      "Table Packages, key Package + Version, stream NEW_AND_OLD_IMAGES; every field an "
      "attribute.");
  text_.Line(
      "One process writes and follows the stream, keeping table Sections: packages and installed");
  text_.Line("size a section. It says over a pipe what is acknowledged. We kill it with SIGKILL.");
  return Status::Ok();
}

Result<std::unique_ptr<Store>> PackagesShow::Reopen(const char* when) {
  StoreOptions options;
  options.durability = demo_.durability;
  options.create_if_missing = false;
  const Stopwatch watch;
  TAILRACE_ASSIGN_OR_RETURN(auto store, Store::Open(store_, options));
  const uint64_t open_us = watch.ElapsedUs();
  TAILRACE_ASSIGN_OR_RETURN(const StoreStats stats, store->Stats());
  text_.Line(Cat(when, ": opened in ", DurationText(open_us), "; ",
                 CountText(stats.recovered_frames), " frames of the journal replayed, ",
                 BytesText(stats.torn_bytes), " of a torn tail cut"));
  return store;
}

Status PackagesShow::RunAndCheck(DemoPhase phase, uint64_t kill_at, uint64_t total) {
  const bool importing = phase == DemoPhase::kImport;
  const uint64_t before = importing ? acknowledged_.packages : acknowledged_.changes;
  TAILRACE_ASSIGN_OR_RETURN(const WorkerReport report, RunWorker(phase, kill_at));
  const uint64_t now = importing ? acknowledged_.packages : acknowledged_.changes;
  text_.Line("");
  text_.Line(Cat(importing ? "import: " : "changes: ", CountText(before), " to ", CountText(now),
                 " of ", CountText(total), " acknowledged, ",
                 RateText(now - before, report.acknowledging_us),
                 report.killed ? ", then killed" : ""));
  if (report.done) {
    text_.Line(Cat("the reader: ", CountText(report.records_now), " records in this run, ",
                   RateText(report.records_now, report.reader_us), "; ",
                   CountText(report.records_ever), " counted in all"));
  }
  TAILRACE_ASSIGN_OR_RETURN(const auto store, Reopen(report.killed ? "recovery" : "reopened"));
  TAILRACE_RETURN_IF_ERROR(CheckAcknowledged(text_, *store, packages_, acknowledged_));
  if (report.done) {
    TAILRACE_RETURN_IF_ERROR(CheckDerived(text_, *store));
  } else {
    TAILRACE_ASSIGN_OR_RETURN(const uint64_t counted, RecordsCounted(*store));
    text_.Line(Cat("the reader had kept its place behind ", CountText(counted),
                   " records: it goes on there"));
  }
  return store->Close();
}

Status PackagesShow::ImportWithKills() {
  text_.Heading("Import, killed twice");
  const uint64_t total = packages_.size();
  for (const uint64_t kill_at : {total * 3 / 10, total * 6 / 10, UINT64_MAX}) {
    TAILRACE_RETURN_IF_ERROR(
        RunAndCheck(DemoPhase::kImport, std::max<uint64_t>(kill_at, 1), total));
  }
  return Status::Ok();
}

Status PackagesShow::ChangeWithKill() {
  text_.Heading(
      "Changes: a tenth removed, a tenth grown, a tenth moved to another section; killed once");
  const uint64_t total = PlanChanges(packages_.size()).size();
  for (const uint64_t kill_at : {total / 2, UINT64_MAX}) {
    TAILRACE_RETURN_IF_ERROR(
        RunAndCheck(DemoPhase::kChange, std::max<uint64_t>(kill_at, 1), total));
  }
  return Status::Ok();
}

Status PackagesShow::ShowSections() {
  StoreOptions options;
  options.durability = demo_.durability;
  TAILRACE_ASSIGN_OR_RETURN(const auto store, Store::Open(store_, options));
  TAILRACE_ASSIGN_OR_RETURN(const SectionTotals totals, ReadSectionRows(*store));
  std::vector<std::pair<std::string, SectionTotal>> rows(totals.begin(), totals.end());
  std::sort(rows.begin(), rows.end(),
            [](const auto& a, const auto& b) { return a.second.packages > b.second.packages; });
  constexpr size_t kRowsShown = 8;
  text_.Heading(Cat("The derived table, its largest sections of ", rows.size()));
  rows.resize(std::min(rows.size(), kRowsShown));
  using Align = TextTable::Align;
  TextTable table({{"section"}, {"packages", Align::kRight}, {"installed", Align::kRight}});
  for (const auto& [section, total] : rows) {
    table.Row({section, CountText(total.packages), BytesText(total.installed_kib * 1024)});
  }
  table.Print(text_.out(), "   ");
  return store->Close();
}

Status PackagesShow::CheckAll() {
  text_.Heading("The files, read without the store");
  const Stopwatch watch;
  TAILRACE_ASSIGN_OR_RETURN(const VerifyReport report,
                            VerifyStore(wal::FileSystem::Posix(), store_, Depth::kDeep));
  for (const Finding& finding : report.findings) {
    if (finding.is_damage) text_.Line(Cat(finding.file, ": ", EscapeForTerminal(finding.what)));
  }
  return text_.Claim(
      report.damages() == 0 && report.checksums,
      Cat("`tailrace verify --deep` finds nothing: ", CountText(report.records), " records in ",
          CountText(report.shards), " shards, ", CountText(report.items_compared),
          " items compared, RocksDB's checksums, in ", DurationText(watch.ElapsedUs())));
}

Status PackagesShow::Run() {
  text_.Heading("This machine's Debian package index, imported and followed");
  TAILRACE_RETURN_IF_ERROR(FindPackages());
  TAILRACE_RETURN_IF_ERROR(ImportWithKills());
  TAILRACE_RETURN_IF_ERROR(ChangeWithKill());
  TAILRACE_RETURN_IF_ERROR(CheckAll());
  return ShowSections();
}

}  // namespace

Status ShowPackages(DemoText& text, const PackagesDemo& demo) {
  return PackagesShow(text, demo).Run();
}

}  // namespace tailrace::tools
