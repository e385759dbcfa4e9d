#include "shards/record_codec.h"

#include "shards/proto_wire.h"
#include "wal/check.h"
#include "wal/coding.h"
#include "wal/hash.h"
#include "wal/mutants.h"

namespace tailrace::shards {
namespace {

// Field numbers of frames::ShardRecord.
enum RecordField : uint32_t {
  kKind = 1,
  kKey = 2,
  kNewImage = 3,
  kOldImage = 4,
  kActor = 5,
  kWallMs = 6,
  kChangeIndex = 7,
  kChangeCount = 8,
};

uint64_t MessageBytes(const RecordView& record) {
  uint64_t bytes =
      VarintFieldBytes(static_cast<uint64_t>(record.kind)) + BytesFieldBytes(record.key.size()) +
      VarintFieldBytes(static_cast<uint64_t>(record.actor)) + VarintFieldBytes(record.wall_ms) +
      VarintFieldBytes(record.change_index) + VarintFieldBytes(record.change_count);
  if (record.new_image) bytes += BytesFieldBytes(record.new_image->size());
  if (record.old_image) bytes += BytesFieldBytes(record.old_image->size());
  return bytes;
}

void WriteMessage(WireWriter& writer, const RecordView& record) {
  writer.VarintField(kKind, static_cast<uint64_t>(record.kind));
  writer.BytesField(kKey, record.key);
  if (record.new_image) writer.BytesField(kNewImage, *record.new_image);
  if (record.old_image) writer.BytesField(kOldImage, *record.old_image);
  writer.VarintField(kActor, static_cast<uint64_t>(record.actor));
  writer.VarintField(kWallMs, record.wall_ms);
  writer.VarintField(kChangeIndex, record.change_index);
  writer.VarintField(kChangeCount, record.change_count);
}

Status Malformed(const char* what) { return Corruption(std::string("record: ") + what); }

bool SetBytes(RecordView& record, const WireField& field) {
  switch (field.number) {
    case kKey:
      record.key = field.bytes;
      return true;
    case kNewImage:
      record.new_image = field.bytes;
      return true;
    case kOldImage:
      record.old_image = field.bytes;
      return true;
  }
  return false;
}

// False also when the value is too large for what it is: CheckRecord would see only a part of it.
bool SetNumber(RecordView& record, const WireField& field) {
  if (field.number == kWallMs) {
    record.wall_ms = field.value;
    return true;
  }
  if (field.value > UINT32_MAX) return false;
  const auto small = static_cast<uint32_t>(field.value);
  switch (field.number) {
    case kKind:
      record.kind = static_cast<ChangeKind>(small);
      return true;
    case kActor:
      record.actor = static_cast<Actor>(small);
      return true;
    case kChangeIndex:
      record.change_index = small;
      return true;
    case kChangeCount:
      record.change_count = small;
      return true;
  }
  return false;
}

// Why a field was not set.
Status FieldProblem(const WireField& field) {
  if (field.type == WireType::kVarint && field.value > UINT32_MAX) {
    switch (field.number) {
      case kKind:
        return Malformed("unknown kind");
      case kActor:
        return Malformed("unknown actor");
      case kChangeIndex:
        return Malformed("change index out of range");
      case kChangeCount:
        return Malformed("change count out of range");
    }
  }
  return Unsupported("record: unknown field " + std::to_string(field.number));
}

Status CheckRecord(const RecordView& record) {
  if (record.kind != ChangeKind::kInsert && record.kind != ChangeKind::kModify &&
      record.kind != ChangeKind::kRemove) {
    return Malformed("unknown kind");
  }
  if (record.actor != Actor::kUser && record.actor != Actor::kTimeToLive) {
    return Malformed("unknown actor");
  }
  if (record.key.size() < 8) return Malformed("the key is shorter than its hash");
  if (record.change_index >= record.change_count) return Malformed("change index out of range");
  if (record.ordinal == 0) return Malformed("the ordinal is 0");
  if (record.previous >= record.sequence) return Malformed("the previous number is not below");
  return Status::Ok();
}

std::optional<std::string> CopyOf(const std::optional<ByteView>& bytes) {
  if (!bytes) return std::nullopt;
  return std::string(*bytes);
}

}  // namespace

RecordView Record::View() const {
  return RecordView{.sequence = sequence,
                    .ordinal = ordinal,
                    .previous = previous,
                    .chain = chain,
                    .age_ms = age_ms,
                    .wall_ms = wall_ms,
                    .kind = kind,
                    .actor = actor,
                    .change_index = change_index,
                    .change_count = change_count,
                    .key = key,
                    .new_image = new_image,
                    .old_image = old_image};
}

Record RecordView::Copy() const {
  return Record{.sequence = sequence,
                .ordinal = ordinal,
                .previous = previous,
                .chain = chain,
                .age_ms = age_ms,
                .wall_ms = wall_ms,
                .kind = kind,
                .actor = actor,
                .change_index = change_index,
                .change_count = change_count,
                .key = std::string(key),
                .new_image = CopyOf(new_image),
                .old_image = CopyOf(old_image)};
}

void RecordPage::Clear() {
  gap.reset();
  records.clear();
  bytes.Clear();
  next = {};
  caught_up = end_of_shard = false;
}

Page RecordPage::Copy() const {
  Page page{.gap = gap,
            .records = {},
            .next = next,
            .caught_up = caught_up,
            .end_of_shard = end_of_shard};
  page.records.reserve(records.size());
  for (const RecordView& record : records) page.records.push_back(record.Copy());
  return page;
}

uint64_t ChainHash(ByteView payload, SequenceNumber sequence, uint64_t previous_chain) {
  return Hash64(payload.substr(kRecordOrdinalAt), previous_chain + sequence.value);
}

uint64_t RecordFrameBytes(const RecordView& record) {
  return wal::FrameBytes(kRecordPrefixBytes + MessageBytes(record));
}

uint64_t AppendRecordFrame(std::string& target, const RecordView& record, uint64_t previous_chain,
                           wal::FrameSeed seed, Epoch epoch) {
  const uint64_t payload_bytes = kRecordPrefixBytes + MessageBytes(record);
  TAILRACE_CHECK(payload_bytes <= UINT32_MAX, "a record is no larger than its commit frame");
  const size_t frame_at = target.size();
  const size_t payload_at = frame_at + wal::kFrameHeaderBytes;
  target.resize(frame_at + wal::FrameBytes(payload_bytes));
  StoreLittle<uint64_t>(target.data() + payload_at + kRecordOrdinalAt, record.ordinal);
  StoreLittle<uint64_t>(target.data() + payload_at + kRecordPreviousAt, record.previous.value);
  StoreLittle<uint64_t>(target.data() + payload_at + kRecordAgeAt, record.age_ms);
  WireWriter writer(target.data() + payload_at + kRecordPrefixBytes);
  WriteMessage(writer, record);
  TAILRACE_CHECK(writer.at() == target.data() + payload_at + payload_bytes,
                 "a record's length was mismeasured");
  const ByteView payload(target.data() + payload_at, payload_bytes);
  const uint64_t chain = ChainHash(payload, record.sequence, previous_chain);
  StoreLittle<uint64_t>(target.data() + payload_at + kRecordChainAt, chain);
  wal::FrameHeader header;
  header.payload_bytes = static_cast<uint32_t>(payload_bytes);
  header.position = record.sequence.value;
  header.epoch = epoch;
  header.type = kRecordFrame;
  header.payload_hash = wal::PayloadHash(kRecordFrame, payload, seed);
  wal::EncodeFrameHeader(target.data() + frame_at, header, seed);
  return chain;
}

Status DecodeRecord(ByteView payload, SequenceNumber sequence, RecordView& record) {
  if (payload.size() < kRecordPrefixBytes) return Malformed("the payload is too short");
  record = {};
  record.sequence = sequence;
  record.chain = LoadLittle<uint64_t>(payload.data() + kRecordChainAt);
  record.ordinal = LoadLittle<uint64_t>(payload.data() + kRecordOrdinalAt);
  record.previous = SequenceNumber{LoadLittle<uint64_t>(payload.data() + kRecordPreviousAt)};
  record.age_ms = LoadLittle<uint64_t>(payload.data() + kRecordAgeAt);
  record.kind = ChangeKind{};  // Absent fields read as 0, which no kind and no count is.
  record.change_count = 0;
  WireReader reader(payload.substr(kRecordPrefixBytes));
  WireField field;
  while (!reader.done()) {
    if (!reader.Next(field)) return Malformed("it is not a Protobuf message");
    const bool set = field.type == WireType::kBytes    ? SetBytes(record, field)
                     : field.type == WireType::kVarint ? SetNumber(record, field)
                                                       : false;
    if (!set) return FieldProblem(field);
  }
  return CheckRecord(record);
}

Status CheckFollows(const LogPoint& before, const RecordView& record, ByteView payload) {
  if (record.ordinal != before.ordinal + 1) {
    return Corruption("ordinal " + std::to_string(record.ordinal) + " follows ordinal " +
                      std::to_string(before.ordinal) + ": records are missing or repeated");
  }
  if (record.previous != before.sequence) {
    return Corruption("the record before should be " + std::to_string(record.previous.value) +
                      " and is " + std::to_string(before.sequence.value));
  }
  if (record.chain != ChainHash(payload, record.sequence, before.chain) &&
      !TAILRACE_MUTANT("chain-hash-ignored")) {
    return Corruption("the chain hash differs");
  }
  return Status::Ok();
}

}  // namespace tailrace::shards
