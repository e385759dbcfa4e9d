// One thread of the traffic: random calls, and a record of each.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/history/cycle_check.h"
#include "tests/history/traffic_items.h"
#include "tests/support/random.h"

namespace tailrace::test {

// Shared by the threads.
struct TrafficState {
  std::atomic<uint64_t> calls{0};
  std::atomic<uint64_t> appended{0};  // To lists.
  std::atomic<bool> done{false};

  // Some lists are in use at once, and get about so many numbers each.
  static constexpr uint32_t kListsAtOnce = 8;
  static constexpr uint32_t kNumbersOfList = 24;
  uint32_t FirstList() const {
    return kRegisters + static_cast<uint32_t>(appended / kNumbersOfList);
  }
  uint32_t KeysInUse() const { return FirstList() + kListsAtOnce; }
};

class TrafficWriter {
 public:
  TrafficWriter(Store& store, TrafficState& state, uint32_t client, uint64_t seed)
      : store_(store), state_(state), client_(client), random_(seed) {}

  void Run(uint64_t calls);

  // Reads keys at one moment. A single one by Get.
  void Read(const std::vector<uint32_t>& keys);

  std::vector<Operation>& operations() { return operations_; }
  std::vector<ListTransaction>& lists() { return lists_; }

 private:
  void Call();
  void WriteOne();
  void WriteSome();
  void TransactRegisters();
  void TransactLists();
  void ReadMany();
  void ReadPage();

  Operation Begin() const;
  static void End(Operation& operation);
  void Keep(Operation operation);
  // The last operation kept did not wait for what it rests on.
  void KeepUnsafe(CommitToken token, bool is_list);
  void WaitForUnsafe();

  std::vector<uint32_t> DrawKeys(uint64_t most, uint32_t first, uint32_t count);
  Access DrawAccess(uint32_t key, bool in_transaction);
  Guard DrawGuard(uint32_t key);
  uint64_t NextId() { return (uint64_t{client_} + 1) << 40 | ++ids_; }

  // The write of an access, which notes what its condition and its updater see. The access must
  // stay where it is until the write is done.
  WriteRequest RequestOf(Access& access);
  void TakeResult(const WriteResult& result, Operation& operation, Access& access);
  void KeepList(const Operation& operation, const std::vector<std::vector<uint64_t>>& seen);

  Store& store_;
  TrafficState& state_;
  const uint32_t client_;
  Random random_;
  uint64_t ids_ = 0;
  std::vector<Content> known_ = std::vector<Content>(kRegisters, kAbsent);  // As last seen.
  struct Unsafe {
    size_t operation;
    std::optional<size_t> list;
  };
  std::vector<Unsafe> unsafe_;
  CommitToken unsafe_end_;  // The highest token of these.
  std::vector<Operation> operations_;
  std::vector<ListTransaction> lists_;
};

}  // namespace tailrace::test
