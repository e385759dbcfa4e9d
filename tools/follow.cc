#include "tools/follow.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>

#include "engine/store_follower.h"
#include "tools/bounds.h"
#include "tools/format.h"
#include "tools/item_input.h"
#include "tools/open_store.h"
#include "tools/record_text.h"
#include "tools/stream_choice.h"

namespace tailrace::tools {
namespace {

constexpr uint64_t kPageRecordsMax = 1000;

// An owner that dies wakes nobody, so it is looked for this often while nothing comes.
constexpr uint64_t kOwnerLookMs = 10'000;

constexpr char kLatest[] = "latest";

// Whether a record concerns the item or the partition that --key names.
class KeyChoice {
 public:
  explicit KeyChoice(const std::vector<std::string>& words) : words_(words) {}

  Result<bool> Wants(const StreamInfo& stream, const Item& keys) const {
    if (words_.empty()) return true;
    TAILRACE_ASSIGN_OR_RETURN(const Item wanted, ParseItemWords(words_, stream.keys));
    const Value* const partition = wanted.Get(stream.keys.partition.name);
    if (partition == nullptr) {
      return InvalidArgument(Cat("--key must name ", stream.keys.partition.name, ": the key of ",
                                 stream.table_name, " is ", KeySchemaText(stream.keys)));
    }
    if (wanted.size() > 1) return wanted == keys;
    const Value* const found = keys.Get(stream.keys.partition.name);
    return found != nullptr && *found == *partition;
  }

 private:
  const std::vector<std::string>& words_;
};

class Following {
 public:
  Following(Context& context, const FollowArguments& arguments, const Bounds& bounds,
            StoreFollower& follower)
      : context_(context),
        arguments_(arguments),
        bounds_(bounds),
        keys_(arguments.key),
        follower_(follower),
        left_(arguments.limit == 0 ? UINT64_MAX : arguments.limit) {}

  Status Run() {
    while (GoesOn()) {
      TAILRACE_RETURN_IF_ERROR(FindShards());
      TAILRACE_ASSIGN_OR_RETURN(const bool more, ReadShards());
      if (more || !GoesOn()) continue;
      TAILRACE_RETURN_IF_ERROR(NoteOwner());
      std::vector<Position> waiting;
      for (const auto& [id, cursor] : cursors_) {
        if (cursor.position && !cursor.done && !Waits(cursor)) waiting.push_back(*cursor.position);
      }
      const auto woken = follower_.WaitShards(waiting, kOwnerLookMs, &InterruptWord());
      // A shard that has gone is met when it is read.
      if (woken.status().code() != StatusCode::kNotFound) {
        TAILRACE_RETURN_IF_ERROR(woken.status());
      }
    }
    return Status::Ok();
  }

 private:
  struct Cursor {
    StreamInfo stream;        // Its shards are those of the moment when the cursor was made.
    ShardInfo shard;          // As it was seen last.
    bool from_start = false;  // There when following began: --from is about it.
    std::optional<Position> position;  // Absent: nothing is published of it yet.
    bool done = false;                 // Read to its end, or gone.
  };

  bool GoesOn() const { return left_ > 0 && !context_.out.broken() && !Interrupted(); }

  bool Wanted(const StreamInfo& stream) const {
    if (arguments_.stream != 0 && stream.id.value != arguments_.stream) return false;
    if (arguments_.tables.empty()) return true;
    return std::any_of(arguments_.tables.begin(), arguments_.tables.end(),
                       [&](const std::string& table) {
                         return Matches({.table = table}, stream.table_name, stream.label);
                       });
  }

  bool Wanted(const ShardInfo& shard) const {
    return arguments_.shard.empty() || shard.name == arguments_.shard ||
           std::to_string(shard.id.value) == arguments_.shard;
  }

  // Whether the shard's parent has still to be read to its end.
  bool Waits(const Cursor& cursor) const {
    if (!cursor.shard.parent) return false;
    const auto parent = cursors_.find(*cursor.shard.parent);
    return parent != cursors_.end() && !parent->second.done;
  }

  // Brings the cursors to what is published now.
  Status FindShards() {
    TAILRACE_ASSIGN_OR_RETURN(const auto streams, follower_.ListStreams());
    if (streams.empty()) {
      TAILRACE_ASSIGN_OR_RETURN(const SequenceNumber published, follower_.Published());
      began_ =
          began_ || published.value > 0;  // There are none yet, or an owner is just opening it.
      return Status::Ok();
    }
    std::map<ShardId, bool> listed;
    for (const StreamInfo& stream : streams) {
      if (!Wanted(stream)) continue;
      for (const ShardInfo& shard : stream.shards) {
        if (!Wanted(shard)) continue;
        listed[shard.id] = true;
        const auto [cursor, is_new] = cursors_.try_emplace(shard.id);
        if (is_new) {
          cursor->second.stream = stream;
          cursor->second.from_start = !began_;
        }
        cursor->second.shard = shard;
      }
    }
    began_ = true;
    std::erase_if(cursors_, [&](const auto& entry) {
      return entry.second.done && !listed.contains(entry.first);
    });
    for (auto& [id, cursor] : cursors_) {
      if (!cursor.position && !cursor.done) TAILRACE_RETURN_IF_ERROR(Begin(cursor));
    }
    return Status::Ok();
  }

