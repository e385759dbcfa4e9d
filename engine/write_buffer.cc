#include "engine/write_buffer.h"

#include <algorithm>
#include <set>

#include "wal/check.h"
#include "wal/coding.h"
#include "wal/mutants.h"

namespace tailrace::engine {

void GenerationGate::Opened() {
  MutexLock lock(mutex_);
  ++living_;
}

void GenerationGate::Gone() {
  MutexLock lock(mutex_);
  --living_;
  gone_.NotifyAll();
}

void GenerationGate::WaitForAtMost(uint64_t living) {
  MutexLock lock(mutex_);
  while (living_ > living) gone_.Wait(mutex_);
}

Generation::Key::Key(TableId of, ByteView key) : table(of), bytes(key) {
  char first[sizeof prefix] = {};
  std::copy_n(bytes.begin(), std::min(bytes.size(), sizeof first), first);
  prefix = LoadBig64(first);
}

// Of equal prefixes the whole keys decide. Zeros stand for what a short key lacks, which keeps the
// order of bytes: of "ab" and "ab\0" the prefixes are the same and the first is less.
template <typename A, typename B>
bool Generation::Order::Less(const A& a, const B& b) {
  if (a.table != b.table) return a.table < b.table;
  if (a.prefix != b.prefix) return a.prefix < b.prefix;
  return a.key() < b.key();
}

bool Generation::Order::operator()(const Slot& a, const Slot& b) const { return Less(a, b); }
bool Generation::Order::operator()(const Slot& a, const Key& b) const { return Less(a, b); }
bool Generation::Order::operator()(const Key& a, const Slot& b) const { return Less(a, b); }

Generation::Generation(std::shared_ptr<GenerationGate> gate) : gate_(std::move(gate)) {
  gate_->Opened();
}

Generation::~Generation() { gate_->Gone(); }

void Generation::SetItem(TableId table, ByteView key, Lsn lsn, std::optional<ByteView> image) {
  Stripe& stripe = stripes_[StripeOf(key)];
  const Key wanted(table, key);
  MutexLock lock(stripe.latch);
  const auto place = stripe.items.lower_bound(wanted);
  if (place == stripe.items.end() || Order()(wanted, *place)) {
    stripe.entries.push_back({key, {lsn, image}});
    stripe.items.insert(place, Slot{table, wanted.prefix, &stripe.entries.back()});
    changes_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  BufferedItem& item = place->entry->item;
  TAILRACE_CHECK(item.lsn < lsn, "changes of a key come in journal order");
  item = BufferedItem{lsn, image};
}

std::optional<BufferedItem> Generation::Find(TableId table, ByteView key) const {
  const Stripe& stripe = stripes_[StripeOf(key)];
  MutexLock lock(stripe.latch);
  const auto found = stripe.items.find(Key(table, key));
  if (found == stripe.items.end()) return std::nullopt;
  return found->entry->item;
}

std::vector<Generation::KeyedItem> Generation::Range(TableId table, ByteView lower, ByteView upper,
                                                     size_t count, Direction direction) const {
  std::vector<KeyedItem> found;
  const size_t first = lower.empty() ? 0 : StripeOf(lower);
  const size_t last = upper.empty() ? kStripes - 1 : StripeOf(upper);
  const TableId next_table{table.value + 1};
  for (size_t step = 0; step <= last - first && found.size() < count; ++step) {
    const Stripe& stripe = stripes_[direction == Direction::kForward ? first + step : last - step];
    MutexLock lock(stripe.latch);
    const auto begin = stripe.items.lower_bound(Key(table, lower));
    const auto end =
        stripe.items.lower_bound(upper.empty() ? Key(next_table, {}) : Key(table, upper));
    if (direction == Direction::kForward) {
      for (auto at = begin; at != end && found.size() < count; ++at) {
        found.emplace_back(at->entry->key, at->entry->item);
      }
    } else {
      for (auto at = end; at != begin && found.size() < count;) {
        --at;
        found.emplace_back(at->entry->key, at->entry->item);
      }
    }
  }
  return found;
}

std::vector<TableId> Generation::Tables() const {
  std::set<TableId> tables;
  for (const Stripe& stripe : stripes_) {
    MutexLock lock(stripe.latch);
    for (auto at = stripe.items.begin(); at != stripe.items.end();) {
      const TableId table = at->table;
      tables.insert(table);
      at = stripe.items.lower_bound(Key(TableId{table.value + 1}, {}));
    }
  }
  return {tables.begin(), tables.end()};
}

WriteBuffer::WriteBuffer() : active_(std::make_shared<Generation>(gate_)) {
  active_now_.store(active_.get());
}

void WriteBuffer::SetItem(TableId table, ByteView key, Lsn lsn, std::optional<ByteView> image) {
  active_now_.load(std::memory_order_acquire)->SetItem(table, key, lsn, image);
}

GenerationView WriteBuffer::View() const {
  MutexLock lock(mutex_);
  return {active_, frozen_};
}

std::shared_ptr<const Generation> WriteBuffer::Freeze() {
  MutexLock lock(mutex_);
  TAILRACE_CHECK(frozen_ == nullptr, "one generation is drained at a time");
  frozen_ = std::exchange(active_, std::make_shared<Generation>(gate_));
  active_now_.store(active_.get(), std::memory_order_release);
  return frozen_;
}

void WriteBuffer::DropFrozen() {
  {
    MutexLock lock(mutex_);
    TAILRACE_CHECK(frozen_ != nullptr, "there is a frozen generation to drop");
    frozen_.reset();
  }
  if (!TAILRACE_MUTANT("recycled-under-readers")) gate_->WaitForAtMost(1);
}

}  // namespace tailrace::engine
