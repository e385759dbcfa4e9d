// The readers of streams in the process under test: one durable reader that goes from stream to
// stream and back, and one plain reader that begins anywhere.
#include <map>
#include <optional>

#include "engine/durable_reader.h"
#include "tools/crashtest/world.h"

namespace tailrace::crashtest {
namespace {

constexpr uint64_t kWaitMs = 4;
constexpr char kOrdinal[] = "ordinal";

// Some stream of the store, if there is one.
std::optional<StreamInfo> PickStream(World& world, Random& random) {
  const auto streams = world.store->ListStreams();
  if (!streams.ok()) world.teller.Fail("listing streams", streams.status());
  if (!streams.ok() || streams->empty()) return std::nullopt;
  return (*streams)[random.Below(streams->size())];
}

// A stream or shard that expires while it is read is nobody's fault.
bool Expired(const Status& status) { return status.code() == StatusCode::kNotFound; }

void TellGap(const World& world, uint8_t thread, StreamId stream, ShardId shard, const Gap& gap) {
  Event event{.kind = EventKind::kGap, .thread = thread};
  event.stream = stream.value;
  event.shard = shard.value;
  event.first = gap.first.value;
  event.last = gap.last.value;
  event.outcome = gap.kind == Gap::Kind::kLost;
  world.teller.Tell(event);
}

void TellRecords(const World& world, uint8_t thread, const StreamInfo& stream,
                 const std::vector<ChangeRecord>& records) {
  std::vector<Event> events;
  for (const ChangeRecord& record : records) {
    Event event{.kind = EventKind::kDelivered, .thread = thread};
    DescribeRecord(world, KeySpace::TableOf(stream.table_name), record, event);
    events.push_back(event);
  }
  world.teller.TellAll(events);
}

class Durable {
 public:
  explicit Durable(World& world) : world_(world), random_(MixSeed(world.plan.seed, 60)) {}

  void Run() {
    while (!world_.stopping.load()) {
      if (const auto stream = PickStream(world_, random_)) Visit(*stream);
      world_.WaitForProgress(random_.Below(20));
    }
  }

 private:
  void Visit(const StreamInfo& stream) {
    Event event{.kind = EventKind::kReaderOpen, .thread = kDurableReaderThread};
    event.table = KeySpace::TableOf(stream.table_name);
    event.stream = stream.id.value;
    world_.teller.Tell(event);
    const std::string name = "reader of " + std::to_string(stream.id.value);
    const DurableReaderOptions options{.limits = {.records_max = random_.Between(1, 40)}};
    auto reader = DurableReader::Open(*world_.store, name, stream.id, options);
    if (!reader.ok()) {
      if (!Expired(reader.status())) world_.teller.Fail("a durable reader", reader.status());
      return;
    }
    std::map<ShardId, uint64_t> delivered;
    for (const auto& [shard, attachment] : (*reader)->attachments()) {
      const Number* ordinal = attachment.GetNumber(kOrdinal);
      if (ordinal == nullptr) continue;  // Stored with a child's; it was never kept for itself.
      delivered[shard] = static_cast<uint64_t>(ordinal->ToInt64().value_or(0));
      Event attached{.kind = EventKind::kAttachment, .thread = kDurableReaderThread};
      attached.stream = stream.id.value;
      attached.shard = shard.value;
      attached.ordinal = delivered[shard];
      world_.teller.Tell(attached);
    }
    for (uint64_t batches = random_.Between(1, 30); batches > 0; --batches) {
      if (world_.stopping.load() || !ReadBatch(stream, **reader, delivered)) return;
    }
  }

