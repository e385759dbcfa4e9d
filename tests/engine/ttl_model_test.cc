// Random writes, sweeps, switches of the time to live, clock steps, checkpoints, kills and power
// cuts on a simulated disk, against a plain model: what is there, and who deleted what.
#include <algorithm>
#include <map>

#include "engine/expiry.h"
#include "tests/engine/store_fixture.h"
#include "tests/support/random.h"
#include "tests/support/seed.h"
#include "tests/support/sim_fs.h"

namespace tailrace::test {
namespace {

constexpr char kDirectory[] = "/store";
constexpr char kTable[] = "Sessions";

struct Removal {
  int64_t id = 0;
  Actor actor = Actor::kUser;
  friend auto operator<=>(const Removal&, const Removal&) = default;
};

class TtlModelTest : public ::testing::TestWithParam<Durability> {
 protected:
  TtlModelTest()
      : random_(MixSeed(TestSeed(), 40 + static_cast<uint64_t>(GetParam()))),
        fs_(SimFsOptions{.disk = {.ordered_directories = {std::string(kDirectory) + "/items"}}}) {}

  void Open() {
    StoreOptions options = SmallOptions(clock_, GetParam());
    options.fs = &fs_;
    options.generation_bytes_max = 8ull << 10 << random_.Below(4);
    options.expiry_queue_bytes_max = 500ull << random_.Below(8);
    options.retention_ms = 1000ull * 24 * 3600'000;
    auto store = Store::Open(kDirectory, options);
    ASSERT_OK(store);
    store_ = std::move(*store);
  }

  void Reopen() {
    if (random_.OneIn(3)) {
      ASSERT_OK(store_->Close());
      store_.reset();
      return Open();
    }
    fs_.CutPowerAt(1, CrashMoment::kBefore);  // What the threads still do reaches no disk.
    store_.reset();
    if (GetParam() == Durability::kBuffered || random_.OneIn(2)) {
      fs_.KillProcess();
    } else {
      fs_.CutPower({.keep = CrashChoice::Keep::kRandomPieces,
                    .argument = random_.Next(),
                    .fill = static_cast<CrashChoice::Fill>(random_.Below(3))});
    }
    Open();
  }

  Value RandomExpiry() {
    const auto now_s = static_cast<int64_t>(clock_.WallMs() / 1000);
    switch (random_.Below(8)) {
      case 0:
        return Value::S(std::to_string(now_s - 5));
      case 1:
        return Value::N(now_s - static_cast<int64_t>(engine::kExpiryAgeMaxS) +
                        static_cast<int64_t>(random_.Below(100)) - 50);
      default:
        return Value::N(now_s + static_cast<int64_t>(random_.Below(120)) - 20);
    }
  }

  void Write() {
    const auto id = static_cast<int64_t>(random_.Below(60));
    Item key{{"id", Value::N(id)}};
    if (random_.OneIn(6)) {
      ASSERT_OK(store_->Delete(kTable, key));
      if (items_.erase(id) > 0) removals_.push_back({id, Actor::kUser});
      return;
    }
    key.Set("salt", Value::N(random_.Below(3)));
    if (!random_.OneIn(5)) key.Set(random_.OneIn(4) ? "other" : "expires_at", RandomExpiry());
    ASSERT_OK(store_->Put(kTable, key));
    items_[id] = key;
  }

  // What the service's rule says, from the decoded item.
  bool Expired(const Item& item) const {
    const Number* number = item.GetNumber(*attribute_);
    if (number == nullptr) return false;
    const int64_t expiry_s = *number->ToInt64();
    const auto now_s = static_cast<int64_t>(clock_.WallMs() / 1000);
    return expiry_s < now_s && expiry_s >= now_s - 5LL * 365 * 24 * 3600;
  }

  void Sweep() {
    ASSERT_OK(store_->RunMaintenance());
    if (!attribute_) return;
    for (auto it = items_.begin(); it != items_.end();) {
      if (Expired(it->second)) {
        removals_.push_back({it->first, Actor::kTimeToLive});
        it = items_.erase(it);
      } else {
        ++it;
      }
    }
  }

  void Toggle() {
    if (attribute_) {
      attribute_.reset();
    } else {
      attribute_ = random_.OneIn(4) ? "other" : "expires_at";
    }
    ASSERT_OK(store_->UpdateTimeToLive(kTable, attribute_));
  }

  void Verify() {
    ASSERT_EQ(store_->DescribeTable(kTable)->time_to_live_attribute, attribute_);
    std::map<int64_t, Item> found;
    for (const Item& item : ReadTable(*store_, kTable)) {
      found[*item.GetNumber("id")->ToInt64()] = item;
    }
    ASSERT_EQ(found, items_);
    std::vector<Removal> removed;
    for (const ChangeRecord& record : ReadStream(*store_, stream_)) {
      if (record.kind == ChangeKind::kRemove) {
        removed.push_back({*record.keys.GetNumber("id")->ToInt64(), record.actor});
      } else {
        ASSERT_EQ(record.actor, Actor::kUser);
      }
    }
    std::vector<Removal> expected = removals_;
    std::sort(removed.begin(), removed.end());
    std::sort(expected.begin(), expected.end());
    ASSERT_EQ(removed, expected);
  }

  Random random_;
  SimClock clock_;
  SimFs fs_;
  std::unique_ptr<Store> store_;
  StreamId stream_;
  std::optional<std::string> attribute_;
  std::map<int64_t, Item> items_;
  std::vector<Removal> removals_;
};

INSTANTIATE_TEST_SUITE_P(Durabilities, TtlModelTest,
                         ::testing::Values(Durability::kSync, Durability::kBuffered),
                         DurabilityName);

TEST_P(TtlModelTest, WhatExpiresAndByWhomMatchesTheModel) {
  constexpr int kRounds = 30;
  constexpr int kOperationsPerRound = 80;
  Open();
  if (HasFatalFailure()) return;
  ASSERT_OK(store_->CreateTable({.name = kTable,
                                 .keys = {{"id", ScalarType::kN}, std::nullopt},
                                 .stream = ViewType::kOldImage}));
  stream_ = *store_->DescribeTable(kTable)->latest_stream;
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < kOperationsPerRound; ++i) {
      const uint64_t kind = random_.Below(100);
      if (kind < 80) {
        Write();
      } else if (kind < 86) {
        clock_.Advance(random_.Below(30'000));
      } else if (kind < 94) {
        Sweep();
      } else if (kind < 97) {
        Toggle();
      } else {
        ASSERT_OK(store_->Checkpoint());
      }
      if (HasFatalFailure()) return;
    }
    Verify();
    if (HasFatalFailure()) return;
    Reopen();
    if (HasFatalFailure()) return;
    Verify();
    if (HasFatalFailure()) return;
  }
  size_t by_service = 0;
  for (const Removal& removal : removals_) by_service += removal.actor == Actor::kTimeToLive;
  EXPECT_GT(by_service, 20u) << "the draw was of no use";
}

}  // namespace
}  // namespace tailrace::test
