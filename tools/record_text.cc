#include "tools/record_text.h"

#include "shards/sequence_number.h"
#include "tools/format.h"
#include "tools/json_writer.h"
#include "tools/text.h"
#include "tools/time_text.h"

namespace tailrace::tools {
namespace {

using shards::FormatSequenceNumber;

constexpr std::string_view kEventVersion = "1.1";

void WriteDynamoDbPart(JsonWriter& json, const ChangeRecord& record) {
  json.BeginObject();
  json.Key("ApproximateCreationDateTime").Number(record.wall_ms / 1000);
  json.Key("Keys").DynamoDbItem(record.keys);
  if (record.new_image) json.Key("NewImage").DynamoDbItem(*record.new_image);
  if (record.old_image) json.Key("OldImage").DynamoDbItem(*record.old_image);
  json.Key("SequenceNumber").String(FormatSequenceNumber(record.sequence));
  json.Key("SizeBytes").Number(record.size_bytes);
  json.Key("StreamViewType").String(ViewTypeName(record.view));
  json.EndObject();
}

void WriteOwnPart(JsonWriter& json, const ChangeRecord& record, const RecordOrigin& origin) {
  json.BeginObject();
  json.Key("table").String(origin.table);
  json.Key("stream").Number(record.stream.value);
  json.Key("shard").String(origin.shard);
  json.Key("ordinal").Number(record.ordinal);
  json.Key("commit").String(FormatSequenceNumber(record.commit));
  json.Key("commitChanges").Number(record.commit_changes);
  json.Key("wallMs").Number(record.wall_ms);
  json.EndObject();
}

}  // namespace

void PrintRecordText(Output& out, const ChangeRecord& record, const RecordOrigin& origin,
                     std::string_view indent) {
  out.Line(Format("{}{}  {}  {:6}  {} {}{}", indent, FormatSequenceNumber(record.sequence),
                  TimeText(record.wall_ms), ChangeKindName(record.kind),
                  EscapeForTerminal(origin.table), ItemText(record.keys),
                  record.actor == Actor::kTimeToLive ? "  (expired)" : ""));
  if (record.old_image) out.Line(Cat(indent, "    old  ", ItemText(*record.old_image)));
  if (record.new_image) out.Line(Cat(indent, "    new  ", ItemText(*record.new_image)));
}

std::string RecordJson(const ChangeRecord& record, const RecordOrigin& origin) {
  JsonWriter json;
  json.BeginObject();
  json.Key("eventID").String(record.event_id);
  json.Key("eventName").String(ChangeKindName(record.kind));
  json.Key("eventVersion").String(kEventVersion);
  json.Key("eventSource").String("aws:dynamodb");
  json.Key("dynamodb");
  WriteDynamoDbPart(json, record);
  if (record.actor == Actor::kTimeToLive) {
    json.Key("userIdentity").BeginObject();
    json.Key("PrincipalId").String("dynamodb.amazonaws.com");
    json.Key("Type").String("Service").EndObject();
  }
  json.Key("tailrace");
  WriteOwnPart(json, record, origin);
  json.EndObject();
  return json.Take();
}

std::string GapText(const Gap& gap) {
  const std::string_view why = gap.kind == Gap::Kind::kTrimmed
                                   ? "they expired before they were read"
                                   : "a power loss took them back";
  return Cat("records ", FormatSequenceNumber(gap.first), " to ", FormatSequenceNumber(gap.last),
             " are gone: ", why);
}

std::string GapJson(const Gap& gap, const RecordOrigin& origin) {
  JsonWriter json;
  json.BeginObject().Key("gap").BeginObject();
  json.Key("kind").String(gap.kind == Gap::Kind::kTrimmed ? "trimmed" : "lost");
  json.Key("first").String(FormatSequenceNumber(gap.first));
  json.Key("last").String(FormatSequenceNumber(gap.last));
  json.Key("table").String(origin.table);
  json.Key("shard").String(origin.shard);
  json.EndObject().EndObject();
  return json.Take();
}

void PrintRecord(Output& out, bool json, const ChangeRecord& record, const RecordOrigin& origin) {
  if (json) {
    out.JsonLine(RecordJson(record, origin));
  } else {
    PrintRecordText(out, record, origin);
  }
}

void PrintGap(Output& out, bool json, const Gap& gap, const RecordOrigin& origin) {
  if (json) {
    out.JsonLine(GapJson(gap, origin));
  } else {
    out.Line(Cat("gap in ", origin.shard, ": ", GapText(gap)));
  }
}

}  // namespace tailrace::tools