  // Finds where to begin in the shard, if it is published.
  Status Begin(Cursor& cursor) {
    auto position = SeekStart(cursor);
    if (position.ok()) {
      cursor.position = *position;
    } else if (position.status().code() == StatusCode::kNotFound) {
      cursor.done = true;  // It expired just now.
    } else if (position.status().code() != StatusCode::kBusy) {
      return position.status();
    }
    return Status::Ok();
  }

  Result<Position> SeekStart(const Cursor& cursor) {
    const StreamId stream = cursor.stream.id;
    const ShardInfo& shard = cursor.shard;
    const auto horizon = [&] {
      return follower_.SeekShard(stream, shard.id, StartAt::kTrimHorizon);
    };
    if (!cursor.from_start) return horizon();
    if (arguments_.from == kLatest) return follower_.SeekShard(stream, shard.id, StartAt::kLatest);
    if (bounds_.first_ms) {
      return follower_.SeekShard(stream, shard.id, StartAt::kAtTimestamp, {}, *bounds_.first_ms);
    }
    const SequenceNumber first{bounds_.first_position.value_or(0)};
    if (first <= shard.starting) return horizon();
    const auto at = follower_.SeekShard(stream, shard.id, StartAt::kAtSequenceNumber, first);
    if (at.status().code() != StatusCode::kInvalidArgument) return at;
    // The number is still to come, or lies behind the end of the shard.
    TAILRACE_ASSIGN_OR_RETURN(Position behind, horizon());
    behind.next = std::max(behind.next, first);
    return behind;
  }

  // A page of each shard that can be read; whether there was anything.
  Result<bool> ReadShards() {
    bool any = false;
    for (auto& [id, cursor] : cursors_) {
      if (!GoesOn()) return any;
      if (cursor.done || !cursor.position || Waits(cursor)) continue;
      const auto page =
          follower_.ReadShard(*cursor.position, {.records_max = std::min(left_, kPageRecordsMax)});
      if (page.status().code() == StatusCode::kNotFound) {
        TAILRACE_RETURN_IF_ERROR(PrintExpired(cursor));
        any = true;
        continue;
      }
      TAILRACE_RETURN_IF_ERROR(page.status());
      cursor.position = page->next;
      cursor.done = page->end_of_shard;
      if (!page->gap && page->records.empty() && !cursor.done) continue;
      TAILRACE_RETURN_IF_ERROR(Print(cursor, *page));
      any = true;
    }
    return any;
  }

  Status Print(const Cursor& cursor, const ChangePage& page) {
    const RecordOrigin origin{cursor.stream.table_name, cursor.shard.name};
    const bool json = context_.options.json;
    if (page.gap) PrintGap(context_.out, json, *page.gap, origin);
    for (const ChangeRecord& record : page.records) {
      TAILRACE_ASSIGN_OR_RETURN(const bool wanted, keys_.Wants(cursor.stream, record.keys));
      if (!wanted) continue;
      PrintRecord(context_.out, json, record, origin);
      --left_;
    }
    context_.out.Flush();
    return Status::Ok();
  }

  // The shard is gone with everything in it: what may have been left unread is told.
  Status PrintExpired(Cursor& cursor) {
    cursor.done = true;
    SequenceNumber last;
    if (cursor.shard.ending) {
      last = *cursor.shard.ending;
    } else {
      TAILRACE_ASSIGN_OR_RETURN(last, follower_.Published());
    }
    if (cursor.position->next > last) return Status::Ok();
    const Gap gap{.kind = Gap::Kind::kTrimmed, .first = cursor.position->next, .last = last};
    PrintGap(context_.out, context_.options.json, gap,
             {cursor.stream.table_name, cursor.shard.name});
    context_.out.Flush();
    return Status::Ok();
  }

  // Says when the owner goes and comes.
  Status NoteOwner() {
    TAILRACE_ASSIGN_OR_RETURN(const bool lives, follower_.OwnerLives());
    if (lives == owner_lives_) return Status::Ok();
    owner_lives_ = lives;
    context_.out.Flush();
    std::fprintf(
        stderr, "tailrace: %s\n",
        lives ? "the store is open again" : "no process has the store open: waiting for one");
    return Status::Ok();
  }

  Context& context_;
  const FollowArguments& arguments_;
  const Bounds& bounds_;
  const KeyChoice keys_;
  StoreFollower& follower_;
  uint64_t left_;
  std::map<ShardId, Cursor> cursors_;  // Shards are numbered over all streams.
  bool began_ = false;
  bool owner_lives_ = true;
};

}  // namespace

Result<ExitCode> Follow(Context& context, const FollowArguments& arguments) {
  const bool is_place = !arguments.from.empty() && arguments.from != kLatest;
  TAILRACE_ASSIGN_OR_RETURN(
      const Bounds bounds,
      ParseBounds(is_place ? arguments.from : std::string(), {}, PlainPositions::kNo));
  TAILRACE_ASSIGN_OR_RETURN(const std::string directory, StoreDirectory(context.options));
  TAILRACE_ASSIGN_OR_RETURN(const auto follower, StoreFollower::Open(directory));
  WatchInterrupts();
  Following following(context, arguments, bounds, *follower);
  TAILRACE_RETURN_IF_ERROR(following.Run());
  return Interrupted() ? ExitCode::kInterrupted : ExitCode::kOk;
}

}  // namespace tailrace::tools
