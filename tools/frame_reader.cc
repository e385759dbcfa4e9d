#include "tools/frame_reader.h"

#include "engine/base64.h"
#include "engine/catalogue.h"
#include "engine/item_codec.h"
#include "shards/sequence_number.h"
#include "tools/format.h"
#include "tools/json_writer.h"
#include "tools/text.h"
#include "tools/time_text.h"
#include "wal/frame.h"

namespace tailrace::tools {
namespace {

using shards::FormatSequenceNumber;

// Reads a message of a frame. kCorruption: it is none.
template <typename Message>
Status Read(ByteView payload, std::optional<Message>& message) {
  message.emplace();
  if (message->ParseFromArray(payload.data(), static_cast<int>(payload.size())))
    return Status::Ok();
  message.reset();
  return Corruption("the payload cannot be read");
}

// The item, or what is wrong with it as an item of its own, so that the rest is shown.
Item ItemOrProblem(ByteView image) {
  auto item = DecodeItem(image);
  if (item.ok()) return *std::move(item);
  return Item{{"unreadable", Value::S(ToUtf8(item.status().message()))}};
}

std::string EpochText(const wal::Frame& frame) {
  const auto epoch = wal::DecodeEpochFrame(frame.payload);
  if (!epoch) return "unreadable";
  if (epoch->old_epoch == Epoch{0}) return "the journal begins";
  return Cat("epoch ", epoch->old_epoch.value, " ended at ", epoch->old_end.value,
             epoch->clean ? ", closed" : ", not closed");
}

std::string CatalogueChangeText(const frames::CatalogueChange& change) {
  const auto table_keys = [](const frames::KeySchema& keys) {
    std::string text = keys.partition().name();
    return keys.has_sort() ? Cat(text, ", ", keys.sort().name()) : text;
  };
  switch (change.change_case()) {
    case frames::CatalogueChange::kCreateTable:
      return Cat("create table ", change.create_table().name(), " (number ",
                 change.create_table().id(), ", key ", table_keys(change.create_table().keys()),
                 ")");
    case frames::CatalogueChange::kDropTable:
      return Cat("drop table number ", change.drop_table().table());
    case frames::CatalogueChange::kEnableStream:
      return Cat("enable stream ", change.enable_stream().id(), " of ",
                 change.enable_stream().table_name(), ", ",
                 ViewTypeName(static_cast<ViewType>(change.enable_stream().view())), ", ",
                 Plural(static_cast<uint64_t>(change.enable_stream().shards_size()), "shard"));
    case frames::CatalogueChange::kDisableStream:
      return Cat("disable stream ", change.disable_stream().stream());
    case frames::CatalogueChange::kSealAndOpen:
      return Cat("seal ",
                 Plural(static_cast<uint64_t>(change.seal_and_open().parents_size()), "shard"),
                 " and open ",
                 Plural(static_cast<uint64_t>(change.seal_and_open().children_size()), "shard"),
                 " of stream ", change.seal_and_open().stream());
    case frames::CatalogueChange::kSetTimeToLive: {
      const frames::SetTimeToLive& set = change.set_time_to_live();
      return Cat("time to live of table number ", set.table(),
                 set.attribute().empty() ? " off" : Cat(" by ", set.attribute()));
    }
    case frames::CatalogueChange::kCreateIndex: {
      const frames::IndexSpec& spec = change.create_index().spec();
      return Cat("create ", spec.local() ? "local index " : "index ", spec.name(), " (number ",
                 spec.id(), ", key ", table_keys(spec.keys()), ") of table number ", spec.table());
    }
    case frames::CatalogueChange::kDropIndex:
      return Cat("drop index number ", change.drop_index().index());
    case frames::CatalogueChange::kActivateIndex:
      return Cat("index number ", change.activate_index().index(), " is active");
    case frames::CatalogueChange::CHANGE_NOT_SET:
      break;
  }
  return "a change unknown to this version";
}

std::string ClockText(const frames::Clock& clock) {
  constexpr std::string_view kReasons[] = {"tick", "opened", "downtime confirmed", "closed"};
  const auto reason = static_cast<size_t>(clock.reason());
  return Cat(
      reason < std::size(kReasons) ? kReasons[reason] : "unknown reason", ", age ",
      DurationText(clock.age_ms() * 1000),
      clock.pending_downtime_ms() > 0
          ? Cat(", ", DurationText(clock.pending_downtime_ms() * 1000), " of downtime pending")
          : "");
}

SequenceNumber NumberOf(const wal::Frame& frame, size_t change) {
  return SequenceNumber{frame.lsn.value + change};
}

// What becomes of the item's entry.
std::string DeltaText(const shards::IndexDelta& delta) {
  if (!delta.put) return "the entry goes";
  const std::string what = delta.removed ? "another entry" : "the entry";
  return delta.image ? Cat(what, " ", ItemText(ItemOrProblem(*delta.image)))
                     : Cat(what, " is the new item");
}

// `name`: the change's sequence number, or what it is if it has none.
void PrintChangeText(Output& out, const std::string& name, const shards::Change& change,
                     const TableNames& names) {
  out.Line(Format("    {}  {:6}  {} {}{}", name, ChangeKindName(change.kind()),
                  EscapeForTerminal(names.NameOf(change.table)),
                  ItemText(names.KeyOf(change.table, change.key)),
                  change.stream.value != 0 ? Cat(" to stream ", change.stream.value) : ""));
  if (change.old_image) out.Line(Cat("        old  ", ItemText(ItemOrProblem(*change.old_image))));
  if (change.new_image) out.Line(Cat("        new  ", ItemText(ItemOrProblem(*change.new_image))));
  for (const shards::IndexDelta& delta : change.deltas) {
    out.Line(
        Cat("        in ", EscapeForTerminal(names.NameOf(delta.index)), ": ", DeltaText(delta)));
  }
}

void PrintCommitText(Output& out, const wal::Frame& frame, const shards::Commit& commit,
                     const TableNames& names) {
  for (size_t i = 0; i < commit.changes.size(); ++i) {
    PrintChangeText(out, FormatSequenceNumber(NumberOf(frame, i)), commit.changes[i], names);
  }
  if (commit.token) PrintChangeText(out, "idempotency token", *commit.token, names);
}

std::string Summary(const DecodedFrame& decoded) {
  if (!decoded.problem.ok()) return Cat("DAMAGED: ", decoded.problem.message());
  if (decoded.commit) return Plural(decoded.commit->changes.size(), "change");
  if (decoded.catalogue) {
    return Plural(static_cast<uint64_t>(decoded.catalogue->changes_size()), "change");
  }
  if (decoded.trim) {
    return Plural(static_cast<uint64_t>(decoded.trim->trims_size()), "shard") + " trimmed";
  }
  if (decoded.clock) return ClockText(*decoded.clock);
  if (decoded.frame.type == wal::FrameType::kEpoch) return EpochText(decoded.frame);
  return "";
}

void PrintText(Output& out, const DecodedFrame& decoded, const TableNames& names) {
  const wal::Frame& frame = decoded.frame;
  const auto wall_ms = decoded.wall_ms();
  std::string line = Format("{:>12}  {:>8} B  epoch {}  mark {:>12}  {:24}  {:9}  {}",
                            frame.lsn.value, frame.end - frame.lsn, frame.epoch.value,
                            frame.mark.value, wall_ms ? TimeText(*wall_ms) : "",
                            FrameTypeName(frame.type), EscapeForTerminal(Summary(decoded)));
  line.erase(line.find_last_not_of(' ') + 1);
  out.Line(line);
  if (decoded.commit) PrintCommitText(out, frame, *decoded.commit, names);
  if (decoded.catalogue) {
    for (const auto& change : decoded.catalogue->changes()) {
      out.Line(Cat("    ", EscapeForTerminal(CatalogueChangeText(change))));
    }
  }
  if (decoded.trim) {
    for (const auto& trim : decoded.trim->trims()) {
      out.Line(Cat("    stream ", trim.stream(), " shard ", trim.shard(), ": records below ",
                   FormatSequenceNumber(SequenceNumber{trim.below()}), " expired"));
    }
  }
}

void WriteDelta(JsonWriter& json, const shards::IndexDelta& delta, const TableNames& names) {
  json.BeginObject().Key("index").String(names.NameOf(delta.index));
  json.Key("indexId").Number(delta.index.value);
  if (delta.removed) json.Key("removed").String(EncodeBase64(*delta.removed));
  if (delta.put) json.Key("put").String(EncodeBase64(*delta.put));
  if (delta.image) json.Key("entry").DynamoDbItem(ItemOrProblem(*delta.image));
  json.EndObject();
}

void WriteChange(JsonWriter& json, std::optional<SequenceNumber> number,
                 const shards::Change& change, const TableNames& names) {
  json.BeginObject();
  if (number) json.Key("sequence").String(FormatSequenceNumber(*number));
  json.Key("kind").String(ChangeKindName(change.kind()));
  json.Key("table").String(names.NameOf(change.table)).Key("tableId").Number(change.table.value);
  if (change.stream.value != 0) json.Key("stream").Number(change.stream.value);
  json.Key("keys").DynamoDbItem(names.KeyOf(change.table, change.key));
  if (change.new_image) json.Key("new").DynamoDbItem(ItemOrProblem(*change.new_image));
  if (change.old_image) json.Key("old").DynamoDbItem(ItemOrProblem(*change.old_image));
  if (!change.deltas.empty()) {
    json.Key("indexes").BeginArray();
    for (const shards::IndexDelta& delta : change.deltas) WriteDelta(json, delta, names);
    json.EndArray();
  }
  json.EndObject();
}

std::string FrameJson(const DecodedFrame& decoded, const TableNames& names) {
  const wal::Frame& frame = decoded.frame;
  JsonWriter json;
  json.BeginObject().Key("lsn").Number(frame.lsn.value).Key("end").Number(frame.end.value);
  json.Key("type").String(FrameTypeName(frame.type)).Key("epoch").Number(frame.epoch.value);
  json.Key("mark").Number(frame.mark.value);
  if (const auto wall_ms = decoded.wall_ms()) json.Key("time").String(TimeText(*wall_ms));
  if (!decoded.problem.ok()) json.Key("problem").String(decoded.problem.message());
  if (decoded.commit) {
    json.Key("changes").BeginArray();
    for (size_t i = 0; i < decoded.commit->changes.size(); ++i) {
      WriteChange(json, NumberOf(frame, i), decoded.commit->changes[i], names);
    }
    json.EndArray();
    if (const auto& token = decoded.commit->token) {
      WriteChange(json.Key("token"), std::nullopt, *token, names);
    }
  } else if (decoded.catalogue) {
    json.Key("changes").BeginArray();
    for (const auto& change : decoded.catalogue->changes())
      json.String(CatalogueChangeText(change));
    json.EndArray();
  } else if (decoded.trim) {
    json.Key("trims").BeginArray();
    for (const auto& trim : decoded.trim->trims()) {
      json.BeginObject().Key("stream").Number(trim.stream()).Key("shard").Number(trim.shard());
      json.Key("below").String(FormatSequenceNumber(SequenceNumber{trim.below()})).EndObject();
    }
    json.EndArray();
  } else if (const std::string summary = Summary(decoded); !summary.empty()) {
    json.Key("summary").String(summary);
  }
  return json.EndObject().Take();
}

}  // namespace

std::string FrameTypeName(wal::FrameType type) {
  switch (type) {
    case wal::FrameType::kPad:
      return "pad";
    case wal::FrameType::kEpoch:
      return "epoch";
    case wal::FrameType::kMark:
      return "mark";
    case wal::FrameType::kClose:
      return "close";
  }
  if (type == shards::kCommitFrame) return "commit";
  if (type == shards::kCatalogueFrame) return "catalogue";
  if (type == shards::kTrimFrame) return "trim";
  if (type == shards::kClockFrame) return "clock";
  return Cat("type ", static_cast<unsigned>(type));
}

void TableNames::Add(TableId table, const std::string& name, const KeySchema& keys) {
  tables_[table] = {name, keys};
}

std::string TableNames::NameOf(TableId table) const {
  const auto found = tables_.find(table);
  return found == tables_.end() ? Cat("table ", table.value) : found->second.name;
}

Item TableNames::KeyOf(TableId table, ByteView storage_key) const {
  if (const auto found = tables_.find(table); found != tables_.end()) {
    if (auto key = DecodeKey(found->second.keys, storage_key); key.ok()) return *std::move(key);
  }
  return Item{{"storage_key", Value::B(std::string(storage_key))}};
}

std::optional<uint64_t> DecodedFrame::wall_ms() const {
  if (commit) return commit->wall_ms;
  if (catalogue) return catalogue->wall_ms();
  if (trim) return trim->wall_ms();
  if (clock) return clock->wall_ms();
  return std::nullopt;
}

DecodedFrame DecodeFrame(const wal::Frame& frame, TableNames& names) {
  DecodedFrame decoded{.frame = frame};
  if (frame.type == shards::kCommitFrame) {
    auto commit = shards::DecodeCommit(frame.payload);
    decoded.problem = commit.status();
    if (commit.ok()) decoded.commit = *std::move(commit);
  } else if (frame.type == shards::kCatalogueFrame) {
    decoded.problem = Read(frame.payload, decoded.catalogue);
  } else if (frame.type == shards::kTrimFrame) {
    decoded.problem = Read(frame.payload, decoded.trim);
  } else if (frame.type == shards::kClockFrame) {
    decoded.problem = Read(frame.payload, decoded.clock);
  }
  if (decoded.catalogue) {
    for (const auto& change : decoded.catalogue->changes()) {
      if (change.has_create_index()) {
        const frames::IndexSpec& spec = change.create_index().spec();
        const auto keys = engine::FromProto(spec.keys());
        if (keys.ok()) {
          names.Add(TableId{spec.id()}, Cat(names.NameOf(TableId{spec.table()}), ".", spec.name()),
                    *keys);
        }
      }
      if (!change.has_create_table()) continue;
      const auto keys = engine::FromProto(change.create_table().keys());
      if (keys.ok())
        names.Add(TableId{change.create_table().id()}, change.create_table().name(), *keys);
    }
  }
  return decoded;
}

void PrintFrame(Output& out, bool json, const DecodedFrame& frame, const TableNames& names) {
  if (json) {
    out.JsonLine(FrameJson(frame, names));
  } else {
    PrintText(out, frame, names);
  }
}

}  // namespace tailrace::tools
