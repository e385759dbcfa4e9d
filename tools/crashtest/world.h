// What the threads of the process under test share: the store, the clock, and whom they tell.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/store.h"
#include "tools/crashtest/protocol.h"
#include "wal/mutex.h"
#include "wal/random.h"
#include "wal/sim_clock.h"

namespace tailrace::crashtest {

// Writes events into the pipe. Thread-safe.
class Teller {
 public:
  // On return the event survives this process.
  void Tell(const Event& event) const;
  void TellAll(const std::vector<Event>& events) const;

  // Tells about something that must not happen. Only the first of a process's failures counts, and
  // the process goes on.
  void Fail(std::string_view what) const;
  void Fail(std::string_view what, const Status& status) const {
    Fail(std::string(what) + ": " + status.ToString());
  }
};

// Threads of the traffic have these numbers in their events; writers come after them.
inline constexpr uint8_t kControlThread = 0;
inline constexpr uint8_t kDurableReaderThread = 1;
inline constexpr uint8_t kPlainReaderThread = 2;
inline constexpr uint8_t kFirstWriterThread = 3;

struct World {
  World(const LifePlan& the_plan, const Teller& the_teller)
      : plan(the_plan), teller(the_teller), clock(the_plan.wall_ms, the_plan.boot_ms) {}

  const LifePlan& plan;
  const Teller& teller;
  SimClock clock;
  Store* store = nullptr;
  std::atomic<bool> stopping{false};
  std::atomic<bool> dumped{false};  // Until then nothing that has expired is deleted.

  // Held shared by who writes to a table, exclusively by who makes or drops it in a way that leaves
  // no trace of when that was. A closed table is left alone by writers, so that nobody starves.
  std::array<SharedMutex, kTableNames> fences;
  std::array<std::atomic<bool>, kTableNames> closed{};

  // Held shared by who needs the clock to stand still, exclusively by who steps it.
  SharedMutex clock_fence;

  // The time that has passed in the life of the store.
  uint64_t TrueMs() const { return plan.true_ms + (clock.BootMs() - plan.boot_ms); }

  // The end of the journal if the plan wants that told, else 0: what was done lies below, what is
  // begun now will lie at or above it.
  uint64_t JournalEnd() const;

  // Writers say that they got on; others wait for that, or for the end of all.
  void Progress();
  void WaitForProgress(uint64_t writes);
  void Stop();

 private:
  std::atomic<uint64_t> progress_{0};
};

// The state of an item as a caller saw it. Tells of a failure, and says "none", if the item is not
// one that we wrote.
ItemState StateOf(const World& world, uint32_t table, uint32_t key, const Item* item);

// Tells everything that is in the store: tables, items, streams and records.
void Dump(World& world);

// The threads. Each runs until world.stopping.
void RunWriter(World& world, uint8_t thread);
void RunControl(World& world);
void RunDurableReader(World& world);
void RunPlainReader(World& world);
void RunConsumer(World& world);

// The states in a change record, into the event; images that the view does not have are told as
// such. Tells of a failure if the record is not one that our writes can give.
void DescribeRecord(const World& world, uint32_t table, const ChangeRecord& record, Event& event);

}  // namespace tailrace::crashtest
