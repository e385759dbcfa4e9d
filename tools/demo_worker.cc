#include "tools/demo_worker.h"

#include <atomic>
#include <cstdio>
#include <deque>
#include <thread>

#include "engine/store.h"
#include "tools/format.h"
#include "tools/package_changes.h"
#include "tools/progress.h"
#include "tools/section_reader.h"
#include "wal/mutex.h"

namespace tailrace::tools {
namespace {

// One line to the parent, at once: what is not said before the end was not acknowledged. Two
// threads talk.
void Say(const std::string& line) {
  std::fputs((line + "\n").c_str(), stdout);
  std::fflush(stdout);
}

Result<StreamId> EnsurePackages(Store& store) {
  const auto made = store.CreateTable(
      {.name = kPackagesTable, .keys = PackageKeys(), .stream = ViewType::kNewAndOldImages});
  if (!made.ok() && made.status().code() != StatusCode::kAlreadyExists) return made.status();
  TAILRACE_ASSIGN_OR_RETURN(const TableInfo table, store.DescribeTable(kPackagesTable));
  if (!table.latest_stream) return FailedPrecondition("the table of packages has no stream");
  return *table.latest_stream;
}

// Follows the stream until the writer is done and everything is read.
class Follower {
 public:
  Follower(Store& store, std::unique_ptr<SectionReader> reader)
      : store_(store), reader_(std::move(reader)) {}

  void Start() {
    thread_ = std::thread([this] { result_ = Run(); });
  }

  // Everything is written and lies below `end`.
  void NoMore(Lsn end) { end_.store(end.value); }

  Status Join() {
    thread_.join();
    return result_;
  }

 private:
  Status Run() {
    constexpr uint64_t kWaitMs = 20;
    constexpr uint64_t kPublishRecords = 10'000;
    const Stopwatch watch;
    uint64_t published = 0;
    TAILRACE_RETURN_IF_ERROR(reader_->Publish());
    while (true) {
      // Looked at before reading: what is written by then is read by this step.
      const bool is_last = FannedOut();
      TAILRACE_ASSIGN_OR_RETURN(const bool more, reader_->Step(is_last ? 0 : kWaitMs));
      if (!more && is_last) break;
      if (!more || reader_->records_now() < published + kPublishRecords) continue;
      published = reader_->records_now();
      TAILRACE_RETURN_IF_ERROR(reader_->Publish());
      Say(Cat("read ", reader_->records_ever()));
    }
    TAILRACE_RETURN_IF_ERROR(reader_->Publish());
    Say(Cat("done ", reader_->records_ever(), " ", reader_->records_now(), " ", watch.ElapsedUs()));
    return Status::Ok();
  }

  // Whether all that will ever be written is in the stream.
  bool FannedOut() {
    const uint64_t end = end_.load();
    if (end == UINT64_MAX) return false;
    const auto stats = store_.Stats();
    return stats.ok() && stats->fanned_out.value >= end;
  }

  Store& store_;
  std::unique_ptr<SectionReader> reader_;
  std::atomic<uint64_t> end_{UINT64_MAX};  // UINT64_MAX: more may come.
  std::thread thread_;
  Status result_;
};

// Writes in blocks, several of them in flight, and says when each is safe.
class Writer {
 public:
  explicit Writer(Store& store) : store_(store) {}

  // The write of number `index` gave `result`.
  Status Wrote(uint64_t index, const WriteResult& result) {
    applied_ += result.outcome == WriteOutcome::kApplied ? 1 : 0;
    newest_ = result.token;
    if ((index + 1) % kBlockWrites != 0) return Status::Ok();
    blocks_.push_back({index + 1, result.token});
    return blocks_.size() > kBlocksInFlightMax ? AcknowledgeOldest() : Status::Ok();
  }

  Status Finish(uint64_t end) {
    while (!blocks_.empty()) TAILRACE_RETURN_IF_ERROR(AcknowledgeOldest());
    if (newest_) TAILRACE_RETURN_IF_ERROR(store_.Wait(*newest_));
    Say(Cat("ack ", end));
    return Status::Ok();
  }

  uint64_t applied() const { return applied_; }
  Lsn end() const { return newest_ ? newest_->end : Lsn{}; }

 private:
  static constexpr uint64_t kBlockWrites = 256;
  static constexpr size_t kBlocksInFlightMax = 8;

  struct Block {
    uint64_t end = 0;
    CommitToken token;
  };

  Status AcknowledgeOldest() {
    TAILRACE_RETURN_IF_ERROR(store_.Wait(blocks_.front().token));
    Say(Cat("ack ", blocks_.front().end));
    blocks_.pop_front();
    return Status::Ok();
  }

  Store& store_;
  std::deque<Block> blocks_;
  std::optional<CommitToken> newest_;
  uint64_t applied_ = 0;
};

Status Import(Store& store, const std::vector<Item>& packages, uint64_t begin, Writer& writer) {
  for (uint64_t i = begin; i < packages.size(); ++i) {
    TAILRACE_ASSIGN_OR_RETURN(const WriteResult result,
                              store.Put(kPackagesTable, packages[i], {.wait = WaitFor::kNothing}));
    TAILRACE_RETURN_IF_ERROR(writer.Wrote(i, result));
  }
  return writer.Finish(packages.size());
}

Status Change(Store& store, const std::vector<Item>& packages, uint64_t begin, Writer& writer) {
  const std::vector<PackageChange> changes = PlanChanges(packages.size());
  for (uint64_t i = begin; i < changes.size(); ++i) {
    TAILRACE_ASSIGN_OR_RETURN(
        const WriteResult result,
        ApplyChange(store, kPackagesTable, packages[changes[i].package], changes[i].kind));
    TAILRACE_RETURN_IF_ERROR(writer.Wrote(i, result));
  }
  return writer.Finish(changes.size());
}

}  // namespace

Result<ExitCode> RunDemoWorker(const DemoWork& work) {
  TAILRACE_ASSIGN_OR_RETURN(std::vector<Item> packages, ReadPackageIndex(work.index));
  if (work.limit > 0 && packages.size() > work.limit) packages.resize(work.limit);
  StoreOptions options;
  options.durability = work.durability;
  TAILRACE_ASSIGN_OR_RETURN(const auto store, Store::Open(work.store, options));
  TAILRACE_ASSIGN_OR_RETURN(const StoreStats opened, store->Stats());
  Say(Cat("opened ", opened.recovery_us, " ", opened.recovered_frames));
  TAILRACE_ASSIGN_OR_RETURN(const StreamId stream, EnsurePackages(*store));
  TAILRACE_ASSIGN_OR_RETURN(auto reader, SectionReader::Open(*store, stream));
  Follower follower(*store, std::move(reader));
  follower.Start();
  const Stopwatch watch;
  Writer writer(*store);
  const Status written = work.phase == DemoPhase::kImport
                             ? Import(*store, packages, work.begin, writer)
                             : Change(*store, packages, work.begin, writer);
  if (written.ok()) Say(Cat("written ", writer.applied(), " ", watch.ElapsedUs()));
  follower.NoMore(writer.end());
  const Status followed = follower.Join();
  TAILRACE_RETURN_IF_ERROR(written);
  TAILRACE_RETURN_IF_ERROR(followed);
  TAILRACE_RETURN_IF_ERROR(store->Close());
  return ExitCode::kOk;
}

}  // namespace tailrace::tools