  // False when there is no point in going on.
  bool ReadBatch(const StreamInfo& stream, DurableReader& reader,
                 std::map<ShardId, uint64_t>& delivered) {
    auto batch = reader.Next(kWaitMs);
    if (!batch.ok()) {
      if (!Expired(batch.status())) world_.teller.Fail("a durable reader", batch.status());
      return false;
    }
    if (!*batch) return !reader.finished();
    const DurableReader::Batch& page = **batch;
    if (page.gap) TellGap(world_, kDurableReaderThread, stream.id, page.shard, *page.gap);
    TellRecords(world_, kDurableReaderThread, stream, page.records);
    if (!page.records.empty()) delivered[page.shard] = page.records.back().ordinal;
    if (random_.OneIn(2)) return true;

    Event event{.kind = EventKind::kCheckpointBegin, .thread = kDurableReaderThread};
    event.stream = stream.id.value;
    event.shard = page.shard.value;
    event.ordinal = delivered[page.shard];
    event.second = world_.JournalEnd();
    world_.teller.Tell(event);
    const Status kept =
        reader.Checkpoint(page.shard, Item{{kOrdinal, Value::N(delivered[page.shard])}});
    if (!kept.ok()) world_.teller.Fail("a reader's checkpoint", kept);
    event.kind = EventKind::kCheckpointEnd;
    event.code = kept.code();
    event.last = world_.JournalEnd();
    world_.teller.Tell(event);
    return true;
  }

  World& world_;
  Random random_;
};

class Plain {
 public:
  explicit Plain(World& world) : world_(world), random_(MixSeed(world.plan.seed, 70)) {}

  void Run() {
    while (!world_.stopping.load()) {
      const auto stream = PickStream(world_, random_);
      if (stream && !stream->shards.empty()) {
        Visit(*stream, stream->shards[random_.Below(stream->shards.size())]);
      }
      world_.WaitForProgress(random_.Below(20));
    }
  }

 private:
  void Visit(const StreamInfo& stream, const ShardInfo& shard) {
    constexpr StartAt kStarts[] = {StartAt::kTrimHorizon, StartAt::kLatest,
                                   StartAt::kAtSequenceNumber, StartAt::kAfterSequenceNumber};
    const StartAt start = kStarts[random_.Below(std::size(kStarts))];
    SequenceNumber number;
    if (start == StartAt::kAtSequenceNumber || start == StartAt::kAfterSequenceNumber) {
      const uint64_t first = std::max(shard.starting.value, shard.trimmed_below.value);
      const uint64_t last =
          std::max(first, shard.ending ? shard.ending->value : last_seen_[shard.id]);
      number.value = random_.Between(first, last);
    }
    const auto sought = world_.store->SeekShard(stream.id, shard.id, start, number);
    if (!sought.ok()) {
      if (!Expired(sought.status())) {
        world_.teller.Fail("seeking from " + std::to_string(shard.starting.value) +
                               ", trimmed below " + std::to_string(shard.trimmed_below.value) +
                               ", to " +
                               std::to_string(shard.ending.value_or(SequenceNumber{}).value),
                           sought.status());
      }
      return;
    }
    Event event{.kind = EventKind::kSought, .thread = kPlainReaderThread};
    event.outcome = static_cast<uint8_t>(start);
    event.stream = stream.id.value;
    event.shard = shard.id.value;
    event.sequence = number.value;
    world_.teller.Tell(event);
    Read(stream, *sought);
  }

  void Read(const StreamInfo& stream, Position position) {
    for (uint64_t pages = random_.Between(1, 10); pages > 0; --pages) {
      const PageLimits limits{.records_max = random_.Between(1, 30)};
      const auto page = world_.store->ReadShard(position, limits);
      if (!page.ok()) {
        if (!Expired(page.status())) world_.teller.Fail("reading a shard", page.status());
        return;
      }
      if (page->gap) {
        TellGap(world_, kPlainReaderThread, stream.id, position.shard, *page->gap);
      }
      TellRecords(world_, kPlainReaderThread, stream, page->records);
      if (!page->records.empty()) {
        last_seen_[position.shard] = page->records.back().sequence.value;
      }
      position = page->next;
      if (page->end_of_shard || world_.stopping.load()) return;
      if (!page->caught_up) continue;
      const auto more = world_.store->WaitShard(position, kWaitMs);
      if (!more.ok() && !Expired(more.status())) world_.teller.Fail("waiting", more.status());
      if (!more.ok() || !*more) return;
    }
  }

  World& world_;
  Random random_;
  std::map<ShardId, uint64_t> last_seen_;
};

}  // namespace

void RunDurableReader(World& world) { Durable(world).Run(); }
void RunPlainReader(World& world) { Plain(world).Run(); }

}  // namespace tailrace::crashtest
