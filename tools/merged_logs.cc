#include "tools/merged_logs.h"

#include <deque>
#include <thread>
#include <utility>

namespace tailrace::tools {

// Reads one source on a thread and hands its events over in batches.
class MergedLogs::Reader {
 public:
  Reader(wal::FileSystem& fs, const LogSource& source, const Filter& filter,
         const shards::OfflineFrom& from)
      : source_(source), thread_([this, &fs, filter, from] { Run(fs, filter, from); }) {}

  ~Reader() {
    {
      MutexLock lock(mutex_);
      cancelled_ = true;
      room_.NotifyAll();
    }
    thread_.join();
  }

  const LogSource& source() const { return source_; }

  // The next event, or null at the end. Stays until Pop.
  Result<LogEvent*> Peek() {
    if (at_ < batch_.size()) return &batch_[at_];
    batch_.clear();
    at_ = 0;
    MutexLock lock(mutex_);
    while (batches_.empty() && !finished_) ready_.Wait(mutex_);
    if (batches_.empty()) {
      if (!result_.ok()) return result_;
      return nullptr;
    }
    batch_ = std::move(batches_.front());
    batches_.pop_front();
    room_.NotifyAll();
    return &batch_[0];
  }
  void Pop() { ++at_; }

 private:
  static constexpr size_t kBatchEventsMax = 256;
  static constexpr size_t kBatchBytesMax = 1 << 20;
  static constexpr size_t kBatchesMax = 2;

  void Run(wal::FileSystem& fs, const Filter& filter, const shards::OfflineFrom& from) {
    std::vector<LogEvent> batch;
    size_t bytes = 0;
    bool wanted = true;
    const auto flush = [&] {
      if (!batch.empty()) wanted = Push(std::exchange(batch, {}));
      bytes = 0;
    };
    const auto add = [&](LogEvent event, size_t event_bytes) {
      batch.push_back(std::move(event));
      bytes += event_bytes;
      if (batch.size() >= kBatchEventsMax || bytes >= kBatchBytesMax) flush();
    };
    shards::OfflineVisitor visitor;
    visitor.on_record = [&](const shards::OfflineRecord& record) {
      switch (filter(source_, record.record)) {
        case Choice::kEnd:
          return false;
        case Choice::kSkip:
          return wanted;
        case Choice::kTake:
          break;
      }
      add({&source_, record.record.Copy()}, static_cast<size_t>(record.bytes));
      return wanted;
    };
    visitor.on_damage = [&](const shards::Damage& damage) { add({&source_, damage}, 0); };
    const auto report = ReadSource(fs, source_, visitor, from);
    flush();
    MutexLock lock(mutex_);
    result_ = report.status();
    finished_ = true;
    ready_.NotifyAll();
  }

  // Waits for room. False when nobody wants any more.
  bool Push(std::vector<LogEvent> batch) {
    MutexLock lock(mutex_);
    while (batches_.size() >= kBatchesMax && !cancelled_) room_.Wait(mutex_);
    if (cancelled_) return false;
    batches_.push_back(std::move(batch));
    ready_.NotifyAll();
    return true;
  }

  const LogSource& source_;
  std::vector<LogEvent> batch_;  // Of the user's thread.
  size_t at_ = 0;

  Mutex mutex_;
  CondVar room_;
  CondVar ready_;
  std::deque<std::vector<LogEvent>> batches_ TAILRACE_GUARDED_BY(mutex_);
  bool cancelled_ TAILRACE_GUARDED_BY(mutex_) = false;
  bool finished_ TAILRACE_GUARDED_BY(mutex_) = false;
  Status result_ TAILRACE_GUARDED_BY(mutex_);
  std::thread thread_;  // Last: it uses the others.
};

MergedLogs::MergedLogs(wal::FileSystem& fs, const std::vector<LogSource>& sources, Filter filter,
                       const shards::OfflineFrom& from) {
  for (const LogSource& source : sources) {
    readers_.push_back(std::make_unique<Reader>(fs, source, filter, from));
  }
}

MergedLogs::~MergedLogs() = default;

Result<std::optional<LogEvent>> MergedLogs::Next() {
  Reader* first = nullptr;
  LogEvent* first_event = nullptr;
  for (const auto& reader : readers_) {
    TAILRACE_ASSIGN_OR_RETURN(LogEvent* const event, reader->Peek());
    if (event == nullptr) continue;
    const auto* record = std::get_if<shards::Record>(&event->what);
    const bool is_damage = record == nullptr;
    const bool is_lower =
        first_event == nullptr ||
        (!is_damage && record->sequence < std::get<shards::Record>(first_event->what).sequence);
    if (!is_damage && !is_lower) continue;
    first = reader.get();
    first_event = event;
    if (is_damage) break;  // It is told before the records behind it.
  }
  if (first == nullptr) return std::optional<LogEvent>();
  LogEvent event = std::move(*first_event);
  first->Pop();
  return std::optional<LogEvent>(std::move(event));
}

}  // namespace tailrace::tools
