#include "engine/consumer_leases.h"

#include <algorithm>

#include "engine/consumer_tail.h"
#include "engine/item_fields.h"
#include "wal/mutants.h"

namespace tailrace::engine {
namespace {

// Rounds in the time after which a silent worker loses its leases.
constexpr uint64_t kRoundsPerLease = 3;

// How much of a lease's time one look can find passed: a worker must be seen silent this often.
constexpr uint64_t kLooksPerLease = 2;

// Changes of leases in one transaction, beside the check of the consumer.
constexpr size_t kLeasesPerTransactionMax = kTransactionItemsMax - 1;

bool Overlap(uint64_t a_first, uint64_t a_last, uint64_t b_first, uint64_t b_last) {
  return a_first <= b_last && b_first <= a_last;
}

// Whether the bootstrap of the shards that `shard` goes on from has come to rest, so that it can go
// on in this one. A merged shard names only one of them, and they may have expired: what tells are
// their hashes.
bool CanHandOver(const ConsumerState& state, const StreamInfo& stream, const Lineage& lineage,
                 const ShardInfo& shard) {
  if (!state.consumer.bootstrapping) return true;
  const auto is_being_read = [&](const auto& entry) {
    const LeaseRecord& lease = entry.second;
    return !lease.done &&
           Overlap(lease.hash_first, lease.hash_last, shard.hash_first, shard.hash_last);
  };
  const auto is_unread = [&](const ShardInfo& other) {
    return other.starting < shard.starting && !lineage.read.contains(other.id) &&
           Overlap(other.hash_first, other.hash_last, shard.hash_first, shard.hash_last);
  };
  return std::none_of(state.leases.begin(), state.leases.end(), is_being_read) &&
         std::none_of(stream.shards.begin(), stream.shards.end(), is_unread);
}

// What of the ranges lies outside of `taken`.
std::vector<KeyRange> Without(const std::vector<KeyRange>& ranges, const KeyRange& taken) {
  std::vector<KeyRange> left;
  for (const KeyRange& range : ranges) {
    const KeyRange both = Intersection(range, taken);
    if (IsEmpty(both)) {
      left.push_back(range);
      continue;
    }
    if (range.lower < both.lower) left.push_back({range.lower, both.lower});
    if (both.upper != range.upper) left.push_back({both.upper, range.upper});
  }
  return left;
}

KeyRange RangeOf(const LeaseRecord& lease) { return KeysOf(lease.hash_first, lease.hash_last); }

// The items of the shard that a bootstrap has still to show: nobody has begun the shard, and all
// that it goes on from is done. For each key the newest lease that covers it knows, whether or not
// its shard is still listed; ids rise with time.
std::vector<KeyRange> Unseen(const ConsumerState& state, const ShardInfo& shard) {
  const ConsumerRecord& consumer = state.consumer;
  if (consumer.start != ConsumerStart::kBootstrap) return {};
  std::vector<KeyRange> unknown{KeysOf(shard.hash_first, shard.hash_last)};
  if (shard.starting < *consumer.begin) return unknown;
  std::vector<KeyRange> unseen;
  for (auto lease = state.leases.rbegin(); lease != state.leases.rend(); ++lease) {
    for (const KeyRange& range : unknown) {
      for (const KeyRange& left : lease->second.unseen) {
        const KeyRange both = Intersection(range, left);
        if (!IsEmpty(both)) unseen.push_back(both);
      }
    }
    unknown = Without(unknown, RangeOf(lease->second));
  }
  std::sort(unseen.begin(), unseen.end(),
            [](const KeyRange& a, const KeyRange& b) { return a.lower < b.lower; });
  return unseen;
}

// Whether the bootstrap still needs the lease to know what is unseen: no newer ones cover its keys.
bool HoldsUnseen(const ConsumerState& state, const LeaseRecord& lease) {
  if (!state.consumer.bootstrapping || lease.unseen.empty()) return false;
  std::vector<KeyRange> left{RangeOf(lease)};
  for (auto newer = state.leases.upper_bound(lease.shard); newer != state.leases.end(); ++newer) {
    left = Without(left, RangeOf(newer->second));
  }
  return !left.empty();
}

}  // namespace

LeaseKeeper::LeaseKeeper(Store& store, ConsumerHost& host, std::string consumer, std::string worker,
                         uint64_t lease_ms)
    : store_(store),
      host_(host),
      consumer_(std::move(consumer)),
      worker_(std::move(worker)),
      lease_ms_(lease_ms) {}

Result<LeaseKeeper::Round> LeaseKeeper::Run() {
  TAILRACE_RETURN_IF_ERROR(Beat());
  next_round_ms_ = host_.clock().BootMs() + std::max<uint64_t>(1, lease_ms_ / kRoundsPerLease);
  TAILRACE_ASSIGN_OR_RETURN(ConsumerState state, ReadConsumer(store_, consumer_));
  Round round;
  TAILRACE_ASSIGN_OR_RETURN(round.stream, store_.DescribeStream(state.consumer.stream));
  Observe(state);
  TAILRACE_RETURN_IF_ERROR(DropLost(state));
  TAILRACE_RETURN_IF_ERROR(MakeLeases(round.stream, state, round.again));
  TAILRACE_RETURN_IF_ERROR(Share(state));
  joined_ = true;
  TAILRACE_RETURN_IF_ERROR(RemoveDead(state));
  if (!round.again) {
    TAILRACE_RETURN_IF_ERROR(RemoveDone(round.stream, state));
    TAILRACE_RETURN_IF_ERROR(EndBootstrap(round.stream, state));
  }
  const auto done = [&state](ShardId shard) { return state.Done(shard); };
  round.finished = !round.again && LookAtLineage(round.stream, done).all_read;
  round.consumer = std::move(state.consumer);
  return round;
}

// Not without the consumer: nothing shall be left of one that was forgotten.
Status LeaseKeeper::Beat() {
  const uint64_t journal_at = host_.fanned_out().value;
  const Updater beat = [this, journal_at](std::optional<Item>& item) {
    // Never again as it was, even if the item was removed meanwhile.
    const uint64_t before = item ? GetUint64(*item, "heartbeat").value_or(0) : 0;
    item = ToItem(consumer_, WorkerRecord{.id = worker_,
                                          .heartbeat = std::max(before, journal_at) + 1,
                                          .lease_ms = lease_ms_});
    return Status::Ok();
  };
  const Condition exists = [](const Item* item) { return item != nullptr; };
  TAILRACE_ASSIGN_OR_RETURN(
      const TransactResult beaten,
      store_.Transact({WriteRequest::Check(kConsumerTable, ConsumerKey(consumer_), exists),
                       WriteRequest::Update(kConsumerTable, WorkerKey(consumer_, worker_), beat)}));
  if (beaten.outcome != WriteOutcome::kRejected) return Status::Ok();
  held_.clear();
  return NotFound("consumer '" + consumer_ + "' was forgotten");
}

// Who is alive: everybody whose heart was seen beating within its lease's time. How long ago that
// was is summed over the looks, none of which counts for much: so a stretch in which nobody ran (a
// machine asleep, a process stopped) makes nobody seem dead.
void LeaseKeeper::Observe(const ConsumerState& state) {
  const uint64_t now_ms = host_.clock().BootMs();
  const uint64_t passed_ms = seen_.empty() ? 0 : now_ms - last_look_ms_;
  last_look_ms_ = now_ms;
  alive_.clear();
  std::erase_if(seen_, [&](const auto& seen) { return !state.workers.contains(seen.first); });
  for (const auto& [id, worker] : state.workers) {
    const auto [seen, is_new] = seen_.try_emplace(id);
    Seen& what = seen->second;
    if (is_new || what.heartbeat != worker.heartbeat) {
      what = {.heartbeat = worker.heartbeat, .silent_ms = 0};
    } else {
      const bool all = TAILRACE_MUTANT("sleep-takes-leases");
      what.silent_ms += all ? passed_ms : std::min(passed_ms, worker.lease_ms / kLooksPerLease + 1);
    }
    const bool for_ever = TAILRACE_MUTANT("leases-never-expire");
    if (id == worker_ || what.silent_ms < worker.lease_ms || for_ever) alive_[id] = 0;
  }
  alive_[worker_] = 0;
}

Status LeaseKeeper::DropLost(const ConsumerState& state) {
  std::erase_if(held_, [&](const auto& held) {
    const auto lease = state.leases.find(held.first);
    return lease == state.leases.end() || lease->second.owner != worker_ ||
           lease->second.counter != held.second.counter;
  });
  if (!joined_) return Status::Ok();
  for (const auto& [shard, lease] : state.leases) {
    if (lease.owner != worker_ || held_.contains(shard)) continue;
    return FailedPrecondition("another worker runs under the name '" + worker_ + "' of consumer '" +
                              consumer_ + "'");
  }
  return Status::Ok();
}

// One for each shard that can be read now. What a kLatest or kBootstrap leaves out as a whole is
// done from the beginning.
Status LeaseKeeper::MakeLeases(const StreamInfo& stream, ConsumerState& state, bool& again) {
  const Begun begun = state.leases.empty() ? Begun::kNo : Begun::kYes;
  for (bool more = true; more;) {
    const ConsumerRecord& consumer = state.consumer;
    more = false;
    const auto done = [&state](ShardId shard) { return state.Done(shard); };
    const Lineage lineage = LookAtLineage(stream, done);
    std::vector<LeaseRecord> fresh;
    for (const ShardInfo* const shard : lineage.beginning) {
      if (!CanHandOver(state, stream, lineage, *shard)) continue;
      const auto position = BeginShard(store_, stream, *shard, consumer.lineage_start(), begun);
      if (position.status().code() == StatusCode::kNotFound) {
        again = true;  // It expired just now.
        continue;
      }
      TAILRACE_RETURN_IF_ERROR(position.status());
      LeaseRecord lease{.shard = shard->id,
                        .hash_first = shard->hash_first,
                        .hash_last = shard->hash_last,
                        .owner = {},
                        .counter = 0,
                        .position = *position,
                        .done = consumer.begin && shard->ending && *shard->ending < *consumer.begin,
                        .unseen = {},
                        .blocked_since_ms = 0,
                        .blocked_why = {}};
      if (!lease.done) lease.unseen = Unseen(state, *shard);
      more = more || lease.done;
      fresh.push_back(std::move(lease));
    }
    for (size_t at = 0; at < fresh.size(); at += kLeasesPerTransactionMax) {
      const size_t end = std::min(fresh.size(), at + kLeasesPerTransactionMax);
      const std::vector<LeaseRecord> some(fresh.begin() + static_cast<ptrdiff_t>(at),
                                          fresh.begin() + static_cast<ptrdiff_t>(end));
      TAILRACE_ASSIGN_OR_RETURN(const bool made, MakeSome(state, some));
      if (!made) {
        again = true;
        return Status::Ok();
      }
    }
  }
  return Status::Ok();
}

// False: somebody else did it, or something went meanwhile that they rest on.
Result<bool> LeaseKeeper::MakeSome(ConsumerState& state, const std::vector<LeaseRecord>& fresh) {
  const Condition absent = [](const Item* item) { return item == nullptr; };
  ConsumerRecord next = state.consumer;
  ++next.version;
  std::vector<WriteRequest> writes{
      WriteRequest::Put(kConsumerTable, ToItem(next), SameVersion(state.consumer.version))};
  for (const LeaseRecord& lease : fresh) {
    writes.push_back(WriteRequest::Put(kConsumerTable, ToItem(consumer_, lease), absent));
  }
  TAILRACE_ASSIGN_OR_RETURN(const TransactResult made, store_.Transact(writes));
  if (made.outcome == WriteOutcome::kRejected) return false;
  state.consumer = next;
  for (const LeaseRecord& lease : fresh) state.leases[lease.shard] = lease;
  return true;
}

Status LeaseKeeper::Share(const ConsumerState& state) {
  std::vector<const LeaseRecord*> free;
  uint64_t leases = 0;
  for (const auto& [shard, lease] : state.leases) {
    if (lease.done) continue;
    ++leases;
    const bool is_own = lease.owner == worker_;
    if (lease.owner.empty() || !IsAlive(lease.owner) || (is_own && !held_.contains(shard))) {
      free.push_back(&lease);
    } else {
      ++alive_[lease.owner];
    }
  }
  uint64_t& own = alive_[worker_];
  const uint64_t share = (leases + alive_.size() - 1) / alive_.size();
  // Those of an earlier life under this name come first, and all of them: left alone they would
  // look, in the next round, like those of another worker under it. Others may take them from here.
  std::stable_partition(free.begin(), free.end(),
                        [&](const LeaseRecord* lease) { return lease->owner == worker_; });
  for (const LeaseRecord* const lease : free) {
    if (own >= share && lease->owner != worker_) return Status::Ok();
    TAILRACE_ASSIGN_OR_RETURN(const bool taken, Take(*lease));
    own += taken ? 1 : 0;
  }
  if (!free.empty() || own >= share) return Status::Ok();
  const auto most =
      std::max_element(alive_.begin(), alive_.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most->second < own + 2) return Status::Ok();
  for (const auto& [shard, lease] : state.leases) {
    if (!lease.done && lease.owner == most->first) return Take(lease).status();
  }
  return Status::Ok();
}

// Only the owner changes: a checkpoint that the last one stored meanwhile stays.
Result<bool> LeaseKeeper::Take(const LeaseRecord& lease) {
  LeaseRecord taken;
  const Updater take = [&](std::optional<Item>& item) -> Status {
    TAILRACE_ASSIGN_OR_RETURN(const ConsumerPart part, ConsumerPartOf(*item));
    taken = std::get<LeaseRecord>(part);
    taken.owner = worker_;
    taken.counter = lease.counter + (TAILRACE_MUTANT("takeover-without-a-fence") ? 0 : 1);
    item = ToItem(consumer_, taken);
    return Status::Ok();
  };
  TAILRACE_ASSIGN_OR_RETURN(const WriteResult result,
                            store_.Update(kConsumerTable, LeaseKey(consumer_, lease.shard), take,
                                          {.condition = SameLease(lease.owner, lease.counter)}));
  if (result.outcome == WriteOutcome::kRejected) return false;
  if (!taken.done) held_[taken.shard] = taken;
  return true;
}

Status LeaseKeeper::RemoveDead(const ConsumerState& state) {
  for (const auto& [id, worker] : state.workers) {
    if (IsAlive(id)) continue;
    const Condition still_silent = [heartbeat = worker.heartbeat](const Item* item) {
      return item != nullptr && GetUint64(*item, "heartbeat") == heartbeat;
    };
    TAILRACE_RETURN_IF_ERROR(
        store_.Delete(kConsumerTable, WorkerKey(consumer_, id), {.condition = still_silent})
            .status());
  }
  return Status::Ok();
}

// Removes the leases that nothing needs: the shard was read to its end, either all its children
// have leases, which say so, or it is no longer listed, and no bootstrap has to go on from it.
Status LeaseKeeper::RemoveDone(const StreamInfo& stream, ConsumerState& state) {
  std::map<ShardId, bool> children_begun;
  std::set<ShardId> listed;
  const auto done = [&state](ShardId shard) { return state.Done(shard); };
  const Lineage lineage = LookAtLineage(stream, done);
  for (const ShardInfo& shard : stream.shards) {
    if (!shard.parent) continue;
    const bool begun = state.leases.contains(shard.id) || lineage.read.contains(shard.id);
    const auto [known, is_new] = children_begun.try_emplace(*shard.parent, begun);
    known->second = known->second && begun;
  }
  const Condition is_done = [](const Item* item) {
    return item != nullptr && item->GetBool("done") != nullptr && *item->GetBool("done");
  };
  std::vector<WriteRequest> writes;
  for (const auto& [shard, lease] : state.leases) {
    const auto children = children_begun.find(shard);
    const bool has_followed = children != children_begun.end() && children->second;
    if (!lease.done || (lineage.listed.contains(shard) && !has_followed)) continue;
    if (HoldsUnseen(state, lease)) continue;
    if (writes.size() == kLeasesPerTransactionMax) break;  // The others the next time.
    writes.push_back(WriteRequest::Delete(kConsumerTable, LeaseKey(consumer_, shard), is_done));
  }
  if (writes.empty()) return Status::Ok();
  ConsumerRecord next = state.consumer;
  ++next.version;
  writes.push_back(
      WriteRequest::Put(kConsumerTable, ToItem(next), SameVersion(state.consumer.version)));
  TAILRACE_ASSIGN_OR_RETURN(const TransactResult removed, store_.Transact(writes));
  if (removed.outcome == WriteOutcome::kRejected) return Status::Ok();  // Somebody was first.
  state.consumer = next;
  return Status::Ok();
}

// Once every shard that was there when the bootstrap began is known, and none has items to show.
Status LeaseKeeper::EndBootstrap(const StreamInfo& stream, const ConsumerState& state) {
  if (!state.consumer.bootstrapping) return Status::Ok();
  for (const auto& [shard, lease] : state.leases) {
    if (HoldsUnseen(state, lease)) return Status::Ok();
  }
  const auto done = [&state](ShardId shard) { return state.Done(shard); };
  const Lineage lineage = LookAtLineage(stream, done);
  for (const ShardInfo& shard : stream.shards) {
    const bool is_known = state.leases.contains(shard.id) || lineage.read.contains(shard.id);
    if (shard.starting < *state.consumer.begin && !is_known) return Status::Ok();
  }
  ConsumerRecord next = state.consumer;
  next.bootstrapping = false;
  ++next.version;
  return store_
      .Put(kConsumerTable, ToItem(next), {.condition = SameVersion(state.consumer.version)})
      .status();
}

WriteRequest LeaseKeeper::Change(const LeaseRecord& held, const LeaseRecord& next) const {
  Condition same = SameLease(held.owner, held.counter);
  if (TAILRACE_MUTANT("checkpoint-without-the-lease")) same = [](const Item*) { return true; };
  return WriteRequest::Put(kConsumerTable, ToItem(consumer_, next), same);
}

void LeaseKeeper::Changed(const LeaseRecord& next) {
  if (next.owner == worker_) {
    held_[next.shard] = next;
  } else {
    held_.erase(next.shard);
  }
}

Status LeaseKeeper::Release() {
  for (const auto& [shard, lease] : held_) {
    LeaseRecord next = lease;
    next.owner.clear();
    ++next.counter;
    const WriteRequest write = Change(lease, next);
    TAILRACE_RETURN_IF_ERROR(
        store_.Put(write.table, write.item, {.condition = write.condition}).status());
  }
  held_.clear();
  joined_ = false;
  next_round_ms_ = 0;
  return store_.Delete(kConsumerTable, WorkerKey(consumer_, worker_)).status();
}

}  // namespace tailrace::engine
