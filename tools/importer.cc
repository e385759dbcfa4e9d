#include "tools/importer.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "engine/system_table.h"
#include "tools/command.h"
#include "tools/format.h"
#include "tools/progress.h"
#include "tools/text.h"

namespace tailrace::tools {
namespace {

constexpr char kTable[] = "_tailrace.imports";

// Attributes of what is kept of an import.
constexpr char kName[] = "name";
constexpr char kTarget[] = "table";
constexpr char kLine[] = "line";
constexpr char kSizeBytes[] = "size_bytes";
constexpr char kChangedMs[] = "changed_ms";
constexpr char kDone[] = "done";

constexpr uint64_t kErrorsShownMax = 10;

uint64_t NumberOr0(const Item& item, const char* name) {
  const Number* number = item.GetNumber(name);
  return number == nullptr
             ? 0
             : static_cast<uint64_t>(std::max<int64_t>(0, number->ToInt64().value_or(0)));
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using FileHandle = std::unique_ptr<std::FILE, CloseFile>;

class Importer {
 public:
  Importer(Store& store, LineReader& lines, const ImportOptions& options)
      : store_(store),
        lines_(lines),
        options_(options),
        progress_("item", options.quiet ? UINT64_MAX : options.progress_every) {}

  Result<ImportReport> Run();

 private:
  Status FindStart();
  Status SkipLines();
  Status OpenRejects();
  Status ImportLine(std::string_view line);
  Result<Item> ParseLine(std::string_view line);
  Status PutItem(const Item& item);
  Status RejectLine(std::string_view line, const Status& why);
  Status LimitInFlight(const CommitToken& token);
  Status KeepLine(uint64_t line, bool done);
  Status ImportAll();

  Store& store_;
  LineReader& lines_;
  const ImportOptions& options_;
  Progress progress_;
  ImportReport report_;
  std::optional<ItemFormat> format_ = options_.format;
  FileHandle rejects_;
  uint64_t kept_line_ = 0;
  // Waiting for the newest write of the half before last bounds what is in flight.
  uint64_t in_half_ = 0;
  std::optional<CommitToken> last_half_;
  std::optional<CommitToken> newest_;
};

// Where an earlier run stopped, if the source is the same as then.
Status Importer::FindStart() {
  if (!options_.resume_name.empty()) {
    auto* tables = dynamic_cast<engine::SystemTables*>(&store_);
    if (tables == nullptr) return InvalidArgument("this store cannot keep how far an import came");
    TAILRACE_RETURN_IF_ERROR(
        tables->EnsureSystemTable(kTable, {.partition = {kName, ScalarType::kS}}));
  }
  if (options_.skip_lines) {
    report_.resumed_after = *options_.skip_lines;
    return Status::Ok();
  }
  if (options_.resume_name.empty()) return Status::Ok();
  TAILRACE_ASSIGN_OR_RETURN(const auto kept,
                            store_.Get(kTable, Item{{kName, Value::S(options_.resume_name)}}));
  if (!kept) return Status::Ok();
  const std::string* table = kept->GetString(kTarget);
  const bool* done = kept->GetBool(kDone);
  const bool same = table != nullptr && *table == options_.table &&
                    NumberOr0(*kept, kSizeBytes) == lines_.size_bytes() &&
                    NumberOr0(*kept, kChangedMs) == lines_.changed_ms();
  if (same && done != nullptr && !*done) report_.resumed_after = NumberOr0(*kept, kLine);
  return Status::Ok();
}

Status Importer::SkipLines() {
  std::string_view line;
  for (uint64_t i = 0; i < report_.resumed_after; ++i) {
    TAILRACE_ASSIGN_OR_RETURN(const bool more, lines_.Next(line));
    if (!more) break;
    if (!format_ && !line.empty()) {
      if (const auto format = DetectItemFormat(line); format.ok()) format_ = *format;
    }
  }
  kept_line_ = lines_.line_number();
  if (report_.resumed_after > 0 && !options_.quiet) {
    std::fprintf(stderr, "going on after line %s\n", CountText(lines_.line_number()).c_str());
  }
  return Status::Ok();
}

Status Importer::OpenRejects() {
  if (options_.rejects_path.empty()) return Status::Ok();
  const char* mode = report_.resumed_after > 0 ? "ab" : "wb";
  rejects_.reset(std::fopen(options_.rejects_path.c_str(), mode));
  if (rejects_ == nullptr) {
    return IoError(Cat(options_.rejects_path, ": ", std::strerror(errno)));
  }
  return Status::Ok();
}

Result<Item> Importer::ParseLine(std::string_view line) {
  if (!format_) {
    TAILRACE_ASSIGN_OR_RETURN(format_, DetectItemFormat(line));
  }
  return ParseItem(line, *format_);
}

Status Importer::LimitInFlight(const CommitToken& token) {
  newest_ = token;
  if (++in_half_ < options_.in_flight_max / 2) return Status::Ok();
  in_half_ = 0;
  if (last_half_) TAILRACE_RETURN_IF_ERROR(store_.Wait(*last_half_));
  last_half_ = token;
  return Status::Ok();
}

Status Importer::PutItem(const Item& item) {
  TAILRACE_ASSIGN_OR_RETURN(const WriteResult result,
                            store_.Put(options_.table, item, {.wait = WaitFor::kNothing}));
  ++(result.outcome == WriteOutcome::kApplied ? report_.applied : report_.unchanged);
  return LimitInFlight(result.token);
}

Status Importer::RejectLine(std::string_view line, const Status& why) {
  const std::string text = Cat(options_.source, ":", lines_.line_number(), ": ", why.message());
  if (!options_.keep_going) {
    return InvalidArgument(
        Cat(text, ": correct the line, or give --keep-going to pass over bad ones"));
  }
  if (report_.rejected++ < kErrorsShownMax) {
    progress_.Clear();
    std::fprintf(stderr, "tailrace: %s\n", EscapeForTerminal(text).c_str());
  }
  if (rejects_ != nullptr &&
      (std::fwrite(line.data(), 1, line.size(), rejects_.get()) != line.size() ||
       std::fputc('\n', rejects_.get()) == EOF)) {
    return IoError(Cat(options_.rejects_path, ": ", std::strerror(errno)));
  }
  return Status::Ok();
}

Status Importer::ImportLine(std::string_view line) {
  if (line.find_first_not_of(" \t") == std::string_view::npos) return Status::Ok();
  ++report_.lines;
  report_.bytes += line.size() + 1;
  const auto item = ParseLine(line);
  if (!item.ok()) return RejectLine(line, item.status());
  const Status put = PutItem(*item);
  if (put.code() == StatusCode::kInvalidArgument) return RejectLine(line, put);
  return put;
}

// The number goes through the same journal behind the items, so it is never there without them.
Status Importer::KeepLine(uint64_t line, bool done) {
  kept_line_ = line;
  if (rejects_ != nullptr && std::fflush(rejects_.get()) != 0) {
    return IoError(Cat(options_.rejects_path, ": ", std::strerror(errno)));
  }
  if (options_.resume_name.empty()) return Status::Ok();
  const Item kept{{kName, Value::S(options_.resume_name)},
                  {kTarget, Value::S(options_.table)},
                  {kLine, Value::N(line)},
                  {kSizeBytes, Value::N(lines_.size_bytes())},
                  {kChangedMs, Value::N(lines_.changed_ms())},
                  {kDone, Value::Bool(done)}};
  TAILRACE_ASSIGN_OR_RETURN(const WriteResult result,
                            store_.Put(kTable, kept, {.wait = WaitFor::kNothing}));
  return LimitInFlight(result.token);
}

// Leaves line_number() at the last line that is imported or rejected, unless it fails.
Status Importer::ImportAll() {
  std::string_view line;
  while (!Interrupted()) {
    TAILRACE_ASSIGN_OR_RETURN(const bool more, lines_.Next(line));
    if (!more) return Status::Ok();
    if (const Status imported = ImportLine(line); !imported.ok()) {
      if (imported.code() == StatusCode::kInvalidArgument) {
        TAILRACE_RETURN_IF_ERROR(KeepLine(lines_.line_number() - 1, false));
      }
      return imported;
    }
    progress_.Update(report_.applied + report_.unchanged, lines_.offset_bytes(),
                     lines_.size_bytes());
    if (lines_.line_number() >= kept_line_ + options_.checkpoint_lines) {
      TAILRACE_RETURN_IF_ERROR(KeepLine(lines_.line_number(), false));
    }
  }
  report_.interrupted = true;
  return Status::Ok();
}

Result<ImportReport> Importer::Run() {
  const Stopwatch watch;
  TAILRACE_RETURN_IF_ERROR(FindStart());
  TAILRACE_RETURN_IF_ERROR(SkipLines());
  TAILRACE_RETURN_IF_ERROR(OpenRejects());
  Status imported = ImportAll();
  if (imported.ok()) imported = KeepLine(lines_.line_number(), !report_.interrupted);
  progress_.Clear();
  // What was imported before a failure is to be safe too.
  const Status safe = newest_ ? store_.Wait(*newest_) : Status::Ok();
  TAILRACE_RETURN_IF_ERROR(imported);
  TAILRACE_RETURN_IF_ERROR(safe);
  report_.duration_us = watch.ElapsedUs();
  return report_;
}

}  // namespace

Result<ImportReport> Import(Store& store, LineReader& lines, const ImportOptions& options) {
  return Importer(store, lines, options).Run();
}

}  // namespace tailrace::tools
