#include "engine/write_buffer.h"

#include <algorithm>
#include <bit>
#include <set>

#include "wal/check.h"
#include "wal/coding.h"
#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

constexpr uint32_t kPrefixBits = 64;
constexpr uint32_t kStripeBits = 8;
static_assert(kStripes == size_t{1} << kStripeBits);

}  // namespace

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

Generation::Generation(std::shared_ptr<GenerationGate> gate, uint64_t changes_expected)
    : gate_(std::move(gate)),
      first_bucket_bits_(std::min(
          static_cast<uint32_t>(std::bit_width(changes_expected / (kStripes * kItemsOfBucket))),
          kBucketBitsMax)) {
  gate_->Opened();
}

Generation::~Generation() { gate_->Gone(); }

// ---- Stripes. ----

size_t Generation::OccupiedBuckets::Next(size_t at, Direction direction) const {
  const bool forward = direction == Direction::kForward;
  size_t word = at / kWordBits;
  const uint64_t all = ~uint64_t{0};
  uint64_t left =
      words_[word] & (forward ? all << at % kWordBits : all >> (kWordBits - 1 - at % kWordBits));
  while (left == 0) {
    if (word == (forward ? words_.size() - 1 : 0)) return kBucketsMax;
    forward ? ++word : --word;
    left = words_[word];
  }
  const int bit = forward ? std::countr_zero(left) : 63 - std::countl_zero(left);
  return word * kWordBits + static_cast<size_t>(bit);
}

// By the bits of the hash behind those that chose the stripe.
size_t Generation::Stripe::BucketOf(uint64_t prefix) const {
  return bucket_bits == 0 ? 0 : (prefix << kStripeBits) >> (kPrefixBits - bucket_bits);
}

void Generation::Stripe::GrowTo(uint32_t bits) {
  bucket_bits = bits;
  std::vector<Bucket> grown(size_t{1} << bits);
  occupied = {};
  for (const Bucket& bucket : buckets) {
    if (TAILRACE_MUTANT("growing-stripe-forgets")) break;
    for (const Slot& slot : bucket) {
      const size_t at = BucketOf(slot.prefix);
      grown[at].insert(grown[at].end(), slot);
      occupied.Set(at);
    }
  }
  buckets = std::move(grown);
}

void Generation::SetItem(TableId table, ByteView key, Lsn lsn, std::optional<ByteView> image) {
  Stripe& stripe = stripes_[StripeOf(key)];
  const Key wanted(table, key);
  MutexLock lock(stripe.latch);
  if (stripe.entries.empty() && first_bucket_bits_ > 0) stripe.GrowTo(first_bucket_bits_);
  const size_t at = stripe.BucketOf(wanted.prefix);
  Bucket& bucket = stripe.buckets[at];
  const auto place = bucket.lower_bound(wanted);
  if (place != bucket.end() && !Order()(wanted, *place)) {
    BufferedItem& item = place->entry->item;
    TAILRACE_CHECK(item.lsn < lsn, "changes of a key come in journal order");
    item = BufferedItem{lsn, image};
    return;
  }
  stripe.entries.push_back({key, {lsn, image}});
  bucket.insert(place, Slot{table, wanted.prefix, &stripe.entries.back()});
  stripe.occupied.Set(at);
  const size_t buckets = stripe.buckets.size();
  if (stripe.entries.size() >= kItemsOfBucket * buckets && buckets < kBucketsMax) {
    stripe.GrowTo(stripe.bucket_bits + 1);
  }
  changes_.fetch_add(1, std::memory_order_relaxed);
}

std::optional<BufferedItem> Generation::Find(TableId table, ByteView key) const {
  const Key wanted(table, key);
  const Stripe& stripe = stripes_[StripeOf(key)];
  MutexLock lock(stripe.latch);
  const Bucket& bucket = stripe.buckets[stripe.BucketOf(wanted.prefix)];
  const auto found = bucket.find(wanted);
  if (found == bucket.end()) return std::nullopt;
  return found->entry->item;
}

// ---- Ranges. ----

void Generation::AddRange(const Bucket& bucket, const Key& lower, const Key& upper, size_t count,
                          Direction direction, std::vector<KeyedItem>& found) {
  const auto begin = bucket.lower_bound(lower);
  const auto end = bucket.lower_bound(upper);
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

std::vector<Generation::KeyedItem> Generation::Range(TableId table, ByteView lower, ByteView upper,
                                                     size_t count, Direction direction) const {
  std::vector<KeyedItem> found;
  if (!upper.empty() && lower >= upper) return found;
  const Key from(table, lower);
  const Key to = upper.empty() ? Key(TableId{table.value + 1}, {}) : Key(table, upper);
  const size_t first = lower.empty() ? 0 : StripeOf(lower);
  const size_t last = upper.empty() ? kStripes - 1 : StripeOf(upper);
  const bool forward = direction == Direction::kForward;
  for (size_t step = 0; step <= last - first && found.size() < count; ++step) {
    const size_t number = forward ? first + step : last - step;
    const Stripe& stripe = stripes_[number];
    MutexLock lock(stripe.latch);
    const size_t first_bucket = number == first ? stripe.BucketOf(from.prefix) : 0;
    const size_t last_bucket =
        number == last && !upper.empty() ? stripe.BucketOf(to.prefix) : stripe.buckets.size() - 1;
    const size_t begin = forward ? first_bucket : last_bucket;
    const size_t end = forward ? last_bucket : first_bucket;
    for (size_t at = stripe.occupied.Next(begin, direction);
         at >= first_bucket && at <= last_bucket && found.size() < count;
         at = stripe.occupied.Next(forward ? at + 1 : at - 1, direction)) {
      AddRange(stripe.buckets[at], from, to, count, direction, found);
      if (at == end) break;
    }
  }
  return found;
}

std::vector<TableId> Generation::Tables() const {
  std::set<TableId> tables;
  for (const Stripe& stripe : stripes_) {
    MutexLock lock(stripe.latch);
    if (stripe.entries.empty()) continue;
    for (const Bucket& bucket : stripe.buckets) {
      for (auto at = bucket.begin(); at != bucket.end();) {
        const TableId table = at->table;
        tables.insert(table);
        at = bucket.lower_bound(Key(TableId{table.value + 1}, {}));
      }
    }
  }
  return {tables.begin(), tables.end()};
}

// ---- Generations. ----

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
  frozen_ = std::exchange(active_, std::make_shared<Generation>(gate_, active_->changes()));
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
