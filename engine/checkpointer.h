// Checkpoints: draining the write buffer into the item index, and giving journal space back.
//
//   gate exclusive: freeze the generation at C ─▶ wait durable ≥ C, fanned out ≥ C ─▶ make shard
//   logs durable ─▶ one atomic ingest {items of all tables, catalogue, C, each shard's end at C} ─▶
//   drop the frozen generation ─▶ recycle the journal below C ─▶ drop the families of dropped
//   tables, remove trimmed segments
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "engine/core.h"

namespace tailrace::engine {

class Checkpointer {
 public:
  explicit Checkpointer(Core& core) : core_(core) {}
  ~Checkpointer() { Stop(); }
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // Begins to drain in the background.
  void Start();
  // Ends the thread after the checkpoint under way. It may be called more than once.
  void Stop();

  // Drains all that was appended before the call. Nothing to do is OK. Errors: those of the disk;
  // what could not be drained stays in memory and the journal, and is tried again.
  Status Run();

  // Run, and then `look`, during which nothing enters the item index and no file is removed. On OK
  // the files of shard logs that a cut has given up stay until ReleaseFiles was called as often;
  // they go with the next checkpoint.
  Status RunAndHoldFiles(const std::function<Status()>& look);
  void ReleaseFiles();

  // Asks for a checkpoint in the background when the active generation is full. Cheap.
  void RequestIfFull();

  // Waits while the journal is at its limit. The caller holds no lock and not the gate: the
  // checkpoint that makes room needs both. Errors: the store's failure; kNoSpace or kBusy when the
  // checkpoint waited for failed, with its reason.
  Status WaitForRoom();

  // Whether WaitForRoom would not wait now.
  bool HasRoom() const { return core_.journal->live_bytes() < core_.options.journal_bytes_max; }

  uint64_t completed() const { return completed_.load(); }

 private:
  // A frozen generation and what belongs to it, until it is drained.
  struct Draining {
    Lsn at;
    std::shared_ptr<const Generation> generation;
    std::shared_ptr<const Catalogue> catalogue;
    ClockReading clock;
    std::optional<shards::ShardSetState> shards;  // Once fan-out has reached `at`.
  };

  void Loop();
  void PauseAfterFailure() TAILRACE_REQUIRES(mutex_);
  Status RunAll() TAILRACE_REQUIRES(run_mutex_);
  Status RunLocked() TAILRACE_REQUIRES(run_mutex_);
  Status Freeze() TAILRACE_REQUIRES(run_mutex_);
  Status MakeDurable(Draining& draining);
  Status Drain(const Draining& draining);
  void LookAhead(TableId table, const std::vector<Generation::KeyedItem>& piece, size_t at) const;
  Status WriteItems(const Draining& draining, ItemIndex::Ingest& ingest);
  std::string EncodeCut(const Draining& draining) const;
  Result<bool> CutReached(Lsn at);
  Status CleanUp(Draining done) TAILRACE_REQUIRES(run_mutex_);
  Status DropFamilies(const Catalogue& catalogue);
  bool Full() const;

  Core& core_;
  Mutex run_mutex_;
  std::optional<Draining> draining_ TAILRACE_GUARDED_BY(run_mutex_);
  uint64_t files_held_ TAILRACE_GUARDED_BY(run_mutex_) = 0;
  std::atomic<uint64_t> completed_{0};
  std::atomic<uint64_t> active_begin_{0};  // Where the active generation began.

  Mutex mutex_;
  CondVar work_;  // A request, or the end.
  CondVar room_;  // A run is over, or the end.
  bool requested_ TAILRACE_GUARDED_BY(mutex_) = false;
  bool stopping_ TAILRACE_GUARDED_BY(mutex_) = false;
  uint64_t failed_runs_ TAILRACE_GUARDED_BY(mutex_) = 0;
  Status last_failure_ TAILRACE_GUARDED_BY(mutex_);
  std::atomic<bool> request_pending_{false};
  std::thread thread_;
};

}  // namespace tailrace::engine
